"""The audit log: numbered without a gap, each entry holds the hash of the one before.

An entry's hash is the SHA-256 of the canonical JSON of all its other fields, so whoever has an export can recompute
it. Triggers in the database refuse changes; :func:`verify` finds those of somebody who got around them. A cut at the
end shows against the head row, and a cut of both against an *anchor*, the number and hash that every export prints.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from usdlr.core.errors import InputError
from usdlr.review.acts import Event
from usdlr.review.store.engine import Store, utc_now
from usdlr.review.store.plain import canonical, text_hash
from usdlr.review.store.schema import event as table
from usdlr.review.store.schema import head

GENESIS = "0" * 64
SYSTEM = "usdlr"
"""The account name of what nobody did."""


@dataclass(frozen=True)
class Anchor:
    """The end of the log at some time, kept outside the database.

    Parameters
    ----------
    number : int
        Of the last event; 0 for an empty log.
    hash : str
        Its SHA-256.
    """

    number: int
    hash: str


@dataclass(frozen=True)
class ChainReport:
    """Whether the log is as it was written.

    Parameters
    ----------
    whole : bool
        Nothing was changed, removed, moved, added or cut off.
    entries : int
        Rows found.
    broken_at : int or None
        Number of the first entry that is not as it should be.
    why : str
        In a sentence; empty where it is whole.
    head : str
        Hash of the last entry; with ``entries`` it makes the :class:`Anchor` of today.
    """

    whole: bool
    entries: int
    broken_at: int | None
    why: str
    head: str


@dataclass(frozen=True)
class Entry:
    """What is to be recorded; see :class:`~usdlr.review.acts.Event` for the fields.

    Parameters
    ----------
    kind, account, token, digest : str
        What, who, of which axilla, with which bundle on the screen.
    before, after : mapping
        Plain data.
    """

    kind: str
    account: str = SYSTEM
    token: str = ""
    digest: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


def append(
    connection: Connection,
    *,
    account: str,
    kind: str,
    token: str = "",
    digest: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    at: str | None = None,
) -> Event:
    """Record one event in the caller's transaction.

    Parameters
    ----------
    connection : Connection
        Of :meth:`~usdlr.review.store.engine.Store.writing`.
    account, kind, token, digest : str
        Who, what, of which axilla, with which bundle on the screen.
    before, after : mapping, optional
        Plain data.
    at : str, optional
        UTC, ISO 8601; now without it.

    Returns
    -------
    Event
        With its number and hash; it counts once the transaction is committed.
    """
    entry = Entry(kind, account, token, digest, before, after)
    return append_all(connection, (entry,), at=at or utc_now().isoformat(timespec="microseconds"))[0]


def append_all(connection: Connection, entries: Iterable[Entry], *, at: str) -> list[Event]:
    """Record several events at once, in their order.

    Parameters
    ----------
    connection : Connection
        Of :meth:`~usdlr.review.store.engine.Store.writing`.
    entries : iterable of Entry
        What to record.
    at : str
        UTC, ISO 8601, of all of them.
    """
    # Waits for the end of the log even where the caller did not; SQLite has no rows to lock, and one writer anyway.
    end = connection.execute(select(head.c.number, head.c.hash).with_for_update()).one()
    number, previous = int(end.number), str(end.hash)
    found: list[Event] = []
    rows: list[dict[str, Any]] = []
    for entry in entries:
        number += 1
        plain: dict[str, Any] = {
            "number": number,
            "at": at,
            "account": entry.account,
            "kind": str(entry.kind),
            "token": entry.token,
            "digest": entry.digest,
            "before": dict(entry.before or {}),
            "after": dict(entry.after or {}),
            "previous": previous,
        }
        written = event_hash(plain)
        texts = {"before": canonical(plain["before"]), "after": canonical(plain["after"]), "hash": written}
        rows.append(plain | texts)
        # As it will be read again: tuples are lists, keys are text.
        found.append(event_of(plain | texts))
        previous = written
    if rows:
        connection.execute(insert(table), rows)
    return found


def event_hash(plain: Mapping[str, Any]) -> str:
    """SHA-256 of an event's canonical JSON, its own hash left out.

    Parameters
    ----------
    plain : mapping
        The fields of an event, ``before`` and ``after`` as plain data.

    Examples
    --------
    >>> event_hash({"number": 1, "hash": "x"}) == event_hash({"number": 1, "hash": "y"})
    True
    """
    return text_hash(canonical({name: value for name, value in plain.items() if name != "hash"}))


def events(store: Store, *, token: str | None = None, after: int = 0, limit: int = 200) -> list[Event]:
    """Entries of the log in their order.

    Parameters
    ----------
    store : Store
        Where.
    token : str, optional
        Of this axilla only.
    after : int
        Those with a larger number.
    limit : int
        At most so many.
    """
    query = select(table).where(table.c.number > after).order_by(table.c.number).limit(limit)
    if token is not None:
        query = query.where(table.c.token == token)
    with store.reading() as connection:
        return [event_of(row._mapping) for row in connection.execute(query)]


def events_of(connection: Connection, token: str) -> list[Event]:
    """All entries of an axilla, in their order."""
    query = select(table).where(table.c.token == token).order_by(table.c.number)
    return [event_of(row._mapping) for row in connection.execute(query)]


def event_of(row: Mapping[Any, Any]) -> Event:
    """An entry from its row.

    Raises
    ------
    ValueError
        If somebody wrote there what is no JSON object.
    """
    plain = {str(name): value for name, value in row.items()}
    try:
        before, after = json.loads(plain["before"]), json.loads(plain["after"])
    except (TypeError, RecursionError) as error:
        raise ValueError("no JSON, or nested too deeply") from error
    if not isinstance(before, dict) or not isinstance(after, dict):
        raise ValueError("not an object")
    return Event(**plain | {"before": before, "after": after})


def anchor(store: Store) -> Anchor:
    """The end of the log now, to be kept outside the database."""
    with store.reading() as connection:
        return anchor_of(connection)


def anchor_of(connection: Connection) -> Anchor:
    """The end of the log as a transaction sees it."""
    end = connection.execute(select(head.c.number, head.c.hash)).one_or_none()
    return Anchor(0, GENESIS) if end is None else Anchor(int(end.number), str(end.hash))


def verify(store: Store, *, anchor: Anchor | None = None) -> ChainReport:
    """Whether the log is as it was written.

    Parameters
    ----------
    store : Store
        Where.
    anchor : Anchor, optional
        From an earlier export: finds a log that was cut or written anew as a whole.
    """
    with store.reading() as connection:
        return verify_on(connection, anchor=anchor)


def verify_on(connection: Connection, *, anchor: Anchor | None = None) -> ChainReport:
    """As :func:`verify`, within a transaction."""
    entries, previous = 0, GENESIS
    held = anchor is None or anchor.number == 0

    def broken(why: str) -> ChainReport:
        return ChainReport(False, entries, entries, why, previous)

    rows = connection.execution_options(yield_per=500).execute(select(table).order_by(table.c.number))
    with rows:
        for row in rows:
            entries += 1
            why = _wrong(row, entries, previous)
            if why:
                return broken(why)
            previous = str(row.hash)
            if anchor is not None and entries == anchor.number:
                held = previous == anchor.hash
                if not held:
                    return broken(f"entry {entries} is another one than the one that was exported")
    ends = connection.execute(select(head.c.number, head.c.hash)).all()
    if len(ends) != 1:
        return ChainReport(False, entries, entries + 1, f"{len(ends)} rows tell where the log ends", previous)
    if (int(ends[0].number), str(ends[0].hash)) != (entries, previous):
        lost = int(ends[0].number)
        return ChainReport(False, entries, entries + 1, f"{entries} entries, but {lost} were written", previous)
    if not held and anchor is not None:
        why = f"{entries} entries, but {anchor.number} were exported"
        return ChainReport(False, entries, entries + 1, why, previous)
    return ChainReport(True, entries, None, "", previous)


def _wrong(row: Row[Any], expected: int, previous: str) -> str:
    if row.number != expected:
        return f"entry {expected} is missing"
    if row.previous != previous:
        return f"entry {expected} does not follow the one before it"
    try:
        found = event_of(row._mapping)
        texts = canonical(found.before), canonical(found.after)
        written = event_hash({name: getattr(found, name) for name in table.c.keys()})  # noqa: SIM118 - iterates columns
    except (ValueError, TypeError, RecursionError, InputError) as error:
        return f"entry {expected} cannot be read ({type(error).__name__})"
    if texts != (row.before, row.after) or written != row.hash:
        return f"entry {expected} was changed"
    return ""
