from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless

from tests.ingest.readers.writers import compressed, dataset, save, speckle
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode, Side
from usdlr.core.units import Spacing
from usdlr.ingest.readers.dicom_header import age_in_years, read_header
from usdlr.ingest.readers.reading import read_frame


def test_every_field(tmp_path: Path) -> None:
    made = dataset(
        np.stack([speckle()] * 3),
        frames=3,
        StudyDate="20240131",
        ImageLaterality="L",
        PatientAge="045Y",
        Manufacturer="ACME ",
        ManufacturerModelName="Sono 1",
        ImageType=["ORIGINAL", "PRIMARY"],
        SeriesDescription="BREAST LT",
    )
    header = read_header(save(made, tmp_path / "a"))
    assert header.sop_instance_uid == made.SOPInstanceUID
    assert header.sop_class_uid == made.SOPClassUID
    assert (header.patient_id, header.study_date, header.modality) == ("SECRET-7", "20240131", "US")
    assert (header.laterality, header.patient_age_years) == (Side.LEFT, 45.0)
    assert (header.manufacturer, header.model, header.view) == ("ACME", "Sono 1", "BREAST LT")
    assert (header.frames, header.image_type, header.is_image) == (3, ("ORIGINAL", "PRIMARY"), True)


def test_nothing_is_invented(tmp_path: Path) -> None:
    made = dataset(None)
    del made.PatientID
    header = read_header(save(made, tmp_path / "a"))
    assert (header.patient_id, header.study_date, header.manufacturer, header.view) == ("", "", "", "")
    assert (header.laterality, header.patient_age_years, header.frames) == (Side.UNKNOWN, None, 1)
    assert not header.is_image


@pytest.mark.parametrize(
    ("elements", "side"),
    [
        ({"Laterality": "R"}, Side.RIGHT),
        ({"Laterality": "R", "ImageLaterality": "R"}, Side.RIGHT),
        ({"Laterality": "L", "ImageLaterality": "R"}, Side.UNKNOWN),
        ({"ImageLaterality": "B"}, Side.UNKNOWN),
        ({"ImageLaterality": "U", "Laterality": "L"}, Side.LEFT),
    ],
)
def test_sides_that_contradict_each_other_are_unknown(elements: dict[str, Any], side: Side, tmp_path: Path) -> None:
    assert read_header(save(dataset(speckle(), **elements), tmp_path / "a")).laterality is side


@pytest.mark.parametrize(
    ("text", "years"),
    [("045Y", 45.0), ("018M", 1.5), ("052W", 52 * 7 / 365.25), ("010D", 10 / 365.25), ("45", None), ("", None),
     ("-5Y", None), ("0045Y", None), (None, None), ("45 Y", None)],
)  # fmt: skip
def test_ages(text: str | None, years: float | None) -> None:
    assert age_in_years(text) == (None if years is None else pytest.approx(years))


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, JPEG2000Lossless])
def test_pixels_are_noticed_under_every_encoding(syntax: str, tmp_path: Path) -> None:
    deflated = syntax == DeflatedExplicitVRLittleEndian
    made = dataset(speckle(), syntax=syntax) if deflated else compressed(speckle(), syntax)
    header = read_header(save(made, tmp_path / "a"))
    assert header.is_image
    assert header.patient_id == "SECRET-7"


def test_a_header_costs_no_pixels(tmp_path: Path) -> None:
    path = save(dataset(speckle(512, 512)), tmp_path / "a")
    whole = path.read_bytes()
    path.write_bytes(whole[:-200_000])  # pixels are cut off, the header is whole
    assert read_header(path).is_image


@pytest.mark.parametrize("content", [b"", b"not DICOM at all, but a long enough text to be read" * 20, b"\x08\0\x05\0"])
def test_other_files_are_a_case_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "Doe_Jane.dcm"
    path.write_bytes(content)
    with pytest.raises(CaseError) as caught:
        read_header(path)
    assert caught.value.code is ExclusionCode.IMAGE_UNREADABLE
    assert "Doe" not in caught.value.sentence
    with pytest.raises(CaseError) as caught:
        read_header(tmp_path / "nowhere")
    assert caught.value.code is ExclusionCode.IMAGE_MISSING


def test_spacings_are_kept_apart_and_rows_come_first(tmp_path: Path) -> None:
    made = dataset(speckle(), PixelSpacing=[0.1, 0.3], ImagerPixelSpacing=[0.2, 0.4], NominalScannedPixelSpacing=[9, 9])
    frame = read_frame(save(made, tmp_path / "a"))
    assert frame.pixel_spacing == Spacing(0.1, 0.3)
    assert frame.imager_pixel_spacing == Spacing(0.2, 0.4)
    made = dataset(speckle(), NominalScannedPixelSpacing=[9, 9])
    frame = read_frame(save(made, tmp_path / "a"))
    assert frame.pixel_spacing is None
    assert frame.imager_pixel_spacing is None


@pytest.mark.parametrize(
    "value", [b"0.1", b"0.1\\0.2\\0.3 ", b"0\\0.1 ", b"-1\\1", b"nan\\1 ", b"a\\b ", b"inf\\1 ", b""]
)
def test_malformed_spacing_is_no_spacing(value: bytes, tmp_path: Path) -> None:
    made = dataset(speckle(), PixelSpacing=[7, 7])
    path = save(made, tmp_path / "a")
    content = path.read_bytes()
    start = content.index(b"\x28\x00\x30\x00DS")
    end = start + 8 + int.from_bytes(content[start + 6 : start + 8], "little")
    padded = value + b" " * (len(value) % 2)
    element = content[start : start + 6] + len(padded).to_bytes(2, "little") + padded
    path.write_bytes(content[:start] + element + content[end:])
    assert read_frame(path).pixel_spacing is None


def _measures(row_mm: float, col_mm: float) -> Dataset:
    measures, item = Dataset(), Dataset()
    measures.PixelSpacing = [row_mm, col_mm]
    item.PixelMeasuresSequence = Sequence([measures])
    return item


def test_functional_groups_give_the_spacing_of_their_frame(tmp_path: Path) -> None:
    made = dataset(np.stack([speckle()] * 2), frames=2, PixelSpacing=[1.5, 1.5])
    made.SharedFunctionalGroupsSequence = Sequence([_measures(0.5, 0.6)])
    path = save(made, tmp_path / "a")
    assert read_frame(path, 2).pixel_spacing == Spacing(0.5, 0.6)
    made.PerFrameFunctionalGroupsSequence = Sequence([_measures(0.1, 0.2), _measures(0.3, 0.4)])
    save(made, path)
    assert read_frame(path, 1).pixel_spacing == Spacing(0.1, 0.2)
    assert read_frame(path, 2).pixel_spacing == Spacing(0.3, 0.4)


def test_regions_are_asked_for_this_frame_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from usdlr.ingest import regions

    asked: dict[str, Any] = {}

    class Reading:
        regions = ()
        refused = ("a region does not fit",)

    def fake(header: Dataset, *, shape: tuple[int, int], frame: int) -> Reading:
        asked.update(shape=shape, frame=frame, modality=header.Modality)
        return Reading()

    monkeypatch.setattr(regions, "parse_regions", fake, raising=False)
    made = dataset(np.stack([speckle(30, 40)] * 2), frames=2)
    frame = read_frame(save(made, tmp_path / "a"), 2)
    assert asked == {"shape": (30, 40), "frame": 2, "modality": "US"}
    assert frame.refused == ("a region does not fit",)


def test_pydicom_says_nothing_about_values(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = save(dataset(speckle(), PatientAge="045Y"), tmp_path / "a")
    path.write_bytes(path.read_bytes().replace(b"045Y", b"Doe!").replace(b"OB\0\0", b"OB\0\0"))
    with warnings.catch_warnings(record=True) as seen, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        assert read_header(path).patient_age_years is None
        read_frame(path)
    out, err = capfd.readouterr()
    assert not [warning for warning in seen if "Doe" in str(warning.message)]
    assert "Doe" not in out + err + caplog.text
