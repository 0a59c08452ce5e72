"""One image set as a caller of the Python interface has it, arrays or files, as a row of ``cases`` in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import CaseError, DataError
from usdlr.core.hashing import SHORT, bytes_hash
from usdlr.core.modalities import BMODE
from usdlr.core.types import ElastographyKind, ElastographyState, ExclusionCode, MaskSource, Side, Site, SpacingSource
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask, measure, require_plausible
from usdlr.imaging.relative import relative_spacing
from usdlr.imaging.store import case_in_memory, mask_to_png, stiffness_to_png
from usdlr.inference.loaded import LoadedCase
from usdlr.ingest.case import read_row
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.source import ElastographyRef, MaskRef, SourceRow

Array = npt.NDArray[Any]
PATIENT = "patient"


@dataclass(frozen=True, eq=False)
class Image:
    """One image set: a B-mode image, the lesion's contour on it and, where there is one, its stiffness map.

    Parameters
    ----------
    bmode : path or uint8 array, (rows, columns)
        A file that ``usdlr ingest`` reads, such as DICOM, or grey levels.
    mask : path or bool array, (rows, columns)
        A mask or annotation file, or the lesion's pixels.
    elastography : ElastographyRef, float array in kPa, (rows, columns), or None
        Where the stiffness map is, or its values on the B-mode grid, not-a-number where there is none. A file for a
        file, an array for an array.
    spacing_mm : tuple of float, optional
        ``(row_mm, col_mm)``; not needed where the file's header states it.
    fov : bool array, (rows, columns), optional
        Field of view of an array; by default all of it. Of a file it is found.
    site : Site
        What the image shows.
    lesion_id : str
        Lesion within the axilla.
    frame : int, optional
        Frame number, from 1, in a file with several.
    mask_source : MaskSource
        Who drew the contour.
    mask_confidence : float, optional
        Dice with a reader's contour that is expected of one by software.
    mask_error_mm : float, optional
        Mean distance to a reader's contour that is expected of one by software, in mm.
    """

    bmode: Path | str | Array
    mask: Path | str | Array
    elastography: ElastographyRef | Array | None = None
    spacing_mm: tuple[float, float] | None = None
    fov: Array | None = None
    site: Site | str = Site.TUMOUR
    lesion_id: str = "1"
    frame: int | None = None
    mask_source: MaskSource | str = MaskSource.READER
    mask_confidence: float | None = None
    mask_error_mm: float | None = None


def load_image(
    image: Image,
    number: int,
    *,
    clinical: Mapping[str, Any],
    side: Side,
    centre: str,
    relative_diameter: float | None = None,
) -> LoadedCase:
    """A row of ``cases`` with its pixels.

    Parameters
    ----------
    image : Image
        Arrays or files.
    number : int
        Which of the axilla's images it is, from 1.
    clinical : mapping
        Columns of ``cases`` about the patient.
    side : Side
        Of the body.
    centre : str
        Name of the centre.
    relative_diameter : float or None
        Units across the lesion, of a model that knows no millimetres.

    Raises
    ------
    DataError
        If arrays and files are mixed, or an array's form is impossible.
    CaseError
        If a file cannot be read, or the case cannot be used.
    """
    parts = [part for part in (image.bmode, image.mask, image.elastography) if part is not None]
    arrays = {isinstance(part, np.ndarray) for part in parts}
    if len(arrays) > 1:
        raise DataError(
            "found files and arrays in one image, expected files alone or arrays alone; read the files first"
        )
    read = _of_arrays if arrays == {True} else _of_files
    return read(image, number, clinical=clinical, side=side, centre=centre, relative_diameter=relative_diameter)


def _of_files(
    image: Image, number: int, *, clinical: Mapping[str, Any], side: Side, centre: str, relative_diameter: float | None
) -> LoadedCase:
    assert not isinstance(image.bmode, np.ndarray)
    assert not isinstance(image.mask, np.ndarray)
    assert not isinstance(image.elastography, np.ndarray)
    for path in (image.bmode, image.mask):
        if not Path(path).is_file():
            raise DataError(f"found no file {path}, expected an image or a contour; check the path")
    row = SourceRow(
        source_id=f"image-{number}",
        patient_id=PATIENT,
        centre_id=centre,
        files={BMODE: Path(image.bmode)},
        spacing_mm=image.spacing_mm,
        spacing_source=SpacingSource.NONE if image.spacing_mm is None else SpacingSource.MANIFEST,
        side=side,
        site=Site(image.site),
        lesion_id=image.lesion_id,
        masks=(MaskRef(Path(image.mask), source=MaskSource(image.mask_source)),),
        elastography=image.elastography,
        frame=image.frame,
    )
    found, files = read_row(row, dict(clinical), IngestSettings(relative_diameter=relative_diameter))
    return LoadedCase(_row({**found.record, **_of_software(image)}), case_in_memory(found.record, files))


def _of_arrays(
    image: Image, number: int, *, clinical: Mapping[str, Any], side: Side, centre: str, relative_diameter: float | None
) -> LoadedCase:
    bmode, drawn = np.asarray(image.bmode), np.asarray(image.mask)
    if bmode.dtype != np.uint8 or bmode.ndim != 2:
        raise DataError(
            f"found a B-mode array of {bmode.dtype} with shape {bmode.shape}, expected uint8 (rows, columns); convert "
            "it"
        )
    stiffness = None if image.elastography is None else np.asarray(image.elastography, dtype=np.float64)
    for name, part in (("mask", drawn), ("elastography", stiffness), ("field of view", image.fov)):
        if part is not None and part.shape != bmode.shape:
            raise DataError(f"found a {name} of shape {part.shape}, expected the image's {bmode.shape}; resample it")
    spacing = None if image.spacing_mm is None else Spacing(*image.spacing_mm)
    mask = LesionMask(drawn.astype(bool), spacing)
    source = SpacingSource.NONE if spacing is None else SpacingSource.MANIFEST
    size = None
    if spacing is not None:
        measured = measure(mask)
        require_plausible(measured)
        size = measured.longest_diameter_mm
    if relative_diameter is not None:
        spacing, source, size = relative_spacing(mask, relative_diameter), SpacingSource.LESION_RELATIVE, None
    if spacing is None:
        raise CaseError(
            ExclusionCode.SPACING_MISSING,
            "found an array without spacing_mm, expected (row_mm, col_mm): rings and crops are cut in millimetres",
        )
    files = {"bmode": bmode, "mask": mask_to_png(mask.pixels)}
    if image.fov is not None:
        files["fov"] = mask_to_png(np.asarray(image.fov, dtype=bool))
    if stiffness is not None:
        files["elasto"] = stiffness_to_png(stiffness)
    digest = bytes_hash(*(part.tobytes() for part in files.values()))[:SHORT]
    record = {
        "centre_id": centre,
        "patient_id": PATIENT,
        "side": str(side),
        "lesion_id": image.lesion_id,
        "image_id": f"image-{number}-{digest}",
        "site": str(Site(image.site)),
        "mask_source": str(MaskSource(image.mask_source)),
        **_of_software(image),
        "row_mm": spacing.row_mm,
        "col_mm": spacing.col_mm,
        "spacing_source": str(source),
        "elasto_state": str(ElastographyState.MISSING if stiffness is None else ElastographyState.MEASURED),
        "elasto_kind": None if stiffness is None else str(ElastographyKind.SWE),
        "elasto_unit": None if stiffness is None else "kPa",
        **{f"{name}_path": name for name in files},
        **clinical,
    }
    if record.get("tumour_size_mm") is None and Site(image.site) is Site.TUMOUR:
        record["tumour_size_mm"] = size
    row = _row(record)
    return LoadedCase(row, case_in_memory(row, files))


def _of_software(image: Image) -> dict[str, float | None]:
    return {"mask_confidence": image.mask_confidence, "mask_error_mm": image.mask_error_mm}


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """A complete and checked row of ``cases``.

    Raises
    ------
    TableError
        If a value is out of its range.
    """
    table = tables.CASES.conform(pd.DataFrame([dict(record)]))
    return {str(name): value for name, value in table.iloc[0].items()}
