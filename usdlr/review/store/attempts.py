"""Guessing a password is slowed down: at one place per name, at one place over all names, and per name from everywhere.

Whoever guesses at a name locks it for the own address: its owner, elsewhere, is not kept out. Only as many failures as
no one person makes lock a name for everybody, since slow guesses from many addresses look like that. An attempt is
counted before the password is looked at, so that many at once count as many. The wait doubles with every lock-out and
is forgotten after a quiet day. Who is signed in already stays so. Names and addresses are kept as hashes: people type
passwords into the wrong field.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from usdlr.review.store.plain import text_hash
from usdlr.review.store.schema import attempt as table

WINDOW_S = 15 * 60.0
FIRST_WAIT_S, LONGEST_WAIT_S = 60.0, 60 * 60.0
QUIET_S = 24 * 3600.0
PER_PAIR, PER_CLIENT, PER_NAME = 5, 20, 100
"""Failures within :data:`WINDOW_S`: of a name at one address, of an address over all names, of a name everywhere."""
_HALF = 32
"""A name's half of a row's identity: all rows of a name begin alike, so that they can be found without addresses."""


def blocked_for(connection: Connection, name: str, client: str, now: float) -> int:
    """Seconds to wait before the next attempt, 0 for none.

    Parameters
    ----------
    connection : Connection
        Any.
    name, client : str
        As typed, and where from.
    now : float
        Seconds since 1970.
    """
    ids = [identity for identity, _ in _identities(name, client)]
    until = connection.scalars(select(table.c.blocked_until).where(table.c.id.in_(ids))).all()
    return max((_wait(end, now) for end in until), default=0)


def locked_for(connection: Connection, name: str, now: float) -> int:
    """Seconds until a name may be tried again wherever it is locked, 0 where it is locked nowhere.

    Parameters
    ----------
    connection : Connection
        Any.
    name : str
        Of an account.
    now : float
        Seconds since 1970.
    """
    until = connection.scalar(select(func.max(table.c.blocked_until)).where(_of(name)))
    return 0 if until is None else _wait(until, now)


def count_attempt(connection: Connection, name: str, client: str, now: float) -> None:
    """Count an attempt as failed; :func:`forget` takes it back where it succeeds."""
    for identity, limit in _identities(name, client):
        row = connection.execute(select(table).where(table.c.id == identity)).one_or_none()
        failures, since, blocks, until = 0, now, 0, 0.0
        if row is not None:
            recent = abs(now - row.since) <= WINDOW_S
            failures, since = (row.failures, row.since) if recent else (0, now)
            blocks, until = (row.blocks, row.blocked_until) if abs(now - row.blocked_until) <= QUIET_S else (0, 0.0)
        failures += 1
        if failures >= limit:
            until = now + min(FIRST_WAIT_S * 2.0**blocks, LONGEST_WAIT_S)
            failures, since, blocks = 0, now, min(blocks + 1, 16)
        values = {"failures": failures, "since": since, "blocks": blocks, "blocked_until": until}
        if row is None:
            connection.execute(insert(table).values(id=identity, **values))
        else:
            connection.execute(update(table).where(table.c.id == identity).values(**values))
    connection.execute(delete(table).where(table.c.since < now - QUIET_S, table.c.blocked_until < now - QUIET_S))


def forget(connection: Connection, name: str, client: str) -> None:
    """The password was right: the name starts anew at this place; place and name get this one attempt back each.

    No more than one: who guesses from many addresses must not be forgotten whenever the owner signs in.
    """
    (pair, _), (place, _), (everywhere, _) = _identities(name, client)
    connection.execute(delete(table).where(table.c.id == pair))
    connection.execute(
        update(table)
        .where(table.c.id.in_((place, everywhere)), table.c.failures > 0)
        .values(failures=table.c.failures - 1)
    )


def lift(connection: Connection, name: str) -> None:
    """Forget all failures of a name, wherever from; those of an address over all names stay."""
    connection.execute(delete(table).where(_of(name)))


def place_of(client: str) -> str:
    """What counts as one address: itself, and of the sixth version its network, as one person has all of it.

    Examples
    --------
    >>> place_of("10.0.0.1"), place_of("2001:db8:1:2:3::4"), place_of("::ffff:10.0.0.1"), place_of("somewhere")
    ('10.0.0.1', '2001:db8:1:2::/64', '10.0.0.1', 'somewhere')
    """
    try:
        found = ip_address(client)
    except ValueError:
        return client.encode("utf-8", "replace").decode()
    if isinstance(found, IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped is not None else str(ip_network((int(found), 64), strict=False))
    return str(found)


def _wait(end: float, now: float) -> int:
    # A clock that was set back must not lock anybody out for longer than the longest wait.
    return int(-(-min(end - now, LONGEST_WAIT_S) // 1)) if end > now else 0


def _half(name: str) -> str:
    return text_hash(f"name\x1f{name}")[:_HALF]


def _of(name: str) -> ColumnElement[bool]:
    return table.c.id.startswith(_half(name), autoescape=True)


def _identities(name: str, client: str) -> list[tuple[str, int]]:
    place = place_of(client)
    half = _half(name)
    pair = text_hash(f"pair\x1f{place}\x1f{name}")[:_HALF]
    return [
        (half + pair, PER_PAIR),
        (text_hash(f"client\x1f{place}"), PER_CLIENT),
        (half + "0" * _HALF, PER_NAME),
    ]
