"""The page in a browser: a reader's whole way, by keyboard, and for eyes and hands of all kinds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # publishes no types
from playwright.sync_api import Page, Route, expect

from tests.review.web.made import PASSWORD, Made, explanation, served
from usdlr.core.types import RiskGroup
from usdlr.review.acts import Act, Status
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.audit import events
from usdlr.review.store.reading import put_explanation, state
from usdlr.review.web.app import create_app

SIZES = ((1280, 800), (1920, 1080), (1024, 768), (820, 1180))
# Boxes that hold more than they show, and could only be read by scrolling sideways.
CUT = """[...document.querySelectorAll("main *")].filter((one) => one.checkVisibility() && !one.matches(".unseen")
  && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "visible").map(String)"""


@pytest.fixture(scope="module")
def address(site: Made) -> Iterator[str]:
    with served(site.app) as found:
        yield found


@pytest.fixture(scope="module")
def hidden_address(hidden: Made) -> Iterator[str]:
    with served(hidden.app) as found:
        yield found


def sign_in(page: Page, address: str, name: str) -> None:
    page.goto(address)
    page.wait_for_selector("input:focus")  # a busy browser focuses after it has loaded; a hand is slower than both
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector(".worklist")


def violations(page: Page) -> list[str]:
    found: Any = Axe().run(page).response
    return [
        f"{one['id']}: {[node['html'][:120] for node in one['nodes']][:3]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
    ]


def shade(page: Page) -> str:
    """The canvas as the reader sees it, to tell whether it changed."""
    page.wait_for_timeout(120)
    return str(page.evaluate("document.querySelector('.panes canvas').toDataURL()"))


def test_the_focus_outlives_a_list_that_comes_late(site: Made, address: str, tab: Page) -> None:
    sign_in(tab, address, "anna")
    tab.keyboard.press("/")
    tab.keyboard.type("USD-0021")
    expect(tab.locator("#list tbody tr")).to_have_count(1)
    held: list[Route] = []
    tab.route("**/worklist", lambda route: held.append(route))  # marked by the library
    with tab.expect_request("**/worklist"):
        tab.keyboard.press("Escape")  # leaving the field asks for the list once more
    tab.keyboard.press("j")
    tab.evaluate("document.querySelector('.worklist tbody a').dataset.old = 'yes'")
    held[0].continue_()
    expect(tab.locator(".worklist tbody a[data-old]")).to_have_count(0)
    expect(tab.locator(".worklist tbody a")).to_be_focused()
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{address}/axillae/{site.records[20].token}")


def test_a_case_is_read_by_keyboard_alone(site: Made, address: str, tab: Page) -> None:
    sign_in(tab, address, "anna")
    record = site.records[20]
    tab.keyboard.press("/")
    tab.keyboard.type("USD-0021")
    expect(tab.locator("#list tbody tr")).to_have_count(1)
    assert "USD" not in tab.url
    tab.keyboard.press("Escape")
    tab.keyboard.press("j")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("text=71.3 %")
    assert tab.url == f"{address}/axillae/{record.token}"
    expect(tab.locator(".warnings")).to_be_in_viewport()
    expect(tab.locator("#accept button")).to_be_in_viewport()
    # Every toggle changes the picture, says so, and changes it back.
    tab.wait_for_timeout(400)
    for key, name in (("c", "contour"), ("r", "ring"), ("d", "calipers"), ("h", "heat")):
        button = tab.locator(f'[data-toggle="{name}"]')
        pressed, before = button.get_attribute("aria-pressed"), shade(tab)
        tab.keyboard.press(key)
        assert button.get_attribute("aria-pressed") != pressed
        assert shade(tab) != before, name
        tab.keyboard.press(key)
        assert shade(tab) == before, name
    # The contour: three points moved down, one step taken back, predicted anew.
    tab.keyboard.press("e")
    for _ in range(3):
        tab.keyboard.press("Shift+ArrowDown")
    tab.keyboard.press("Control+z")
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#reading")).to_contain_text("Recorded")
    expect(tab.locator("#status")).to_contain_text("Started")
    found = state(site.store, record.token)
    (drawn,) = found.outlines[record.images[0].token]
    old = min(record.images[0].contour[0], key=lambda point: abs(point[0] - drawn[0][0]) + abs(point[1] - drawn[0][1]))
    assert drawn[0][0] - record.images[0].contour[0][0][0] == pytest.approx(10), old
    expect(tab.locator(".value").first).to_have_text(f"{100 * found.answer.stages[0].probability:.1f} %")
    # Another group, with a reason.
    tab.locator("details.verdict summary").first.focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    tab.keyboard.type("HR-SLN/HR")
    tab.keyboard.press("Tab")
    tab.keyboard.type("Thick cortex.")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    expect(tab.locator(".said").first).to_contain_text("Recorded: Modified.")
    (verdict,) = state(site.store, record.token).verdicts
    assert (verdict.act, verdict.group, verdict.reason) == (Act.MODIFY, RiskGroup.HR_SLN_HR_NSLN, "Thick cortex.")
    assert state(site.store, record.token).status is Status.REVIEWED
    # Back to the list, which remembers its filter, and out.
    tab.keyboard.press("u")
    expect(tab.locator("#list tbody tr")).to_have_count(1)
    tab.locator(".who button").focus()
    tab.keyboard.press("Enter")
    expect(tab.locator(".said")).to_contain_text("signed out")
    tab.go_back()
    assert "/sign-in" in tab.url
    kinds = [event.kind for event in events(site.store, token=record.token)]
    assert kinds == ["loaded", "contour", "modify"]


def test_the_pointer_draws_moves_and_measures(site: Made, address: str, tab: Page) -> None:
    sign_in(tab, address, "anna")
    record = site.records[21]
    tab.goto(f"{address}/axillae/{record.token}")
    box = tab.locator(".panes canvas").first.bounding_box()
    assert box is not None
    left, top, wide, high = box["x"], box["y"], box["width"], box["height"]
    scale = min(wide / 300, high / 200)
    tab.click('[data-tool="ruler"]')
    tab.mouse.move(left + wide / 2, top + high / 2)
    tab.mouse.down()
    tab.mouse.move(left + wide / 2 + 50 * scale, top + high / 2, steps=4)
    tab.mouse.up()
    # Fifty columns of 0.1 mm.
    expect(tab.locator("#reading")).to_have_text("Ruler: 5.0 mm")
    tab.keyboard.press("2")
    tab.click('[data-tool="ruler"]')
    tab.mouse.move(left + wide / 2, top + high / 2)
    tab.mouse.down()
    tab.mouse.move(left + wide / 2 + 50 * scale, top + high / 2, steps=4)
    tab.mouse.up()
    expect(tab.locator("#reading")).to_have_text("Ruler: 50 px, not calibrated")
    tab.keyboard.press("1")
    before = shade(tab)
    tab.mouse.move(left + wide / 2, top + high / 2)
    tab.mouse.wheel(0, -400)
    assert shade(tab) != before
    tab.keyboard.press("0")
    tab.click('[data-tool="edit"]')
    tab.click('[data-edit="draw"]')
    corners = [(-60, -40), (60, -40), (60, 40), (-60, 40), (-60, -30)]
    tab.mouse.move(left + wide / 2 - 60 * scale, top + high / 2 - 80 * scale)
    tab.mouse.down()
    for x, y in corners:
        tab.mouse.move(left + wide / 2 + x * scale, top + high / 2 + y * scale, steps=8)
    tab.mouse.up()
    tab.click('[data-do="undo"]')
    expect(tab.locator('[data-do="apply"]')).to_be_disabled()
    tab.click('[data-do="redo"]')
    tab.click("#review summary >> text=Comment")
    tab.fill("#review details[open] textarea", "half a thought")
    tab.click('[data-do="apply"]')
    expect(tab.locator("#reading")).to_contain_text("Recorded")
    (drawn,) = state(site.store, record.token).outlines[record.images[0].token]
    columns = [point[1] for point in drawn]
    assert max(columns) - min(columns) == pytest.approx(120, abs=4)
    kept = tab.locator("#review form:has([value=comment]) textarea")
    assert kept.input_value() == "half a thought"


def test_a_contour_survives_a_conflict_and_a_cut_line(site: Made, address: str, tab: Page) -> None:
    sign_in(tab, address, "anna")
    record = site.records[22]
    tab.goto(f"{address}/axillae/{record.token}")
    assert site.client("ben").act(record.token, 1, "comment", reason="First.").status_code == 303
    tab.keyboard.press("e")
    tab.keyboard.press("Shift+ArrowDown")
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#fault")).to_contain_text("Dr Ben was quicker: Comment")
    tab.route("**/contours/**", lambda route: route.abort())
    tab.click("#fault button >> nth=0")
    expect(tab.locator("#fault")).to_contain_text("The server did not answer")
    assert state(site.store, record.token).version == 2
    tab.unroute("**/contours/**")
    tab.click("#fault button >> nth=0")
    expect(tab.locator("#reading")).to_contain_text("Recorded")
    assert state(site.store, record.token).version == 3


def test_a_late_picture_is_not_shown_under_another_image(site: Made, address: str, tab: Page) -> None:
    sign_in(tab, address, "anna")
    record = site.records[1]
    first, second = record.images
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    for place in (f"pictures/{first.token}/bmode", f"pictures/{first.token}/elasto", "maps/*"):
        tab.route(f"**/{place}*", hold)
    tab.goto(f"{address}/axillae/{record.token}", wait_until="domcontentloaded")
    tab.keyboard.press("h")
    for _ in range(50):
        if len(held) == 3:
            break
        tab.wait_for_timeout(100)
    assert len(held) == 3
    tab.keyboard.press("2")
    expect(tab.locator(f'.thumb[data-image="{second.token}"]')).to_have_attribute("aria-pressed", "true")
    tab.wait_for_timeout(1000)

    def seen() -> list[str]:
        return list(tab.evaluate("[...document.querySelectorAll('.panes canvas')].map((one) => one.toDataURL())"))

    before = seen()
    red = cv2.imencode(".png", np.full((200, 300, 3), (0, 0, 255), np.uint8))[1].tobytes()
    for route in held:
        route.fulfill(content_type="image/png", body=red)
        tab.wait_for_timeout(500)
        assert seen() == before, route.request.url
    # They are the first image's, and there they are.
    tab.keyboard.press("1")
    tab.wait_for_timeout(500)
    assert all(one != other for one, other in zip(seen(), before, strict=True))


def test_what_a_new_prediction_brings_can_ask_for_more(site: Made, address: str, tab: Page) -> None:
    sign_in(tab, address, "anna")
    record = site.records[17]
    asks = '<section class="made" hx-get="/help" hx-trigger="load" hx-target="this">asks again</section>'

    def waiting(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"below": asks})

    tab.route("**/contours/**", waiting)
    tab.goto(f"{address}/axillae/{record.token}")
    tab.keyboard.press("e")
    tab.keyboard.press("Shift+ArrowDown")
    with tab.expect_request("**/help", timeout=10_000):
        tab.keyboard.press("Control+Enter")


def test_a_hidden_reading_in_a_browser(hidden: Made, hidden_address: str, tab: Page) -> None:
    heard: list[str] = []
    tab.on(
        "response",
        lambda answer: heard.append(answer.text()) if "html" in answer.headers.get("content-type", "") else None,
    )
    sign_in(tab, hidden_address, "cleo")
    record = hidden.records[3]
    tab.goto(f"{hidden_address}/axillae/{record.token}")
    expect(tab.locator(".answer.covered")).to_contain_text("Hidden until your own opinion")
    assert not any("71.3" in text or "HR-SLN/LR-NSLN is the answer" in text for text in heard)
    tab.select_option("#own-opinion select", "LR-SLN")
    tab.fill("#own-opinion [name=p_sln]", "15")
    tab.click("#own-opinion button")
    expect(tab.locator(".value").first).to_have_text("71.3 %")
    expect(tab.locator("#review")).to_contain_text("LR-SLN, P(SLN positive | x) 15.0 %")


def test_pages_can_be_used_by_all(site: Made, address: str, tab: Page, tmp_path: Path) -> None:
    """No serious barrier that axe knows of, nothing wider than the screen, at three sizes; pictures for the eye."""
    tab.goto(f"{address}/sign-in")
    assert not violations(tab)
    sign_in(tab, address, "boss")
    paths = {
        "list": "/",
        "case": f"/axillae/{site.records[0].token}",
        "help": "/help",
        "accounts": "/admin/accounts",
        "audit": "/admin/audit",
        "exports": "/admin/exports",
        "account": "/account",
        "nowhere": "/axillae/none",
    }
    found = {}
    for name, path in paths.items():
        tab.set_viewport_size({"width": 1280, "height": 800})
        tab.goto(f"{address}{path}")
        tab.wait_for_timeout(150)
        found[name] = violations(tab)
        for wide, high in SIZES:
            tab.set_viewport_size({"width": wide, "height": high})
            tab.screenshot(path=tmp_path / f"{name}-{wide}.png")
            assert tab.evaluate("document.documentElement.scrollWidth") <= wide, (name, wide)
            assert not tab.evaluate(CUT), (name, wide)
    assert not {name: told for name, told in found.items() if told}, json.dumps(found, indent=1)


class Later:
    """Explains an axilla a moment after somebody has opened it; one of them it cannot explain."""

    def __init__(self, made: Made, failing: str) -> None:
        self.made, self.failing, self.asked = made, failing, list[str]()

    def first(self, token: str) -> None:
        self.asked.append(token)
        if len(self.asked) == 2:  # the page asks again by itself
            record = next(one for one in self.made.records if one.token == token)
            put_explanation(self.made.store, token, *explanation(record))

    def failed(self, token: str) -> bool:
        return token == self.failing


def test_an_explanation_appears_when_it_is_there(site: Made, tab: Page) -> None:
    slow, never = site.records[8].token, site.records[9].token
    later = Later(site, never)
    app = create_app(site.store, settings=ReviewSettings(), live=None, ahead=later)
    marked: list[str | None] = []
    tab.on("request", lambda one: marked.append(one.headers.get("x-usdlr-background")) if "/below" in one.url else None)
    with served(app) as address:
        sign_in(tab, address, "anna")
        tab.goto(f"{address}/axillae/{slow}")
        expect(tab.locator("text=is being worked out")).to_be_visible()
        expect(tab.locator("text=Contrast in the ring")).to_be_visible(timeout=15_000)
        expect(tab.locator("text=is being worked out")).to_have_count(0)
        assert tab.locator("#below").count() == 1
        tab.wait_for_timeout(5000)
        assert later.asked == [slow, slow]  # and not again
        assert set(marked) == {"1"}, "a page that asks by itself says so"
        tab.goto(f"{address}/axillae/{never}")
        expect(tab.locator("text=could not be worked out")).to_be_visible()
        assert never not in later.asked


class Never:
    """Explains nothing."""

    def first(self, token: str) -> None:
        pass

    def failed(self, token: str) -> bool:
        return False


def test_when_the_session_is_over_what_was_typed_stays(site: Made, tab: Page) -> None:
    token = site.records[12].token
    asked: list[str] = []
    tab.on("request", lambda one: asked.append(one.url) if "/below" in one.url else None)
    with served(create_app(site.store, settings=ReviewSettings(), live=None, ahead=Never())) as address:
        sign_in(tab, address, "anna")
        tab.goto(f"{address}/axillae/{token}")
        tab.click("#review summary >> text=Comment")
        tab.fill("#review details[open] textarea", "half a thought")
        tab.context.clear_cookies()
        expect(tab.locator("#below")).to_contain_text("Your session is over", timeout=10_000)
        assert tab.input_value("#review details[open] textarea") == "half a thought"
        expect(tab.locator("#below")).to_contain_text("Known before surgery")
        count = len(asked)
        tab.wait_for_timeout(5000)
        assert len(asked) == count, "it asks no more"


def test_after_ten_minutes_a_button_asks(site: Made, tab: Page) -> None:
    token = site.records[13].token
    asked: list[str] = []
    tab.on("request", lambda one: asked.append(one.url) if "/below" in one.url else None)

    def late(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("asked=1", "asked=150"))

    with served(create_app(site.store, settings=ReviewSettings(), live=None, ahead=Never())) as address:
        sign_in(tab, address, "anna")
        tab.route(f"**/axillae/{token}", late)
        tab.goto(f"{address}/axillae/{token}")
        expect(tab.locator("#below")).to_contain_text("has stopped asking", timeout=10_000)
        count = len(asked)
        tab.wait_for_timeout(5000)
        assert len(asked) == count
        tab.click("text=Look again")
        expect(tab.locator("#below")).to_contain_text("is being worked out")
