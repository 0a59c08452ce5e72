"""The list and the help page claim no more than the records behind them."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pypdfium2
import pytest
from pypdf import PdfReader

from tests.review.store.made import answered, axilla_record, many, model_record, wish
from tests.review.web.made import PASSWORD, Browser
from usdlr.core.types import SpacingSource
from usdlr.review.acts import Act, Reading, Role
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.accounts import create_account
from usdlr.review.store.acting import act
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.reading import load_axillae, load_model
from usdlr.review.web import showing_worklist
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


def printed(content: bytes) -> str:
    """What a PDF says, every space one space."""
    document = pypdfium2.PdfDocument(content)
    found = " ".join(document[at].get_textpage().get_text_bounded() for at in range(len(document)))
    document.close()
    return " ".join(found.replace("\N{NO-BREAK SPACE}", " ").split())


def cells(text: str) -> list[list[str]]:
    """The rows of the page's table, without the words for the eye alone."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text[text.index("<tbody>") : text.index("</tbody>")], re.DOTALL)
    return [
        [
            " ".join(unescape(re.sub(r"<[^>]*>", " ", one)).split())
            for one in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)
        ]
        for row in rows
    ]


def test_the_printed_list_says_what_the_page_says(tmp_path: Path) -> None:
    store = opened(tmp_path)
    found = [replace(one, patient_id=f"PAT-{one.number:04d}") for one in many(60, seed=5)]
    load_axillae(store, found)
    anna = create_account(store, "anna", "Dr Anna", Role.REVIEWER, PASSWORD, by=None)
    create_account(store, "ben", "Dr Ben", Role.REVIEWER, PASSWORD, by=None)
    act(store, wish(Act.ACCEPT, found[3].token, 1), anna)
    act(store, wish(Act.DEFER, found[4].token, 1, colleague="ben"), anna)
    browser = signed_in(store)
    for fields in (
        {"order": "p_sln"},
        {"text": "pat-000"},
        {"text": "", "status": "deferred"},
        {"status": "", "flagged": "1", "group": "DEFER"},
    ):
        browser.submit("/worklist", fields)
        page = browser.get("/").text
        answer = browser.get("/worklist.pdf")
        assert answer.headers["content-type"] == "application/pdf"
        text = printed(answer.content)
        shown = cells(page)
        assert shown
        at = 0
        for number, patient, side, centre, group, p_sln, p_nsln, look, status, assigned, verdicts in shown:
            at = text.index(f"{number} {patient} {side} {centre}", at)
            row = re.split(r"\d+ PAT-|Where a warning", text[at + len(number) + 4 :])[0]
            assert f"{p_sln} %" in row, row
            assert p_nsln in row, row
            for words in (*group.split(), *status.split(), assigned, verdicts.split(" ")[0]):
                assert words in row, (words, row)
            assert ("warning" in row) is ("warning" in look), row
            assert ("Contour repaired." in row) is ("Contour repaired." in look), row
        # In the page's order, and no others.
        numbers = [one[0] for one in shown]
        kept = re.findall(r"(\d+) PAT-\d{4} (?:left|right)", text)
        assert kept[: len(numbers)] == numbers
        assert len(kept) == int(re.findall(r"of (\d+)", page[page.index('class="count"') :])[0])
        assert "not a medical device" in text
        assert "Printed for Dr Vera" in text
        told = PdfReader(io.BytesIO(answer.content)).metadata
        assert "PAT" not in str(told).upper().replace("PATIENT", ""), "a search names patients; a file's title must not"
    assert "answer DEFER; with flags or warnings. Sorted by SLN, descending" in text or "ascending" in text
    store.close()


def test_a_hidden_reading_prints_no_answer_and_nobody_else_s_doings(tmp_path: Path) -> None:
    store = opened(tmp_path)
    found = many(4, seed=2)
    load_axillae(store, found)
    anna = create_account(store, "anna", "Dr Anna", Role.REVIEWER, PASSWORD, by=None)
    create_account(store, "ben", "Dr Ben", Role.REVIEWER, PASSWORD, by=None)
    act(store, wish(Act.DEFER, found[0].token, 1, colleague="ben"), anna, reading=Reading.HIDDEN)
    answer = signed_in(store, Reading.HIDDEN).get("/worklist.pdf")
    text = printed(answer.content)
    for one in found:
        assert one.patient_id in text
        for stage in one.answer.stages:
            assert f"{100 * stage.probability:.1f} %" not in text
        assert f"{one.answer.group} " not in text
    assert text.count("hidden") == 4
    assert "Deferred to a colleague" not in text
    assert " ben" not in text
    store.close()


def test_a_list_that_is_too_long_is_cut_with_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing_worklist, "MOST_PRINTED", 5)
    store = opened(tmp_path)
    load_axillae(store, many(8))
    text = printed(signed_in(store).get("/worklist.pdf").content)
    assert "Only the first 5 of 8 cases are printed" in text
    assert len(re.findall(r"USD-\d{4}", text)) == 5
    store.close()


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
