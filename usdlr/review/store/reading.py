"""What pages ask of the store about one axilla, its images, its state and its explanation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from usdlr.core.errors import InputError
from usdlr.review.acts import Act, AxillaState, Event
from usdlr.review.plain import from_plain
from usdlr.review.records import AxillaRecord, ImageRecord, ModelRecord
from usdlr.review.settled import as_settled
from usdlr.review.store import schema
from usdlr.review.store.audit import events_of
from usdlr.review.store.engine import Store
from usdlr.review.store.loading import LoadReport, load_axillae, load_model
from usdlr.review.store.plain import canonical, finite
from usdlr.review.store.told import LOADED, Told, told

__all__ = [
    "LoadReport",
    "load_model",
    "load_axillae",
    "models",
    "axilla",
    "image",
    "state",
    "explanation",
    "put_explanation",
    "picture",
    "without_explanation",
    "record_of",
    "told_of",
]

_CHANGES = (LOADED, str(Act.CONTOUR), str(Act.IMAGES))
"""Kinds of event after which an explanation is of another answer."""


def models(store: Store) -> list[ModelRecord]:
    """The models behind the list, the newest first."""
    query = select(schema.model.c.record).order_by(schema.model.c.position.desc())
    with store.reading() as connection:
        return [from_plain(ModelRecord, json.loads(text)) for text in connection.scalars(query)]


def axilla(store: Store, token: str) -> AxillaRecord | None:
    """An axilla as it was loaded last; ``None`` for an unknown token."""
    with store.reading() as connection:
        return record_of(connection, token)


def image(store: Store, token: str) -> tuple[ImageRecord, str] | None:
    """An image and the token of its axilla; ``None`` for one that is unknown or no longer in the list."""
    with store.reading() as connection:
        place = schema.image
        owner = connection.scalar(select(place.c.axilla).where(place.c.token == token))
        record = None if owner is None else record_of(connection, owner)
    if record is None:
        return None
    found = [one for one in record.images if one.token == token]
    return (found[0], record.token) if found else None


def state(store: Store, token: str) -> AxillaState:
    """Where an axilla stands, told by its events.

    Raises
    ------
    InputError
        If there is none of that token.
    """
    with store.reading() as connection:
        record = record_of(connection, token)
        if record is None:
            raise InputError("found no axilla of that address, expected one of the list; open it from the worklist")
        return standing(connection, record)


def record_of(connection: Connection, token: str) -> AxillaRecord | None:
    """An axilla as it was loaded last, as a transaction sees it."""
    place, said = schema.axilla, schema.prediction
    query = (
        select(said.c.record)
        .join(place, (place.c.token == said.c.token) & (place.c.loaded == said.c.loaded))
        .where(place.c.token == token)
    )
    text = connection.scalar(query)
    return None if text is None else from_plain(AxillaRecord, json.loads(text))


def told_of(connection: Connection, record: AxillaRecord) -> Told:
    """What an axilla's events tell, as a transaction sees them."""
    return told(record.answer, events_of(connection, record.token), displays_of(connection))


def standing(connection: Connection, record: AxillaRecord) -> AxillaState:
    """Where an axilla stands, as a transaction sees it and as pages, papers and archives are told."""
    return as_settled(told_of(connection, record).state(), record)


def displays_of(connection: Connection) -> dict[str, str]:
    """What pages show, by account name."""
    return {
        row.name: row.display for row in connection.execute(select(schema.account.c.name, schema.account.c.display))
    }


def put_explanation(
    store: Store, token: str, plain: Mapping[str, Any], pictures: Mapping[str, bytes], *, seen: int | None = None
) -> bool:
    """Keep the explanation of the answer that counts now, in place of an earlier one.

    Parameters
    ----------
    store : Store
        Where.
    token : str
        The axilla.
    plain : mapping
        What JSON can hold; numbers that are none become null.
    pictures : mapping of str to bytes
        PNG files by name.
    seen : int, optional
        Version of the axilla that was explained: if its answer has changed since, nothing is kept.

    Returns
    -------
    bool
        Whether it was kept.

    Raises
    ------
    InputError
        If there is no axilla of that token.
    """
    text = canonical(finite(dict(plain)))
    with store.writing() as connection:
        version = connection.scalar(select(schema.axilla.c.version).where(schema.axilla.c.token == token))
        if version is None:
            raise InputError("found no axilla of that address, expected one of the list; load the list again")
        if seen is not None and _answered(connection, token) > seen:
            return False
        forget_explanation(connection, token)
        connection.execute(insert(schema.explanation).values(axilla=token, version=version, plain=text))
        if pictures:
            rows = [{"axilla": token, "name": name, "content": content} for name, content in pictures.items()]
            connection.execute(insert(schema.picture), rows)
    return True


def _answered(connection: Connection, token: str) -> int:
    """Version of an axilla at which its answer last changed."""
    return answered_at(events_of(connection, token))


def answered_at(events: Iterable[Event]) -> int:
    """Version of an axilla at which its answer last changed, from all its events."""
    kinds = [event.kind for event in events if event.kind in {LOADED, *Act}]
    return max((number for number, kind in enumerate(kinds, start=1) if kind in _CHANGES), default=0)


def forget_explanation(connection: Connection, token: str) -> None:
    """The answer changed: what explained the one before must not be shown beside it."""
    connection.execute(delete(schema.picture).where(schema.picture.c.axilla == token))
    connection.execute(delete(schema.explanation).where(schema.explanation.c.axilla == token))


def explanation(store: Store, token: str) -> dict[str, Any] | None:
    """The plain part of an explanation; ``None`` where there is none yet of the answer that counts."""
    place = schema.explanation
    with store.reading() as connection:
        text = connection.scalar(select(place.c.plain).where(place.c.axilla == token))
    return None if text is None else dict(json.loads(text))


def picture(store: Store, token: str, name: str) -> bytes | None:
    """A picture of an axilla's explanation, PNG; ``None`` where there is none of that name."""
    place = schema.picture
    query = select(place.c.content).where(place.c.axilla == token, place.c.name == name)
    with store.reading() as connection:
        found = connection.scalar(query)
    return None if found is None else bytes(found)


def explained_pictures(store: Store, token: str, plain: Mapping[str, Any] | None) -> dict[str, bytes]:
    """All pictures that an explanation names, PNG by name; empty without an explanation.

    Parameters
    ----------
    store : Store
        Where.
    token : str
        The axilla.
    plain : mapping or None
        As :func:`explanation` gives it.
    """
    names = [str(one["picture"]) for one in (plain or {}).get("maps", ())]
    found = {name: picture(store, token, name) for name in names}
    return {name: content for name, content in found.items() if content is not None}


def without_explanation(store: Store, limit: int) -> list[str]:
    """Tokens of axillae that are not explained yet, in the order of their numbers.

    Parameters
    ----------
    store : Store
        Where.
    limit : int
        At most so many.
    """
    place, done = schema.axilla, schema.explanation
    query = (
        select(place.c.token)
        .outerjoin(done, done.c.axilla == place.c.token)
        .where(done.c.axilla.is_(None))
        .order_by(place.c.number)
        .limit(limit)
    )
    with store.reading() as connection:
        return [str(token) for token in connection.scalars(query)]
