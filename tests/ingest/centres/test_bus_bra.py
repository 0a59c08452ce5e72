"""BUS-BRA: its real tables, and tables with every fault."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from usdlr.core.errors import DataError, InputError
from usdlr.core.types import Side, SpacingSource
from usdlr.ingest.adapter import require_usable_ids
from usdlr.ingest.centres.bus_bra import BusBra
from usdlr.ingest.source import SourceRow

CARD = Path(__file__).resolve().parents[3] / "data_cards" / "bus_bra.md"
HEADER = "ID,Case,Histology,Pathology,BIRADS,Device,Width,Height,Side,BBOX"
LINES = (
    'bus_0001-l,1,fibroadenoma,benign,4,GE Logiq 7 @10-14MHz,274,353,left,"[91,24,103,79]"',
    'bus_0001-r,1,fibroadenoma,benign,4,GE Logiq 7 @10-14MHz,275,353,right,"[102,24,82,79]"',
    'bus_0002-s,2,invasive ductal carcinoma,malignant,5,Toshiba Aplio 300 @12-14 MHz,360,352,single,"[1,2,3,4]"',
)


def export(folder: Path, *lines: str, header: str = HEADER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bus_data.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder


@pytest.fixture(scope="module")
def real(shared_data: Path) -> list[SourceRow]:
    return BusBra().rows(shared_data / "bus_bra")


def test_every_line_of_the_official_table_is_a_row(real: list[SourceRow]) -> None:
    require_usable_ids(real)
    assert len(real) == 1875
    assert len({row.patient_id for row in real}) == 1064
    # The published composition: 722 benign and 342 malignant patients.
    patients = {row.patient_id: row.values["proxy_malignant"] for row in real}
    assert Counter(patients.values()) == {False: 722, True: 342}
    here = [row for row in real if row.files["bmode"].is_file()]
    assert len(here) == 765
    assert len({row.patient_id for row in here}) == 429
    assert sum(row.values["proxy_malignant"] for row in here) == 250
    assert all(row.masks[0].path.is_file() for row in here)


def test_a_patients_images_are_kept_together(real: list[SourceRow]) -> None:
    views = defaultdict(list)
    for row in real:
        views[row.patient_id].append(row.values["view"])
    assert Counter(tuple(sorted(found)) for found in views.values()) == {("left", "right"): 811, ("single",): 253}


def test_left_and_right_are_views_not_sides_of_the_body(real: list[SourceRow]) -> None:
    # The left view of patient 7 carries the burned-in words "MAMA DIREITA", right breast.
    assert {row.side for row in real} == {Side.UNKNOWN}


def test_there_is_no_spacing(real: list[SourceRow]) -> None:
    assert {(row.spacing_mm, row.spacing_source) for row in real} == {(None, SpacingSource.NONE)}


def test_scanners(real: list[SourceRow]) -> None:
    assert Counter(row.values["vendor"] for row in real) == {"GE": 902 + 809, "Toshiba": 139, "U-Systems": 25}
    assert len({row.values["device"] for row in real}) == 4


def test_the_stated_sizes_are_handed_on_wrong_or_not(real: list[SourceRow]) -> None:
    from PIL import Image

    wrong = []
    for row in real:
        if row.files["bmode"].is_file():
            with Image.open(row.files["bmode"]) as image:
                if row.stated_shape != (image.height, image.width):
                    wrong.append(row.source_id)
    assert wrong == ["bus_0856-l", "bus_0857-r", "bus_0912-l", "bus_0990-l"]


def test_what_a_line_says_arrives(tmp_path: Path) -> None:
    rows = BusBra().rows(export(tmp_path / "s", *LINES))
    assert [row.source_id for row in rows] == ["bus_0001-l", "bus_0001-r", "bus_0002-s"]
    assert rows[0].patient_id == rows[1].patient_id == "bus_bra-0001"
    last = rows[2]
    assert last.stated_shape == (352, 360)
    assert last.files == {"bmode": tmp_path / "s" / "Images" / "bus_0002-s.png"}
    assert [mask.path for mask in last.masks] == [tmp_path / "s" / "Masks" / "mask_0002-s.png"]
    assert last.values == {
        "birads": "5",
        "vendor": "Toshiba",
        "device": "Toshiba Aplio 300 @12-14 MHz",
        "view": "single",
        "proxy_malignant": True,
        "proxy_birads5": True,
    }
    assert rows[0].values["proxy_birads5"] is False


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bus_0001-r,1", "bus_0001-r,2", r"Case = '2' in row 3 .*expected 1, the number in the row's ID"),
        ("bus_0001-r", "bus_0001-r,extra", r"found 11 cells in row 3 .*expected 10"),
        ("bus_0001-r", "../../0001-r", r"ID = '../../0001-r' in row 3"),
        (",275,", ",-275,", "Width = '-275' in row 3 .*expected a positive whole number"),
        (",275,", ",0,", "Width = '0'"),
        ("right", "both", r"Side = 'both' in row 3 .*expected left \| right \| single"),
        ("-r,1,fibroadenoma,benign", "-r,1,fibroadenoma,unknown", "Pathology = 'unknown' in row 3"),
        ("-r,1,fibroadenoma,benign,4", "-r,1,fibroadenoma,benign,", "BIRADS = '' in row 3"),
    ],
)
def test_a_line_that_cannot_be_understood_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    source = export(tmp_path / "s", LINES[0], LINES[1].replace(old, new), LINES[2])
    with pytest.raises(DataError, match=message):
        BusBra().rows(source)


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    source = export(tmp_path / "s", *LINES, header=HEADER.replace("Side", "View"))
    with pytest.raises(DataError, match=r"found no column Side in bus_data\.csv, expected ID, Case"):
        BusBra().rows(source)
    (source / "bus_data.csv").write_bytes(b"")
    with pytest.raises(DataError, match="not a readable CSV table"):
        BusBra().rows(source)
    (source / "bus_data.csv").unlink()
    with pytest.raises(DataError, match=r"found no bus_data\.csv"):
        BusBra().rows(source)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=300), st.tuples(st.integers(0, 400), st.binary(max_size=20))))
def test_damaged_bytes_only_raise_our_own_errors(tmp_path: Path, damage: bytes | tuple[int, bytes]) -> None:
    source = export(tmp_path / "s", *LINES)
    path = source / "bus_data.csv"
    if isinstance(damage, tuple):
        whole = path.read_bytes()
        damage = whole[: damage[0]] + damage[1] + whole[damage[0] + len(damage[1]) :]
    path.write_bytes(damage)
    with suppress(InputError):
        BusBra().rows(source)


def test_the_card_states_the_hash_of_each_table(shared_data: Path) -> None:
    stated = dict(re.findall(r"`([\w.-]+\.csv)`[^\n]*`([0-9a-f]{64})`", CARD.read_text()))
    found = {
        name: hashlib.sha256((shared_data / "bus_bra" / name).read_bytes()).hexdigest()
        for name in ("bus_data.csv", "5-fold-cv.csv", "10-fold-cv.csv")
    }
    assert stated == found
