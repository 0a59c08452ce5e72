"""Whoever speaks to the receiver: titles that are not on the list, giants, torn connections, and noise."""

from __future__ import annotations

import io
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE, evt

from tests.review.dicom.conftest import free_port
from tests.review.dicom.made import axilla
from usdlr.core.errors import ConfigError, DataError
from usdlr.ingest.readers.dicom_file import quiet
from usdlr.review.dicom import network
from usdlr.review.dicom.admission import Admission, Outcome
from usdlr.review.dicom.network import Peer, Receiver, send
from usdlr.review.dicom.source import make_source

LIMIT = 200_000


def scanner_image(folder: Path, **header: object) -> pydicom.Dataset:
    record = axilla(folder)
    dataset = make_source(record, replace(record.images[0])).dataset
    dataset.Manufacturer = "Scanner"
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with Receiver(Admission(tmp_path / "in", most_file=LIMIT), ["SCANNER"]) as found:
        yield found


def peer_of(receiver: Receiver, title: str = "USDLR") -> Peer:
    return Peer("127.0.0.1", receiver.port, title)


def kept(receiver: Receiver) -> list[Path]:
    return sorted(receiver.admission.folder.rglob("*.dcm"))


def require_alive(receiver: Receiver, folder: Path) -> None:
    """It still takes what it should take."""
    dataset = scanner_image(folder)
    assert send([dataset], peer_of(receiver), calling="SCANNER") == (str(dataset.SOPInstanceUID),)
    (path,) = kept(receiver)
    np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, dataset.pixel_array)


def test_it_listens_on_this_machine_alone(receiver: Receiver) -> None:
    (server,) = receiver._entity._servers
    assert server.socket is not None
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_the_same_image_twice_is_one_file(receiver: Receiver, tmp_path: Path) -> None:
    require_alive(receiver, tmp_path)
    require_alive(receiver, tmp_path)


@pytest.mark.parametrize(("calling", "called"), [("STRANGER", "USDLR"), ("SCANNER", "OTHER")])
def test_titles_that_are_not_on_the_list(receiver: Receiver, tmp_path: Path, calling: str, called: str) -> None:
    with pytest.raises(DataError, match="found no association"):
        send([scanner_image(tmp_path)], peer_of(receiver, called), calling=calling)
    assert kept(receiver) == []
    require_alive(receiver, tmp_path)


def test_an_instance_that_is_too_large_ends_its_association_only(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "OVERHEAD", 10_000)
    giant = scanner_image(tmp_path, Rows=2000, Columns=2000)
    giant.PixelData = bytes(2000 * 2000)
    with pytest.raises(DataError, match="not confirmed"):
        send([giant], peer_of(receiver), calling="SCANNER", timeout_s=5)
    assert kept(receiver) == []
    require_alive(receiver, tmp_path)


def test_a_pdu_that_announces_gigabytes_is_not_read(receiver: Receiver, tmp_path: Path) -> None:
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as stream:
        stream.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFF0))
        stream.sendall(bytes(1000))
        stream.settimeout(10)
        # Closed, or aborted, without having waited for the rest.
        assert len(stream.recv(100)) <= 10
    require_alive(receiver, tmp_path)


@pytest.mark.parametrize("noise", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x01\x00\x00\x00\x00\x10" + b"\xff" * 16, b"\x04"])
def test_noise(receiver: Receiver, tmp_path: Path, noise: bytes) -> None:
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as stream:
        stream.sendall(noise)
    require_alive(receiver, tmp_path)


def test_a_connection_torn_in_the_middle_of_an_instance(receiver: Receiver, tmp_path: Path) -> None:
    entity = AE(ae_title="SCANNER")
    dataset = scanner_image(tmp_path)
    entity.add_requested_context(dataset.SOPClassUID, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", receiver.port, ae_title="USDLR")
    assert association.is_established
    # The command of a C-STORE and the start of its data set, by hand; then nothing.
    stream = association.dul.socket
    assert stream is not None
    assert stream.socket is not None
    stream.socket.sendall(struct.pack(">BBL", 4, 0, 5000) + bytes(100))
    stream.socket.shutdown(socket.SHUT_RDWR)
    association.abort()
    assert kept(receiver) == []
    require_alive(receiver, tmp_path)


def test_truncated_and_foreign_instances_are_not_confirmed(receiver: Receiver, tmp_path: Path) -> None:
    torn = scanner_image(tmp_path)
    torn.PixelData = torn.PixelData[:500]
    with quiet():
        trick = scanner_image(tmp_path, StudyInstanceUID="../../x")
    for dataset in (torn, scanner_image(tmp_path, Modality="CT"), trick):
        with pytest.raises(DataError, match="0xa900"):
            send([dataset], peer_of(receiver), calling="SCANNER")
    assert kept(receiver) == []
    rows = (receiver.admission.quarantine / "not_taken.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["refused", "left_out", "refused"]
    assert "pseudo-4711" not in "".join(rows)
    require_alive(receiver, tmp_path)


def test_a_full_disk_is_told_to_the_sender(tmp_path: Path) -> None:
    with (
        Receiver(Admission(tmp_path / "in", most_total=100), ["SCANNER"]) as receiver,
        pytest.raises(DataError, match="0xa700"),
    ):
        send([scanner_image(tmp_path)], peer_of(receiver), calling="SCANNER")


def test_what_follows_an_instance_may_fail(tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("planted")

    with Receiver(Admission(tmp_path / "in"), ["SCANNER"], on_received=fail) as receiver:
        require_alive(receiver, tmp_path)


def test_an_archive_that_confirms_only_some_is_an_error(tmp_path: Path) -> None:
    answers = iter([0x0000, 0xA700])
    entity = AE(ae_title="ARCHIVE")
    entity.add_supported_context("1.2.840.10008.5.1.4.1.1.6.1", ExplicitVRLittleEndian)
    port = free_port()
    server = entity.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda event: next(answers))]
    )
    assert server is not None
    try:
        both = [scanner_image(tmp_path), scanner_image(tmp_path, SOPInstanceUID="1.2.3")]
        both[1].file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
        with pytest.raises(DataError, match=r"1 of 2 instances not confirmed by the archive \(0xa700\)"):
            send(both, Peer("127.0.0.1", port, "ARCHIVE"))
    finally:
        server.shutdown()
        entity.shutdown()


def test_nobody_there(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(DataError, match="found no association"):
        send([scanner_image(tmp_path)], Peer("127.0.0.1", free_port(), "ARCHIVE"), timeout_s=2)
    assert time.monotonic() - started < 10
    with pytest.raises(DataError, match="nothing to send"):
        send([], Peer("127.0.0.1", 104, "ARCHIVE"))


@pytest.mark.parametrize("title", ["", "A" * 17, "TIT\\LE", " PADDED", "Größe"])
def test_titles_that_are_none(title: str) -> None:
    with pytest.raises(ConfigError, match="title"):
        Peer("localhost", 104, title)


def test_a_receiver_needs_somebody_who_may_send(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nobody"):
        Receiver(Admission(tmp_path), [])


def test_instances_in_memory_are_admitted_as_files_are(tmp_path: Path) -> None:
    stream = io.BytesIO()
    scanner_image(tmp_path).save_as(stream, enforce_file_format=True)
    gate = Admission(tmp_path / "in")
    assert [gate.admit(stream.getvalue()).outcome for _ in range(2)] == [Outcome.KEPT, Outcome.KNOWN]
