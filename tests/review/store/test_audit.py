"""The log: hashes that anybody can recompute, guards that refuse changes, and a check that finds what got past them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from tests.review.store.made import axilla_record, emptied, people, wish
from usdlr.review.acts import Act
from usdlr.review.store.acting import Done, act
from usdlr.review.store.audit import anchor, append, events, verify
from usdlr.review.store.checking import check
from usdlr.review.store.engine import Store
from usdlr.review.store.loading import load_axillae


def _fill(store: Store, count: int = 6) -> None:
    with store.writing() as connection:
        for number in range(count):
            append(connection, account="anna", kind="export", after={"n": number, "text": "Größe 5 µm \x00 '"})


def test_hashes_are_sha256_of_canonical_json_and_chain(store: Store) -> None:
    _fill(store)
    previous = "0" * 64
    for number, event in enumerate(events(store), start=1):
        plain = asdict(event)
        held = plain.pop("hash")
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        assert (event.number, event.previous) == (number, previous)
        assert hashlib.sha256(text.encode()).hexdigest() == held
        previous = held
    report = verify(store)
    assert (report.whole, report.entries, report.head) == (True, 6, previous)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET account = 'eve' WHERE number = 2",
        "DELETE FROM event WHERE number = 2",
        "DELETE FROM event",
        "INSERT INTO event SELECT 9, at, account, kind, token, digest, before, after, hash, previous FROM event "
        "WHERE number = 2",
        "INSERT INTO event SELECT 7, at, account, kind, token, digest, before, after, hash, previous FROM event "
        "WHERE number = 2",
        "UPDATE head SET number = 3",
        "UPDATE head SET number = 7",
        "DELETE FROM head",
    ],
)
def test_database_refuses_changes_of_the_log(store: Store, statement: str) -> None:
    _fill(store)
    with pytest.raises(DBAPIError, match="audit log only grows"), store.writing() as connection:
        connection.exec_driver_sql(statement)
    assert verify(store).entries == 6
    assert check(store).whole


def test_database_refuses_replacing_and_emptying(store: Store) -> None:
    _fill(store)
    statement = (
        "REPLACE INTO event SELECT number, at, 'eve', kind, token, digest, before, after, hash, previous FROM event "
        "WHERE number = 2"
        if store.sqlite
        else "TRUNCATE event CASCADE"
    )
    with pytest.raises(DBAPIError, match="audit log only grows"), store.writing() as connection:
        connection.exec_driver_sql(statement)
    assert verify(store).whole


def _renumber(first: int, second: int) -> list[str]:
    return [
        f"UPDATE event SET number = 1000 WHERE number = {first}",
        f"UPDATE event SET number = {first} WHERE number = {second}",
        f"UPDATE event SET number = {second} WHERE number = 1000",
    ]


_COPY = "SELECT 7, at, account, kind, token, digest, before, after, hash, previous FROM event WHERE number = 6"
TAMPERED: dict[str, tuple[list[str], int]] = {
    "account": (["UPDATE event SET account = 'eve' WHERE number = 3"], 3),
    "time": (["UPDATE event SET at = '2020-01-01T00:00:00+00:00' WHERE number = 1"], 1),
    "kind": (["UPDATE event SET kind = 'sent' WHERE number = 4"], 4),
    "token": (["UPDATE event SET token = 'other' WHERE number = 4"], 4),
    "bundle": (["UPDATE event SET digest = 'other' WHERE number = 4"], 4),
    "content": (["""UPDATE event SET after = '{"n":5}' WHERE number = 6"""], 6),
    "blanks": (["UPDATE event SET before = '{ }' WHERE number = 2"], 2),
    "no JSON": (["UPDATE event SET before = '{' WHERE number = 2"], 2),
    "hash": ([f"UPDATE event SET hash = '{'a' * 64}' WHERE number = 6"], 6),
    "removed": (["DELETE FROM event WHERE number = 3"], 3),
    "removed first": (["DELETE FROM event WHERE number = 1"], 1),
    "closed gap": (["DELETE FROM event WHERE number = 5", "UPDATE event SET number = 5 WHERE number = 6"], 5),
    "reordered": (_renumber(2, 3), 2),
    "inserted": ([f"INSERT INTO event {_COPY}"], 7),
    "cut": (["DELETE FROM event WHERE number = 6"], 6),
    "emptied": (["DELETE FROM event"], 1),
    "no head": (["DELETE FROM head"], 7),
}


@pytest.mark.parametrize("how", sorted(TAMPERED))
def test_check_finds_what_got_past_the_guards(store: Store, how: str) -> None:
    _fill(store)
    emptied(store)
    statements, at = TAMPERED[how]
    with store.writing() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    report = verify(store)
    assert not report.whole
    assert report.broken_at == at
    assert report.why
    assert any("guard" in sentence for sentence in check(store).wrong)


def test_cut_of_log_and_head_shows_against_an_export(store: Store) -> None:
    _fill(store)
    before = anchor(store)
    emptied(store)
    with store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM event WHERE number = 6")
        connection.exec_driver_sql("UPDATE head SET number = 5, hash = (SELECT hash FROM event WHERE number = 5)")
    assert verify(store).whole
    assert verify(store, anchor=before).broken_at == 6


def test_log_written_anew_shows_against_an_export(store: Store, tmp_path: Any) -> None:
    _fill(store)
    before = anchor(store)
    assert verify(store, anchor=before).whole
    emptied(store)
    with store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM event")
        connection.exec_driver_sql(f"UPDATE head SET number = 0, hash = '{'0' * 64}'")
        end = []
        for number in range(7):
            event = append(connection, account="eve", kind="export", after={"n": number})
            # The trigger that moves the head is gone.
            connection.exec_driver_sql(f"UPDATE head SET number = {event.number}, hash = '{event.hash}'")
            end.append(event)
    assert verify(store).whole
    assert verify(store, anchor=before).broken_at == 6


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE axilla SET status = 'reviewed'",
        "UPDATE axilla SET p_sln = 0.01",
        "UPDATE axilla SET version = 5",
        "UPDATE prediction SET record = replace(record, '0.123', '0.023')",
        "DELETE FROM reading",
        "DELETE FROM request",
    ],
)
def test_check_finds_lists_that_say_something_else(store: Store, tampering: str) -> None:
    record = axilla_record()
    load_axillae(store, [record])
    anna = people(store, "anna")[0]
    assert isinstance(act(store, wish(Act.COMMENT, record.token, 1), anna), Done)
    assert isinstance(act(store, wish(Act.OPINION, record.token, 2), anna), Done)
    assert check(store).whole
    with store.writing() as connection:
        connection.exec_driver_sql(tampering)
    assert check(store).chain.whole
    assert not check(store).whole


def test_clock_decides_nothing(store: Store) -> None:
    record = axilla_record()
    load_axillae(store, [record])
    anna = people(store, "anna")[0]
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    jumps: list[Callable[[], datetime]] = [
        lambda: now,
        lambda: now - timedelta(days=400),
        lambda: now + timedelta(days=400),
        lambda: now,
    ]
    for seen, jump in enumerate(jumps, start=1):
        store.clock = jump
        act_kind = Act.ACCEPT if seen % 2 else Act.REJECT
        assert isinstance(act(store, wish(act_kind, record.token, seen), anna), Done)
    found = events(store, token=record.token)
    assert [event.kind for event in found] == ["loaded", "accept", "reject", "accept", "reject"]
    assert found[2].at < found[1].at
    assert check(store).whole
