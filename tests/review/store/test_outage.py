"""PostgreSQL stops and starts while the page is in use: calm answers meanwhile, and the very next request works."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from tests.review.store.made import axilla_record, model_record, people
from tests.review.store.postgres import Server
from tests.review.web.made import BASE, Browser
from usdlr.review.acts import Act
from usdlr.review.records import AxillaRecord
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.audit import events
from usdlr.review.store.checking import check
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.loading import load_axillae
from usdlr.review.store.people import accounts
from usdlr.review.store.reading import load_model
from usdlr.review.store.sessions import start_session
from usdlr.review.web.app import create_app


@pytest.fixture
def held(postgres: Server) -> Iterator[Store]:
    opened = open_store(postgres.database())
    yield opened
    opened.close()


def _page(store: Store, count: int) -> tuple[Browser, str, list[AxillaRecord]]:
    """A browser that is signed in, its token, and the list."""
    records = [axilla_record(number) for number in range(1, count + 1)]
    load_model(store, model_record())
    load_axillae(store, records)
    (anna,) = people(store, "anna")
    signed = start_session(store, anna)
    browser = Browser(create_app(store, settings=ReviewSettings(), live=None))
    browser.cookies.set("usdlr_session", signed.session)
    return browser, signed.csrf, records


def _comment(browser: Browser, csrf: str, token: str, more: dict[str, str]) -> Any:
    fields = {"csrf": csrf, "act": "comment", "seen": "1", "key": secrets.token_hex(8), "reason": "Noted."} | more
    return browser.post(f"/axillae/{token}/acts", data=fields, headers={"Origin": BASE})


def test_what_was_typed_during_an_outage_is_sent_again(held: Store, postgres: Server) -> None:
    browser, csrf, (record,) = _page(held, 1)
    words = "Cortex 4 mm & <more>\nGröße"
    postgres.stop()
    try:
        answer = _comment(browser, csrf, record.token, {"reason": words})
        assert answer.status_code == 503
        assert "The database does not answer" in answer.text
        assert browser.get("/").status_code == 503
    finally:
        postgres.start()
    assert browser.get("/").status_code == 200
    again = {
        name: unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', answer.text)
    }
    again["reason"] = unescape(re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", answer.text, re.DOTALL)[0])
    for _ in range(2):
        assert _comment(browser, again["csrf"], record.token, again).status_code == 303
    assert [event.after["reason"] for event in events(held) if event.kind == Act.COMMENT] == [words]
    assert check(held).whole


def test_a_restart_that_nobody_noticed_is_not_noticed_afterwards(held: Store, postgres: Server) -> None:
    browser, csrf, (record,) = _page(held, 1)
    assert browser.get("/").status_code == 200
    postgres.stop("immediate")
    postgres.start()
    assert _comment(browser, csrf, record.token, {}).status_code == 303
    assert browser.get("/").status_code == 200


def test_many_readers_through_a_restart_lose_and_double_nothing(held: Store, postgres: Server) -> None:
    _, _, records = _page(held, 40)
    (anna,) = accounts(held)
    tokens = [start_session(held, anna) for _ in range(4)]
    app = create_app(held, settings=ReviewSettings(), live=None)
    started, failed, worked = threading.Event(), list[float](), list[float]()

    def reads(number: int) -> None:
        browser = Browser(app)
        browser.cookies.set("usdlr_session", tokens[number].session)
        for record in records[number::4]:
            key = secrets.token_hex(8)
            for _ in range(400):
                answer = _comment(browser, tokens[number].csrf, record.token, {"key": key})
                (failed if answer.status_code >= 500 else worked).append(time.monotonic())
                assert answer.status_code in (303, 503), answer.text
                if answer.status_code == 303:
                    break
                time.sleep(0.05)
            if number == 0:
                started.set()
            time.sleep(0.02)

    threads = [threading.Thread(target=reads, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    assert started.wait(30)
    down = time.monotonic()
    postgres.stop("immediate")
    time.sleep(0.3)
    postgres.start()
    up = time.monotonic()
    for thread in threads:
        thread.join(60)
    assert failed, "nobody met the outage"
    assert down <= min(failed)
    # One request may have begun before the end of the outage and be answered just after it.
    assert max(failed) <= up + 1.0
    assert max(worked) > up
    told = [event.token for event in events(held, limit=10_000) if event.kind == Act.COMMENT]
    assert sorted(told) == sorted(record.token for record in records)
    assert check(held).whole
