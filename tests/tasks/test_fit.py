"""A fit is deterministic, and an interrupted fit ends where an uninterrupted one does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch._inductor.config as inductor
import torch.distributed
from sklearn.metrics import roc_auc_score

from tests.axillae import COLUMNS, NETWORK, SCORED, bright_axillae
from usdlr.core.errors import ConfigError, DataError
from usdlr.data.augment import Augmenter, AugmentSettings
from usdlr.data.batch import InputForm, collate
from usdlr.data.dataset import AxillaDataset
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings
from usdlr.tasks.fit import fit_network
from usdlr.tasks.settings import FitSettings

SETTINGS = FitSettings(epochs=4, patience=4, batch_size=8, most_images=2, wandb="disabled")
FORM = InputForm(NETWORK.image_blocks)
Weights = dict[str, torch.Tensor]


def training(size: int = 26, **rest: Any) -> AxillaDataset:
    return AxillaDataset(
        bright_axillae(size, 0, images=(1, 3), **rest),
        FORM,
        Augmenter(AugmentSettings(), seed=1),
        most_images=SETTINGS.most_images,
        seed=3,
    )


def tuning(size: int = 10, **rest: Any) -> AxillaDataset:
    return AxillaDataset(bright_axillae(size, 1, **rest), FORM)


class Kill(pl.Callback):
    """Raises before a batch: the one so many batches after the start."""

    def __init__(self, batch: int, error: BaseException | None = None) -> None:
        self.left, self.error = batch, error or RuntimeError("killed")

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self.left == 0:
            raise self.error
        self.left -= 1


def fit(folder: Path, settings: FitSettings = SETTINGS, **rest: Any) -> Weights:
    options: dict[str, Any] = {
        "network": NETWORK,
        "columns": COLUMNS,
        "scored": SCORED,
        "size_px": 64,
        "settings": settings,
        "seed": 3,
        "folder": folder,
        "name": "fold 0 sln",
    }
    parts = rest.pop("train", None) or training(), rest.pop("tuning", None) or tuning()
    return fit_network(*parts, **{**options, **rest})


def assert_equal(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys()
    for key in one:
        assert torch.equal(one[key], other[key]), key


HIDING = replace(NETWORK, block_dropout=0.5, pooling="attention")


@pytest.mark.parametrize(
    ("change", "network", "batches"),
    [
        ({}, NETWORK, (2, 5, 9)),
        ({"average": 0.8}, NETWORK, (5, 9)),
        ({"accumulate": 2}, NETWORK, (5, 9)),
        ({"accumulate": 2, "average": 0.5, "layer_decay": 0.7}, replace(HIDING, frozen=0.5), (6,)),
    ],
    ids=["plain", "average", "accumulate", "everything"],
)
def test_resumed_fit_equals_uninterrupted_fit(
    tmp_path: Path, change: dict[str, Any], network: NetworkSettings, batches: tuple[int, ...]
) -> None:
    settings = replace(SETTINGS, **change)
    whole = fit(tmp_path / "whole", settings, network=network)
    for batch in batches:
        cut = tmp_path / f"cut-{batch}"
        with pytest.raises(RuntimeError, match="killed"):
            fit(cut, settings, network=network, callbacks=[Kill(batch)])
        assert_equal(whole, fit(cut, settings, network=network))
        # The log of the first part is kept beside that of the second.
        assert [path.name for path in (cut / "csv").glob("metrics*.csv")].count("metrics.csv") == 1


class KillAtTheEnd(pl.Callback):
    """Raises when the fit has stopped, before anything is made of it; counts the epochs that were begun."""

    def __init__(self, raises: bool = True) -> None:
        self.epochs, self.raises = 0, raises

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.epochs += 1

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self.raises:
            raise RuntimeError("killed")


@pytest.mark.parametrize("average", [0.0, 0.8])
def test_a_fit_that_was_killed_after_its_early_stop_trains_no_further(tmp_path: Path, average: float) -> None:
    # With steps this large the tuning loss goes up and down: the epoch after the stop is better than all before.
    settings = replace(SETTINGS, epochs=30, patience=1, learning_rate=0.05, average=average)
    counted = KillAtTheEnd(raises=False)
    whole = fit(tmp_path / "whole", settings, callbacks=[counted])
    assert 1 < counted.epochs < 30, "it must have stopped early"
    cut = tmp_path / "cut"
    with pytest.raises(RuntimeError, match="killed"):
        fit(cut, settings, callbacks=[KillAtTheEnd()])
    resumed = KillAtTheEnd(raises=False)
    assert_equal(whole, fit(cut, settings, callbacks=[resumed]))
    assert resumed.epochs == 0


def test_workers_do_not_change_a_fit_and_another_seed_does(tmp_path: Path) -> None:
    brief = replace(SETTINGS, epochs=2)
    whole = fit(tmp_path / "alone", brief)
    assert_equal(whole, fit(tmp_path / "ahead", replace(brief, workers=1)))
    other = fit(tmp_path / "other", brief, seed=4)
    assert any(not torch.equal(whole[key], other[key]) for key in whole)


def test_what_is_kept_with_averaging_is_the_average(tmp_path: Path) -> None:
    """With a decay near one, what is kept has hardly moved since the first step; without, it has."""

    def moved(average: float) -> float:
        settings = replace(SETTINGS, epochs=2, average=average)
        kept = fit(tmp_path / f"{average}", settings)["fusion.head"]
        start = fit(tmp_path / f"{average}-0", replace(settings, learning_rate=1e-12, average=0.0))["fusion.head"]
        return float((kept - start).abs().max())

    assert moved(0.999) < 0.2 * moved(0.0)


def test_frozen_layers_do_not_move_and_the_others_do(tmp_path: Path) -> None:
    def weights(frozen: float, rate: float) -> Weights:
        settings = replace(SETTINGS, epochs=2, learning_rate=rate)
        name = f"{frozen}-{rate}"
        return fit(tmp_path / name, settings, network=replace(NETWORK, frozen=frozen))

    start, all_frozen, half = weights(0.0, 1e-12), weights(1.0, 1e-3), weights(0.5, 1e-3)
    parameters = {name for name, _ in FusionNetwork(NETWORK, COLUMNS, 64, scored=SCORED).named_parameters()}
    backbone = [key for key in start if ".backbones." in key]
    fresh = FusionNetwork(NETWORK, COLUMNS, 64, scored=SCORED).state_dict()
    for key in backbone:
        if key in parameters:
            torch.testing.assert_close(all_frozen[key], start[key], atol=1e-7, rtol=0)
        else:  # running statistics of what is frozen stay those of a network that saw nothing
            assert torch.equal(all_frozen[key], fresh[key]), key
    stem = "encoders.backbones.bmode_intratumoral.conv1.0.weight"
    torch.testing.assert_close(half[stem], start[stem], atol=1e-7, rtol=0)
    assert any((half[key] - start[key]).abs().max() > 1e-4 for key in backbone if key in parameters)
    assert (all_frozen["fusion.head"] - start["fusion.head"]).abs().max() > 1e-4


def test_interrupt_is_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, callbacks=[Kill(1, KeyboardInterrupt())])


def test_one_class_is_refused(tmp_path: Path) -> None:
    train = training(8)
    train.data.label[:] = 1.0
    with pytest.raises(DataError, match=r"only the label 1\.0 in the training axillae of fold 0"):
        fit(tmp_path, train=train)
    held = tuning(8)
    held.data.label[:] = np.nan
    with pytest.raises(DataError, match="only the label unknown in the tuning axillae of fold 0"):
        fit(tmp_path, tuning=held)
    joint = training(8, targets=2)
    joint.data.label[:, 1] = np.nan
    with pytest.raises(DataError, match="of target 2 in the training axillae"):
        fit(tmp_path, train=joint, network=replace(NETWORK, head="multitask"))


@pytest.mark.parametrize("part", ["table", "scores"])
def test_features_that_are_not_numbers_are_refused(tmp_path: Path, part: str) -> None:
    train = training(8)
    getattr(train.data, part)[0] = np.nan
    with pytest.raises(DataError, match="not a number"):
        fit(tmp_path, train=train)


def test_features_of_images_that_nobody_looks_at_may_be_anything(tmp_path: Path) -> None:
    train = training(8)
    spare = replace(train.data, images=train.data.images[:-1], label=train.data.label[:-1], auxiliary=np.zeros((7, 0)))
    spare.table[train.data.images[-1]] = np.nan
    chosen = AxillaDataset(spare, FORM, most_images=2)
    assert fit(tmp_path, replace(SETTINGS, epochs=1), train=chosen)


@pytest.mark.parametrize("head", ["binary", "multitask"])
def test_learns_brightness(tmp_path: Path, head: str) -> None:
    targets = 2 if head == "multitask" else 1
    chosen = replace(NETWORK, head=head)
    settings = FitSettings(epochs=12, patience=12, batch_size=8, learning_rate=3e-3, wandb="disabled")
    parts = {"train": training(32, targets=targets), "tuning": tuning(12, targets=targets)}
    network = FusionNetwork(chosen, COLUMNS, 64, scored=SCORED)
    network.load_state_dict(fit(tmp_path, settings, network=chosen, **parts))
    unseen = AxillaDataset(bright_axillae(20, 7, targets=targets), FORM)
    batch = collate([unseen[row] for row in range(20)])
    with torch.inference_mode():
        output = network.eval()(batch["images"], batch["table"], batch["scores"], batch["present"], batch["place"])
    for target in range(targets):
        known = torch.isfinite(batch["label"][:, target])
        area = roc_auc_score(batch["label"][known, target].numpy(), output.logits[known, target].numpy())
        assert area > (0.95 if target == 0 else 0.75)
    csv = (tmp_path / "csv" / "metrics.csv").read_text()
    assert all(name in csv for name in (["tuning_auc"] if targets == 1 else ["tuning_auc_0", "tuning_auc_1"]))
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.slow
def test_two_devices_give_the_same_twice(tmp_path: Path) -> None:
    if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
        pytest.skip("this build of torch has no gloo, which two processes without a GPU talk over")
    settings = replace(SETTINGS, epochs=2, batch_size=4, devices=2, most_images=1)
    one, other = (fit(tmp_path / name, settings) for name in ("one", "other"))
    assert_equal(one, other)
    assert all(torch.isfinite(value).all() for value in one.values())
    assert not (tmp_path / "one" / "checkpoints").exists()
    assert (tmp_path / "one" / "csv" / "metrics.csv").exists()


def test_without_a_compiler_compiling_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    monkeypatch.setattr(inductor.cpp, "cxx", (None, str(tmp_path / "no-compiler")))
    monkeypatch.setattr(inductor, "force_disable_caches", True)
    with pytest.raises(ConfigError, match=r"fit\.compile = true.*expected a working C\+\+ compiler; fit without it"):
        fit(tmp_path / "fit", replace(SETTINGS, epochs=1, compile=True))
