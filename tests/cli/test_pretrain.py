"""``usdlr pretrain`` from the command line: labels and held-out patients are never read, and a kill costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.files import read_json
from usdlr.core.provenance import Provenance
from usdlr.imaging.store import CaseImages, mask_to_png, read_case, write_png
from usdlr.models.backbones import build_backbone
from usdlr.tasks.pretrain.task import PretextTask

PATIENTS = 8
OPTIONS = {
    "backbone": "test_resnet",
    "size_px": "32",
    "epochs": "2",
    "warmup_epochs": "1",
    "batch_size": "4",
    "wandb": "disabled",
    "jobs": "1",
    "method": '{"masked":{"patch_px":8}}',
}
SMALL = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]


def write_cases(folder: Path, prefix: str = "p", **columns: Any) -> Path:
    """A table of ``PATIENTS`` patients with two images each, and whatever labels."""
    rows = []
    for number in range(2 * PATIENTS):
        rng = np.random.default_rng([number, len(prefix)])
        y, x = np.mgrid[:70, :80]
        mask = np.hypot(y - 35, x - 40) < rng.integers(8, 16)
        grey = np.where(mask, 30, 130) + 20 * rng.standard_normal((70, 80))
        name = f"{prefix}{number}"
        write_png(folder / f"images/{name}_b.png", np.clip(grey, 0, 255).astype(np.uint8))
        write_png(folder / f"images/{name}_m.png", mask_to_png(mask))
        rows.append(
            {
                "centre_id": "c", "patient_id": f"{prefix}-Doe-{number // 2}", "side": "left", "lesion_id": "1",
                "image_id": f"{name}-image", "site": "tumour", "mask_source": "reader", "spacing_source": "none",
                "bmode_path": f"images/{name}_b.png", "mask_path": f"images/{name}_m.png",
            }
        )  # fmt: skip
    path = folder / "cases.parquet"
    tables.CASES.write(pd.DataFrame(rows).assign(**columns), path, Provenance("test"))
    return path


def invert(picture: Path) -> None:
    """Another picture in the same place."""
    pixels = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    write_png(picture, np.asarray(255 - pixels, dtype=np.uint8))


def write_splits(path: Path, splits: dict[str, str]) -> Path:
    table = pd.DataFrame({"fold": "0", "patient_id": list(splits), "split": list(splits.values())})
    tables.SPLITS.write(table, path, Provenance("test"))
    return path


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    return write_cases(tmp_path / "a")


def pretrain(cases: Path, out: Path, *words: str) -> int:
    return main(["pretrain", *SMALL, "--cases", str(cases), "--out", str(out), *words])


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(str(out / "backbone.safetensors"))


def assert_same(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    for name in ("metrics.csv", "figures/pretraining.svg", "figures/views.svg"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the fit end before a step, as Ctrl-C would; once."""

    def at(step: int) -> None:
        whole = PretextTask.training_step

        def cut(self: PretextTask, batch: Any, batch_idx: int) -> torch.Tensor:
            if self.global_step == step:
                monkeypatch.setattr(PretextTask, "training_step", whole)
                raise KeyboardInterrupt
            return whole(self, batch, batch_idx)

        monkeypatch.setattr(PretextTask, "training_step", cut)

    return at


def test_writes_a_start_for_a_network(cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert pretrain(cases, out) == 0
    said = capsys.readouterr()
    assert f"weights: {out / 'backbone.safetensors'}" in said.out
    assert "16 images of 8 patients" in said.err
    assert "nobody is held out" in said.err
    assert "mean of what is shown" in said.err
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    figures = {"figures/pretraining.svg", "figures/views.svg"}
    assert found == {"backbone.safetensors", "config.yaml", "metrics.csv", "provenance.json", *figures}
    with safe_open(str(out / "backbone.safetensors"), framework="pt") as file:
        assert file.metadata() == {"backbone": "test_resnet"}
    start = build_backbone("test_resnet", in_channels=1, size_px=32, weights_file=str(out / "backbone.safetensors"))
    written = weights(out)
    assert start.state_dict().keys() == written.keys()
    assert all(torch.equal(value, written[key]) for key, value in start.state_dict().items())
    log = pd.read_csv(out / "metrics.csv")
    assert list(log["epoch"]) == [1, 2]
    assert {"train_loss", "watch_loss", "train_embedding_spread", "learning_rate"} <= set(log.columns)
    origin = read_json(out / "provenance.json")
    assert origin["counts"]["images"] == 16
    assert origin["references"].keys() == {"mean", "blur"}
    assert "judged only on patients who were held out" in origin["rule"]
    for name in found:
        content = (out / name).read_bytes()
        for secret in (b"Doe", b"p3-image", str(tmp_path).encode()):
            assert secret not in content, (name, secret)
    # The same command again has nothing to do.
    before = (out / "backbone.safetensors").stat().st_mtime_ns
    assert pretrain(cases, out) == 0
    assert "found a finished pre-training" in capsys.readouterr().err
    assert (out / "backbone.safetensors").stat().st_mtime_ns == before


def test_labels_are_never_read(tmp_path: Path) -> None:
    plain = write_cases(tmp_path / "plain")
    labelled = write_cases(
        tmp_path / "labelled",
        sln_positive=[True, False] * PATIENTS,
        nsln_positive=[True, None] * PATIENTS,
        positive_nodes=list(range(2 * PATIENTS)),
        birads="5",
        tumour_size_mm=[3.0 + number for number in range(2 * PATIENTS)],
        proxy_malignant=[False, True] * PATIENTS,
    )
    for name, path in (("1", plain), ("2", labelled)):
        assert pretrain(path, tmp_path / name) == 0
    assert_same(tmp_path / "1", tmp_path / "2")
    inputs = [read_json(tmp_path / name / "provenance.json")["inputs"] for name in ("1", "2")]
    assert inputs[0] == inputs[1]


SPLIT = ("train", "train", "train", "train", "tuning", "calibration", "test", "test")


def test_held_out_patients_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def spy(row: Mapping[str, Any], root: Path) -> CaseImages:
        read.append(str(row["patient_id"]))
        return read_case(row, root)

    monkeypatch.setattr("usdlr.tasks.pretrain.images.read_case", spy)
    cases = write_cases(tmp_path / "a")
    other = write_cases(tmp_path / "b")
    for number in range(8, 16):  # the held-out patients' pictures are other ones
        invert(tmp_path / "b" / "images" / f"p{number}_b.png")
    splits = write_splits(tmp_path / "splits.csv", {f"p-Doe-{n}": split for n, split in enumerate(SPLIT)})
    (tmp_path / "list.txt").write_text("".join(f"p-Doe-{n}\n" for n in range(4, 8)))
    by_splits = ["--splits", str(splits), "--fold", "0"]
    by_list = ["--exclude-patients", str(tmp_path / "list.txt")]
    for name, path, words in (("1", cases, by_splits), ("2", other, by_splits), ("3", cases, by_list)):
        assert pretrain(path, tmp_path / name, *words) == 0
        assert_same(tmp_path / "1", tmp_path / name)
    assert set(read) == {f"p-Doe-{n}" for n in range(4)}
    origin = read_json(tmp_path / "1" / "provenance.json")
    assert origin["counts"]["held_out_patients"] == 4
    assert {"splits", "fold"} <= origin["inputs"].keys()


def test_another_source_joins_whole(cases: Path, tmp_path: Path) -> None:
    more = write_cases(tmp_path / "b", prefix="other")
    splits = write_splits(tmp_path / "splits.csv", {f"p-Doe-{n}": split for n, split in enumerate(SPLIT)})
    words = ["--cases", str(cases), str(more), "--splits", str(splits), "--fold", "0"]
    assert main(["pretrain", *SMALL, "--out", str(tmp_path / "out"), *words]) == 0
    counts = read_json(tmp_path / "out" / "provenance.json")["counts"]
    assert (counts["patients"], counts["held_out_patients"]) == (4 + 8, 4)


@pytest.mark.parametrize("step", [1, 4])
def test_interrupted_goes_on(
    step: int, cases: Path, tmp_path: Path, kill: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain(cases, tmp_path / "whole") == 0
    kill(step)
    assert pretrain(cases, tmp_path / "cut") == 130
    assert "the same command continues" in capsys.readouterr().err
    assert not (tmp_path / "cut" / "backbone.safetensors").exists()
    assert pretrain(cases, tmp_path / "cut") == 0
    assert_same(tmp_path / "whole", tmp_path / "cut")
    assert not (tmp_path / "cut" / "checkpoints").exists()


def test_a_folder_holds_one_pretraining(
    cases: Path, tmp_path: Path, kill: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    kill(4)
    assert pretrain(cases, out) == 130
    capsys.readouterr()
    (tmp_path / "list.txt").write_text("p-Doe-3\n")
    for words, message in (
        (["--learning_rate", "0.01"], "found a pre-training with learning_rate = 0.001"),
        (["--method.masked.mask_ratio", "0.5"], "method.masked.mask_ratio"),
        (["--exclude-patients", str(tmp_path / "list.txt")], "with other excluded patients and images"),
    ):
        assert pretrain(cases, out, *words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    invert(tmp_path / "a" / "images" / "p3_b.png")
    assert pretrain(cases, out) == 2
    assert "with other images" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    assert pretrain(cases, tmp_path / "mine") == 2
    assert "found other files" in capsys.readouterr().err


def test_damaged_images_are_counted_and_left_out(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a" / "images" / "p3_b.png").write_bytes(b"no picture")
    (tmp_path / "a" / "images" / "p5_m.png").unlink()
    assert pretrain(cases, tmp_path / "out") == 0
    assert "2 images cannot be used" in capsys.readouterr().err
    origin = read_json(tmp_path / "out" / "provenance.json")
    assert origin["unusable"] == {"image_unreadable": 1, "mask_missing": 1}
    assert origin["counts"]["images"] == 14


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lerning_rate", "3"], "nearest is 'learning_rate'"),
        (["--views.flp", "0"], "nearest is 'views.flip'"),
        (["--method", "maskd"], "did you mean 'masked'"),
        (["--fold", "0"], "found one of --splits and --fold"),
        (["--splits", "nowhere.csv", "--fold", "0"], "found no file nowhere.csv"),
        (["--splits", "SPLITS", "--fold", "7"], "found --fold '7', expected one of 0"),
        (["--splits", "FOREIGN", "--fold", "0"], "found none of the 1 patients of the splits"),
        (["--exclude-patients", "nowhere.txt"], "found no file nowhere.txt"),
        (["--cases", "nowhere.parquet"], "found no file nowhere.parquet"),
        (["--jobs", "0"], "found jobs = 0"),
    ],
)
def test_mistakes_cost_one_line_and_leave_nothing(
    words: list[str], message: str, cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {
        "SPLITS": str(write_splits(tmp_path / "s.csv", {f"p-Doe-{n}": "train" for n in range(PATIENTS)})),
        "FOREIGN": str(write_splits(tmp_path / "f.csv", {"somebody": "train"})),
    }
    assert pretrain(cases, tmp_path / "out", *[named.get(word, word) for word in words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_unknown_key_of_a_file_is_named_with_its_file(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("backbone: test_resnet\nviews: {flp: 1}\n")
    assert main(["pretrain", str(path), "--cases", str(cases), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "found the unknown key 'views.flp'" in line
    assert str(path) in line
    path.write_text("backbone: test_resnet\nepoch: 3\n")
    assert main(["pretrain", str(path), "--cases", str(cases), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'epoch'" in line


def test_an_interrupt_is_no_exit(cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Lightning answers Ctrl-C with an exit of its own.
    def leave(*_: Any, **__: Any) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(pl.Trainer, "fit", leave)
    assert pretrain(cases, tmp_path / "out") == 130
