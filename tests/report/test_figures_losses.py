"""Losses of every fit: drawn where logs are, left out where none is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from usdlr.core.types import Stage
from usdlr.experiment.course import run_losses
from usdlr.experiment.layout import Layout
from usdlr.report.figures import draw_all
from usdlr.report.figures_losses import draw_losses
from usdlr.report.inputs import LOSS_COLUMNS, StudyInputs
from usdlr.report.page import study_page


def losses() -> pd.DataFrame:
    rows = [
        (str(stage), fold, 0, epoch, 0.7 - 0.05 * epoch, 0.72 - 0.04 * epoch)
        for stage in Stage
        for fold in ("0", "1", "bundle")
        for epoch in range(3)
    ]
    return pd.DataFrame(rows, columns=list(LOSS_COLUMNS))


def test_every_fit_has_a_line_and_the_page_shows_them(study: Callable[..., StudyInputs]) -> None:
    inputs = study(patients=60, pictures=False)
    assert draw_losses(inputs) is None
    drawn = draw_losses(replace(inputs, losses=losses()))
    assert drawn is not None
    assert "SLN stage 3\u00a0networks; NSLN stage 3\u00a0networks" in drawn.caption
    assert "no test patient is in this figure" in drawn.caption
    assert drawn.svg.count("#d55e00") + drawn.svg.count("#D55E00") >= 6  # tuning, three fits of two stages
    page = study_page(replace(inputs, losses=losses()), draw_all(replace(inputs, losses=losses())))
    making = next(section for section in page.sections if section.anchor == "making")
    assert any(getattr(block, "drawing", None) is not None for block in making.blocks)


def test_one_epoch_one_stage_and_an_epoch_that_did_not_end(study: Callable[..., StudyInputs]) -> None:
    inputs = study(patients=60, pictures=False)
    part = losses()
    once = part[(part["stage"] == "sln") & (part["epoch"] == 0)].assign(train=float("nan"))
    drawn = draw_losses(replace(inputs, losses=once))
    assert drawn is not None
    assert "NSLN stage 0\u00a0networks" in drawn.caption


def test_logs_of_a_run_are_read(tmp_path: Path) -> None:
    """As Lightning's CSV logger writes them: training and tuning loss of an epoch on lines of their own."""
    (tmp_path / "splits.csv").write_text("fold,patient_id,split\n0,p1,test\nbundle,p1,train\n", encoding="utf-8")
    text = (
        "epoch,step,train_loss,tuning_auc,tuning_loss\n0,2,,0.65,0.7046\n0,2,0.7177,,\n1,5,,0.65,0.7036\n1,5,0.7165,,\n"
    )
    for fold in ("0", "bundle"):
        folder = tmp_path / "work" / "fits" / fold / "sln" / "csv"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(text, encoding="utf-8")
    found = run_losses(Layout(tmp_path))
    assert list(found.columns) == list(LOSS_COLUMNS)
    assert found["fold"].tolist() == ["0", "0", "bundle", "bundle"]
    assert found["train"].tolist() == [0.7177, 0.7165] * 2
    assert found["tuning"].tolist() == [0.7046, 0.7036] * 2
    empty = tmp_path / "other"
    empty.mkdir()
    (empty / "splits.csv").write_text("fold,patient_id,split\n0,p1,test\n", encoding="utf-8")
    assert run_losses(Layout(empty)).empty
    assert re.fullmatch("nsln|sln", found["stage"].iloc[0])
