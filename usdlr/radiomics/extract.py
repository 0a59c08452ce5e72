"""Features of every case: in parallel, resumable, each failure a row with its reason."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import usdlr
from usdlr.core import tables
from usdlr.core.errors import CaseError
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import SHORT, data_hash, file_hash
from usdlr.core.modalities import BMODE, MODALITIES
from usdlr.core.pool import Outcome, run_all
from usdlr.core.types import ExclusionCode, Roi
from usdlr.imaging.image import require_spacing
from usdlr.imaging.resample import grid_around, resample_image, resample_mask
from usdlr.imaging.rings import peritumoral_ring, regions
from usdlr.imaging.store import CaseImages, read_case
from usdlr.radiomics.engines import Engine, build_engine
from usdlr.radiomics.settings import RadiomicsSettings

# Filters look beyond the ROI; this much of the image around it is kept for them.
PAD_MM = 3.0


@dataclass(frozen=True)
class _Job:
    row: dict[str, Any]
    ledger: Path


def extract(
    cases: pd.DataFrame,
    root: Path,
    settings: RadiomicsSettings,
    *,
    engine: str,
    jobs: int,
    ledger: Path,
) -> pd.DataFrame:
    """Measure every case.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    root : Path
        Folder its paths are relative to.
    settings : RadiomicsSettings
        What to measure.
    engine : str
        Name of the engine.
    jobs : int
        Number of processes; the result does not depend on it.
    ledger : Path
        Folder for the rows that are finished while others are not; a second call continues from it. It is removed
        when the table is complete.

    Returns
    -------
    DataFrame
        The ``features`` table, in the order of ``cases``.
    """
    build_engine(engine, settings)  # a wrong name is refused before any work
    key = data_hash([settings.as_dict(), engine, usdlr.__version__])[:SHORT]
    finished: dict[str, dict[str, Any]] = {}
    waiting: list[_Job] = []
    for row in cases.to_dict("records"):
        image_id = str(row["image_id"])
        # The same source may have been ingested otherwise since: what counts is what the files hold now.
        files = [_content(root, value) for name, value in row.items() if str(name).endswith("_path")]
        grid = data_hash([row["row_mm"], row["col_mm"], row["elasto_unit"], files])[:SHORT]
        path = ledger / f"{image_id}-{grid}-{key}.json"
        if path.exists():
            finished[image_id] = read_json(path)
        else:
            waiting.append(_Job({str(name): value for name, value in row.items()}, path))

    def collect(outcome: Outcome[dict[str, Any]]) -> None:
        job = waiting[outcome.position]
        image_id = str(job.row["image_id"])
        if outcome.failure is None:
            assert outcome.result is not None
            finished[image_id] = outcome.result
            write_json(job.ledger, outcome.result)
        else:
            finished[image_id] = {
                "image_id": image_id,
                "status": "failed",
                "code": str(outcome.failure.code),
                "reason": outcome.failure.sentence,
            }

    run_all(
        partial(measure_case, root=root, settings=settings, engine=engine),
        [job.row for job in waiting],
        jobs=jobs,
        label="features",
        on_outcome=collect,
    )
    table = tables.FEATURES.conform(pd.DataFrame([finished[str(image_id)] for image_id in cases["image_id"]]))
    shutil.rmtree(ledger, ignore_errors=True)
    return table


def _content(root: Path, name: object) -> str | None:
    path = None if pd.isna(name) else root / str(name)  # type: ignore[call-overload]
    return file_hash(path) if path is not None and path.is_file() else None


def measure_case(row: Mapping[str, Any], root: Path, settings: RadiomicsSettings, engine: str) -> dict[str, Any]:
    """One row of ``features`` from one row of ``cases``.

    Raises
    ------
    CaseError
        If the case's required features cannot be measured.
    """
    return measure_images(read_case(row, root), str(row["image_id"]), settings, build_engine(engine, settings))


def measure_images(images: CaseImages, image_id: str, settings: RadiomicsSettings, engine: Engine) -> dict[str, Any]:
    """One row of ``features`` from the images of one case.

    Raises
    ------
    CaseError
        If a required modality cannot be measured in every ROI.
    """
    spacing = require_spacing(images.mask.spacing, "radiomics in mm")
    ring = peritumoral_ring(images.mask, settings.margin_mm, images.fov)
    rois = {name: pixels for name, pixels in regions(images.mask, ring).items() if str(name) in settings.rois}
    grid = grid_around(images.mask.pixels | ring.pixels, spacing, settings.pixel_mm, PAD_MM)
    rois = {name: resample_mask(pixels, grid) for name, pixels in rois.items()}
    out: dict[str, Any] = {
        "image_id": image_id,
        "status": "ok",
        "reason": None,
        "peritumoral_lost_fraction": ring.lost_fraction,
    }
    reasons: list[str] = []
    for modality in MODALITIES.values():
        if modality.name not in images.images:
            reasons.append(f"no {modality.title} image")
            continue
        pixels = resample_image(images.images[modality.name].pixels, grid)
        for name, roi in rois.items():
            usable = roi & np.isfinite(pixels)
            if int(usable.sum()) < settings.min_pixels:
                sentence = (
                    f"found {int(usable.sum())} usable pixels ({usable.sum() * grid.spacing.pixel_area_mm2:.2f} mm²) "
                    f"in the {name} {modality.title} ROI, expected at least {settings.min_pixels} pixels "
                    f"({settings.min_pixels * grid.spacing.pixel_area_mm2:.2f} mm²)"
                )
                if modality.required:
                    raise CaseError(ExclusionCode.ROI_TOO_SMALL, f"{sentence}; use another image of the lesion")
                reasons.append(sentence)
                continue
            # The lesion's shape is the same on every modality: measured once.
            shape = modality.name == BMODE and name == Roi.INTRATUMORAL
            measured = engine.measure(pixels, usable, grid.spacing, shape=shape)
            # Infinity is no measurement, and a ledger could not keep it apart from not-a-number.
            out |= {
                f"{modality.name}.{name}.{key}": value if np.isfinite(value) else float("nan")
                for key, value in measured.items()
            }
    out["reason"] = "; ".join(reasons) or None
    return out
