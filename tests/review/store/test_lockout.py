"""Guessing is slowed down for whoever guesses; whoever does not is let in."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import argon2
import pytest
from sqlalchemy import select

from tests.review.store.made import PASSWORD, people
from tests.review.web.made import Browser
from usdlr.core.errors import InputError
from usdlr.review.acts import Account, Role
from usdlr.review.settings import ReviewSettings
from usdlr.review.store import passwords, schema
from usdlr.review.store.accounts import (
    Refused,
    SignedIn,
    create_account,
    locked,
    session,
    sign_in,
    unlock,
)
from usdlr.review.store.attempts import PER_CLIENT, PER_NAME, PER_PAIR
from usdlr.review.store.audit import events
from usdlr.review.store.engine import Store
from usdlr.review.web.app import create_app

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WRONG, WAIT = "The name or the password is wrong.", "Too many attempts. Wait, then try again."


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    passwords._nobodys.cache_clear()


@pytest.fixture
def anna(store: Store) -> Account:
    store.clock = lambda: NOW
    return create_account(store, "anna", "Dr Anna", Role.REVIEWER, PASSWORD, by=None)


def _guess(store: Store, client: str, name: str = "anna", now: datetime = NOW) -> Refused:
    found = sign_in(store, name, "wrong wrong wrong", client=client, now=now)
    assert isinstance(found, Refused)
    return found


def _enters(store: Store, client: str, now: datetime = NOW) -> bool:
    return isinstance(sign_in(store, "anna", PASSWORD, client=client, now=now), SignedIn)


def _guess_until_locked(store: Store, name: str) -> int:
    """Guess from ever new addresses; returns how many guesses were looked at."""
    for looked in range(3 * PER_NAME):
        if _guess(store, f"10.{looked % 200}.0.1", name).why == WAIT:
            return looked
    raise AssertionError("never locked")


def test_the_limits_are_those_that_are_told() -> None:
    assert (PER_PAIR, PER_CLIENT, PER_NAME) == (5, 20, 100)


def test_five_wrong_passwords_lock_the_one_who_guesses_not_the_owner(store: Store, anna: Account) -> None:
    for _ in range(4):
        assert _guess(store, "10.0.0.66") == Refused(WRONG)
    assert _guess(store, "10.0.0.66") == Refused(WRONG, 60)
    assert _guess(store, "10.0.0.66") == Refused(WAIT, 60)
    # Even with the right password, or it could be tried on.
    assert not _enters(store, "10.0.0.66")
    assert _enters(store, "10.0.0.1")
    # That the owner came in does not help whoever guesses.
    assert _guess(store, "10.0.0.66") == Refused(WAIT, 60)
    assert _enters(store, "10.0.0.66", NOW + timedelta(seconds=61))


def test_the_wait_doubles_and_is_forgotten_after_a_quiet_day(store: Store, anna: Account) -> None:
    moment, waits = NOW, list[int]()
    for _ in range(8):
        waits.append([_guess(store, "10.0.0.66", now=moment) for _ in range(PER_PAIR)][-1].wait_s)
        moment += timedelta(seconds=waits[-1])
    # The address is counted beside, over all names, and waits too.
    assert waits[:4] == [60, 120, 240, 480]
    assert max(waits) == 3600
    moment += timedelta(days=2)
    assert [_guess(store, "10.0.0.66", now=moment) for _ in range(PER_PAIR)][-1].wait_s == 60


def test_a_network_of_the_sixth_version_is_one_address(store: Store, anna: Account) -> None:
    for number in range(PER_PAIR):
        assert _guess(store, f"2001:db8:1:2::{number + 1:x}").why == WRONG
    assert _guess(store, "2001:db8:1:2:ffff:ffff:ffff:ffff").why == WAIT
    assert _enters(store, "2001:db8:1:3::1")
    for _ in range(PER_PAIR):
        _guess(store, "::ffff:10.0.0.66")
    assert _guess(store, "10.0.0.66").why == WAIT


def test_an_address_that_tries_many_names_is_locked_for_all_of_them(store: Store, anna: Account) -> None:
    found = [_guess(store, "10.0.0.9", f"somebody{number}") for number in range(PER_CLIENT)]
    assert found[-2:] == [Refused(WRONG), Refused(WRONG, 60)]
    assert not _enters(store, "10.0.0.9")
    assert _enters(store, "10.0.0.1")
    assert _enters(store, "10.0.0.9", NOW + timedelta(seconds=61))


def test_guesses_from_everywhere_lock_the_name_and_no_signed_in_session_ends(store: Store, anna: Account) -> None:
    held = sign_in(store, "anna", PASSWORD, client="10.0.0.1", now=NOW)
    assert isinstance(held, SignedIn)
    assert locked(store) == {}
    assert _guess_until_locked(store, "anna") == PER_NAME
    assert sign_in(store, "anna", PASSWORD, client="10.0.0.1", now=NOW) == Refused(WAIT, 60)
    assert session(store, held.session, now=NOW) is not None
    assert locked(store) == {anna.id: 60}
    # Others are let in meanwhile.
    create_account(store, "bert", "Dr Bert", Role.REVIEWER, PASSWORD, by=None)
    assert isinstance(sign_in(store, "bert", PASSWORD, client="10.0.0.2", now=NOW), SignedIn)
    assert _enters(store, "10.0.0.1", NOW + timedelta(seconds=61))


def test_the_owner_who_comes_in_does_not_wipe_out_guesses_from_elsewhere(store: Store, anna: Account) -> None:
    for number in range(PER_NAME - 1):
        _guess(store, f"10.{number}.0.1")
        if number % 20 == 0:
            assert _enters(store, "10.255.0.1")
    assert _guess(store, "10.201.0.1") == Refused(WRONG, 60)
    assert not _enters(store, "10.255.0.1")


def test_slow_guesses_and_forgetful_owners_lock_nobody(store: Store, anna: Account) -> None:
    for number in range(3 * PER_NAME):
        moment = NOW + timedelta(seconds=10 * number)
        assert _guess(store, f"10.{number % 250}.0.1", now=moment).why == WRONG
        if number % 50 == 0:
            assert _enters(store, "10.255.0.1", moment)


def test_an_unknown_name_is_locked_in_the_same_way(store: Store, anna: Account) -> None:
    told = {
        name: [(found.why, found.wait_s) for found in (_guess(store, f"at {name}", name) for _ in range(8))]
        for name in ("anna", "nobody", "nobo\x00dy", "nobo\ud800dy")
    }
    assert len({tuple(words) for words in told.values()}) == 1
    assert _guess_until_locked(store, "nobody") == _guess_until_locked(store, "anna") == PER_NAME - PER_PAIR
    with store.reading() as connection:
        assert "nobody" not in repr(connection.execute(select(schema.attempt)).all())


def test_an_administrator_lets_a_name_in_again(store: Store, anna: Account) -> None:
    (root,) = people(store, "root", role=Role.ADMINISTRATOR)
    _guess_until_locked(store, "anna")
    _guess_until_locked(store, "nobody")
    with pytest.raises(InputError, match="administrator"):
        unlock(store, anna, by=anna)
    assert not _enters(store, "10.0.0.1")
    unlock(store, anna, by=root)
    assert locked(store) == {}
    assert _enters(store, "10.0.0.1")
    assert _enters(store, "10.3.0.1")
    assert _guess(store, "10.0.0.1", "nobody").why == WAIT
    change = next(event for event in reversed(events(store, limit=10_000)) if event.kind == "account")
    assert (change.account, change.after) == ("root", {"name": "anna", "lockout": "lifted"})


@pytest.mark.parametrize("spread", [False, True])
def test_guesses_at_once_are_counted_each(store: Store, anna: Account, spread: bool) -> None:
    looked: list[str] = []
    if spread:
        for number in range(PER_NAME - 7):
            _guess(store, f"10.{number}.0.1")
    start = threading.Barrier(20)

    def guess(number: int) -> None:
        start.wait()
        looked.append(_guess(store, f"10.0.{number if spread else 0}.9").why)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    limit = 7 if spread else PER_PAIR
    assert (looked.count(WRONG), looked.count(WAIT)) == (limit, 20 - limit)


def test_the_accounts_page_tells_who_is_locked_and_lifts_it(store: Store, anna: Account) -> None:
    create_account(store, "boss", "Dr Boss", Role.ADMINISTRATOR, PASSWORD, by=None)
    browser = Browser(create_app(store, settings=ReviewSettings(), live=None))
    assert browser.sign_in("boss", PASSWORD).status_code == 303
    assert "guessed at too often" not in browser.get("/admin/accounts").text
    for _ in range(PER_PAIR):
        _guess(store, "10.0.0.1")
    assert "guessed at too often, 1 min" in browser.get("/admin/accounts").text
    assert not _enters(store, "10.0.0.1")
    assert browser.submit(f"/admin/accounts/{anna.id}/unlock").status_code == 303
    assert "guessed at too often" not in browser.get("/admin/accounts").text
    assert _enters(store, "10.0.0.1")
