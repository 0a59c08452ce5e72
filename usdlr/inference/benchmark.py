"""How fast a bundle answers: one patient from its DICOM files to a decision, contours redrawn, a stream of patients.

The bundle is made here: real parts with random weights, fitted on a few simulated patients with random labels. What it
says means nothing; what it costs is what a trained bundle of the same make costs.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch

from usdlr.core import tables
from usdlr.core.files import write_json
from usdlr.core.leak import Rows
from usdlr.core.pool import one_thread
from usdlr.core.types import ContractStatus, OnUncertified, Site, Split, Stage
from usdlr.data.samples import cut_crops
from usdlr.decision.calibration import PlattCalibrator
from usdlr.decision.contract import Contract
from usdlr.decision.uncertainty import LogitInterval
from usdlr.imaging.crop import CropSettings
from usdlr.imaging.store import case_in_memory
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.bundle_files import write_bundle
from usdlr.inference.contour import contour_spread
from usdlr.inference.loaded import LoadedCase, engine_of
from usdlr.inference.member import CONTRACT, USED
from usdlr.inference.predictor import prepare_cases
from usdlr.inference.preparation import Preparation
from usdlr.inference.scores import BlockScores
from usdlr.inference.service import Predictor
from usdlr.inference.stage import network_columns, scored_blocks
from usdlr.inference.stage_files import save_calibrator, save_interval, save_stage
from usdlr.inference.stream import StreamSettings, predict_stream
from usdlr.inference.variants import ensemble_of
from usdlr.ingest.case import read_row
from usdlr.ingest.endpoints import normalise_endpoints
from usdlr.ingest.pipeline import ingest, read_rows
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.source import SourceRow
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.engines import DEFAULT_ENGINE
from usdlr.radiomics.extract import measure_loaded
from usdlr.radiomics.selection.selector import FeatureSelector
from usdlr.radiomics.settings import RadiomicsSettings
from usdlr.radiomics.stability.redraw import ReaderDisagreement
from usdlr.simulate.export import simulate
from usdlr.simulate.plan import ExportFormat

# Seconds on a wall clock, or of the processor in this process: the latter where the machine does other work too.
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
PATIENTS, SEED = 12, 1
FEATURES = 30


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Parameters
    ----------
    network : NetworkSettings
        Of every stage.
    size_px : int
        Side of the crops in pixels.
    radiomics : RadiomicsSettings
        What is measured on every image.
    threads : int
        Of the networks.
    networks : int
        Networks per stage.
    """

    network: NetworkSettings
    size_px: int
    radiomics: RadiomicsSettings
    threads: int
    networks: int = 1

    @property
    def preparation(self) -> Preparation:
        """From files to tensors, with the clinical variables of the demonstration."""
        return Preparation(
            network=self.network,
            crop=CropSettings(self.size_px),
            radiomics=self.radiomics,
            engine=DEFAULT_ENGINE,
            clinical=("tumour_size_mm", "age_years"),
            batch_size=16,
            threads=self.threads,
        )


@dataclass(frozen=True)
class Made:
    """A bundle and patients to try it on.

    Parameters
    ----------
    bundle : Bundle
        With random weights.
    source : Path
        The patients' export: DICOM files and their manifest.
    cases : DataFrame
        The same patients, ingested.
    root : Path
        Folder that the paths of ``cases`` are relative to.
    """

    bundle: Bundle
    source: Path
    cases: pd.DataFrame
    root: Path


def make(folder: Path, setting: Setting) -> Made:
    """Simulate patients, ingest their DICOM files, and make a bundle."""
    source, root = folder / "export", folder / "tables"
    simulate(source, patients=PATIENTS, seed=SEED, export=ExportFormat.DICOM)
    cases = ingest(source, "simulated", root).cases
    preparation = setting.preparation
    prepared = prepare_cases(preparation, cases, root, jobs=1, ledger=folder / "ledger")
    patients = list(map(str, prepared.cases["patient_id"]))
    label = (pd.factorize(prepared.cases["patient_id"])[0] % 2).astype(np.float64)
    rows = Rows.of(patients, [str(Split.TRAIN)] * len(patients))
    member = folder / "member"
    for place, stage in enumerate(Stage):
        selector = FeatureSelector(FEATURES, 0.95, ("clinical.tumour_size_mm",)).fit(prepared.design, label, rows=rows)
        scores, _ = BlockScores.fit(setting.network, prepared.design, label[:, None], rows=rows, width=1, seed=SEED)
        networks = []
        for number in range(setting.networks):
            torch.manual_seed(1000 * place + number)
            columns, scored = network_columns(selector), scored_blocks(scores, setting.network)
            networks.append(FusionNetwork(setting.network, columns, setting.size_px, scored=scored).eval())
        save_stage(
            member / str(stage),
            [network.state_dict() for network in networks],
            selector,
            scores,
            target=0,
            variants=ensemble_of(setting.network, CropSettings(setting.size_px), {}) * setting.networks,
        )
        logit = np.random.default_rng(place).normal(0.0, 1.0, len(patients))
        tuning = Rows.of(patients, [str(Split.TUNING)] * len(patients))
        calibrator = PlattCalibrator().fit(logit, label, rows=tuning)
        save_calibrator(member / str(stage), calibrator)
        save_interval(member / str(stage), LogitInterval.fit(logit, calibrator, {}, rows=tuning, labels=label))
    write_json(member / CONTRACT, _contract().to_dict())
    write_json(member / USED, {})
    card = {
        "cohort": {"centres": sorted(set(cases["centre_id"])), "patients": PATIENTS, "axillae": PATIENTS,
                   "image_sets": len(cases), "excluded": 0},
        "simulated": True,
        "proxies": {},
    }  # fmt: skip
    write_bundle(
        folder / "bundle",
        members={"bundle": member},
        preparation=preparation,
        on_uncertified=OnUncertified.ZERO_MISS,
        card=card,
    )
    return Made(load_bundle(folder / "bundle"), source, cases, root)


def _contract() -> Contract:
    """Thresholds that promise nothing."""
    none = {str(stage): 0 for stage in Stage}
    needed = {str(stage): 29 for stage in Stage}
    alpha = {str(stage): 0.1 for stage in Stage}
    return Contract(alpha, 0.05, ContractStatus.NOT_CERTIFIABLE, needed, 0.4, 0.4, none, none, None)


def one_patient(made: Made, repeats: int, clock: Clock) -> dict[str, float]:
    """Milliseconds of one patient from DICOM files to a decision, warm: the best of the repeats.

    The patient has two images, B-mode and elastography, on one screen: the first whose stiffness was measured.

    Returns
    -------
    dict of str to float
        ``total_ms``, its parts ``read_ms`` (DICOM file to checked pixels), ``crop_ms``, ``radiomics_ms``,
        ``backbone_ms`` (forward passes of the image branches' backbones), ``rest_ms`` (tables, scores, fusion, shares,
        decision); ``median_total_ms``; and ``backbone_share`` of the best repeat.
    """
    row = _with_map(made)[0]
    predictor = Predictor(made.bundle)
    found: dict[str, list[float]] = {}
    for repeat in range(repeats + 1):  # the first one loads, compiles and allocates
        with _watched(made.bundle, clock) as backbones:
            start = clock()
            loaded = [_read(row)]
            read = clock()
            predictor.answer(loaded)
            end = clock()
        parts = {"total_ms": end - start, "read_ms": read - start, "backbone_ms": sum(backbones)}
        parts |= _prepared_apart(made.bundle, loaded[0], clock)
        for name, seconds in parts.items():
            found.setdefault(name, []).extend([1000 * seconds] if repeat else [])
    out = {name: min(values) for name, values in found.items()}
    out["rest_ms"] = out["total_ms"] - sum(out[name] for name in ("read_ms", "crop_ms", "radiomics_ms", "backbone_ms"))
    out = {name: round(value, 1) for name, value in out.items()}
    best = int(np.argmin(found["total_ms"]))
    share = found["backbone_ms"][best] / found["total_ms"][best]
    return out | {"median_total_ms": round(median(found["total_ms"]), 1), "backbone_share": round(share, 3)}


def redrawn(made: Made, counts: Sequence[int], repeats: int, clock: Clock) -> dict[str, float]:
    """Seconds of redrawing one patient's contour, by how many times: medians over the repeats."""
    case = _read(_with_map(made)[0])
    out = {}
    for count in counts:
        seconds = []
        for _ in range(repeats):
            start = clock()
            contour_spread(made.bundle, [case], count=count, disagreement=ReaderDisagreement(), on_uncertified=None)
            seconds.append(clock() - start)
        out[f"contours_{count}_s"] = round(median(seconds), 2)
    return out


def stream(made: Made, patients: int, folder: Path, *, jobs: int, clock: Clock) -> dict[str, float]:
    """Patients per second of a stream, and the most memory in MiB after a tenth of them and after all.

    The patients are the made ones again and again under new ids.
    """
    peaks = []
    seconds = 0.0
    for number, count in enumerate((max(patients // 10, 1), patients)):
        table = _many(made.cases, count)
        start = clock()
        predict_stream(
            made.bundle,
            table,
            made.root,
            folder=folder / str(number),
            settings=StreamSettings(jobs=jobs),
            on_uncertified=None,
        )
        seconds = clock() - start
        peaks.append(_peak_mib())
    return {
        "patients": patients,
        "jobs": jobs,
        "patients_per_s": round(patients / seconds, 2),
        "peak_rss_tenth_mib": round(peaks[0], 1),
        "peak_rss_all_mib": round(peaks[1], 1),
    }


def _with_map(made: Made) -> list[SourceRow]:
    """Rows of the export whose stiffness could be measured."""
    measured = made.cases[made.cases["elasto_path"].notna()]
    _, rows = read_rows(made.source, "simulated")
    names = [str(name).rpartition("-")[0] for name in measured["image_id"]]
    return [row for row in rows if row.source_id in names]


def _read(row: SourceRow) -> LoadedCase:
    """One row of an export in memory, without writing it first."""
    result, files = read_row(row, normalise_endpoints(row.values), IngestSettings())
    table = tables.CASES.conform(pd.DataFrame([result.record]))
    record = {str(name): value for name, value in table.iloc[0].items()}
    return LoadedCase(record, case_in_memory(record, files))


def _prepared_apart(bundle: Bundle, case: LoadedCase, clock: Clock) -> dict[str, float]:
    """Seconds of crops and radiomics of one case, each alone."""
    preparation, engine = bundle.preparation, engine_of(bundle.preparation)
    site, margin = Site(case.row["site"]), preparation.radiomics.margin_mm
    with one_thread():  # as it is prepared for an answer
        start = clock()
        if engine is not None:
            measure_loaded(case.row, case.images, preparation.radiomics, engine)
        measured = clock()
        cut_crops(case.images, site, preparation.crops, preparation.regions, margin)
        return {"radiomics_ms": measured - start, "crop_ms": clock() - measured}


@contextmanager
def _watched(bundle: Bundle, clock: Clock) -> Iterator[list[float]]:
    """Seconds of every forward pass of a backbone."""
    seconds: list[float] = []
    begun: list[float] = []

    def before(module: torch.nn.Module, inputs: Any) -> None:
        begun.append(clock())

    def after(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        seconds.append(clock() - begun.pop())

    backbones = [
        backbone
        for model in bundle.member.models.values()
        for network in model.networks
        for backbone in network.encoders.backbones.values()
    ]
    hooks = [backbone.register_forward_pre_hook(before) for backbone in backbones]
    hooks += [backbone.register_forward_hook(after) for backbone in backbones]
    try:
        yield seconds
    finally:
        for hook in hooks:
            hook.remove()


def _many(cases: pd.DataFrame, patients: int) -> pd.DataFrame:
    """So many patients, made of the given ones under new ids."""
    known = list(dict.fromkeys(cases["patient_id"]))
    parts = []
    for number in range(patients):
        own = cases[cases["patient_id"] == known[number % len(known)]]
        parts.append(
            own.assign(patient_id=f"patient-{number}", image_id=[f"{name}-{number}" for name in own["image_id"]])
        )
    return tables.CASES.conform(pd.concat(parts, ignore_index=True))


def _peak_mib() -> float:
    """The most memory that this process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)
