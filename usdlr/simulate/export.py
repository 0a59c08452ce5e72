"""A simulated cohort as a folder of images and tables, the way a centre would hand it over.

::

    OUT/
    ├── images/CENTRE/IMAGE_bmode.png     png: 8-bit grey, nothing but tissue
    ├── images/CENTRE/IMAGE_swe.png       png: 16-bit, kPa x 100, 65535: no value; absent without elastography
    ├── images/CENTRE/IMAGE_strain.png    png: 16-bit, relative stiffness x 10000, instead of kPa
    ├── images/CENTRE/IMAGE.dcm           dicom: the scanner's screen, stiffness as colours
    ├── images/CENTRE/IMAGE_mask.png      the reader's contour, 0 or 255; _mask2: the second reader's
    ├── manifest.csv                      one row per image set, what a centre knows, in the documented format
    ├── truth.parquet                     per axilla: latents and true probabilities; never read by training
    ├── truth_images.parquet              per image set: true latents and what can be measured on the images
    ├── .rendered/                        records of the finished image sets, for a run that is given again
    └── cohort.json                       how the cohort was made; written last
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import read_json, write_atomic, write_json, write_text
from usdlr.core.hashing import SHORT, data_hash, file_hash, table_hash
from usdlr.core.pool import run_all
from usdlr.core.provenance import Provenance
from usdlr.core.tables import provenance_path
from usdlr.core.types import Site
from usdlr.simulate.centres import Centre, find_centres
from usdlr.simulate.latents import LATENTS, NODE_LATENTS
from usdlr.simulate.plan import ExportFormat, ImageSet, plan_cohort
from usdlr.simulate.render import Rendered, render
from usdlr.simulate.scenario import SCENARIOS, Scenario

SCHEMA = 2
COHORT_FILE, MANIFEST_FILE = "cohort.json", "manifest.csv"
TRUTH_FILE, TRUTH_IMAGES_FILE = "truth.parquet", "truth_images.parquet"
MEASURED_PREFIX = "measured."
DEFAULT_CENTRES = ("north", "south")
# What the folder is going to hold, from the first image on: a folder without cohort.json is resumed only by its own
# arguments.
STARTED_FILE = ".cohort-started.json"

PATIENT_COLUMNS = (
    "exam_day",
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
    "dfs_months",
    "dfs_event",
)
MANIFEST_COLUMNS = (
    "centre_id",
    "patient_id",
    "side",
    "site",
    "lesion_id",
    "image_id",
    "bmode_file",
    "row_mm",
    "col_mm",
    "vendor",
    "device",
    "view",
    "exam_day",
    "mask_file",
    "reader_id",
    "mask_file_2",
    "reader_id_2",
    "elasto_file",
    "elasto_layout",
    "elasto_kind",
    "elasto_unit",
    "elasto_pane",
    "elasto_palette",
    "elasto_low",
    "elasto_high",
    "elasto_step",
    "tumour_size_mm",
    *PATIENT_COLUMNS[1:],
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
    "dfs_true_months",
)


def truth_columns(scenario: Scenario) -> list[str]:
    """Columns of ``truth.parquet``: a lymph node's latents come last, where the scenario images nodes."""
    return [*TRUTH_COLUMNS, *(NODE_LATENTS if scenario.nodes.imaged else ())]


def simulate(
    out: Path,
    *,
    patients: int,
    seed: int,
    centres: Sequence[str] = DEFAULT_CENTRES,
    scenario: Scenario = SCENARIOS["default"],
    export: ExportFormat = ExportFormat.PNG,
    jobs: int = 1,
) -> Path:
    """Simulate a cohort and write it to a folder.

    Given again with the same arguments, it goes on where it stopped: an image set whose files are as they were written
    is not rendered again. The same arguments give the same bytes of every image and of the manifest, whatever ``jobs``
    is.

    Parameters
    ----------
    out : Path
        The cohort's folder; new, empty, or begun with the same arguments.
    patients : int
        Patients over all centres, spread evenly.
    seed : int
        Seed of every draw.
    centres : sequence of str
        Names from :data:`usdlr.simulate.centres.CENTRES`.
    scenario : Scenario
        The structural model behind the nodes.
    export : ExportFormat
        Pictures of tissue, or DICOM screens.
    jobs : int
        Number of processes.

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
        "format": str(export),
        "scenario": scenario.as_dict(),
        # Another version of the generator renders other images: a folder holds those of one.
        "renderer": renderer_state(chosen),
    }
    _claim(out, cohort)
    plan = plan_cohort(out, chosen, patients, seed, scenario, export)
    outcomes = run_all(render, plan.image_sets, jobs=jobs, label="simulate")
    failed = [item for item, outcome in zip(plan.image_sets, outcomes, strict=True) if outcome.result is None]
    if failed:
        reason = next(outcome.failure for outcome in outcomes if outcome.result is None)
        raise DataError(
            f"found {len(failed)} of {len(outcomes)} image sets not rendered (first: {failed[0].image_id}: {reason}), "
            "expected all; check memory and disk and give the same command again"
        )
    rendered = [outcome.result for outcome in outcomes if outcome.result is not None]
    manifest = manifest_table(plan.patients, plan.image_sets, rendered)
    write_text(out / MANIFEST_FILE, manifest.to_csv(index=False, lineterminator="\n"))
    config = {**cohort, "centres": [asdict(centre) for centre in chosen]}
    _write_truth(out / TRUTH_FILE, plan.patients[truth_columns(scenario)], config)
    _write_truth(out / TRUTH_IMAGES_FILE, truth_of_images(plan.image_sets, rendered), config)
    truth = {name: file_hash(out / name) for name in (TRUTH_FILE, TRUTH_IMAGES_FILE)}
    write_json(out / COHORT_FILE, {**cohort, "truth": truth})
    (out / STARTED_FILE).unlink(missing_ok=True)
    return out


def renderer_state(centres: Sequence[Centre]) -> str:
    """Changes with whatever decides the pixels: the generator's code, the centres' numbers, the libraries beneath."""
    sources = {path.name: file_hash(path) for path in sorted(Path(__file__).parent.glob("*.py"))}
    libraries = {name: version(name) for name in ("numpy", "scipy", "opencv-python-headless")}
    return data_hash([sources, [asdict(centre) for centre in centres], libraries])[:SHORT]


def manifest_table(
    patients: pd.DataFrame, image_sets: Sequence[ImageSet], rendered: Sequence[Rendered]
) -> pd.DataFrame:
    """``manifest.csv`` in the documented format, one row per image set, every cell a string.

    ``tumour_size_mm`` is what the first reader measured: the longest diameter over all views and lesions of the axilla.
    A row that shows a lymph node states none.
    """
    sizes: dict[str, float] = {}
    for item, result in zip(image_sets, rendered, strict=True):
        if item.site is not Site.TUMOUR:
            continue
        sizes[item.patient_id] = max(sizes.get(item.patient_id, 0.0), result.size_mm)
    known = patients.set_index("patient_id")[list(PATIENT_COLUMNS)]
    clinic = {name: dict(zip(known.index, map(_cell, known[name]), strict=True)) for name in PATIENT_COLUMNS}
    rows = []
    for item, result in zip(image_sets, rendered, strict=True):
        row = {
            "centre_id": item.centre.centre_id,
            # Whoever reads the manifest puts the centre in front again.
            "patient_id": item.patient_id.removeprefix(f"{item.centre.centre_id}-"),
            "side": item.side,
            "site": str(item.site),
            "lesion_id": item.lesion_id,
            "image_id": item.image_id,
            "vendor": item.centre.vendor,
            "device": item.centre.device,
            "view": item.view,
            "tumour_size_mm": f"{sizes[item.patient_id]:.2f}" if item.site is Site.TUMOUR else "",
            **{name: clinic[name][item.patient_id] for name in PATIENT_COLUMNS},
            **result.cells,
        }
        rows.append({name: row.pop(name, "") for name in MANIFEST_COLUMNS})
        if row:
            raise ValueError(f"cells without a column of the manifest: {sorted(row)}")
    return pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS))


def truth_of_images(image_sets: Sequence[ImageSet], rendered: Sequence[Rendered]) -> pd.DataFrame:
    """One row per image set: whose it is, the lesion's true latents, and ``measured.*`` as its images show them.

    Where lymph nodes are imaged, ``site`` and the nodes' latents come last: null for a lesion, as a lesion's are for
    a node.
    """
    nodes = any(item.site is not Site.TUMOUR for item in image_sets)
    return pd.DataFrame(
        [
            {
                "centre_id": item.centre.centre_id,
                "patient_id": item.patient_id,
                "side": item.side,
                "lesion_id": item.lesion_id,
                "view": item.view,
                "source_id": item.source_id,
                **item.latents,
                **{MEASURED_PREFIX + name: value for name, value in result.measured.items()},
                **({"site": str(item.site)} if nodes else {}),
            }
            for item, result in zip(image_sets, rendered, strict=True)
        ]
    )


def _claim(out: Path, cohort: dict[str, Any]) -> None:
    """Refuse a folder that holds anything but a part or the whole of ``cohort``, and mark it as begun."""
    held = next((out / name for name in (COHORT_FILE, STARTED_FILE) if (out / name).exists()), None)
    if held is not None:
        found = read_json(held)
        plain = _plain(cohort)
        differing = [key for key in plain if not isinstance(found, dict) or found.get(key) != plain[key]]
        if differing:
            key = differing[0]
            raise DataError(
                f"found another simulated cohort in {out} ({_difference(key, found, plain)}; "
                "choose another folder, or give the arguments it was made with"
            )
    elif out.is_file():
        raise DataError(f"found the file {out}, expected a folder; choose another name")
    elif out.exists() and any(out.iterdir()):
        raise DataError(f"found {out} is not an empty folder, expected a new one; choose another folder")
    write_json(out / STARTED_FILE, cohort)
    # Until every image has been seen to be there, the folder counts as unfinished.
    (out / COHORT_FILE).unlink(missing_ok=True)


def _difference(key: str, found: Any, expected: dict[str, Any]) -> str:
    """Both values of a key; of a scenario its name, or that its coefficients differ."""
    old, new = found.get(key) if isinstance(found, dict) else found, expected[key]
    if key == "scenario" and isinstance(old, dict):
        if old.get("name") == new["name"]:
            return f"another scenario of the name {new['name']}), expected the same coefficients"
        old, new = old.get("name"), new["name"]
    return f"{key} = {old}), expected {key} = {new}"


def _plain(value: Any) -> Any:
    """As JSON gives it back: tuples are lists."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _write_truth(path: Path, truth: pd.DataFrame, config: dict[str, Any]) -> None:
    write_atomic(path, lambda target: truth.to_parquet(target, index=False))
    provenance = Provenance(command="usdlr simulate", config=config, seed=config["seed"])
    write_json(
        provenance_path(path),
        {"table": path.stem, "rows": len(truth), "content_hash": table_hash(truth), **provenance.as_dict()},
    )
