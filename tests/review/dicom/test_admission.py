"""What hostile files do at the gate: nothing is kept, nothing is lost without a word, no name is theirs."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.review.dicom.test_network import scanner_image
from usdlr.core.errors import DataError
from usdlr.ingest.readers import bounded
from usdlr.ingest.readers.dicom_file import quiet
from usdlr.review.dicom.admission import Admission, Outcome
from usdlr.review.dicom.imports import import_studies
from usdlr.review.dicom.web import file_bytes


def content(folder: Path, **header: object) -> bytes:
    with quiet():
        return file_bytes(scanner_image(folder, **header))


def bomb(folder: Path) -> bytes:
    """A deflated data set that grows a thousandfold."""
    whole = content(folder)
    dataset = pydicom.dcmread(io.BytesIO(whole))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    head = file_bytes(dataset)
    start = head.find(b"DICM") + 4
    length = 12 + int.from_bytes(head[start + 8 : start + 12], "little")
    machine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"\x08\x00\x05\x00UN\x00\x00" + (8 << 20).to_bytes(4, "little") + bytes(8 << 20)
    return head[: start + length] + machine.compress(body) + machine.flush()


def deep(folder: Path, levels: int) -> bytes:
    """Sequences in sequences, before the pixels; pydicom's own writer does not come back from that."""
    whole = content(folder)
    at = whole.index(b"\xe0\x7f\x10\x00OB")
    # ContentSequence and its item, both of undefined length, and their ends.
    start = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return whole[:at] + start * levels + end * levels + whole[at:]


def hostile(folder: Path) -> Iterator[bytes]:
    whole = content(folder)
    yield b""
    yield b"\x89PNG\r\n\x1a\n" + bytes(100)
    yield b"#!/bin/sh\nexit 1\n"
    yield whole[:200]
    yield whole[:-3000]
    yield content(folder, Rows=65535, Columns=65535)
    yield content(folder, NumberOfFrames=2_000_000_000)
    yield content(folder, BitsStored=60)
    yield content(folder, StudyInstanceUID="../../../tmp/x")
    yield content(folder, SOPInstanceUID="a/b")
    yield content(folder, SOPInstanceUID="")
    yield bomb(folder)


def test_hostile_files_go_to_quarantine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MAX_DEFLATED_BYTES", 1 << 20)
    gate = Admission(tmp_path / "in")
    files = list(hostile(tmp_path))
    for file in files:
        admitted = gate.admit(file)
        assert admitted.outcome is Outcome.REFUSED, file[:200]
        assert admitted.sentence.startswith("found ")
        for told in ("pseudo-4711", str(tmp_path), "tmp"):
            assert told not in admitted.sentence
    assert not (tmp_path / "in").exists()
    with (gate.quarantine / "not_taken.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(files)
    # The content is there for whoever has to look into it, an empty file apart.
    stored = {path.read_bytes() for path in gate.quarantine.glob("*.refused")}
    assert stored == set(files) - {b""}
    assert {path.parent for path in tmp_path.rglob("*.refused")} == {gate.quarantine}


@pytest.mark.parametrize(("levels", "outcome"), [(20, Outcome.KEPT), (2000, Outcome.REFUSED)])
def test_a_deep_header_neither_crashes_nor_escapes(tmp_path: Path, levels: int, outcome: Outcome) -> None:
    assert Admission(tmp_path / "in").admit(deep(tmp_path, levels)).outcome is outcome


def test_one_identifier_with_two_contents_stays_apart(tmp_path: Path) -> None:
    gate = Admission(tmp_path / "in")
    paths = {gate.admit(content(tmp_path, InstanceNumber=number)).path for number in (1, 2)}
    assert len(paths) == 2


@pytest.mark.parametrize(
    "header", [{"Modality": "MR"}, {"Modality": "SR"}, {"Manufacturer": "usdlr"}, {"PixelData": None}]
)
def test_what_is_no_scanners_image_is_left_out_with_a_row(tmp_path: Path, header: dict[str, object]) -> None:
    gate = Admission(tmp_path / "in")
    dataset = scanner_image(tmp_path, **{key: value for key, value in header.items() if value is not None})
    if "PixelData" in header:
        del dataset.PixelData
    assert gate.admit(file_bytes(dataset)).outcome is Outcome.LEFT_OUT
    assert len((gate.quarantine / "not_taken.csv").read_text().splitlines()) == 2
    assert not (tmp_path / "in").exists()


def test_limits(tmp_path: Path) -> None:
    whole = content(tmp_path)
    assert Admission(tmp_path / "a", most_file=len(whole) - 1).admit(whole).outcome is Outcome.REFUSED
    full = Admission(tmp_path / "b", most_total=len(whole))
    assert full.admit(whole).outcome is Outcome.KEPT
    with pytest.raises(DataError, match="make room"):
        full.admit(whole)


def test_an_import_without_an_image_is_an_error_and_a_torn_one_continues(tmp_path: Path) -> None:
    whole = [content(tmp_path, SOPInstanceUID=f"1.2.{number}") for number in range(3)]

    class Torn:
        left = 2

        def fetch(self, study_uid: str) -> Iterator[bytes]:
            for number, file in enumerate(whole):
                if number == self.left:
                    raise DataError("found no connection, expected one")
                yield file

    class Empty:
        def fetch(self, study_uid: str) -> Iterator[bytes]:
            yield b"nothing"

    with pytest.raises(DataError, match=r"no ultrasound image to keep: 0 kept, 0 left out .*, 1 refused"):
        import_studies(Empty(), ["1.2"], tmp_path / "empty")
    archive = Torn()
    with pytest.raises(DataError, match="no connection"):
        import_studies(archive, ["1.2"], tmp_path / "in")
    archive.left = 9
    imported = import_studies(archive, ["1.2"], tmp_path / "in")
    assert imported.counts == {Outcome.KNOWN: 2, Outcome.KEPT: 1}
    assert len(list(imported.folder.rglob("*.dcm"))) == 3
