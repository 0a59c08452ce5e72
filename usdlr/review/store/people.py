"""Who has an account and what it may do: made, changed and closed by administrators, all of it in the audit log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from usdlr.core.errors import InputError
from usdlr.review.acts import Account, Role
from usdlr.review.store import schema
from usdlr.review.store.attempts import lift, locked_for
from usdlr.review.store.audit import SYSTEM, append
from usdlr.review.store.engine import Store
from usdlr.review.store.passwords import fingerprint, good_password, hash_password
from usdlr.review.store.sessions import end_all

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{1,63}")
_RESERVED = frozenset({SYSTEM})


def create_account(store: Store, name: str, display: str, role: Role, password: str, *, by: Account | None) -> Account:
    """Make an account that signs in with a password.

    Parameters
    ----------
    store : Store
        Where.
    name : str
        What is typed to sign in; small letters, digits, ``. _ - @``.
    display : str
        What pages show.
    role : Role
        What it may do.
    password : str
        At least 12 characters, without the name.
    by : Account or None
        The administrator; ``None`` for the command line, whose user has the database in hand anyway.

    Raises
    ------
    InputError
        If the name is taken or not one, the password is too easy, or ``by`` is no administrator.
    """
    name = proper(name)
    good_password(password, name, display)
    hashed = hash_password(password)
    with store.writing() as connection:
        who = administrator(connection, by)
        return make(connection, store, who, name=name, display=display, role=role, password=hashed)


def set_role(store: Store, account: Account, role: Role, *, by: Account | None) -> Account:
    """Let an account do more or less; it holds from its next request on.

    Raises
    ------
    InputError
        If ``by`` is no administrator, or it is the last one that would stop being one.
    """
    with store.writing() as connection:
        who = administrator(connection, by)
        row = held_row(connection, account)
        connection.execute(update(schema.account).where(schema.account.c.id == row.id).values(role=str(role)))
        _somebody(connection)
        record_change(connection, store, who, row.name, {"role": row.role}, {"role": str(role)})
        return Account(row.id, row.name, row.display, role)


def disable(store: Store, account: Account, *, by: Account | None) -> None:
    """Close an account and end its sessions; what it recorded stays.

    Raises
    ------
    InputError
        If ``by`` is no administrator, or it is the last one.
    """
    _close(store, account, True, by)


def enable(store: Store, account: Account, *, by: Account | None) -> None:
    """Open a closed account again.

    Raises
    ------
    InputError
        If ``by`` is no administrator.
    """
    _close(store, account, False, by)


def accounts(store: Store) -> list[Account]:
    """All accounts, closed ones too, by name."""
    with store.reading() as connection:
        rows = connection.execute(select(schema.account).order_by(schema.account.c.name))
        return [account_of(row) for row in rows]


def is_disabled(store: Store, account: Account) -> bool:
    """Whether an account is closed.

    Raises
    ------
    InputError
        If there is no such account.
    """
    with store.reading() as connection:
        return bool(held_row(connection, account).disabled)


def locked(store: Store) -> dict[int, int]:
    """Seconds until the names that were guessed at too often may be tried again everywhere, by account number."""
    now = store.clock().timestamp()
    with store.reading() as connection:
        rows = connection.execute(select(schema.account.c.id, schema.account.c.name)).all()
        found = {int(row.id): locked_for(connection, row.name, now) for row in rows}
    return {number: wait for number, wait in found.items() if wait}


def unlock(store: Store, account: Account, *, by: Account | None) -> None:
    """Let a name be tried again at once, wherever it is locked; an address that tried many names stays locked.

    Raises
    ------
    InputError
        If ``by`` is no administrator.
    """
    with store.writing() as connection:
        who = administrator(connection, by)
        row = held_row(connection, account)
        lift(connection, row.name)
        record_change(connection, store, who, row.name, {}, {"lockout": "lifted"})


def external_account(store: Store, subject: str, display: str, role: Role, *, provider: str) -> Account:
    """The account of somebody whom a hospital's own sign-in has checked; made at the first time.

    Parameters
    ----------
    store : Store
        Where.
    subject : str
        The provider's own unchanging name for the person.
    display : str
        What pages show; the newest counts.
    role : Role
        Of a new account; later the role that administrators set here counts.
    provider : str
        Who checked, such as ``oidc`` or ``proxy``; part of the account's name, so that nobody there takes over an
        account here by having its name.

    Raises
    ------
    InputError
        If the subject or the provider is empty or far too long.
    """
    if not re.fullmatch(r"[a-z0-9_-]{1,32}", provider) or not subject.strip() or len(subject) > 255:
        raise InputError("found no usable name of the hospital's sign-in, expected at most 255 characters; check it")
    name = f"{provider}:{subject}"
    if not name.isprintable():
        raise InputError("found a name of the hospital's sign-in that cannot be printed, expected plain text; check it")
    place = schema.account
    query = select(place).where(place.c.provider == provider, place.c.subject == subject)
    with store.reading() as connection:
        row = connection.execute(query).one_or_none()
    shown = _display(display or subject)
    if row is not None and row.display == shown:
        return account_of(row)
    with store.writing() as connection:
        row = connection.execute(query).one_or_none()
        if row is None:
            return make(
                connection, store, SYSTEM, name=name, display=shown, role=role, provider=provider, subject=subject
            )
        connection.execute(update(place).where(place.c.id == row.id).values(display=shown))
        record_change(connection, store, SYSTEM, row.name, {"display": row.display}, {"display": shown})
        return Account(row.id, row.name, shown, Role(row.role))


def _close(store: Store, account: Account, disabled: bool, by: Account | None) -> None:
    with store.writing() as connection:
        who = administrator(connection, by)
        row = held_row(connection, account)
        connection.execute(update(schema.account).where(schema.account.c.id == row.id).values(disabled=disabled))
        _somebody(connection)
        if disabled:
            end_all(connection, row.id)
        record_change(connection, store, who, row.name, {"disabled": bool(row.disabled)}, {"disabled": disabled})


def make(
    connection: Connection,
    store: Store,
    who: str,
    *,
    name: str,
    display: str,
    role: Role,
    password: str | None = None,
    provider: str = "",
    subject: str = "",
) -> Account:
    """A new row and its event, in the caller's transaction."""
    place = schema.account
    if named_row(connection, name) is not None:
        raise InputError("found an account of that name, expected a new name; choose another")
    shown, number = _display(display), connection.scalar(select(func.coalesce(func.max(place.c.id), 0) + 1))
    values = {"name": name, "display": shown, "role": str(role), "provider": provider}
    connection.execute(
        insert(place).values(id=number, password=password, disabled=False, subject=subject or name, **values)
    )
    told = {"made": True} | values | {"secret": fingerprint(password) if password else None}
    record_change(connection, store, who, name, {}, told)
    return Account(int(number or 0), name, shown, role)


def record_change(
    connection: Connection, store: Store, who: str, name: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """The event of a change to an account, in the caller's transaction."""
    told = dict(after) | {"name": name}
    append(connection, account=who, kind="account", before=before, after=told, at=store.at())


def proper(name: str) -> str:
    """A name as it is stored, or an :class:`~usdlr.core.errors.InputError` where it cannot be one."""
    found = name.strip().casefold()
    if not _NAME.fullmatch(found) or found in _RESERVED:
        raise InputError(
            "found a name that cannot be used, expected 2 to 64 small letters, digits or . _ - @; choose another"
        )
    return found


def _display(display: str) -> str:
    found = " ".join("".join(letter if letter.isprintable() else " " for letter in display).split())[:200]
    if not found:
        raise InputError("found no name to show, expected one; write how pages should call the person")
    return found


def administrator(connection: Connection, by: Account | None) -> str:
    """The name to record for who asks, who must be an administrator; ``None`` is the command line."""
    if by is None:
        return SYSTEM
    row = held_row(connection, by)
    if row.disabled or not Role(row.role).may(Role.ADMINISTRATOR):
        raise InputError("found an account without that right, expected an administrator's; ask one")
    return str(row.name)


def administrators(connection: Connection) -> int:
    """How many open administrators there are."""
    place = schema.account
    query = select(func.count()).where(place.c.role == str(Role.ADMINISTRATOR), ~place.c.disabled)
    return int(connection.scalar(query) or 0)


def _somebody(connection: Connection) -> None:
    if not administrators(connection):
        raise InputError("found the last administrator, expected another one to remain; make one first")


def held_row(connection: Connection, account: Account) -> Row[Any]:
    """An account's row as it is now; raises an :class:`~usdlr.core.errors.InputError` where there is none."""
    row = connection.execute(select(schema.account).where(schema.account.c.id == account.id)).one_or_none()
    if row is None:
        raise InputError("found no such account, expected one of the list; open the list again")
    return row


def named_row(connection: Connection, name: str) -> Row[Any] | None:
    """The row of a name, if anybody has it."""
    # Those of a hospital's sign-in have no password, and a colon in their name that nobody's here has.
    return connection.execute(select(schema.account).where(schema.account.c.name == name)).one_or_none()


def account_of(row: Row[Any]) -> Account:
    """An account from its row."""
    return Account(row.id, row.name, row.display, Role(row.role))
