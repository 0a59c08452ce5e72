"""The stiffness map of one row, on the grid of its B-mode image; whatever is wrong with it is a state of the case."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import ElastographyKind, ElastographyState, ExclusionCode, QualityFlag, SpacingSource
from usdlr.core.units import Spacing
from usdlr.imaging.colour_bar import locate_colour_bar
from usdlr.imaging.image import to_grey
from usdlr.imaging.intensity import to_8_bit
from usdlr.imaging.overlay import recover
from usdlr.imaging.palettes import PALETTES, Palette
from usdlr.imaging.panes import (
    NOTED_SHIFT_MM,
    Alignment,
    Pane,
    align,
    align_panes,
    check_alignment,
    require_aligned,
)
from usdlr.imaging.stiffness import StiffnessMap, stiffness_from_map
from usdlr.ingest.preparation import slices
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.readers.reading import read_frame
from usdlr.ingest.regions import Region
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.source import ElastographyLayout, ElastographyRef, Note
from usdlr.ingest.spacing import panes, region_of_pane, resolve_spacing

Box = tuple[int, int, int, int]
Point = tuple[float, float]

KINDS = {ElastographyState.MEASURED: ElastographyKind.SWE, ElastographyState.STRAIN_ONLY: ElastographyKind.STRAIN}


@dataclass(frozen=True)
class View:
    """The B-mode image that a map is brought onto.

    Parameters
    ----------
    frame : SourceFrame
        The frame that holds it.
    box : tuple of int
        ``(row, column, rows, columns)`` of the canonical image in that frame.
    grey : uint8 array, (rows, columns)
        The canonical image.
    spacing : Spacing or None
        Of the canonical image.
    region : Region or None
        The calibrated region that it shows.
    """

    frame: SourceFrame
    box: Box
    grey: npt.NDArray[np.uint8]
    spacing: Spacing | None
    region: Region | None


@dataclass(frozen=True)
class Elastography:
    """What a case has to say about stiffness.

    Parameters
    ----------
    state : ElastographyState
        Measured, strain only, unusable or missing.
    map : StiffnessMap or None
        On the B-mode grid; kPa when measured, relative when strain only.
    notes : tuple of Note
        Why it is unusable, or what to know about it.
    """

    state: ElastographyState
    map: StiffnessMap | None = None
    notes: tuple[Note, ...] = field(default_factory=tuple)

    def columns(self) -> dict[str, Any]:
        """Columns of ``cases`` about the map."""
        kind = KINDS.get(self.state)
        return {
            "elasto_state": str(self.state),
            "elasto_kind": None if kind is None else str(kind),
            "elasto_unit": None if self.map is None else self.map.unit,
            "elasto_valid_fraction": None if self.map is None else self.map.valid_fraction,
            "elasto_saturated_fraction": None if self.map is None else self.map.saturated_fraction,
        }


def read_elastography(
    ref: ElastographyRef | None, bmode: View, settings: IngestSettings, *, same_frame: bool
) -> Elastography:
    """Read the map and bring it onto the B-mode grid.

    Parameters
    ----------
    ref : ElastographyRef or None
        Where the map is; ``None``: there is none.
    bmode : View
        The B-mode image.
    settings : IngestSettings
        When saturation is worth a note.
    same_frame : bool
        Whether the map is in the very frame of the B-mode image (a second pane).

    Returns
    -------
    Elastography
        Never raises for what the file holds: an unusable map is a state.
    """
    if ref is None:
        return Elastography(ElastographyState.MISSING)
    try:
        found, notes = _read(ref, bmode, same_frame)
    except (CaseError, ConfigError) as error:
        note = Note(QualityFlag.ELASTOGRAPHY_UNUSABLE, f"used without stiffness: {error}")
        return Elastography(ElastographyState.UNUSABLE, notes=(note,))
    if found.saturated_fraction > settings.max_saturated:
        notes.append(
            Note(
                QualityFlag.ELASTOGRAPHY_SATURATED,
                f"found {found.saturated_fraction:.0%} of the stiffness map at the end of its colour scale, where the "
                "value is unknown; these pixels count as without value",
            )
        )
    if ref.kind is ElastographyKind.STRAIN:
        notes.append(
            Note(
                QualityFlag.ELASTOGRAPHY_STRAIN_ONLY,
                "found strain elastography, which has no kPa; the map is kept, no model reads it",
            )
        )
        return Elastography(ElastographyState.STRAIN_ONLY, found, tuple(notes))
    return Elastography(ElastographyState.MEASURED, found, tuple(notes))


def _read(ref: ElastographyRef, bmode: View, same_frame: bool) -> tuple[StiffnessMap, list[Note]]:
    if (ref.kind is ElastographyKind.STRAIN) != (ref.unit == "relative"):
        raise _unusable(
            f"found {ref.kind} elastography in {ref.unit}",
            "shear-wave maps in kPa or m/s, strain maps in relative units; correct the table",
        )
    code = ExclusionCode.ELASTOGRAPHY_UNREADABLE
    frame = bmode.frame if same_frame else read_frame(ref.path, ref.frame, missing=code, unreadable=code)
    box, region = _map_box(ref, frame, bmode, same_frame)
    spacing = _map_spacing(box, region, frame, bmode)
    fixed_point, moving_point = _points(bmode.region, region)
    fixed, moving = Pane(bmode.box, bmode.spacing, fixed_point), Pane(box, spacing, moving_point)
    grey = bmode.grey
    alignment = align_panes(moving, fixed)
    pixels = np.ascontiguousarray(frame.pixels[slices(moving.box)])
    if ref.layout is ElastographyLayout.MAP:
        found = stiffness_from_map(pixels, ref.unit, ref.step)
        notes: list[Note] = []
    else:
        found, notes = _recover(ref, frame, _rgb(pixels, frame.bits), alignment, grey, bmode.spacing)
    if not _identical(alignment) or found.values.shape != grey.shape:
        found = align(
            found,
            moving.box,
            moving.spacing,
            fixed.box,
            fixed.spacing,
            map_reference=moving.reference,
            fixed_reference=fixed.reference,
        )
    if not np.isfinite(found.values).any():
        raise _unusable("found no pixel with a stiffness", "some; check the pane, the scale and the palette")
    return found, notes


def _map_box(ref: ElastographyRef, frame: SourceFrame, bmode: View, same_frame: bool) -> tuple[Box, Region | None]:
    """Where the map is in its frame, and the calibrated region that it shows."""
    if ref.pane is not None:
        top, left, rows, cols = ref.pane
        if not (0 <= top < top + rows <= frame.shape[0] and 0 <= left < left + cols <= frame.shape[1]):
            raise _unusable(f"found the map's pane outside its frame of {frame.shape[0]} x {frame.shape[1]}", "inside")
        return ref.pane, region_of_pane(frame.regions, ref.pane)
    calibrated = panes(frame.regions)
    if same_frame:
        others = [region for region in calibrated if bmode.region is None or region.box != bmode.region.box]
        if len(others) != 1:
            raise _unusable(
                f"found {len(others)} further calibrated panes in the image's own file", "one, or the pane stated"
            )
        return others[0].box, others[0]
    if len(calibrated) == 1:
        return calibrated[0].box, calibrated[0]
    return (bmode.box if frame.shape == bmode.frame.shape else (0, 0, *frame.shape)), None


def _map_spacing(box: Box, region: Region | None, frame: SourceFrame, bmode: View) -> Spacing | None:
    if region is not None:
        return region.spacing
    # The same rules as for a B-mode image: 1 x 1 is no calibration, nor is a header that does not fit its pixels.
    bare = replace(frame, regions=())
    own = resolve_spacing(bare, mask=None, pane=None, stated_mm=None, stated_source=SpacingSource.NONE).spacing
    if own is not None:
        return own
    # Panes of one size, in one picture or in twins, are drawn at one magnification.
    return bmode.spacing if box[2:] == bmode.box[2:] else None


def _points(fixed: Region | None, moving: Region | None) -> tuple[Point, Point] | tuple[None, None]:
    """Points of both frames that show the same tissue: reference pixels, or else the regions' outer corners."""
    if fixed is None or moving is None:
        return None, None
    one, other = _point(fixed), _point(moving)
    if one is not None and other is not None:
        return one, other
    # A pixel's centre lies half a pixel inside.
    return (fixed.row - 0.5, fixed.col - 0.5), (moving.row - 0.5, moving.col - 0.5)


def _point(region: Region) -> Point | None:
    if region.reference_row is None or region.reference_col is None:
        return None
    return region.reference_row, region.reference_col


def _identical(alignment: Alignment) -> bool:
    """Whether both panes share one grid, as far as a hundredth of a pixel goes."""
    drift = (abs(alignment.row_scale - 1) * alignment.rows, abs(alignment.col_scale - 1) * alignment.cols)
    return max(*drift, abs(alignment.row_offset), abs(alignment.col_offset)) < 0.01


def _palette(ref: ElastographyRef, frame: SourceFrame) -> Palette:
    if ref.palette is not None:
        if ref.palette not in PALETTES:
            raise _unusable(f"found the palette {ref.palette!r}", f"one of {', '.join(sorted(PALETTES))}")
        return PALETTES[ref.palette]
    bar = locate_colour_bar(_rgb(frame.pixels, frame.bits))
    if bar is None:
        raise _unusable("found no colour bar in the frame", "one, or the name of the palette in the table")
    return bar.palette


def _recover(
    ref: ElastographyRef,
    frame: SourceFrame,
    colours: npt.NDArray[np.uint8],
    alignment: Alignment,
    grey: npt.NDArray[np.uint8],
    spacing: Spacing | None,
) -> tuple[StiffnessMap, list[Note]]:
    """The stiffness that colours stand for, after a check that both panes show the same tissue in the same place."""
    if ref.scale is None:
        raise _unusable("found colours over grey without a scale", f"the {ref.unit} at both ends of the colour bar")
    palette = _palette(ref, frame)
    shift = None if spacing is None else check_alignment(grey, alignment.apply(to_grey(colours)[0]), spacing)
    notes: list[Note] = []
    if shift is not None:
        require_aligned(shift)
        if shift.sure and shift.distance_mm > NOTED_SHIFT_MM:
            notes.append(
                Note(
                    QualityFlag.ELASTOGRAPHY_SHIFTED,
                    f"found the stiffness map {shift.row_mm:+.2f} mm down and {shift.col_mm:+.2f} mm to the right of "
                    "where the calibration puts it; it is used where the calibration puts it",
                )
            )
    # The grey image under the colours helps only where the speckle of both panes coincides.
    matched = shift is not None and spacing is not None and shift.sure and shift.distance_mm < min(spacing.as_tuple())
    twin = grey if matched and _identical(alignment) and colours.shape[:2] == grey.shape else None
    return recover(colours, palette, ref.scale, unit=ref.unit, twin=twin), notes


def _rgb(pixels: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    if pixels.ndim != 3:
        raise _unusable("found a grey image in place of a colour overlay", "colours, or the layout map")
    return np.ascontiguousarray(to_8_bit(pixels, bits)[..., :3])


def _unusable(found: str, expected: str) -> CaseError:
    return CaseError(ExclusionCode.ELASTOGRAPHY_UNREADABLE, f"{found}, expected {expected}")
