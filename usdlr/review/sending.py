"""Reviewed axillae on their way to an archive: objects made, delivered, and every attempt told in the log."""

from __future__ import annotations

import json
import time
from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select

from usdlr.core.errors import DataError, InputError
from usdlr.review.acts import Account, AxillaState, Event, Reading, Role, Status
from usdlr.review.dicom.capture import page_pngs
from usdlr.review.dicom.delivery import Deliver
from usdlr.review.dicom.finding import find_source
from usdlr.review.dicom.settings import PacsSettings
from usdlr.review.dicom.study import study_objects
from usdlr.review.paper import axilla_pdf
from usdlr.review.records import AxillaRecord
from usdlr.review.store import schema
from usdlr.review.store.audit import SYSTEM, append, events_of
from usdlr.review.store.engine import Store, StoreAwayError
from usdlr.review.store.reading import axilla, models, record_of, standing

SENDING: Final = "sending"
SENT: Final = "sent"
FAILED: Final = "send_failed"
DELIVERIES: Final = (SENDING, SENT, FAILED)
"""Kinds of event that tell of deliveries; they are about an axilla and change nothing of it."""
FINISHED: Final = (Status.REVIEWED, Status.ADJUDICATED)
NOT_FOUND: Final = (
    "found no DICOM image with the pixels of this case in the folder of sources, expected the scanner's own; fetch its "
    "study into that folder"
)
AWAITED: Final = (
    "found an explanation of this case that is still being made, expected it before its report is sent; try again in "
    "a minute"
)
ADMINISTRATORS_SEND: Final = (
    "found a hidden reading, expected an administrator to send its reports: in the archive, readers could see the "
    "answer before their own opinion; ask an administrator"
)
PAUSES_S: Final = (0.5, 2.0, 5.0)
"""Between attempts to record a delivery; each of them waits for a busy database by itself."""


class NotRecordedError(DataError):
    """The archive has confirmed everything, and the log could not be written: nobody may call that a failure."""


@dataclass(frozen=True)
class Delivered:
    """What an archive has confirmed.

    Parameters
    ----------
    token, digest : str
        The axilla, and the model that its report speaks of.
    version : int
        Of the axilla.
    objects : tuple of str
        UIDs of the instances.
    """

    token: str
    digest: str
    version: int
    objects: tuple[str, ...]


@dataclass(frozen=True)
class _Standing:
    """An axilla of one moment: its state, since when it stands so, and its explanation with the pictures."""

    record: AxillaRecord
    now: AxillaState
    made: datetime
    told: dict[str, Any] | None
    maps: dict[str, bytes]


def send_axilla(
    store: Store,
    token: str,
    deliver: Deliver,
    where: str,
    *,
    source_file: Path | None = None,
    version: int | None = None,
    account: str = SYSTEM,
    attempt: int | None = None,
) -> int:
    """Deliver one axilla as it stands, and record that; see :func:`deliver_axilla` and :func:`record_delivery`.

    Parameters
    ----------
    store : Store
        Where it lies.
    token : str
        The axilla.
    deliver : callable
        Takes the objects in their order and returns the UIDs that were confirmed.
    where : str
        Name of the archive, for the log; no secret.
    source_file : Path, optional
        The scanner's DICOM image of the first tumour image.
    version : int, optional
        Of the axilla that was seen when sending was asked for: another one is not sent in its place.
    account : str
        Name of who asked for it.
    attempt : int, optional
        Number of the event that told of its beginning.

    Returns
    -------
    int
        Objects that the archive has confirmed, all of them.

    Raises
    ------
    DataError
        If there is no such axilla, it has changed, its model is unknown, or the archive did not confirm everything.
    NotRecordedError
        If it did, and the log cannot be written.
    """
    done = deliver_axilla(store, token, deliver, where, source_file=source_file, version=version)
    record_delivery(store, done, where, account=account, attempt=attempt)
    return len(done.objects)


def deliver_axilla(
    store: Store,
    token: str,
    deliver: Deliver,
    where: str,
    *,
    source_file: Path | None = None,
    version: int | None = None,
) -> Delivered:
    """Deliver one axilla as it stands; delivered again with the same explanation, the archive gets the same objects.

    Parameters
    ----------
    store, token, deliver, where, source_file, version
        See :func:`send_axilla`.

    Raises
    ------
    DataError
        See :func:`send_axilla`.
    """
    found = _as_it_stands(store, token)
    record, now = found.record, found.now
    if version is not None and now.version != version:
        raise DataError("found a case that has changed since it was to be sent, expected the same; look at it again")
    model = next((one for one in models(store) if one.digest == record.digest), None)
    if model is None:
        raise DataError("found an axilla whose model is not in the database, expected it; load the list again")
    pages = page_pngs(axilla_pdf(model, record, now, found.told, pictures=found.maps))
    objects = study_objects(model, record, now, source_file=source_file, pages=pages, made=found.made)
    confirmed = set(deliver(objects))
    lacking = [one for one in objects if str(one.SOPInstanceUID) not in confirmed]
    if lacking:
        raise DataError(
            f"found {len(lacking)} of {len(objects)} objects not confirmed by {where}, expected all; send again: what "
            "is there already is stored once"
        )
    return Delivered(token, record.digest, now.version, tuple(str(one.SOPInstanceUID) for one in objects))


def record_delivery(
    store: Store, done: Delivered, where: str, *, account: str = SYSTEM, attempt: int | None = None
) -> None:
    """Record what an archive has confirmed, with patience: the objects are there, whatever the database says.

    Parameters
    ----------
    store : Store
        Where the axilla lies.
    done : Delivered
        What was confirmed.
    where, account : str
        The archive, and who asked for it.
    attempt : int, optional
        Number of the event that told of its beginning.

    Raises
    ------
    NotRecordedError
        If the database stays away.
    """
    after: dict[str, Any] = {"to": where, "version": done.version, "objects": list(done.objects)}
    if attempt is not None:
        after["attempt"] = attempt
    at = store.at()

    def is_it(event: Event) -> bool:
        return event.kind == SENT and event.at == at and event.account == account and dict(event.after) == after

    for pause in (*PAUSES_S, None):
        try:
            with store.writing() as connection:
                # Cut off while it was being committed, it may stand there already.
                if not any(is_it(event) for event in events_of(connection, done.token)):
                    append(
                        connection,
                        account=account,
                        kind=SENT,
                        token=done.token,
                        digest=done.digest,
                        after=after,
                        at=at,
                    )
            return
        except StoreAwayError:
            if pause is not None:
                time.sleep(pause)
    raise NotRecordedError(
        f"found the review database unable to record that {where} has confirmed all {len(done.objects)} objects, "
        "expected an entry in the log; free space or restart it, then send again: what is there already is stored once"
    )


def source_of(store: Store, token: str, settings: PacsSettings) -> Path | None:
    """The scanner's image of an axilla; ``None`` where one may be made from the canonical picture in its place.

    Parameters
    ----------
    store : Store
        Where the axilla lies.
    token : str
        The axilla.
    settings : PacsSettings
        With the folder of the scanner's images.

    Raises
    ------
    CaseError
        If the picture that the model read is missing or unreadable.
    DataError
        If there is none and none may be made, or what was found contradicts the list or itself.
    """
    record = axilla(store, token)
    found = None if settings.sources is None or record is None else find_source(settings.sources, record)
    if found is None and not settings.made_images:
        raise DataError(NOT_FOUND)
    return found


def why_not(now: AxillaState, reader: Account, reading: Reading) -> str:
    """Why an axilla cannot be sent as it stands, for whom asks; empty where it can.

    Parameters
    ----------
    now : AxillaState
        Where it stands.
    reader : Account
        Who asks.
    reading : Reading
        In hidden reading the answer goes nowhere at the wish of somebody who must not know it yet, and only at an
        administrator's: others, who have given no opinion, may see what is in the archive.
    """
    if reading is Reading.HIDDEN:
        if reader.name not in now.opinions:
            return "found no opinion of yours yet, expected it before anything is sent; give your own reading first"
        if not reader.role.may(Role.ADMINISTRATOR):
            return ADMINISTRATORS_SEND
    if now.status not in FINISHED:
        return "found a case whose review is not finished, expected a verdict that stands; give one, or adjudicate"
    return ""


def begin(
    store: Store,
    token: str,
    account: Account,
    where: str,
    *,
    seen: int,
    after: int,
    reading: Reading,
    in_hand: Container[int] = (),
    explains: bool = False,
) -> int | None:
    """Record that an axilla is being sent, unless somebody asked for that already.

    Parameters
    ----------
    store : Store
        Where it lies.
    token : str
        The axilla.
    account : Account
        Who asks.
    where : str
        Name of the archive.
    seen : int
        Version of the axilla that was on the screen.
    after : int
        Number of the last delivery's event that was on the screen, 0 for none: of two clicks on the same page only one
        begins anything.
    reading : Reading
        See :func:`why_not`.
    in_hand : container of int
        Attempts that wait or are under way.
    explains : bool
        Whether somebody is about to explain what is not explained yet: the explanation is part of the report.

    Returns
    -------
    int or None
        Number of the event; ``None`` where there is a later delivery than the one that was seen, or that is in hand.

    Raises
    ------
    InputError
        If it cannot be sent, or has changed since it was seen.
    """
    with store.writing() as connection:
        record = record_of(connection, token)
        if record is None:
            raise InputError("found no axilla of that address, expected one of the list; open it from the worklist")
        now = standing(connection, record)
        # First: who must not know the answer yet must not learn from a refusal what others did either.
        refused = why_not(now, account, reading)
        if refused:
            raise InputError(refused)
        last = max((one.number for one in events_of(connection, token) if one.kind in DELIVERIES), default=0)
        if after != last or after in in_hand:
            return None
        if now.version != seen:
            raise InputError("found a case that has changed since you opened it, expected the one you saw; look again")
        if explains and _explanation(connection, token) is None:
            raise InputError(AWAITED)
        event = append(
            connection,
            account=account.name,
            kind=SENDING,
            token=token,
            digest=record.digest,
            before={"status": str(now.status)},
            after={"to": where, "version": now.version},
            at=store.at(),
        )
        return event.number


def failed(store: Store, token: str, account: str, where: str, *, attempt: int, version: int, why: str) -> None:
    """Record that an attempt did not succeed.

    Parameters
    ----------
    store : Store
        Where the axilla lies.
    token : str
        The axilla.
    account, where : str
        Who asked for it, and the archive.
    attempt, version : int
        Number of the event that told of its beginning, and the axilla's version then.
    why : str
        A sentence without patient, path or secret.
    """
    with store.writing() as connection:
        record = record_of(connection, token)
        append(
            connection,
            account=account,
            kind=FAILED,
            token=token,
            digest="" if record is None else record.digest,
            after={"to": where, "version": version, "attempt": attempt, "why": why},
            at=store.at(),
        )


def _as_it_stands(store: Store, token: str) -> _Standing:
    with store.reading() as connection:
        record = record_of(connection, token)
        if record is None:
            raise DataError("found no axilla of that address, expected one of the list; load the list again")
        log = events_of(connection, token)
        now = standing(connection, record)
        told = _explanation(connection, token)
        place = schema.picture
        kept = connection.execute(select(place.c.name, place.c.content).where(place.c.axilla == token))
        maps = {str(row.name): bytes(row.content) for row in kept}
    named = {str(one["picture"]) for one in (told or {}).get("maps", ())}
    made = datetime.fromisoformat(max(event.at for event in log if event.kind not in DELIVERIES))
    return _Standing(record, now, made, told, {name: maps[name] for name in maps if name in named})


def _explanation(connection: Connection, token: str) -> dict[str, Any] | None:
    place = schema.explanation
    text = connection.scalar(select(place.c.plain).where(place.c.axilla == token))
    return None if text is None else dict(json.loads(text))
