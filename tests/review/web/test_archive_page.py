"""A finished review goes from its page to a real archive, once, with every attempt in the log."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from fastapi import FastAPI
from pydicom.uid import UID

from tests.review.dicom import conftest as archives
from tests.review.dicom.conftest import NAME, Orthanc
from tests.review.dicom.conftest import PASSWORD as SECRET
from tests.review.dicom.made import COLUMNS, MODEL, ROWS, STATE, axilla, picture
from tests.review.web.made import PASSWORD, Browser
from usdlr.core.errors import ConfigError
from usdlr.review.acts import Reading, Role
from usdlr.review.dicom.delivery import Archive
from usdlr.review.dicom.settings import PacsSettings
from usdlr.review.dicom.study import study_objects
from usdlr.review.dicom.web import file_bytes
from usdlr.review.outbox import Outbox
from usdlr.review.records import AxillaRecord
from usdlr.review.sending import begin
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.accounts import accounts, create_account
from usdlr.review.store.audit import events
from usdlr.review.store.checking import check
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.reading import load_axillae, load_model
from usdlr.review.web.app import create_app

running_orthanc, orthanc = archives.running_orthanc, archives.orthanc
HOSPITAL_ID = "MRN 1"


@dataclass
class Page:
    """A review of one axilla and what stands around it."""

    store: Store
    record: AxillaRecord
    sources: Path
    scanner: Path

    @property
    def path(self) -> str:
        return f"/axillae/{self.record.token}"

    def app(self, pacs: PacsSettings | None, reading: Reading = Reading.OPEN) -> FastAPI:
        return create_app(self.store, settings=ReviewSettings(pacs=pacs, reading=reading), live=None)

    def told(self) -> list[tuple[str, str, int]]:
        """Kind, account and version of every delivery."""
        return [
            (one.kind, one.account, one.after["version"])
            for one in events(self.store, token=self.record.token)
            if one.kind in ("sending", "sent", "send_failed")
        ]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """An axilla whose picture was cut out of a scanner's image, which lies in the folder of sources."""
    made = axilla(tmp_path)
    record = replace(made, row={**made.row, "source_row": 7, "source_col": 11})
    sources = tmp_path / "sources" / "study"
    sources.mkdir(parents=True)
    (sources / "notes.txt").write_text("no image")
    scanner = sources / "US0001"
    scanner.write_bytes(scanner_image(record, "1.2.3.4"))
    store = open_store(f"sqlite:///{tmp_path}/review.db")
    load_model(store, MODEL)
    load_axillae(store, [record])
    for name, role in (("vera", Role.VIEWER), ("anna", Role.REVIEWER), ("ben", Role.REVIEWER)):
        create_account(store, name, f"Dr {name.title()}", role, PASSWORD, by=None)
    yield Page(store, record, sources.parent, scanner)
    store.close()


def scanner_image(record: AxillaRecord, uid: str) -> bytes:
    """A scanner's screen with the picture in it, of a patient as the hospital calls them."""
    dataset = study_objects(MODEL, replace(record, row={"image_id": record.images[0].image_id}), STATE)[0]
    screen = np.full((ROWS + 20, COLUMNS + 30), 5, np.uint8)
    screen[7 : 7 + ROWS, 11 : 11 + COLUMNS] = picture()
    dataset.Rows, dataset.Columns, dataset.PixelData = *screen.shape, screen.tobytes()
    dataset.PatientName, dataset.PatientID, dataset.StudyDate = "Doe^Jane", HOSPITAL_ID, "20260228"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(uid)
    return file_bytes(dataset)


def browser(app: FastAPI, name: str) -> Browser:
    found = Browser(app)
    assert found.sign_in(name).status_code == 303
    return found


def card(of: Browser, page: Page) -> str:
    found = re.search(r'<section class="card archive.*?</section>', of.get(page.path).text, re.DOTALL)
    return unescape(found[0]) if found else ""


def press(of: Browser, page: Page, **more: Any) -> Any:
    """Send the form of the page as it stands."""
    fields = dict(re.findall(r'name="(seen|after)" value="(\d+)"', card(of, page)))
    return of.submit(f"{page.path}/archive", {**fields, **more})


def wait_for(of: Browser, page: Page, words: str) -> str:
    limit = time.monotonic() + 30
    while words not in (text := card(of, page)):
        assert time.monotonic() < limit, text
        time.sleep(0.1)
    return text


def by_web(found: Orthanc, sources: Path | None, **more: Any) -> PacsSettings:
    return PacsSettings(web=found.web, sources=sources, user=NAME, password=SECRET, **more)


def stored(found: Orthanc) -> dict[str, pydicom.Dataset]:
    """What the archive gives back, by modality."""
    out: dict[str, pydicom.Dataset] = {}
    for name in found.rest("GET", "/instances"):
        address = f"http://127.0.0.1:{found.http}/instances/{name}/file"
        content = httpx.get(address, auth=(NAME, SECRET), trust_env=False).content
        dataset = pydicom.dcmread(io.BytesIO(content))
        out[str(dataset.Modality)] = dataset
    return out


def finished(page: Page, app: FastAPI, name: str = "anna") -> Browser:
    found = browser(app, name)
    assert found.act(page.record.token, 1, "accept").status_code == 303
    return found


def test_a_report_is_in_the_study_of_the_image_that_was_read(page: Page, orthanc: Orthanc) -> None:
    orthanc.add(page.scanner.read_bytes())
    anna = finished(page, page.app(by_web(orthanc, page.sources)))
    assert "Not sent yet." in card(anna, page)
    assert press(anna, page).headers["location"] == f"{page.path}#archive"
    text = wait_for(anna, page, "Sent to DICOMweb")
    assert "by Dr Anna: 3 objects, all confirmed." in text
    assert "Send again" in text
    found = stored(orthanc)
    assert sorted(found) == ["OT", "SEG", "SR", "US"]
    assert {(one.PatientID, one.StudyInstanceUID) for one in found.values()} == {
        (HOSPITAL_ID, found["US"].StudyInstanceUID)
    }
    assert "Dr Anna" in str(found["SR"])
    assert found["SEG"].Rows == ROWS + 20
    sending, sent = [one for one in events(page.store, token=page.record.token) if one.kind in ("sending", "sent")]
    assert (sending.account, sending.digest) == (sent.account, sent.digest) == ("anna", MODEL.digest)
    assert sending.after == {"to": "DICOMweb", "version": 2}
    assert sent.after["attempt"] == sending.number
    assert sent.after["version"] == 2
    assert set(sent.after["objects"]) == {str(found[one].SOPInstanceUID) for one in ("OT", "SEG", "SR")}
    whole = check(page.store)
    assert whole.whole, whole.wrong
    said = str(events(page.store, limit=1000)) + anna.get(page.path).text
    assert SECRET not in said
    assert "127.0.0.1" not in said
    # On purpose, again: told twice, stored once.
    assert press(anna, page).status_code == 303
    limit = time.monotonic() + 30
    while len(page.told()) < 4:
        assert time.monotonic() < limit
        time.sleep(0.1)
    assert len(orthanc.rest("GET", "/instances")) == 4
    # A later comment is not in the archive, and the page says so.
    assert anna.act(page.record.token, 2, "comment", reason="More.").status_code == 303
    assert "the archive has an earlier state of it" in card(anna, page)


def test_after_a_failure_it_is_sent_again_by_the_other_way(page: Page, orthanc: Orthanc) -> None:
    gone = PacsSettings(peer="127.0.0.1:9:ARCHIVE", sources=page.sources)
    anna = finished(page, page.app(gone))
    press(anna, page)
    text = wait_for(anna, page, "Not sent to ARCHIVE")
    assert "found no association with the archive" in text
    assert "asked for by Dr Anna" in text
    there = PacsSettings(peer=f"127.0.0.1:{orthanc.dicom}:ARCHIVE", sources=page.sources)
    ben = browser(page.app(there), "ben")
    press(ben, page)
    wait_for(ben, page, "Sent to ARCHIVE")
    assert sorted(stored(orthanc)) == ["OT", "SEG", "SR"]
    assert page.told() == [
        ("sending", "anna", 2),
        ("send_failed", "anna", 2),
        ("sending", "ben", 2),
        ("sent", "ben", 2),
    ]
    history = unescape(ben.get(page.path).text)
    assert "Not sent to the archive, found no association" in history


class Slow:
    """An archive that takes its time, and counts."""

    def __init__(self) -> None:
        self.calls, self.go = 0, threading.Event()

    def open(self, settings: PacsSettings) -> Archive:
        return Archive("SLOW", self.deliver, lambda: None)

    def deliver(self, objects: Sequence[pydicom.Dataset]) -> list[str]:
        self.calls += 1
        assert self.go.wait(20)
        return [str(one.SOPInstanceUID) for one in objects]


def slowly(page: Page, pacs: PacsSettings, reading: Reading = Reading.OPEN) -> tuple[FastAPI, Slow]:
    app, slow = page.app(pacs, reading), Slow()
    app.state.site = replace(app.state.site, outbox=Outbox(page.store, pacs, open=slow.open))
    return app, slow


def test_two_clicks_send_once(page: Page) -> None:
    app, slow = slowly(page, PacsSettings(peer="127.0.0.1:9:SLOW", sources=page.sources))
    readers = [finished(page, app), browser(app, "ben")]
    fields = {"seen": 2, "after": 0}
    tokens = [one.token("/account") for one in readers]

    def click(at: int) -> int:
        form = {**fields, "csrf": tokens[at % 2]}
        answer = readers[at % 2].post(f"{page.path}/archive", data=form, headers={"Origin": "http://127.0.0.1"})
        return int(answer.status_code)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(click, range(8))) == [303] * 8
    text = card(readers[0], page)
    assert "Being sent to SLOW since" in text
    assert "<button" not in text
    assert 'hx-trigger="every 4s"' in text
    assert '"X-Usdlr-Background": "1"' in text
    attempt = events(page.store, token=page.record.token)[-1].number
    assert press(readers[0], page, seen=2, after=attempt).status_code == 303
    slow.go.set()
    text = wait_for(readers[0], page, "Sent to SLOW")
    assert "every 4s" not in text
    assert slow.calls == 1
    assert [kind for kind, _, _ in page.told()] == ["sending", "sent"]


def test_what_changes_while_it_waits_is_not_sent_in_its_place(page: Page) -> None:
    app, slow = slowly(page, PacsSettings(peer="127.0.0.1:9:SLOW", sources=page.sources))
    anna = finished(page, app)
    outbox = app.state.site.outbox
    real: Callable[..., Any] = outbox._send  # the moment between the click and the objects

    def later(wish: Any) -> None:
        assert browser(app, "ben").act(page.record.token, 2, "reject", reason="Wrong lesion.").status_code == 303
        real(wish)

    outbox._send = later
    press(anna, page)
    assert "has changed since it was to be sent" in wait_for(anna, page, "Not sent to SLOW")
    assert slow.calls == 0


def test_after_a_restart_an_open_attempt_says_so_and_can_be_repeated(page: Page) -> None:
    pacs = PacsSettings(peer="127.0.0.1:9:SLOW", sources=page.sources)
    anna = finished(page, page.app(pacs))
    account = next(one for one in accounts(page.store) if one.name == "anna")
    before = begin(page.store, page.record.token, account, "SLOW", seen=2, after=0, reading=Reading.OPEN)
    assert before is not None
    text = card(anna, page)
    assert "was interrupted" in text
    assert "asked for by Dr Anna" in text
    app, slow = slowly(page, pacs)
    slow.go.set()
    again = browser(app, "anna")
    press(again, page)
    wait_for(again, page, "Sent to SLOW")
    assert [kind for kind, _, _ in page.told()] == ["sending", "sending", "sent"]


def test_what_must_not_be_sent_is_refused_with_its_reason(page: Page) -> None:
    pacs = PacsSettings(peer="127.0.0.1:9:SLOW", sources=page.sources)
    app, slow = slowly(page, pacs)
    anna, vera = browser(app, "anna"), browser(app, "vera")
    assert "whose review is not finished" in card(anna, page)
    assert "<button" not in card(anna, page)
    refused = anna.submit(f"{page.path}/archive", {"seen": 1, "after": 0})
    assert refused.status_code == 422
    assert "review is not finished" in refused.text
    assert anna.act(page.record.token, 1, "accept").status_code == 303
    late = anna.submit(f"{page.path}/archive", {"seen": 1, "after": 0})
    assert late.status_code == 422
    assert "has changed since you opened it" in late.text
    assert "<button" not in card(vera, page)
    assert vera.submit(f"{page.path}/archive", {"seen": 2, "after": 0}).status_code == 404
    # Where nobody knows the scanner's image, nothing leaves.
    bare = browser(page.app(PacsSettings(peer="127.0.0.1:9:SLOW")), "anna")
    assert "without the image nobody can say into which study" in card(bare, page)
    assert bare.submit(f"{page.path}/archive", {"seen": 2, "after": 0}).status_code == 422
    none = browser(page.app(None), "anna")
    assert card(none, page) == ""
    assert none.submit(f"{page.path}/archive", {"seen": 2, "after": 0}).status_code == 422
    assert page.told() == []
    assert slow.calls == 0


def test_in_a_hidden_reading_administrators_alone_send_and_a_refusal_tells_nothing(page: Page) -> None:
    app, slow = slowly(page, PacsSettings(peer="127.0.0.1:9:SLOW", sources=page.sources), Reading.HIDDEN)
    create_account(page.store, "dora", "Dr Dora", Role.ADMINISTRATOR, PASSWORD, by=None)
    anna, ben, dora = (browser(app, name) for name in ("anna", "ben", "dora"))
    for version, one in ((1, anna), (2, dora)):
        assert one.act(page.record.token, version, "opinion", group="LR-SLN").status_code == 303
    assert anna.act(page.record.token, 3, "accept").status_code == 303
    assert "expected an administrator to send" in card(anna, page)
    assert "<button" not in card(anna, page)
    refused = anna.submit(f"{page.path}/archive", {"seen": 4, "after": 0})
    assert (refused.status_code, "expected an administrator" in refused.text) == (422, True)
    assert card(ben, page) == ""
    assert "archive" not in ben.get(f"{page.path}/archive?seen=4").text
    blind = [ben.submit(f"{page.path}/archive", {"seen": seen, "after": 0}) for seen in (3, 4)]
    assert press(dora, page).status_code == 303
    attempt = events(page.store, token=page.record.token)[-1].number
    blind += [ben.submit(f"{page.path}/archive", {"seen": 4, "after": after}) for after in (0, attempt, attempt + 1)]
    slow.go.set()
    wait_for(dora, page, "Sent to SLOW")
    blind.append(ben.submit(f"{page.path}/archive", {"seen": 4, "after": 0}))
    assert {one.status_code for one in blind} == {422}
    assert all("give your own reading first" in one.text for one in blind)
    assert [name for _, name, _ in page.told()] == ["dora", "dora"]


def test_an_image_that_is_missing_or_not_the_only_one_is_no_source(page: Page) -> None:
    app, slow = slowly(page, PacsSettings(peer="127.0.0.1:9:SLOW", sources=page.sources))
    slow.go.set()
    anna = finished(page, app)
    content = page.scanner.read_bytes()
    page.scanner.unlink()
    press(anna, page)
    assert "no DICOM image with the pixels of this case" in wait_for(anna, page, "Not sent to SLOW")
    page.scanner.write_bytes(content)
    other = page.scanner.with_name("US0002")
    other.write_bytes(scanner_image(page.record, "1.2.3.5"))
    press(anna, page)
    assert "found 2 DICOM images" in wait_for(anna, page, "found 2")
    other.write_bytes(content)  # the same instance twice is one image
    press(anna, page)
    wait_for(anna, page, "Sent to SLOW")
    assert slow.calls == 1


def test_an_archive_of_pseudonyms_gets_an_image_made_of_the_picture(page: Page, orthanc: Orthanc) -> None:
    anna = finished(page, page.app(by_web(orthanc, None, made_images=True)))
    press(anna, page)
    assert "4 objects" in wait_for(anna, page, "Sent to DICOMweb")
    assert {one.PatientID for one in stored(orthanc).values()} == {page.record.patient_id}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "neither or both"),
        ({"web": "http://a", "peer": "a:1:B"}, "neither or both"),
        ({"peer": "archive"}, "HOST:PORT:TITLE"),
        ({"web": "http://a", "sources": Path("/nowhere")}, "--sources"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PacsSettings(**settings)


def test_a_password_is_not_printed() -> None:
    assert "green" not in repr(PacsSettings(web="http://a", user="green-u", password="green-p", token="green-t"))
