"""An axilla predicted or explained anew, with contours and a choice of images of a reader; runs in a worker process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from usdlr.core import tables
from usdlr.core.columns import PATHS
from usdlr.core.errors import CaseError, DataError
from usdlr.core.pool import one_thread
from usdlr.core.row_rules import OF_SOFTWARE
from usdlr.core.types import ExclusionCode, MaskSource, QualityFlag, Site, SpacingSource
from usdlr.core.units import Spacing
from usdlr.decision.wording_review import AUTOMATIC_CONTOUR, reader_left_out, size_kept_sentence
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.relative import relative_spacing
from usdlr.imaging.store import case_in_memory, mask_to_png, read_png
from usdlr.inference.automatic import reason_of_contours
from usdlr.inference.bundle import Bundle
from usdlr.inference.loaded import LoadedCase, PreparedCase, assemble, engine_of, load_case, prepare_one
from usdlr.inference.predictor import Prepared, cohort_of, exclusion_table, predict_prepared
from usdlr.inference.scale import require_same_scale
from usdlr.ingest.preparation import require_lesion_seen
from usdlr.review.answering import Seen, answered, image_record, seen_on
from usdlr.review.load import require_inside
from usdlr.review.outlines import Outlines, drawn_mask, mask_of, outlines_of
from usdlr.review.records import Answered, AxillaRecord, ImageRecord
from usdlr.review.warming import warm_case

# What a flag said of the contour that was there before.
_OF_CONTOUR: Final = {
    str(flag)
    for flag in (
        QualityFlag.MASK_REPAIRED,
        QualityFlag.MASK_CLIPPED,
        QualityFlag.MASK_OUTSIDE_FOV,
        QualityFlag.MASK_IS_BOX,
        QualityFlag.MASK_ABSENT,
        QualityFlag.MASK_AUTOMATIC,
        QualityFlag.CONTOUR_UNREADABLE,
    )
}
# A redrawn contour that differs less from the stated size is no news.
SIZE_MM: Final = 1.0
_DRAWN: Final = "drawn"


class What(StrEnum):
    """What is asked of the process that holds a bundle."""

    WARM = "warm"
    PREDICT = "predict"
    EXPLAIN = "explain"


@dataclass(frozen=True)
class Request:
    """One question.

    Parameters
    ----------
    what : What
        Of which kind.
    record : AxillaRecord, optional
        The axilla as loaded.
    outlines : mapping of str to outlines
        Redrawn contours by image token, checked.
    used : tuple of str
        Tokens of the images that count; empty: all.
    """

    what: What
    record: AxillaRecord | None = None
    outlines: Mapping[str, Outlines] = field(default_factory=dict)
    used: tuple[str, ...] = ()


@dataclass(frozen=True)
class Redrawn:
    """The answer to other contours or fewer images.

    Parameters
    ----------
    answer : Answered
        What the model says then.
    images : tuple of ImageRecord
        All images of the axilla, with the contours, rings and calipers that count then; tokens stay.
    """

    answer: Answered
    images: tuple[ImageRecord, ...]


@dataclass(frozen=True, eq=False)
class Anew:
    """An axilla's images as they count now, read and prepared.

    Parameters
    ----------
    cases : DataFrame
        Rows of ``cases`` of the images that count.
    prepared : Prepared
        Those that can be used, as the model reads them.
    loaded : mapping of str to LoadedCase
        Images that could be read, by image id.
    redrawn : tuple of str
        Tokens of the images whose contour is another than the loaded one.
    """

    cases: pd.DataFrame
    prepared: Prepared
    loaded: Mapping[str, LoadedCase]
    redrawn: tuple[str, ...]


def predict_anew(bundle: Bundle, request: Request, on_uncertified: Any) -> Redrawn:
    """Predict an axilla with a reader's contours and choice of images.

    Parameters
    ----------
    bundle : Bundle
        The model.
    request : Request
        With the axilla.
    on_uncertified : OnUncertified or None
        Instead of the bundle's own choice.

    Raises
    ------
    InputError
        If nothing is left to answer.
    """
    record = request.record
    assert record is not None
    anew = take_anew(bundle, request)
    margin = bundle.preparation.radiomics.margin_mm
    seen = {name: seen_on(case.images, case.row, margin) for name, case in anew.loaded.items()}
    tokens = {image.image_id: image for image in record.images}
    images = tuple(
        image_record(
            anew.loaded[image.image_id].row,
            seen[image.image_id],
            token=image.token,
            number=image.number,
            root=image.root,
            limit=image.limit,
        )
        if image.token in request.outlines and image.image_id in seen
        else image
        for image in record.images
    )
    # The row is what is predicted anew the next time: contours go beside it.
    images = tuple(
        replace(image, row=tokens[image.image_id].row, paths=tokens[image.image_id].paths) for image in images
    )
    all_used = not request.used or set(request.used) == {image.token for image in record.images}
    if all_used and not anew.redrawn:
        if not request.outlines:
            return Redrawn(record.answer, images)
        automatic = (anew.cases["mask_source"] == str(MaskSource.AUTOMATIC)).any()
        kept = (one for one in record.answer.warnings if automatic or one != AUTOMATIC_CONTOUR)
        reason = reason_of_contours(record.answer.reason, anew.prepared.cases)
        return Redrawn(replace(record.answer, reason=reason, warnings=tuple(kept)), images)
    found = predict_prepared(bundle, anew.prepared, on_uncertified=on_uncertified)
    answer = answered(found, (record.patient_id, str(record.side)), anew.cases, seen)
    left = () if all_used else tuple(one.number for one in record.images if one.token not in request.used)
    warnings = [*answer.warnings, *_size_kept(bundle, record, anew, seen)]
    left_out = (*answer.left_out, *map(reader_left_out, left))
    return Redrawn(replace(answer, warnings=tuple(warnings), left_out=left_out), images)


def take_anew(bundle: Bundle, request: Request) -> Anew:
    """Read and prepare the images of an axilla as they count now.

    Parameters
    ----------
    bundle : Bundle
        The model.
    request : Request
        With the axilla.

    Raises
    ------
    DataError
        If no image can be used, a token is unknown, or a file is another than the one that was loaded.
    CaseError
        If a contour is no lesion's.
    """
    record = request.record
    assert record is not None
    _require_known(record, [*request.outlines, *request.used])
    used = [image for image in record.images if not request.used or image.token in request.used]
    masks: dict[str, LesionMask] = {}
    redrawn = []
    for image in used:
        if image.token not in request.outlines:
            continue
        drawn = request.outlines[image.token]
        shape = (image.rows, image.columns)
        if image.contour and np.array_equal(mask_of(drawn, shape), mask_of(image.contour, shape)):
            continue
        masks[image.image_id] = drawn_mask(drawn, shape, _spacing(image), in_mm=image.row_mm is not None)
        redrawn.append(image.token)
    by_id = {image.image_id: image for image in used}
    cases = tables.CASES.conform(pd.DataFrame([_row(image, request) for image in used]))
    for root in {image.root for image in used}:
        require_inside(cases[[by_id[str(name)].root == root for name in cases["image_id"]]], Path(root).resolve())
    loaded: dict[str, LoadedCase] = {}
    failed: dict[str, CaseError] = {}
    for row in ({str(name): value for name, value in one.items()} for one in cases.to_dict("records")):
        name = str(row["image_id"])
        try:
            loaded[name] = _loaded(row, by_id[name], masks.get(name), bundle.preparation.relative_diameter)
        except CaseError as error:
            if name in masks:  # what is wrong with a contour that somebody just drew must be said, not noted
                raise
            failed[name] = error
    cases = _in_place(cases, loaded)
    return Anew(cases, _prepared(bundle, cases, loaded, failed, masks), loaded, tuple(redrawn))


def warm_up(bundle: Bundle) -> bool:
    """Predict something once, so that the first reader does not wait for libraries; whether that was possible.

    Parameters
    ----------
    bundle : Bundle
        The model.
    """
    try:
        case = warm_case(bundle.preparation)
        cases = pd.DataFrame([dict(case.row)])
        prepared = _prepared(bundle, cases, {case.image_id: case}, {}, {})
        seen_on(case.images, case.row, bundle.preparation.radiomics.margin_mm)
        predict_prepared(bundle, prepared, on_uncertified=None)
    except (DataError, CaseError):  # a model for other patients than this made-up one
        return False
    return True


def _prepared(
    bundle: Bundle,
    cases: pd.DataFrame,
    loaded: Mapping[str, LoadedCase],
    failed: Mapping[str, CaseError],
    masks: Mapping[str, LesionMask],
) -> Prepared:
    """As :func:`usdlr.inference.stream.predict_stream` prepares a chunk, from memory."""
    preparation = bundle.preparation
    read, reasons = cohort_of(preparation, cases)
    drawn = {name: case.images.mask for name, case in loaded.items()}
    there = read[read["image_id"].isin(list(drawn))]
    require_same_scale(there, Path(), preparation.relative_diameter, masks=drawn)
    engine = engine_of(preparation)
    parts = {}
    with one_thread():
        for name in map(str, read["image_id"]):
            parts[name] = (
                PreparedCase(None, (), failed[name])
                if name in failed
                else prepare_one(preparation, loaded[name], engine)
            )
            failure = parts[name].failure
            if failure is not None and name in masks:
                raise failure
    found = assemble(preparation, read, parts, measured=engine is not None)
    exclusions = pd.concat([exclusion_table(cases, reasons, "cohort"), found.exclusions], ignore_index=True)
    if found.cases.empty:
        first = exclusions.iloc[0]
        raise DataError(f"found no usable image among {len(cases)}; the first is {first['code']}: {first['sentence']}")
    return Prepared(found.cases, found.store, found.design, tables.EXCLUSIONS.conform(exclusions))


def _loaded(row: Mapping[str, Any], image: ImageRecord, mask: LesionMask | None, diameter: float | None) -> LoadedCase:
    """One image's pixels; with a redrawn contour, as if a file held it."""
    root = Path(image.root)
    if mask is None:
        case = load_case(row, root)
        if outlines_of(case.images.mask.pixels) != image.contour:
            raise DataError(
                f"found the contour file of image {image.number} changed since it was loaded, expected the same; load "
                "the cases again"
            )
        return case
    row = dict(row) | {"mask_path": _DRAWN}
    if diameter is not None:
        known = None if pd.isna(row["row_mm"]) else Spacing(float(row["row_mm"]), float(row["col_mm"]))
        units = relative_spacing(LesionMask(mask.pixels, known), diameter)
        row |= {"row_mm": units.row_mm, "col_mm": units.col_mm, "spacing_source": str(SpacingSource.LESION_RELATIVE)}
    codes = ExclusionCode.IMAGE_MISSING, ExclusionCode.IMAGE_UNREADABLE
    names = [str(row[one.name]) for one in PATHS if one.name not in ("mask_path", "strain_path")
             and not pd.isna(row.get(one.name))]  # fmt: skip
    files = {name: read_png(root / name, *codes) for name in names}
    images = case_in_memory(row, files | {_DRAWN: mask_to_png(mask.pixels)})
    notes: list[Any] = []
    require_lesion_seen(mask.pixels, images.fov, notes)
    flags = [] if pd.isna(row["quality_flags"]) else str(row["quality_flags"]).split()
    flags = [flag for flag in flags if flag not in _OF_CONTOUR] + [str(note.code) for note in notes]
    return LoadedCase(row | {"quality_flags": " ".join(flags) or None}, images)


def _row(image: ImageRecord, request: Request) -> dict[str, Any]:
    """The image's row of ``cases``, with a reader's contour where one was drawn or taken over."""
    row = dict(image.row)
    if not row:
        raise DataError("found an image set without its row of the cases table, expected one; load the cases again")
    if image.token in request.outlines:
        row |= {"mask_source": str(MaskSource.READER), "reader_id": None} | dict.fromkeys(OF_SOFTWARE)
    return row


def _in_place(cases: pd.DataFrame, loaded: Mapping[str, LoadedCase]) -> pd.DataFrame:
    """The table with what reading changed of its rows, so that both say the same."""
    rows = [dict(loaded[str(row["image_id"])].row) if str(row["image_id"]) in loaded else row
            for row in cases.to_dict("records")]  # fmt: skip
    return tables.CASES.conform(pd.DataFrame(rows))


def _size_kept(bundle: Bundle, record: AxillaRecord, anew: Anew, seen: Mapping[str, Seen]) -> list[str]:
    """Says where a redrawn tumour no longer has the size that the model was told."""
    stated = record.row.get("tumour_size_mm")
    redrawn = [
        image.image_id for image in record.images if image.site is Site.TUMOUR and image.token in set(anew.redrawn)
    ]
    lengths = [seen[name].diameter_mm for name in redrawn if name in seen]
    # The axilla's largest contour may be one that nobody touched.
    measured = max((length for length in lengths if length is not None), default=None)
    if stated is None or measured is None or "tumour_size_mm" not in bundle.preparation.clinical:
        return []
    if abs(stated - measured) < SIZE_MM:
        return []
    return [size_kept_sentence(float(stated), measured)]


def _require_known(record: AxillaRecord, tokens: Sequence[str]) -> None:
    if set(tokens) - {image.token for image in record.images}:
        raise DataError("found an image that is not of this axilla, expected one of its images; reload the page")


def _spacing(image: ImageRecord) -> Spacing | None:
    row, col = image.row.get("row_mm"), image.row.get("col_mm")
    return None if row is None or col is None else Spacing(float(row), float(col))
