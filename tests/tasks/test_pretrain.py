"""Pre-training: reproducible, resumable, without the held-out patients, and refused when it learns nothing."""

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
from torch import nn

from usdlr.core.errors import CaseError, ConfigError, DataError, LeakError
from usdlr.core.leak import Rows
from usdlr.core.modalities import BMODE
from usdlr.core.units import Spacing
from usdlr.imaging.image import UltrasoundImage
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.resample import Box
from usdlr.imaging.store import mask_to_png, write_png
from usdlr.models.backbones import build_backbone
from usdlr.models.pretraining import Patches
from usdlr.models.weights import save_backbone
from usdlr.tasks.pretrain.data import ViewDataset, collate_views, draw_hidden, draw_view, plain_view, watched_patients
from usdlr.tasks.pretrain.fit import Pretrained, build_method, fit_method, newest_checkpoint, refresh_statistics
from usdlr.tasks.pretrain.holdout import choose, read_patients
from usdlr.tasks.pretrain.images import Canvas, box_maker, field_of_view_box, lesion_box, read_canvas, resize
from usdlr.tasks.pretrain.settings import PretrainSettings, ViewSettings

MASKED = PretrainSettings(
    backbone="test_resnet", size_px=64, epochs=3, warmup_epochs=1, batch_size=8, watch=0.25, wandb="disabled"
)
CONTRASTIVE = PretrainSettings(
    **{**vars(MASKED), "method": {"contrastive": {"width": 16}}, "views": ViewSettings(smallest=0.5)}
)
IMAGES = 24


def canvas(seed: int) -> Canvas:
    """A dark disc somewhere in a bright layer over a darker one."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:80, :80]
    grey = np.where(rows < rng.integers(20, 60), 170.0, 90.0)
    centre, radius = rng.integers(25, 55, size=2), rng.integers(8, 20)
    grey = np.where(np.hypot(rows - centre[0], cols - centre[1]) < radius, 20.0, grey)
    grey = grey + 6 * rng.standard_normal((80, 80))
    return Canvas(np.clip(grey, 0, 255).astype(np.uint8), np.ones((80, 80), dtype=bool))


CANVASES = [canvas(seed) for seed in range(IMAGES)]
NAMES = [f"Doe-Jane-{place}" for place in range(IMAGES)]
PATIENTS = [f"patient{place // 2}" for place in range(IMAGES)]


def fit(
    folder: Path, settings: PretrainSettings = MASKED, canvases: list[Canvas] = CANVASES, **rest: Any
) -> Pretrained:
    rows = Rows.of(PATIENTS, ["train"] * IMAGES)
    return fit_method(build_method(settings), canvases, NAMES, rows, settings=settings, folder=folder, **rest)


def weights(found: Pretrained) -> dict[str, torch.Tensor]:
    return found.backbone.state_dict()


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
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


class TestResume:
    @pytest.mark.parametrize("settings", [MASKED, CONTRASTIVE], ids=["masked", "contrastive"])
    def test_resumed_equals_uninterrupted(self, settings: PretrainSettings, tmp_path: Path) -> None:
        whole = fit(tmp_path / "whole", settings)
        for step in (1, 3):  # two steps per epoch
            with pytest.raises(RuntimeError, match="killed"):
                fit(tmp_path / "cut", settings, callbacks=[Stop(step, RuntimeError("killed"))])
        resumed = fit(tmp_path / "cut", settings)
        assert_equal(weights(whole), weights(resumed))
        pd.testing.assert_frame_equal(whole.history, resumed.history, check_exact=True)
        assert list(whole.history["epoch"]) == [1, 2, 3]
        # A kill after the last epoch: nothing is left to fit, and all of it is found again.
        again = fit(tmp_path / "cut", settings)
        assert_equal(weights(whole), weights(again))
        pd.testing.assert_frame_equal(whole.history, again.history, check_exact=True)
        for title, images in whole.pictures.items():
            np.testing.assert_array_equal(images, again.pictures[title])

    def test_checkpoint_that_was_cut_off_is_passed_over(self, tmp_path: Path) -> None:
        whole = fit(tmp_path / "whole")
        with pytest.raises(RuntimeError, match="killed"):
            fit(tmp_path / "cut", callbacks=[Stop(2, RuntimeError("killed"))])
        folder = tmp_path / "cut" / "checkpoints"
        (first,) = folder.iterdir()
        cut_off = folder / "epoch=1.ckpt"
        cut_off.write_bytes(first.read_bytes()[:-1000])
        assert newest_checkpoint(folder) == first
        assert not cut_off.exists()
        assert_equal(weights(whole), weights(fit(tmp_path / "cut")))

    def test_interrupt_is_reported_as_such(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path, callbacks=[Stop(0, KeyboardInterrupt())])

    def test_seed_decides(self, tmp_path: Path) -> None:
        one = fit(tmp_path / "1")
        other = fit(tmp_path / "2", PretrainSettings(**{**vars(MASKED), "seed": 1}))
        assert not torch.equal(next(iter(weights(one).values())), next(iter(weights(other).values())))


def test_masked_learns_more_than_the_mean(tmp_path: Path) -> None:
    settings = PretrainSettings(**{**vars(MASKED), "epochs": 25, "learning_rate": 3e-3})
    found = fit(tmp_path, settings)
    assert found.watched == 6
    last = found.history.iloc[-1]
    assert last["watch_loss"] < 0.8 * found.references["mean"]
    assert last["watch_loss"] < 0.7 * found.history.iloc[0]["watch_loss"]
    assert set(found.pictures) == {"original", "shown to the network", "reconstruction"}


class TestCollapse:
    # Nothing but agreement is asked for: saying the same of everything is then perfect.
    PLANTED = PretrainSettings(
        **{
            **vars(CONTRASTIVE),
            "method": {"contrastive": {"width": 16, "variance": 0, "covariance": 0, "collapse_below": 0.05}},
            "epochs": 20,
            "learning_rate": 1e-2,
        }
    )

    def test_is_refused_again_by_the_same_command(self, tmp_path: Path) -> None:
        with pytest.raises(
            ConfigError, match=r"alike after epoch \d+ \(projection_std.*; raise method.contrastive.variance"
        ) as first:
            fit(tmp_path, self.PLANTED)
        with pytest.raises(ConfigError) as second:
            fit(tmp_path, self.PLANTED)
        assert str(first.value) == str(second.value)

    @pytest.mark.parametrize("settings", [MASKED, CONTRASTIVE], ids=["masked", "contrastive"])
    def test_one_picture_again_and_again_is_seen(self, settings: PretrainSettings, tmp_path: Path) -> None:
        still = ViewSettings(smallest=1.0, flip=0.0, gain=0.0, contrast=0.0, gamma=0.0)
        settings = PretrainSettings(**{**vars(settings), "views": still})
        same = [CANVASES[0]] * IMAGES
        if settings.method == "masked":  # its loss is worth something even then
            assert len(fit(tmp_path, settings, same).history) == 3
        else:
            with pytest.raises(ConfigError, match=r"alike after epoch 2 \(embedding_spread = "):
                fit(tmp_path, settings, same)

    def test_is_not_seen_where_there_is_none(self, tmp_path: Path) -> None:
        method = {"contrastive": {"width": 16, "collapse_below": 0.05}}
        found = fit(tmp_path, PretrainSettings(**{**vars(self.PLANTED), "method": method, "epochs": 10}))
        assert found.history["train_embedding_spread"].iloc[-1] > 0.1

    def test_loss_that_is_no_number_is_refused(self, tmp_path: Path) -> None:
        settings = PretrainSettings(**{**vars(MASKED), "learning_rate": 1e30})
        with pytest.raises(ConfigError, match="lower learning_rate"):
            fit(tmp_path, settings)


class TestHeldOut:
    def test_watched_patients_do_not_teach(self, tmp_path: Path) -> None:
        watched = watched_patients(PATIENTS, MASKED.watch, MASKED.seed)
        assert len(watched) == 3
        other = [canvas(1000 + place) if PATIENTS[place] in watched else one for place, one in enumerate(CANVASES)]
        one, two = fit(tmp_path / "1"), fit(tmp_path / "2", canvases=other)
        assert_equal(weights(one), weights(two))
        assert one.history["watch_loss"].iloc[-1] != two.history["watch_loss"].iloc[-1]

    @pytest.mark.parametrize("split", ["tuning", "calibration", "test", "external"])
    def test_other_splits_are_refused(self, split: str, tmp_path: Path) -> None:
        rows = Rows.of(PATIENTS, ["train"] * (IMAGES - 2) + [split] * 2)
        with pytest.raises(LeakError, match=f"found 2 {split} rows in the fit of the pre-trained backbone"):
            fit_method(build_method(MASKED), CANVASES, NAMES, rows, settings=MASKED, folder=tmp_path)

    @pytest.mark.parametrize("settings", [MASKED, CONTRASTIVE], ids=["masked", "contrastive"])
    @pytest.mark.parametrize(("watch", "columns"), [(0.0, False), (0.05, True)])
    def test_nobody_or_one_image_is_watched(
        self, settings: PretrainSettings, watch: float, columns: bool, tmp_path: Path
    ) -> None:
        settings = PretrainSettings(**{**vars(settings), "watch": watch, "epochs": 2})
        assert ("watch_loss" in fit(tmp_path / "1", settings).history) is columns
        rows = Rows.of("abcdef", ["train"] * 6)  # an image each
        method = build_method(settings)
        found = fit_method(method, CANVASES[:6], NAMES[:6], rows, settings=settings, folder=tmp_path / "2")
        assert len(found.history) == 2

    def test_too_few_are_refused(self, tmp_path: Path) -> None:
        rows = Rows.of(["a", "b"], ["train"] * 2)
        with pytest.raises(DataError, match="found 1 images to learn from"):
            fit_method(build_method(MASKED), CANVASES[:2], NAMES[:2], rows, settings=MASKED, folder=tmp_path)


def table(folder: Path, patients: dict[str, int]) -> pd.DataFrame:
    """One image per patient, with a picture of its own by number."""
    folder.mkdir(exist_ok=True)
    rows = []
    for patient, picture in patients.items():
        path = folder / f"{patient}.png"
        write_png(path, canvas(picture).grey)
        rows.append({"image_id": f"i-{patient}", "patient_id": patient, "bmode_path": path.name, "root": str(folder)})
    missing = dict.fromkeys(("mask_path", "mask_source", "fov_path", "row_mm", "col_mm"))
    return pd.DataFrame(rows).assign(**missing)


def patients_of(chosen: Any) -> list[str]:
    return [str(row["patient_id"]) for row in chosen.rows]


class TestChoice:
    def test_only_train_patients_of_a_table_that_the_splits_name(self, tmp_path: Path) -> None:
        mine = table(tmp_path / "a", {"a": 1, "b": 2, "c": 3, "d": 4, "unnamed": 5})
        other = table(tmp_path / "b", {"x": 6, "y": 7})
        splits = {"a": "train", "b": "tuning", "c": "calibration", "d": "test"}
        chosen = choose([mine, other], splits=splits)
        assert patients_of(chosen) == ["a", "x", "y"]
        assert {row["split"] for row in chosen.rows} == {"train"}
        assert chosen.counts["held_out_patients"] == 4
        assert patients_of(choose([mine, other], splits=splits, excluded={"x", "a"})) == ["y"]

    def test_a_held_out_patient_is_held_out_of_every_table(self, tmp_path: Path) -> None:
        tables = [table(tmp_path / "a", {"a": 1, "b": 2}), table(tmp_path / "b", {"b": 3, "x": 4})]
        assert patients_of(choose(tables, excluded={"b"})) == ["a", "x"]

    def test_copies_of_held_out_pictures_are_held_out(self, tmp_path: Path) -> None:
        # The same centre once more, under other pseudonyms.
        tables = [table(tmp_path / "a", {"a": 1, "b": 2}), table(tmp_path / "b", {"p": 1, "q": 2, "r": 3})]
        chosen = choose(tables, splits={"a": "train", "b": "test"})
        assert patients_of(chosen) == ["a", "r"]
        assert chosen.counts["twins_of_held_out_images"] == 1  # q is b
        assert chosen.counts["repeated_images"] == 1  # p is a, who may teach, but once

    def test_splits_of_another_key_are_refused(self, tmp_path: Path) -> None:
        cases = table(tmp_path / "a", {"a": 1})
        with pytest.raises(DataError, match="found none of the 2 patients of the splits among the 1 of the cases"):
            choose([cases], splits={"x": "train", "y": "test"})
        with pytest.raises(DataError, match="found none of the 1 patients to hold out"):
            choose([cases], excluded={"x"})
        with pytest.raises(DataError, match="nobody left"):
            choose([cases], excluded={"a"})

    def test_identity_follows_pictures_not_labels(self, tmp_path: Path) -> None:
        cases = table(tmp_path / "a", {"a": 1, "b": 2})
        before = choose([cases]).content
        assert choose([cases.assign(sln_positive=[True, False])]).content == before
        write_png(tmp_path / "a" / "b.png", canvas(9).grey)
        assert choose([cases]).content != before

    def test_lists_of_patients(self, tmp_path: Path) -> None:
        (tmp_path / "list.txt").write_text("a\n\n b \n")
        (tmp_path / "list.csv").write_text("side,patient_id\nleft,a\nleft,b\n")
        pd.DataFrame({"patient_id": ["a", "b"]}).to_parquet(tmp_path / "list.parquet")
        for name in ("list.txt", "list.csv", "list.parquet"):
            assert read_patients(tmp_path / name) == {"a", "b"}
        (tmp_path / "wrong.csv").write_text("patient\na\n")
        (tmp_path / "empty.txt").write_text("\n")
        for name, message in (("wrong.csv", "column patient_id"), ("empty.txt", "no patient"), ("no.txt", "no file")):
            with pytest.raises(DataError, match=message):
                read_patients(tmp_path / name)


def image(rows: int, cols: int, spacing: Spacing | None = None) -> tuple[UltrasoundImage, LesionMask]:
    pixels, mask = np.zeros((rows, cols), dtype=np.float32), np.zeros((rows, cols), dtype=bool)
    mask[40:60, 50:60] = True  # 20 rows, 10 columns
    return UltrasoundImage(pixels, spacing, BMODE), LesionMask(mask, spacing)


class TestCrop:
    def test_box_is_relative_to_the_lesion(self) -> None:
        assert lesion_box(*image(100, 120), context=0.5) == Box(30, 35, 40, 40)
        # Rows twice as far apart as columns: 20 rows are 40 columns long, and the square shows 80 columns.
        assert lesion_box(*image(100, 120, Spacing(0.2, 0.1)), context=0.5) == Box(30, 15, 40, 80)

    def test_box_without_lesion_is_refused_only_where_one_is_needed(self) -> None:
        found, _ = image(100, 120)
        with pytest.raises(CaseError, match="no mask"):
            lesion_box(found, None)
        assert field_of_view_box(found, None) == Box(0, 0, 100, 120)
        fov = np.zeros((100, 120), dtype=bool)
        fov[10:30, 5:45] = True
        assert field_of_view_box(UltrasoundImage(found.pixels, None, BMODE, fov), None) == Box(10, 5, 20, 40)

    @pytest.mark.parametrize(
        ("crop", "message"),
        [
            ({"lesion": {"context": -1}}, "expected a share"),
            ({"lesion": {"contxt": 1}}, "did you mean 'context'"),
            ("leson", "did you mean 'lesion'"),
            ({"field_of_view": {"context": 1}}, "expected none"),
        ],
    )
    def test_impossible_crops_are_refused(self, crop: Any, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            box_maker(crop)

    def test_canvas_shows_the_picture_and_knows_its_edge(self, tmp_path: Path) -> None:
        grey = np.full((100, 120), 200, dtype=np.uint8)
        grey[40:60, 50:60] = 40
        mask, fov = np.zeros((100, 120), dtype=bool), np.ones((100, 120), dtype=bool)
        mask[40:60, 50:60] = True
        fov[:35] = False
        for name, pixels in (("b", grey), ("m", mask_to_png(mask)), ("f", mask_to_png(fov))):
            write_png(tmp_path / f"{name}.png", pixels)
        row: dict[str, Any] = {
            "root": str(tmp_path),
            "bmode_path": "b.png",
            "mask_path": "m.png",
            "mask_source": "reader",
        }
        row |= {"fov_path": "f.png", "row_mm": None, "col_mm": None, "image_id": "x", "patient_id": "y"}
        found = read_canvas(row, {"lesion": {"context": 0.5}}, 20)
        assert found.grey.shape == (20, 20)  # 40 pixels at half the size
        assert not found.valid[:2].any()
        assert found.valid[3:].all()
        assert (found.grey[:2] == 0).all()
        assert (found.grey[6:14, 8:12] == 40).all()
        assert (found.grey[4:, :7] == 200).all()
        bare = row | {"mask_path": None, "mask_source": None}
        assert read_canvas(bare, "field_of_view", 50).grey.shape == (50, round(120 * 50 / 65))
        with pytest.raises(CaseError, match="no mask"):
            read_canvas(bare, "lesion", 50)


class TestViews:
    def test_draw_depends_on_seed_epoch_image_and_view_alone(self) -> None:
        def views(seed: int = 0, names: tuple[str, ...] = ("a", "b")) -> ViewDataset:
            return ViewDataset(names, (CANVASES[0], CANVASES[0]), 32, 2, Patches(8, 0.5), ViewSettings(), seed)

        drawn = views()[(3, 0)]
        again = views()[(3, 0)]
        assert all(torch.equal(drawn[name], again[name]) for name in drawn)
        assert not torch.equal(drawn["images"][0], drawn["images"][1])  # the second view
        for other in (views()[(4, 0)], views()[(3, 1)], views(seed=1)[(3, 0)]):
            assert not torch.equal(drawn["images"], other["images"])
        batch = collate_views([drawn, views()[(3, 1)]])
        assert batch["images"].shape == batch["hidden"].shape == (2, 2, 1, 32, 32)
        assert torch.equal(batch["images"][1, 0], drawn["images"][1])

    def test_plain_view_is_the_picture_on_the_networks_scale(self) -> None:
        grey = np.zeros((40, 60), dtype=np.uint8)
        grey[:, 30:] = 255
        valid = np.ones_like(grey, dtype=bool)
        valid[:10] = False
        found, inside = plain_view(Canvas(grey, valid), 40)
        assert not inside[:10].any()
        assert (found[:10] == 0).all()
        assert (found[10:, :20] == -2).all()
        assert (found[10:, 20:] == 2).all()

    def test_views_stay_in_range_and_upright(self) -> None:
        ramp = np.repeat(np.arange(80, dtype=np.uint8)[:, None] * 3, 80, axis=1)  # brighter with depth
        one = Canvas(ramp, np.ones_like(ramp, dtype=bool))
        settings = ViewSettings(smallest=0.3, gain=0.3, contrast=0.5, gamma=0.5)
        for seed in range(30):
            found, valid = draw_view(one, 32, settings, np.random.default_rng(seed))
            assert valid.all()
            assert found.min() >= -2
            assert found.max() <= 2
            means = found.mean(axis=1)
            assert (np.diff(means) >= -1e-6).all(), "never upside down"

    def test_flip(self) -> None:
        left = np.zeros((40, 40), dtype=np.uint8)
        left[:, :20] = 200
        still = {"smallest": 1.0, "gain": 0.0, "contrast": 0.0, "gamma": 0.0}
        one = Canvas(left, np.ones_like(left, dtype=bool))
        for flip, side in ((0.0, slice(0, 20)), (1.0, slice(20, 40))):
            found, _ = draw_view(one, 40, ViewSettings(flip=flip, **still), np.random.default_rng(0))
            assert (found[:, side] > 1).all()

    def test_mostly_empty_windows_are_drawn_again(self) -> None:
        valid = np.zeros((100, 100), dtype=bool)
        valid[:, :50] = True
        one = Canvas(np.full((100, 100), 100, dtype=np.uint8), valid)
        shares = [
            draw_view(one, 32, ViewSettings(smallest=0.2), np.random.default_rng(seed))[1].mean() for seed in range(40)
        ]
        assert np.mean(np.array(shares) >= 0.5) > 0.95

    @pytest.mark.parametrize(("ratio", "count"), [(0.6, 10), (0.01, 1), (0.999, 15)])
    def test_hidden_patches(self, ratio: float, count: int) -> None:
        found = draw_hidden(64, Patches(16, ratio), np.random.default_rng(0))
        blocks = found.reshape(4, 16, 4, 16)
        assert (blocks == blocks[:, :1, :, :1]).all(), "whole patches"
        assert found.sum() == count * 256
        assert not draw_hidden(64, None, np.random.default_rng(0)).any()

    def test_resize_does_not_bleed(self) -> None:
        pixels, valid = np.full((40, 40), 100, dtype=np.float32), np.ones((40, 40), dtype=bool)
        valid[:, 21:] = False
        pixels[:, 21:] = 9999.0
        found, inside = resize(pixels, valid, 20, 20)
        assert inside[:, :11].all()
        assert not inside[:, 11:].any()
        np.testing.assert_allclose(found[:, :11], 100.0, rtol=1e-5)


def test_statistics_are_those_of_whole_views() -> None:
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16))
    with torch.no_grad():
        net(torch.randn(50, 1, 4, 4) * 9 + 70)  # what it saw before
    values = torch.randn(2, 6, 1, 4, 4)
    loader = [{"images": part[None]} for part in (*values, torch.full((1, 1, 4, 4), 1e6))]  # one of one image
    refresh_statistics(net, loader)
    flat = values.flatten(2)
    norm: Any = net[1]
    assert not net.training
    assert norm.momentum == 0.1
    torch.testing.assert_close(norm.running_mean, flat.mean(dim=(0, 1)))
    torch.testing.assert_close(norm.running_var, flat.var(dim=1).mean(dim=0))


def test_file_is_the_start_of_a_network_to_the_last_tensor(tmp_path: Path) -> None:
    found = fit(tmp_path)
    path = tmp_path / "backbone.safetensors"
    save_backbone(path, found.backbone, "test_resnet")
    torch.manual_seed(9)
    start = build_backbone("test_resnet", in_channels=1, size_px=64, weights_file=str(path))
    assert_equal(weights(found), start.state_dict())
    with pytest.raises(ConfigError, match=r"found weights for test_resnet in .*, expected weights for test_vit"):
        build_backbone("test_vit", in_channels=1, size_px=64, weights_file=str(path))
    # A further pre-training may begin with it.
    again = build_method(PretrainSettings(**{**vars(MASKED), "weights_file": str(path)}))
    assert_equal(weights(found), again.backbone.state_dict())


def test_nothing_about_patients_and_machine_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "hospital"
    settings = PretrainSettings(**{**vars(MASKED), "wandb": "offline"})
    with pytest.raises(KeyboardInterrupt):
        fit(folder, settings, callbacks=[Stop(3, KeyboardInterrupt())])
    fit(folder, settings)
    assert list(folder.rglob("*.wandb")), "the offline run is there, or the test proves nothing"
    host, user = socket.gethostname(), getpass.getuser()
    secrets = [
        "Doe-Jane",
        "patient1",
        str(tmp_path),
        *([host] if len(host) > 3 else []),
        *([user] if len(user) > 4 else []),
    ]
    for path in folder.rglob("*"):
        if path.is_file() and "checkpoints" not in path.parts:
            for secret in secrets:
                assert secret.encode() not in path.read_bytes(), (path, secret)
    for path in (folder / "checkpoints").iterdir():
        assert b"Doe-Jane" not in path.read_bytes()
        assert b"patient1" not in path.read_bytes()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"backbone": "test_resnett"}, "similar: test_resnet"),
        ({"method": "maskd"}, "did you mean 'masked'"),
        ({"method": {"masked": {"mask_rate": 0.5}}}, "did you mean 'mask_ratio'"),
        ({"method": {"masked": {"patch_px": 48}}}, "divides it"),
        ({"crop": "leson"}, "did you mean 'lesion'"),
        ({"warmup_epochs": 3}, "expected fewer"),
        ({"batch_size": 1}, "at least 2"),
        ({"watch": 1.0}, "below 1"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"wandb": "maybe"}, "expected one of"),
        ({"weights_file": "nowhere.safetensors"}, "found no file nowhere.safetensors"),
        ({"pretrained": True, "weights_file": "x"}, "one source"),
        ({"backbone": "test_vit", "size_px": 72}, "72"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_read(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_method(PretrainSettings(**{**vars(MASKED), **changed}))


@pytest.mark.parametrize("changed", [{"smallest": 0.0}, {"flip": 1.1}, {"gamma": 1.0}, {"noise": -0.1}])
def test_impossible_views_are_refused(changed: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"views.{next(iter(changed))}"):
        ViewSettings(**changed)
