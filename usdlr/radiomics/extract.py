"""Features of every case: in parallel, resumable, each failure a row with its reason."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import CaseError
from usdlr.core.files import read_checked, write_checked
from usdlr.core.hashing import SHORT
from usdlr.core.modalities import BMODE, MODALITIES, Modality
from usdlr.core.pool import Outcome, run_each
from usdlr.core.types import ExclusionCode, Roi
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray, require_spacing
from usdlr.imaging.resample import grid_around, resample_image, resample_mask
from usdlr.imaging.rings import peritumoral_ring, regions
from usdlr.imaging.store import CaseImages, read_case
from usdlr.radiomics.engines import Engine, build_engine
from usdlr.radiomics.feature_cache import FeatureCache, content_key
from usdlr.radiomics.relative import is_relative, without_fixed
from usdlr.radiomics.rows import Rows
from usdlr.radiomics.settings import RadiomicsSettings
from usdlr.radiomics.standardise import standardise

# Filters look beyond the ROI; this much of the image around it is kept for them.
PAD_MM = 3.0

# Features without a value that a reason names one by one.
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class _Job:
    row: Mapping[str, Any]
    key: str
    ledger: Path


def extract(
    cases: pd.DataFrame,
    root: Path,
    settings: RadiomicsSettings,
    *,
    engine: str,
    jobs: int,
    ledger: Path,
    cache: Path | None = None,
    stall_s: float | None = None,
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
    cache : Path, optional
        Folder of rows that outlive this table, found again by content: whoever measures the same pixels with the same
        settings, engine and code reads them there. It holds no patient or image id.
    stall_s : float, optional
        Seconds that one case may take before it is given up.

    Returns
    -------
    DataFrame
        The ``features`` table, in the order of ``cases``.
    """
    build_engine(engine, settings)  # a wrong name is refused before any work
    if cases.empty:
        return tables.FEATURES.empty()
    store = None if cache is None else FeatureCache(cache)
    rows = Rows()
    waiting: list[_Job] = []
    for record in cases.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        image_id = str(row["image_id"])
        # The same source may have been ingested otherwise since: what counts is what the files hold now.
        key = content_key(row, root, settings, engine)
        job = _Job(row, key, ledger / f"{image_id}-{key[: 2 * SHORT]}.json")
        kept = None if store is None else store.get(key, image_id)
        if kept is not None:
            rows.keep(kept)
        elif (finished := read_checked(job.ledger)) is not None:
            rows.add(finished)
        else:
            waiting.append(job)

    def collect(outcome: Outcome[dict[str, Any]]) -> None:
        job = waiting[outcome.position]
        if outcome.failure is None:
            assert outcome.result is not None
            row = rows.add(outcome.result)
            # A failure is kept nowhere: it is tried again.
            if store is not None:
                store.put(job.key, row)
            else:
                write_checked(job.ledger, outcome.result)
        else:
            code, sentence = str(outcome.failure.code), outcome.failure.sentence
            rows.add({"image_id": str(job.row["image_id"]), "status": "failed", "code": code, "reason": sentence})

    run_each(
        partial(measure_case, root=root, settings=settings, engine=engine),
        [job.row for job in waiting],
        jobs=jobs,
        label="features",
        on_outcome=collect,
        stall_s=stall_s,
    )
    table = tables.FEATURES.conform(rows.take([str(image_id) for image_id in cases["image_id"]]))
    shutil.rmtree(ledger, ignore_errors=True)
    return table


def measure_case(row: Mapping[str, Any], root: Path, settings: RadiomicsSettings, engine: str) -> dict[str, Any]:
    """One row of ``features`` from one row of ``cases``.

    Raises
    ------
    CaseError
        If the case's required features cannot be measured.
    """
    return measure_loaded(row, read_case(row, root), settings, build_engine(engine, settings))


def measure_loaded(
    row: Mapping[str, Any], images: CaseImages, settings: RadiomicsSettings, engine: Engine
) -> dict[str, Any]:
    """One row of ``features`` from one row of ``cases`` whose files are in memory.

    Raises
    ------
    CaseError
        If the case's required features cannot be measured.
    """
    found = measure_images(images, str(row["image_id"]), settings, engine)
    return without_fixed(found) if is_relative(row) else found


def measure_images(images: CaseImages, image_id: str, settings: RadiomicsSettings, engine: Engine) -> dict[str, Any]:
    """One row of ``features`` from the images of one case.

    Raises
    ------
    CaseError
        If a required modality cannot be measured in every ROI.
    """
    spacing = require_spacing(images.mask.spacing, "radiomics in mm")
    ring = peritumoral_ring(images.mask, settings.margin_mm, images.fov)
    chosen = {str(name): roi for name, roi in regions(images.mask, ring).items() if str(name) in settings.rois}
    grid = grid_around(images.mask.pixels | ring.pixels, spacing, settings.pixel_mm, PAD_MM)
    rois = {name: resample_mask(roi, grid) for name, roi in chosen.items()}
    out: dict[str, Any] = {
        "image_id": image_id,
        "status": "ok",
        "reason": None,
        "peritumoral_lost_fraction": ring.lost_fraction,
    }
    reasons: list[str] = []
    for modality in (MODALITIES[name] for name in MODALITIES if name in settings.modalities):
        if modality.name not in images.images:
            reasons.append(f"no {modality.title} image")
            continue
        try:
            whole = _intensities(images, modality, settings)
        except CaseError as error:
            if modality.required:
                raise
            reasons.append(f"{modality.title}: {error.sentence}")
            continue
        pixels = resample_image(whole, grid)
        usable, small = _usable(pixels, rois, grid.spacing, settings, modality)
        reasons += small
        # The lesion's shape is the same on every modality: measured once.
        shape = [str(Roi.INTRATUMORAL)] if modality.name == BMODE else []
        for name, features in engine.measure(pixels, usable, grid.spacing, shape=shape).items() if usable else ():
            # Infinity is no measurement, and a ledger could not keep it apart from not-a-number.
            values = {key: value if np.isfinite(value) else float("nan") for key, value in features.items()}
            reasons += _without_value([key for key, value in values.items() if np.isnan(value)], name, modality)
            out |= {f"{modality.name}.{name}.{key}": value for key, value in values.items()}
    out["reason"] = "; ".join(reasons) or None
    return out


def _intensities(images: CaseImages, modality: Modality, settings: RadiomicsSettings) -> FloatArray:
    pixels = images.images[modality.name].pixels
    if not settings.normalize:
        return pixels
    return standardise(pixels, images.fov, scale=settings.normalize_scale, outliers=settings.remove_outliers)


def _usable(
    pixels: FloatArray,
    rois: Mapping[str, BoolArray],
    spacing: Spacing,
    settings: RadiomicsSettings,
    modality: Modality,
) -> tuple[dict[str, BoolArray], list[str]]:
    """The regions that hold enough pixels with a value, and a reason for each other.

    Raises
    ------
    CaseError
        If the modality is required and a region is too small.
    """
    usable: dict[str, BoolArray] = {}
    reasons: list[str] = []
    pixel_mm2 = spacing.pixel_area_mm2
    bound = max(settings.min_pixels, int(np.ceil(settings.min_area_mm2 / pixel_mm2 - 1e-9)))
    for name, roi in rois.items():
        inside = roi & np.isfinite(pixels)
        count = int(inside.sum())
        if count >= bound:
            usable[name] = inside
            continue
        sentence = (
            f"found {count} usable pixels ({count * pixel_mm2:.2f} mm²) in the {name} {modality.title} ROI, expected "
            f"at least {bound} pixels ({bound * pixel_mm2:.2f} mm²)"
        )
        if modality.required:
            raise CaseError(ExclusionCode.ROI_TOO_SMALL, f"{sentence}; use another image of the lesion")
        reasons.append(sentence)
    return usable, reasons


def _without_value(missing: Sequence[str], roi: str, modality: Modality) -> list[str]:
    """A reason that names features without a value: a not-a-number is never silent."""
    if not missing:
        return []
    more = len(missing) - MOST_NAMED
    names = ", ".join(missing[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    plural = "feature has" if len(missing) == 1 else "features have"
    where = f"the {roi} {modality.title} ROI, whose pixels are too alike or too scattered"
    return [f"{len(missing)} {plural} no value in {where}: {names}"]
