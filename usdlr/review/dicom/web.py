"""DICOMweb: search (QIDO-RS), fetch (WADO-RS) and store (STOW-RS) at a picture archive.

Searching sends what is searched for as part of the archive's own address, as the standard has it; nothing of it is
logged here. Certificates are checked, addresses of other places are not followed, and a password goes over an
encrypted connection or to this very machine, nowhere else.
"""

from __future__ import annotations

import io
import ipaddress
import logging
import secrets
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from pydicom.dataset import Dataset

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.untrusted import strict_json
from usdlr.ingest.readers.dicom_file import quiet
from usdlr.review.dicom import codes
from usdlr.review.dicom.answers import INSTANCE, REASON, REFUSED, STORED, FoundStudy, references, study_of
from usdlr.review.dicom.multipart import Bounds, boundary_of, decode, encode

JSON = "application/dicom+json"
DICOM = 'multipart/related; type="application/dicom"'
MAX_JSON_BYTES = 16 << 20
MOST_FOUND = 500
LONGEST_SEARCH = 64
WILDCARDS = "*?\\"
_private: ContextVar[bool] = ContextVar("_private", default=False)


class _Silence(logging.Filter):
    """Keeps addresses, which hold patients, out of every log while a request of this module runs."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _private.get()


for _name in ("httpx", *(f"httpcore.{_part}" for _part in ("connection", "http11", "http2", "proxy", "socks"))):
    logging.getLogger(_name).addFilter(_Silence())


@dataclass(frozen=True)
class Login:
    """How to sign in at an archive: a name with a password, or a token.

    Parameters
    ----------
    name, password : str
        HTTP Basic.
    token : str
        Bearer token; comes before the name.
    """

    name: str = ""
    password: str = ""
    token: str = ""

    def __repr__(self) -> str:
        return "Login(...)"

    @property
    def given(self) -> bool:
        """Whether there is anything to sign in with."""
        return bool(self.name or self.token)


class DicomWeb:
    """A client of one archive; safe to use from several threads.

    Parameters
    ----------
    url : str
        Root of the service, such as ``https://pacs.example.org/dicom-web``.
    login : Login
        What to sign in with; by default nothing.
    ca_file : Path, optional
        Certificates of the authorities to trust instead of the system's.
    timeout_s : float
        For connecting and for every pause of the archive, in seconds.
    bounds : Bounds
        What one answer may grow to.

    Raises
    ------
    ConfigError
        If the address is none, holds a password, or is not encrypted although there is something to sign in with.
    """

    def __init__(
        self,
        url: str,
        login: Login | None = None,
        *,
        ca_file: Path | None = None,
        timeout_s: float = 30.0,
        bounds: Bounds | None = None,
    ) -> None:
        login = login or Login()
        root = _checked_url(url, secret=login.given)
        headers = {"Accept-Encoding": "identity", "User-Agent": "usdlr"}
        if login.token:
            headers["Authorization"] = f"Bearer {login.token}"
        self.bounds = bounds or Bounds()
        self._root = str(root).rstrip("/")
        self._client = httpx.Client(
            auth=httpx.BasicAuth(login.name, login.password) if login.name and not login.token else None,
            headers=headers,
            timeout=timeout_s,
            verify=ssl.create_default_context(cafile=None if ca_file is None else str(ca_file)),
            # Neither a proxy nor a password of the environment: images go where the settings say.
            trust_env=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def __enter__(self) -> DicomWeb:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def find(self, *, patient_id: str = "", date: str = "", modality: str = "US", limit: int = 100) -> list[FoundStudy]:
        """Studies of a patient, a day, or both (QIDO-RS).

        Parameters
        ----------
        patient_id : str
            The exact PatientID; wildcards are refused, they would find other patients.
        date : str
            ``YYYYMMDD``, or a range ``YYYYMMDD-YYYYMMDD``.
        modality : str
            One that is in the study; empty: any.
        limit : int
            At most so many, up to :data:`MOST_FOUND`.

        Raises
        ------
        ConfigError
            If nothing, or something that cannot be, is searched for.
        DataError
            If the archive cannot be reached, refuses, or answers what cannot be understood.
        """
        query = {
            "limit": str(max(1, min(limit, MOST_FOUND))),
            "includefield": "StudyDescription,ModalitiesInStudy,NumberOfStudyRelatedInstances",
        }
        if not patient_id and not date:
            raise ConfigError("found an empty search, expected a PatientID or a date; state one")
        if patient_id:
            query["PatientID"] = _exact(patient_id)
        if date:
            query["StudyDate"] = _date(date)
        if modality:
            query["ModalitiesInStudy"] = _exact(modality)
        answer = self._json("GET", "/studies", params=query)
        found = [study_of(item) for item in answer if isinstance(item, dict)]
        # An archive that does not know a filter ignores it, and answers with everybody.
        if patient_id and any(study.patient_id != patient_id for study in found):
            raise DataError(
                "found studies of other patients in the answer, expected the one asked for; the archive ignores "
                "PatientID: search by date"
            )
        return found

    def fetch(self, study_uid: str) -> Iterator[bytes]:
        """The instances of a study as DICOM files, one after the other (WADO-RS).

        Parameters
        ----------
        study_uid : str
            StudyInstanceUID.

        Yields
        ------
        bytes
            A DICOM file, unchecked.

        Raises
        ------
        DataError
            If the archive cannot be reached, refuses, sends more than the bounds, or stops in the middle.
        """
        address = f"/studies/{_uid(study_uid)}"
        # `*` lets the archive keep the compression that it has; usdlr reads all that its readers know.
        accept = f"{DICOM}; transfer-syntax=*"
        with self._answer("GET", address, headers={"Accept": accept}) as answer:
            boundary = boundary_of(answer.headers.get("content-type", ""))
            yield from decode(answer.iter_bytes(), boundary, self.bounds)

    def store(self, datasets: Sequence[Dataset]) -> tuple[str, ...]:
        """Store instances; either the archive confirms every one, or this fails and says which it did not.

        Parameters
        ----------
        datasets : sequence of pydicom Dataset
            With file meta information.

        Returns
        -------
        tuple of str
            SOPInstanceUID of each, as confirmed.

        Raises
        ------
        DataError
            If the archive cannot be reached, or does not confirm every instance.
        """
        files = [file_bytes(dataset) for dataset in datasets]
        boundary = f"usdlr-{secrets.token_hex(16)}"
        headers = {"Content-Type": f"{DICOM}; boundary={boundary}", "Accept": JSON}
        answer = self._json(
            "POST", "/studies", headers=headers, content=b"".join(encode(files, boundary)), also=(202, 409)
        )
        report = answer[0] if isinstance(answer, list) and answer else answer
        confirmed = set(references(report, STORED, INSTANCE))
        wanted = [str(dataset.SOPInstanceUID) for dataset in datasets]
        missing = [uid for uid in wanted if uid not in confirmed]
        if missing:
            found = references(report, REFUSED, REASON)
            reasons = sorted({f"{reason:#06x}" for reason in found if isinstance(reason, int)})
            why = f" with the reasons {', '.join(reasons)}" if reasons else ""
            raise DataError(
                f"found {len(missing)} of {len(wanted)} instances not confirmed by the archive{why}, expected all; "
                "they may not be stored: send again"
            )
        return tuple(wanted)

    def _json(self, method: str, address: str, *, also: tuple[int, ...] = (), **request: Any) -> Any:
        headers = {"Accept": JSON, **request.pop("headers", {})}
        with self._answer(method, address, also=also, headers=headers, **request) as answer:
            content = bytearray()
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > MAX_JSON_BYTES:
                    raise DataError(
                        f"found an answer of more than {MAX_JSON_BYTES >> 20} MiB, expected less; search more narrowly"
                    )
        return [] if not content else strict_json(bytes(content), "the archive's answer", most_bytes=MAX_JSON_BYTES)

    @contextmanager
    def _answer(
        self, method: str, address: str, *, also: tuple[int, ...] = (), **request: Any
    ) -> Iterator[httpx.Response]:
        """An answer whose body has not been read.

        A generator that was left half-way is closed by whoever drops it; the flag is therefore set and unset at both
        ends, and not by a token of this context.
        """
        _private.set(True)
        try:
            with self._client.stream(method, self._root + address, **request) as answer:
                if answer.status_code == httpx.codes.NO_CONTENT or answer.is_success or answer.status_code in also:
                    if answer.headers.get("content-encoding", "identity") != "identity":
                        raise DataError("found a compressed answer, expected a plain one; check the archive's settings")
                    yield answer
                    return
                raise DataError(_status(answer.status_code))
        except httpx.TimeoutException:
            raise DataError(
                "found no answer from the archive in time, expected one; check its address, or try again"
            ) from None
        except httpx.HTTPError as error:
            # Its message holds the address, hence perhaps the patient.
            raise DataError(
                f"found no connection to the archive ({type(error).__name__}), expected one; check its address and "
                "certificate"
            ) from None
        finally:
            _private.set(False)


def file_bytes(dataset: Dataset) -> bytes:
    """A dataset as a DICOM file with preamble and file meta information."""
    stream = io.BytesIO()
    with quiet():
        dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _checked_url(url: str, *, secret: bool) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise ConfigError("found an address that is none, expected https://HOST/PATH; correct it") from None
    if parsed.scheme not in ("https", "http") or not parsed.host or parsed.query or parsed.fragment:
        raise ConfigError("found an address that is not plain http(s), expected https://HOST/PATH; correct it")
    if parsed.userinfo:
        raise ConfigError("found a password in the address, expected it apart; state name and password by themselves")
    if secret and parsed.scheme == "http" and not _is_loopback(parsed.host):
        raise ConfigError("found a password for an address without encryption, expected https; correct the address")
    return parsed


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _exact(text: str) -> str:
    if len(text) > LONGEST_SEARCH or any(letter in WILDCARDS or not letter.isprintable() for letter in text):
        raise ConfigError(
            f"found a wildcard or more than {LONGEST_SEARCH} characters to search for, expected an exact value; "
            "state it in full"
        )
    return text


def _date(text: str) -> str:
    parts = text.split("-")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() and len(part) == 8 for part in parts):
        raise ConfigError("found a date to search for, expected YYYYMMDD or YYYYMMDD-YYYYMMDD; correct it")
    return text


def _uid(text: str) -> str:
    if not codes.is_uid(text):
        raise ConfigError("found a StudyInstanceUID that is none, expected digits and dots; correct it")
    return text


def _status(code: int) -> str:
    hints: Mapping[int, str] = {401: "check name and password", 403: "ask for the right", 404: "check the address"}
    return f"found the archive answering {code}, expected 200; {hints.get(code, 'look into its log')}"
