"""What de-identification does with each element of a DICOM header, and what it says when a file cannot be exported."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from typing import Any

from usdlr.core.errors import DataError, InputError

# The newest of the library's copies of the standard's table E.1-1.
PROFILE = "dicomfields_2026c"

NUMBERS = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT", "DS", "IS"})
MAKER = frozenset({"Manufacturer", "ManufacturerModelName"})
CODE = frozenset({"CodeValue", "CodingSchemeDesignator", "CodeMeaning"})
EXAM_DATES = frozenset(
    {
        "StudyDate",
        "SeriesDate",
        "AcquisitionDate",
        "ContentDate",
        "InstanceCreationDate",
        "AcquisitionDateTime",
        "FrameAcquisitionDateTime",
        "FrameReferenceDateTime",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepEndDate",
    }
)
BULK = frozenset(
    {
        *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
        *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
        "LUTData",
    }
)
PATIENT_NAMES = frozenset(
    {"PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson"}
)
NUMBERED = frozenset(
    {"PatientID", "OtherPatientIDs", "AccessionNumber", "DeviceSerialNumber", "StudyID", "PatientBirthDate"}
)


class Refusal(StrEnum):
    """Why a file is not exported. Never rename one: reports carry them."""

    NOT_DICOM = "not_dicom"
    UNREADABLE = "unreadable"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    NO_IMAGE = "no_image"
    IDENTITY_MISSING = "identity_missing"
    FIELD_OF_VIEW_UNCERTAIN = "field_of_view_uncertain"
    TEXT_REMAINS = "text_remains"
    WORKER_DIED = "worker_died"


class RefusedError(InputError):
    """One file that cannot be exported safely; the message holds no value of it.

    Parameters
    ----------
    code : Refusal
        Machine-readable reason.
    sentence : str
        What was found, what was expected, how to mend it.
    """

    def __init__(self, code: Refusal, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Action(StrEnum):
    """What became of one element."""

    REMOVED = "removed"
    EMPTIED = "emptied"
    REPLACED = "replaced"
    SHIFTED = "shifted"
    KEPT = "kept"


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from quoting values in warnings and log lines, and from refusing values that are removed anyway."""
    try:
        from pydicom import config
    except ImportError as error:
        raise DataError("found no pydicom, expected it for DICOM files; run: pip install usdlr[dicom]") from error
    before = config.logger.disabled
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        config.logger.disabled = True
        try:
            yield
        finally:
            config.logger.disabled = before


@cache
def profile_rules() -> dict[tuple[int, int], Action | None]:
    """What the profile does with each tag; ``None``: the sequence stays and its items are cleaned."""
    try:
        from dicomanonymizer.simpledicomanonymizer import initialize_actions
    except ImportError as error:
        raise DataError(
            "found no dicom-anonymizer, expected it for de-identification; run: pip install usdlr[dicom]"
        ) from error
    # Nothing whose dummy value ("D") an ultrasound image needs is text: such an element is removed like any other.
    fates: dict[str, Action | None] = {
        "delete": Action.REMOVED,
        "replace": Action.REMOVED,
        "delete_or_replace": Action.REMOVED,
        "delete_or_empty_or_replace": Action.REMOVED,
        "delete_or_empty": Action.EMPTIED,
        "empty": Action.EMPTIED,
        "empty_or_replace": Action.EMPTIED,
        "replace_UID": Action.REPLACED,
        "delete_or_empty_or_replace_UID": None,
    }
    # Tags of repeating groups have masks; those groups are removed whole.
    return {
        (tag[0], tag[1]): fates.get(rule.__name__, Action.REMOVED)
        for tag, rule in initialize_actions(PROFILE).items()
        if len(tag) == 2
    }


def code_meaning(item: Any) -> str | None:
    """What a published scheme says that the code of this item means; a scanner's own wording is not trusted."""
    if "CodeValue" not in item:
        return None
    scheme, value = (first_text(item, word) for word in ("CodingSchemeDesignator", "CodeValue"))
    return _published_codes().get((scheme, value))


@cache
def _published_codes() -> dict[tuple[str, str], str]:
    from pydicom.sr.codedict import codes

    known: dict[tuple[str, str], str] = {}
    for scheme in codes.schemes():
        concepts = getattr(codes, scheme)
        for name in concepts.dir():
            try:
                code = getattr(concepts, name)
            except (AttributeError, RuntimeError):  # one name for several codes
                continue
            known[scheme, code.value] = code.meaning[:64]
    for old, new in _retired_snomed().items():
        meaning = known.get(("SCT", new))
        if meaning is not None:
            known.update({(scheme, old): meaning for scheme in ("SRT", "SNM3", "99SDM")})
    return known


def _retired_snomed() -> dict[str, str]:
    try:
        from pydicom.sr._snomed_dict import mapping
    except ImportError:
        return {}
    return dict(mapping.get("SRT", {}))


def keyword_of(tag: Any) -> str:
    """The standard's name of a tag; empty for a private or unknown one."""
    from pydicom.datadict import keyword_for_tag

    return "" if tag.is_private else str(keyword_for_tag(tag))


def vr_agrees(element: Any) -> bool:
    """Whether the file gives an element the type that the standard does, e.g. no text in a number's place."""
    from pydicom.datadict import dictionary_VR

    return element.VR in str(dictionary_VR(element.tag)).split(" or ")


def texts(dataset: Any, keyword: str) -> list[str]:
    """The values of an element as text without padding; none when it is absent, empty or cannot be decoded."""
    try:
        value = dataset.get(keyword)
        # A person's name can be iterated too, letter by letter.
        values = list(value) if isinstance(value, MutableSequence) else [value]
        return [text for text in (str(item).strip() for item in values if item is not None) if text]
    except Exception:  # any value that pydicom cannot decode
        return []


def first_text(dataset: Any, keyword: str) -> str:
    """The first value of an element as text, empty when there is none."""
    return next(iter(texts(dataset, keyword)), "")
