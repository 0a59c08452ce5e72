"""Explanations in the background: in order, on demand first, and never stopped by one that fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import usdlr.review.ahead as module
from tests.review.store.made import axilla_record, model_record, people, wish
from usdlr.review.acts import Act, AxillaState
from usdlr.review.ahead import Ahead
from usdlr.review.records import AxillaRecord
from usdlr.review.store.acting import act
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.loading import load_axillae, load_model
from usdlr.review.store.reading import axilla, explanation, picture, without_explanation

COUNT = 6


class Waits:
    """Explains only as fast as it is let; of case 2 it always fails."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.go = threading.Semaphore(0)

    def explain(self, record: AxillaRecord, state: AxillaState) -> tuple[Mapping[str, Any], Mapping[str, bytes]]:
        self.go.acquire()
        self.asked.append(record.number)
        if record.number == 2:
            raise RuntimeError(f"something about {record.patient_id}")
        return {"case": record.number, "version": state.version}, {"map": b"png"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/review.db")
    load_model(opened, model_record())
    load_axillae(opened, [axilla_record(number) for number in range(1, COUNT + 1)])
    yield opened
    opened.close()


def soon(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_all_but_the_one_that_fails_are_explained_in_order_and_the_log_names_nobody(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    order, waits = without_explanation(store, 10), Waits()
    ahead = Ahead(store, waits)
    with caplog.at_level(logging.WARNING):
        ahead.start()
        for _ in range(COUNT):
            waits.go.release()
        soon(lambda: len(without_explanation(store, 10)) == 1)
        soon(lambda: ahead.failed(order[1]))
        ahead.stop()
    assert waits.asked == [1, 2, 3, 4, 5, 6]
    assert explanation(store, order[0]) == {"case": 1, "version": 1}
    assert picture(store, order[0], "map") == b"png"
    assert without_explanation(store, 10) == [order[1]]
    assert "case 2" in caplog.text
    assert "USD-" not in caplog.text


def test_who_is_looked_at_comes_next(store: Store) -> None:
    order, waits = without_explanation(store, 10), Waits()
    ahead = Ahead(store, waits)
    ahead.start()
    ahead.first(order[4])
    ahead.first(order[4])
    waits.go.release()  # whichever was taken up before
    waits.go.release()
    soon(lambda: len(waits.asked) == 2)
    assert 5 in waits.asked
    waits.go.release()
    soon(lambda: len(waits.asked) == 3)
    assert waits.asked.count(5) == 1
    for _ in range(COUNT):
        waits.go.release()
    ahead.stop()


class Fails(Waits):
    """Cannot explain anything until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.able = False

    def explain(self, record: AxillaRecord, state: AxillaState) -> tuple[Mapping[str, Any], Mapping[str, bytes]]:
        self.asked.append(record.number)
        if not self.able:
            raise RuntimeError("not now")
        return {"case": record.number}, {}


def test_a_case_that_failed_is_tried_again_when_it_has_changed(store: Store) -> None:
    order, fails = without_explanation(store, 10), Fails()
    ahead = Ahead(store, fails)
    ahead.start()
    soon(lambda: all(ahead.failed(token) for token in order))
    assert sorted(fails.asked) == [1, 2, 3, 4, 5, 6]
    fails.able = True
    ahead.first(order[3])
    (reader,) = people(store, "anna")
    record = axilla(store, order[3])
    assert record is not None
    act(store, wish(Act.CONTOUR, order[3], 1, image=record.images[0].token), reader)
    ahead.first(order[3])
    soon(lambda: explanation(store, order[3]) is not None)
    ahead.first(order[3])  # it is there: nothing is done twice
    ahead.stop()
    assert fails.asked.count(4) == 2
    assert not ahead.failed(order[3])


def test_a_database_that_is_away_is_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    waits, away = Waits(), [True]

    def asked(of: Store, limit: int) -> list[str]:
        if away[0]:
            raise TimeoutError("QueuePool limit reached")
        return without_explanation(of, limit)

    monkeypatch.setattr(module, "without_explanation", asked)
    monkeypatch.setattr(module, "_REST_S", 0.05)
    ahead = Ahead(store, waits)
    ahead.start()
    time.sleep(0.3)
    away[0] = False
    for _ in range(COUNT):
        waits.go.release()
    soon(lambda: len(waits.asked) == COUNT)
    ahead.stop()
