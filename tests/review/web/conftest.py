"""A review page per file: passwords take time to hash on purpose."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from tests.review.web.made import Made, made
from usdlr.review.acts import Reading
from usdlr.review.settings import ReviewSettings


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """An open reading of a few axillae; every test takes an axilla of its own."""
    found = made(tmp_path_factory.mktemp("site"), count=24)
    yield found
    found.store.close()


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A hidden reading."""
    settings = ReviewSettings(reading=Reading.HIDDEN, seed=7)
    found = made(tmp_path_factory.mktemp("hidden"), count=6, settings=settings)
    yield found
    found.store.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """An installed Chromium. Without one the tests are skipped; on CI, which has to have it, they fail."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        reason = "Chromium is not installed: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as play:
        found = play.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield found
        found.close()


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Page]:
    """A new browser window; whatever its scripts complain about, or ask of another host, fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    wrong: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            wrong.append(f"left the host: {request.url}")

    page.on("request", asked)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if "Content Security" in line.text else None)
    yield page
    context.close()
    assert not wrong
