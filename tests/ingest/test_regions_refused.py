"""Headers that hold what they should not: every fault becomes a sentence, and none an exception."""

from __future__ import annotations

import io
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import config, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.ingest.us_dicom import PATIENT_NAME, TISSUE, us_header, us_region, write_us
from usdlr.core.units import Spacing
from usdlr.ingest.regions import RegionReading, parse_regions

SHAPE = (120, 200)


def planted(keyword: str, value: Any, vr: str | None = None) -> Dataset:
    """A header of one region, one element of which holds what it should not."""
    item = us_region(10, 20, 99, 89)
    tag = tag_for_keyword(keyword)
    assert tag is not None
    item.pop(tag, None)
    if value is not None or vr is not None:
        item[tag] = DataElement(tag, vr or "UL", value, validation_mode=config.IGNORE)
    return us_header(item)


PLANTED: dict[str, tuple[Dataset, str]] = {
    "delta of zero": (planted("PhysicalDeltaX", 0.0, "FD"), "0 mm between columns, expected 0.005 to 2 mm per pixel"),
    "delta not a number": (planted("PhysicalDeltaY", float("nan"), "FD"), "PhysicalDeltaY that is not finite"),
    "infinite delta": (planted("PhysicalDeltaY", float("-inf"), "FD"), "PhysicalDeltaY that is not finite"),
    "delta in mm": (planted("PhysicalDeltaY", 0.4, "FD"), "4 mm between rows"),
    "tiny delta": (planted("PhysicalDeltaX", 1e-300, "FD"), "expected 0.005 to 2 mm per pixel"),
    "no delta": (planted("PhysicalDeltaX", None), "without PhysicalDeltaX and PhysicalDeltaY"),
    "empty delta": (planted("PhysicalDeltaX", None, "FD"), "without PhysicalDeltaX and PhysicalDeltaY"),
    "text delta": (planted("PhysicalDeltaX", PATIENT_NAME, "LO"), "PhysicalDeltaX that is no single number"),
    "two deltas": (planted("PhysicalDeltaX", [0.1, 0.1], "FD"), "PhysicalDeltaX that is no single number"),
    "bytes for a delta": (planted("PhysicalDeltaX", b"\x01\x02", "UN"), "PhysicalDeltaX that is no single number"),
    "strange decimal": (planted("PhysicalDeltaX", Decimal("sNaN"), "FD"), "PhysicalDeltaX that is not finite"),
    "nested delta": (planted("PhysicalDeltaX", Sequence([Dataset()]), "SQ"), "PhysicalDeltaX that is no single number"),
    "end before beginning": (us_header(us_region(50, 20, 49, 90)), "ends that are not before their beginnings"),
    "negative beginning": (planted("RegionLocationMinX0", -1, "SL"), "at x -1 to 99"),
    "huge end": (planted("RegionLocationMaxX1", 10**400, "IS"), "RegionLocationMaxX1 that is not finite"),
    "large end": (planted("RegionLocationMaxX1", 10**30, "IS"), "RegionLocationMaxX1 that is no whole number"),
    "fractional end": (planted("RegionLocationMaxX1", 9.5, "FD"), "RegionLocationMaxX1 that is no whole number"),
    "no bounds": (planted("RegionLocationMinY0", None), "without RegionLocationMinY0"),
    "no format": (planted("RegionSpatialFormat", None), "without RegionSpatialFormat"),
    "no data type": (planted("RegionDataType", None), "without RegionDataType"),
    "no unit": (planted("PhysicalUnitsXDirection", None), "without PhysicalUnitsXDirection"),
    "unit in words": (planted("PhysicalUnitsXDirection", "cm", "LO"), "PhysicalUnitsXDirection that is no single num"),
    "an empty item": (us_header(Dataset()), "without RegionLocationMinX0"),
    "two calibrations of one place": (
        us_header(us_region(0, 0, 9, 9, 0.01, 0.01), us_region(0, 0, 9, 9, 0.01, 0.0102)),
        "regions 1 and 2 at one place with 0.1 x 0.1 mm per pixel (rows x columns) and 0.102 x 0.1 mm",
    ),
    "too many": (us_header(*[us_region(0, 0, 9, 9) for _ in range(65)]), "found 65 ultrasound regions"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_faults_are_refused_in_words(name: str) -> None:
    dataset, part = PLANTED[name]
    reading = parse_regions(dataset, SHAPE)
    assert reading.regions == ()
    assert len(reading.refused) == 1
    assert part in reading.refused[0]
    assert reading.refused[0].startswith("found ")
    assert ", expected " in reading.refused[0]
    assert PATIENT_NAME not in reading.refused[0]


@pytest.mark.parametrize(
    ("keyword", "value", "vr"), [("RegionFlags", PATIENT_NAME, "LO"), ("ReferencePixelX0", b"\xff", "OB")]
)
def test_faults_that_no_distance_depends_on(keyword: str, value: Any, vr: str) -> None:
    (region,) = parse_regions(planted(keyword, value, vr), SHAPE).regions
    assert region.spacing == Spacing.from_cm(0.01, 0.01)
    assert region.reference_col is None


@pytest.mark.parametrize("value", [None, "", [], Sequence([])])
def test_an_empty_sequence_is_no_calibration(value: Any) -> None:
    dataset = Dataset()
    dataset[0x00186011] = DataElement(0x00186011, "LO" if isinstance(value, str) else "SQ", value)
    assert parse_regions(dataset, SHAPE) == RegionReading()
    assert parse_regions(Dataset(), SHAPE) == RegionReading()


@pytest.mark.parametrize("keyword", ["SequenceOfUltrasoundRegions", "PerFrameFunctionalGroupsSequence"])
@pytest.mark.parametrize(("vr", "value"), [("LO", "text"), ("LO", ["a", "b"]), ("OB", b"\x00\x01"), ("FD", 3.0)])
def test_a_sequence_of_another_kind_is_refused(keyword: str, vr: str, value: Any) -> None:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    dataset = Dataset()
    dataset[tag] = DataElement(tag, vr, value, validation_mode=config.IGNORE)
    reading = parse_regions(dataset, SHAPE)
    assert reading.regions == ()
    assert f"with {keyword} that is no sequence" in reading.refused[0]


def test_damaged_bytes_never_raise(tmp_path: Path) -> None:
    """Values are converted late: a flipped VR or length shows only when it is asked for."""
    items = [us_region(0, 0, 99, 59, 0.01, 0.02, reference=(3, 4)), us_region(0, 60, 99, 119, data_type=TISSUE)]
    path = write_us(tmp_path / "a.dcm", np.zeros(SHAPE, np.uint8), items)
    content = path.read_bytes()
    start = content.index(b"\x18\x00\x11\x60")
    end = content.index(b"\x28\x00\x02\x00", start)
    assert end - start > 200
    rng = random.Random(3)
    outcomes = {"read": 0, "refused": 0, "unreadable": 0}
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 2, 5))):
            damaged[rng.randrange(start, end)] = rng.randrange(256)
        try:
            dataset = dcmread(io.BytesIO(damaged), stop_before_pixels=True)
        except Exception:  # the reader's part, not this one's
            outcomes["unreadable"] += 1
            continue
        reading = parse_regions(dataset, SHAPE)
        outcomes["refused" if reading.refused else "read"] += 1
    assert min(outcomes["read"], outcomes["refused"]) > 20, outcomes
