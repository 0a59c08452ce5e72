"""Fitting a network that outlines: it learns, continues where it stopped, and refuses what it must not learn from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tests.discs import FIT, NETWORK, disc_frame
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.leak import Rows
from usdlr.data.segmentation import Frame
from usdlr.imaging.window import Window, look, paste
from usdlr.models.segmentation import SegmentationNetwork
from usdlr.tasks.segmentation.fit import fit_outliner, rising_average
from usdlr.tasks.segmentation.settings import OutlineFitSettings
from usdlr.tasks.segmentation.task import OutlineTask

FRAMES = [disc_frame(number) for number in range(24)]
SHORT = replace(FIT, epochs=3, batch_size=4, average=0.8)
STEPS = 3  # of an epoch of twelve frames


def rows(frames: list[Frame], split: str = "train") -> Rows:
    return Rows.of([frame.patient_id for frame in frames], [split] * len(frames))


def fit(
    folder: Path, settings: OutlineFitSettings = SHORT, frames: list[Frame] = FRAMES[:12], **more: Any
) -> dict[str, Tensor]:
    given: dict[str, Any] = {"network": NETWORK, "seed": 0, "name": "made", "rows": rows(frames)} | more
    return fit_outliner(frames, settings=settings, folder=folder, **given)


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for key in one:
        assert torch.equal(one[key], other[key]), key


class Stop(pl.Callback):
    """Ends the fit before a step."""

    def __init__(self, step: int, error: BaseException) -> None:
        self.step, self.error = step, error

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            raise self.error


class Seen(pl.Callback):
    """Notes which epochs are fitted."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.epochs.append(trainer.current_epoch)


def test_it_finds_discs_that_it_has_not_seen(tmp_path: Path) -> None:
    state = fit(tmp_path, replace(FIT, epochs=50), FRAMES)
    network = SegmentationNetwork(NETWORK).eval()
    network.load_state_dict(state)
    overlaps: list[float] = []
    presence: dict[bool, list[float]] = {True: [], False: []}
    with torch.inference_mode():
        for frame in (disc_frame(number) for number in range(500, 524)):
            window = Window.whole(frame.shape)
            image = torch.from_numpy(look(frame.grey, window, NETWORK.size_px) / 255)[None, None]
            said = network(image, torch.zeros(1, 3, NETWORK.size_px, NETWORK.size_px))
            there = frame.lesions > 0
            presence[bool(there.any())].append(float(said.presence))
            if there.any():
                found = paste(said.mask.sigmoid()[0, 0].numpy(), window, frame.shape) >= 0.5
                overlaps.append(2 * (found & there).sum() / (found.sum() + there.sum()))
    assert np.mean(overlaps) > 0.8, overlaps
    assert np.median(presence[True]) > np.median(presence[False])


class TestResume:
    @pytest.mark.parametrize("average", [0.8, 0.0])
    def test_interrupted_and_continued_equals_uninterrupted(self, average: float, tmp_path: Path) -> None:
        settings = replace(SHORT, average=average, windows=replace(SHORT.windows, marks=0.5, bend=0.02))
        network = replace(NETWORK, dropout=0.3)  # chance that is drawn step by step
        whole = fit(tmp_path / "whole", settings, network=network)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "cut", settings, network=network, callbacks=[Stop(STEPS, KeyboardInterrupt())])
        assert [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()] == ["last.ckpt"]
        with pytest.raises(RuntimeError, match="killed"):  # in the middle of an epoch, and not by a person
            fit(tmp_path / "cut", settings, network=network, callbacks=[Stop(2 * STEPS + 1, RuntimeError("killed"))])
        seen = Seen()
        assert_equal(whole, fit(tmp_path / "cut", settings, network=network, callbacks=[seen]))
        assert seen.epochs == [2]  # a fit from the start would come to the same weights
        for name in ("whole", "cut"):
            assert not (tmp_path / name / "checkpoints").exists()

    def test_the_average_is_what_is_kept(self, tmp_path: Path) -> None:
        plain = fit(tmp_path / "plain", replace(SHORT, average=0.0))
        averaged = fit(tmp_path / "averaged")
        assert plain.keys() == averaged.keys()
        weights = [key for key, value in plain.items() if value.ndim == 4]
        assert not any(torch.equal(plain[key], averaged[key]) for key in weights)

    def test_the_seed_decides(self, tmp_path: Path) -> None:
        one = fit(tmp_path / "one", replace(SHORT, epochs=1))
        assert_equal(one, fit(tmp_path / "same", replace(SHORT, epochs=1)))
        other = fit(tmp_path / "other", replace(SHORT, epochs=1), seed=1)
        assert not torch.equal(one["body.encoder.model.conv1.0.weight"], other["body.encoder.model.conv1.0.weight"])

    def test_the_state_is_the_networks(self, tmp_path: Path) -> None:
        state = fit(tmp_path, replace(SHORT, epochs=1))
        SegmentationNetwork(NETWORK).load_state_dict(state)
        assert all(value.is_contiguous() and torch.isfinite(value).all() for value in state.values())


class TestRefused:
    @pytest.mark.parametrize("split", ["tuning", "calibration", "test", "external"])
    def test_other_splits(self, split: str, tmp_path: Path) -> None:
        ids = [frame.patient_id for frame in FRAMES[:12]]
        with pytest.raises(LeakError, match=f"found 1 {split} rows in the fit of the network that outlines lesions"):
            fit(tmp_path, rows=Rows.of(ids, ["train"] * 11 + [split]))
        assert not list(tmp_path.iterdir())

    def test_nothing_to_learn_from(self, tmp_path: Path) -> None:
        bare = [replace(frame, lesions=np.zeros(frame.shape, dtype=np.uint8)) for frame in FRAMES[:4]]
        with pytest.raises(DataError, match="found 4 images to learn made from, expected at least 2, one of them with"):
            fit(tmp_path, frames=bare)
        with pytest.raises(DataError, match="found 1 images to learn made from"):
            fit(tmp_path, frames=FRAMES[:1])

    def test_rows_of_others(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="12 frames and 11 rows"):
            fit(tmp_path, rows=rows(FRAMES[:11]))

    def test_a_loss_that_is_no_number(self, tmp_path: Path) -> None:
        settings = replace(SHORT, learning_rate=1e30, warmup=0.0)
        for _ in range(2):  # the same command says the same
            with pytest.raises(
                ConfigError, match=r"a loss that is not a number in epoch \d.*lower fit.learning_rate"
            ) as e:
                fit(tmp_path, settings)
            assert "\n" not in str(e.value)

    def test_a_network_that_cannot_be_built(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"network.encoder = 'resnet_of_no_kind', expected a timm model name"):
            fit(tmp_path, network=replace(NETWORK, encoder="resnet_of_no_kind"))


def test_the_rate_rises_and_falls_to_nothing() -> None:
    task = OutlineTask(NETWORK.as_dict(), vars(FIT.loss).copy(), 1e-2, 0.01, steps=100, warmup=0.1)
    made = task.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert made["lr_scheduler"]["interval"] == "step"
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(1e-3)
    assert max(rates) == pytest.approx(1e-2)
    assert np.argmax(rates) in (9, 10)
    assert rates[55] == pytest.approx(5e-3, rel=0.01)
    assert rates[-1] < 1e-5
    # Biases and normalisation do not decay; everything is in one group or the other.
    decays = {group["weight_decay"] for group in optimizer.param_groups}
    assert decays == {0.0, 0.01}
    parameters = [id(one) for group in optimizer.param_groups for one in group["params"]]
    assert sorted(parameters) == sorted(map(id, task.network.parameters()))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "fit.epochs = 0, expected at least 1"),
        ({"batch_size": 1}, "fit.batch_size = 1, expected at least 2"),
        ({"workers": -1}, "fit.workers = -1"),
        ({"learning_rate": 0.0}, "fit.learning_rate = 0.0"),
        ({"learning_rate": float("nan")}, "fit.learning_rate = nan"),
        ({"weight_decay": -1.0}, "fit.weight_decay = -1.0"),
        ({"warmup": 1.0}, "fit.warmup = 1.0"),
        ({"average": 1.0}, "fit.average = 1.0, expected shares below 1"),
        ({"precision": "8"}, "fit.precision = '8', expected one of"),
        ({"precision": "16-mixed"}, "fit.precision = 16-mixed on a CPU"),
        ({"wandb": "on"}, "fit.wandb = 'on', expected one of"),
    ],
)
def test_impossible_settings_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OutlineFitSettings(**given)


def weight(average: AveragedModel) -> float:
    (only,) = average.module.parameters()
    return float(only.detach())


class TestAverage:
    """A plain average of decay 0.995 is still half its random start after 139 steps."""

    def followed(self, steps: int) -> float:
        """The average of a weight that was 0 once and has been 1 since."""
        layer = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(layer.weight)
        average = AveragedModel(layer, multi_avg_fn=rising_average(0.995))
        average.update_parameters(layer)
        nn.init.ones_(layer.weight)
        for _ in range(steps):
            average.update_parameters(layer)
        return weight(average)

    def test_a_short_fit_forgets_its_start(self) -> None:
        assert self.followed(1) > 0.8  # 1 - 2 / 11
        assert self.followed(30) > 0.999

    def test_it_rises_to_the_stated_decay(self) -> None:
        layer = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(layer.weight)
        average = AveragedModel(layer, multi_avg_fn=rising_average(0.995))
        for _ in range(3000):
            average.update_parameters(layer)
        nn.init.ones_(layer.weight)
        average.update_parameters(layer)
        assert weight(average) == pytest.approx(0.005, rel=1e-4)
