"""A bundle that outlines: the same networks come back, and whatever was altered is refused."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.discs import picture, segmenter_of
from usdlr.core.errors import BundleError, DataError
from usdlr.core.files import read_json
from usdlr.core.hashing import file_hash
from usdlr.inference.bundle import load_bundle
from usdlr.inference.bundle_files import MANIFEST, write_manifest
from usdlr.inference.segmentation.files import SETTINGS, load_segmenter


@pytest.fixture
def copy(disc_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(disc_bundle, tmp_path / "bundle"))


def rewrite(folder: Path) -> None:
    """Sums that fit again, as somebody who means harm would write them."""
    content = {key: value for key, value in read_json(folder / MANIFEST).items() if key != "files"}
    write_manifest(folder, content)


def change_settings(folder: Path, change: dict[str, object]) -> None:
    settings = read_json(folder / SETTINGS)
    for key, value in change.items():
        part, _, name = key.partition(".")
        if name:
            settings[part][name] = value
        else:
            settings[part] = value
    (folder / SETTINGS).write_text(json.dumps(settings))
    rewrite(folder)


def test_a_zip_is_a_bundle_too(disc_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for path in sorted(disc_bundle.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(disc_bundle).as_posix())
    seen = picture([(48.0, 60.0, 15.0)])
    one, other = (segmenter_of(path).find(seen) for path in (disc_bundle, tmp_path / "b.zip"))
    np.testing.assert_array_equal(one.probability, other.probability)


def test_it_says_which_one_it_is(disc_bundle: Path) -> None:
    assert segmenter_of(disc_bundle).segmenter_id == file_hash(disc_bundle / MANIFEST)[:12]


def test_one_member_alone(disc_bundle: Path) -> None:
    assert len(load_segmenter(disc_bundle, member="1").networks) == 1
    with pytest.raises(DataError, match=r"found no member '7' in .*, expected one of 0, 1"):
        load_segmenter(disc_bundle, member="7")


@pytest.mark.parametrize("name", ["members/0.safetensors", SETTINGS])
def test_an_altered_byte_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[-2] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match=rf"found {name} altered"):
        load_segmenter(copy)


def test_a_file_more_is_refused(copy: Path) -> None:
    (copy / "members" / "x.py").write_text("print(1)")
    with pytest.raises(BundleError, match=r"which bundle.json does not list"):
        load_segmenter(copy)


def test_a_weight_that_is_no_number_is_refused(copy: Path) -> None:
    path = copy / "members" / "0.safetensors"
    state = load_file(path)
    name = next(key for key, value in state.items() if value.is_floating_point())
    state[name] = torch.full_like(state[name], float("nan"))
    save_file(state, path)
    rewrite(copy)
    with pytest.raises(BundleError, match=r"found a weight that is no finite number in 0.safetensors"):
        load_segmenter(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network.size_px": 1 << 20}, "found a network of 1048576 pixels or channels"),
        ({"network.decoder": {"unet": {"channels": [1 << 20, 8, 8, 8]}}}, "found a network of 1048576"),
        ({"network.encoder": "os.system"}, "expected a timm model name"),
        ({"network.encoder": "resnet10t"}, "that does not fit resnet10t"),
        ({"network.oops": 1}, "found a damaged segmenter.json"),
        ({"rules.threshold": 2.0}, "found a damaged segmenter.json"),
        ({"expected.dice": [0.5]}, "found a damaged table of expected quality"),
        ({"expected.score": [1.0, 0.5]}, "found a damaged table of expected quality"),
        ({"members": []}, "found no network in"),
        ({"members": ["../../secret"]}, "found no members/secret.safetensors"),
    ],
)
def test_senseless_settings_are_refused(copy: Path, change: dict[str, object], words: str) -> None:
    change_settings(copy, change)
    with pytest.raises(BundleError, match=words):
        load_segmenter(copy)


def test_the_two_kinds_of_bundle_are_told_apart(disc_bundle: Path, run_folder: Path) -> None:
    with pytest.raises(DataError, match=r"found a bundle that outlines lesions in .*, expected one that `usdlr run`"):
        load_bundle(disc_bundle)
    with pytest.raises(DataError, match=r"found a bundle that predicts in .*, expected one that outlines lesions"):
        load_segmenter(run_folder / "bundle")


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no bundle.json"):
        load_segmenter(tmp_path)
