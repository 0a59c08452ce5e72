"""Every way to harm somebody with a bundle ends in exit code 2 and one line, and leaves nothing behind."""

from __future__ import annotations

import builtins
import json
import os
import pickle
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load

from tests.inference.hostile import HARMED, refused, watched
from tests.inference.made_bundle import made_bundle, relist, rewrite
from usdlr.cli.main import main
from usdlr.core.errors import BundleError, InputError
from usdlr.inference import sources
from usdlr.inference.bundle import load_bundle
from usdlr.inference.bundle_files import MANIFEST, SIGNATURE
from usdlr.inference.verified import verified

WEIGHTS = "sln/network_0.safetensors"


class Harm:
    """What a pickle can do: run a command when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {HARMED}",)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_bundle(tmp_path_factory.mktemp("sound") / "bundle")


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(sound, tmp_path / "bundle"))


@pytest.fixture(autouse=True)
def untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with watched(tmp_path, monkeypatch):
        yield


def test_the_sound_bundle_is_not_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "verify", str(bundle)]) == 0
    assert "members: bundle, 0" in capsys.readouterr().out


# Weights


@pytest.mark.parametrize("listed", [True, False])
def test_a_pickle_in_place_of_weights(bundle: Path, capsys: pytest.CaptureFixture[str], listed: bool) -> None:
    (bundle / WEIGHTS).write_bytes(pickle.dumps(Harm()))
    if listed:
        relist(bundle, WEIGHTS)
    refused(bundle, capsys, "safetensors" if listed else "altered")


def test_a_torch_file_renamed(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(load((bundle / WEIGHTS).read_bytes()) | {"harm": Harm()}, bundle / WEIGHTS)
    relist(bundle, WEIGHTS)
    refused(bundle, capsys, "expected safetensors")


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".npy", ".joblib", ".py", ".yaml", ".yml", ".sh", ""])
def test_another_kind_of_file_even_if_listed(bundle: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    (bundle / f"sln/further{suffix}").write_bytes(pickle.dumps(Harm()))
    refused(bundle, capsys, "does not list")
    relist(bundle, f"sln/further{suffix}")
    refused(bundle, capsys, "nothing else is read")


@pytest.mark.parametrize("name", ["contract.json", "sln/stage.json", MANIFEST])
def test_yaml_is_never_read(bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for reader in ("load", "load_all", "safe_load", "unsafe_load", "full_load", "compose"):
        monkeypatch.setattr(yaml, reader, _never)
    load_bundle(bundle)  # reads no YAML either
    (bundle / name).write_text(f"!!python/object/apply:os.system ['touch {HARMED}']")
    if name != MANIFEST:
        relist(bundle, name)
    with pytest.raises(InputError, match="not valid JSON"):
        load_bundle(bundle)


def _never(*_: object, **__: object) -> None:
    raise AssertionError("read as YAML")


def test_nothing_is_executed_while_loading(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_bundle(bundle)  # what is imported or compiled once, is by now
    for module, name in ((pickle, "loads"), (pickle, "load"), (torch, "load"), (os, "system"), (subprocess, "Popen")):
        monkeypatch.setattr(module, name, _never)
    monkeypatch.setattr(builtins, "eval", _never)
    assert load_bundle(bundle).member.name == "bundle"


@pytest.mark.parametrize(
    ("shape", "words"), [([1 << 50, 1 << 50], "of shape"), ([1 << 31, 1 << 33], "of shape"), ([3], "of shape")]
)
def test_huge_declared_shapes(bundle: Path, capsys: pytest.CaptureFixture[str], shape: list[int], words: str) -> None:
    content = (bundle / WEIGHTS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    first = next(name for name in header if name != "__metadata__" and header[name]["shape"])
    header[first]["shape"] = shape
    text = json.dumps(header).encode()
    (bundle / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    relist(bundle, WEIGHTS)
    refused(bundle, capsys, words)


@pytest.mark.parametrize("keep", [0, 5, 100, 10_000, -1])
def test_truncated_weights(bundle: Path, capsys: pytest.CaptureFixture[str], keep: int) -> None:
    (bundle / WEIGHTS).write_bytes((bundle / WEIGHTS).read_bytes()[:keep])
    refused(bundle, capsys, "altered")
    relist(bundle, WEIGHTS)
    refused(bundle, capsys, "safetensors")


def test_weights_that_are_no_numbers(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray((bundle / WEIGHTS).read_bytes())
    content[-4:] = struct.pack("<f", float("nan"))
    (bundle / WEIGHTS).write_bytes(content)
    relist(bundle, WEIGHTS)
    refused(bundle, capsys, "no finite number")


# JSON


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("sln/selector.json", {"median": [None, None, None]}, "not finite"),
        ("sln/selector.json", {"scale": [1.0]}, "not one for each"),
        ("sln/selector.json", {"columns": 7}, "damaged stage"),
        ("sln/stage.json", {"members": 10**9}, "expected 1 to 1000"),
        ("sln/stage.json", {"members": -1}, "expected 1 to 1000"),
        ("sln/stage.json", {"target": 5}, "target 5"),
        ("sln/stage.json", {"variants": ["../../x"]}, "expected"),
        ("sln/calibrator.json", {"slope": None}, "expected"),
        ("sln/calibrator.json", {"kind": "os.system"}, "expected one of"),
        ("nsln/interval.json", {"covariance": "x"}, "damaged interval"),
        ("contract.json", {"t_sln": 7}, "outside 0 to 1"),
        ("contract.json", {"alpha": []}, "cannot be read"),
        ("used.json", {"a": {"b": 1}}, ""),
        ("sln/scores.json", {"patterns": 3}, "damaged stage"),
    ],
)
def test_json_that_makes_no_sense(
    bundle: Path, capsys: pytest.CaptureFixture[str], name: str, change: dict[str, Any], words: str
) -> None:
    content = json.loads((bundle / name).read_text())
    (bundle / name).write_text(json.dumps(content | change))
    relist(bundle, name)
    if words:
        refused(bundle, capsys, words)
    else:
        load_bundle(bundle)  # read as words, and of no account


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": NaN}', '{"a": 1, "a": 2}', "[1e400]", "\x00", '{"median": [1' + "0" * 400 + "]}"]
)
def test_json_beyond_its_limits(bundle: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (bundle / "sln/selector.json").write_text(text)
    relist(bundle, "sln/selector.json")
    refused(bundle, capsys, "selector.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 3}, "schema 3"),
        ({"schema": 6}, "update usdlr"),
        ({"schema": True}, "schema True"),
        ({"files": []}, "no list of files"),
        ({"files": {"contract.json": "abc"}}, "no SHA-256"),
        ({"files": {"../../.bashrc": "0" * 64}}, "inside the bundle"),
        ({"files": {"/etc/passwd": "0" * 64}}, "inside the bundle"),
        ({"files": {"sln/\x1b[2Jx.json": "0" * 64}}, "inside the bundle"),
        ({"files": {"sln/\u202egnp.json": "0" * 64}}, "inside the bundle"),
        ({"files": {"sln\\x.json": "0" * 64}}, "inside the bundle"),
        ({"files": {"C:x.json": "0" * 64}}, "inside the bundle"),
        ({"files": {"a//x.json": "0" * 64}}, "inside the bundle"),
        ({"files": {"x.json": "0" * 64, "X.json": "0" * 64}}, "one file on some systems"),
        ({"files": {"x.json": "0" * 64, "x.json/y.json": "0" * 64}}, "as a file and as the folder"),
        ({"files": {f"{place}.json": "0" * 64 for place in range(10_001)}}, "more than 10000 files"),
        ({"on_uncertified": "guess"}, "damaged bundle.json"),
        ({"card": {}}, "damaged bundle.json"),
        ({"card": 7}, "damaged bundle.json"),
        ({"preparation": {}}, "damaged bundle.json"),
    ],
)
def test_a_manifest_that_lies(
    bundle: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], words: str
) -> None:
    rewrite(bundle, lambda content: content.update(change))
    refused(bundle, capsys, words)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["crop"].update(size_px=10**9),
        lambda found: found["crop"].update(size_px="64"),
        lambda found: found["crop"].update(command="rm"),
        lambda found: found.update(batch_size=10**9),
        lambda found: found.update(threads=-1),
        lambda found: found.update(views=2.5),
        lambda found: found.update(relative_diameter=-1),
        lambda found: found["network"].update(backbone="hf_hub:usdlr/evil"),
        lambda found: found["network"].update(backbone="hf_hub:usdlr/evil", pretrained=True),
        lambda found: found["network"].update(modalities=7),
        lambda found: found["network"].update(fusion={"cross_attention": {"layers": 10**9}}),
        lambda found: found["radiomics"].update(margin_mm="wide"),
        lambda found: found.update(where={"nsln_positive": [True]}),
        lambda found: found.update(variants=[{"name": "a"}]),
    ],
)
def test_a_preparation_that_lies(
    bundle: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], None]
) -> None:
    rewrite(bundle, lambda content: change(content["preparation"]))
    refused(bundle, capsys, "bundle")


def test_what_a_card_says_does_not_command_the_terminal(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(bundle, lambda content: content["card"]["cohort"].update(centres=["\x1b]0;owned\x07"]))
    refused(bundle, capsys, "control signs")


# Folders


def test_links_and_devices(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, kept = bundle / "contract.json", tmp_path / "kept.json"
    shutil.move(path, kept)
    path.symlink_to(kept)
    refused(bundle, capsys, "no regular file")
    path.unlink()
    os.link(kept, path)  # the same file under two names: whoever has the other one can change it
    refused(bundle, capsys, "no regular file")
    path.unlink()
    os.mkfifo(path)  # reading it would wait for ever
    refused(bundle, capsys, "no regular file")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(os.path.relpath(path))
        refused(bundle, capsys, "no regular file")


def test_a_linked_folder(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.move(bundle / "sln", tmp_path / "elsewhere")
    (bundle / "sln").symlink_to(tmp_path / "elsewhere")
    refused(bundle, capsys, "no regular file")


def test_what_is_verified_is_what_is_used(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changes as soon as it was verified changes nothing."""
    real = verified

    def verified_then_changed(*given: Any) -> Any:
        found = real(*given)
        for path in bundle.rglob("*.json"):
            path.write_text("{}")
        return found

    expected = load_bundle(bundle)
    monkeypatch.setattr("usdlr.inference.bundle.verified", verified_then_changed)
    found = load_bundle(bundle)
    assert found.digest == expected.digest
    assert found.member.contract == expected.member.contract
    assert found.card == expected.card


def test_a_file_swapped_for_a_link_after_the_look(bundle: Path) -> None:
    source = sources.FolderSource(bundle)
    (bundle / "contract.json").unlink()
    (bundle / "contract.json").symlink_to("/etc/hostname")
    with pytest.raises(BundleError, match="no readable contract"):
        source.open("contract.json")


def test_a_bad_signature(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle / SIGNATURE).write_text("{}")
    refused(bundle, capsys, "damaged signature")
    (bundle / SIGNATURE).write_bytes(b"x" * 5000)
    refused(bundle, capsys, "expected at most 4096")
