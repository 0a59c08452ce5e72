"""The course of a fit: what its networks logged, epoch by epoch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.core.types import Stage
from usdlr.experiment.layout import Layout
from usdlr.ingest.splits import BUNDLE_FOLD
from usdlr.report.inputs import LOSS_COLUMNS

PART = re.compile(r"metrics\.part(\d+)\.csv")


def run_losses(layout: Layout) -> pd.DataFrame:
    """Training and tuning loss of every fit of a run, the bundle's among them.

    Returns
    -------
    DataFrame
        ``stage fold network epoch train tuning``; not-a-number where an epoch did not end. Empty for stages that took
        other ones' networks.
    """
    parts = []
    for stage in Stage:
        for fold in [*layout.test_folds(), BUNDLE_FOLD]:
            course = training_course(layout.stage(fold, stage))
            if course.empty:
                continue
            named = course.reindex(columns=["network", "epoch", "train_loss", "tuning_loss"])
            named = named.rename(columns={"train_loss": "train", "tuning_loss": "tuning"})
            parts.append(named.assign(stage=str(stage), fold=str(fold)))
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(LOSS_COLUMNS))
    return whole[list(LOSS_COLUMNS)]


def training_course(folder: Path) -> pd.DataFrame:
    """What a fitted stage's networks logged, interrupted parts joined.

    Parameters
    ----------
    folder : Path
        The stage's.

    Returns
    -------
    DataFrame
        ``network epoch`` and what was logged, a row per network and epoch; an epoch that was begun twice counts as it
        ended. Empty for a stage that took another one's networks.
    """
    found = [
        _one_course(logs).assign(network=network)
        for network, logs in enumerate(_logs(folder))
        if list(logs.glob("metrics*.csv"))
    ]
    if not found:
        return pd.DataFrame({"network": [], "epoch": []})
    course = pd.concat(found, ignore_index=True)
    return course[["network", "epoch", *(name for name in course if name not in ("network", "epoch"))]]


def _logs(folder: Path) -> Iterator[Path]:
    """Folders of the networks' logs, the first network's first."""
    members = sorted(folder.glob("member_*"), key=lambda path: int(path.name.removeprefix("member_")))
    yield from (path / "csv" for path in members or [folder])


def _one_course(logs: Path) -> pd.DataFrame:
    def order(path: Path) -> float:
        part = PART.fullmatch(path.name)
        return float(part[1]) if part else np.inf

    parts = [pd.read_csv(path) for path in sorted(logs.glob("metrics*.csv"), key=order)]
    rows = pd.concat(parts, ignore_index=True).drop(columns="step")
    return rows.groupby("epoch", sort=True).last().reset_index()
