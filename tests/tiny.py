"""The demo, made small enough for a test: everything is real, nothing is good."""

from __future__ import annotations

from pathlib import Path

from usdlr.cli.run import read_config
from usdlr.experiment.config import ExperimentConfig

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "experiments" / "demo" / "experiment.yaml"

TINY = {
    "splits.folds": "2",
    "splits.tuning": "0.25",
    "splits.calibration": "0.25",
    "crop.size_px": "64",
    "model.backbone": "test_resnet",
    "model.embedding_dim": "8",
    "fit.epochs": "2",
    "fit.wandb": "disabled",
    "jobs": "1",
    "gallery": "4",
    "radiomics.pixel_mm": "0.25",
    "radiomics.min_pixels": "16",
    "selection.bootstraps": "2",
}

# A shell that starts work in the background lets it ignore Ctrl-C; a terminal does not.
AS_IN_A_TERMINAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from usdlr.cli.main import entry_point
entry_point()
"""


def tiny_words(cohort: Path, out: Path, *overrides: str) -> list[str]:
    """Words of the command line after ``usdlr run``."""
    words = [word for key, value in TINY.items() for word in (f"--{key}", value)]
    return [str(DEMO), *words, "--data.root", str(cohort), *overrides, "--out", str(out)]


def tiny_config(cohort: Path, *overrides: str) -> ExperimentConfig:
    """The tiny experiment with further overrides."""
    return read_config(tiny_words(cohort, Path("unused"), *overrides))[0]
