"""What other contours of the same lesions change in a model's answers, axilla by axilla and in every measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.types import RiskGroup, Stage
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation import weighted
from usdlr.evaluation.alignment import by_axilla
from usdlr.evaluation.comparison import paired_difference
from usdlr.evaluation.discrimination import estimate
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.resampling import REPLICATES, patient_bootstraps, patients
from usdlr.evaluation.weighted import Metric

BoolArray = npt.NDArray[np.bool_]
READER, SOFTWARE, DIFFERENCE = "reader", "software", "difference"
# Of ranks and probabilities; and of the calls at the model's own thresholds.
RANKED: dict[str, Metric] = {
    "auc": weighted.auc,
    "average_precision": weighted.average_precision,
    "brier": weighted.brier,
}


def contour_effect(
    reader: pd.DataFrame,
    software: pd.DataFrame,
    labels: pd.DataFrame,
    *,
    outlined: pd.DataFrame | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Any]:
    """A model's decisions with readers' contours against its decisions with software's.

    Parameters
    ----------
    reader, software : DataFrame
        ``decisions`` of the same model, with contours by readers and by software.
    labels : DataFrame
        ``patient_id side sln nsln``: 1.0, 0.0, or not-a-number where unknown.
    outlined : DataFrame, optional
        Rows with the patient and side of axillae in which the software outlined something; by default, those
        answered.
    replicates, seed
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`.

    Returns
    -------
    dict
        ``axillae`` (answered with readers' contours, with software's, with both; in which the software outlined
        nothing, and how many of them are positive; with an outline that the model could not use, and how many of them
        are positive), ``groups`` (counts by both groups, and the share that is the same), and by stage
        ``n``, ``positives``, ``measures`` (each with ``reader software difference``: software minus reader, paired) and
        the change of the probability: its mean, its mean size, and Bland and Altman's limits.

    Raises
    ------
    InputError
        If an axilla is answered twice.

    References
    ----------
    Bland and Altman, Lancet 327 (1986) 307, doi:10.1016/S0140-6736(86)90837-8, for the limits of agreement.
    """
    names = ("risk_group", *(f"{kind}_{stage}" for stage in Stage for kind in "pt"))
    ours, theirs = by_axilla(reader, names, "readers' contours"), by_axilla(software, names, "software's contours")
    truth = by_axilla(labels, tuple(map(str, Stage)), "outcomes")
    both = ours.add_suffix("_reader").join(theirs.add_suffix("_software"), how="inner").join(truth, how="left")
    lost = ours.index.difference(theirs.index)
    found = theirs.index if outlined is None else by_axilla(outlined.drop_duplicates(AXILLA_KEY), (), "outlines").index
    unusable = lost.intersection(found)
    lost = lost.difference(found)
    positive = truth["sln"] == 1
    given = {"replicates": replicates, "seed": seed}
    return {
        "axillae": {
            READER: len(ours),
            SOFTWARE: len(theirs),
            "both": len(both),
            "without_software": len(lost),
            "without_software_positive": int(positive.reindex(lost, fill_value=False).sum()),
            "unusable": len(unusable),
            "unusable_positive": int(positive.reindex(unusable, fill_value=False).sum()),
        },
        "groups": _groups(both, **given),
        "stages": {str(stage): _stage(both, stage, **given) for stage in Stage},
    }


def _groups(both: pd.DataFrame, *, replicates: int, seed: int) -> dict[str, Any]:
    first, second = both["risk_group_reader"].astype(str), both["risk_group_software"].astype(str)
    order = [str(group) for group in RiskGroup]
    counts = pd.crosstab(first, second).reindex(index=order, columns=order, fill_value=0)
    same = _numbers(first == second)
    (share,) = patient_bootstraps(
        weighted.share(same, np.ones_like(same)), patients(_who(both)), ["same group"], replicates=replicates, seed=seed
    )
    return {"order": order, "counts": counts.to_numpy(dtype=int).tolist(), "same": share.as_dict()}


def _stage(both: pd.DataFrame, stage: Stage, *, replicates: int, seed: int) -> dict[str, Any]:
    # The second question is asked of axillae with a positive sentinel node alone.
    label = both[str(stage)] if stage is Stage.SLN else both[str(stage)].where(both["sln"] == 1)
    y, who = _numbers(label), _who(both)
    first, second = (_numbers(both[f"p_{stage}_{name}"]) for name in (READER, SOFTWARE))
    borders = [_numbers(both[f"t_{stage}_{name}"]) for name in (READER, SOFTWARE)]
    given: dict[str, Any] = {"replicates": replicates, "seed": seed}
    measures = {}
    for name, metric in RANKED.items():
        own: dict[str, Estimate] = {
            READER: estimate(metric, name, y, first, who, **given),
            SOFTWARE: estimate(metric, name, y, second, who, **given),
            DIFFERENCE: paired_difference(metric, name, y, second, first, who, **given),
        }
        measures[name] = {key: value.as_dict() for key, value in own.items()}
    for name, of in (("sensitivity", 1.0), ("specificity", 0.0)):
        right = [
            (probability >= border) == (of == 1) for probability, border in zip((first, second), borders, strict=True)
        ]
        measures[name] = _rates(name, y == of, right[0], right[1], who, given)
    return {
        "n": int(np.isfinite(y).sum()),
        "positives": int((y == 1).sum()),
        "measures": measures,
        "change": _change(second - first, who, given),
    }


def _rates(
    name: str, asked: BoolArray, first: BoolArray, second: BoolArray, who: list[str], given: dict[str, Any]
) -> dict[str, Any]:
    """Shares of the axillae of one outcome that are called as they are."""
    if not asked.any():
        none = undefined(0, f"{name}: no axilla of that outcome").as_dict()
        return dict.fromkeys((READER, SOFTWARE, DIFFERENCE), none)
    own = np.column_stack([first, second])[asked].astype(np.float64)
    rate = weighted.share(own, np.ones_like(own))

    def three(weights: FloatArray) -> FloatArray:
        shares = rate(weights)
        return np.column_stack([shares, shares[:, 1] - shares[:, 0]])

    of_asked = patients([one for one, is_asked in zip(who, asked.tolist(), strict=True) if is_asked])
    found = patient_bootstraps(three, of_asked, [name, name, f"{name}, paired difference"], **given)
    return {key: value.as_dict() for key, value in zip((READER, SOFTWARE, DIFFERENCE), found, strict=True)}


def _change(change: FloatArray, who: list[str], given: dict[str, Any]) -> dict[str, Any]:
    both = np.column_stack([change, np.abs(change)])
    statistic = weighted.share(both, np.ones_like(both))
    mean, mean_size = patient_bootstraps(statistic, patients(who), ["mean change", "mean size of the change"], **given)
    spread = float(np.std(change, ddof=1)) if len(change) > 1 else float("nan")
    low, high = float(change.mean()) - 1.96 * spread, float(change.mean()) + 1.96 * spread
    return {
        "mean": mean.as_dict(),
        "size": mean_size.as_dict(),
        "limits": [low, high] if np.isfinite(spread) else None,
    }


def _who(both: pd.DataFrame) -> list[str]:
    return [str(name) for name in both.index.get_level_values(AXILLA_KEY[0])]


def _numbers(column: pd.Series) -> FloatArray:
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
