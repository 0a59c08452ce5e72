"""A simulated cohort as a folder of images and tables, the way a centre would hand it over.

::

    OUT/
    ├── images/CENTRE/SOURCE_bmode.png    8-bit grey
    ├── images/CENTRE/SOURCE_swe.png      16-bit, kPa x 100, 65535: no value; absent without elastography
    ├── images/CENTRE/SOURCE_mask.png     the reader's contour, 0 or 255
    ├── manifest.csv                      one row per image set, what a centre knows
    ├── truth.parquet                     latents and true probabilities; never read by training
    └── cohort.json                       how the cohort was made; written last
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.errors import CaseError, ConfigError, DataError
from usdlr.core.files import read_json, write_atomic, write_json, write_text
from usdlr.core.hashing import derive_seed, table_hash
from usdlr.core.pool import run_all
from usdlr.core.provenance import Provenance
from usdlr.core.tables import provenance_path
from usdlr.core.types import ElastographyKind, ExclusionCode, Site
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask, measure
from usdlr.imaging.store import (
    STIFFNESS_NO_VALUE,
    STIFFNESS_STEP,
    mask_to_png,
    read_mask,
    read_png,
    stiffness_to_png,
    write_png,
)
from usdlr.simulate.acquisition import acquire_bmode, acquire_elastography, draw_contour
from usdlr.simulate.centres import Centre, find_centres
from usdlr.simulate.cohort import DEFAULT_COEFFICIENTS, LATENTS, Coefficients, draw_cohort
from usdlr.simulate.tissue import build_phantom

SCHEMA = 1
COHORT_FILE, MANIFEST_FILE, TRUTH_FILE = "cohort.json", "manifest.csv", "truth.parquet"
# What the folder is going to hold, from the first image on: a folder without cohort.json is resumed only by its own
# arguments.
STARTED_FILE = ".cohort-started.json"

MANIFEST_COLUMNS = (
    "centre_id",
    "patient_id",
    "side",
    "lesion_id",
    "source_id",
    "site",
    "view",
    "bmode_file",
    "elasto_file",
    "mask_file",
    "row_mm",
    "col_mm",
    "vendor",
    "device",
    "elasto_kind",
    "elasto_unit",
    "tumour_size_mm",
    "age_years",
    "birads",
    "cn_stage",
    "neoadjuvant",
    "days_us_to_surgery",
    "grade_core_biopsy",
    "sln_positive",
    "nsln_positive",
    "positive_nodes",
    "removed_nodes",
    "sln_positive_count",
    "sln_removed_count",
    "sln_reference",
    "sln_deposit",
    "axillary_surgery",
)
TRUTH_COLUMNS = (
    "centre_id",
    "patient_id",
    "side",
    "location",
    "aggressiveness",
    *LATENTS,
    "p_sln",
    "p_nsln",
    "sln_true",
    "nsln_true",
)


@dataclass(frozen=True)
class ImageSet:
    """What it takes to render one patient's images.

    Parameters
    ----------
    out : Path
        The cohort's folder.
    centre : Centre
        Scanner and readers.
    source_id : str
        The image set's own id, stem of its files.
    seed : int
        Seed of the cohort.
    has_elasto : bool
        Whether elastography was done.
    latents : mapping of str to float
        The tumour's latents in physical units.
    """

    out: Path
    centre: Centre
    source_id: str
    seed: int
    has_elasto: bool
    latents: dict[str, float] = field(hash=False)

    @property
    def spacing(self) -> Spacing:
        """Millimetres per pixel at the depth setting that fits the lesion."""
        return self.centre.spacing_for(self.latents["size_mm"])

    def file(self, kind: str) -> str:
        """Path of one image, relative to the cohort's folder; ``kind`` is ``bmode``, ``swe`` or ``mask``."""
        return f"images/{self.centre.name}/{self.source_id}_{kind}.png"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The images of this set; the mask, written last, tells that the set is whole."""
        return ("bmode", "swe", "mask") if self.has_elasto else ("bmode", "mask")

    def random(self, step: str) -> np.random.Generator:
        """The random stream of one step: a change in one step leaves the others' draws as they were."""
        return np.random.default_rng(derive_seed(self.seed, "image", self.source_id, step))


def simulate(
    out: Path,
    *,
    patients: int,
    seed: int,
    centres: Sequence[str] = ("north", "south"),
    jobs: int = 1,
    coefficients: Coefficients = DEFAULT_COEFFICIENTS,
) -> Path:
    """Simulate a cohort and write it to a folder.

    Given again with the same arguments, it goes on where it stopped: an image set whose files are readable is not
    rendered again. The same arguments give the same bytes of every image and of the manifest, whatever ``jobs`` is.

    Parameters
    ----------
    out : Path
        The cohort's folder; new, empty, or begun with the same arguments.
    patients : int
        Patients over all centres, spread evenly; each has one image set.
    seed : int
        Seed of every draw.
    centres : sequence of str
        Names from :data:`usdlr.simulate.centres.CENTRES`.
    jobs : int
        Number of processes.
    coefficients : Coefficients
        The structural model behind the nodes.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    ConfigError
        If a centre is unknown or has no patient.
    DataError
        If the folder holds something else, or image sets could not be rendered.
    """
    chosen = find_centres(centres)
    if patients < len(chosen):
        raise ConfigError(
            f"found {patients} patients for {len(chosen)} centres, expected at least one per centre; raise the number"
        )
    cohort = {
        "generator": "usdlr simulate",
        "simulated": True,
        "schema": SCHEMA,
        "seed": seed,
        "patients": patients,
        "centres": [centre.name for centre in chosen],
        "elasto_scale_kpa": STIFFNESS_STEP,
        "elasto_no_value": STIFFNESS_NO_VALUE,
        "coefficients": asdict(coefficients),
    }
    _claim(out, cohort)
    table, image_sets = _plan(out, chosen, patients, seed, coefficients)
    outcomes = run_all(render, image_sets, jobs=jobs, label="simulate")
    failed = [item.source_id for item, outcome in zip(image_sets, outcomes, strict=True) if outcome.result is None]
    if failed:
        raise DataError(
            f"found {len(failed)} of {len(image_sets)} image sets not rendered (first: {failed[0]}), expected all; "
            "check memory and disk and give the same command again"
        )
    sizes = [outcome.result for outcome in outcomes if outcome.result is not None]
    write_text(out / MANIFEST_FILE, _manifest(table, image_sets, sizes).to_csv(index=False, lineterminator="\n"))
    _write_truth(out / TRUTH_FILE, table, chosen, cohort)
    write_json(out / COHORT_FILE, cohort)
    (out / STARTED_FILE).unlink()
    return out


def render(item: ImageSet) -> float:
    """Write one patient's images unless they are there; returns the longest diameter of the reader's mask in mm."""
    paths = {kind: item.out / item.file(kind) for kind in item.kinds}
    if not all(_is_readable(path) for path in paths.values()):
        shape = (item.centre.rows, item.centre.cols)
        phantom = build_phantom(item.latents, shape, item.spacing, item.random("tissue"))
        write_png(paths["bmode"], acquire_bmode(phantom, item.centre, item.random("bmode")))
        if item.has_elasto:
            stiffness = acquire_elastography(phantom, item.centre, item.random("swe"))
            write_png(paths["swe"], stiffness_to_png(stiffness))
        write_png(paths["mask"], mask_to_png(draw_contour(phantom, item.centre, item.random("reader"))))
    return measure(LesionMask(read_mask(paths["mask"]), item.spacing)).longest_diameter_mm


def _is_readable(path: Path) -> bool:
    try:
        read_png(path, ExclusionCode.IMAGE_MISSING, ExclusionCode.IMAGE_UNREADABLE)
    except CaseError:
        return False
    return True


def _claim(out: Path, cohort: dict[str, Any]) -> None:
    """Refuse a folder that holds anything but a part or the whole of ``cohort``, and mark it as begun."""
    held = next((out / name for name in (COHORT_FILE, STARTED_FILE) if (out / name).exists()), None)
    if held is not None:
        found = read_json(held)
        differing = [key for key in cohort if not isinstance(found, dict) or found.get(key) != cohort[key]]
        if differing:
            key = differing[0]
            other = found.get(key) if isinstance(found, dict) else found
            raise DataError(
                f"found another simulated cohort in {out} ({key} = {other}), expected {key} = {cohort[key]}; "
                "choose another folder, or give the arguments it was made with"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"found {out} is not an empty folder, expected a new one; choose another folder")
    write_json(out / STARTED_FILE, cohort)
    # Until every image has been seen to be there, the folder counts as unfinished.
    (out / COHORT_FILE).unlink(missing_ok=True)


def _plan(
    out: Path, centres: Sequence[Centre], patients: int, seed: int, coefficients: Coefficients
) -> tuple[pd.DataFrame, list[ImageSet]]:
    tables, image_sets = [], []
    for number, centre in enumerate(centres):
        share = patients // len(centres) + (number < patients % len(centres))
        table = draw_cohort(centre, share, seed, coefficients)
        tables.append(table)
        for patient, has_elasto, *values in table[["patient_id", "has_elasto", *LATENTS]].itertuples(index=False):
            latents = dict(zip(LATENTS, map(float, values), strict=True))
            image_sets.append(ImageSet(out, centre, f"{patient}-1", seed, bool(has_elasto), latents))
    return pd.concat(tables, ignore_index=True), image_sets


def _manifest(table: pd.DataFrame, image_sets: Sequence[ImageSet], sizes: Sequence[float]) -> pd.DataFrame:
    acquisition = pd.DataFrame(
        [
            {
                "lesion_id": "1",
                "source_id": item.source_id,
                "site": str(Site.TUMOUR),
                "bmode_file": item.file("bmode"),
                "elasto_file": item.file("swe") if item.has_elasto else None,
                "mask_file": item.file("mask"),
                "row_mm": f"{item.spacing.row_mm:.6f}",
                "col_mm": f"{item.spacing.col_mm:.6f}",
                "vendor": item.centre.vendor,
                "device": item.centre.device,
                "elasto_kind": str(ElastographyKind.SWE) if item.has_elasto else None,
                "elasto_unit": "kPa" if item.has_elasto else None,
                "tumour_size_mm": f"{size:.2f}",
            }
            for item, size in zip(image_sets, sizes, strict=True)
        ]
    )
    everything = pd.concat([table, acquisition], axis=1)
    return pd.DataFrame({name: [_cell(value) for value in everything[name]] for name in MANIFEST_COLUMNS})


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _write_truth(path: Path, table: pd.DataFrame, centres: Sequence[Centre], cohort: dict[str, Any]) -> None:
    truth = table[list(TRUTH_COLUMNS)]
    write_atomic(path, lambda target: truth.to_parquet(target, index=False))
    provenance = Provenance(
        command="usdlr simulate",
        config={**cohort, "centres": [asdict(centre) for centre in centres]},
        seed=cohort["seed"],
    )
    write_json(
        provenance_path(path),
        {
            "table": "truth",
            "rows": len(truth),
            "content_hash": table_hash(truth),
            **provenance.as_dict(),
        },
    )
