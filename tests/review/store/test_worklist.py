"""The worklist against plain Python over the same axillae, on both databases."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.review.store.made import GROUPS, axilla_record, many, people, wish
from usdlr.core.errors import InputError
from usdlr.core.types import RiskGroup, Stage
from usdlr.review.acts import Act, Status
from usdlr.review.records import AxillaRecord
from usdlr.review.store.acting import Done, act
from usdlr.review.store.engine import Store
from usdlr.review.store.loading import load_axillae
from usdlr.review.store.worklist import WorklistQuery, neighbours, worklist

COUNT = 120


def _p(record: AxillaRecord, stage: Stage) -> float:
    return next(one.probability for one in record.answer.stages if one.stage is stage)


@pytest.fixture
def records(store: Store) -> list[AxillaRecord]:
    made = many(COUNT)
    load_axillae(store, made)
    return made


def test_filters_search_and_orders(store: Store, records: list[AxillaRecord]) -> None:
    keep: list[tuple[WorklistQuery, Callable[[AxillaRecord], bool]]] = [
        (WorklistQuery(), lambda r: True),
        (WorklistQuery(group=(RiskGroup.DEFER, RiskGroup.LR_SLN)), lambda r: r.answer.group in (GROUPS[3], GROUPS[0])),
        (WorklistQuery(contract="certified"), lambda r: r.answer.contract == "certified"),
        (WorklistQuery(flagged=True), lambda r: bool(r.answer.flags or r.answer.warnings)),
        (WorklistQuery(text="usd-01"), lambda r: r.patient_id.startswith("USD-01")),
        (WorklistQuery(text="KÖLN"), lambda r: r.centre_id == "Köln"),
        (WorklistQuery(text="%"), lambda r: r.centre_id == "100%"),
        (WorklistQuery(text="a_c"), lambda r: r.centre_id == "A_Coruña"),
        (WorklistQuery(text="_"), lambda r: r.centre_id == "A_Coruña"),
        (WorklistQuery(text="#7"), lambda r: r.number == 7),
        (WorklistQuery(text="\\"), lambda r: False),
        (WorklistQuery(text="' OR 1=1 --\x00"), lambda r: False),
        (WorklistQuery(text="9" * 40), lambda r: False),
        (WorklistQuery(status=(Status.REVIEWED,)), lambda r: False),
    ]
    for query, wanted in keep:
        found = worklist(store, query)
        expected = [record.number for record in records if wanted(record)]
        assert [row.number for row in found.rows] == expected[:50], query
        told = {record.token: record.answer.contract for record in records}
        assert all(row.contract == told[row.token] for row in found.rows)
        assert (found.total, found.all) == (len(expected), COUNT)
    places: dict[str, Callable[[AxillaRecord], Any]] = {
        "number": lambda r: r.number,
        "patient": lambda r: r.patient_id,
        "group": lambda r: GROUPS.index(r.answer.group),
        "p_sln": lambda r: _p(r, Stage.SLN),
        "p_nsln": lambda r: _p(r, Stage.NSLN),
    }
    for sort, place in places.items():
        for descending in (False, True):
            found = worklist(store, WorklistQuery(sort=sort, descending=descending, size=500))
            # The number breaks ties, upward either way.
            order = sorted(records, key=lambda r: r.number)
            order.sort(key=place, reverse=descending)
            assert [row.token for row in found.rows] == [record.token for record in order], sort


def test_pages_and_neighbours_follow_one_order(store: Store, records: list[AxillaRecord]) -> None:
    query = WorklistQuery(group=(RiskGroup.LR_SLN,), sort="p_sln", size=7)
    tokens: list[str] = []
    pages = worklist(store, query).pages
    for page in range(1, pages + 1):
        tokens += [row.token for row in worklist(store, WorklistQuery(**vars(query) | {"page": page})).rows]
    assert len(tokens) == len(set(tokens)) == worklist(store, query).total
    assert worklist(store, WorklistQuery(**vars(query) | {"page": 999})).page == pages
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        assert neighbours(store, query, token) == (before, after)
    other = next(record for record in records if record.answer.group is RiskGroup.DEFER)
    below = [row for row in tokens if _p(_by(records, row), Stage.SLN) < _p(other, Stage.SLN)]
    assert neighbours(store, query, other.token) == (
        below[-1] if below else None,
        tokens[len(below)] if len(below) < len(tokens) else None,
    )
    assert neighbours(store, query, "nobody") == (None, None)


def _by(records: list[AxillaRecord], token: str) -> AxillaRecord:
    return next(record for record in records if record.token == token)


def test_progress_and_what_waits_for_a_reader(store: Store, records: list[AxillaRecord]) -> None:
    anna, bert = people(store, "anna", "bert")
    assert worklist(store, WorklistQuery(reader="anna")).next_token == records[0].token
    assert isinstance(act(store, wish(Act.REJECT, records[0].token, 1), anna), Done)
    assert isinstance(act(store, wish(Act.DEFER, records[1].token, 1, colleague="bert"), anna), Done)
    assert isinstance(act(store, wish(Act.OPINION, records[2].token, 1), anna), Done)
    mine = worklist(store, WorklistQuery(reader="anna"))
    assert (mine.done, mine.all, mine.next_token) == (1, COUNT, records[2].token)
    assert [row.mine for row in mine.rows[:4]] == [True, False, True, False]
    assert worklist(store, WorklistQuery(reader="bert")).next_token == records[0].token
    handed = worklist(store, WorklistQuery(reader="bert", assigned="bert"))
    assert [(row.number, row.status) for row in handed.rows] == [(2, Status.DEFERRED)]
    assert handed.next_token == records[1].token
    assert worklist(store, WorklistQuery(status=(Status.STARTED, Status.REVIEWED))).total == 2
    assert bert.name == "bert"


def test_hidden_reading_shows_nothing_before_the_own_opinion(store: Store, records: list[AxillaRecord]) -> None:
    anna, bert = people(store, "anna", "bert")
    query = WorklistQuery(reader="anna", hidden=True, seed=3, size=500)
    page = worklist(store, query)
    assert all(
        (row.group, row.p_sln, row.p_nsln, row.group_shown, row.verdicts, row.contract)
        == (None, None, None, False, 0, "")
        for row in page.rows
    )
    order = [row.token for row in page.rows]
    assert order != [record.token for record in records]
    assert order == [row.token for row in worklist(store, query).rows]
    assert sorted(order) == sorted(record.token for record in records)
    for other in ({"reader": "bert"}, {"seed": 4}):
        assert [row.token for row in worklist(store, WorklistQuery(**vars(query) | other)).rows] != order
    # Neither by filter nor by order nor by another reader's doings does the answer leak.
    by_p = WorklistQuery(**vars(query) | {"sort": "p_sln", "descending": True})
    assert [row.token for row in worklist(store, by_p).rows] == order
    assert worklist(store, WorklistQuery(**vars(query) | {"group": tuple(GROUPS)})).total == 0
    assert worklist(store, WorklistQuery(**vars(query) | {"contract": "certified"})).total == 0
    assert isinstance(act(store, wish(Act.REJECT, order[0], 1), bert), Done)
    assert worklist(store, query).rows[0].status is Status.UNREAD
    assert worklist(store, WorklistQuery(**vars(query) | {"status": (Status.REVIEWED,)})).total == 0
    assert isinstance(act(store, wish(Act.OPINION, order[0], 2), anna), Done)
    first = worklist(store, query).rows[0]
    record = _by(records, order[0])
    assert (first.token, first.group, first.group_shown) == (order[0], record.answer.group, True)
    assert first.contract == record.answer.contract
    assert (first.status, first.verdicts) == (Status.REVIEWED, 1)
    assert worklist(store, WorklistQuery(**vars(query) | {"group": tuple(GROUPS)})).total == 1
    assert neighbours(store, query, order[1]) == (order[0], order[2])


def test_both_databases_mix_alike(store: Store) -> None:
    fixed = [axilla_record(number, token=f"token-{number}") for number in range(1, 6)]
    load_axillae(store, fixed)
    page = worklist(store, WorklistQuery(reader="anna", hidden=True, seed=1))
    assert [row.number for row in page.rows] == ORDER


def _order() -> list[int]:
    def place(number: int) -> str:
        return hashlib.sha256(f"1\x1fanna\x1ftoken-{number}".encode()).hexdigest()

    return sorted(range(1, 6), key=place)


ORDER = _order()


@pytest.mark.parametrize("query", [WorklistQuery(page=0), WorklistQuery(size=501), WorklistQuery(sort="password")])
def test_impossible_queries_are_refused(file_store: Store, query: WorklistQuery) -> None:
    with pytest.raises(InputError):
        worklist(file_store, query)
