"""Reviewed axillae on their way to an archive: objects made, delivered, and every attempt told in the log."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pypdfium2

from usdlr.core.errors import DataError, InputError
from usdlr.review.dicom.delivery import Deliver
from usdlr.review.dicom.finding import find_source
from usdlr.review.dicom.settings import PacsSettings
from usdlr.review.dicom.study import study_objects
from usdlr.review.paper import axilla_pdf
from usdlr.review.records import Account, AxillaRecord, AxillaState, ModelRecord, Reading, Status
from usdlr.review.store.audit import SYSTEM, append, events_of
from usdlr.review.store.engine import Store
from usdlr.review.store.reading import axilla, explained_pictures, explanation, models, record_of, told_of

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
_DPI: Final = 144
_POINTS_PER_INCH: Final = 72


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
    """Send one axilla as it stands; sent again without a change, the archive gets the same objects.

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
    """
    record, now, made = _as_it_stands(store, token)
    if version is not None and now.version != version:
        raise DataError("found a case that has changed since it was to be sent, expected the same; look at it again")
    found = [one for one in models(store) if one.digest == record.digest]
    if not found:
        raise DataError("found an axilla whose model is not in the database, expected it; load the list again")
    pages = page_pngs(_paper(store, found[0], record, now))
    objects = study_objects(found[0], record, now, source_file=source_file, pages=pages, made=made)
    confirmed = set(deliver(objects))
    lacking = [one for one in objects if str(one.SOPInstanceUID) not in confirmed]
    if lacking:
        raise DataError(
            f"found {len(lacking)} of {len(objects)} objects not confirmed by {where}, expected all; send again: what "
            "is there already is stored once"
        )
    uids = [str(one.SOPInstanceUID) for one in objects]
    after: dict[str, Any] = {"to": where, "version": now.version, "objects": uids}
    with store.writing() as connection:
        append(
            connection,
            account=account,
            kind=SENT,
            token=token,
            digest=record.digest,
            after=after if attempt is None else after | {"attempt": attempt},
            at=store.at(),
        )
    return len(objects)


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
    DataError
        If there is none, or two, and none may be made.
    """
    record = axilla(store, token)
    found = None if settings.sources is None or record is None else find_source(settings.sources, record)
    if found is None and not settings.made_images:
        raise DataError(NOT_FOUND)
    return found


def why_not(now: AxillaState, account: str, reading: Reading) -> str:
    """Why an axilla cannot be sent as it stands, for whom asks; empty where it can.

    Parameters
    ----------
    now : AxillaState
        Where it stands.
    account : str
        Name of who asks.
    reading : Reading
        In hidden reading the answer goes nowhere at the wish of somebody who must not know it yet.
    """
    if reading is Reading.HIDDEN and account not in now.opinions:
        return "found no opinion of yours yet, expected it before anything is sent; give your own reading first"
    if now.status not in FINISHED:
        return "found a case whose review is not finished, expected a verdict that stands; give one, or adjudicate"
    return ""


def begin(
    store: Store, token: str, account: Account, where: str, *, seen: int, after: int, reading: Reading
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

    Returns
    -------
    int or None
        Number of the event; ``None`` where there is a later delivery than the one that was seen.

    Raises
    ------
    InputError
        If it cannot be sent, or has changed since it was seen.
    """
    with store.writing() as connection:
        record = record_of(connection, token)
        if record is None:
            raise InputError("found no axilla of that address, expected one of the list; open it from the worklist")
        log = events_of(connection, token)
        if after != max((event.number for event in log if event.kind in DELIVERIES), default=0):
            return None
        now = told_of(connection, record).state()
        if now.version != seen:
            raise InputError("found a case that has changed since you opened it, expected the one you saw; look again")
        refused = why_not(now, account.name, reading)
        if refused:
            raise InputError(refused)
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


def _as_it_stands(store: Store, token: str) -> tuple[AxillaRecord, AxillaState, datetime]:
    """An axilla, its state, and when it came to stand so; all of one moment."""
    with store.reading() as connection:
        record = record_of(connection, token)
        if record is None:
            raise DataError("found no axilla of that address, expected one of the list; load the list again")
        log = events_of(connection, token)
        now = told_of(connection, record).state()
    return record, now, datetime.fromisoformat(max(event.at for event in log if event.kind not in DELIVERIES))


def _paper(store: Store, model: ModelRecord, record: AxillaRecord, now: AxillaState) -> bytes:
    told = explanation(store, record.token)
    return axilla_pdf(model, record, now, told, pictures=explained_pictures(store, record.token, told))


def page_pngs(pdf: bytes) -> list[bytes]:
    """The pages of a PDF as pictures, in their order.

    Parameters
    ----------
    pdf : bytes
        As made by :func:`usdlr.review.paper.axilla_pdf`.

    Returns
    -------
    list of bytes
        A PNG of each, 144 pixels per inch.
    """
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [_png(document[at]) for at in range(len(document))]
    finally:
        document.close()


def _png(page: pypdfium2.PdfPage) -> bytes:
    target = io.BytesIO()
    page.render(scale=_DPI / _POINTS_PER_INCH).to_pil().convert("RGB").save(target, "PNG")
    return target.getvalue()
