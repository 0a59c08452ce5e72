"""Where a model's answers change with the contour: by how alike the contours are, and by how round."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.evaluation import weighted
from usdlr.evaluation.alignment import by_axilla
from usdlr.evaluation.comparison import paired_difference
from usdlr.evaluation.discrimination import estimate
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.resampling import REPLICATES, patient_bootstraps, patients

READER, SOFTWARE, DIFFERENCE = "reader", "software", "difference"
# Shares of overlap: another place or half of the lesion, a contour to correct, one as two readers differ.
BORDERS = (0.0, 0.5, 0.8, 1.0)
OUTCOMES = {"positive": 1.0, "negative": 0.0}


def effect_by_likeness(
    reader: pd.DataFrame,
    software: pd.DataFrame,
    labels: pd.DataFrame,
    likeness: pd.DataFrame,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Any]:
    """The first stage's answers by the overlap of both contours, and how round both are by outcome.

    Parameters
    ----------
    reader, software, labels : DataFrame
        As in :func:`usdlr.evaluation.contour_effect.contour_effect`.
    likeness : DataFrame
        By axilla ``dice sphericity_reader sphericity_software``.
    replicates, seed
        Of the patient bootstrap.

    Returns
    -------
    dict
        ``overlap``: per group ``from to n positives``, ``auc`` with ``reader software difference`` (paired), and
        ``change`` of the probability, software minus reader, ``positive`` and ``negative``; ``sphericity``: by outcome
        its mean, ``reader software difference``. Axillae of unknown outcome stand in neither.

    Raises
    ------
    InputError
        If an axilla stands twice in a table.
    """
    ours, theirs = by_axilla(reader, ("p_sln",), "readers' contours"), by_axilla(software, ("p_sln",), "software's")
    both = ours.add_suffix("_reader").join(theirs.add_suffix("_software"), how="inner")
    both = both.join(by_axilla(labels, ("sln",), "outcomes"), how="left")
    names = ("dice", "sphericity_reader", "sphericity_software")
    both = both.join(by_axilla(likeness, names, "likeness"), how="inner")
    known = both[both["sln"].notna()].astype(np.float64)
    given: dict[str, Any] = {"replicates": replicates, "seed": seed}
    overlap = []
    for low, high in pairwise(BORDERS):
        upper = known["dice"] < high if high < BORDERS[-1] else known["dice"] <= high
        part = known[(known["dice"] >= low) & upper]
        changes = {
            name: _mean(part.loc[part["sln"] == value, "p_sln_software"], part, "p_sln_reader", given)
            for name, value in OUTCOMES.items()
        }
        overlap.append(
            {
                "from": low,
                "to": high,
                "n": len(part),
                "positives": int((part["sln"] == 1).sum()),
                "auc": _auc(part, given),
                "change": changes,
            }
        )
    return {"overlap": overlap, "sphericity": {name: _round(known, value, given) for name, value in OUTCOMES.items()}}


def _auc(part: pd.DataFrame, given: dict[str, Any]) -> dict[str, Any]:
    if part["sln"].nunique() < 2:
        none = undefined(len(part), "auc: one outcome alone").as_dict()
        return dict.fromkeys((READER, SOFTWARE, DIFFERENCE), none)
    y, who = part["sln"].to_numpy(), _who(part)
    first, second = part["p_sln_reader"].to_numpy(), part["p_sln_software"].to_numpy()
    found: dict[str, Estimate] = {
        READER: estimate(weighted.auc, "auc", y, first, who, **given),
        SOFTWARE: estimate(weighted.auc, "auc", y, second, who, **given),
        DIFFERENCE: paired_difference(weighted.auc, "auc", y, second, first, who, **given),
    }
    return {name: value.as_dict() for name, value in found.items()}


def _mean(second: pd.Series, part: pd.DataFrame, first: str, given: dict[str, Any]) -> dict[str, Any]:
    if second.empty:
        return undefined(0, "mean change: no axilla of that outcome").as_dict()
    own = part.loc[second.index]
    change = (second - own[first]).to_numpy()[:, None]
    (found,) = patient_bootstraps(
        weighted.share(change, np.ones_like(change)), patients(_who(own)), ["mean change"], **given
    )
    return found.as_dict()


def _round(known: pd.DataFrame, outcome: float, given: dict[str, Any]) -> dict[str, Any]:
    own = known[known["sln"] == outcome]
    if own.empty:
        none = undefined(0, "sphericity: no axilla of that outcome").as_dict()
        return dict.fromkeys((READER, SOFTWARE, DIFFERENCE), none)
    first, second = own["sphericity_reader"].to_numpy(), own["sphericity_software"].to_numpy()
    values = np.column_stack([first, second, second - first])
    found = patient_bootstraps(
        weighted.share(values, np.ones_like(values)), patients(_who(own)), ["mean sphericity"] * 3, **given
    )
    return {name: value.as_dict() for name, value in zip((READER, SOFTWARE, DIFFERENCE), found, strict=True)}


def _who(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table.index.get_level_values(AXILLA_KEY[0])]
