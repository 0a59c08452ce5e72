"""Who may come in: passwords, sessions, guessing, the first administrator."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median

import argon2
import pytest
from sqlalchemy import select

from tests.review.store.made import PASSWORD, people
from usdlr.core.errors import InputError
from usdlr.review.acts import Account, Role
from usdlr.review.store import passwords, schema
from usdlr.review.store.accounts import (
    Refused,
    SignedIn,
    accounts,
    change_password,
    create_account,
    disable,
    enable,
    external_account,
    first_administrator,
    redeem,
    session,
    set_role,
    sign_in,
    sign_out,
    start_session,
)
from usdlr.review.store.audit import events, verify
from usdlr.review.store.engine import Store

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap hashes, but where their cost is what is tested."""
    if "slow_hash" not in request.fixturenames:
        monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        passwords._nobodys.cache_clear()


@pytest.fixture
def slow_hash() -> Iterator[None]:
    passwords._nobodys.cache_clear()
    yield
    passwords._nobodys.cache_clear()


@pytest.fixture
def root(store: Store) -> Account:
    return people(store, "root", role=Role.ADMINISTRATOR)[0]


@pytest.fixture
def anna(store: Store, root: Account) -> Account:
    return create_account(store, "Anna", "Dr Anna", Role.REVIEWER, PASSWORD, by=root)


def _signed(store: Store, name: str = "anna", password: str = PASSWORD, now: datetime = NOW) -> SignedIn:
    found = sign_in(store, name, password, client="10.0.0.1", now=now)
    assert isinstance(found, SignedIn)
    return found


def test_passwords_are_argon2id_and_tokens_are_hashed(store: Store, anna: Account) -> None:
    found = _signed(store, " ANNA ")
    assert found.account == anna
    with store.reading() as connection:
        stored = connection.scalar(select(schema.account.c.password).where(schema.account.c.name == "anna"))
        key = connection.scalar(select(schema.session.c.id))
    assert str(stored).startswith("$argon2id$")
    assert argon2.PasswordHasher().verify(str(stored), PASSWORD)
    assert key == hashlib.sha256(found.session.encode()).hexdigest()
    assert len(found.session) >= 43
    assert found.session not in repr(found)
    assert found.csrf not in repr(found)
    held = session(store, found.session, now=NOW)
    assert held is not None
    assert (held.account, held.csrf) == (anna, found.csrf)
    assert held.csrf not in repr(held)
    text = repr(events(store))
    assert not any(secret in text for secret in (PASSWORD, found.session, found.csrf, str(stored)))


def test_default_cost_is_argon2s_own(slow_hash: None) -> None:
    found = argon2.extract_parameters(passwords.hash_password(PASSWORD))
    assert found.type is argon2.Type.ID
    assert (found.memory_cost, found.time_cost) >= (19_456, 2)  # OWASP's least


def test_every_sign_in_has_a_new_token_and_sign_out_ends_it(store: Store, anna: Account) -> None:
    first, second = _signed(store), _signed(store)
    assert first.session != second.session
    sign_out(store, first.session)
    sign_out(store, first.session)
    assert session(store, first.session, now=NOW) is None
    assert session(store, second.session, now=NOW) is not None
    kinds = [event.kind for event in events(store) if event.account == "anna"]
    assert kinds == ["sign_in", "sign_in", "sign_out"]
    assert verify(store).whole


@pytest.mark.parametrize("token", ["", "x", "é", "\x00", "a" * 5000])
def test_strange_tokens_are_nobodys(store: Store, token: str) -> None:
    assert session(store, token, now=NOW) is None
    sign_out(store, token)


def test_sessions_end_by_idleness_age_and_strange_clocks(store: Store, anna: Account) -> None:
    idle, old, future = _signed(store), _signed(store), _signed(store)
    assert session(store, idle.session, now=NOW + timedelta(minutes=31)) is None
    assert session(store, idle.session, now=NOW) is None
    moment = NOW
    while moment < NOW + timedelta(hours=12):
        assert session(store, old.session, now=moment) is not None
        moment += timedelta(minutes=29)
    assert session(store, old.session, now=NOW + timedelta(hours=12, minutes=1)) is None
    assert session(store, future.session, now=NOW - timedelta(minutes=4)) is not None
    assert session(store, future.session, now=NOW - timedelta(hours=1)) is None


def test_what_a_page_asks_by_itself_keeps_no_session_awake(store: Store, anna: Account) -> None:
    found, moment = _signed(store), NOW
    for _ in range(6):
        moment += timedelta(minutes=5)
        assert session(store, found.session, now=moment, touch=False) is not None
    assert session(store, found.session, now=moment + timedelta(minutes=1), touch=False) is None
    # With a request of the person in between it goes on.
    found = _signed(store)
    assert session(store, found.session, now=NOW + timedelta(minutes=20)) is not None
    assert session(store, found.session, now=NOW + timedelta(minutes=45), touch=False) is not None
    disable(store, anna, by=None)
    assert session(store, found.session, now=NOW + timedelta(minutes=45), touch=False) is None


def test_password_change_and_closing_end_all_sessions(store: Store, root: Account, anna: Account) -> None:
    first, second = _signed(store), _signed(store)
    with pytest.raises(InputError, match="old password"):
        change_password(store, anna, "another good one!", old="wrong", by=anna)
    with pytest.raises(InputError, match="administrator"):
        change_password(store, root, "another good one!", by=anna)
    change_password(store, anna, "another good one!", old=PASSWORD, by=anna)
    assert session(store, first.session, now=NOW) is session(store, second.session, now=NOW) is None
    assert isinstance(sign_in(store, "anna", PASSWORD, client="c", now=NOW), Refused)
    third = _signed(store, password="another good one!")
    disable(store, anna, by=root)
    assert session(store, third.session, now=NOW) is None
    assert isinstance(sign_in(store, "anna", "another good one!", client="c", now=NOW), Refused)
    with pytest.raises(InputError, match="closed"):
        start_session(store, anna, now=NOW)
    enable(store, anna, by=root)
    change_password(store, anna, "a third good one!", by=root)
    assert _signed(store, password="a third good one!").account == anna


def test_a_new_role_holds_at_once(store: Store, root: Account, anna: Account) -> None:
    found = _signed(store)
    set_role(store, anna, Role.VIEWER, by=root)
    held = session(store, found.session, now=NOW)
    assert held is not None
    assert held.account.role is Role.VIEWER
    with pytest.raises(InputError, match="administrator"):
        set_role(store, anna, Role.ADMINISTRATOR, by=anna)
    for change in (lambda: set_role(store, root, Role.REVIEWER, by=root), lambda: disable(store, root, by=root)):
        with pytest.raises(InputError, match="last administrator"):
            change()
    changes = [event for event in events(store) if event.kind == "account"][-1]
    assert (changes.account, changes.before, changes.after) == (
        "root",
        {"role": "reviewer"},
        {"name": "anna", "role": "viewer"},
    )


def test_unknown_names_look_and_last_like_wrong_passwords(file_store: Store, slow_hash: None) -> None:
    create_account(file_store, "anna", "Dr Anna", Role.REVIEWER, PASSWORD, by=None)
    spent: dict[str, list[float]] = {"anna": [], "nobody": []}
    for turn in range(4):
        for name, times in spent.items():
            start = time.perf_counter()
            found = sign_in(file_store, name, "wrong wrong wrong", client=str(turn), now=NOW)
            times.append(time.perf_counter() - start)
            assert found == Refused("The name or the password is wrong.")
    # Only the work is alike, not to the millisecond: the machine is shared.
    assert 1 / 3 < median(spent["anna"][1:]) / median(spent["nobody"][1:]) < 3


def test_what_was_typed_for_no_name_is_written_nowhere(store: Store, anna: Account) -> None:
    typed = "my-secret-password"
    assert isinstance(sign_in(store, typed, "x", client="c", now=NOW), Refused)
    event = events(store)[-1]
    assert (event.kind, event.account, event.after) == ("sign_in_failed", "", {})
    with store.reading() as connection:
        assert typed not in repr(connection.execute(select(schema.attempt)).all())


def test_first_administrator_by_a_code_that_holds_once(store: Store) -> None:
    stale, code = first_administrator(store), first_administrator(store)
    assert stale is not None
    assert code is not None
    for wrong in ("", "guess", stale, "\ud800"):
        with pytest.raises(InputError, match="code"):
            redeem(store, wrong, "root", "Root", PASSWORD)
    with store.reading() as connection:
        assert connection.scalar(select(schema.setup.c.code)) == hashlib.sha256(code.encode()).hexdigest()
    made = redeem(store, f" {code}\n", "root", "Root", PASSWORD)
    assert made.role is Role.ADMINISTRATOR
    with pytest.raises(InputError, match="code"):
        redeem(store, code, "second", "Second", PASSWORD)
    assert first_administrator(store) is None
    assert accounts(store) == [made]


@pytest.mark.parametrize(
    ("name", "password", "match"),
    [
        ("bert", "too short", "at least 12"),
        ("bert", "x" * 300, "at most"),
        ("bert", "aaaaaaaaaaaaaa", "different"),
        ("bert", "ilovebert12345", "account's name"),
        ("bert", "i am DR LONG NAME!", "account's name"),
        ("anna", PASSWORD, "of that name"),
        ("usdlr", PASSWORD, "cannot be used"),
        ("oidc:bert", PASSWORD, "cannot be used"),
        ("b", PASSWORD, "cannot be used"),
        ("be rt", PASSWORD, "cannot be used"),
        ("bert\x00", PASSWORD, "cannot be used"),
    ],
)
def test_bad_names_and_passwords_are_refused(file_store: Store, name: str, password: str, match: str) -> None:
    people(file_store, "anna")
    with pytest.raises(InputError, match=match) as caught:
        create_account(file_store, name, "Dr Long Name", Role.VIEWER, password, by=None)
    assert password not in str(caught.value)


def test_hospital_sign_in_never_takes_over_an_account(store: Store, anna: Account) -> None:
    found = external_account(store, "anna", "Anna of the hospital", Role.VIEWER, provider="oidc")
    assert found.id != anna.id
    assert found.name == "oidc:anna"
    assert external_account(store, "anna", "Anna of the hospital", Role.ADMINISTRATOR, provider="oidc") == found
    renamed = external_account(store, "anna", "Anna Newname", Role.VIEWER, provider="oidc")
    assert (renamed.id, renamed.display) == (found.id, "Anna Newname")
    assert external_account(store, "anna", "Anna", Role.VIEWER, provider="proxy").id not in (found.id, anna.id)
    held = start_session(store, found, now=NOW)
    assert session(store, held.session, now=NOW) is not None
    assert isinstance(sign_in(store, "oidc:anna", "", client="c", now=NOW), Refused)
    with pytest.raises(InputError, match="change it there"):
        change_password(store, found, "another good one!", old="", by=found)
    for subject, provider in (("", "oidc"), ("a\x00", "oidc"), ("x" * 300, "oidc"), ("x", "a:b")):
        with pytest.raises(InputError):
            external_account(store, subject, "Somebody", Role.VIEWER, provider=provider)


def test_the_old_password_cannot_be_guessed_at_an_open_page(store: Store) -> None:
    anna = create_account(store, "anna", "Anna", Role.VIEWER, PASSWORD, by=None)
    for _ in range(5):
        with pytest.raises(InputError, match="another old password"):
            change_password(store, anna, "a brand new secret", old="a wrong one here", by=anna)
    with pytest.raises(InputError, match="too many wrong passwords"):
        change_password(store, anna, "a brand new secret", old=PASSWORD, by=anna)
    assert sum(event.kind == "sign_in_failed" for event in events(store, limit=1000)) == 5
    # Its owner still signs in elsewhere.
    assert isinstance(sign_in(store, "anna", PASSWORD, client="home"), SignedIn)
