"""What an adapter says about one image set before any pixel is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from usdlr.core.errors import CaseError
from usdlr.core.types import ElastographyKind, MaskSource, QualityFlag, Side, Site, SpacingSource

DEFAULT_READER = "reader"


@dataclass(frozen=True)
class Note:
    """Something a reader should know about a case that is used all the same.

    Parameters
    ----------
    code : QualityFlag
        Machine-readable.
    sentence : str
        What was found and what was done about it; no patient identifiers, no paths.
    """

    code: QualityFlag
    sentence: str


@dataclass(frozen=True)
class MaskRef:
    """Where one reader's contour of one lesion is.

    Parameters
    ----------
    path : Path
        A mask image (PNG, BMP, TIFF, NIfTI, NRRD, DICOM SEG) or an annotation file (LabelMe, COCO, CVAT, VIA,
        DICOM SR or presentation state, CSV).
    reader_id : str
        Who drew it; kept apart for agreement studies.
    label : str or None
        Label value or name within the file; ``None``: the file holds one contour, several are refused as ambiguous.
    image_name : str or None
        Which image is meant, in a file that annotates several.
    source : MaskSource
        Reader or automatic.
    frame : int or None
        Frame number, from 1, in a mask file with several.
    """

    path: Path
    reader_id: str = DEFAULT_READER
    label: str | None = None
    image_name: str | None = None
    source: MaskSource = MaskSource.READER
    frame: int | None = None


class ElastographyLayout(StrEnum):
    """How a stiffness map was exported."""

    MAP = "map"  # one channel whose values are stiffness itself
    OVERLAY = "overlay"  # colours drawn over the grey image


@dataclass(frozen=True)
class ElastographyRef:
    """Where stiffness is, and how to read it.

    Parameters
    ----------
    path : Path
        The file; the B-mode image's own file when the map is drawn on it or stands in its second pane.
    layout : ElastographyLayout
        Numbers, or colours over grey.
    kind : ElastographyKind
        Shear-wave or strain.
    unit : str
        ``kPa``, ``m/s`` or ``relative``.
    frame : int or None
        Frame number, from 1, in a file with several.
    pane : tuple of int or None
        ``(row, column, rows, columns)`` of the pane that holds the map, in pixels of its frame; ``None``: the DICOM
        regions say so, or the map covers the B-mode image's own grid.
    palette : str or None
        Name in :data:`usdlr.imaging.palettes.PALETTES`; ``None``: the colour bar is located in the frame.
    scale : tuple of float or None
        Values at the lower and upper end of the colour bar, in ``unit``. An overlay needs it.
    step : float or None
        Value of one count of an integer map, in ``unit``. An integer map needs it.
    """

    path: Path
    layout: ElastographyLayout
    kind: ElastographyKind
    unit: str
    frame: int | None = None
    pane: tuple[int, int, int, int] | None = None
    palette: str | None = None
    scale: tuple[float, float] | None = None
    step: float | None = None


@dataclass(frozen=True)
class SourceRow:
    """One row of a centre's export, before any pixel is read.

    Parameters
    ----------
    source_id : str
        The source's own unique id of the image set.
    patient_id : str
        Unique over all centres.
    files : mapping of str to Path
        Absolute paths by role: ``bmode``, optionally ``fov`` (a mask of the field of view).
    spacing_mm : tuple of float or None
        ``(row_mm, col_mm)`` as the source's table states it; ``None`` when it states none. What a DICOM header says
        comes first, and a contradiction is refused.
    spacing_source : SpacingSource
        Where ``spacing_mm`` comes from.
    masks : tuple of MaskRef
        Contours of this lesion; the first is the one that is used, the others are kept for agreement studies.
    elastography : ElastographyRef or None
        The stiffness map; ``None``: there is none, which is a state of the case.
    frame : int or None
        Frame number, from 1, in a B-mode file with several.
    pane : tuple of int or None
        ``(row, column, rows, columns)`` of the B-mode pane in pixels of its frame; ``None``: the DICOM region that
        holds the lesion, or the whole frame.
    mask_required : bool
        Whether a row without a contour is excluded, or becomes a case without one.
    stated_shape : tuple of int or None
        ``(rows, columns)`` as the source's table states them; a contradiction is noted.
    values : mapping
        Further columns of ``cases`` by name.
    notes : tuple of Note
        What readers of the case should know, as far as the table tells.
    refusal : CaseError or None
        Set when the table alone shows that the row cannot be used.
    """

    source_id: str
    patient_id: str
    centre_id: str
    files: Mapping[str, Path]
    spacing_mm: tuple[float, float] | None
    spacing_source: SpacingSource
    side: Side = Side.UNKNOWN
    site: Site = Site.TUMOUR
    lesion_id: str = "1"
    masks: tuple[MaskRef, ...] = ()
    elastography: ElastographyRef | None = None
    frame: int | None = None
    pane: tuple[int, int, int, int] | None = None
    mask_required: bool = True
    stated_shape: tuple[int, int] | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    refusal: CaseError | None = None

    def paths(self) -> dict[str, Path]:
        """Every file of the row by role: ``bmode``, ``fov``, ``mask``, ``mask2``, ..., ``elastography``."""
        paths = dict(self.files)
        for number, mask in enumerate(self.masks, start=1):
            paths["mask" if number == 1 else f"mask{number}"] = mask.path
        if self.elastography is not None:
            paths["elastography"] = self.elastography.path
        return paths
