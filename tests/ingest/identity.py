"""What in a DICOM file tells who the patient is, read independently of the code under test."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

IDENTIFYING = ("PatientID", "AccessionNumber", "StudyID", "OtherPatientIDs", "InstitutionName", "StationName")


def identifying_words(path: Path) -> set[str]:
    """Names, ids, dates and unique ids of a file, as far as they are long enough to be told from chance."""
    words: set[str] = set()

    def collect(_: Dataset, element: pydicom.DataElement) -> None:
        if element.VR in ("PN", "DA", "DT", "UI") or element.keyword in IDENTIFYING:
            values = element.value if isinstance(element.value, MultiValue) else [element.value]
            words.update(str(value) for value in values)

    pydicom.dcmread(path, force=True, stop_before_pixels=True).walk(collect)
    # Class and transfer-syntax identifiers are the standard's own words, the same in every file.
    return {word for word in words if len(word) >= 5 and not word.startswith("1.2.840.10008.")}


def holders(words: Iterable[str], folder: Path) -> list[str]:
    """Files below ``folder`` whose name or bytes hold one of the words, each with the word."""
    found = []
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        for word in words:
            if word.encode() in content or word.encode("utf-16-le") in content or word in path.name:
                found.append(f"{path.name}: {word}")
    return found
