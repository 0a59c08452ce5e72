"""A zip of unknown origin: names, kinds, sizes and places are checked before a byte of it is unpacked."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.inference.hostile import refused, watched
from tests.inference.made_bundle import made_bundle
from usdlr.cli.main import main
from usdlr.inference.bundle import load_bundle
from usdlr.inference.export import export_bundle


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    export_bundle(made_bundle(folder / "bundle", folds=0), folder / "bundle.usdlr")
    return folder / "bundle.usdlr"


@pytest.fixture(autouse=True)
def untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with watched(tmp_path, monkeypatch):
        yield


def test_the_sound_zip_is_not_refused(packed: Path) -> None:
    assert main(["bundle", "verify", str(packed)]) == 0


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(out: Path, *files: tuple[zipfile.ZipInfo | str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in files:
            archive.writestr(name, content, how)
    return out


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/etc/cron.d/evil.json", "sln/../../evil.json", "sln\\..\\evil.json", "C:\\evil.json", "~/x.json"],
)
def test_path_traversal_in_a_zip(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    content = entries(packed)
    out = zipped(tmp_path / "z.usdlr", *content.items(), (name, b"{}"))
    refused(out, capsys, "does not list" if name == "~/x.json" else "inside the bundle")
    assert not (tmp_path.parent / "evil.json").exists()


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o020644, 0o060644, 0o140644])
def test_a_link_or_device_in_a_zip(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int) -> None:
    content = entries(packed)
    info = zipfile.ZipInfo("contract.json")
    info.create_system, info.external_attr = 3, mode << 16
    del content["contract.json"]
    refused(zipped(tmp_path / "z.usdlr", *content.items(), (info, b"/etc/passwd")), capsys, "no regular file")


def test_one_name_twice_in_a_zip(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = entries(packed)
    with pytest.warns(UserWarning, match="Duplicate name"):
        out = zipped(tmp_path / "z.usdlr", *content.items(), ("contract.json", b"{}"))
    refused(out, capsys, "one file on some systems")
    refused(zipped(tmp_path / "y.usdlr", *content.items(), ("CONTRACT.json", b"{}")), capsys, "one file on some")


def test_a_zip_bomb(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = entries(packed) | {"sln/zeros.json": bytes(100 << 20)}
    out = zipped(tmp_path / "z.usdlr", *content.items(), how=zipfile.ZIP_DEFLATED)
    assert out.stat().st_size < 15 << 20
    refused(out, capsys, "at most 100 times as many")


def test_an_honest_zip_by_another_tool(packed: Path, tmp_path: Path) -> None:
    out = zipped(tmp_path / "z.usdlr", ("sln/", b""), *entries(packed).items(), how=zipfile.ZIP_DEFLATED)
    assert load_bundle(out).bundle_id == load_bundle(packed).bundle_id


def test_entries_that_overlap(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Many names for the same bytes, as in Fifield's bombs."""
    content = bytearray(packed.read_bytes())
    places = [place for place in range(len(content) - 4) if content[place : place + 4] == b"PK\x01\x02"]
    first = content[places[0] + 42 : places[0] + 46]
    content[places[1] + 42 : places[1] + 46] = first
    (tmp_path / "z.usdlr").write_bytes(content)
    refused(tmp_path / "z.usdlr", capsys, "no sound bundle")


def test_a_smaller_size_than_what_unpacks(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = entries(packed) | {"used.json": b"[" + b"1," * 200_000 + b"1]"}
    out = zipped(tmp_path / "z.usdlr", *content.items(), how=zipfile.ZIP_DEFLATED)
    raw = bytearray(out.read_bytes())
    place = raw.rindex(b"PK\x01\x02" + raw[raw.rindex(b"used.json") - 42 : raw.rindex(b"used.json")])
    raw[place + 24 : place + 28] = (100).to_bytes(4, "little")  # what the directory declares
    out.write_bytes(raw)
    refused(out, capsys, "found ")


def test_a_nested_bomb_is_never_opened(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inner = zipped(tmp_path / "inner.zip", ("x", bytes(1 << 20)), how=zipfile.ZIP_DEFLATED).read_bytes()
    out = zipped(tmp_path / "z.usdlr", *entries(packed).items(), ("sln/inner.zip", inner))
    refused(out, capsys, "does not list")


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[:-1],
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:10],
        lambda raw: b"",
        lambda raw: raw + b"#!/bin/sh",
        lambda raw: b"#!/bin/sh\n" + raw,
        lambda raw: raw[:-2] + b"\x05\x00hello",
        lambda raw: raw[:-12] + b"\xff\xff" + raw[-10:],
    ],
)
def test_damaged_zips(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "z.usdlr").write_bytes(change(packed.read_bytes()))
    refused(tmp_path / "z.usdlr", capsys, "found ")


def test_a_zip_that_claims_a_million_entries(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = bytearray(packed.read_bytes())
    raw[-14:-10] = b"\xff\xfe\xff\xfe"
    (tmp_path / "z.usdlr").write_bytes(raw)
    refused(tmp_path / "z.usdlr", capsys, "more than 10000 files")


def test_an_altered_byte_in_a_zip(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = bytearray(packed.read_bytes())
    raw[raw.index(b"sln/network_0") + 5_000] ^= 1
    (tmp_path / "z.usdlr").write_bytes(raw)
    refused(tmp_path / "z.usdlr", capsys, "network_0")
    content = entries(packed)
    content["contract.json"] = content["contract.json"].replace(b"0.1", b"0.9")
    refused(zipped(tmp_path / "y.usdlr", *content.items()), capsys, "contract.json altered")


def test_encrypted_and_odd_packing(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = zipped(tmp_path / "z.usdlr", *entries(packed).items(), how=zipfile.ZIP_LZMA)
    refused(out, capsys, "unusual way")


def test_a_zip_without_a_manifest_or_no_zip_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(zipped(tmp_path / "z.usdlr", ("bundle/bundle.json", b"{}")), capsys, "no bundle.json")
    refused(tmp_path / "nowhere.usdlr", capsys, "no bundle at")
    refused(tmp_path, capsys, "no bundle.json")
    (tmp_path / "x.usdlr").write_bytes(zlib.compress(b"x" * 1000))
    refused(tmp_path / "x.usdlr", capsys, "no sound bundle")
