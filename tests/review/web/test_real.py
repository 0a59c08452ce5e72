"""The page with a real bundle: what the browser shows is what the tables say, before and after a contour is redrawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from tests.review.web.made import PASSWORD, Browser
from usdlr.review.acts import Role
from usdlr.review.live import Live
from usdlr.review.load import read_list
from usdlr.review.records import Point
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.accounts import create_account
from usdlr.review.store.engine import open_store
from usdlr.review.store.reading import load_axillae, load_model, state
from usdlr.review.web.app import create_app


@pytest.mark.slow
def test_the_page_prints_the_tables_numbers(run_folder: Path, tmp_path: Path) -> None:
    bundle = run_folder / "bundle"
    cases = pd.read_parquet(run_folder / "cases.parquet")
    model, records, _ = read_list(bundle, run_folder / "cases.parquet", work=tmp_path / "work", jobs=1)
    assert {record.patient_id for record in records} <= set(cases["patient_id"])
    store = open_store(f"sqlite:///{tmp_path}/review.db")
    load_model(store, model)
    load_axillae(store, records)
    create_account(store, "anna", "Dr Anna", Role.REVIEWER, PASSWORD, by=None)
    with Live(bundle) as live:
        browser = Browser(create_app(store, settings=ReviewSettings(), live=live))
        assert browser.sign_in("anna").status_code == 303
        record = next(one for one in records if one.images[0].contour)
        image = record.images[0]
        text = unescape(browser.get(f"/axillae/{record.token}").text)
        for stage in record.answer.stages:
            assert f"{100 * stage.probability:.1f} %" in text
        assert record.answer.reason in text
        assert model.cohort in text
        for kind in ("bmode", "thumbnail"):
            assert browser.get(f"/pictures/{image.token}/{kind}").content.startswith(b"\x89PNG")
        smaller = [
            [[0.8 * (row - r0) + r0, 0.8 * (col - c0) + c0] for row, col in line]
            for line, r0, c0 in _centred(image.contour)
        ]
        answer = browser.redraw(record.token, image.token, 1, smaller)
        assert answer.status_code == 200, answer.text
        now = state(store, record.token)
        assert now.answer.diameter_mm is not None
        assert record.answer.diameter_mm is not None
        assert now.answer.diameter_mm == pytest.approx(0.8 * record.answer.diameter_mm, rel=0.05)
        assert f"{now.answer.diameter_mm:.1f} mm" in answer.json()["below"]
        assert browser.redraw(record.token, image.token, 2, [[[0, 0], [0, 1], [1, 1]]]).status_code == 422
    store.close()


def _centred(lines: Iterable[Sequence[Point]]) -> list[tuple[list[tuple[float, float]], float, float]]:
    out = []
    for line in lines:
        rows, cols = [point[0] for point in line], [point[1] for point in line]
        out.append((list(line), sum(rows) / len(rows), sum(cols) / len(cols)))
    return out
