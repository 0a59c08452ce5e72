"""Millimetres per pixel of one image: from the region of the lesion, the rest of the header, or the source's table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode, QualityFlag, SpacingSource
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, require_same_grid
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.regions import IMAGE_TYPES, PLAUSIBLE_SPACING_MM, TISSUE, TOLERANCE, TWO_D, Region, agree, in_mm
from usdlr.ingest.source import Note

Box = tuple[int, int, int, int]

# A contour may cross its region's edge by a rounding; with less inside, it belongs to something else.
MIN_INSIDE = 0.95
# A pane that somebody states may be drawn a little larger or smaller than the region it means.
MIN_SHARED = 0.5


@dataclass(frozen=True)
class SpacingResult:
    """Millimetres per pixel, and where they come from.

    Parameters
    ----------
    spacing : Spacing or None
        ``None`` when nothing believable states it.
    source : SpacingSource
        ``NONE`` when there is no spacing.
    region : Region or None
        The calibrated region of the lesion or of the pane.
    notes : tuple of Note
        Reservations.
    """

    spacing: Spacing | None
    source: SpacingSource
    region: Region | None = None
    notes: tuple[Note, ...] = ()


def resolve_spacing(
    frame: SourceFrame,
    *,
    mask: BoolArray | None,
    pane: Box | None,
    stated_mm: tuple[float, float] | None,
    stated_source: SpacingSource,
) -> SpacingResult:
    """Millimetres per pixel of the lesion's image.

    In this order: the ultrasound region of the lesion or of the stated pane; PixelSpacing and ImagerPixelSpacing, both
    with a reservation, because ultrasound scanners rarely maintain them; what the source's table states.

    - A region that cannot be believed voids the header's whole calibration; only the table calibrates then.
    - A region beats a PixelSpacing that disagrees with it; the disagreement is noted.
    - A table that disagrees with the header by more than 1 % is refused, whichever of the two is right.
    - Exactly 1 x 1 mm outside a region is what writers put in when they do not know; it counts as no statement.
    - Where a header calibrates panes, it says nothing about pixels outside them.

    Parameters
    ----------
    frame : SourceFrame
        One frame with what its header says.
    mask : bool array, (rows, columns), or None
        The lesion on the whole frame.
    pane : tuple of int or None
        ``(row, column, rows, columns)`` of the pane that is meant.
    stated_mm : tuple of float or None
        ``(row_mm, col_mm)`` as the source's table states them.
    stated_source : SpacingSource
        What that statement is called in the result.

    Raises
    ------
    CaseError
        ``mask_outside_region``: the contour is not in one calibrated region, or not in the pane.
        ``spacing_contradictory``: two statements disagree. ``spacing_missing``: the table's value is no length.
        ``spacing_absurd``: the table's value is implausible and there is no lesion whose size would show it.
        ``frame_unstated``: several calibrated panes, and neither a contour nor a pane says which is meant.
        ``mask_size_mismatch``, ``mask_empty``: the contour itself.
    """
    if mask is not None:
        _require_usable(mask, frame, pane)
    header = _header(frame, mask, pane)
    stated = None if stated_mm is None else Spacing(*stated_mm)
    if stated is None:
        return header
    if header.spacing is not None:
        if not agree(header.spacing, stated):
            raise CaseError(
                ExclusionCode.SPACING_CONTRADICTORY,
                f"found {in_mm(header.spacing)} in the image file ({header.source}) and {in_mm(stated)} in the table, "
                f"expected the same within {TOLERANCE:.0%}; correct the table, or leave its spacing empty",
            )
        return header
    if mask is None and not _plausible(stated):
        low, high = PLAUSIBLE_SPACING_MM
        raise CaseError(
            ExclusionCode.SPACING_ABSURD,
            f"found {in_mm(stated)} in the table, expected {low:g} to {high:g}; check its unit",
        )
    source = SpacingSource.MANIFEST if stated_source is SpacingSource.NONE else stated_source
    return replace(header, spacing=stated, source=source)


def panes(regions: Sequence[Region]) -> tuple[Region, ...]:
    """The calibrated pictures of one frame, each of which is an image of its own.

    Rows of panes from top to bottom, and within a row from left to right. Only 2-D tissue or colour flow with a
    spacing; a region within another of the same spacing (the colour box on its tissue, a duplicate) is part of it.

    Raises
    ------
    CaseError
        With the code ``spacing_contradictory``: one place has two calibrations.
    """
    found: list[Region] = []
    for region in sorted(filter(_shows_space, regions), key=lambda item: (-item.rows * item.cols, item.data_type)):
        if not any(_part_of(region, whole) for whole in found):
            found.append(region)
    return tuple(_in_reading_order(found))


def region_of(regions: Sequence[Region], mask: BoolArray) -> Region | None:
    """The calibrated region that holds a lesion; ``None`` when no region is calibrated.

    Parameters
    ----------
    regions : sequence of Region
        All regions of the frame.
    mask : bool array, (rows, columns)
        The lesion on the whole frame; not empty.

    Raises
    ------
    CaseError
        ``mask_outside_region``: less than 95 % of the lesion is in one calibrated region. ``spacing_contradictory``:
        a part of it is in another region with another spacing.
    """
    calibrated = panes(regions)
    if not calibrated:
        return None
    shares = [_share(mask, region.box) for region in calibrated]
    best = max(range(len(calibrated)), key=lambda index: (shares[index], calibrated[index].data_type == TISSUE))
    if shares[best] < MIN_INSIDE:
        raise CaseError(
            ExclusionCode.MASK_OUTSIDE_REGION,
            f"found {shares[best]:.0%} of the contour inside a calibrated ultrasound region, expected at least "
            f"{MIN_INSIDE:.0%}; check that it was drawn on this image, or state the pane and its spacing",
        )
    touched = [region for region, share in zip(calibrated, shares, strict=True) if share > 1 - MIN_INSIDE]
    return _agreeing(calibrated[best], touched, "under the contour")


def region_of_pane(regions: Sequence[Region], pane: Box) -> Region | None:
    """The calibrated region that a stated pane means; ``None`` when the header does not calibrate it.

    Parameters
    ----------
    regions : sequence of Region
        All regions of the frame.
    pane : tuple of int
        ``(row, column, rows, columns)``.

    Raises
    ------
    CaseError
        With the code ``spacing_contradictory``: regions with different spacings are in the pane.
    """
    calibrated = panes(regions)
    for region in (*calibrated, *filter(_shows_space, regions)):
        if region.box == pane:
            return region
    area = pane[2] * pane[3]
    touched = [region for region in calibrated if _overlap(region.box, pane) > (1 - MIN_INSIDE) * area]
    if not touched:
        return None
    best = max(touched, key=lambda region: _overlap(region.box, pane))
    if _overlap(best.box, pane) < MIN_SHARED * min(area, best.rows * best.cols):
        return None
    return _agreeing(best, touched, "in the pane")


def _agreeing(best: Region, touched: Sequence[Region], where: str) -> Region:
    for other in touched:
        if best.spacing and other.spacing and not agree(best.spacing, other.spacing):
            raise CaseError(
                ExclusionCode.SPACING_CONTRADICTORY,
                f"found ultrasound regions with {in_mm(best.spacing)} and {in_mm(other.spacing)} {where}, expected "
                "one; state the pane of one of them",
            )
    return best


def _require_usable(mask: BoolArray, frame: SourceFrame, pane: Box | None) -> None:
    require_same_grid(frame.shape, (mask.shape[0], mask.shape[1]), "mask")
    if not mask.any():
        raise CaseError(
            ExclusionCode.MASK_EMPTY,
            "found a contour without a single pixel, expected the lesion's outline filled; draw it again",
        )
    if pane is not None and _share(mask, pane) < MIN_INSIDE:
        raise CaseError(
            ExclusionCode.MASK_OUTSIDE_REGION,
            f"found {_share(mask, pane):.0%} of the contour inside its pane, expected at least {MIN_INSIDE:.0%}; "
            "check which pane the lesion was outlined on",
        )


def _header(frame: SourceFrame, mask: BoolArray | None, pane: Box | None) -> SpacingResult:
    """What the file itself says, without the source's table."""
    if frame.refused:
        return _nothing(
            f"{'; '.join(frame.refused)}; the header does not fit the pixels and none of its calibration is used"
        )
    region = _region(frame, mask, pane)
    if region is not None and region.spacing is not None:
        return _from_region(region, region.spacing, frame)
    if panes(frame.regions):
        return _nothing("found calibrated panes in the image, but not where the stated pane is; it has no calibration")
    return _from_attributes(frame)


def _region(frame: SourceFrame, mask: BoolArray | None, pane: Box | None) -> Region | None:
    if pane is not None:
        meant = region_of_pane(frame.regions, pane)
        if meant is None or mask is None or meant.box == pane:
            return meant
        # A pane drawn around its region, or around two: what lies under the lesion counts.
        return region_of(frame.regions, mask)
    if mask is not None:
        return region_of(frame.regions, mask)
    found = panes(frame.regions)
    if len(found) > 1:
        raise CaseError(
            ExclusionCode.FRAME_UNSTATED,
            f"found {len(found)} calibrated panes in the image and neither a contour nor a pane stated, expected one "
            "of them; state the pane",
        )
    return found[0] if found else None


def _from_region(region: Region, spacing: Spacing, frame: SourceFrame) -> SpacingResult:
    notes = []
    if region.clipped:
        notes.append(
            Note(
                QualityFlag.REGION_CLIPPED,
                f"found the ultrasound region one pixel past the image and clipped it to {region.rows} x {region.cols} "
                "pixels (rows x columns)",
            )
        )
    for name, _, other in _attributes(frame):
        if not agree(spacing, other):
            notes.append(
                Note(
                    QualityFlag.SPACING_LOW_TRUST,
                    f"found {in_mm(spacing)} in the ultrasound region and {in_mm(other)} in {name}; the region is used",
                )
            )
    return SpacingResult(spacing, SpacingSource.DICOM_REGION, region, tuple(notes))


def _from_attributes(frame: SourceFrame) -> SpacingResult:
    notes: tuple[Note, ...] = ()
    for name, source, spacing in _attributes(frame):
        if spacing.as_tuple() == (1.0, 1.0) or not _plausible(spacing):
            low, high = PLAUSIBLE_SPACING_MM
            refusal = _nothing(
                f"found {in_mm(spacing)} in {name}, expected {low:g} to {high:g} and not the 1 x 1 of files without "
                "calibration; it is not used"
            )
            notes += refusal.notes
            continue
        why = "which no ultrasound region confirms" if frame.format == "DICOM" else "which converters often invent"
        trust = Note(QualityFlag.SPACING_LOW_TRUST, f"found the spacing only in {name}, {why}; check it")
        return SpacingResult(spacing, source, None, (*notes, trust))
    return SpacingResult(None, SpacingSource.NONE, None, notes)


def _attributes(frame: SourceFrame) -> Iterator[tuple[str, SpacingSource, Spacing]]:
    """What the file states beside its regions: words, source, value."""
    if frame.pixel_spacing is not None:
        name = "PixelSpacing" if frame.format == "DICOM" else f"the {frame.format} header"
        yield name, SpacingSource.PIXEL_SPACING, frame.pixel_spacing
    if frame.imager_pixel_spacing is not None:
        yield "ImagerPixelSpacing", SpacingSource.IMAGER_PIXEL_SPACING, frame.imager_pixel_spacing


def _nothing(why: str) -> SpacingResult:
    return SpacingResult(None, SpacingSource.NONE, None, (Note(QualityFlag.CALIBRATION_REFUSED, why),))


def _plausible(spacing: Spacing) -> bool:
    low, high = PLAUSIBLE_SPACING_MM
    return all(low <= value <= high for value in spacing.as_tuple())


def _shows_space(region: Region) -> bool:
    return region.spacing is not None and region.spatial_format == TWO_D and region.data_type in IMAGE_TYPES


def _part_of(region: Region, whole: Region) -> bool:
    if region.spacing is None or whole.spacing is None:
        return False
    if agree(region.spacing, whole.spacing):
        return _overlap(region.box, whole.box) >= MIN_INSIDE * region.rows * region.cols
    if region.box == whole.box:
        raise CaseError(
            ExclusionCode.SPACING_CONTRADICTORY,
            f"found {in_mm(whole.spacing)} and {in_mm(region.spacing)} for one ultrasound region, expected one; "
            "export the image again",
        )
    return False


def _overlap(one: Box, other: Box) -> int:
    """Pixels that two boxes share."""
    rows = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    cols = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(rows, 0) * max(cols, 0)


def _share(mask: BoolArray, box: Box) -> float:
    """Share of a mask's pixels inside a box."""
    row, col, rows, cols = box
    inside = mask[max(row, 0) : max(row + rows, 0), max(col, 0) : max(col + cols, 0)]
    return float(np.count_nonzero(inside) / np.count_nonzero(mask))


def _in_reading_order(regions: Sequence[Region]) -> Iterator[Region]:
    """Panes beside each other may start at slightly different rows: what has its middle beside the top one is a row."""
    left = sorted(regions, key=lambda region: (region.row, region.col))
    while left:
        bottom = left[0].row + left[0].rows
        line = [region for region in left if region.row + region.rows / 2 < bottom]
        yield from sorted(line, key=lambda region: (region.col, region.row))
        left = [region for region in left if region not in line]
