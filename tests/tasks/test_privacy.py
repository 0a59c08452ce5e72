"""What a fit leaves on disk: nothing about the machine, and checkpoints that hold data alone."""

from __future__ import annotations

import getpass
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import save_file

from tests.axillae import COLUMNS, NETWORK, SCORED, bright_axillae
from usdlr.data.batch import InputForm
from usdlr.data.dataset import AxillaDataset
from usdlr.models.network import FusionNetwork
from usdlr.tasks.fit import fit_network
from usdlr.tasks.settings import FitSettings


class Stop(pl.Callback):
    """Ends the fit in the middle of the second epoch."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == 1 and batch_idx == 1:
            raise self.error


def dataset(size: int) -> AxillaDataset:
    return AxillaDataset(bright_axillae(size, size, name="Doe-Jane-", side=32), InputForm(NETWORK.image_blocks))


def fit(folder: Path, *, wandb: str, epochs: int = 2, **rest: Any) -> None:
    options = {"network": NETWORK, "columns": COLUMNS, "scored": SCORED, "size_px": 32, "seed": 0, **rest}
    settings = FitSettings(epochs=epochs, batch_size=4, wandb=wandb)
    fit_network(dataset(12), dataset(6), settings=settings, folder=folder, name="fold 0 sln", **options)


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
    assert checkpoint["hyper_parameters"]["columns"] == COLUMNS
    assert all(torch.isfinite(value).all() for value in checkpoint["state_dict"].values())
    content = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    assert b"Doe-Jane" not in content


def test_without_tracker_only_the_table_is_written(tmp_path: Path) -> None:
    fit(tmp_path, wandb="disabled", epochs=1)
    assert {path.name for path in tmp_path.iterdir()} == {"csv"}


def test_where_the_first_weights_came_from_is_written_nowhere(tmp_path: Path) -> None:
    private = tmp_path / "archive-of-jane-doe"
    private.mkdir()
    torch.manual_seed(0)
    network = FusionNetwork(NETWORK, COLUMNS, 32, scored=SCORED)
    save_file(network.state_dict(), private / "start.safetensors")
    start = replace(NETWORK, weights_file=str(private / "start.safetensors"))
    folder = tmp_path / "fit"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(folder, wandb="offline", network=start, callbacks=[Stop(RuntimeError("power cut"))])
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in found)
    assert any(path.suffix == ".ckpt" for path in found)
    assert not [path for path in found if b"archive-of-jane-doe" in path.read_bytes()]
