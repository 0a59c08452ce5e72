"""Everything can be read in grey: text, signs of the groups, flags and states, as a real browser paints them."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page

from tests.review.store.made import many
from tests.review.web.made import PASSWORD, Made, made, served, told
from usdlr.core.types import RiskGroup
from usdlr.review.store.loading import load_axillae

TEXT, GRAPHIC = 4.5, 3.0
# Signs, bars, and the borders that tell where a control is; lines between cells and around cards say nothing.
OPEN = "for (const one of document.querySelectorAll('details')) { one.removeAttribute('name'); one.open = true; }"
SIGNS = (
    ".glyph .ring, .glyph .fill, .glyph .line, .warnings .fill, .warned .fill, .done .line, .bar .track, .bar .band, "
    ".bar .contour-band, .bar .threshold, .bar .dot, .raises, .lowers, .axis, .step-number, .chip, .never, button, "
    "a.button, summary, input:not([type=checkbox]):not([type=range]), select, textarea, progress, .answer"
)
LOOK = Path(__file__).with_name("look.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Made, str]]:
    """A review with every group, state, flag and warning in its list."""
    found = made(tmp_path_factory.mktemp("grey"), count=4)
    more = [one for one in many(60, seed=3) if one.number > 10]
    load_axillae(found.store, more)
    anna, ben, cleo = (found.client(name) for name in ("anna", "ben", "cleo"))
    tokens = [one.token for one in more]
    assert anna.act(tokens[0], 1, "comment", reason="Noted.").status_code == 303
    assert anna.act(tokens[1], 1, "defer", reason="Look.", colleague="ben").status_code == 303
    for token in tokens[2:5]:
        assert anna.act(token, 1, "accept").status_code == 303
    for token in tokens[3:5]:
        assert ben.act(token, 2, "reject", reason="No.").status_code == 303
    assert cleo.act(tokens[4], 3, "adjudicate", group="DEFER", reason="Neither.").status_code == 303
    with served(found.app) as address:
        yield found, address
    found.store.close()


@pytest.fixture
def tab(chromium: Browser, pages: tuple[Made, str]) -> Iterator[Page]:
    """A window in which the test may add a style of its own; signed in."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True, device_scale_factor=3)
    page = context.new_page()
    page.goto(f"{pages[1]}/sign-in")
    page.fill("[name=name]", "anna")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector(".worklist")
    yield page
    context.close()


def paths(found: Made) -> dict[str, str]:
    return {"worklist": "/", "case": f"/axillae/{found.records[0].token}", "help": "/help", "account": "/account"}


def light(colour: npt.ArrayLike) -> float:
    """Relative luminance of sRGB, 0 to 255 (WCAG 2.2)."""
    value = np.asarray(colour, dtype=np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def contrast(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def grey(colour: npt.ArrayLike) -> list[float]:
    """As the CSS filter makes it: weights on the encoded values."""
    return [float(np.asarray(colour, dtype=np.float64) @ np.array([0.2126, 0.7152, 0.0722]))] * 3


def short(items: list[dict[str, Any]]) -> list[str]:
    """What has too little contrast, in colour or in grey."""
    out = set()
    for one in items:
        if one["kind"] == "text":
            pairs, least = [(one["ink"], one["ground"])], TEXT
        else:
            pairs, least = [(ink, one["ground"]) for ink in one["inks"]], GRAPHIC
            if "link" in one["name"] or "sort" in one["name"] or not pairs:
                continue  # a control without a border is its text
            if one["name"].startswith("summary") and one["words"]:
                continue
        best = max(min(contrast(*pair), contrast(*map(grey, pair))) for pair in pairs)
        if best < least:
            out.add(f"{one['kind']} {one['name']} {one['words']!r}: {best:.2f} {pairs}")
    return sorted(out)


def test_text_and_signs_have_contrast_in_colour_and_in_grey(tab: Page, pages: tuple[Made, str]) -> None:
    assert contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert contrast([119, 119, 119], [255, 255, 255]) == pytest.approx(4.48, abs=0.005)  # WebAIM's example
    wrong = {}
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        for name, path in paths(pages[0]).items():
            tab.goto(f"{pages[1]}{path}")
            tab.wait_for_timeout(200)
            tab.evaluate(OPEN)
            items = tab.evaluate(LOOK, SIGNS)
            assert sum(one["kind"] == "text" for one in items) > 20
            assert any(one["kind"] == "sign" for one in items)
            wrong[f"{name}, {scheme}"] = short(items)
    assert not any(wrong.values()), "\n".join(line for name, lines in wrong.items() for line in (name, *lines))


def painted(of: Locator) -> npt.NDArray[np.uint8]:
    """The element as it is on the screen, (rows, columns)."""
    pixels = np.asarray(Image.open(io.BytesIO(of.screenshot())).convert("RGB"))
    assert int(np.ptp(pixels.astype(np.int16), axis=2).max()) <= 1, "the filter did not work"
    return pixels[..., 0]


def painted_contrast(pixels: npt.NDArray[np.uint8]) -> float:
    """Of the darkest against the ground, which is most of it at the edge."""
    values, counts = np.unique(pixels, return_counts=True)
    ground = int(values[counts.argmax()])
    extreme = int(pixels.min() if ground > 128 else pixels.max())
    return contrast([extreme] * 3, [ground] * 3)


def unlike(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Share of a sign's ink that is nowhere near the other's; a shift of a pixel on the screen is none."""

    def cut(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
        rows, columns = np.nonzero(mask)
        ink = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        return np.asarray(cv2.resize(ink.astype(np.uint8), (40, 40), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)

    near = np.ones((5, 5), np.uint8)
    first, second = cut(one), cut(other)
    pairs = (first, second), (second, first)
    return max(float((ink & (cv2.dilate(of, near) == 0)).sum() / ink.sum()) for ink, of in pairs)


def test_groups_and_states_are_told_apart_without_colour(tab: Page, pages: tuple[Made, str]) -> None:
    tab.goto(f"{pages[1]}/help")
    tab.add_style_tag(content="html { filter: grayscale(1) }")
    signs: dict[str, npt.NDArray[np.bool_]] = {}
    groups = tab.locator("#answers .group")
    assert groups.count() == len(RiskGroup)
    for at in range(groups.count()):
        one = groups.nth(at)
        pixels = painted(one.locator("svg"))
        assert painted_contrast(pixels) >= GRAPHIC, one.inner_text()
        # By shape alone: each against its own ink.
        signs[one.inner_text()] = pixels < (int(pixels.min()) + int(pixels.max())) / 2
    assert set(signs) == {str(group) for group in RiskGroup}
    for (name, first), (other, second) in itertools.combinations(signs.items(), 2):
        assert unlike(first, second) > 0.12, (name, other, unlike(first, second))
    chips = tab.locator("#states .chip")
    words = [chips.nth(at).inner_text() for at in range(chips.count())]
    assert len(set(words)) == 6
    for at in range(chips.count()):
        assert painted_contrast(painted(chips.nth(at))) >= TEXT, words[at]


def test_flags_and_warnings_stand_out_in_grey(tab: Page, pages: tuple[Made, str]) -> None:
    # The words by themselves, without the signs beside them.
    tab.add_style_tag(content="html { filter: grayscale(1) } svg { visibility: hidden }")
    for name in (".warned", ".flagged", ".standing", ".group", ".chip"):
        found = tab.locator(f".worklist {name}")
        assert found.count() > 2, name
        for at in range(0, found.count(), 7):
            assert painted_contrast(painted(found.nth(at))) >= TEXT, (name, at)
    assert "warning" in tab.locator(".warned").first.inner_text()
    assert re.match("flags?", tab.locator(".flagged").first.inner_text())
    tab.goto(f"{pages[1]}/axillae/{pages[0].records[0].token}")
    tab.add_style_tag(content="html { filter: grayscale(1) } svg { visibility: hidden }")
    for name in (".warnings h2", ".warnings li", ".flags li", ".big-group", ".value", ".contract"):
        assert painted_contrast(painted(tab.locator(name).first)) >= TEXT, name
    assert told().warnings[0] in tab.locator(".warnings").inner_text()
