"""A tab that was left open for two days: nothing that was typed or drawn in it is lost, or recorded unseen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from tests.review.web.made import BASE, PASSWORD, Browser, Made, made, served
from usdlr.review.acts import Act
from usdlr.review.store.audit import events
from usdlr.review.store.engine import utc_now
from usdlr.review.store.reading import state

WORDS = 'Cortex 4 mm, "hilum" <lost> & Größe 5 µm\nsecond line'


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Made]:
    """A page whose clock a test may move."""
    found = made(tmp_path, count=3)
    yield found
    found.store.close()


def _later(mine: Made, hours: float = 48) -> None:
    mine.store.clock = lambda: utc_now() + timedelta(hours=hours)


def _form(text: str, act: str) -> dict[str, str]:
    """The fields of an act's form as the page has them."""
    form = next(part for part in re.findall(r"<form.*?</form>", text, flags=re.DOTALL) if f'value="{act}"' in part)
    return _fields(form)


def _fields(form: str) -> dict[str, str]:
    inputs = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)
    areas = re.findall(r'<textarea name="(\w+)"[^>]*>\n?(.*?)</textarea>', form, flags=re.DOTALL)
    return {name: unescape(value) for name, value in [*inputs, *areas]}


def _kept(text: str) -> dict[str, str]:
    (form,) = re.findall(r'<form method="post" action="/axillae.*?</form>', text, flags=re.DOTALL)
    return _fields(form)


def _send(browser: Browser, token: str, fields: dict[str, str], what: str = "acts") -> Any:
    return browser.post(f"/axillae/{token}/{what}", data=fields, headers={"Origin": BASE})


def test_what_was_typed_is_kept_until_it_is_recorded(mine: Made) -> None:
    token, browser = mine.records[0].token, mine.client("anna")
    opened = browser.get(f"/axillae/{token}").text
    fields = _form(opened, "comment") | {"reason": WORDS}
    _later(mine)
    answer = _send(browser, token, fields)
    assert answer.status_code == 401
    assert f"/sign-in?target=/axillae/{token}" in answer.text
    assert _kept(answer.text)["reason"] == WORDS
    # Nothing about the patient or the answer is on it: nobody is signed in.
    assert not any(word in answer.text for word in ("USD-0001", "71.3", "Köln"))
    assert state(mine.store, token).version == 1
    # In another tab of the same browser; then the old one goes on.
    assert browser.sign_in("anna", target=f"/axillae/{token}").headers["location"] == f"/axillae/{token}"
    answer = _send(browser, token, _kept(answer.text))
    assert answer.status_code == 403
    assert "Dr Anna" in answer.text
    assert state(mine.store, token).version == 1
    once = _kept(answer.text)
    assert once["reason"] == WORDS
    for _ in range(2):
        answer = _send(browser, token, once)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/axillae/{token}?said=comment")
    found = [event for event in events(mine.store, token=token) if event.kind == Act.COMMENT]
    assert [event.after["reason"] for event in found] == [WORDS]


@pytest.mark.parametrize(
    ("act", "more"),
    [
        ("modify", {"group": "HR-SLN/HR-NSLN", "reason": WORDS}),
        ("opinion", {"group": "LR-SLN", "p_sln": "12,5", "p_nsln": "7"}),
        ("defer", {"colleague": "ben", "reason": WORDS}),
        ("accept", {}),
    ],
)
def test_whoever_signed_in_elsewhere_first_goes_on_at_once(mine: Made, act: str, more: dict[str, str]) -> None:
    token, browser = mine.records[0].token, mine.client("anna")
    fields = _form(browser.get(f"/axillae/{token}").text, act) | more
    _later(mine)
    assert browser.sign_in("anna").status_code == 303
    answer = _send(browser, token, fields)
    assert answer.status_code == 403
    kept = _kept(answer.text)
    assert {name: kept[name] for name in more} == more
    assert _send(browser, token, kept).status_code == 303
    after = events(mine.store, token=token)[-1].after
    assert after.get("reason", "") == more.get("reason", "")
    if act == "opinion":
        assert after["opinion"] == {"group": "LR-SLN", "p_sln": 0.125, "p_nsln": 0.07}


def test_what_others_did_meanwhile_is_not_overwritten_unseen(mine: Made) -> None:
    token, browser = mine.records[0].token, mine.client("anna")
    fields = _form(browser.get(f"/axillae/{token}").text, "reject") | {"reason": WORDS}
    _later(mine)
    assert mine.client("ben").act(token, 1, "comment", reason="Seen.").status_code == 303
    browser.sign_in("anna")
    kept = _kept(_send(browser, token, fields).text)
    answer = _send(browser, token, kept)
    assert answer.status_code == 409
    assert "Dr Ben" in answer.text
    assert _fields(answer.text)["reason"] == WORDS
    assert state(mine.store, token).version == 2


def test_ticked_images_are_kept(mine: Made) -> None:
    record, browser = mine.records[0], mine.client("anna")
    csrf = browser.token(f"/axillae/{record.token}")
    used = [record.images[1].token]
    _later(mine)
    browser.sign_in("anna")
    fields = {"csrf": csrf, "seen": "1", "key": "k" * 16, "used": used}
    answer = browser.post(f"/axillae/{record.token}/images", data=fields, headers={"Origin": BASE})
    assert answer.status_code == 403
    assert _send(browser, record.token, _kept(answer.text), "images").status_code == 303
    assert state(mine.store, record.token).used == tuple(used)


def test_a_strange_form_is_shown_as_text_and_records_nothing(mine: Made) -> None:
    token, browser = mine.records[0].token, mine.client("anna")
    before = len(events(mine.store))
    for fields in (
        {"act": '"><script>alert(1)</script>', "seen": "x", "key": "<b>", "reason": "</textarea><script>"},
        {"act": "comment", "seen": "1", "key": "k" * 999, "reason": "x" * 30_000, "more": "field-of-nobody"},
        {},
    ):
        answer = _send(browser, token, fields)
        assert answer.status_code in (403, 422)
        assert "<script>" not in answer.text.replace("<script src=", "")
        assert "field-of-nobody" not in answer.text
    assert len(events(mine.store)) == before
    # A viewer may record nothing, in an old tab either.
    assert _send(mine.client("vera"), token, {"act": "comment"}).status_code == 404


@pytest.fixture
def tab(mine: Made, chromium: Chromium) -> Iterator[Page]:
    """A browser window with the first case open."""
    with served(mine.app) as address:
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(f"{address}/axillae/{mine.records[0].token}")
        _sign_in(page)
        yield page
        context.close()


def _sign_in(page: Page, name: str = "anna") -> None:
    page.get_by_label("Account name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Case 1")).to_be_visible()
    page.wait_for_load_state("load")


def test_in_a_browser_a_comment_survives(mine: Made, tab: Page) -> None:
    token = mine.records[0].token
    form = tab.locator("#review form:has([value=comment])")
    tab.locator("details.verdict summary", has_text="Comment").click()
    form.get_by_role("textbox").fill(WORDS)
    _later(mine)
    form.get_by_role("button").click()
    with tab.context.expect_page() as opened:
        tab.get_by_role("link", name="Sign in again in a new tab").click()
    _sign_in(opened.value)
    tab.get_by_role("button", name="I have signed in: go on").click()
    expect(tab.locator("#kept")).to_contain_text("It will be recorded as yours, Dr Anna")
    assert tab.get_by_label("Your words").input_value() == WORDS
    tab.get_by_role("button", name="Record it").click()
    expect(tab.locator(".said").first).to_contain_text("Recorded: Comment.")
    assert tab.url.endswith(f"/axillae/{token}?said=comment")
    assert events(mine.store, token=token)[-1].after["reason"] == WORDS


def test_in_a_browser_a_contour_survives_and_nobody_else_records_it(mine: Made, tab: Page) -> None:
    record = mine.records[0]
    tab.keyboard.press("e")
    expect(tab.locator("#editing")).to_be_visible()
    tab.keyboard.press("Shift+ArrowDown")
    _later(mine)
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#fault")).to_contain_text("Your session is over")
    for name in ("ben", "anna"):
        tab.context.clear_cookies()
        other = tab.context.new_page()
        other.goto(tab.url)
        _sign_in(other, name)
        tab.bring_to_front()
        tab.keyboard.press("Control+Enter")
        if name == "ben":
            expect(tab.locator("#fault")).to_contain_text("in another session")
            assert state(mine.store, record.token).version == 1
    expect(tab.locator("#reading")).to_contain_text("Recorded")
    (drawn,) = state(mine.store, record.token).outlines[record.images[0].token]
    assert drawn[0][0] - record.images[0].contour[0][0][0] == pytest.approx(5)
    assert events(mine.store, token=record.token)[-1].account == "anna"
