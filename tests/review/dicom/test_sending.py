"""The commands that join a review's record and an archive: a real Orthanc confirms, and shows what it was given."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.review.dicom.conftest import NAME, PASSWORD, Orthanc, need
from tests.review.dicom.made import COLUMNS, MODEL, ROWS, STATE, axilla
from usdlr.cli.main import main
from usdlr.imaging.store import write_png
from usdlr.review.acts import Account, Act, Action, Role
from usdlr.review.dicom.capture import page_pngs
from usdlr.review.dicom.source import make_source
from usdlr.review.dicom.study import study_objects
from usdlr.review.dicom.web import file_bytes
from usdlr.review.paper import axilla_pdf
from usdlr.review.records import ModelRecord
from usdlr.review.sending import send_axilla
from usdlr.review.store.accounts import accounts
from usdlr.review.store.acting import act
from usdlr.review.store.audit import events, verify
from usdlr.review.store.demands import LONGEST_REASON
from usdlr.review.store.engine import Store, StoreAwayError, open_store
from usdlr.review.store.loading import load_axillae, load_model
from usdlr.review.store.people import create_account
from usdlr.review.store.reading import models, put_explanation, state
from usdlr.review.store.worklist import WorklistQuery, worklist

NUMBER, PATIENT = 4, "pseudo-4711"  # of the axilla that is made
MADE = ["--made_images", "true"]


@pytest.fixture
def review(tmp_path: Path) -> Path:
    """A review of one axilla with a verdict."""
    folder = tmp_path / "review"
    folder.mkdir()
    store = open_store(f"sqlite:///{folder}/review.db")
    load_model(store, MODEL)
    load_axillae(store, [axilla(tmp_path)])
    reader: Account = create_account(store, "bea", "Dr Bea", Role.REVIEWER, "tall-green-horses", by=None)
    (row,) = worklist(store, WorklistQuery()).rows
    act(store, Action(Act.ACCEPT, row.token, 1, "request-0001"), reader)
    store.close()
    return folder


def sent_events(folder: Path) -> list[int]:
    store = open_store(f"sqlite:///{folder}/review.db")
    try:
        assert verify(store).whole
        return [len(event.after["objects"]) for event in events(store, limit=1000) if event.kind == "sent"]
    finally:
        store.close()


def test_sent_twice_the_archive_has_each_object_once(
    review: Path, orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("USDLR_PACS_USER", NAME)
    monkeypatch.setenv("USDLR_PACS_PASSWORD", PASSWORD)
    assert main(["review", "send", "--out", str(review), "--web", orthanc.web, *MADE]) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert "1 axillae, 4 objects, all confirmed" in told
    assert PASSWORD not in told
    first = set(orthanc.rest("GET", "/instances"))
    # By the other way, and again: the same objects.
    peer = f"127.0.0.1:{orthanc.dicom}:ARCHIVE"
    assert main(["review", "send", "--out", str(review), "--peer", peer, "--case", f"[{NUMBER}]", *MADE]) == 0
    assert set(orthanc.rest("GET", "/instances")) == first
    assert len(first) == 4
    assert sent_events(review) == [4, 4]
    kinds = {}
    for name in first:
        path = tmp_path / f"{name}.dcm"
        path.write_bytes(orthanc_file(orthanc, name))
        kinds[str(pydicom.dcmread(path).Modality)] = path
    # No hospital's number, and the archive is told so.
    assert {pydicom.dcmread(path).IssuerOfPatientID for path in kinds.values()} == {"usdlr"}
    page = pydicom.dcmread(kinds["OT"]).pixel_array
    assert page.shape[2] == 3
    assert page.mean() > 200  # a sheet of paper
    text = subprocess.run([need("dsrdump"), str(kinds["SR"])], capture_output=True, text=True, check=True).stdout
    assert "Dr Bea" in text


def orthanc_file(orthanc: Orthanc, name: str) -> bytes:
    import httpx

    address = f"http://127.0.0.1:{orthanc.http}/instances/{name}/file"
    return httpx.get(address, auth=(NAME, PASSWORD), trust_env=False).content


def test_what_was_sent_is_not_fetched_back_as_an_image(
    review: Path, orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("USDLR_PACS_USER", NAME)
    monkeypatch.setenv("USDLR_PACS_PASSWORD", PASSWORD)
    assert main(["review", "send", "--out", str(review), "--web", orthanc.web, *MADE]) == 0
    asked = ["review", "fetch", "--web", orthanc.web, "--target", str(tmp_path / "fetched")]
    assert main([*asked, "--patient", PATIENT]) == 2
    assert "no ultrasound image to keep" in capsys.readouterr().err


def test_an_archive_that_is_away_loses_nothing(review: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", "send", "--out", str(review), "--peer", "127.0.0.1:9:ARCHIVE", *MADE]) == 2
    assert "expected" in capsys.readouterr().err
    assert sent_events(review) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "neither or both"),
        (["--peer", "archive"], "HOST:PORT:TITLE"),
        (["--peer", "127.0.0.1:104:ARCHIVE"], "name --sources FOLDER, or --made_images true"),
        (["--peer", "127.0.0.1:104:ARCHIVE", *MADE, "--case", "[99]"], "case 99 not finished"),
    ],
)
def test_mistakes(review: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", "send", "--out", str(review), *words]) == 2
    assert message in capsys.readouterr().err


def test_every_page_becomes_a_picture() -> None:
    first = np.full((144, 72), 255, np.uint8)
    first[:, :36] = 0
    second = first.T
    target = io.BytesIO()
    Image.fromarray(first).save(
        target, "PDF", resolution=72, save_all=True, append_images=[Image.fromarray(np.ascontiguousarray(second))]
    )
    found, other = (np.asarray(Image.open(io.BytesIO(one))) for one in page_pngs(target.getvalue()))
    assert found.shape == (288, 144, 3)
    assert found[:, :68].max() < 16
    assert found[:, 76:].min() > 240
    assert other.shape == (144, 288, 3)
    assert other[:68].max() < 16
    assert other[76:].min() > 240


def test_a_long_reason_is_sent_with_every_page_of_its_sheet(review: Path) -> None:
    store = open_store(f"sqlite:///{review}/review.db")
    try:
        (row,) = worklist(store, WorklistQuery()).rows
        # Two sheets: what a form takes at most, from two readers.
        for version, who in ((2, "cleo"), (3, "dora")):
            reader = create_account(store, who, f"Dr {who.title()}", Role.REVIEWER, "tall-green-horses", by=None)
            words = ("word " * 799)[: LONGEST_REASON - 1]
            act(store, Action(Act.REJECT, row.token, version, f"request-000{version}", reason=words), reader)
        sent: list[pydicom.Dataset] = []

        def deliver(objects: Sequence[pydicom.Dataset]) -> list[str]:
            sent.extend(objects)
            return [str(one.SOPInstanceUID) for one in objects]

        counts = [send_axilla(store, row.token, deliver, "archive") for _ in range(2)]
    finally:
        store.close()
    once, again = sent[: counts[0]], sent[counts[0] :]
    pages = [one for one in once if one.Modality == "OT"]
    assert len(pages) > 1
    assert [one.InstanceNumber for one in pages] == list(range(1, len(pages) + 1))
    assert len({one.SeriesInstanceUID for one in pages}) == 1
    assert len({str(one.SOPInstanceUID) for one in once}) == len(once)
    assert [str(one.SOPInstanceUID) for one in again] == [str(one.SOPInstanceUID) for one in once]
    assert all((one.pixel_array < 128).mean() > 0.01 for one in pages)  # something is printed on each


def test_pages_that_look_alike_are_two_instances(tmp_path: Path) -> None:
    target = io.BytesIO()
    Image.new("RGB", (20, 30), "white").save(target, "PNG")
    objects = study_objects(MODEL, axilla(tmp_path), STATE, pages=[target.getvalue()] * 2)
    pages = [one for one in objects if one.Modality == "OT"]
    assert [one.InstanceNumber for one in pages] == [1, 2]
    assert len({str(one.SOPInstanceUID) for one in pages}) == 2


def test_a_case_without_source_is_named_and_the_others_are_sent(
    review: Path, orthanc: Orthanc, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    found = axilla(tmp_path)
    (sources / "a").write_bytes(file_bytes(make_source(found, found.images[0]).dataset))
    store = open_store(f"sqlite:///{review}/review.db")
    other = replace(axilla(tmp_path / "other"), token="other-token", number=2, patient_id="pseudo-4712")
    image = replace(other.images[0], token="other-image", image_id="img-other")
    noise = np.random.default_rng(9).integers(60, 200, (ROWS, COLUMNS)).astype(np.uint8)
    write_png(tmp_path / "other" / "images" / "b.png", noise)
    load_axillae(store, [found, replace(other, images=(image,), row={"image_id": "img-other"})])
    reader = next(one for one in accounts(store) if one.name == "bea")
    for row in worklist(store, WorklistQuery()).rows:
        now = state(store, row.token)
        act(store, Action(Act.ACCEPT, row.token, now.version, f"request-100{row.number}"), reader)
    numbers = {row.patient_id: row.number for row in worklist(store, WorklistQuery()).rows}
    store.close()
    lacking = numbers["pseudo-4712"]
    peer = f"127.0.0.1:{orthanc.dicom}:ARCHIVE"
    assert main(["review", "send", "--out", str(review), "--peer", peer, "--sources", str(sources)]) == 2
    told = capsys.readouterr()
    assert f"case {lacking}: found no DICOM image" in told.err
    assert f"1 of 2 cases not sent or not recorded ({lacking})" in told.err
    assert "1 axillae, 3 objects, all confirmed" in told.out
    assert "pseudo" not in told.out + told.err
    assert sent_events(review) == [3]


def test_what_is_confirmed_and_cannot_be_recorded_is_no_failure(review: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"sqlite:///{review}/review.db")
    (row,) = worklist(store, WorklistQuery()).rows
    real, left = store.writing, [2]
    monkeypatch.setattr("usdlr.review.sending.PAUSES_S", (0.0, 0.0, 0.0))

    @contextmanager
    def busy() -> Iterator[Any]:
        with real() as connection:
            yield connection
        if left[0] > 0:  # committed, and the answer lost
            left[0] -= 1
            raise StoreAwayError("busy")

    monkeypatch.setattr(store, "writing", busy)
    try:
        assert send_axilla(store, row.token, lambda objects: [str(one.SOPInstanceUID) for one in objects], "X") == 4
        assert [one.kind for one in events(store, token=row.token)].count("sent") == 1
    finally:
        store.close()
    assert sent_events(review) == [4]


def test_the_report_and_its_explanation_are_of_one_moment(review: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"sqlite:///{review}/review.db")
    (row,) = worklist(store, WorklistQuery()).rows
    told: list[Any] = []

    def meanwhile(of: Store) -> list[ModelRecord]:
        put_explanation(of, row.token, {"later": True}, {})
        return models(of)

    def paper(model: Any, record: Any, now: Any, explanation: Any, **more: Any) -> bytes:
        told.append(explanation)
        return axilla_pdf(model, record, now, None, **more)

    monkeypatch.setattr("usdlr.review.sending.models", meanwhile)
    monkeypatch.setattr("usdlr.review.sending.axilla_pdf", paper)
    try:
        for _ in range(2):
            send_axilla(store, row.token, lambda objects: [str(one.SOPInstanceUID) for one in objects], "X")
    finally:
        store.close()
    assert told == [None, {"later": True}]
