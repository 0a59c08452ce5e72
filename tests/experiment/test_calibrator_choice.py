"""What the calibrator of a fold, and the choice among several, is allowed to see."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.tiny import DEMO
from usdlr.cli.run import read_config
from usdlr.core.errors import ConfigError
from usdlr.core.leak import Rows
from usdlr.core.types import Split, Stage
from usdlr.decision.calibration_choice import FittedCalibrator, fit_calibrator
from usdlr.experiment import decide
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import RAW, Layout

PATIENTS = [f"p{i}" for i in range(100)]
SPLIT = pd.Series(["train", "tuning", "tuning", "calibration", "test"] * 20, index=PATIENTS, name="split")


class _SeenEnough(Exception):  # noqa: N818  # nothing went wrong
    pass


def seen(folder: Path, monkeypatch: pytest.MonkeyPatch, *, changed: list[Split]) -> tuple[dict[str, Any], Rows]:
    """What the first stage's calibrator of a fold is chosen by, after patients of some splits were changed."""
    draw = np.random.default_rng(0)
    logit, ill = draw.normal(0, 2, 100), (draw.random(100) < 0.4).astype(float)
    other = SPLIT.isin(list(map(str, changed))).to_numpy()
    logit, ill = np.where(other, 5 - 3 * logit, logit), np.where(other, 1 - ill, ill)
    labels = pd.DataFrame({"patient_id": PATIENTS, "side": "left", "sln": ill, "nsln": np.where(ill == 1, 0.0, np.nan)})
    layout = Layout(folder)
    stage = layout.stage("0", next(iter(Stage)))
    stage.mkdir(parents=True, exist_ok=True)
    labels[["patient_id", "side"]].assign(logit=logit).to_parquet(stage / RAW)
    kept: list[tuple[FittedCalibrator, Rows]] = []

    def watched(*data: Any, rows: Rows) -> FittedCalibrator:
        kept.append((fit_calibrator(*data, rows=rows), rows))
        raise _SeenEnough

    monkeypatch.setattr(decide, "fit_calibrator", watched)
    config: Any = SimpleNamespace(calibrator={"auto": {"candidates": ["platt", "temperature", "isotonic"]}})
    with pytest.raises(_SeenEnough):
        decide._one_fold(config, layout, pd.DataFrame(), labels, "0", SPLIT)
    (found, rows) = kept[0]
    assert found.choice is not None
    return {"choice": found.choice, "calibrator": found.calibrator.to_dict()}, rows


def test_the_choice_sees_tuning_patients_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, rows = seen(tmp_path, monkeypatch, changed=[])
    assert set(rows.split) == {"tuning"}
    assert rows.patients == frozenset(SPLIT.index[SPLIT == "tuning"])
    assert before["choice"]["candidates"]
    for split in (Split.CALIBRATION, Split.TEST, Split.TRAIN):
        assert seen(tmp_path, monkeypatch, changed=[split])[0] == before, split
    assert seen(tmp_path, monkeypatch, changed=[Split.TUNING])[0] != before


def config(*words: str) -> ExperimentConfig:
    return read_config([str(DEMO), *words, "--out", "x"])[0]


def test_a_configuration_may_leave_the_choice_to_the_tuning_patients() -> None:
    assert config("--calibrator", "auto").calibrator == "auto"
    assert config("--calibrator", "isotonic").calibrator == "isotonic"
    part = {"auto": {"candidates": ["platt", "venn_abers"], "folds": 4}}
    assert config("--calibrator", str(part)).calibrator == part


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ("auot", "did you mean 'auto'"),
        ("{auto: {fold: 4}}", "did you mean 'folds'"),
        ("{auto: {candidates: [spline]}}", "expected one of platt, temperature, beta, isotonic, venn_abers"),
        ("{platt: {prior_strength: -1}}", "prior_strength = -1"),
    ],
)
def test_a_calibrator_that_cannot_be_is_refused_before_anything_runs(part: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        config("--calibrator", part)
