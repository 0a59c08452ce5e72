"""From a prediction's tables and an image's pixels to the records of a review: no number is rounded or worked anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import expit

from usdlr.core.columns import CASES, PROXY_PREFIX, STRING
from usdlr.core.errors import CaseError
from usdlr.core.modalities import BMODE, ELASTO, MODALITIES
from usdlr.core.types import MaskSource, RiskGroup, Site, SpacingSource, Stage
from usdlr.decision import wording
from usdlr.imaging.image import BoolArray
from usdlr.imaging.mask import measure
from usdlr.imaging.rings import Ring, peritumoral_ring
from usdlr.imaging.store import CaseImages
from usdlr.inference.bundle import Bundle
from usdlr.inference.case_notes import Key, axilla_rows, axilla_warnings
from usdlr.inference.predictor import Prediction
from usdlr.report.tables import quality_words
from usdlr.review.outlines import Outlines, calipers, length_mm, outlines_of
from usdlr.review.records import Answered, ImageRecord, ModelRecord, Point, StageValue
from usdlr.review.words import mm_text, probability_text

STEP_KPA: Final = 50.0
"""Colour bars of stiffness end at a multiple of this."""
_PATHS: Final = {**{name: one.path_column for name, one in MODALITIES.items()}, "mask": "mask_path", "fov": "fov_path"}
_OUTCOMES: Final = frozenset(column.name for column in CASES if column.endpoint and not column.pattern)


@dataclass(frozen=True)
class Seen:
    """What is drawn and measured on one image; plain numbers.

    Parameters
    ----------
    rows, columns : int
        Of its grid.
    contour, ring : outlines
        Of the lesion, and the outer edge of the ring; empty without a contour.
    calipers : tuple of tuple of Point
        Empty without a contour or without millimetres.
    diameter_mm, orthogonal_mm : float or None
        Lengths of the calipers.
    features : tuple of (str, str)
        Measured values, name and value with unit.
    highest : float or None
        Largest value of the elastography map; ``None`` without one.
    """

    rows: int
    columns: int
    contour: Outlines = ()
    ring: Outlines = ()
    calipers: tuple[tuple[Point, ...], ...] = ()
    diameter_mm: float | None = None
    orthogonal_mm: float | None = None
    features: tuple[tuple[str, str], ...] = ()
    highest: float | None = None


def model_record(bundle: Bundle) -> ModelRecord:
    """What pages say of the model.

    Parameters
    ----------
    bundle : Bundle
        The model.
    """
    card, contract = bundle.card, bundle.member.contract
    proxies = {Stage(name): text for name, text in card["proxies"].items() if text}
    return ModelRecord(
        bundle_id=bundle.bundle_id,
        digest=bundle.digest,
        experiment=str(card.get("experiment", "")),
        simulated=bool(card["simulated"]),
        cohort=wording.cohort_line(card["cohort"]),
        contract=tuple(wording.contract_lines(contract, known_nsln=wording.known_nsln(proxy=Stage.NSLN in proxies))),
        contract_status=str(contract.status),
        proxies=tuple(wording.proxy_notice(stage, text) for stage, text in proxies.items()),
        margin_mm=float(bundle.preparation.radiomics.margin_mm),
        modalities=tuple(bundle.preparation.network.modalities),
    )


def answered(prediction: Prediction, key: Key, rows: pd.DataFrame, seen: Mapping[str, Seen]) -> Answered:
    """What the model says of one axilla.

    Parameters
    ----------
    prediction : Prediction
        Of a cohort, the axilla's among them.
    key : tuple of (str, str)
        Patient and side.
    rows : DataFrame
        All of its rows of ``cases``, those that could not be used among them.
    seen : mapping of str to Seen
        By image id; images that cannot be shown are not there.
    """
    decision = axilla_rows(prediction.decisions, key).iloc[0]
    predicted = {str(row["stage"]): row for row in axilla_rows(prediction.predictions, key).to_dict("records")}
    told = axilla_rows(prediction.reliability, key)
    known: Mapping[str, Any] = {} if told.empty else {str(name): value for name, value in told.iloc[0].items()}
    reached = Stage(decision["stage_reached"])
    stages = tuple(
        StageValue(
            stage=stage,
            probability=float(predicted[str(stage)]["probability"]),
            threshold=float(decision[f"t_{stage}"]),
            low=float(expit(predicted[str(stage)]["logit_low"])),
            high=float(expit(predicted[str(stage)]["logit_high"])),
            reached=stage is Stage.SLN or reached is Stage.NSLN,
            conformal=_ends(known, f"conformal_low_{stage}", f"conformal_high_{stage}"),
            contour=_ends(known, f"contour_low_{stage}", f"contour_high_{stage}"),
        )
        for stage in Stage
    )
    excluded = axilla_rows(prediction.exclusions, key)
    used = rows[~rows["image_id"].isin(list(excluded["source_id"]))]
    centre = str(rows["centre_id"].iloc[0])
    warnings = axilla_warnings(prediction, key, centre if centre in prediction.foreign_centres else None)
    flags = dict.fromkeys(flag for text in used["quality_flags"].dropna() for flag in str(text).split())
    tumour = [seen[name] for name in used["image_id"][used["site"] == str(Site.TUMOUR)].map(str) if name in seen]
    largest = max(tumour, key=lambda one: one.diameter_mm or 0.0, default=None)
    return Answered(
        group=RiskGroup(decision["risk_group"]),
        stage_reached=reached,
        contract=str(decision["contract"]),
        reason=str(decision["reason"]),
        stages=stages,
        warnings=tuple(warnings),
        flags=tuple(quality_words(flag) for flag in flags),
        left_out=tuple(_nameless(str(row["sentence"]), rows) for _, row in excluded.iterrows()),
        diameter_mm=None if largest is None else largest.diameter_mm,
        orthogonal_mm=None if largest is None else largest.orthogonal_mm,
        features=() if largest is None else largest.features,
    )


def seen_on(images: CaseImages, row: Mapping[str, Any], margin_mm: float) -> Seen:
    """What is drawn and measured on an image with a contour.

    Parameters
    ----------
    images : CaseImages
        Its pixels.
    row : mapping
        Its row of ``cases``.
    margin_mm : float
        Width of the ring.
    """
    mask = images.mask
    in_mm = mask.spacing is not None and str(row["spacing_source"]) != str(SpacingSource.LESION_RELATIVE)
    try:
        ring = None if mask.spacing is None else peritumoral_ring(mask, margin_mm, images.fov)
    except CaseError:  # nothing of it is inside the field of view; the prediction says so
        ring = None
    lines = calipers(mask) if in_mm else ()
    lengths = [length_mm(line, mask.spacing) for line in lines] if mask.spacing is not None else []
    return Seen(
        rows=mask.shape[0],
        columns=mask.shape[1],
        contour=outlines_of(mask.pixels),
        ring=() if ring is None else outlines_of(ring.pixels | mask.pixels),
        calipers=lines,
        diameter_mm=measure(mask).longest_diameter_mm if in_mm else None,
        orthogonal_mm=lengths[1] if lengths else None,
        features=tuple(_features(images, ring, row, in_mm=in_mm)),
        highest=_highest(images),
    )


def image_record(
    row: Mapping[str, Any], seen: Seen, *, token: str, number: int, root: str, limit: float | None
) -> ImageRecord:
    """One image set for a viewer.

    Parameters
    ----------
    row : mapping
        Its row of ``cases``.
    seen : Seen
        What is drawn on it.
    token : str
        Names it in addresses.
    number : int
        Within its axilla, from 1.
    root : str
        Folder of the cases table.
    limit : float or None
        Upper end of the colour bar.
    """
    source = SpacingSource(row["spacing_source"])
    in_mm = source is not SpacingSource.LESION_RELATIVE
    paths = {kind: str(row[column]) for kind, column in _PATHS.items() if not pd.isna(row.get(column))}
    unit = row.get("elasto_unit")
    return ImageRecord(
        token=token,
        image_id=str(row["image_id"]),
        number=number,
        site=Site(row["site"]),
        view="" if pd.isna(row["view"]) else str(row["view"]),
        rows=seen.rows,
        columns=seen.columns,
        row_mm=_length(row["row_mm"]) if in_mm else None,
        col_mm=_length(row["col_mm"]) if in_mm else None,
        spacing_source=source,
        mask_source=None if not seen.contour or pd.isna(row["mask_source"]) else MaskSource(row["mask_source"]),
        modalities=tuple(name for name in MODALITIES if name in paths),
        unit="" if ELASTO not in paths or pd.isna(unit) else _unit(str(unit)),
        limit=limit if ELASTO in paths else None,
        paths=paths,
        root=root,
        contour=seen.contour,
        ring=seen.ring,
        calipers=seen.calipers,
        row=plain_row(row),
    )


def bar_end(seen: Sequence[Seen], units: Sequence[Any]) -> float | None:
    """Upper end of the colour bar that an axilla's maps share: the largest value, rounded up to 50 kPa.

    Parameters
    ----------
    seen : sequence of Seen
        Of its images.
    units : sequence of str
        Of its maps; a relative one ends at 100 %, one in m/s at a multiple of 5.

    Examples
    --------
    >>> bar_end([Seen(4, 4, highest=112.5), Seen(4, 4, highest=31.0)], ["kPa", "kPa"])
    150.0
    """
    values = [one.highest for one in seen if one.highest is not None]
    if not values:
        return None
    if "relative" in units:
        return 100.0
    step = STEP_KPA if "m/s" not in units else 5.0
    return max(step, step * math.ceil(max(values) / step))


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of ``cases`` as plain data without any outcome: what a review holds must not tell what was found later.

    Parameters
    ----------
    row : mapping
        Its columns.

    Examples
    --------
    >>> plain_row({"age_years": np.float64(54.5), "view": float("nan"), "sln_positive": True})
    {'age_years': 54.5, 'view': None}
    """
    out: dict[str, Any] = {}
    for name, value in row.items():
        if name in _OUTCOMES or str(name).startswith(PROXY_PREFIX):
            continue
        out[str(name)] = None if pd.isna(value) else value.item() if isinstance(value, np.generic) else value
    return out


def _features(images: CaseImages, ring: Ring | None, row: Mapping[str, Any], *, in_mm: bool) -> list[tuple[str, str]]:
    """A few measured values of the lesion, of the image's own pixels."""
    out = []
    if in_mm:
        size = measure(images.mask)
        out.append(("Height × width", f"{size.box_height_mm:.1f} × {mm_text(size.box_width_mm)}"))
        out.append(("Area", f"{size.area_mm2:.0f} mm²"))
    stiffness = images.images.get(ELASTO)
    if stiffness is not None:
        unit = _unit(str(row["elasto_unit"]))
        places: list[tuple[str, BoolArray]] = [("contour", images.mask.pixels)]
        places += [] if ring is None else [("ring", ring.pixels)]
        for name, place in places:
            values = stiffness.pixels[place]
            values = values[np.isfinite(values)]
            if values.size:
                out.append((f"Mean stiffness in the {name}", f"{float(values.mean(dtype=np.float64)):.1f} {unit}"))
    grey = images.images.get(BMODE)
    if grey is not None and ring is not None and ring.lost_fraction > 0:
        out.append(("Ring outside the field of view", probability_text(ring.lost_fraction)))
    return out


def _highest(images: CaseImages) -> float | None:
    stiffness = images.images.get(ELASTO)
    if stiffness is None or not np.isfinite(stiffness.pixels).any():
        return None if stiffness is None else 0.0
    return float(np.nanmax(stiffness.pixels))


def _ends(known: Mapping[str, Any], low: str, high: str) -> tuple[float, float] | None:
    ends: tuple[Any, Any] = known.get(low), known.get(high)
    return None if any(pd.isna(end) for end in ends) else (float(ends[0]), float(ends[1]))


def _length(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _unit(unit: str) -> str:
    return "%" if unit == "relative" else unit


def _nameless(sentence: str, rows: pd.DataFrame) -> str:
    """A reason without the names of files and images, which may hold a patient's."""
    columns = [column.name for column in CASES if column.name.endswith("_path") and column.dtype == STRING]
    for _, row in rows.iterrows():
        for column in columns:
            value = row.get(column)
            if not pd.isna(value):
                kind = column.removesuffix("_path").replace("_", " ")
                for name in (str(value), str(value).rsplit("/", 1)[-1]):
                    sentence = sentence.replace(name, f"the {kind} file")
        sentence = sentence.replace(str(row["image_id"]), "the image")
    return sentence
