"""How far the answer hangs on who drew the contour: predictions over contours redrawn within readers' disagreement.

Every redrawn contour goes the whole way: ring, crops and radiomics are made anew, both stages are predicted and the
group is decided, exactly as if the table had held that contour. The clinical variables stay, and with them the size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.pool import one_thread
from usdlr.core.reliability import share_column
from usdlr.core.types import MaskSource, OnUncertified, RiskGroup, Stage
from usdlr.inference.bundle import Bundle
from usdlr.inference.loaded import LoadedCase, PreparedCase, assemble, engine_of, prepare_one
from usdlr.inference.predictor import predict_prepared
from usdlr.radiomics.stability.redraw import ReaderDisagreement, Redrawing

QUANTILES = {"low": 0.05, "median": 0.5, "high": 0.95}
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ContourSpread:
    """The answers of one axilla over redrawn contours.

    Parameters
    ----------
    probability : mapping of Stage to float64 array, (contours,)
        Of each redrawn contour that could be predicted.
    group : tuple of RiskGroup
        Their groups.
    asked : int
        How many contours were redrawn.
    """

    probability: Mapping[Stage, Floats]
    group: tuple[RiskGroup, ...]
    asked: int

    def columns(self) -> dict[str, float | int]:
        """The columns of ``reliability`` that tell of contours; not-a-number where none could be predicted."""
        out: dict[str, float | int] = {}
        count = len(self.group)
        for stage, values in self.probability.items():
            for end, share in QUANTILES.items():
                out[f"contour_{end}_{stage}"] = float(np.quantile(values, share)) if count else float("nan")
        for group in RiskGroup:
            out[share_column(group)] = self.group.count(group) / count if count else float("nan")
        return out | {"contour_n": count}


def contour_spread(
    bundle: Bundle,
    cases: Sequence[LoadedCase],
    *,
    count: int,
    disagreement: ReaderDisagreement,
    on_uncertified: OnUncertified | None,
) -> ContourSpread:
    """Redraw the contours of one axilla's images and predict each.

    All images of the axilla are redrawn at once, each in its own way. A contour that leaves nothing to measure on one
    of the images that the axilla was predicted from is left out, and ``contour_n`` says how many remained.

    Parameters
    ----------
    bundle : Bundle
        The model.
    cases : sequence of LoadedCase
        The image sets of one axilla that it was predicted from.
    count : int
        How many times.
    disagreement : ReaderDisagreement
        How far readers' contours lie apart.
    on_uncertified : OnUncertified or None
        As the prediction's.

    Raises
    ------
    ConfigError
        If ``count`` is below 1, or the model knows no millimetres.
    """
    require_millimetres(bundle)
    if count < 1:
        raise ConfigError(f"found {count} contours to redraw, expected at least 1")
    preparation = bundle.preparation
    engine = engine_of(preparation)
    try:
        redrawings = [_redrawing(case, disagreement) for case in cases]
    except CaseError:  # a contour that cannot be redrawn at all; the prediction stands, and contour_n is 0
        return ContourSpread({stage: np.empty(0) for stage in Stage}, (), count)
    parts: dict[str, PreparedCase] = {}
    rows = []
    with one_thread():
        for number in range(count):
            drawn: dict[str, PreparedCase] = {}
            for case, redrawing in zip(cases, redrawings, strict=True):
                try:
                    mask = redrawing.draw(case.image_id, number)
                except CaseError:
                    break
                name = f"{case.image_id}#{number}"
                images = replace(case.images, mask=mask)
                part = prepare_one(preparation, LoadedCase({**case.row, "image_id": name}, images), engine)
                if part.failure is not None:
                    break
                drawn[name] = part
            if len(drawn) < len(cases):
                continue
            parts |= drawn
            # A patient apart for every contour, so that all of them go through the networks together.
            rows += [
                {**case.row, "image_id": name, "patient_id": f"{number}"}
                for name, case in zip(drawn, cases, strict=True)
            ]
    if not rows:
        return ContourSpread({stage: np.empty(0) for stage in Stage}, (), count)
    table = pd.DataFrame(rows)
    prepared = assemble(preparation, table, parts, measured=engine is not None)
    found = predict_prepared(bundle, prepared, on_uncertified=on_uncertified)
    probability = {stage: found.decisions[f"p_{stage}"].to_numpy(np.float64) for stage in Stage}
    return ContourSpread(probability, tuple(RiskGroup(name) for name in found.decisions["risk_group"]), count)


def require_millimetres(bundle: Bundle) -> None:
    """Refuse a model whose lengths are relative to the lesion: readers' disagreement is known in mm alone.

    Raises
    ------
    ConfigError
        If the model's lengths are relative.
    """
    if bundle.preparation.relative_diameter is not None:
        raise ConfigError(
            "found redrawn contours asked of a model whose lengths are relative to the lesion, expected a model in mm: "
            "readers' disagreement is stated in mm; leave --contours out"
        )


def _redrawing(case: LoadedCase, disagreement: ReaderDisagreement) -> Redrawing:
    return Redrawing(case.images.mask, disagreement, case.images.fov)


def automatic_disagreement(
    reliability: pd.DataFrame, bundle: Bundle, count: int, disagreement: ReaderDisagreement
) -> dict[tuple[str, str], ReaderDisagreement]:
    """How far contours by software are redrawn, by patient and side; none where they are not.

    Parameters
    ----------
    reliability : DataFrame
        With who drew the contours.
    bundle : Bundle
        The model; one whose lengths are relative to the lesion redraws no contour.
    count : int
        How many times; 0: not at all.
    disagreement : ReaderDisagreement
        That of readers, for whom the distance that is expected of the software stands in.
    """
    if not count or bundle.preparation.relative_diameter is not None:
        return {}
    automatic = reliability[reliability["mask_source"] == str(MaskSource.AUTOMATIC)]
    return {
        (str(row["patient_id"]), str(row["side"])): disagreement
        if pd.isna(row["mask_error_mm"]) or not row["mask_error_mm"] > 0
        else replace(disagreement, mean_abs_mm=float(row["mask_error_mm"]))
        for row in automatic.to_dict("records")
    }


def with_contours(
    reliability: pd.DataFrame,
    bundle: Bundle,
    cases: Sequence[LoadedCase],
    *,
    count: int,
    disagreement: ReaderDisagreement,
    on_uncertified: OnUncertified | None,
    others: Mapping[tuple[str, str], tuple[int, ReaderDisagreement]] | None = None,
) -> pd.DataFrame:
    """The ``reliability`` table with what redrawn contours say of every axilla.

    Parameters
    ----------
    reliability : DataFrame
        One row per predicted axilla.
    bundle : Bundle
        The model.
    cases : sequence of LoadedCase
        The image sets that they were predicted from.
    count, disagreement, on_uncertified
        As for :func:`contour_spread`; with a count of 0, only the others are redrawn.
    others : mapping, optional
        How often, and how far, the contours of single axillae are redrawn instead, by patient and side.
    """
    apart = dict(others or {})
    of_axilla: dict[tuple[str, str], list[LoadedCase]] = {}
    for case in cases:
        of_axilla.setdefault((str(case.row["patient_id"]), str(case.row["side"])), []).append(case)
    told: list[dict[str, float | int]] = []
    for patient, side in reliability[AXILLA_KEY].astype(str).itertuples(index=False, name=None):
        times, far = apart.get((patient, side), (count, disagreement))
        told.append(
            contour_spread(
                bundle, of_axilla[patient, side], count=times, disagreement=far, on_uncertified=on_uncertified
            ).columns()
            if times
            else {}
        )
    known = reliability[[name for name in reliability if not str(name).startswith("contour_")]]
    return tables.RELIABILITY.conform(pd.concat([known.reset_index(drop=True), pd.DataFrame(told)], axis=1))
