"""A finished run's folder around given results, as `usdlr run` leaves it, without a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.baselines.nomogram import Nomogram, Variable
from usdlr.core import tables
from usdlr.core.files import read_json, write_json, write_text
from usdlr.core.provenance import Provenance
from usdlr.core.types import Stage
from usdlr.radiomics.selection.frequency import SelectionFrequency, SelectionStability
from usdlr.report.figures_heatmap import HeatCase, HeatPanel
from usdlr.report.inputs import StudyInputs
from usdlr.report.kept import keep
from usdlr.report.study import write_report


def with_everything(inputs: StudyInputs) -> StudyInputs:
    """The study with each kind of thing that no table of a run holds; some numbers are missing."""
    rng = np.random.default_rng(3)
    lesion = np.zeros((24, 24), dtype=bool)
    lesion[8:16, 8:16] = True
    ring = np.zeros_like(lesion)
    ring[5:19, 5:19] = True
    crop = rng.uniform(0, 255, lesion.shape)
    crop[:3] = np.nan
    panels = [
        HeatPanel("bmode.intratumoral", np.where(lesion, rng.normal(size=lesion.shape), 0.0).astype(np.float32), 0.31),
        HeatPanel("elasto.peritumoral-3mm", np.where(ring, -0.2, 0.0), -0.1 / 3, inside=0.875),
    ]
    heat = [
        HeatCase(1, Stage.SLN, crop.astype(np.float32), lesion, ring & ~lesion, panels, 0.42, True),
        HeatCase(2, Stage.NSLN, crop, lesion, ring & ~lesion, panels[:1], 1 / 3, None, unit="units"),
    ]
    size = Variable("clinical.tumour_size_mm", "Tumour size", "mm", 0.05, 5.0, 45.0)
    score = Variable("radiomics_score", "Radiomics score", "log-odds", 1 / 7, -3.0, 3.0)
    nomogram = Nomogram("sentinel node positive", (size, score), -2.0, 100, 30)
    chosen = SelectionFrequency(
        {"clinical.tumour_size_mm": 5, "bmode.intratumoral.original.glcm.Contrast": 3},
        5,
        40,
        SelectionStability(None, None, None),
        failed=1,
        reason="found one class",
    )
    gallery = [replace(case, p_nsln=float("nan")) if case.number == 1 else case for case in inputs.gallery]
    return replace(
        inputs,
        gallery=gallery,
        heat_maps=heat,
        nomograms={"sln": nomogram},
        readouts={"nsln": replace(nomogram, outcome="non-sentinel node positive")},
        selection={"folds-sln": chosen},
    )


def finished_run(inputs: StudyInputs, run: Path) -> StudyInputs:
    """Write the run; returns what its report was made of."""
    provenance = Provenance("made")
    write_text(run / "config.yaml", "name: made\n")
    predictions = tables.PREDICTIONS.write(inputs.predictions, run / "predictions.parquet", provenance)
    decisions = tables.DECISIONS.write(inputs.decisions, run / "decisions.parquet", provenance)
    exclusions = tables.EXCLUSIONS.write(inputs.exclusions, run / "exclusions.csv", provenance)
    (run / "work").mkdir()
    inputs.baselines.to_parquet(run / "work" / "baselines.parquet", index=False)
    write_json(run / "metrics.json", dict(inputs.metrics))
    given = replace(
        inputs,
        metrics=read_json(run / "metrics.json"),
        predictions=predictions,
        decisions=decisions,
        exclusions=tables.EXCLUSIONS.read(run / "exclusions.csv"),
        baselines=pd.read_parquet(run / "work" / "baselines.parquet"),
    )
    assert len(exclusions) == len(given.exclusions)
    keep(given, run)
    write_report(given, run)
    write_json(run / "provenance.json", {"command": "made"})
    for step, time_s in {"ingest": [0, 2.5], "fit-0-sln": [2.5, 8.5], "results": [100, 102]}.items():
        write_json(run / ".journal" / f"{step}.json", {"key": "", "outputs": {}, "time_s": time_s})
    return given
