"""Reviewed axillae on their way to an archive: objects made, delivered, and the delivery told in the log."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import pypdfium2
from pydicom.dataset import Dataset

from usdlr.core.errors import DataError
from usdlr.review.dicom.study import study_objects
from usdlr.review.paper import axilla_pdf
from usdlr.review.records import AxillaRecord, AxillaState, ModelRecord, Status
from usdlr.review.store.audit import SYSTEM, append, events
from usdlr.review.store.engine import Store
from usdlr.review.store.reading import axilla, explained_pictures, explanation, models, state

SENT: Final = "sent"
FINISHED: Final = (Status.REVIEWED, Status.ADJUDICATED)
_DPI: Final = 144
_POINTS_PER_INCH: Final = 72
Deliver = Callable[[Sequence[Dataset]], Sequence[str]]
"""Hands objects over and tells the instance UIDs that the archive has confirmed."""


def send_axilla(store: Store, token: str, deliver: Deliver, where: str, *, source_file: Path | None = None) -> int:
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

    Returns
    -------
    int
        Objects that the archive has confirmed, all of them.

    Raises
    ------
    DataError
        If there is no such axilla, its model is unknown, or the archive did not confirm everything.
    """
    record = axilla(store, token)
    if record is None:
        raise DataError("found no axilla of that address, expected one of the list; load the list again")
    found = [one for one in models(store) if one.digest == record.digest]
    if not found:
        raise DataError("found an axilla whose model is not in the database, expected it; load the list again")
    told = events(store, token=token, limit=1_000_000)
    made = datetime.fromisoformat(max(event.at for event in told if event.kind != SENT))
    now = state(store, token)
    pages = page_pngs(_paper(store, found[0], record, now))
    objects = study_objects(found[0], record, now, source_file=source_file, pages=pages, made=made)
    confirmed = set(deliver(objects))
    lacking = [one for one in objects if str(one.SOPInstanceUID) not in confirmed]
    if lacking:
        raise DataError(
            f"found {len(lacking)} of {len(objects)} objects not confirmed by {where}, expected all; send again: what "
            "is there already is stored once"
        )
    with store.writing() as connection:
        append(
            connection,
            account=SYSTEM,
            kind=SENT,
            token=token,
            digest=record.digest,
            before={},
            after={"to": where, "objects": [str(one.SOPInstanceUID) for one in objects]},
            at=store.at(),
        )
    return len(objects)


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
