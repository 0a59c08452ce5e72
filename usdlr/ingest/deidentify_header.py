"""De-identification of a DICOM header: the basic profile of PS3.15, made stricter where the profile trusts free text.

The rules are those of dicom-anonymizer, which keeps the standard's table E.1-1. They name what is known to identify;
whatever else is text survives only when it is on a short list that this study needs:

- removed: private elements, overlays, curves, unknown elements, free text, codes that no published scheme holds, icons;
- replaced with keyed pseudonyms: patient id, patient name, every unique identifier;
- moved by the patient's secret number of days: dates of the examination. Times of day are removed, and so are all other
  dates: the known day of a device's calibration would betray the shift;
- kept: maker and model of the scanner, sex, age (from 90 years on: ``090Y``), numbers, calibration regions.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import usdlr
from usdlr.core.errors import DataError
from usdlr.ingest.deidentify_rules import (
    BULK,
    CODE,
    EXAM_DATES,
    MAKER,
    NUMBERED,
    NUMBERS,
    PATIENT_NAMES,
    Action,
    Refusal,
    RefusedError,
    code_meaning,
    first_text,
    keyword_of,
    profile_rules,
    quiet_pydicom,
    texts,
    vr_agrees,
)
from usdlr.ingest.pseudonyms import parse_date, pseudonym, pseudonym_uid, shift_date, shift_datetime, shift_days

PATIENT_PREFIX = "anon-"
OLDEST = 89

CODE_STRING = re.compile(r"[A-Z0-9 _/.+-]{0,16}", re.ASCII)
AGE = re.compile(r"(\d{3})([DWMY])", re.ASCII)
# Words this short occur in any header: "OB" as a name says nothing, and neither does "204" as an id.
SHORTEST_WORD = 4
DEEPEST = 32

METHOD = (
    f"usdlr {usdlr.__version__}",
    "DICOM PS3.15 E.1 basic profile; free text removed",
    "identifiers replaced by keyed pseudonyms",
    "exam dates moved by a secret number of days; times removed",
    "kept: sex, age up to 89 years, maker and model of the scanner",
)
# PS3.16, CID 7050.
METHOD_CODES = {
    "113100": "Basic Application Confidentiality Profile",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
}
PIXELS_CODE = {"113101": "Clean Pixel Data Option"}
PIXELS_METHOD = "pixels outside the scan regions and text inside blanked"


@dataclass
class Removed:
    """What was done to a header, without a single value.

    Parameters
    ----------
    patient : str
        The patient's pseudonym.
    counts : Counter
        Number of elements by ``(tag, keyword, action)``; the keyword of an unknown or private element is empty.
    """

    patient: str
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def total(self, action: Action) -> int:
        """Number of elements that met this fate."""
        return sum(count for (_, _, done), count in self.counts.items() if done == action)


@dataclass
class _Patient:
    """What one file's elements are judged by."""

    key: bytes
    pseudonym: str
    days: int
    words: re.Pattern[str] | None
    removed: Removed


def deidentify_dataset(dataset: Any, key: bytes, *, pixels_cleaned: bool = False) -> Removed:
    """Remove from a DICOM header, in place, what tells who the patient is.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Changed in place. Pixels are left as they are.
    key : bytes
        Secret key of the pseudonyms.
    pixels_cleaned : bool
        Whether burned-in text has been blanked already; the header then says so.

    Returns
    -------
    Removed
        What was done.

    Raises
    ------
    RefusedError
        If nothing in the header tells one patient from another.
    DataError
        If pydicom or dicom-anonymizer is not installed.

    References
    ----------
    DICOM PS3.15, annex E, with the options Retain Longitudinal Temporal Information with Modified Dates (dates only),
    Retain Patient Characteristics (sex and age only) and Retain Device Identity (maker and model only).
    """
    rules = profile_rules()
    with quiet_pydicom():
        identity = _identity(dataset)
        name = pseudonym(key, "patient", identity, prefix=PATIENT_PREFIX)
        patient = _Patient(key, name, shift_days(key, identity), _words(dataset), Removed(name))
        age = _age(dataset)
        _clean(dataset, patient, rules, 0)
        _describe(dataset, name, age, pixels_cleaned)
        _clean_file_meta(dataset)
    return patient.removed


def _identity(dataset: Any) -> str:
    """What tells this patient from others, best first."""
    name, born = first_text(dataset, "PatientName"), first_text(dataset, "PatientBirthDate")
    for kind, value in (
        ("id", first_text(dataset, "PatientID")),
        ("name", f"{name} {born}" if name else ""),
        ("study", first_text(dataset, "StudyInstanceUID")),
    ):
        if value:
            return f"{kind}:{value}"
    raise RefusedError(
        Refusal.IDENTITY_MISSING,
        "found neither a patient id nor a name nor a study's unique identifier, expected one to keep patients apart; "
        "export the file again from the archive",
    )


def _words(dataset: Any) -> re.Pattern[str] | None:
    """The patient's names and numbers as whole words, to be found again where they do not belong."""
    words: set[str] = set()
    for keyword in NUMBERED | PATIENT_NAMES:
        for value in texts(dataset, keyword):
            parts = re.split(r"[\^=,\s]+", value) if keyword in PATIENT_NAMES else [value]
            words |= {part for part in parts if len(part) >= SHORTEST_WORD}
    if not words:
        return None
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, sorted(words))) + r")(?!\w)", re.IGNORECASE)


def _clean(dataset: Any, patient: _Patient, rules: dict[tuple[int, int], Action | None], depth: int) -> None:
    meaning = code_meaning(dataset)
    for tag in list(dataset.keys()):
        keyword = keyword_of(tag)
        try:
            action = _clean_element(dataset, tag, keyword, patient, rules, depth, meaning)
        except Exception:  # a value that cannot be decoded cannot be judged either
            action = Action.REMOVED
        if action is Action.REMOVED:
            del dataset[tag]
        elif action is Action.EMPTIED:
            element = dataset[tag]
            element.value = [] if element.VR == "SQ" else None if element.VR in NUMBERS else ""
        patient.removed.counts[f"({tag.group:04X},{tag.element:04X})", keyword, str(action)] += 1


def _clean_element(
    dataset: Any,
    tag: Any,
    keyword: str,
    patient: _Patient,
    rules: dict[tuple[int, int], Action | None],
    depth: int,
    meaning: str | None,
) -> Action:
    """Judge one element; replaces its value where that is the verdict."""
    # Private, unknown, group lengths, curves and overlays; an icon or any other picture within a sequence.
    if not keyword or tag.element == 0 or tag.group >> 8 in (0x50, 0x60):
        return Action.REMOVED
    if tag.group == 0x7FE0:
        return Action.KEPT if depth == 0 else Action.REMOVED
    if tag.group in (0x0000, 0x0002, 0x0004, 0xFFFA, 0xFFFC):
        return Action.REMOVED
    element = dataset[tag]  # converts the value: text in a number's place raises here
    if not vr_agrees(element):
        return Action.REMOVED
    rule = rules.get((tag.group, tag.element), Action.KEPT)
    if keyword in ("PatientID", "PatientName"):
        element.value = patient.pseudonym
        return Action.REPLACED
    if keyword in EXAM_DATES:
        return _shift(element, patient)
    if element.VR == "UI":
        return _replace_uid(element, patient, rule)
    if keyword == "PatientSex":
        return Action.KEPT if element.value in ("M", "F", "O") else Action.EMPTIED
    if element.VR == "SQ":
        if rule in (Action.REMOVED, Action.EMPTIED):
            return rule
        return _clean_sequence(element, patient, rules, depth)
    if rule is not Action.KEPT:
        return rule or Action.REMOVED
    if element.VR in NUMBERS or keyword in BULK:
        return Action.KEPT
    if keyword in CODE:
        if meaning is None:
            return Action.REMOVED
        element.value = meaning if keyword == "CodeMeaning" else element.value
        return Action.KEPT
    if element.VR == "CS":
        return _judge_code_string(element, keyword, patient)
    if keyword in MAKER:
        return Action.REMOVED if patient.words and patient.words.search(str(element.value)) else Action.KEPT
    return Action.REMOVED


def _clean_sequence(element: Any, patient: _Patient, rules: dict[tuple[int, int], Action | None], depth: int) -> Action:
    if depth >= DEEPEST:
        return Action.REMOVED
    for item in element.value:
        _clean(item, patient, rules, depth + 1)
    items = [item for item in element.value if len(item)]
    if not items:
        return Action.REMOVED
    element.value = items
    return Action.KEPT


def _shift(element: Any, patient: _Patient) -> Action:
    if not element.value:
        return Action.KEPT
    shift = shift_date if element.VR == "DA" else shift_datetime
    try:
        element.value = shift(str(element.value), patient.days)
    except DataError:
        return Action.EMPTIED
    return Action.SHIFTED


def _replace_uid(element: Any, patient: _Patient, rule: Action | None) -> Action:
    from pydicom.uid import UID

    if rule in (Action.REMOVED, Action.EMPTIED):
        return rule
    if not element.value:
        return Action.KEPT
    values = [element.value] if isinstance(element.value, str) else list(element.value)
    # The standard's own identifiers name classes and codings, never an examination.
    if rule is Action.KEPT and all(UID(str(value)).name != str(value) for value in values):
        return Action.KEPT
    replaced = [pseudonym_uid(patient.key, str(value)) for value in values]
    element.value = replaced[0] if len(replaced) == 1 else replaced
    return Action.REPLACED


def _judge_code_string(element: Any, keyword: str, patient: _Patient) -> Action:
    values = [element.value] if isinstance(element.value, str) else list(element.value or [])
    sound = [
        value
        for value in values
        if CODE_STRING.fullmatch(value)
        # What describes the pixels comes from a closed list, whatever the patient is called.
        and (element.tag.group == 0x0028 or not (patient.words and patient.words.search(value)))
    ]
    if len(sound) == len(values):
        return Action.KEPT
    if keyword == "ImageType" and sound[:2] == values[:2]:
        element.value = sound
        return Action.REPLACED
    return Action.REMOVED


def _age(dataset: Any) -> str | None:
    """The age at the examination, as the header says it or from the dates that are about to go."""
    found = AGE.fullmatch(first_text(dataset, "PatientAge"))
    if found is not None:
        number, unit = int(found[1]), found[2]
    else:
        try:
            born, seen = (parse_date(first_text(dataset, word)) for word in ("PatientBirthDate", "StudyDate"))
        except DataError:
            return None
        number, unit = seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day)), "Y"
        if not 0 <= number <= 150:
            return None
    # Few people are older: one class for all of them.
    return f"{OLDEST + 1:03d}Y" if unit == "Y" and number > OLDEST else f"{number:03d}{unit}"


def _describe(dataset: Any, name: str, age: str | None, pixels_cleaned: bool) -> None:
    """Say in the header what was done to it."""
    from pydicom.dataset import Dataset

    dataset.PatientID = dataset.PatientName = name
    if age is not None:
        dataset.PatientAge = age
    # Everything that is left is plain ASCII but, perhaps, the maker's name.
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    dataset.DeidentificationMethod = [*METHOD, *([PIXELS_METHOD] if pixels_cleaned else [])]
    items = []
    for value, meaning in (METHOD_CODES | (PIXELS_CODE if pixels_cleaned else {})).items():
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        items.append(item)
    dataset.DeidentificationMethodCodeSequence = items
    if pixels_cleaned:
        dataset.BurnedInAnnotation = "NO"


def _clean_file_meta(dataset: Any) -> None:
    """Leave what a reader needs; the rest names programs and machines, and a preamble can hold another file."""
    meta = getattr(dataset, "file_meta", None)
    dataset.preamble = bytes(128)
    if meta is None:
        return
    for tag in list(meta.keys()):
        if keyword_of(tag) not in ("FileMetaInformationVersion", "TransferSyntaxUID"):
            del meta[tag]
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if keyword in dataset:
            setattr(meta, f"MediaStorage{keyword}", dataset[keyword].value)
