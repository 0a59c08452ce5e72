"""What a study report shows beside the run's tables, kept as data so that the report can be written again."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from usdlr.baselines.nomogram import Nomogram
from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import read_json, write_atomic, write_bytes, write_json
from usdlr.core.hashing import data_hash, file_hash
from usdlr.core.types import Stage
from usdlr.core.units import Spacing
from usdlr.radiomics.selection.frequency import SelectionFrequency
from usdlr.report.figures_heatmap import HeatCase, HeatPanel
from usdlr.report.figures_nomogram import NomogramLike
from usdlr.report.gallery import GalleryCase
from usdlr.report.inputs import StudyInputs

# Changes whenever the files below are read in another way.
SCHEMA = 2
FOLDER = "work/report"
MANIFEST = f"{FOLDER}/kept.json"
STUDY, PICTURES = f"{FOLDER}/study.json", f"{FOLDER}/pictures.npz"
LABELS, AXILLAE = f"{FOLDER}/labels.parquet", f"{FOLDER}/axillae.parquet"
LOSSES = f"{FOLDER}/losses.parquet"
# The run's own results, which are not kept a second time.
METRICS, PREDICTIONS, DECISIONS = "metrics.json", "predictions.parquet", "decisions.parquet"
EXCLUSIONS, BASELINES = "exclusions.csv", "work/baselines.parquet"
RESULTS = (METRICS, PREDICTIONS, DECISIONS, EXCLUSIONS, BASELINES)
KEPT = (STUDY, PICTURES, LABELS, AXILLAE, LOSSES)
# What the report speaks of and does not show: a page beside another model or configuration would be wrong.
CONFIG, BUNDLE = "config.yaml", "bundle/bundle.json"
# Settings that another machine, or another number of processes, may change in a run that goes on.
FREE = (("jobs",), ("data", "root"), ("data", "external"), ("selection", "stability"))

Arrays = dict[str, npt.NDArray[Any]]


def keep(inputs: StudyInputs, run: Path) -> StudyInputs:
    """Keep in ``work/report`` what a report shows and no table of the run holds: data alone, nothing that runs.

    Parameters
    ----------
    inputs : StudyInputs
        The study, whose tables and metrics lie in the run already.
    run : Path
        Folder of the run.

    Returns
    -------
    StudyInputs
        What was kept, as :func:`read_kept` reads it: a report of it is the one that can be written again, byte by byte.

    Raises
    ------
    DataError
        If one of the run's results is not there, or a nomogram is of no known kind.
    """
    (run / MANIFEST).unlink(missing_ok=True)
    arrays: Arrays = {}
    study = {
        "provenance": inputs.provenance,
        "config_yaml": inputs.config_yaml,
        "selection": {name: one.to_dict() for name, one in inputs.selection.items()},
        "nomograms": {str(name): _nomogram_state(one) for name, one in inputs.nomograms.items()},
        "readouts": {str(name): _nomogram_state(one) for name, one in inputs.readouts.items()},
        "gallery": [_gallery_state(case, f"gallery-{at}", arrays) for at, case in enumerate(inputs.gallery)],
        "heat_maps": [_heat_state(case, f"heat-{at}", arrays) for at, case in enumerate(inputs.heat_maps)],
    }
    write_json(run / STUDY, study)
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    write_bytes(run / PICTURES, stream.getvalue())
    for name, table in ((LABELS, inputs.labels), (AXILLAE, inputs.axillae), (LOSSES, inputs.losses)):
        _write_table(run / name, table.reset_index(drop=True))
    missing = [name for name in RESULTS if not (run / name).is_file()]
    if missing:
        raise DataError(f"found no {missing[0]} in {run}, expected it before its report; write the results first")
    write_json(
        run / MANIFEST,
        {
            "schema": SCHEMA,
            "sha256": {name: file_hash(run / name) for name in RESULTS + KEPT},
            "settings": _settings_hash(run / CONFIG),
            "bundle": file_hash(run / BUNDLE) if (run / BUNDLE).is_file() else None,
        },
    )
    return read_kept(run)


def read_kept(run: Path) -> StudyInputs:
    """The study that a run's report shows, from its tables and what was kept beside them.

    Raises
    ------
    DataError
        If nothing was kept, by this version at least, or a file is missing, damaged or was changed since, the run's
        configuration and its bundle among them.
    """
    _check(run)
    study = read_json(run / STUDY)
    try:
        with np.load(run / PICTURES, allow_pickle=False) as stored:
            arrays: Arrays = {name: stored[name] for name in stored.files}
        return StudyInputs(
            metrics=read_json(run / METRICS),
            predictions=tables.PREDICTIONS.read(run / PREDICTIONS),
            decisions=tables.DECISIONS.read(run / DECISIONS),
            labels=pd.read_parquet(run / LABELS),
            exclusions=tables.EXCLUSIONS.read(run / EXCLUSIONS),
            baselines=pd.read_parquet(run / BASELINES),
            gallery=[_gallery_case(state, f"gallery-{at}", arrays) for at, state in enumerate(study["gallery"])],
            provenance=study["provenance"],
            config_yaml=study["config_yaml"],
            selection={name: SelectionFrequency.from_dict(state) for name, state in study["selection"].items()},
            nomograms={name: Nomogram.from_dict(state) for name, state in study["nomograms"].items()},
            readouts={name: Nomogram.from_dict(state) for name, state in study["readouts"].items()},
            heat_maps=[_heat_case(state, f"heat-{at}", arrays) for at, state in enumerate(study["heat_maps"])],
            axillae=pd.read_parquet(run / AXILLAE),
            losses=pd.read_parquet(run / LOSSES),
        )
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise DataError(
            f"found {run / FOLDER} cannot be read ({type(error).__name__}: {error}), expected what `usdlr run` keeps "
            f"there; {_mend(run)}"
        ) from error


def _check(run: Path) -> None:
    if not (run / MANIFEST).is_file():
        raise DataError(
            f"found no {MANIFEST} in {run}, expected what a run keeps for its report: an earlier version of usdlr made "
            f"it; {_mend(run)}"
        )
    manifest = read_json(run / MANIFEST)
    schema = manifest.get("schema") if isinstance(manifest, Mapping) else None
    if schema != SCHEMA:
        raise DataError(
            f"found {run / MANIFEST} of version {schema}, expected {SCHEMA}: another version of usdlr made it; "
            f"{_mend(run)}"
        )
    for name in RESULTS + KEPT:
        path = run / name
        if not path.is_file():
            raise DataError(f"found no file {path}, expected it from the run; {_mend(run)}")
        if manifest["sha256"].get(name) != file_hash(path):
            raise DataError(
                f"found {path} was changed after the report was written (its hash differs from {MANIFEST}); restore "
                f"it, or {_mend(run)}"
            )

    if manifest.get("settings") != _settings_hash(run / CONFIG):
        raise DataError(
            f"found {run / CONFIG} was changed after the report was written: the report is about other settings; "
            f"restore it, or {_mend(run)}"
        )
    changed = _changed_bundle(run, manifest.get("bundle"))
    if changed:
        raise DataError(
            f"found {changed} was changed after the report was written: the report is about another bundle; restore "
            f"it, or {_mend(run)}"
        )


def _settings_hash(path: Path) -> str | None:
    """Hash of a configuration but for :data:`FREE`, whatever its layout; None where there is none."""
    if not path.is_file():
        return None
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return file_hash(path)
    for *parents, name in FREE:
        node = settings
        for key in parents:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(name, None)
    return data_hash(settings)


def _changed_bundle(run: Path, expected: str | None) -> Path | None:
    """The bundle's list of files, or the first file on it, that is not what it was; None where all are."""
    listing = run / BUNDLE
    if (file_hash(listing) if listing.is_file() else None) != expected:
        return listing
    if expected is None:
        return None
    for name, digest in read_json(listing)["files"].items():
        path: Path = listing.parent / str(name)
        if not path.is_file() or file_hash(path) != digest:
            return path
    return None


def _mend(run: Path) -> str:
    return (
        f"delete {run / 'report.html'} and give the command of the run again, usdlr run ... --out {run}: with the same "
        "versions of usdlr and its packages, only its last step is done again"
    )


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_atomic(path, lambda target: table.to_parquet(target, index=False))


def _nomogram_state(nomogram: NomogramLike) -> dict[str, Any]:
    if not isinstance(nomogram, Nomogram):
        raise ConfigError(f"found a nomogram of the kind {type(nomogram).__name__}, expected one that can be kept")
    return nomogram.to_dict()


def _gallery_state(case: GalleryCase, name: str, arrays: Arrays) -> dict[str, Any]:
    arrays |= {f"{name}-image": case.image, f"{name}-lesion": case.lesion, f"{name}-ring": case.ring}
    if case.stiffness is not None:
        arrays[f"{name}-stiffness"] = case.stiffness
    return {
        "number": case.number,
        "row_mm": case.spacing.row_mm,
        "col_mm": case.spacing.col_mm,
        "group": str(case.group),
        "p_sln": case.p_sln,
        "p_nsln": case.p_nsln,
        "sln": case.sln,
        "nsln": case.nsln,
        "unit": case.unit,
    }


def _gallery_case(state: Mapping[str, Any], name: str, arrays: Arrays) -> GalleryCase:
    return GalleryCase(
        number=state["number"],
        image=arrays[f"{name}-image"],
        lesion=arrays[f"{name}-lesion"],
        ring=arrays[f"{name}-ring"],
        spacing=Spacing(state["row_mm"], state["col_mm"]),
        group=state["group"],
        p_sln=_number(state["p_sln"]),
        p_nsln=_number(state["p_nsln"]),
        sln=state["sln"],
        nsln=state["nsln"],
        stiffness=arrays.get(f"{name}-stiffness"),
        unit=state["unit"],
    )


def _heat_state(case: HeatCase, name: str, arrays: Arrays) -> dict[str, Any]:
    arrays |= {f"{name}-crop": case.crop, f"{name}-lesion": case.lesion, f"{name}-ring": case.ring}
    arrays |= {f"{name}-{at}": panel.values for at, panel in enumerate(case.panels)}
    return {
        "number": case.number,
        "stage": str(case.stage),
        "panels": [{"block": one.block, "adds": one.adds, "inside": one.inside} for one in case.panels],
        "probability": case.probability,
        "found": case.found,
        "unit": case.unit,
    }


def _heat_case(state: Mapping[str, Any], name: str, arrays: Arrays) -> HeatCase:
    return HeatCase(
        number=state["number"],
        stage=Stage(state["stage"]),
        crop=arrays[f"{name}-crop"],
        lesion=arrays[f"{name}-lesion"],
        ring=arrays[f"{name}-ring"],
        panels=[
            HeatPanel(panel["block"], arrays[f"{name}-{at}"], _number(panel["adds"]), _number(panel["inside"]))
            for at, panel in enumerate(state["panels"])
        ],
        probability=_number(state["probability"]),
        found=state["found"],
        unit=state["unit"],
    )


def _number(value: float | None) -> float:
    """JSON has no not-a-number; it is written as null."""
    return float("nan") if value is None else float(value)
