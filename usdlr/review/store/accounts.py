"""Signing in: the first administrator, names and passwords, and what else pages ask about accounts and sessions."""

from __future__ import annotations

import hmac
import math
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from usdlr.core.errors import InputError
from usdlr.review.acts import Account, Role
from usdlr.review.store import schema
from usdlr.review.store.attempts import blocked_for, count_attempt, forget
from usdlr.review.store.audit import SYSTEM, append
from usdlr.review.store.engine import Store
from usdlr.review.store.passwords import fingerprint, good_password, hash_password, outdated, right_password
from usdlr.review.store.people import (
    account_of,
    accounts,
    administrator,
    administrators,
    create_account,
    disable,
    enable,
    external_account,
    held_row,
    is_disabled,
    locked,
    make,
    named_row,
    proper,
    record_change,
    set_role,
    unlock,
)
from usdlr.review.store.plain import text_hash
from usdlr.review.store.sessions import (
    Session,
    SignedIn,
    begin,
    count_sessions,
    end_all,
    end_other_sessions,
    session,
    sign_out,
    start_session,
)

__all__ = [
    "Refused",
    "Session",
    "SignedIn",
    "accounts",
    "change_password",
    "count_sessions",
    "create_account",
    "disable",
    "enable",
    "end_other_sessions",
    "external_account",
    "first_administrator",
    "is_disabled",
    "locked",
    "redeem",
    "session",
    "set_role",
    "sign_in",
    "sign_out",
    "start_session",
    "unlock",
]

_WRONG = "The name or the password is wrong."
_WAIT = "Too many attempts. Wait, then try again."


@dataclass(frozen=True)
class Refused:
    """Nobody was signed in.

    Parameters
    ----------
    why : str
        In a sentence; the same for an unknown name and a wrong password.
    wait_s : int
        Seconds until the next attempt is looked at; 0 for at once.
    """

    why: str
    wait_s: int = 0


def first_administrator(store: Store) -> str | None:
    """A one-time code that makes the first administrator; ``None`` where there is one already.

    Every call makes a new code and forgets the one before. The store keeps the hash alone.
    """
    code = secrets.token_urlsafe(24)
    with store.writing() as connection:
        connection.execute(delete(schema.setup))
        if administrators(connection):
            return None
        connection.execute(insert(schema.setup).values(id=1, code=text_hash(code)))
    return code


def redeem(store: Store, code: str, name: str, display: str, password: str) -> Account:
    """Make the first administrator with the code of :func:`first_administrator`, which then is used up.

    Raises
    ------
    InputError
        If the code is not the one, there is an administrator already, or :func:`create_account` would refuse.
    """
    name = proper(name)
    good_password(password, name, display)
    hashed = hash_password(password)
    with store.writing() as connection:
        stored = connection.scalar(select(schema.setup.c.code))
        given = text_hash(code.strip().encode("utf-8", "replace").decode())
        if stored is None or not hmac.compare_digest(stored, given) or administrators(connection):
            raise InputError("found a code that does not hold, expected the newest one; start usdlr review again")
        connection.execute(delete(schema.setup))
        return make(connection, store, SYSTEM, name=name, display=display, role=Role.ADMINISTRATOR, password=hashed)


def sign_in(store: Store, name: str, password: str, *, client: str, now: datetime | None = None) -> SignedIn | Refused:
    """Check a name and a password and begin a session.

    Parameters
    ----------
    store : Store
        Where.
    name, password : str
        As typed.
    client : str
        Where from, such as an address; kept as a hash.
    now : datetime, optional
        With its zone; the store's clock without it.

    Returns
    -------
    SignedIn or Refused
        A refusal does not tell whether there is such a name, in its words or its time.
    """
    moment = now or store.clock()
    # What no database can hold becomes what no name has.
    typed = name.strip().casefold()[:320].encode("utf-8", "replace").decode().replace("\x00", "?")
    at = moment.timestamp()
    # In turn with all writers: attempts at once must count each other.
    with store.writing() as connection:
        wait = blocked_for(connection, typed, client, at)
        if not wait:
            count_attempt(connection, typed, client, at)
    if wait:
        return Refused(_WAIT, wait)
    with store.reading() as connection:
        row = named_row(connection, typed)
    stored = None if row is None or row.disabled else row.password
    right = right_password(stored, password)
    again = hash_password(password) if right and stored is not None and outdated(stored) else None
    with store.writing() as connection:
        row = named_row(connection, typed)
        # Read again: it may have been closed, or its password changed, while this one was checked.
        if right and row is not None and not row.disabled and row.password == stored:
            forget(connection, typed, client)
            if again is not None:
                connection.execute(update(schema.account).where(schema.account.c.id == row.id).values(password=again))
                told = {"password": "hashed anew", "secret": fingerprint(again)}
                record_change(connection, store, SYSTEM, row.name, {}, told)
            append(connection, account=row.name, kind="sign_in", after={"provider": ""}, at=store.at())
            return begin(connection, account_of(row), moment)
        # What was typed is not written down where nobody has that name: it may be a password.
        append(connection, account="" if row is None else row.name, kind="sign_in_failed", at=store.at())
        return Refused(_WRONG, blocked_for(connection, typed, client, at))


def _own_password(store: Store, held: Row[Any], typed: str) -> bool:
    """Whether an account's own password was typed; guesses are counted, and told in the log, as at the sign-in."""
    # Apart from those at the sign-in: whoever found an open page must not lock its owner out there.
    now, guesses = store.clock().timestamp(), f"own password {held.name}"
    with store.writing() as connection:
        wait = blocked_for(connection, guesses, guesses, now)
        if wait:
            raise InputError(f"found too many wrong passwords, expected none for {math.ceil(wait / 60)} min; wait")
        count_attempt(connection, guesses, guesses, now)
    right = right_password(held.password, typed)
    with store.writing() as connection:
        if right:
            forget(connection, guesses, guesses)
        else:
            append(connection, account=held.name, kind="sign_in_failed", at=store.at())
    return right


def change_password(store: Store, account: Account, password: str, *, old: str | None = None, by: Account) -> None:
    """Give an account another password and end all its sessions.

    Parameters
    ----------
    store : Store
        Where.
    account : Account
        Whose.
    password : str
        The new one.
    old : str, optional
        The one before; needed where one changes one's own.
    by : Account
        Oneself, or an administrator.

    Raises
    ------
    InputError
        If the old one is wrong, the new one is too easy or the same, or ``by`` may not.
    """
    good_password(password, account.name, account.display)
    with store.reading() as connection:
        held = held_row(connection, account)
    if held.provider:
        raise InputError(
            "found an account of the hospital's sign-in, expected one with a password here; change it there"
        )
    if by.id == account.id:
        if old is None or not _own_password(store, held, old):
            raise InputError("found another old password, expected the one that you sign in with; type it again")
        if old == password:
            raise InputError("found the same password again, expected a new one; choose another")
    hashed = hash_password(password)
    with store.writing() as connection:
        row = held_row(connection, account)
        if row.password != held.password:
            raise InputError("found that the password was changed meanwhile, expected it as it was; sign in again")
        who = row.name if by.id == account.id else administrator(connection, by)
        connection.execute(update(schema.account).where(schema.account.c.id == row.id).values(password=hashed))
        end_all(connection, row.id)
        told = {"password": "changed", "secret": fingerprint(hashed)}
        record_change(connection, store, who, row.name, {}, told)
