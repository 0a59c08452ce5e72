"""The list and the help page claim no more than the records behind them."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

from tests.review.store.made import answered, axilla_record, model_record
from tests.review.web.made import PASSWORD, Browser
from usdlr.core.types import SpacingSource
from usdlr.review.records import Reading, Role
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.accounts import create_account
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.reading import load_axillae, load_model
from usdlr.review.web.app import create_app


def opened(folder: Path) -> Store:
    store = open_store(f"sqlite:///{folder}/review.db")
    load_model(store, model_record())
    create_account(store, "vera", "Dr Vera", Role.VIEWER, PASSWORD, by=None)
    return store


def signed_in(store: Store, reading: Reading = Reading.OPEN) -> Browser:
    browser = Browser(create_app(store, settings=ReviewSettings(reading=reading), live=None))
    assert browser.sign_in("vera").status_code == 303
    return browser


def test_the_list_says_whose_contract_is_not_certified(tmp_path: Path) -> None:
    answers = [answered(contract=one) for one in ("certified", "not_certifiable", "marginal")]
    store = opened(tmp_path)
    load_axillae(store, [axilla_record(number, answer=one) for number, one in enumerate(answers, start=1)])
    for reading, wanted in (
        (Reading.OPEN, ["", "uncertified", "marginal, uncertified"]),
        (Reading.HIDDEN, ["", "", ""]),
    ):
        text = signed_in(store, reading).get("/").text
        rows = dict(re.findall(r'aria-label="Case (\d+)"(.*?)</tr>', text, re.DOTALL))
        found = [re.findall(r'class="standing[^"]*">([^<]*)<', rows[number]) for number in "123"]
        assert [one[0] if one else "" for one in found] == wanted
        heading = re.sub(r"<[^>]*>", "", text[text.index("<thead>") : text.index("</thead>")])
        assert "NSLN if SLN positive, %" in heading
    store.close()


def test_help_claims_no_millimetres_where_lengths_are_shares_of_the_lesion(tmp_path: Path) -> None:
    store, record = opened(tmp_path), axilla_record(1)
    browser = signed_in(store)
    relative = [
        replace(one, row_mm=None, col_mm=None, spacing_source=SpacingSource.LESION_RELATIVE) for one in record.images
    ]
    for loaded, wanted in (
        ([], "the model's margin"),
        ([replace(record, images=tuple(relative))], "a fixed share of the lesion's diameter"),
        ([record], "5.0 mm"),
    ):
        load_axillae(store, loaded)
        text = unescape(browser.get("/help").text)
        assert f"peritumoral ring, {wanted} outside the contour" in text
        assert ("5.0 mm" in text) is (wanted == "5.0 mm")
    store.close()
