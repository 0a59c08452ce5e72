"""Who is signed in: random tokens that only the browser has, the store their hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from usdlr.core.errors import InputError
from usdlr.review.acts import Account, Role
from usdlr.review.store import schema
from usdlr.review.store.audit import append
from usdlr.review.store.engine import Store
from usdlr.review.store.plain import text_hash

IDLE_MINUTES, ABSOLUTE_HOURS = 30.0, 12.0
_TOUCH_S = 30.0
"""How stale the time of the last request may be: not every request must write."""
_CLOCK_S = 300.0
"""A session from further in the future than this is none."""


@dataclass(frozen=True)
class SignedIn:
    """A new session.

    Parameters
    ----------
    account : Account
        Whose.
    session : str
        Token for the browser's cookie; the store keeps its hash alone.
    csrf : str
        What every form of this session must send along.
    """

    account: Account
    session: str = field(repr=False)
    csrf: str = field(repr=False)


@dataclass(frozen=True)
class Session:
    """A session that holds.

    Parameters
    ----------
    account : Account
        Whose, as it is now.
    csrf : str
        What every form of this session must send along.
    """

    account: Account
    csrf: str = field(repr=False)


def begin(connection: Connection, account: Account, now: datetime) -> SignedIn:
    """A new session with a new token, in the caller's transaction; those that are over are cleared away."""
    token = secrets.token_urlsafe(32)
    place, at = schema.session, now.timestamp()
    connection.execute(delete(place).where(place.c.created < at - 7 * 24 * 3600))
    connection.execute(insert(place).values(id=text_hash(token), account=account.id, created=at, seen=at))
    return SignedIn(account, token, csrf_of(token))


def csrf_of(token: str) -> str:
    """What forms of a session send along; tells nothing of its token."""
    return hmac.new(token.encode("utf-8", "surrogatepass"), b"usdlr forms", hashlib.sha256).hexdigest()


def session(
    store: Store,
    token: str,
    *,
    now: datetime | None = None,
    idle_minutes: float = IDLE_MINUTES,
    absolute_hours: float = ABSOLUTE_HOURS,
    touch: bool = True,
) -> Session | None:
    """The session of a token; ``None`` if there is none, it is over, or its account is closed.

    Parameters
    ----------
    store : Store
        Where.
    token : str
        From the cookie.
    now : datetime, optional
        With its zone; the store's clock without it.
    idle_minutes, absolute_hours : float
        Longest time without a request, and of a session as a whole.
    touch : bool
        Whether this counts as a request of the person; what a page asks for by itself must not keep a session awake.
    """
    if not token or not token.isascii() or len(token) > 128:
        return None
    key, at = text_hash(token), (now or store.clock()).timestamp()
    place, who = schema.session, schema.account
    query = (
        select(place.c.created, place.c.seen, who.c.id, who.c.name, who.c.display, who.c.role, who.c.disabled)
        .join(who, who.c.id == place.c.account)
        .where(place.c.id == key)
    )
    with store.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None or row.disabled:
        return None
    over = at - row.seen > idle_minutes * 60 or at - row.created > absolute_hours * 3600
    if over or at < row.created - _CLOCK_S:
        with store.writing(head=False) as connection:
            connection.execute(delete(place).where(place.c.id == key))
        return None
    if touch and at - row.seen > min(_TOUCH_S, idle_minutes * 20):
        with store.writing(head=False) as connection:
            connection.execute(update(place).where(place.c.id == key, place.c.seen < at).values(seen=at))
    return Session(Account(row.id, row.name, row.display, Role(row.role)), csrf_of(token))


def start_session(store: Store, account: Account, *, now: datetime | None = None) -> SignedIn:
    """A session for somebody whom a hospital's own sign-in has checked.

    Raises
    ------
    InputError
        If the account is closed.
    """
    with store.writing() as connection:
        place = schema.account
        row = connection.execute(select(place).where(place.c.id == account.id)).one_or_none()
        if row is None or row.disabled:
            raise InputError("found an account that is closed, expected an open one; ask an administrator")
        held = Account(row.id, row.name, row.display, Role(row.role))
        append(connection, account=held.name, kind="sign_in", after={"provider": row.provider}, at=store.at())
        return begin(connection, held, now or store.clock())


def sign_out(store: Store, token: str) -> None:
    """End a session; one that is over already is none."""
    place, who = schema.session, schema.account
    key = text_hash(token) if token.isascii() else ""
    with store.writing() as connection:
        query = select(who.c.name).join(place, place.c.account == who.c.id).where(place.c.id == key)
        name = connection.scalar(query)
        if name is not None:
            connection.execute(delete(place).where(place.c.id == key))
            append(connection, account=name, kind="sign_out", at=store.at())


def count_sessions(
    store: Store,
    account: Account,
    *,
    now: datetime | None = None,
    idle_minutes: float = IDLE_MINUTES,
    absolute_hours: float = ABSOLUTE_HOURS,
) -> int:
    """How many sessions of an account are open; those that are over are none, though their rows may still be there.

    Parameters
    ----------
    store : Store
        Where.
    account : Account
        Whose.
    now : datetime, optional
        With its zone; the store's clock without it.
    idle_minutes, absolute_hours : float
        As for :func:`session`.
    """
    at = (now or store.clock()).timestamp()
    with store.reading() as connection:
        return _count(connection, and_(_owned(account), _open(at, idle_minutes, absolute_hours)))


def end_other_sessions(
    store: Store,
    account: Account,
    keep_token: str,
    *,
    now: datetime | None = None,
    idle_minutes: float = IDLE_MINUTES,
    absolute_hours: float = ABSOLUTE_HOURS,
) -> int:
    """End all sessions of an account but one; the log says so where any was open.

    Parameters
    ----------
    store : Store
        Where.
    account : Account
        Whose; nobody else's session ends, whatever the token.
    keep_token : str
        Of the session that goes on. One that is not this account's keeps none.
    now : datetime, optional
        With its zone; the store's clock without it.
    idle_minutes, absolute_hours : float
        As for :func:`session`.

    Returns
    -------
    int
        How many open ones have ended.
    """
    place, at = schema.session, (now or store.clock()).timestamp()
    others = and_(_owned(account), place.c.id != (text_hash(keep_token) if keep_token.isascii() else ""))
    with store.writing() as connection:
        ended = _count(connection, and_(others, _open(at, idle_minutes, absolute_hours)))
        connection.execute(delete(place).where(others))
        if ended:
            append(connection, account=account.name, kind="sessions_ended", after={"ended": ended}, at=store.at())
    return ended


def _owned(account: Account) -> ColumnElement[bool]:
    return schema.session.c.account == account.id


def _open(at: float, idle_minutes: float, absolute_hours: float) -> ColumnElement[bool]:
    """What :func:`session` asks of a row, for many at once."""
    place = schema.session
    return and_(
        place.c.seen >= at - idle_minutes * 60,
        place.c.created >= at - absolute_hours * 3600,
        place.c.created <= at + _CLOCK_S,
    )


def _count(connection: Connection, which: ColumnElement[bool]) -> int:
    return int(connection.scalar(select(func.count()).select_from(schema.session).where(which)) or 0)


def end_all(connection: Connection, account: int) -> None:
    """End all sessions of an account, in the caller's transaction."""
    connection.execute(delete(schema.session).where(schema.session.c.account == account))
