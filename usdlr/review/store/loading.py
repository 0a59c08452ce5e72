"""Put a model's answers into the store: once, however often the same list is loaded."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from usdlr.core.errors import InputError
from usdlr.core.types import Stage
from usdlr.review.acts import Status
from usdlr.review.plain import from_plain, to_plain
from usdlr.review.records import Answered, AxillaRecord, ImageRecord, ModelRecord
from usdlr.review.store import schema
from usdlr.review.store.audit import Entry, append_all
from usdlr.review.store.engine import Store
from usdlr.review.store.plain import alike, all_storable, canonical, finite, text_hash
from usdlr.review.store.told import LOADED

CHUNK = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_PLACES = ("token", "number", "root", "paths")
"""What says where something lies, not what it is."""


@dataclass(frozen=True)
class LoadReport:
    """What loading a list did.

    Parameters
    ----------
    new, kept, renewed : int
        Axillae that are new, that were there with the same prediction, and that have another prediction now.
    reopened : int
        Of the renewed, those that somebody had begun to read: they are to be read anew, the log keeps what was said.
    """

    new: int = 0
    kept: int = 0
    renewed: int = 0
    reopened: int = 0


def load_model(store: Store, model: ModelRecord) -> None:
    """Keep what pages say of a model; the same digest again replaces it and makes it the newest."""
    place = schema.model
    with store.writing() as connection:
        position = connection.scalar(select(func.coalesce(func.max(place.c.position), 0) + 1))
        connection.execute(delete(place).where(place.c.digest == model.digest))
        record = canonical(to_plain(model))
        connection.execute(insert(place).values(digest=model.digest, position=position, record=record))


def load_axillae(store: Store, axillae: Iterable[AxillaRecord]) -> LoadReport:
    """Put a list into the store.

    An axilla, a patient's side, keeps its token and number for ever, and so do its images. The same prediction again
    changes nothing (files may have moved). Another one, by another bundle or from other data, is added beside the
    earlier, and the axilla is to be read anew.

    Parameters
    ----------
    store : Store
        Where.
    axillae : iterable of AxillaRecord
        The list; loading that was interrupted continues when the same is given again.

    Returns
    -------
    LoadReport
        How many of each.

    Raises
    ------
    InputError
        If an axilla comes twice, or its record holds what cannot be stored.
    """
    report, seen = LoadReport(), set[tuple[str, str]]()
    for chunk in _chunks(axillae):
        for record in chunk:
            key = (record.patient_id, str(record.side))
            if key in seen:
                raise InputError(f"found axilla {record.number} twice in the list, expected each once; remove one")
            seen.add(key)
            if _CONTROL.search(record.patient_id + record.centre_id):
                raise InputError(
                    f"found a control character in the identifiers of axilla {record.number}, expected plain text; "
                    "mend the cases table"
                )
            if not all_storable(record):
                raise InputError(
                    f"found a character in axilla {record.number} that cannot be stored (U+0000, or half of one), "
                    "expected text; mend the cases table"
                )
        with store.writing() as connection:
            report = _load(connection, chunk, report, store.at())
    return report


def _chunks(axillae: Iterable[AxillaRecord]) -> Iterator[list[AxillaRecord]]:
    rest = iter(axillae)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _load(connection: Connection, chunk: list[AxillaRecord], report: LoadReport, at: str) -> LoadReport:
    place, said = schema.axilla, schema.prediction
    numbers = set(connection.scalars(select(place.c.number)))
    known = {
        (row.patient_id, row.side): row
        for row in connection.execute(
            select(place, said.c.record)
            .join(said, (said.c.token == place.c.token) & (said.c.loaded == place.c.loaded))
            .where(place.c.patient_id.in_({record.patient_id for record in chunk}))
        )
    }
    counts = {"new": report.new, "kept": report.kept, "renewed": report.renewed, "reopened": report.reopened}
    entries: list[Entry] = []
    changed: list[tuple[AxillaRecord, str, Any]] = []
    for record in chunk:
        row = known.get((record.patient_id, str(record.side)))
        if row is None:
            number = record.number if record.number not in numbers else max(numbers) + 1
            numbers.add(number)
            held = replace(record, number=number)
            counts["new"] += 1
        else:
            earlier = from_plain(AxillaRecord, json.loads(row.record))
            held = replace(record, token=row.token, number=row.number, images=_images(connection, row.token, record))
            if alike(_content(held), _content(earlier)):
                counts["kept"] += 1
                # The earlier record's numbers stay: what readers saw must not move in its last digits.
                _moved(connection, earlier, held, row.loaded)
                continue
            counts["renewed"] += 1
            counts["reopened"] += row.status != Status.UNREAD
        try:
            # As it will be read again: a whole number where a fraction belongs is one.
            held = from_plain(AxillaRecord, json.loads(canonical(plain_record(held))))
            content = content_hash(held)
        except InputError as error:
            raise InputError(f"found axilla {held.number} with a number that is none, expected finite ones") from error
        before = {} if row is None else {"digest": row.digest, "group": row.risk_group, "status": row.status}
        after = {"number": held.number, "group": str(held.answer.group), "record": content}
        entries.append(Entry(LOADED, token=held.token, digest=held.digest, before=before, after=after))
        changed.append((held, content, row))
    for (held, content, row), event in zip(changed, append_all(connection, entries, at=at), strict=True):
        _keep(connection, held, content, event.number, None if row is None else int(row.version))
    return LoadReport(**counts)


def _content(record: AxillaRecord) -> dict[str, Any]:
    return content_of(plain_record(record))


def content_of(plain: Mapping[str, Any]) -> dict[str, Any]:
    """What an axilla's prediction is, wherever its files lie, of a record as plain data."""
    images = [{name: value for name, value in one.items() if name not in _PLACES} for one in plain["images"]]
    kept = {name: value for name, value in plain.items() if name not in _PLACES}
    row = {name: value for name, value in kept["row"].items() if not name.endswith("_path")}
    return kept | {"images": images, "row": row}


def content_hash(record: AxillaRecord) -> str:
    """SHA-256 of what a prediction is, wherever its files lie; its ``loaded`` event holds it."""
    return text_hash(canonical(_content(record)))


def plain_record(record: AxillaRecord) -> dict[str, Any]:
    """A record as plain data; numbers in its table row that are none become null."""
    plain: dict[str, Any] = to_plain(replace(record, row={}))
    # Not by the record's own adapter: a row may hold what JSON has no word for.
    return plain | {"row": json.loads(json.dumps(finite(dict(record.row)), default=str))}


def _images(connection: Connection, token: str, record: AxillaRecord) -> tuple[ImageRecord, ...]:
    """Images that were known keep their tokens."""
    place = schema.image
    rows = connection.execute(select(place.c.image_id, place.c.token).where(place.c.axilla == token))
    known = {row.image_id: row.token for row in rows}
    return tuple(replace(one, token=known.get(one.image_id, one.token)) for one in record.images)


def _moved(connection: Connection, earlier: AxillaRecord, held: AxillaRecord, loaded: int) -> None:
    where = {one.image_id: one for one in held.images}
    images = tuple(
        replace(one, root=where[one.image_id].root, paths=where[one.image_id].paths) for one in earlier.images
    )
    found = replace(earlier, images=images)
    if found != earlier:
        place = schema.prediction
        connection.execute(
            update(place)
            .where(place.c.token == held.token, place.c.loaded == loaded)
            .values(record=canonical(plain_record(found)))
        )


def _keep(connection: Connection, record: AxillaRecord, content: str, loaded: int, version: int | None) -> None:
    values: dict[str, Any] = {
        "patient_id": record.patient_id,
        "side": str(record.side),
        "centre_id": record.centre_id,
        "search": search_text(record.patient_id, record.centre_id),
        "number": record.number,
        "loaded": loaded,
        "digest": record.digest,
        "version": 1 if version is None else version + 1,
        "status": str(Status.UNREAD),
        "assigned": "",
        "verdicts": 0,
    } | shown(record.answer)
    place = schema.axilla
    if version is None:
        connection.execute(insert(place), values | {"token": record.token})
    else:
        connection.execute(update(place).where(place.c.token == record.token).values(**values))
        for other in (schema.reading, schema.picture, schema.explanation):
            connection.execute(delete(other).where(other.c.axilla == record.token))
    text = canonical(plain_record(record))
    said = {"token": record.token, "loaded": loaded, "content": content, "record": text}
    connection.execute(insert(schema.prediction), said)
    rows = [{"token": one.token, "axilla": record.token, "image_id": one.image_id} for one in record.images]
    if rows:
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        connection.execute(dialect.insert(schema.image).on_conflict_do_nothing(), rows)


def shown(answer: Answered) -> dict[str, Any]:
    """What the worklist shows of an answer, by column."""
    stages = {one.stage: one.probability for one in answer.stages}
    return {
        "risk_group": str(answer.group),
        "contract": answer.contract,
        "p_sln": stages.get(Stage.SLN),
        "p_nsln": stages.get(Stage.NSLN),
        "flags": json.dumps(list(answer.flags)),
        "warned": bool(answer.warnings),
        "flagged": bool(answer.warnings or answer.flags),
    }


def search_text(*parts: str) -> str:
    """Text as it is searched: without the difference of capitals and of how letters are composed.

    Examples
    --------
    >>> search_text("USD-7", "Köln") == search_text("usd-7", "KÖLN")
    True
    """
    return "\n".join(unicodedata.normalize("NFKC", part).casefold() for part in parts)
