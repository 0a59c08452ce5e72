"""The thread that sends: what the archive has confirmed is never called a failure, and nobody cuts it off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from tests.review.dicom.made import MODEL, axilla
from tests.review.web.made import PASSWORD, Browser
from usdlr.core.errors import InputError
from usdlr.review.acts import Act, Action, Reading, Role
from usdlr.review.dicom.delivery import Archive
from usdlr.review.dicom.settings import PacsSettings
from usdlr.review.outbox import Outbox
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.accounts import accounts, create_account
from usdlr.review.store.acting import act
from usdlr.review.store.audit import events
from usdlr.review.store.engine import Store, StoreAwayError, open_store
from usdlr.review.store.reading import load_axillae, load_model, put_explanation
from usdlr.review.web.app import create_app

PACS = PacsSettings(peer="127.0.0.1:9:SLOW", made_images=True)
TOKEN = "axilla-token"


class Fake:
    """An archive that confirms when it is told to, and knows whether its connection was closed under it."""

    def __init__(self) -> None:
        self.go, self.asked, self.closed = threading.Event(), threading.Event(), threading.Event()
        self.cut = False
        self.after: Callable[[], None] = lambda: None

    def open(self, settings: PacsSettings) -> Archive:
        return Archive("SLOW", self.deliver, self.closed.set)

    def deliver(self, objects: Sequence[pydicom.Dataset]) -> list[str]:
        self.asked.set()
        assert self.go.wait(20)
        self.cut = self.closed.is_set()
        self.after()
        return [str(one.SOPInstanceUID) for one in objects]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = open_store(f"sqlite:///{tmp_path}/review.db")
    load_model(found, MODEL)
    load_axillae(found, [axilla(tmp_path)])
    reader = create_account(found, "anna", "Dr Anna", Role.REVIEWER, PASSWORD, by=None)
    act(found, Action(Act.ACCEPT, TOKEN, 1, "request-0001"), reader)
    yield found
    found.close()


def kinds(store: Store) -> list[str]:
    return [one.kind for one in events(store, token=TOKEN) if one.kind in ("sending", "sent", "send_failed")]


def ask(outbox: Outbox, store: Store, *, after: int = 0) -> int:
    (reader,) = accounts(store)
    assert outbox.ask(TOKEN, reader, seen=2, after=after, reading=Reading.OPEN)
    return events(store, token=TOKEN)[-1].number


def until(done: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.parametrize(("times", "expected"), [(2, ["sending", "sent"]), (99, ["sending"])])
def test_after_a_confirmation_a_busy_database_is_no_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch, times: int, expected: list[str]
) -> None:
    fake, left, real = Fake(), [times], store.writing
    monkeypatch.setattr("usdlr.review.sending.PAUSES_S", (0.0, 0.0, 0.0))

    @contextmanager
    def busy() -> Iterator[Any]:
        if left[0] > 0:
            left[0] -= 1
            raise StoreAwayError("database is locked")
        with real() as connection:
            yield connection

    def confirmed() -> None:
        monkeypatch.setattr(store, "writing", busy)

    fake.after = confirmed
    fake.go.set()
    outbox = Outbox(store, PACS, open=fake.open)
    attempt = ask(outbox, store)
    until(lambda: not outbox.holds(attempt))
    left[0] = 0  # the database is back: nothing that was late may call it a failure
    outbox.close()
    assert kinds(store) == expected


def test_closing_does_not_cut_off_what_is_being_sent(store: Store) -> None:
    fake = Fake()
    outbox = Outbox(store, PACS, open=fake.open)
    ask(outbox, store)
    assert fake.asked.wait(20)
    outbox.close(timeout_s=0.05)
    assert not fake.closed.is_set()
    with pytest.raises(InputError, match="being ended"):
        ask(outbox, store, after=1)
    fake.go.set()
    assert fake.closed.wait(20)
    assert not fake.cut
    assert kinds(store) == ["sending", "sent"]
    idle = Fake()
    Outbox(store, PACS, open=idle.open).close()
    assert idle.closed.is_set()


class Slowly:
    """Somebody who is about to explain."""

    def __init__(self) -> None:
        self.cannot = False

    def first(self, token: str) -> None:
        """Takes note."""

    def failed(self, token: str) -> bool:
        return self.cannot


@pytest.mark.parametrize("how", ["explained", "cannot"])
def test_a_report_waits_for_its_explanation(store: Store, how: str) -> None:
    app, fake, ahead = create_app(store, settings=ReviewSettings(), live=None), Fake(), Slowly()
    fake.go.set()
    outbox = Outbox(store, PACS, open=fake.open)
    app.state.site = replace(app.state.site, outbox=outbox, ahead=ahead)
    anna = Browser(app)
    assert anna.sign_in("anna").status_code == 303
    form = {"seen": 2, "after": 0}
    refused = anna.submit(f"/axillae/{TOKEN}/archive", form)
    assert (refused.status_code, "try again in a minute" in refused.text) == (422, True)
    assert kinds(store) == []
    if how == "explained":
        put_explanation(store, TOKEN, {"maps": []}, {})
    ahead.cannot = how == "cannot"
    assert anna.submit(f"/axillae/{TOKEN}/archive", form).status_code == 303
    until(lambda: len(kinds(store)) == 2)
    outbox.close()


def test_a_database_that_is_away_is_told_as_such(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(store, settings=ReviewSettings(), live=None)
    outbox = Outbox(store, PACS, open=Fake().open)
    app.state.site = replace(app.state.site, outbox=outbox)
    anna = Browser(app)
    assert anna.sign_in("anna").status_code == 303

    def away(*given: Any, **more: Any) -> bool:
        raise StoreAwayError("found the review database unable to answer")

    monkeypatch.setattr(outbox, "ask", away)
    answer = anna.submit(f"/axillae/{TOKEN}/archive", {"seen": 2, "after": 0})
    assert answer.status_code == 503
    assert "Not sent" not in answer.text
