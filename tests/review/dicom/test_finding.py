"""The scanner's image of a case among the files of a hospital, some of which contradict each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.review.dicom.made import COLUMNS, ROWS, axilla
from usdlr.core.errors import CaseError, DataError
from usdlr.core.types import ExclusionCode, Side
from usdlr.imaging.store import read_png
from usdlr.ingest.readers.dicom_file import open_dataset
from usdlr.ingest.readers.reading import read_frame
from usdlr.review.dicom.finding import find_source
from usdlr.review.dicom.source import make_source
from usdlr.review.dicom.web import file_bytes
from usdlr.review.records import AxillaRecord


@pytest.fixture
def record(tmp_path: Path) -> AxillaRecord:
    return axilla(tmp_path / "list")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "sources"
    found.mkdir()
    return found


def scanner(folder: Path, name: str, record: AxillaRecord, **header: Any) -> Path:
    """A scanner's file with the case's pixels."""
    dataset = made(record, **header)
    path = folder / name
    path.write_bytes(file_bytes(dataset))
    return path


def made(record: AxillaRecord, **header: Any) -> Dataset:
    dataset = make_source(record, record.images[0]).dataset
    dataset.PatientID, dataset.IssuerOfPatientID = "MRN 1", "hospital"
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    "other",
    [
        {"PatientID": "MRN 2"},
        {"IssuerOfPatientID": "other hospital"},
        {"StudyInstanceUID": "1.2.3"},
        {"SeriesInstanceUID": "1.2.4"},
        {"SOPInstanceUID": "1.2.5"},
    ],
)
def test_one_image_under_two_names_is_refused(folder: Path, record: AxillaRecord, other: dict[str, str]) -> None:
    first = scanner(folder, "a", record)
    (folder / "copy").write_bytes(first.read_bytes())
    assert find_source(folder, record) == first
    scanner(folder, "b", record, **other)
    with pytest.raises(DataError, match=r"found 2 DICOM images .* take the others out") as refused:
        find_source(folder, record)
    assert "MRN" not in str(refused.value)


def test_the_other_side_is_told_and_not_passed_over(folder: Path, record: AxillaRecord) -> None:
    assert record.side is Side.LEFT
    scanner(folder, "a", record, Laterality="R")
    with pytest.raises(DataError, match="right side for a case of the left side"):
        find_source(folder, record)
    scanner(folder, "b", record, Laterality="L")
    with pytest.raises(DataError, match="right side"):
        find_source(folder, record)


def test_another_image_of_the_other_side_is_another_image(folder: Path, record: AxillaRecord) -> None:
    noise = np.random.default_rng(9).integers(60, 200, (ROWS, COLUMNS)).astype(np.uint8)
    scanner(folder, "a", record, Laterality="R", PixelData=noise.tobytes(), SOPInstanceUID="1.2.5")
    assert find_source(folder, record) is None
    mine = scanner(folder, "b", record)
    assert find_source(folder, record) == mine


def test_damaged_identifiers_are_told(folder: Path, record: AxillaRecord) -> None:
    scanner(folder, "a", record, StudyInstanceUID="")
    with pytest.raises(DataError, match="StudyInstanceUID"):
        find_source(folder, record)


def test_without_the_picture_that_was_read_nothing_is_said_of_the_sources(folder: Path, record: AxillaRecord) -> None:
    scanner(folder, "a", record)
    (Path(record.images[0].root) / "images" / "b.png").unlink()
    with pytest.raises(CaseError):
        find_source(folder, record)


def test_headers_are_read_once_and_pixels_of_large_enough_files_alone(
    folder: Path, record: AxillaRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "notes").write_text("no image")
    mine = scanner(folder, "mine", record)
    small = np.zeros((ROWS - 1, COLUMNS), np.uint8)
    scanner(folder, "small", record, Rows=ROWS - 1, PixelData=small.tobytes(), SOPInstanceUID="1.2.5")
    headers: list[str] = []
    pixels: list[str] = []
    pictures: list[Path] = []

    def opened(path: Path) -> Any:
        headers.append(path.name)
        return open_dataset(path)

    def read(path: Path, frame: int | None = None) -> Any:
        pixels.append(path.name)
        return read_frame(path, frame)

    def png(path: Path, missing: ExclusionCode, unreadable: ExclusionCode) -> Any:
        pictures.append(path)
        return read_png(path, missing, unreadable)

    monkeypatch.setattr("usdlr.review.dicom.finding.open_dataset", opened)
    monkeypatch.setattr("usdlr.review.dicom.source.read_frame", read)
    monkeypatch.setattr("usdlr.review.dicom.source.read_png", png)
    assert find_source(folder, record) == mine
    assert find_source(folder, replace(record, number=5)) == mine
    assert sorted(headers) == ["mine", "notes", "small"]
    assert pixels == ["mine", "mine"]
    assert len(pictures) == 2
    # A file that has changed is looked at again.
    larger = np.zeros((ROWS + 5, COLUMNS), np.uint8)
    scanner(folder, "small", record, Rows=ROWS + 5, PixelData=larger.tobytes(), SOPInstanceUID="1.2.5")
    assert find_source(folder, record) == mine
    assert headers[3:] == ["small"]
    assert pixels[2:] == ["mine", "small"]
