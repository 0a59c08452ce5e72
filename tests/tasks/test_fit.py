"""A fit is deterministic, and an interrupted fit ends where an uninterrupted one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from sklearn.metrics import roc_auc_score

from usdlr.core.errors import DataError
from usdlr.data.augment import Augmenter, AugmentSettings
from usdlr.data.dataset import BlockDataset
from usdlr.data.samples import Sample, SampleStore
from usdlr.models.settings import NetworkSettings
from usdlr.tasks.fit import fit_stage
from usdlr.tasks.settings import FitSettings

NETWORK = NetworkSettings(
    backbone="test_resnet", modalities=["bmode"], rois=["intratumoral"], embedding_dim=8, tabular_hidden=4
)
SETTINGS = FitSettings(epochs=4, patience=4, batch_size=8, wandb="disabled")


def dataset(size: int, seed: int, *, augment: bool) -> BlockDataset:
    """Bright lesions are positive."""
    rng = np.random.default_rng(seed)
    label = np.arange(size) % 2
    roi = np.zeros((64, 64), dtype=bool)
    roi[16:48, 16:48] = True
    samples = tuple(
        Sample({"bmode": (60 + 90 * y + 20 * rng.standard_normal((64, 64))).astype(np.float32)}, {"intratumoral": roi})
        for y in label
    )
    store = SampleStore(tuple(f"image{seed}-{i}" for i in range(size)), samples)
    table = rng.standard_normal((size, 3)).astype(np.float32)
    augmenter = Augmenter(AugmentSettings(), seed=1) if augment else None
    return BlockDataset(store, NETWORK.image_blocks, table, label.astype(np.float64), augmenter)


class Kill(pl.Callback):
    """Raises in the middle of an epoch."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            raise RuntimeError("killed")


def fit(folder: Path, settings: FitSettings = SETTINGS, **rest: Any) -> dict[str, torch.Tensor]:
    return fit_stage(
        dataset(26, 0, augment=True),
        dataset(10, 1, augment=False),
        network=NETWORK,
        settings=settings,
        seed=3,
        folder=folder,
        name="fold 0 sln",
        **rest,
    )


@pytest.mark.parametrize("step", [2, 5, 9])
def test_resumed_fit_equals_uninterrupted_fit(tmp_path: Path, step: int) -> None:
    whole = fit(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        fit(tmp_path / "cut", callbacks=[Kill(step)])
    resumed = fit(tmp_path / "cut")
    # The log of the first part is kept beside that of the second.
    assert [path.name for path in (tmp_path / "cut" / "csv").glob("metrics*.csv")].count("metrics.csv") == 1
    assert whole.keys() == resumed.keys()
    for key in whole:
        assert torch.equal(whole[key], resumed[key]), key


def test_interrupt_is_reported_as_such(tmp_path: Path) -> None:
    class CtrlC(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, callbacks=[CtrlC()])


def test_one_class_is_refused(tmp_path: Path) -> None:
    train = dataset(8, 0, augment=False)
    train.label[:] = 1.0
    with pytest.raises(DataError, match="training rows of fold 0"):
        fit_stage(
            train, dataset(8, 1, augment=False), network=NETWORK, settings=SETTINGS, seed=0, folder=tmp_path,
            name="fold 0 sln",
        )  # fmt: skip


def test_features_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    train = dataset(8, 0, augment=False)
    train.table[0, 0] = np.nan
    with pytest.raises(DataError, match="not a number"):
        fit_stage(
            train, dataset(8, 1, augment=False), network=NETWORK, settings=SETTINGS, seed=0, folder=tmp_path, name="x"
        )


def test_learns_brightness(tmp_path: Path) -> None:
    from usdlr.data.batch import collate
    from usdlr.models.network import FusionNetwork

    network = FusionNetwork(NETWORK, 3)
    network.load_state_dict(fit(tmp_path, FitSettings(epochs=10, batch_size=8, learning_rate=3e-3, wandb="disabled")))
    unseen = dataset(20, 7, augment=False)
    batch = collate([unseen[i] for i in range(20)])
    with torch.inference_mode():
        fused = network.eval()(batch["images"], batch["table"], batch["present"])
    assert roc_auc_score(batch["label"].numpy(), fused.logit.numpy()) > 0.95
    csv = (tmp_path / "csv" / "metrics.csv").read_text()
    assert "tuning_auc" in csv
    assert not (tmp_path / "checkpoints").exists()
