"""A run that takes no time: real tables of 64 invented axillae, whose scores follow from the configuration."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy.special import expit

from tests.tiny import DEMO
from usdlr.cli.run import read_config
from usdlr.core import tables
from usdlr.core.files import write_json, write_text
from usdlr.core.hashing import derive_seed
from usdlr.core.provenance import Provenance
from usdlr.evaluation import metrics
from usdlr.experiment.config import ExperimentConfig

PATIENTS = 64
SPLITS = ("test", "tuning", "calibration", "train")
STAGES = ("sln", "nsln")


@cache
def made_config(*overrides: str) -> ExperimentConfig:
    """The demo's configuration with overrides such as ``--seed=3``."""
    return read_config([str(DEMO), *overrides, "--out", "unused"])[0]


def build(overrides: Any) -> ExperimentConfig:
    """A point's configuration, as the command line builds it."""
    return made_config(*(f"--{key}={value}" for key, value in overrides.items()))


def made_run(config: ExperimentConfig, out: Path, *, patients: int = PATIENTS, flip: int = 0) -> Path:
    """Write a finished run; the best dropout is 0.3, and ``flip`` outcomes are turned round."""
    number = np.arange(patients)
    names = [f"secret-{value:03d}" for value in number]
    sln = (number % 2).astype(float)
    sln[:flip] = 1 - sln[:flip]
    nsln = np.where(sln == 1, (number // 2) % 2, 0).astype(float)
    provenance = Provenance("made")
    cases = pd.DataFrame({"patient_id": names, "image_id": names, "lesion_id": "1", "side": "left", "site": "tumour"})
    cases = cases.assign(centre_id="simulated-made", spacing_source="manifest", bmode_path="none.png")
    cases = cases.assign(sln_positive=sln == 1, nsln_positive=pd.array(nsln == 1, dtype="boolean"))
    tables.CASES.write(cases, out / "cases.parquet", provenance)
    group = (number // 4 + config.seed) % 4
    splits, predictions = [], []
    for fold in ("0", "1", "2", "3", "bundle"):
        turn = 0 if fold == "bundle" else int(fold)
        split = np.array([SPLITS[(value - turn) % 4] for value in group])
        if fold == "bundle":
            split[split == "test"] = "train"
        splits.append(pd.DataFrame({"fold": fold, "patient_id": names, "split": split}))
        for stage, label in (("sln", sln), ("nsln", nsln)):
            draw = np.random.default_rng(derive_seed(config.model.dropout, config.seed, fold, stage))
            quality = 1.5 - 20 * (config.model.dropout - 0.3) ** 2
            logit = np.round(quality * (label - 0.5) + draw.normal(size=patients), 3)
            rows = pd.DataFrame({"patient_id": names, "side": "left", "stage": stage, "fold": fold, "split": split})
            rows = rows.assign(logit=logit, logit_low=logit - 1, logit_high=logit + 1)
            predictions.append(rows.assign(probability=expit(logit), model_id="made"))
    tables.SPLITS.write(pd.concat(splits), out / "splits.csv", provenance)
    table = tables.PREDICTIONS.write(pd.concat(predictions), out / "predictions.parquet", provenance)
    write_text(out / "config.yaml", yaml.safe_dump(config.as_dict(), sort_keys=False))
    write_json(out / "metrics.json", _metrics(config, table, {"sln": sln, "nsln": np.where(sln == 1, nsln, np.nan)}))
    write_json(out / "provenance.json", {})
    # Two fits side by side, then a pause.
    times = {"ingest": [0, 2.5], "fit-0-sln": [2.5, 8.5], "fit-bundle-sln": [2.5, 10.5], "results": [100, 102]}
    for step, time_s in times.items():
        write_json(out / ".journal" / f"{step}.json", {"key": "", "outputs": {}, "time_s": time_s})
    return out


def judged(table: pd.DataFrame, stage: str) -> pd.DataFrame:
    """Test rows of one stage in the order of the patients."""
    rows = table[(table["split"] == "test") & (table["stage"] == stage)]
    return rows.sort_values("patient_id").reset_index(drop=True)


def _metrics(config: ExperimentConfig, table: pd.DataFrame, labels: dict[str, Any]) -> dict[str, Any]:
    areas = {
        stage: metrics.auc(label, judged(table, stage)["probability"]).as_dict() for stage, label in labels.items()
    }

    def entry(value: float) -> dict[str, Any]:
        return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 32, "method": "made"}

    return {
        "experiment": config.name,
        "question": config.question,
        "simulated": True,
        "cohort": {"centres": ["simulated-made"], "axillae": len(labels["sln"]), "patients": len(labels["sln"])},
        "stages": {stage: {"auc": area, "share_of_limit": entry(0.8)} for stage, area in areas.items()},
        "cascade": {
            "fnr_sln": entry(0.125) | {"events": 4},
            "fnr_nsln": entry(0.25) | {"events": 8},
            "contract": {"status": "not_certifiable" if config.seed == 0 else "certified"},
        },
        "baselines": {
            name: {"stages": {stage: {"auc": entry(area)} for stage in STAGES}}
            for name, area in (("size", 0.61), ("radiomics", 0.64))
        },
    }
