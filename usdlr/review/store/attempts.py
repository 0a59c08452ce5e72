"""Guessing a password is slowed down: per name, and per client that tries many names.

An attempt is counted before the password is looked at, so that many at once count as many. The wait doubles with every
lock-out and is forgotten after a quiet day. Names and clients are kept as hashes: people type passwords into the
wrong field.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from usdlr.review.store.plain import text_hash
from usdlr.review.store.schema import attempt as table

WINDOW_S = 15 * 60.0
FIRST_WAIT_S, LONGEST_WAIT_S = 60.0, 60 * 60.0
QUIET_S = 24 * 3600.0
PER_NAME, PER_CLIENT = 5, 20


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
    # A clock that was set back must not lock anybody out for longer than the longest wait.
    return max((int(-(-min(end - now, LONGEST_WAIT_S) // 1)) for end in until if end > now), default=0)


def count_attempt(connection: Connection, name: str, client: str, now: float) -> None:
    """Count an attempt as failed; :func:`forget` takes back the name's where it succeeds."""
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
    """The password was right: the name starts anew, and the client gets this one attempt back."""
    (name_id, _), (client_id, _) = _identities(name, client)
    connection.execute(delete(table).where(table.c.id == name_id))
    connection.execute(
        update(table).where(table.c.id == client_id, table.c.failures > 0).values(failures=table.c.failures - 1)
    )


def _identities(name: str, client: str) -> list[tuple[str, int]]:
    return [(text_hash(f"name\x1f{name}"), PER_NAME), (text_hash(f"client\x1f{client}"), PER_CLIENT)]
