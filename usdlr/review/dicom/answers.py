"""What an archive answers in the DICOM JSON model (PS3.18, annex F), read without believing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from usdlr.core.errors import DataError
from usdlr.review.dicom import codes

STORED, REFUSED = "00081199", "00081198"
INSTANCE, REASON = "00081155", "00081197"


@dataclass(frozen=True)
class FoundStudy:
    """One study that an archive knows.

    Parameters
    ----------
    study_uid : str
        StudyInstanceUID.
    patient_id, patient_name, date, description : str
        As the archive says; empty where it does not.
    modalities : tuple of str
        Modalities in the study.
    instances : int
        Number of instances, 0 where unknown.
    """

    study_uid: str
    patient_id: str
    patient_name: str
    date: str
    description: str
    modalities: tuple[str, ...]
    instances: int


def values_of(item: Any, tag: str) -> list[Any]:
    """Values of an attribute in the DICOM JSON model; empty where it is not as the standard has it."""
    attribute = item.get(tag) if isinstance(item, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return list(values) if isinstance(values, list) else []


def _text(item: Any, tag: str) -> str:
    values = values_of(item, tag)
    value = values[0] if values else ""
    if isinstance(value, dict):
        value = value.get("Alphabetic", "")
    text = str(value) if isinstance(value, str | int | float) else ""
    return "".join(letter for letter in text if letter.isprintable()).strip()


def study_of(item: Mapping[str, Any]) -> FoundStudy:
    """One study of an answer to a search.

    Raises
    ------
    DataError
        If it has no valid StudyInstanceUID.
    """
    uid = _text(item, "0020000D")
    if not codes.is_uid(uid):
        raise DataError("found a study without a valid StudyInstanceUID, expected one; check the archive")
    count = _text(item, "00201208")
    return FoundStudy(
        study_uid=uid,
        patient_id=_text(item, "00100020"),
        patient_name=_text(item, "00100010"),
        date=_text(item, "00080020"),
        description=_text(item, "00081030"),
        modalities=tuple(str(value) for value in values_of(item, "00080061") if isinstance(value, str)),
        instances=int(count) if count.isdigit() else 0,
    )


def references(report: Any, tag: str, inside: str) -> list[Any]:
    """Values of the attribute ``inside`` of every item of the sequence ``tag``: text and numbers alone.

    Examples
    --------
    >>> references({"00081199": {"Value": [{"00081155": {"Value": ["1.2"]}}]}}, STORED, INSTANCE)
    ['1.2']
    """
    return [
        value for item in values_of(report, tag) for value in values_of(item, inside) if isinstance(value, str | int)
    ]
