"""Outlines by software in the editor: by box, by lines, by keyboard; drafts until a reader predicts with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.review.web.made import BASE, Made, made, served
from tests.review.web.test_browser import sign_in, violations
from usdlr.decision.wording_review import BEGUN_BY_SOFTWARE, PROPOSED
from usdlr.review.acts import Reading
from usdlr.review.outlines import mask_of
from usdlr.review.proposing import Proposing
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.audit import events
from usdlr.review.store.checking import check
from usdlr.review.store.reading import state

SHAPE = (200, 300)
BOX = ((57.0, 103.0), (133.0, 197.0))


@pytest.fixture(scope="module")
def proposing(disc_bundle: Path) -> Iterator[Proposing]:
    with Proposing(disc_bundle) as found:
        found.warm()
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, proposing: Proposing) -> Iterator[Made]:
    found = made(tmp_path_factory.mktemp("proposals"), count=8, proposing=proposing)
    yield found
    found.store.close()


@pytest.fixture(scope="module")
def address(site: Made) -> Iterator[str]:
    with served(site.app) as found:
        yield found


def _truth() -> npt.NDArray[np.bool_]:
    """The lesion of the made-up picture."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.asarray(np.hypot((rows - 95) / 0.8, columns - 150) < 45)


def _dice(lines: Any) -> float:
    drawn, truth = mask_of(lines, SHAPE), _truth()
    return 2 * float((drawn & truth).sum()) / float(drawn.sum() + truth.sum())


def _at(site: Made, number: int) -> tuple[str, str, str]:
    record = site.records[number]
    image = record.images[0].token
    return record.token, image, f"/axillae/{record.token}/proposals/{image}"


def test_a_box_becomes_a_draft_and_nothing_is_recorded(site: Made) -> None:
    anna = site.client("anna")
    token, _, path = _at(site, 0)
    before = len(events(site.store)), state(site.store, token).version
    answer = anna.scripted(path, {"box": BOX})
    assert answer.status_code == 200
    assert answer.json()["message"] == PROPOSED
    assert _dice(answer.json()["outlines"]) > 0.9
    assert (len(events(site.store)), state(site.store, token).version) == before


def test_what_was_begun_by_software_says_so_for_good(site: Made, proposing: Proposing) -> None:
    anna = site.client("anna")
    token, image, path = _at(site, 1)
    drawn = anna.scripted(path, {"box": BOX}).json()["outlines"]
    body = {"seen": state(site.store, token).version, "key": "proposal-1", "outlines": drawn, "proposed": True}
    assert anna.scripted(f"/axillae/{token}/contours/{image}", body).status_code == 200
    (last,) = [one for one in events(site.store) if one.token == token and one.kind == "contour"]
    assert last.after["proposed"] == proposing.segmenter_id
    assert len(proposing.segmenter_id) == 12
    assert BEGUN_BY_SOFTWARE in anna.get(f"/axillae/{token}").text
    # A contour by hand says nothing of the kind.
    body |= {"seen": state(site.store, token).version, "key": "by-hand-1", "proposed": False}
    assert anna.scripted(f"/axillae/{token}/contours/{image}", body).status_code == 200
    assert "proposed" not in [one for one in events(site.store) if one.token == token][-1].after
    assert check(site.store).whole, "requests of both kinds are those that the log tells of"


def test_who_may_ask_and_for_what(site: Made) -> None:
    token, image, path = _at(site, 2)
    other = site.records[3].images[0].token
    anna = site.client("anna")
    assert site.client("vera").scripted(path, {"box": BOX}).status_code == 404
    assert anna.post(path, json={"box": BOX}, headers={"Origin": BASE}).status_code == 403, "without the page's token"
    assert anna.scripted(f"/axillae/{token}/proposals/{other}", {"box": BOX}).status_code == 404
    assert anna.scripted(f"/axillae/nobody/proposals/{image}", {"box": BOX}).status_code == 404
    refused: tuple[dict[str, Any], ...] = (
        {"box": [[1, 2]]},
        {"box": [[1, 2], [3, "four"]]},
        {"box": [[1, 2], [3, 1e9]]},
        {"inside": [[]]},
        {"inside": [[[1, 2]]] * 201},
        {"file": "/etc/passwd"},
    )
    for wrong in refused:
        assert anna.scripted(path, wrong).status_code == 422, wrong
    answer = anna.scripted(path, {"outside": [[[3, 4]]]})
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("No outline: found a prompt without a box and without a point inside")


def test_a_hidden_reading_stays_hidden(tmp_path: Path, proposing: Proposing) -> None:
    found = made(tmp_path, settings=ReviewSettings(reading=Reading.HIDDEN), proposing=proposing)
    _, _, path = _at(found, 0)
    answer = found.client("anna").scripted(path, {"box": BOX})
    assert answer.status_code == 422
    assert "give your own reading first" in answer.json()["message"]
    found.store.close()


def test_without_a_segmenter_there_is_no_such_thing(tmp_path: Path) -> None:
    found = made(tmp_path)
    anna = found.client("anna")
    token, image, path = _at(found, 0)
    assert anna.scripted(path, {"box": BOX}).status_code == 404
    assert "Outline for me" not in anna.get(f"/axillae/{token}").text
    # Nor can a browser claim that there was.
    body = {"seen": 1, "key": "claimed-1", "outlines": [[[1, 2], [30, 40], [5, 60]]], "proposed": True}
    assert anna.scripted(f"/axillae/{token}/contours/{image}", body).status_code == 200
    assert "proposed" not in events(found.store)[-1].after
    found.store.close()


def _screen(tab: Page, row: float, col: float) -> tuple[float, float]:
    """Where a pixel of the picture lies in the window, told by the page's own geometry for the whole picture."""
    box = tab.locator(".panes canvas").first.bounding_box()
    assert box is not None
    scale = min(box["width"] / SHAPE[1], box["height"] / SHAPE[0])
    return (
        box["x"] + box["width"] / 2 + (col + 0.5 - SHAPE[1] / 2) * scale,
        box["y"] + box["height"] / 2 + (row + 0.5 - SHAPE[0] / 2) * scale,
    )


def _drag(tab: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    tab.mouse.move(*_screen(tab, *start))
    tab.mouse.down()
    tab.mouse.move(*_screen(tab, *end), steps=6)
    tab.mouse.up()


def _body(asked: Request) -> dict[str, Any]:
    assert isinstance(asked.post_data_json, dict)
    return asked.post_data_json


def _edit(tab: Page, case: str) -> None:
    """A case's contour editor."""
    tab.goto(case)
    tab.keyboard.press("e")
    expect(tab.locator("#editing-hint")).to_be_visible()


def _sent(tab: Page, key: str) -> dict[str, Any]:
    """What a key makes the page send for a prediction."""
    with tab.expect_request("**/contours/**") as asked:
        tab.keyboard.press(key)
    return _body(asked.value)


def test_a_reader_points_and_predicts(site: Made, address: str, tab: Page, tmp_path: Path) -> None:
    sign_in(tab, address, "anna")
    token, image, _ = _at(site, 4)
    _edit(tab, f"{address}/axillae/{token}")
    tab.keyboard.press("b")
    expect(tab.locator("#editing-hint")).to_contain_text("Drag a box")
    with tab.expect_request("**/proposals/**") as asked:
        _drag(tab, *BOX)
    box = np.sort(np.array(_body(asked.value)["box"]), axis=0)
    assert box == pytest.approx(np.array(BOX), abs=2.0), "the box lies where it was drawn"
    expect(tab.locator("#reading")).to_have_text(PROPOSED)
    # A line outside, across the lower edge: the outline leaves it out. One inside, beside it: the outline holds it.
    tab.keyboard.press("x")
    with tab.expect_response("**/proposals/**"):
        _drag(tab, (126.0, 140.0), (126.0, 160.0))
    tab.keyboard.press("s")
    with tab.expect_response("**/proposals/**"):
        tab.mouse.click(*_screen(tab, 95.0, 200.0))
    expect(tab.locator("#reading")).to_have_text(PROPOSED)
    tab.screenshot(path=str(tmp_path / "pointed.png"))
    assert not violations(tab)
    sent = _sent(tab, "Control+Enter")
    assert sent["proposed"] is True
    drawn = mask_of(sent["outlines"], SHAPE)
    assert _dice(sent["outlines"]) > 0.85
    assert not drawn[126, 140:161].any()
    assert drawn[95, 199:202].any()
    expect(tab.locator("#reading")).to_contain_text("Recorded")
    assert state(site.store, token).outlines[image]


def test_undo_takes_a_proposal_back(site: Made, address: str, tab: Page) -> None:
    sign_in(tab, address, "anna")
    token, image, _ = _at(site, 5)
    _edit(tab, f"{address}/axillae/{token}")
    with tab.expect_response("**/proposals/**"):
        tab.keyboard.press("o")
    expect(tab.locator("#reading")).to_have_text(PROPOSED)
    expect(tab.locator('[data-do="apply"]')).to_be_enabled()
    tab.keyboard.press("Control+z")
    expect(tab.locator('[data-do="apply"]')).to_be_disabled()
    tab.keyboard.press("Control+Shift+z")
    expect(tab.locator('[data-do="apply"]')).to_be_enabled()
    # Redrawn by hand from there: the record still says where it came from.
    tab.keyboard.press("Shift+ArrowDown")
    assert _sent(tab, "Control+Enter")["proposed"] is True
    expect(tab.locator("#reading")).to_contain_text("Recorded")
    assert state(site.store, token).outlines[image]


def test_a_server_that_is_gone_costs_no_contour(site: Made, address: str, tab: Page) -> None:
    sign_in(tab, address, "anna")
    token, _, _ = _at(site, 6)
    _edit(tab, f"{address}/axillae/{token}")
    tab.keyboard.press("Shift+ArrowDown")

    def away(route: Route) -> None:
        route.abort()

    tab.route("**/proposals/**", away)
    tab.keyboard.press("o")
    expect(tab.locator("#fault")).to_contain_text("Your contour is as it was")
    tab.unroute("**/proposals/**")
    sent = _sent(tab, "Control+Enter")
    assert sent["proposed"] is False
    loaded = site.records[6].images[0].contour[0][0]
    assert sent["outlines"][0][0] == pytest.approx((loaded[0] + 5, loaded[1]), abs=0.01)


def test_a_refusal_is_said(site: Made, address: str, tab: Page) -> None:
    """A line outside in the midst of one inside: an outline has no holes, and no line is ignored."""
    sign_in(tab, address, "anna")
    token, _, _ = _at(site, 7)
    _edit(tab, f"{address}/axillae/{token}")
    tab.keyboard.press("s")
    tab.mouse.move(*_screen(tab, 80.0, 135.0))
    tab.mouse.down()
    for row, col in ((80.0, 165.0), (110.0, 165.0), (110.0, 135.0), (80.0, 135.0)):
        tab.mouse.move(*_screen(tab, row, col), steps=5)
    with tab.expect_response("**/proposals/**"):
        tab.mouse.up()
    expect(tab.locator("#reading")).to_have_text(PROPOSED)
    tab.keyboard.press("x")
    with tab.expect_response("**/proposals/**"):
        tab.mouse.click(*_screen(tab, 95.0, 150.0))
    expect(tab.locator("#fault")).to_contain_text("an outline has no holes")
    # What was refused is forgotten; what was proposed before is still there.
    sent = _sent(tab, "Control+Enter")
    assert sent["proposed"] is True
    assert mask_of(sent["outlines"], SHAPE)[95, 150]
