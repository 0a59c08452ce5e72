"""A bundle is data: whatever was altered, added, removed or cannot be read is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save_file

from usdlr.core.errors import BundleError, DataError, InputError
from usdlr.core.hashing import file_hash
from usdlr.core.types import OnUncertified, Stage
from usdlr.decision.wording import contract_lines
from usdlr.inference.bundle import load_bundle
from usdlr.inference.bundle_files import MANIFEST


@pytest.fixture
def bundle(run_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copyfile(run_folder / "provenance.json", tmp_path / "run-provenance.json")
    return Path(shutil.copytree(run_folder / "bundle", tmp_path / "bundle"))


def rewrite(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change the manifest."""
    content = json.loads((folder / MANIFEST).read_text())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content))


def rehash(folder: Path, name: str) -> None:
    """Make the manifest agree with a file again, as somebody who means harm would."""
    rewrite(folder, lambda content: content["files"].update({name: file_hash(folder / name)}))  # type: ignore[attr-defined]  # JSON


def test_loads_both_stages_and_the_contract(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    assert set(loaded.member.models) == set(Stage)
    assert loaded.on_uncertified is OnUncertified.DEFER
    assert loaded.card["experiment"] == "demo"
    assert loaded.card["simulated"] is True


def test_the_card_says_what_the_contract_says(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    card, contract = loaded.card["contract"], loaded.member.contract
    assert (card["kind"], card["status"], card["standing"]) == ("certified", "not_certifiable", "uncertified")
    assert card["sentences"] == contract_lines(contract)
    assert card["sentences"][0].startswith("Uncertified: the calibration patients hold")


def test_read_only_bundle_loads(bundle: Path) -> None:
    for path in bundle.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert load_bundle(bundle, member="1").member.name == "1"


def test_bundle_names_no_patient(run_folder: Path) -> None:
    patients = {path.name.split("-1-")[0] for path in (run_folder / "ingest" / "images").glob("*_bmode.png")}
    assert len(patients) > 50
    for path in (run_folder / "bundle").rglob("*.json"):
        text = path.read_text()
        assert not [name for name in patients if name in text], path


def test_bundle_holds_data_only(bundle: Path) -> None:
    assert {path.suffix for path in bundle.rglob("*") if path.is_file()} == {".json", ".safetensors"}


def test_the_id_is_the_hash_of_the_manifest_which_holds_all_others(bundle: Path) -> None:
    digest = hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()
    assert (load_bundle(bundle).digest, load_bundle(bundle).bundle_id) == (digest, digest[:12])
    told = json.loads((bundle.parent / "run-provenance.json").read_text())
    assert told["bundle"] == digest[:12]


@pytest.mark.parametrize(
    "name",
    [
        "sln/network_0.safetensors",
        "nsln/selector.json",
        "sln/scores.json",
        "nsln/stage.json",
        "sln/calibrator.json",
        "contract.json",
        "folds/0/contract.json",
    ],
)
def test_altered_file_is_refused(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match="altered"):
        load_bundle(bundle)


def test_missing_added_and_linked_files_are_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "extra.py").write_text("import os")
    with pytest.raises(BundleError, match="does not list"):
        load_bundle(bundle)
    (bundle / "extra.py").unlink()
    kept = (bundle / "contract.json").read_bytes()
    (bundle / "contract.json").unlink()
    with pytest.raises(BundleError, match="no regular file"):
        load_bundle(bundle)
    (tmp_path / "elsewhere.json").write_bytes(kept)
    (bundle / "contract.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleError, match="no regular file"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ["../outside.json", "/etc/hostname"])
def test_file_name_outside_the_bundle_is_refused(bundle: Path, name: str) -> None:
    rewrite(bundle, lambda content: content["files"].update({name: "0" * 64}))  # type: ignore[attr-defined]  # JSON
    with pytest.raises(BundleError, match="a name inside the bundle"):
        load_bundle(bundle)


def test_other_schema_and_no_bundle_are_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a bundle"):
        load_bundle(tmp_path)
    with pytest.raises(DataError, match="expected one of 0, 1"):
        load_bundle(bundle, member="9")
    rewrite(bundle, lambda content: content.update(schema=99))
    with pytest.raises(BundleError, match="schema 99"):
        load_bundle(bundle)
    (bundle / MANIFEST).write_text("[]")
    with pytest.raises(BundleError, match="schema list"):
        load_bundle(bundle)
    (bundle / MANIFEST).write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        load_bundle(bundle)


def test_pickle_in_place_of_weights_is_refused(bundle: Path) -> None:
    name = "sln/network_0.safetensors"
    torch.save(load((bundle / name).read_bytes()), bundle / name)
    rehash(bundle, name)
    with pytest.raises(BundleError, match="expected safetensors"):
        load_bundle(bundle)


def test_weights_of_another_network_are_refused(bundle: Path) -> None:
    name = "sln/network_0.safetensors"
    save_file({"wrong": torch.zeros(3)}, bundle / name)
    rehash(bundle, name)
    with pytest.raises(BundleError, match="do not fit"):
        load_bundle(bundle)


def test_impossible_manifest_is_refused(bundle: Path) -> None:
    rewrite(bundle, lambda content: content.update(on_uncertified="guess"))
    with pytest.raises(BundleError, match=r"damaged bundle\.json"):
        load_bundle(bundle)
    rewrite(bundle, lambda content: content.update(files={}))
    with pytest.raises(BundleError, match="no list of files"):
        load_bundle(bundle)
