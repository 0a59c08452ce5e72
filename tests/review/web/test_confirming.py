"""On a page, a contour by software says how good it may be, and waits for a reader before a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.review.store.made import model_record
from tests.review.web.made import PASSWORD, Browser, Oracle, pictures, records
from usdlr.core.types import MaskSource
from usdlr.decision.wording_outlines import rests_on_software
from usdlr.decision.wording_review import AUTOMATIC_CONTOUR
from usdlr.review.acts import Role, Status
from usdlr.review.records import AxillaRecord
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.accounts import create_account
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.loading import load_axillae, load_model
from usdlr.review.store.reading import state
from usdlr.review.web.app import create_app

SQUARE = [[[40.0, 100.0], [40.0, 190.0], [140.0, 190.0], [140.0, 100.0]]]
EXPECTED = "contour by software (expected Dice with a reader's 0.80, expected distance 0.9 mm)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = open_store(f"sqlite:///{tmp_path}/review.db")
    yield found
    found.close()


@pytest.fixture
def record(tmp_path: Path, store: Store) -> AxillaRecord:
    """Both contours are software's; of the second, nothing is known."""
    (one,) = records(tmp_path, 1)
    known: tuple[dict[str, Any], ...] = ({"mask_confidence": 0.8, "mask_error_mm": 0.9}, {"mask_confidence": None})
    images = tuple(
        replace(image, mask_source=MaskSource.AUTOMATIC, row=row) for image, row in zip(one.images, known, strict=True)
    )
    made = replace(one, images=images)
    load_model(store, model_record())
    load_axillae(store, [made])
    return made


@pytest.fixture
def anna(tmp_path: Path, store: Store, record: AxillaRecord) -> Browser:
    pictures(tmp_path)
    create_account(store, "anna", "Dr Anna", Role.REVIEWER, PASSWORD, by=None)
    browser = Browser(create_app(store, settings=ReviewSettings(), live=Oracle()))
    assert browser.sign_in("anna").status_code == 303
    return browser


def test_a_verdict_waits_until_each_contour_by_software_is_settled(
    store: Store, record: AxillaRecord, anna: Browser
) -> None:
    first, second = (image.token for image in record.images)

    def page() -> str:
        return unescape(anna.get(f"/axillae/{record.token}").text)

    text = page()
    assert text.count(EXPECTED) == 1
    assert text.count("contour by software") == 2
    assert text.count("The automatic contour is right") == 2
    refused = anna.act(record.token, 1, "accept")
    assert refused.status_code == 422
    assert (
        "found the contour of image 1 drawn by software and confirmed by nobody, expected a reader's eye on it before "
        "a verdict; confirm it below the picture, redraw it, or leave the image out"
    ) in unescape(refused.text)
    assert state(store, record.token).status is Status.UNREAD
    assert anna.act(record.token, 1, "confirm", image=first).status_code == 303
    text = page()
    assert "contour confirmed" in text
    assert EXPECTED not in text
    assert "found the contour of image 2" in unescape(anna.act(record.token, 2, "accept").text)
    assert anna.redraw(record.token, second, 2, SQUARE).status_code == 200
    assert "The automatic contour is right" not in page()
    assert anna.act(record.token, 3, "accept").status_code == 303
    assert state(store, record.token).status is Status.REVIEWED


def test_what_is_confirmed_no_longer_asks_for_it(tmp_path: Path, store: Store, record: AxillaRecord) -> None:
    """In the reason and among the warnings, on pages, papers and in archives; not before the last one is confirmed."""
    own, asks = "Below the threshold.", rests_on_software(0.8, 0.9)
    answer = replace(record.answer, reason=f"{own} {asks}", warnings=(*record.answer.warnings, AUTOMATIC_CONTOUR))
    load_axillae(store, [replace(record, answer=answer)])
    pictures(tmp_path)
    create_account(store, "ben", "Dr Ben", Role.REVIEWER, PASSWORD, by=None)
    ben = Browser(create_app(store, settings=ReviewSettings(), live=Oracle()))
    assert ben.sign_in("ben").status_code == 303
    first, second = (image.token for image in record.images)

    def told() -> tuple[str, bool]:
        now = state(store, record.token)
        return now.answer.reason, AUTOMATIC_CONTOUR in now.answer.warnings

    assert told() == (f"{own} {asks}", True)
    assert ben.act(record.token, state(store, record.token).version, "confirm", image=first).status_code == 303
    assert told() == (f"{own} {asks}", True), "the other one still waits"
    assert ben.act(record.token, state(store, record.token).version, "confirm", image=second).status_code == 303
    reason, warned = told()
    assert not warned
    assert reason.endswith("expected distance: 0.9 mm); a reader has confirmed it.")
    assert "has to be confirmed" not in unescape(ben.get(f"/axillae/{record.token}").text)


def test_nothing_is_expected_of_a_redrawn_contour(record: AxillaRecord, anna: Browser) -> None:
    assert anna.redraw(record.token, record.images[0].token, 1, SQUARE).status_code == 200
    text = unescape(anna.get(f"/axillae/{record.token}").text)
    assert "redrawn here" in text
    assert EXPECTED not in text
