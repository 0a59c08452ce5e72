"""What a run shows in Weights & Biases: its pictures by name, and nothing about patient or machine."""

from __future__ import annotations

import io
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wandb
from PIL import Image

from tests.tasks.test_privacy import assert_private
from usdlr.tasks.loggers import Media, build_loggers, log_media

CAPTION = "Heat map 1, SLN stage (simulated)"


def picture(value: int, shape: tuple[int, int] = (8, 8)) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((*shape, 3), value, np.uint8)).save(stream, format="png")
    return stream.getvalue()


MEDIA = Media(
    drawings={"roc": '<svg xmlns="http://www.w3.org/2000/svg"><title>ROC curves</title></svg>'},
    pictures={"heat_maps": [(picture(10), CAPTION), (picture(200, (6, 10)), "second")]},
    tables={"roc_points": pd.DataFrame({"stage": ["sln"], "sensitivity": [0.5]})},
)


def test_the_offline_file_names_every_picture_and_no_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "radiology-workstation-7")
    folder = tmp_path / "Doe-Jane-hospital" / "media"
    log_media(folder, "demo report", "offline", MEDIA)
    (log,) = folder.rglob("*.wandb")
    content = log.read_bytes()
    for word in ("roc", "heat_maps", "roc_points", CAPTION, "demo report"):
        assert word.encode() in content, word
    assert_private(folder)
    images = [path.read_bytes() for path in folder.rglob("*.png")]
    found = sorted(int(np.asarray(Image.open(io.BytesIO(image)))[0, 0, 0]) for image in images)
    assert found == [10, 200]
    # The viewer takes a row of pictures to be of one size.
    assert {Image.open(io.BytesIO(image)).size for image in images} == {(10, 8)}
    (drawing,) = folder.rglob("*.html")
    assert "ROC curves" in drawing.read_text(encoding="utf-8")
    assert len(list(folder.rglob("*.table.json"))) == 1


def test_a_second_call_replaces_the_first_and_disabled_writes_nothing(tmp_path: Path) -> None:
    log_media(tmp_path / "media", "demo report", "offline", MEDIA)
    log_media(tmp_path / "media", "demo report", "offline", replace(MEDIA, pictures={}))
    assert len(list((tmp_path / "media").rglob("*.wandb"))) == 1
    assert not list((tmp_path / "media").rglob("*.png"))
    log_media(tmp_path / "none", "demo report", "disabled", MEDIA)
    assert not (tmp_path / "none").exists()


def test_a_service_that_cannot_be_reached_costs_the_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "media" / "wandb" / "run-1" / "logs"

    def unreachable(**_: object) -> None:
        logs.mkdir(parents=True)
        (logs / "debug.log").write_text("/home/doe-jane", encoding="utf-8")
        raise wandb.errors.CommError("no network")

    monkeypatch.setattr(wandb, "init", unreachable)
    log_media(tmp_path / "media", "demo report", "online", MEDIA)
    assert "no network" in capsys.readouterr().err
    assert not logs.exists()


def test_a_fit_goes_on_where_its_tracker_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine so busy that the helper process does not answer in time: hours of fitting are not thrown away."""
    import wandb

    def away(**_: object) -> None:
        raise wandb.Error("Failed to read port info after 30.0 seconds: /home/somebody/secret")

    monkeypatch.setattr(wandb, "init", away)
    (logger,) = build_loggers(tmp_path, "fit", "offline")
    assert type(logger).__name__ == "CSVLogger"
    told = capsys.readouterr().err
    assert "CSV log" in told
    assert "somebody" not in told
