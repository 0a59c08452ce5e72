"""One's own sessions: how many are open, and ending all but the one at hand. On both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from tests.review.store.made import people
from usdlr.review.acts import Account
from usdlr.review.store import schema
from usdlr.review.store.accounts import count_sessions, end_other_sessions, session, start_session
from usdlr.review.store.audit import events, verify
from usdlr.review.store.checking import check
from usdlr.review.store.engine import Store

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def two(store: Store) -> tuple[Account, Account]:
    anna, ben = people(store, "anna", "ben")
    return anna, ben


def _begun(store: Store, account: Account, at: datetime = NOW) -> str:
    return start_session(store, account, now=at).session


def _holds(store: Store, token: str) -> bool:
    return session(store, token, now=NOW, touch=False) is not None


def test_all_end_but_the_one_at_hand_and_nobody_elses(store: Store, two: tuple[Account, Account]) -> None:
    anna, ben = two
    first, here, third = (_begun(store, anna) for _ in range(3))
    bens = _begun(store, ben)
    assert (count_sessions(store, anna, now=NOW), count_sessions(store, ben, now=NOW)) == (3, 1)
    assert end_other_sessions(store, anna, here, now=NOW) == 2
    assert [_holds(store, token) for token in (first, here, third, bens)] == [False, True, False, True]
    assert (count_sessions(store, anna, now=NOW), count_sessions(store, ben, now=NOW)) == (1, 1)
    # Pressed again, there is nothing to end and nothing to tell.
    assert end_other_sessions(store, anna, here, now=NOW) == 0
    told = [event for event in events(store) if event.kind == "sessions_ended"]
    assert [(event.account, dict(event.after)) for event in told] == [("anna", {"ended": 2})]
    assert not any(token in repr(events(store)) for token in (first, here, third))
    assert verify(store).whole
    assert check(store).whole


@pytest.mark.parametrize("strange", ["", "é", "\x00", "x" * 5000])
def test_a_token_that_is_not_ones_own_keeps_nothing_and_ends_nobody_elses(
    store: Store, two: tuple[Account, Account], strange: str
) -> None:
    anna, ben = two
    annas, bens = _begun(store, anna), _begun(store, ben)
    assert end_other_sessions(store, anna, strange, now=NOW) == 1
    annas = _begun(store, anna)
    assert end_other_sessions(store, anna, bens, now=NOW) == 1
    assert not _holds(store, annas)
    assert _holds(store, bens)


@pytest.mark.parametrize(
    ("begun", "counts"),
    [
        (NOW - timedelta(minutes=29), 1),
        (NOW - timedelta(minutes=31), 0),
        (NOW + timedelta(minutes=4), 1),
        (NOW + timedelta(hours=1), 0),
    ],
)
def test_what_counts_as_open_is_what_would_let_somebody_in(
    store: Store, two: tuple[Account, Account], begun: datetime, counts: int
) -> None:
    anna, _ = two
    token = _begun(store, anna, begun)
    assert count_sessions(store, anna, now=NOW) == counts
    assert _holds(store, token) == bool(counts)


def test_age_counts_beside_idleness(store: Store, two: tuple[Account, Account]) -> None:
    anna, _ = two
    token, moment = _begun(store, anna), NOW
    for _ in range(24):
        moment += timedelta(minutes=29)
        assert session(store, token, now=moment) is not None
    # The last request was at 11 h 36 min; 29 minutes later it is not idle, but 12 h 5 min old.
    assert count_sessions(store, anna, now=NOW + timedelta(hours=11, minutes=50)) == 1
    assert count_sessions(store, anna, now=moment + timedelta(minutes=29)) == 0


def test_those_that_are_over_are_cleared_and_not_told(store: Store, two: tuple[Account, Account]) -> None:
    anna, _ = two
    _begun(store, anna, NOW - timedelta(hours=20))
    here = _begun(store, anna)
    assert end_other_sessions(store, anna, here, now=NOW) == 0
    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(schema.session)) == 1
    assert "sessions_ended" not in {event.kind for event in events(store)}
