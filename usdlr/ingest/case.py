"""One row of an export becomes canonical files and a row of ``cases``, or says why it cannot."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError
from usdlr.core.hashing import SHORT, bytes_hash, file_hash
from usdlr.core.modalities import BMODE
from usdlr.core.types import ElastographyState, ExclusionCode, QualityFlag, Site, SpacingSource
from usdlr.imaging.burned_in import find_burned_in, touched_fraction
from usdlr.imaging.fingerprint import perceptual_hash, pixel_hash
from usdlr.imaging.image import BoolArray
from usdlr.imaging.intensity import grey_of
from usdlr.imaging.mask import LesionMask, measure, require_plausible
from usdlr.imaging.store import mask_to_png, stiffness_to_png, write_png
from usdlr.ingest.annotations.contour import Contour
from usdlr.ingest.annotations.reading import read_contour
from usdlr.ingest.elastography import Elastography, View, read_elastography
from usdlr.ingest.neighbours import OFFSETS, neighbouring_frames
from usdlr.ingest.preparation import (
    Box,
    clipped_note,
    colour_notes,
    crop_mask,
    field_of_view,
    frame_notes,
    relative_scale,
    repaired_mask,
    require_lesion_seen,
    slices,
    treat_marks,
    without_text,
)
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.readers.reading import read_frame
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.source import MaskRef, Note, SourceRow
from usdlr.ingest.spacing import SpacingResult, resolve_spacing


@dataclass(frozen=True)
class CaseResult:
    """What became of one row; everything in it is plain data.

    Parameters
    ----------
    record : dict
        The row of ``cases``.
    notes : list of dict
        Rows of ``notes``.
    contours : list of dict
        Rows of ``contours``.
    prints : dict
        ``pixel_hash`` and ``perceptual_hash`` of the B-mode image, by which the same picture is found again.
    """

    record: dict[str, Any]
    notes: list[dict[str, Any]] = field(default_factory=list)
    contours: list[dict[str, Any]] = field(default_factory=list)
    prints: dict[str, str] = field(default_factory=dict)

    def files(self) -> list[str]:
        """Canonical files, relative to the output folder."""
        names = [value for name, value in self.record.items() if name.endswith("_path") and value is not None]
        return sorted({*names, *(row["mask_path"] for row in self.contours)})


def convert(
    row: SourceRow,
    endpoints: dict[str, Any],
    out: Path,
    settings: IngestSettings,
    *,
    bare: bool = False,
    anonymous: bool = False,
) -> CaseResult:
    """Read one row, check it, and write its canonical files into ``images/`` below ``out``.

    Parameters and errors as for :func:`read_row`; nothing is written of a row that cannot be used.
    """
    result, files = read_row(row, endpoints, settings, bare=bare, anonymous=anonymous)
    for name, pixels in files.items():
        write_png(out / name, pixels)
    return result


def read_row(
    row: SourceRow,
    endpoints: dict[str, Any],
    settings: IngestSettings,
    *,
    bare: bool = False,
    anonymous: bool = False,
) -> tuple[CaseResult, dict[str, npt.NDArray[Any]]]:
    """Read one row, check it, and give its canonical files by their paths in ``cases``.

    Parameters
    ----------
    row : SourceRow
        What the adapter says.
    endpoints : dict
        The row's further columns after :func:`usdlr.ingest.endpoints.normalise_endpoints`.
    settings : IngestSettings
        Choices that change pixels or regions.
    bare : bool
        The image shows nothing but tissue: no field of view and no drawn marks are looked for.
    anonymous : bool
        The image may show whose it is: what lies outside the field of view is blanked, and so is text where no field
        of view is known.

    Raises
    ------
    CaseError
        If the row cannot be used.
    """
    if BMODE not in row.files:
        raise CaseError(
            ExclusionCode.IMAGE_MISSING, "found no bmode file stated, expected one; name it in the export's table"
        )
    if not row.masks and row.mask_required:
        raise CaseError(
            ExclusionCode.MASK_MISSING, "found no mask file stated, expected one; name it in the export's table"
        )
    frame = read_frame(row.files[BMODE], row.frame)
    notes = frame_notes(row, frame)
    contours, readers = _contours(row, frame.shape, notes)
    lesion = contours[0].pixels if contours else None

    spacing = resolve_spacing(
        frame, mask=lesion, pane=row.pane, stated_mm=row.spacing_mm, stated_source=row.spacing_source
    )
    notes.extend(spacing.notes)
    box = _box(row, frame, spacing)
    crop = slices(box)
    grey_frame, transparency = grey_of(frame.pixels, frame.bits)
    grey = np.ascontiguousarray(grey_frame[crop])
    shown = np.ascontiguousarray(frame.pixels_8_bit()[crop])
    notes.extend(colour_notes(shown))
    masks, readers = _cropped(contours, readers, box, notes)
    if masks and masks[0].sum() < contours[0].pixels.sum():
        notes.append(clipped_note(contours[0].pixels, masks[0]))
    if settings.repair_masks:
        masks = [
            repaired_mask(mask, spacing.spacing, notes if number == 0 else []) for number, mask in enumerate(masks)
        ]

    size_mm = None
    scale = spacing
    if masks:
        lesion_mask = LesionMask(masks[0], spacing.spacing, readers[0].source)
        if spacing.spacing is not None:
            size = measure(lesion_mask)
            require_plausible(size)
            size_mm = size.longest_diameter_mm
        if settings.relative_diameter is not None:
            scale = relative_scale(lesion_mask, settings.relative_diameter, notes)
    elif settings.relative_diameter is not None:
        # Without a lesion there is nothing to be relative to, and two kinds of length must not meet in one table.
        scale = SpacingResult(None, SpacingSource.NONE)

    lesion = masks[0] if masks else None
    fov, fov_source = field_of_view(row, frame, transparency, spacing, box, settings, bare, lesion, notes)
    if anonymous:
        grey, fov = without_text(grey, shown, fov, notes)
    if lesion is not None:
        require_lesion_seen(lesion, fov, notes)
    beside = neighbouring_frames(row, frame, box, fov, settings, bare=bare, anonymous=anonymous)
    marks = np.zeros(grey.shape, dtype=bool) if bare else find_burned_in(shown, fov)
    touched = touched_fraction(marks, fov)
    fov, grey, treatment = treat_marks(grey, fov, marks, lesion, settings, notes)

    ref = row.elastography
    same_frame = ref is not None and ref.path == row.files[BMODE] and (ref.frame or 1) == frame.frame
    bmode = View(frame, box, grey, spacing.spacing, spacing.region)
    elasto = read_elastography(ref, bmode, settings, same_frame=same_frame)
    notes.extend(elasto.notes)

    image_id = f"{row.source_id}-{content_digest(row)[:SHORT]}"
    paths, files = _canonical(image_id, grey, beside, masks, fov, elasto)
    contour_rows = [
        {
            "image_id": image_id,
            "lesion_id": row.lesion_id,
            "reader_id": ref.reader_id,
            "mask_source": str(ref.source),
            "mask_path": name,
            "primary": number == 0,
        }
        for number, (ref, name) in enumerate(zip(readers, paths.pop("masks"), strict=True))
    ]
    record = {
        "centre_id": row.centre_id,
        "patient_id": row.patient_id,
        "side": str(row.side),
        "lesion_id": row.lesion_id,
        "image_id": image_id,
        "site": str(row.site),
        "mask_source": str(readers[0].source) if readers else None,
        "reader_id": readers[0].reader_id if readers else None,
        "row_mm": None if scale.spacing is None else scale.spacing.row_mm,
        "col_mm": None if scale.spacing is None else scale.spacing.col_mm,
        "spacing_source": str(SpacingSource.NONE if scale.spacing is None else scale.source),
        "source_row": box[0],
        "source_col": box[1],
        "fov_source": str(fov_source),
        "burned_in_fraction": touched,
        "burned_in": str(treatment),
        **endpoints,
        **elasto.columns(),
        **paths,
        "quality_flags": " ".join(sorted({str(note.code) for note in notes})) or None,
    }
    if settings.relative_diameter is not None:
        record["tumour_size_mm"] = None  # a size in mm beside lengths in units would mix scales
    # A lymph node's outline says nothing about the tumour's size.
    elif record.get("tumour_size_mm") is None:
        record["tumour_size_mm"] = size_mm if row.site is Site.TUMOUR else None
    if anonymous:
        notes = [Note(note.code, without_file_names(note.sentence, row)) for note in notes]
    prints = {"pixel_hash": pixel_hash(grey), "perceptual_hash": f"{perceptual_hash(grey, fov):064x}"}
    return CaseResult(record, _note_rows(image_id, notes), contour_rows, prints), files


def content_digest(row: SourceRow) -> str:
    """Hash of the bytes of every file of a row and of which part of them is meant; a missing file counts as empty."""
    paths = row.paths()
    # The image comes first, then the contour: the order is part of every image_id.
    roles = sorted(paths, key=lambda name: (name != BMODE, name != "mask", name))
    parts = [f"{role}:{_file_digest(paths[role])}" for role in roles]
    parts += [repr(part) for part in (row.frame, row.pane) if part is not None]
    parts += [repr((mask.label, mask.image_name, mask.frame)) for mask in row.masks]
    return bytes_hash(*(part.encode() for part in parts))


def _file_digest(path: Path) -> str:
    try:
        stat = path.stat()
        return _digest_of(path, stat.st_size, stat.st_mtime_ns)
    except OSError:
        return "missing"


@lru_cache(maxsize=64)
def _digest_of(path: Path, size: int, mtime_ns: int) -> str:
    # One annotation file may serve thousands of rows: within one process it is read again only when it changes.
    return file_hash(path)


def _contours(row: SourceRow, shape: tuple[int, int], notes: list[Note]) -> tuple[list[Contour], list[MaskRef]]:
    """The contours that can be read; the first one must be."""
    if not row.masks:
        notes.append(Note(QualityFlag.MASK_ABSENT, "found no contour; regions of interest wait for one"))
        return [], []
    contours, readers = [read_contour(row.masks[0], shape)], [row.masks[0]]
    if contours[0].is_box:
        notes.append(Note(QualityFlag.MASK_IS_BOX, "found a box instead of an outline; the whole box counts as lesion"))
    if contours[0].outside:
        lost = f"found {contours[0].outside:.1%} of the outline outside the image and cut it off"
        notes.append(Note(QualityFlag.MASK_CLIPPED, lost))
    for number, ref in enumerate(row.masks[1:], start=2):
        try:
            contours.append(read_contour(ref, shape))
            readers.append(ref)
        except CaseError as error:
            notes.append(
                Note(
                    QualityFlag.CONTOUR_UNREADABLE, f"found contour {number} unusable and left it out: {error.sentence}"
                )
            )
    return contours, readers


def _cropped(
    contours: list[Contour], readers: list[MaskRef], box: Box, notes: list[Note]
) -> tuple[list[BoolArray], list[MaskRef]]:
    """The contours on the canonical grid, with their readers; only the first one must lie in its pane."""
    masks, kept = [], []
    for number, (contour, reader) in enumerate(zip(contours, readers, strict=True), start=1):
        try:
            masks.append(crop_mask(contour.pixels, box))
            kept.append(reader)
        except CaseError as error:
            if number == 1:
                raise
            sentence = f"found contour {number} unusable and left it out: {error.sentence}"
            notes.append(Note(QualityFlag.CONTOUR_UNREADABLE, sentence))
    return masks, kept


def _box(row: SourceRow, frame: SourceFrame, spacing: SpacingResult) -> Box:
    """The part of the frame that becomes the canonical image."""
    rows, cols = frame.shape
    if row.pane is not None:
        top, left, height, width = row.pane
        if not (0 <= top < top + height <= rows and 0 <= left < left + width <= cols):
            raise CaseError(
                ExclusionCode.IMAGE_UNREADABLE,
                f"found a pane at row {top}, column {left} of {height} x {width} pixels, expected it inside the frame "
                f"of {rows} x {cols}; correct the pane",
            )
        return row.pane
    return (0, 0, rows, cols) if spacing.region is None else spacing.region.box


def _canonical(
    image_id: str,
    grey: npt.NDArray[np.uint8],
    beside: dict[str, npt.NDArray[np.uint8]],
    masks: list[BoolArray],
    fov: BoolArray | None,
    elasto: Elastography,
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Columns of paths, the masks' as a list, and what the files hold by path."""
    paths: dict[str, Any] = {"masks": []}
    files: dict[str, npt.NDArray[Any]] = {}

    def write(role: str, pixels: npt.NDArray[Any] | None) -> str | None:
        if pixels is None:
            return None
        relative = f"images/{image_id}_{role}.png"
        files[relative] = pixels
        return relative

    paths["bmode_path"] = write("bmode", grey)
    for name in OFFSETS:
        paths[f"bmode_{name}_path"] = write(f"bmode_{name}", beside.get(name))
    for number, mask in enumerate(masks, start=1):
        paths["masks"].append(write("mask" if number == 1 else f"mask{number}", mask_to_png(mask)))
    paths["mask_path"] = paths["masks"][0] if masks else None
    paths["fov_path"] = write("fov", None if fov is None else mask_to_png(fov))
    values = None if elasto.map is None else stiffness_to_png(elasto.map.values)
    measured = elasto.state is ElastographyState.MEASURED
    paths["elasto_path"] = write("elasto", values if measured else None)
    paths["strain_path"] = write("strain", None if measured else values)
    return paths, files


def _note_rows(image_id: str, notes: list[Note]) -> list[dict[str, Any]]:
    """One row per flag: several sentences of one flag are joined."""
    sentences: dict[str, list[str]] = {}
    for note in notes:
        sentences.setdefault(str(note.code), []).append(note.sentence)
    return [
        {"image_id": image_id, "code": code, "sentence": "; ".join(dict.fromkeys(texts))}
        for code, texts in sorted(sentences.items())
    ]


def without_names(error: CaseError, row: SourceRow) -> CaseError:
    """The same failure without the names of the row's files, which may hold a patient's."""
    return CaseError(error.code, without_file_names(error.sentence, row))


def without_file_names(sentence: str, row: SourceRow) -> str:
    """A sentence that says which file is meant by its role."""
    names = {name: role for role, path in row.paths().items() for name in (str(path), path.name)}
    for name in sorted(names, key=len, reverse=True):  # one name may be part of another
        sentence = sentence.replace(name, f"the {names[name]} file")
    return sentence


def with_pseudonyms(row: SourceRow, patient: str, source: str) -> SourceRow:
    """The same row under other ids."""
    return replace(row, patient_id=patient, source_id=source)
