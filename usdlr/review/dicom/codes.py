"""Codes, unique identifiers and times that all DICOM objects of usdlr share.

Standard codes are used where the standard has one: SNOMED CT (``SCT``), DICOM's own (``DCM``), UCUM for units. What
only usdlr knows, such as its risk groups, has the private scheme :data:`SCHEME`; its meanings never change.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.uid import UID

import usdlr
from usdlr.core.errors import DataError
from usdlr.core.types import ContractStatus, RiskGroup, Side, Stage
from usdlr.decision.wording import P_NSLN, P_SLN
from usdlr.review import words
from usdlr.review.acts import VERDICTS, Act, Status

MANUFACTURER = "usdlr"
SCHEME = "99USDLR"
SCHEME_NAME = "usdlr, ultrasound deep-learning radiomics"
CHARACTERS = "ISO_IR 192"
"""UTF-8: names and sentences hold more than ASCII."""
UID_FORM = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+", re.ASCII)
LONGEST_UID = 64
LONGEST_NAME = 64

SIDES = {Side.LEFT: standard.SCT.Left, Side.RIGHT: standard.SCT.Right}
LATERALITY = {Side.LEFT: "L", Side.RIGHT: "R"}
STAGE_LABELS: Mapping[Stage, str] = {Stage.SLN: P_SLN, Stage.NSLN: P_NSLN}


def own(value: str, meaning: str) -> CodedConcept:
    """A code of the private scheme.

    Parameters
    ----------
    value : str
        At most 16 characters.
    meaning : str
        At most 64 characters.

    Examples
    --------
    >>> own("RING", "Peritumoral ring").scheme_designator
    '99USDLR'
    """
    return CodedConcept(value, SCHEME, meaning)


PROBABILITY = {stage: own(f"P-{stage.upper()}", STAGE_LABELS[stage]) for stage in Stage}
THRESHOLD = {stage: own(f"T-{stage.upper()}", f"Threshold of {STAGE_LABELS[stage]}") for stage in Stage}
LOW = {stage: own(f"LOW-{stage.upper()}", f"90 % interval, lower end: {STAGE_LABELS[stage]}") for stage in Stage}
HIGH = {stage: own(f"HIGH-{stage.upper()}", f"90 % interval, upper end: {STAGE_LABELS[stage]}") for stage in Stage}
PRINTED = {stage: own(f"TEXT-{stage.upper()}", f"As printed: {STAGE_LABELS[stage]}") for stage in Stage}
REACHED = {stage: own(f"ASKED-{stage.upper()}", f"Question asked: {STAGE_LABELS[stage]}") for stage in Stage}

RISK_GROUP = own("GROUP", "Risk group of the axilla")
GROUPS = {group: own(str(group), f"Risk group {group}") for group in RiskGroup}
CONTRACT = own("CONTRACT", "Standing of the false-negative contract")
CONTRACTS = {
    ContractStatus.CERTIFIED: own("CERTIFIED", "Certified"),
    ContractStatus.MARGINAL: own("MARGINAL", "Marginal only, uncertified"),
    ContractStatus.NOT_CERTIFIABLE: own("UNCERTIFIED", "Not certifiable, uncertified"),
}
REVIEW_STATUS = own("STATUS", "Review status of the axilla")
STATUSES = {status: own(f"IS-{status.upper()}", words.status_words(status)) for status in Status}
VERDICT = own("VERDICT", "Reader's verdict")
VERDICT_CODES = {act: own(f"ACT-{act.upper()}", words.act_words(Act(act))) for act in VERDICTS}
VERDICT_GROUP = own("VERDICT-GROUP", "Risk group by the reader")
VERDICT_TIME = own("VERDICT-TIME", "Time of the verdict")
VERDICT_REASON = own("VERDICT-REASON", "Reader's reason")
NOTICE = own("NOTICE", "Notice")
COHORT = own("COHORT", "Cohort behind the numbers")
CONTRACT_TEXT = own("CONTRACT-TEXT", "False-negative contract")
PROXY = own("PROXY", "Proxy endpoint")
DECISION = own("DECISION", "Decision")
WARNING = own("WARNING", "Warning")
FLAG = own("FLAG", "Image quality")
LEFT_OUT = own("LEFT-OUT", "Image left out")
LONGEST_TEXT = own("TEXT-LONGEST", "As printed: longest diameter")
ORTHOGONAL_TEXT = own("TEXT-ORTHOGONAL", "As printed: diameter across the longest")
RING = own("RING", "Peritumoral ring")
DRAWN = own("DRAWN", "Who drew the contour")
DRAWN_BY = {
    "MANUAL": own("MANUAL", "A reader"),
    "SEMIAUTOMATIC": own("SEMIAUTOMATIC", "Software, corrected by a reader"),
    "AUTOMATIC": own("AUTOMATIC", "Software, corrected by nobody"),
}
QUALITATIVE_EVALUATIONS = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
YES, NO = standard.SCT.Yes, standard.SCT.No


def uid_from(*parts: str) -> str:
    """A unique identifier that depends on nothing but its parts.

    References
    ----------
    DICOM PS3.5, B.2: ``2.25.`` and a UUID as a decimal number; RFC 9562, version 8 (bits chosen by the maker), which
    come from SHA-256 here.

    Examples
    --------
    >>> uid_from("a", "b") == uid_from("a", "b") != uid_from("ab")
    True
    >>> is_uid(uid_from("a"))
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    bits = int.from_bytes(digest.digest()[:16], "big")
    # Version and variant of the UUID.
    bits = bits & ~(0xF << 76) & ~(0x3 << 62) | (0x8 << 76) | (0x2 << 62)
    return f"2.25.{uuid.UUID(int=bits).int}"


def is_uid(text: str) -> bool:
    """Whether a text is a DICOM unique identifier (PS3.5, 9.1): no path, no query, no surprise.

    Examples
    --------
    >>> is_uid("1.2.840.10008.1.1"), is_uid("../../etc"), is_uid("1.2.03")
    (True, False, False)
    """
    return len(text) <= LONGEST_UID and UID_FORM.fullmatch(text) is not None


def person_name(display: str) -> str:
    """What is shown of somebody, as a DICOM person name of one component.

    Examples
    --------
    >>> person_name("Dr. Ada^Lovelace=x")
    'Dr. Ada Lovelace x'
    """
    plain = "".join(" " if letter in "^=\\" or not letter.isprintable() else letter for letter in display)
    return " ".join(plain.split())[:LONGEST_NAME]


def plain(text: str) -> str:
    r"""Text without line breaks and control characters, which viewers show badly or read as an escape.

    Examples
    --------
    >>> plain("two\n lines\x1b(B")
    'two lines (B'
    """
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def date_time(moment: datetime) -> str:
    """A moment as DICOM DT in UTC; the zone stands in TimezoneOffsetFromUTC, because DCMTK 3.6 rejects it here.

    Examples
    --------
    >>> date_time(datetime(2026, 3, 1, 9, 30, tzinfo=UTC))
    '20260301093000'
    """
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S")


def moment_of(text: str) -> datetime:
    """A moment of a record, ISO 8601; without a time zone it is UTC.

    Raises
    ------
    DataError
        If it is no moment.

    Examples
    --------
    >>> moment_of("2026-03-01T09:30:00Z").hour
    9
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"found the time {text[:40]!r}, expected ISO 8601; the record is damaged") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def stamp(dataset: Dataset, made: datetime | None, *, coded: bool = True) -> None:
    """Write who made an instance and when, in UTC, and whose its private codes are.

    Parameters
    ----------
    dataset : pydicom Dataset
        Changed in place.
    made : datetime or None
        When; ``None`` leaves it unsaid.
    coded : bool
        Whether the instance holds private codes.
    """
    if made is not None:
        utc = made.astimezone(UTC)
        for keyword in ("InstanceCreation", "Content"):
            setattr(dataset, f"{keyword}Date", utc.strftime("%Y%m%d"))
            setattr(dataset, f"{keyword}Time", utc.strftime("%H%M%S"))
        dataset.TimezoneOffsetFromUTC = "+0000"
        for tool in dataset.get("ContributingEquipmentSequence", ()):
            tool.ContributionDateTime = date_time(made)
    dataset.SpecificCharacterSet = CHARACTERS
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MANUFACTURER
    dataset.DeviceSerialNumber = usdlr.__version__
    dataset.SoftwareVersions = usdlr.__version__
    dataset.InstanceCreatorUID = uid_from("usdlr", "creator")
    if coded:
        scheme = Dataset()
        scheme.CodingSchemeDesignator = SCHEME
        scheme.CodingSchemeName = SCHEME_NAME
        scheme.CodingSchemeVersion = usdlr.__version__
        dataset.CodingSchemeIdentificationSequence = [scheme]
    if hasattr(dataset, "file_meta"):
        dataset.file_meta.ImplementationClassUID = UID(uid_from("usdlr", "implementation"))
        dataset.file_meta.ImplementationVersionName = f"USDLR_{usdlr.__version__}"[:16]


def printed_numbers(text: str) -> list[float]:
    """The numbers of a printed text, so that a report states what the page shows and nothing finer.

    Examples
    --------
    >>> printed_numbers("12.3 to 45.7 %"), printed_numbers("18.3 mm")
    ([12.3, 45.7], [18.3])
    """
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def text_of(dataset: Any, keyword: str) -> str:
    """An element as printable text; empty where it is absent, empty or damaged."""
    try:
        value = dataset.get(keyword)
    except Exception:  # pydicom converts lazily, and raises nearly anything on a damaged value
        return ""
    text = "" if value is None else str(value)
    return "".join(letter for letter in text if letter.isprintable()).strip()
