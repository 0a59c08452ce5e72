"""A review page per file: passwords take time to hash on purpose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.review.web.made import Made, made
from usdlr.review.records import Reading
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
