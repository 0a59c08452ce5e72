"""What a fit leaves on disk: nothing about the machine, and checkpoints that hold data alone."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch

from usdlr.data.dataset import BlockDataset
from usdlr.data.samples import Sample, SampleStore
from usdlr.models.settings import NetworkSettings
from usdlr.tasks.fit import fit_stage
from usdlr.tasks.settings import FitSettings

NETWORK = NetworkSettings(
    backbone="test_resnet", modalities=["bmode"], rois=["intratumoral"], embedding_dim=4, tabular_hidden=2
)


class Stop(pl.Callback):
    """Ends the fit in the middle of the second epoch."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == 1 and batch_idx == 1:
            raise self.error


def dataset(size: int) -> BlockDataset:
    rng = np.random.default_rng(size)
    roi = np.ones((32, 32), bool)
    samples = tuple(
        Sample({"bmode": rng.uniform(0, 255, (32, 32)).astype(np.float32)}, {"intratumoral": roi}) for _ in range(size)
    )
    store = SampleStore(tuple(f"Doe-Jane-{i}" for i in range(size)), samples)
    table = rng.standard_normal((size, 2)).astype(np.float32)
    return BlockDataset(store, NETWORK.image_blocks, table, np.arange(size) % 2.0)


def fit(folder: Path, *, wandb: str, epochs: int = 2, **rest: Any) -> None:
    fit_stage(
        dataset(12), dataset(6), network=NETWORK, settings=FitSettings(epochs=epochs, batch_size=4, wandb=wandb),
        seed=0, folder=folder, name="fold 0 sln", **rest,
    )  # fmt: skip


def secrets(folder: Path) -> list[str]:
    """Words that no file may hold; short names occur in any binary file by chance."""
    host, user = socket.gethostname(), getpass.getuser()
    return [
        str(folder),
        str(folder.parent),
        str(Path.cwd()),
        str(Path.home() / ".cache"),
        "Doe-Jane",
        *([host] if len(host) > 3 else []),
        *([user] if len(user) > 4 else []),
    ]


def assert_private(folder: Path) -> None:
    for path in folder.rglob("*"):
        assert not path.is_symlink(), path
        assert not path.name.startswith("debug"), path
        assert path.suffix != ".log", path
        for secret in secrets(folder):
            assert secret not in path.name, path
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), (path, secret)


def test_finished_fit_tells_nothing_about_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real name may be too short to look for.
    monkeypatch.setattr(socket, "gethostname", lambda: "radiology-workstation-7")
    folder = tmp_path / "hospital"
    fit(folder, wandb="offline")
    assert list(folder.rglob("*.wandb")), "the offline run is there, or the test proves nothing"
    assert b"tuning_loss" in next(folder.rglob("*.wandb")).read_bytes()
    assert_private(folder)
    log = pd.read_csv(folder / "csv" / "metrics.csv")
    assert {"epoch", "step", "train_loss", "tuning_loss", "tuning_auc"} <= set(log.columns)
    assert set(log["epoch"]) == {0, 1}
    assert not (folder / "checkpoints").exists()


def test_interrupted_fit_tells_nothing_about_the_machine(tmp_path: Path) -> None:
    folder = tmp_path / "hospital"
    with pytest.raises(KeyboardInterrupt):
        fit(folder, wandb="offline", callbacks=[Stop(KeyboardInterrupt())])
    assert list(folder.rglob("*.wandb"))
    # The checkpoint stays until the fit is finished; it must know where it lies.
    for part in ("wandb", "csv"):
        assert_private(folder / part)


def test_checkpoint_in_the_middle_of_a_fit_holds_data_alone(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, wandb="disabled", epochs=3, callbacks=[Stop(RuntimeError("power cut"))])
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 0
    assert checkpoint["hyper_parameters"]["network"] == NETWORK.as_dict()
    assert all(torch.isfinite(value).all() for value in checkpoint["state_dict"].values())
    content = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    assert b"Doe-Jane" not in content


def test_without_tracker_only_the_table_is_written(tmp_path: Path) -> None:
    fit(tmp_path, wandb="disabled", epochs=1)
    assert {path.name for path in tmp_path.iterdir()} == {"csv"}
