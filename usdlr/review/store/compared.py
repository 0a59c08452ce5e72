"""One axilla against the log: whatever the tables keep of it must follow from its events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, select

from usdlr.core.errors import InputError
from usdlr.review.acts import Act, Event
from usdlr.review.plain import from_plain
from usdlr.review.records import Answered
from usdlr.review.store import schema
from usdlr.review.store.acting import projected
from usdlr.review.store.audit import event_of
from usdlr.review.store.loading import content_of, search_text, shown
from usdlr.review.store.plain import canonical, request_hash, text_hash
from usdlr.review.store.reading import answered_at
from usdlr.review.store.told import LOADED, Told, told

_ACTS = frozenset(str(act) for act in Act)
_ASKED: dict[str, Any] = {"reason": "", "opinion": None, "colleague": "", "image": "", "outlines": [], "used": []}
"""What a request holds beside its names, where it says nothing; an event leaves that out."""


@dataclass(frozen=True)
class Kept:
    """All rows of one axilla.

    Parameters
    ----------
    axilla, predictions, images, events, requests, readings, explanations, pictures : tuple of Row
        Of the tables; of pictures without their content.
    """

    axilla: tuple[Any, ...]
    predictions: tuple[Any, ...]
    images: tuple[Any, ...]
    events: tuple[Any, ...]
    requests: tuple[Any, ...]
    readings: tuple[Any, ...]
    explanations: tuple[Any, ...]
    pictures: tuple[Any, ...]


def kept(connection: Connection, tokens: Sequence[str]) -> Iterator[Kept]:
    """All that is kept of these axillae, with few questions to the database.

    Parameters
    ----------
    connection : Connection
        Any.
    tokens : sequence of str
        Of axillae that are there; some hundreds at once.
    """
    found: dict[str, dict[str, list[Row[Any]]]] = {token: {name: [] for name in _QUERIES} for token in tokens}
    for name, (query, owner, order) in _QUERIES.items():
        for row in connection.execute(query.where(owner.in_(tokens)).order_by(*order)):
            found[row.owner][name].append(row)
    for token in tokens:
        yield Kept(**{name: tuple(rows) for name, rows in found[token].items()})


def _query(owner: Column[str], *columns: Column[Any]) -> tuple[Select[Any], Column[str], tuple[Column[Any], ...]]:
    return select(owner.label("owner"), *columns), owner, columns[:1]


def _queries() -> dict[str, tuple[Select[Any], Column[str], tuple[Column[Any], ...]]]:
    event, request, said, made = schema.event, schema.request, schema.prediction, schema.explanation
    asked, owner, order = _query(event.c.token, request.c.number, request.c.key, request.c.content)
    asked = asked.join_from(event, request, request.c.number == event.c.number)
    return {
        "axilla": _query(schema.axilla.c.token, *schema.axilla.c),
        "predictions": _query(said.c.token, said.c.loaded, said.c.record, said.c.content),
        "images": _query(schema.image.c.axilla, schema.image.c.token, schema.image.c.image_id),
        "events": _query(event.c.token, *event.c),
        "requests": (asked, owner, order),
        "readings": _query(
            schema.reading.c.axilla, schema.reading.c.account, schema.reading.c.opinion, schema.reading.c.verdict
        ),
        "explanations": _query(made.c.axilla, made.c.version, made.c.plain),
        "pictures": _query(schema.picture.c.axilla, schema.picture.c.name),
    }


_QUERIES = _queries()


def differing(one: Kept) -> Iterator[str]:
    """A sentence for everything that is not as the axilla's events tell.

    Parameters
    ----------
    one : Kept
        The axilla.

    Yields
    ------
    str
        With the axilla's number, without anything about the patient.
    """
    row = one.axilla[0]
    called = f"axilla {row.number}"
    try:
        events = [event_of({name: held[name] for name in _FIELDS}) for held in (r._mapping for r in one.events)]
        records = {said.loaded: json.loads(said.record) for said in one.predictions}
        yield from (f"{called} {words}" for words in _wrong(one, row, events, records))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, InputError) as error:
        # Somebody wrote there what usdlr never does.
        yield f"{called} cannot be compared with the log ({type(error).__name__})"


_FIELDS = tuple(schema.event.c.keys())


def _wrong(one: Kept, row: Any, events: list[Event], records: dict[int, Any]) -> Iterator[str]:
    loads = {event.number: event for event in events if event.kind == LOADED}
    if not loads or max(loads) != row.loaded or row.loaded not in records:
        yield "is not as it was loaded"
        return
    if loads.keys() != records.keys():
        yield "has other predictions than the log tells"
    yield from _predictions(one, row, loads, records)
    current = records[row.loaded]
    found = told(from_plain(Answered, current["answer"]), events, {})
    yield from _columns(row, current, found)
    yield from _readers(one, found)
    yield from _requests(one, events)
    yield from _explanation(one, row, events)


def _predictions(one: Kept, row: Any, loads: dict[int, Event], records: dict[int, Any]) -> Iterator[str]:
    images = set[tuple[str, str]]()
    for said in one.predictions:
        plain, event = records[said.loaded], loads.get(said.loaded)
        content = text_hash(canonical(content_of(plain)))
        names = (plain["token"], plain["number"])
        if event is None or {content, said.content} != {event.after.get("record")} or names != (row.token, row.number):
            yield f"has another prediction than event {said.loaded} loaded"
        images |= {(image["token"], image["image_id"]) for image in plain["images"]}
    if images != {(image.token, image.image_id) for image in one.images}:
        yield "has other images than it was loaded with"


def _columns(row: Any, current: Mapping[str, Any], found: Told) -> Iterator[str]:
    """What lists show."""
    said = projected(found) | shown(found.answer)
    said |= {name: current[name] for name in ("patient_id", "side", "centre_id", "digest")}
    said["search"] = search_text(current["patient_id"], current["centre_id"])
    for name, value in said.items():
        if row._mapping[name] != value:
            yield f"has another {name} than the log tells"


def _readers(one: Kept, found: Told) -> Iterator[str]:
    marks = {name: (name in found.opinions, name in found.verdicts) for name in {**found.opinions, **found.verdicts}}
    if {reader.account: (bool(reader.opinion), bool(reader.verdict)) for reader in one.readings} != marks:
        yield "has other readers than the log tells"


def _requests(one: Kept, events: list[Event]) -> Iterator[str]:
    """Each is the one that its event says: another name or content would let the same wish be recorded twice."""
    asked = {request.number: request for request in one.requests}
    for event in events:
        request = asked.get(event.number) if event.kind in _ACTS else None
        if request is None:
            continue  # lists of numbers are compared for the whole store
        plain = {"act": event.kind, "token": event.token, "seen": event.before["version"], "answer": None}
        plain |= {"key": event.after["request"]} | {name: event.after.get(name, none) for name, none in _ASKED.items()}
        content = request_hash(event.account, plain | {"proposed": event.after.get("proposed", "")})
        if (request.key, request.content) != (event.after["request"], content):
            yield f"has another request than event {event.number} tells"


def _explanation(one: Kept, row: Any, events: list[Event]) -> Iterator[str]:
    if not one.explanations:
        if one.pictures:
            yield "has pictures of an explanation that is gone"
        return
    made = one.explanations[0]
    if not answered_at(events) <= made.version <= row.version:
        yield "has an explanation of another answer"
    named = {str(found["picture"]) for found in json.loads(made.plain).get("maps", ())}
    if not named <= {picture.name for picture in one.pictures}:
        yield "lacks a picture of its explanation"
