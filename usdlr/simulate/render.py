"""One image set from its latents to files, with a record of what was written and what can be measured on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from usdlr.core.errors import DataError
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import file_hash
from usdlr.core.types import ElastographyKind, Side, Site
from usdlr.imaging.mask import LesionMask, measure
from usdlr.imaging.store import STIFFNESS_NO_VALUE, STIFFNESS_STEP, mask_to_png, stiffness_to_png, write_png
from usdlr.simulate.acquired import Acquired
from usdlr.simulate.bmode import acquire_bmode
from usdlr.simulate.dicom import export_dicom
from usdlr.simulate.elastogram import acquire_elastography, acquire_strain
from usdlr.simulate.measure import measure_latents
from usdlr.simulate.node_measure import measure_node
from usdlr.simulate.node_tissue import build_node_phantom
from usdlr.simulate.plan import ExportFormat, ImageSet
from usdlr.simulate.reader import draw_contour
from usdlr.simulate.tissue import build_phantom

STRAIN_STEP = 0.0001
FILE_COLUMNS = ("bmode_file", "elasto_file", "mask_file", "mask_file_2")


@dataclass(frozen=True)
class Rendered:
    """What one image set turned out to be.

    Parameters
    ----------
    cells : dict of str to str
        Cells of its row of the manifest: files, spacing, elastography, readers.
    size_mm : float
        Longest diameter of the first reader's contour.
    measured : dict of str to float
        Each latent of what is imaged, as it can be measured on the rendered images with the true mask; NaN where it
        cannot.
    hashes : dict of str to str
        SHA-256 of every file, by its path relative to the cohort's folder.
    """

    cells: dict[str, str]
    size_mm: float
    measured: dict[str, float]
    hashes: dict[str, str]


def acquire(item: ImageSet) -> Acquired:
    """The pictures of one image set, before they are exported."""
    centre = item.centre
    build = build_phantom if item.site is Site.TUMOUR else build_node_phantom
    phantom = build(item.latents, item.shape, item.spacing, item.random("tissue"))
    elastogram = None
    if item.elasto_kind is ElastographyKind.SWE:
        elastogram = acquire_elastography(phantom, centre, item.random("swe"))
    elif item.elasto_kind is ElastographyKind.STRAIN:
        elastogram = acquire_strain(phantom, centre, item.random("strain"))
    readers = centre.readers if item.second_reader else centre.readers[:1]
    return Acquired(
        bmode=acquire_bmode(phantom, centre, item.random("bmode")),
        elastogram=elastogram,
        elasto_kind=item.elasto_kind,
        contours={r.name: draw_contour(phantom, r, item.random(f"reader {r.name}")) for r in readers},
        lesion=phantom.lesion,
        spacing=item.spacing,
    )


def render(item: ImageSet) -> Rendered:
    """Write one image set, unless it is there as it was written; returns what it is."""
    known = _known(item)
    if known is not None:
        return known
    acquired = acquire(item)
    if item.format is ExportFormat.DICOM:
        cells = export_dicom(
            acquired,
            item.centre,
            item.out / item.folder,
            item.image_id,
            item.random("screen"),
            side=Side(item.side),
            view=item.view,
            patient=item.patient_id,
            root=item.out,
            clock_hour=item.clock_hour,
        )
    else:
        cells = _write_pngs(acquired, item)
    cells = {name: cell for name, cell in cells.items() if cell}
    stiffness = acquired.elastogram if item.elasto_kind is ElastographyKind.SWE else None
    if stiffness is not None and item.format is ExportFormat.DICOM:
        # Beyond the end of the colour bar nobody can tell how stiff it is.
        stiffness = np.where(stiffness > item.centre.elastography.bar_kpa, np.float32(np.nan), stiffness)
    if item.site is Site.TUMOUR:
        measured = measure_latents(acquired.bmode, stiffness, acquired.lesion, item.spacing, item.centre)
    else:
        measured = measure_node(acquired.bmode, acquired.lesion, item.spacing, item.centre)
    contour = LesionMask(acquired.contours[item.centre.readers[0].name], item.spacing)
    files = [cells[name] for name in FILE_COLUMNS if name in cells]
    rendered = Rendered(
        cells=cells,
        size_mm=measure(contour).longest_diameter_mm,
        measured=measured,
        hashes={name: file_hash(item.out / name) for name in dict.fromkeys(files)},
    )
    write_json(item.record_path, asdict(rendered))
    return rendered


def _known(item: ImageSet) -> Rendered | None:
    """What an earlier call wrote, if every file is still as it was."""
    if not item.record_path.is_file():
        return None
    try:
        state: dict[str, Any] = read_json(item.record_path)
        measured = {name: np.nan if value is None else float(value) for name, value in state["measured"].items()}
        known = Rendered(dict(state["cells"]), float(state["size_mm"]), measured, dict(state["hashes"]))
        whole = all(file_hash(item.out / name) == digest for name, digest in known.hashes.items())
    except (DataError, OSError, KeyError, TypeError, ValueError, AttributeError):
        return None  # a record cut short is no record: render again
    return known if whole else None


def _write_pngs(acquired: Acquired, item: ImageSet) -> dict[str, str]:
    """Tissue alone, stiffness as numbers, one mask per reader."""
    stem = f"{item.folder}/{item.image_id}"
    cells = {
        "bmode_file": f"{stem}_bmode.png",
        "row_mm": f"{item.spacing.row_mm:.6f}",
        "col_mm": f"{item.spacing.col_mm:.6f}",
    }
    write_png(item.out / cells["bmode_file"], acquired.bmode)
    if acquired.elastogram is not None:
        strain = acquired.elasto_kind is ElastographyKind.STRAIN
        cells |= {
            "elasto_file": f"{stem}_{'strain' if strain else 'swe'}.png",
            "elasto_layout": "map",
            "elasto_kind": str(acquired.elasto_kind),
            "elasto_unit": "relative" if strain else "kPa",
            "elasto_step": f"{STRAIN_STEP if strain else STIFFNESS_STEP:g}",
        }
        if strain:
            counts = np.where(np.isnan(acquired.elastogram), 0, np.rint(acquired.elastogram / STRAIN_STEP))
            pixels = np.where(np.isnan(acquired.elastogram), STIFFNESS_NO_VALUE, counts).astype(np.uint16)
        else:
            pixels = stiffness_to_png(acquired.elastogram)
        write_png(item.out / cells["elasto_file"], pixels)
    for number, (reader, contour) in enumerate(acquired.contours.items(), start=1):
        suffix = "" if number == 1 else f"_{number}"
        cells[f"mask_file{suffix}"] = f"{stem}_mask{suffix.strip('_')}.png"
        cells[f"reader_id{suffix}"] = reader
        write_png(item.out / cells[f"mask_file{suffix}"], mask_to_png(contour))
    return cells
