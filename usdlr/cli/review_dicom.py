"""``usdlr review send | fetch | receive``: reviewed axillae to an archive, ultrasound images from one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.core.progress import Progress, say
from usdlr.review.dicom.admission import Admission
from usdlr.review.dicom.delivery import Archive, open_archive, why_words
from usdlr.review.dicom.imports import import_studies
from usdlr.review.dicom.network import TITLE, Receiver
from usdlr.review.dicom.settings import PacsSettings
from usdlr.review.dicom.web import DicomWeb, Login
from usdlr.review.sending import FINISHED, send_axilla, source_of
from usdlr.review.store.engine import Store
from usdlr.review.store.worklist import WorklistQuery, worklist

USER, PASSWORD, TOKEN = "USDLR_PACS_USER", "USDLR_PACS_PASSWORD", "USDLR_PACS_TOKEN"  # names, no secrets
_PAGE = 200


def send_reviews(argv: Sequence[str], place: Callable[[Any], None], opened: Callable[[Any], Store]) -> None:
    """Send axillae whose review is finished.

    Parameters
    ----------
    argv : sequence of str
        Words after ``usdlr review send``.
    place : callable
        Adds the options that say where the review lies.
    opened : callable
        Opens it.
    """
    parser = new_parser("review send", "Send finished reviews to an archive: report (SR), segmentation, summary.")
    archive_options(parser, page=False)
    parser.add_argument("--case", type=list[int], default=[], help="numbers of cases (default: all that are finished)")
    place(parser)
    options = parse(parser, argv)
    settings = pacs_settings(options)
    if settings.sources is None and not settings.made_images:
        raise ConfigError(
            "found neither --sources nor --made_images true, expected one: a report goes into the study of the "
            "scanner's image; name --sources FOLDER, or --made_images true for an archive of tests"
        )
    archive = open_archive(settings)
    store = opened(options)
    try:
        rows = _finished(store, set(options.case))
        count, unsent = _send_all(store, rows, settings, archive)
    finally:
        archive.close()
        store.close()
    if count:
        print(f"{len(rows) - len(unsent)} axillae, {count} objects, all confirmed by {archive.name}")
    if unsent:
        raise DataError(
            f"found {len(unsent)} of {len(rows)} cases not sent or not recorded ({', '.join(map(str, unsent))}), "
            "expected all; mend what is told of each above, and send them again with --case"
        )


def _send_all(store: Store, rows: Mapping[int, str], settings: PacsSettings, archive: Archive) -> tuple[int, list[int]]:
    """Objects confirmed, and the numbers of cases that were not sent; why is told at once, by their numbers."""
    count, unsent = 0, []
    with Progress("send", len(rows)) as progress:
        for number, token in rows.items():
            try:
                source = source_of(store, token, settings)
                count += send_axilla(store, token, archive.deliver, archive.name, source_file=source)
            except InputError as error:
                say(f"case {number}: {why_words(error)}")
                unsent.append(number)
            progress.advance()
    return count, unsent


def _finished(store: Store, chosen: set[int]) -> dict[int, str]:
    """Tokens of the cases to send, by their numbers."""
    found: dict[int, str] = {}
    page = 1
    while True:
        part = worklist(store, WorklistQuery(status=FINISHED, page=page, size=_PAGE))
        found |= {row.number: row.token for row in part.rows}
        if page >= part.pages:
            break
        page += 1
    lacking = sorted(chosen - set(found))
    if lacking:
        raise DataError(
            f"found case {lacking[0]} not finished, or not there, expected a verdict on it; review it first, or leave "
            "its number out"
        )
    if not found:
        raise DataError("found no finished review, expected at least one; review a case first")
    return {number: found[number] for number in sorted(chosen or found)}


def fetch_studies(argv: Sequence[str]) -> None:
    """Fetch studies by DICOMweb into a folder that ``usdlr ingest`` reads."""
    parser = new_parser("review fetch", "Fetch ultrasound studies by DICOMweb for usdlr ingest.")
    parser.add_argument("--web", type=str, required=True, help="DICOMweb address of the archive")
    parser.add_argument("--patient", type=str, default="", help="patient id, without wildcards")
    parser.add_argument("--date", type=str, default="", help="YYYYMMDD, or YYYYMMDD-YYYYMMDD")
    parser.add_argument("--target", type=str, required=True, help="folder for the images")
    options = parse(parser, argv)
    with DicomWeb(options.web, _login()) as archive:
        studies = archive.find(patient_id=options.patient, date=options.date)
        if not studies:
            raise DataError("found no ultrasound study that fits, expected at least one; check patient and date")
        imported = import_studies(archive, [study.study_uid for study in studies], Path(options.target))
    print(f"{len(studies)} studies: {imported.sentence()}")
    print(f"next: usdlr ingest {options.target} --centre dicom --out TABLES")


def receive_images(argv: Sequence[str]) -> None:
    """Take C-STORE from archives on a list until interrupted."""
    parser = new_parser("review receive", "Receive ultrasound images by C-STORE for usdlr ingest, until Ctrl-C.")
    parser.add_argument("--callers", type=list[str], required=True, help="titles (AE) that may send")
    parser.add_argument("--host", type=str, default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=11112, help="port to listen on; 0: one that is free")
    parser.add_argument("--title", type=str, default=TITLE, help="what senders call this receiver")
    parser.add_argument("--target", type=str, required=True, help="folder for the images")
    options = parse(parser, argv)
    gate = Admission(Path(options.target))
    with Receiver(gate, options.callers, host=options.host, port=options.port, title=options.title) as receiver:
        print(f"receiving as {options.title} at {receiver.host}:{receiver.port}  (Ctrl-C ends it)", flush=True)
        threading.Event().wait()


def archive_options(parser: Any, *, page: bool) -> None:
    """Add the options that say where to send.

    Parameters
    ----------
    parser : jsonargparse parser
        The command's.
    page : bool
        Whether readers send from the page.
    """
    add = parser.add_argument
    where = "archive that readers send reports to from the page" if page else "archive"
    add("--web", type=str | None, default=None, help=f"DICOMweb address of the {where} (STOW)")
    add("--peer", type=str | None, default=None, help="or HOST:PORT:TITLE of one that takes C-STORE")
    add("--sources", type=str | None, default=None, help="folder of the scanner's DICOM images that were ingested")
    add("--made_images", type=bool, default=False, help="true: without a DICOM image, send one made of the picture")


def pacs_settings(options: Any) -> PacsSettings:
    """The archive of the options, with what to sign in with from the environment.

    A command line is seen by everybody on the machine.

    Parameters
    ----------
    options : namespace
        Of :func:`archive_options`.

    Raises
    ------
    ConfigError
        If they name no archive, or two.
    """
    sources = None if options.sources is None else Path(options.sources)
    login = _login()
    return PacsSettings(
        web=options.web,
        peer=options.peer,
        sources=sources,
        made_images=options.made_images,
        user=login.name,
        password=login.password,
        token=login.token,
    )


def _login() -> Login:
    """From the environment."""
    return Login(os.environ.get(USER, ""), os.environ.get(PASSWORD, ""), os.environ.get(TOKEN, ""))
