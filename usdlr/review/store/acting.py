"""The only writer of clinical events: checks what a reader asks for, records it, and brings the lists up to date.

Everything happens in one transaction: the event is recorded and shown, or neither. A request has a key, so that the
same one sent again (a double click, a retry after a cut line) is recorded once; and it names the version that the
reader saw, so that nobody's word is overwritten unseen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from usdlr.core.errors import InputError
from usdlr.review.acts import VERDICTS, Account, Act, Action, AxillaState, Event, Reading, Role
from usdlr.review.plain import to_plain
from usdlr.review.records import AxillaRecord
from usdlr.review.settled import by_software
from usdlr.review.store import schema
from usdlr.review.store.audit import append
from usdlr.review.store.demands import check
from usdlr.review.store.engine import Store
from usdlr.review.store.loading import shown
from usdlr.review.store.plain import request_hash
from usdlr.review.store.reading import forget_explanation, record_of, told_of
from usdlr.review.store.told import Told


@dataclass(frozen=True)
class Done:
    """It is recorded.

    Parameters
    ----------
    number : int
        Of the event.
    state : AxillaState
        Where the axilla stands now.
    """

    number: int
    state: AxillaState


@dataclass(frozen=True)
class Repeated:
    """The same request was recorded before; nothing more happened.

    Parameters
    ----------
    number : int
        Of the event that it was recorded as.
    """

    number: int


@dataclass(frozen=True)
class Conflict:
    """Somebody else was quicker; nothing is recorded.

    Parameters
    ----------
    by, at : str
        Who, as pages show it, and when (UTC, ISO 8601).
    kind : str
        What was done: an :class:`~usdlr.review.acts.Act`, or ``loaded`` for a new prediction.
    version : int
        Of the axilla now.
    """

    by: str
    at: str
    kind: str
    version: int


def act(
    store: Store, action: Action, account: Account, *, reading: Reading = Reading.OPEN
) -> Done | Repeated | Conflict:
    """Record what a reader did.

    Parameters
    ----------
    store : Store
        Where.
    action : Action
        What is asked for.
    account : Account
        By whom; its role and standing are read again here.
    reading : Reading
        With hidden reading a verdict needs the reader's own opinion first.

    Returns
    -------
    Done, Repeated or Conflict
        Whether it is recorded now, was before, or is not because the axilla changed after the reader saw it.

    Raises
    ------
    InputError
        If the account may not do this, or the request lacks something; the message can be shown as it is.
    DataError
        If the database does not answer; the same request can be sent again.
    """
    check(action)
    # Without the model's answer: asked a second time, it may have other contours of other readers in it.
    content = request_hash(account.name, to_plain(replace(action, answer=None)))
    with store.writing() as connection:
        earlier = _earlier(connection, action.key, content)
        if earlier is not None:
            return Repeated(earlier)
        _may(connection, account)
        record = record_of(connection, action.token)
        if record is None:
            raise InputError("found no axilla of that address, expected one of the list; open it from the worklist")
        found = told_of(connection, record)
        if found.version != action.seen:
            return _conflict(found)
        _fits(connection, action, account, record, found, reading)
        group = found.answer.group
        before = {"version": found.version, "status": str(found.status), "group": str(group)} | (
            {"assigned": found.assigned} if found.assigned else {}
        )
        after = _after(action, str(group), reading)
        event = append(
            connection,
            account=account.name,
            kind=str(action.act),
            token=record.token,
            digest=record.digest,
            before=before,
            after=after,
            at=store.at(),
        )
        connection.execute(insert(schema.request).values(key=action.key, number=event.number, content=content))
        found.take(event)
        _project(connection, record.token, found, event)
        return Done(event.number, found.state())


def _earlier(connection: Connection, key: str, content: str) -> int | None:
    place = schema.request
    row = connection.execute(select(place.c.number, place.c.content).where(place.c.key == key)).one_or_none()
    if row is None:
        return None
    if row.content != content:
        raise InputError(
            "found a request name that another request has, expected a new one; open the page again and repeat it"
        )
    return int(row.number)


def _may(connection: Connection, account: Account) -> None:
    place = schema.account
    row = connection.execute(select(place).where(place.c.id == account.id)).one_or_none()
    if row is None or row.disabled or row.name != account.name:
        raise InputError("found an account that is closed, expected an open one; ask an administrator")
    if not Role(row.role).may(Role.REVIEWER):
        raise InputError("found a viewer's account, expected a reviewer's to record anything; ask an administrator")


def _conflict(found: Told) -> Conflict:
    last = found.last
    if last is None:  # an axilla is loaded before it is read
        raise AssertionError("an axilla without events")
    return Conflict(found.displays.get(last.account, last.account), last.at, last.kind, found.version)


def _fits(
    connection: Connection, action: Action, account: Account, record: AxillaRecord, found: Told, reading: Reading
) -> None:
    """What depends on the axilla as it is now."""
    covering = (*VERDICTS, Act.CONTOUR, Act.IMAGES)  # what shows, or follows from, the model's answer
    if reading is Reading.HIDDEN and action.act in covering and account.name not in found.opinions:
        raise InputError(
            "found no opinion of yours yet, expected it before anything that shows the model's answer; give your own "
            "reading first"
        )
    if action.act is Act.MODIFY and action.opinion is not None and action.opinion.group is found.answer.group:
        raise InputError(
            "found the model's own group, expected another one for a changed answer; accept it, or choose another"
        )
    if action.act in (Act.ACCEPT, Act.MODIFY, Act.ADJUDICATE):
        _require_confirmed(record, found)
    images = {one.token for one in record.images}
    if action.act in (Act.CONTOUR, Act.CONFIRM) and action.image not in images:
        raise InputError("found an image of another axilla, expected one of this; open the page again")
    if action.act is Act.IMAGES and not set(action.used) <= images:
        raise InputError("found images of another axilla, expected those of this; open the page again")
    if action.act is Act.DEFER and action.colleague:
        _colleague(_account(connection, action.colleague), account)
    if action.act is Act.ADJUDICATE:
        judged = found.adjudication
        if judged is not None and judged.account == account.name:
            return
        if account.name in found.verdicts:
            raise InputError(
                "found a verdict of yours among those that differ, expected a third reader to adjudicate; change "
                "your verdict instead, or ask a colleague"
            )
        if not found.disagreed:
            raise InputError("found no disagreement, expected two verdicts that differ; give a verdict instead")


def _require_confirmed(record: AxillaRecord, found: Told) -> None:
    """Refuse a verdict that would rest on a contour by software at which nobody has looked."""
    for image in by_software(record, found.used, found.outlines):
        if image.token not in found.confirmed:
            raise InputError(
                f"found the contour of image {image.number} drawn by software and confirmed by nobody, expected a "
                "reader's eye on it before a verdict; confirm it below the picture, redraw it, or leave the image out"
            )


def _account(connection: Connection, name: str) -> Row[Any] | None:
    place = schema.account
    return connection.execute(select(place).where(place.c.name == name)).one_or_none()


def _colleague(row: Row[Any] | None, account: Account) -> None:
    if row is None or row.disabled or not Role(row.role).may(Role.REVIEWER):
        raise InputError("found no such colleague, expected an open reviewer's account; choose one from the list")
    if row.id == account.id:
        raise InputError("found yourself as the colleague, expected somebody else; choose another or nobody")


def _after(action: Action, group: str, reading: Reading) -> dict[str, Any]:
    """What the event tells; fields that the request left out are left out."""
    plain = to_plain(action)
    after: dict[str, Any] = {
        name: plain[name]
        for name in ("reason", "opinion", "colleague", "image", "outlines", "used", "answer", "proposed")
        if plain[name]
    }
    after |= {"request": action.key, "reading": str(reading)}
    if action.act is Act.ACCEPT:
        after["group"] = group
    elif action.act in (Act.MODIFY, Act.ADJUDICATE) and action.opinion is not None:
        after["group"] = str(action.opinion.group)
    return after


def _project(connection: Connection, token: str, found: Told, event: Event) -> None:
    """Bring what lists show up to what the events tell."""
    place = schema.axilla
    changed = bool(event.after.get("answer"))
    connection.execute(
        update(place)
        .where(place.c.token == token)
        .values(**projected(found) | (shown(found.answer) if changed else {}))
    )
    reading = schema.reading
    reader = event.account
    connection.execute(delete(reading).where(reading.c.axilla == token, reading.c.account == reader))
    row = {"opinion": reader in found.opinions, "verdict": reader in found.verdicts}
    if any(row.values()):
        connection.execute(insert(reading).values(axilla=token, account=reader, **row))
    if changed:
        forget_explanation(connection, token)


def projected(found: Told) -> dict[str, Any]:
    """What the worklist shows of an axilla's state, by column."""
    return {
        "version": found.version,
        "status": str(found.status),
        "assigned": found.assigned,
        "verdicts": len(found.verdicts),
    }
