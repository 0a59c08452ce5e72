"""What is checked and prepared on a case's pixels before they become canonical files; each step may leave a note."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError
from usdlr.core.types import BurnedIn, ExclusionCode, FovSource, QualityFlag, SpacingSource
from usdlr.core.units import Spacing
from usdlr.imaging.burned_in import clean, find_text, touched_fraction
from usdlr.imaging.fov import detect_fov
from usdlr.imaging.image import BoolArray, require_same_grid
from usdlr.imaging.intensity import is_tinted
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.relative import relative_spacing
from usdlr.imaging.repair import repair
from usdlr.imaging.store import read_mask
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.source import Note, SourceRow
from usdlr.ingest.spacing import SpacingResult

Box = tuple[int, int, int, int]

# Rounding at a pane's edge may cost a pixel; more than this share of a lesion outside its pane is another image's.
MAX_CLIPPED = 0.05
# Calipers and text are coloured too, but small; a map drawn over the image is not.
STRONG_COLOUR = 48
MAX_COLOURED = 0.03


def frame_notes(row: SourceRow, frame: SourceFrame) -> list[Note]:
    """What to know about the frame as a whole: what the table notes, a size it misstates, lossy compression."""
    notes = list(row.notes)
    if row.stated_shape is not None and row.stated_shape != frame.shape:
        stated, found = row.stated_shape, frame.shape
        notes.append(
            Note(
                QualityFlag.SIZE_MISSTATED,
                f"found an image of {found[0]} x {found[1]} pixels (rows x columns), the table states {stated[0]} x "
                f"{stated[1]}; the image's own size is used",
            )
        )
    if frame.lossy:
        notes.append(
            Note(
                QualityFlag.LOSSY_COMPRESSION, f"found lossy compression in the {frame.format} file; texture is altered"
            )
        )
    return notes


def colour_notes(pixels: npt.NDArray[np.uint8]) -> list[Note]:
    """What to know about colour in the image, (rows, columns) or (rows, columns, 3)."""
    if pixels.ndim == 2 or not is_tinted(pixels):
        return []
    red, green, blue = (pixels[..., channel] for channel in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    share = float((spread > STRONG_COLOUR).mean())
    if share > MAX_COLOURED:
        return [
            Note(
                QualityFlag.COLOUR_OVERLAY,
                f"found strong colour on {share:.0%} of the image (elastography or Doppler drawn over it?); its "
                "grey is not echo there: export the B-mode image without colours",
            )
        ]
    return [Note(QualityFlag.COLOUR_CONVERTED, "found tinted grey; grey is its ITU-R BT.601 luma")]


def slices(box: Box) -> tuple[slice, slice]:
    """Rows and columns of a box ``(row, column, rows, columns)`` as slices."""
    row, col, rows, cols = box
    return slice(row, row + rows), slice(col, col + cols)


def crop_mask(mask: BoolArray, box: Box) -> BoolArray:
    """The contour on the canonical grid.

    Raises
    ------
    CaseError
        If more than 5 % of it lies outside the box ``(row, column, rows, columns)``.
    """
    inside = np.ascontiguousarray(mask[slices(box)])
    if mask.any() and inside.sum() < (1 - MAX_CLIPPED) * mask.sum():
        raise CaseError(
            ExclusionCode.MASK_OUTSIDE_REGION,
            f"found {1 - inside.sum() / mask.sum():.0%} of the contour outside its pane, expected at most "
            f"{MAX_CLIPPED:.0%}; check which pane the lesion was outlined on",
        )
    return inside


def clipped_note(whole: BoolArray, inside: BoolArray) -> Note:
    """How much of the contour lay outside its pane."""
    lost = int(whole.sum() - inside.sum())
    return Note(QualityFlag.MASK_CLIPPED, f"found {lost} pixels of the contour outside its pane and cut them off")


def repaired_mask(mask: BoolArray, spacing: Spacing | None, notes: list[Note]) -> BoolArray:
    """The contour without small holes and islands; what was done is appended to ``notes``."""
    if not mask.any():
        return mask  # the empty mask has its own refusal
    repaired = repair(mask, spacing)
    if repaired.holes_filled or repaired.islands_removed:
        notes.append(
            Note(
                QualityFlag.MASK_REPAIRED,
                f"found a contour with small defects: filled {repaired.holes_filled} holes and removed "
                f"{repaired.islands_removed} islands, {repaired.changed_fraction:.2%} of its area",
            )
        )
    return repaired.pixels


def relative_scale(mask: LesionMask, diameter: float, notes: list[Note]) -> SpacingResult:
    """The scale at which the lesion's equivalent diameter is so many units; what that means becomes a note."""
    pixels = (
        "the image states no spacing, its pixels count as square"
        if mask.spacing is None
        else "the known proportions of its pixels are kept, their size is not"
    )
    notes.append(
        Note(
            QualityFlag.SCALE_RELATIVE,
            f"every length is relative to the lesion, whose equivalent diameter counts as {diameter:g}: one unit is "
            f"1/{diameter:g} of it and no millimetre; {pixels}",
        )
    )
    return SpacingResult(relative_spacing(mask, diameter), SpacingSource.LESION_RELATIVE)


def field_of_view(
    row: SourceRow,
    frame: SourceFrame,
    transparency: BoolArray | None,
    spacing: SpacingResult,
    box: Box,
    settings: IngestSettings,
    bare: bool,
    lesion: BoolArray | None,
    notes: list[Note],
) -> tuple[BoolArray | None, FovSource]:
    """The field of view on the canonical grid, ``None`` when it is the whole image, and where it comes from."""
    crop = slices(box)
    if "fov" in row.files:
        stated = read_mask(row.files["fov"])
        require_same_grid(frame.shape, (stated.shape[0], stated.shape[1]), "field of view")
        return np.ascontiguousarray(stated[crop]), FovSource.FILE
    if transparency is not None:
        return np.ascontiguousarray(transparency[crop]), FovSource.TRANSPARENCY
    # A pane stated around its region: what lies outside the region is no echo.
    part = None if spacing.region is None else _part_of(spacing.region.box, box)
    whole = FovSource.NONE if spacing.region is None else FovSource.REGION
    if bare or not settings.find_fov:
        return part, whole
    found = detect_fov(frame.pixels_8_bit()[crop])
    if not found.certain or _cuts(lesion, found.pixels):
        notes.append(
            Note(
                QualityFlag.FOV_UNCERTAIN,
                "found no clear outline of the scan sector that holds the lesion; all of the image, or of its "
                "calibrated region, counts as field of view",
            )
        )
        return part, whole
    inside = found.pixels if part is None else found.pixels & part
    return (None, whole) if inside.all() else (inside, FovSource.DETECTED)


def _part_of(region: Box, box: Box) -> BoolArray | None:
    """The region as a mask on the box's grid; ``None`` where it is all of it."""
    inside = np.zeros(box[2:], dtype=bool)
    top, left = region[0] - box[0], region[1] - box[1]
    inside[max(top, 0) : max(top + region[2], 0), max(left, 0) : max(left + region[3], 0)] = True
    return None if inside.all() else inside


def _cuts(lesion: BoolArray | None, fov: BoolArray) -> bool:
    return lesion is not None and bool((lesion & ~fov).sum() > MAX_CLIPPED * lesion.sum())


def require_lesion_seen(lesion: BoolArray, fov: BoolArray | None, notes: list[Note]) -> None:
    """Refuse a lesion that lies outside the field of view; note one that reaches beyond it.

    Raises
    ------
    CaseError
        If more than 5 % of it lies outside.
    """
    if fov is None:
        return
    outside = float((lesion & ~fov).sum() / lesion.sum())
    if _cuts(lesion, fov):
        raise CaseError(
            ExclusionCode.MASK_OUTSIDE_REGION,
            f"found {outside:.0%} of the contour outside the field of view, expected at most {MAX_CLIPPED:.0%}; check "
            "the field of view and which image the lesion was outlined on",
        )
    if outside > 0:
        found = f"found {outside:.2%} of the contour outside the field of view; it counts as lesion all the same"
        notes.append(Note(QualityFlag.MASK_OUTSIDE_FOV, found))


def without_text(
    grey: npt.NDArray[np.uint8], shown: npt.NDArray[np.uint8], fov: BoolArray | None, notes: list[Note]
) -> tuple[npt.NDArray[np.uint8], BoolArray | None]:
    """The image without banners and letters that may name the patient.

    Outside a known field of view everything becomes black. Inside it, what looks like text does, and leaves the field
    of view; that may cost tissue, and is noted.

    Parameters
    ----------
    grey : uint8 array, (rows, columns)
        The canonical image.
    shown : uint8 array, (rows, columns) or (rows, columns, 3)
        The same in the colours of the source.
    fov : bool array, (rows, columns), or None
        ``None`` when it is the whole image.
    notes : list of Note
        Appended to.
    """
    kept = np.ones(grey.shape, dtype=bool) if fov is None else fov
    text = find_text(shown, fov)
    if text.any():
        share = float(text.sum() / kept.sum())
        found = f"found what looks like text on {share:.2%} of the field of view and blanked it"
        notes.append(Note(QualityFlag.TEXT_BLANKED, found))
        kept = kept & ~text
    if kept.all():
        return grey, None
    return np.where(kept, grey, np.uint8(0)), kept


def treat_marks(
    grey: npt.NDArray[np.uint8],
    fov: BoolArray | None,
    marks: BoolArray,
    lesion: BoolArray | None,
    settings: IngestSettings,
    notes: list[Note],
) -> tuple[BoolArray | None, npt.NDArray[np.uint8], BurnedIn]:
    """Apply the configured treatment to drawn marks."""
    if not marks.any():
        return fov, grey, BurnedIn.KEEP
    share = touched_fraction(marks, fov)
    over = 0.0 if lesion is None else float((marks & lesion).sum() / lesion.sum())
    found = f"found marks drawn by the scanner on {share:.2%} of the field of view and {over:.2%} of the lesion"
    if settings.treatment is BurnedIn.KEEP:
        notes.append(Note(QualityFlag.BURNED_IN_KEPT, f"{found}; left as they are"))
    elif settings.treatment is BurnedIn.INPAINT:
        notes.append(Note(QualityFlag.BURNED_IN_INPAINTED, f"{found}; filled from around"))
        grey = clean(grey, marks, BurnedIn.INPAINT)
    else:
        notes.append(
            Note(
                QualityFlag.BURNED_IN_MASKED,
                f"{found}; cut out of the field of view, hence of the ring, not of the lesion",
            )
        )
        fov = ~marks if fov is None else fov & ~marks
    return fov, grey, settings.treatment
