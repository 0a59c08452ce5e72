"""The manifest: what a centre writes arrives, and what it writes wrongly is listed, all of it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.types import ElastographyKind, MaskSource, Side, Site, SpacingSource
from usdlr.ingest import adapter as adapter_module
from usdlr.ingest.adapter import ADAPTERS, adapter_named, require_usable_ids
from usdlr.ingest.centres import load_all
from usdlr.ingest.manifest import MANIFEST_FILE, describe_columns, read_manifest, write_template
from usdlr.ingest.manifest_columns import COLUMNS, MAX_READERS, definition
from usdlr.ingest.manifest_csv import MAX_BYTES, MAX_COLUMNS
from usdlr.ingest.source import ElastographyLayout, ElastographyRef, MaskRef, SourceRow

CARD = Path(__file__).resolve().parents[2] / "data_cards" / "manifest.md"
LEAST = {"centre_id": "north", "patient_id": "p1", "bmode_file": "a.png", "mask_file": "m.png"}


def record(number: int = 1, /, **changes: Any) -> dict[str, str]:
    files = {"bmode_file": f"us/{number}.png", "mask_file": f"roi/{number}.png"}
    return {**LEAST, "patient_id": f"p{number}", **files, **changes}


def save(folder: Path, records: Iterable[dict[str, str]], separator: str = ",") -> Path:
    records = list(records)
    columns = list(dict.fromkeys(name for item in records for name in item))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", delimiter=separator)
    writer.writeheader()
    writer.writerows(records)
    return save_text(folder, text.getvalue())


def save_text(folder: Path, text: str | bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST_FILE
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(folder: Path, *records: dict[str, str], separator: str = ",") -> list[SourceRow]:
    rows = read_manifest(save(folder, records, separator))
    require_usable_ids(rows)
    return rows


def problems(folder: Path, *records: dict[str, str], separator: str = ",") -> list[str]:
    return problems_of(save(folder, records, separator))


def problems_of(path: Path) -> list[str]:
    """The lines of the refusal, whose count is the one its first line states."""
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    first, *lines = str(caught.value).splitlines()
    match = re.fullmatch(r"found (\d+) problems? in manifest.csv, expected none; .*row 1 is the header\):", first)
    assert match is not None
    assert len(lines) == int(match[1])
    return [line.strip() for line in lines]


def test_the_least_a_row_can_say(tmp_path: Path) -> None:
    assert read(tmp_path, LEAST) == [
        SourceRow(
            source_id="a",
            patient_id="north-p1",
            centre_id="north",
            files={"bmode": tmp_path / "a.png"},
            spacing_mm=None,
            spacing_source=SpacingSource.NONE,
            masks=(MaskRef(tmp_path / "m.png"),),
        )
    ]


def test_the_most_a_row_can_say(tmp_path: Path) -> None:
    said = {
        "side": "left",
        "site": "axilla",
        "lesion_id": "node 2",
        "image_id": "us.17",
        "frame": "3",
        "pane": "24 336 392 304",
        "row_mm": "0.085",
        "col_mm": "1e-1",
        "image_rows": "480",
        "image_cols": "640",
        "fov_file": "fov/1.png",
        "vendor": "Acme",
        "device": "A1",
        "view": "radial",
        "exam_day": "-12",
        "mask_label": "2",
        "mask_image": "one",
        "mask_frame": "4",
        "mask_source": "automatic",
        "reader_id": "r1",
        "mask_file_2": "roi/second.json",
        "mask_label_2": "tumour",
        "reader_id_2": "r2",
        "elasto_file": "swe/1.png",
        "elasto_layout": "overlay",
        "elasto_kind": "swe",
        "elasto_unit": "m/s",
        "elasto_frame": "2",
        "elasto_pane": "0,0,10,20",
        "elasto_palette": "jet",
        "elasto_low": "0",
        "elasto_high": "7.5",
        "tumour_size_mm": "17.5",
        "age_years": "54",
        "birads": "4c",
        "cn_stage": "cN0",
        "neoadjuvant": "false",
        "grade_core_biopsy": "2",
        "lymphovascular_invasion": "yes",
        "sln_positive": "1",
        "nsln_positive": "0",
        "positive_nodes": "2",
        "dfs_months": "36.5",
        "proxy_malignant": "TRUE",
        "proxy_t2": "no",
    }
    (row,) = read(tmp_path, record(1, **said))
    assert row == SourceRow(
        source_id="us.17-node 2",
        patient_id="north-p1",
        centre_id="north",
        files={"bmode": tmp_path / "us/1.png", "fov": tmp_path / "fov/1.png"},
        spacing_mm=(0.085, 0.1),
        spacing_source=SpacingSource.MANIFEST,
        side=Side.LEFT,
        site=Site.AXILLA,
        lesion_id="node 2",
        masks=(
            MaskRef(tmp_path / "roi/1.png", "r1", "2", "one", MaskSource.AUTOMATIC, 4),
            MaskRef(tmp_path / "roi/second.json", "r2", "tumour"),
        ),
        elastography=ElastographyRef(
            tmp_path / "swe/1.png",
            ElastographyLayout.OVERLAY,
            ElastographyKind.SWE,
            "m/s",
            frame=2,
            pane=(0, 0, 10, 20),
            palette="jet",
            scale=(0.0, 7.5),
        ),
        frame=3,
        pane=(24, 336, 392, 304),
        stated_shape=(480, 640),
        values={
            "vendor": "Acme",
            "device": "A1",
            "view": "radial",
            "exam_day": -12,
            "tumour_size_mm": 17.5,
            "age_years": 54.0,
            "birads": "4c",
            "cn_stage": "cN0",
            "neoadjuvant": False,
            "grade_core_biopsy": 2,
            "lymphovascular_invasion": True,
            "sln_positive": True,
            "nsln_positive": False,
            "positive_nodes": 2,
            "dfs_months": 36.5,
            "proxy_malignant": True,
            "proxy_t2": False,
        },
    )


def test_a_map_has_a_step_and_strain_is_relative(tmp_path: Path) -> None:
    common = {"elasto_file": "e.nii", "elasto_layout": "map"}
    one, two = read(
        tmp_path,
        record(1, **common, elasto_kind="swe", elasto_unit="kpa", elasto_step="0.01"),
        record(2, **common, elasto_kind="strain", elasto_unit="relative"),
    )
    assert one.elastography is not None
    assert (one.elastography.unit, one.elastography.step, one.elastography.scale) == ("kPa", 0.01, None)
    assert two.elastography is not None
    assert two.elastography.kind is ElastographyKind.STRAIN


def test_elastography_is_void_without_its_file(tmp_path: Path) -> None:
    (row,) = read(tmp_path, record(elasto_file="", elasto_layout="map", elasto_kind="swe", elasto_low="3"))
    assert row.elastography is None


def test_a_further_reader_stands_in_where_the_first_has_not_drawn(tmp_path: Path) -> None:
    (row,) = read(tmp_path, record(mask_file="", reader_id="r1", mask_file_2="b.png", reader_id_2="r2"))
    assert [mask.reader_id for mask in row.masks] == ["r2"]


def test_a_row_may_wait_for_its_contour(tmp_path: Path) -> None:
    one, two = read(tmp_path, record(1, mask_file="", mask_expected="false"), record(2, mask_file=""))
    assert (one.mask_required, two.mask_required) == (False, True)
    assert one.masks == two.masks == ()


def test_a_row_without_image_is_a_row(tmp_path: Path) -> None:
    (row,) = read(tmp_path, record(bmode_file=""))
    assert (row.source_id, dict(row.files)) == ("row2", {})


def test_ids_from_file_names(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        record(1, bmode_file="north/p1/img (1).png"),
        record(1, bmode_file="north/p1/img (2).png", lesion_id="2"),
        record(2, bmode_file="cine.dcm", frame="2"),
        record(2, bmode_file="cine.dcm", frame="3", mask_file="b.png"),
        record(3, bmode_file="dual.png", pane="0 0 10 10"),
        record(3, bmode_file="dual.png", pane="0 10 10 10"),
    )
    assert [row.source_id for row in rows] == [
        "north-p1-img _1_",
        "north-p1-img _2_-2",
        "cine-f2",
        "cine-f3",
        "dual-r0c0",
        "dual-r0c10",
    ]


def test_several_lesions_of_one_image_are_several_rows(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        record(1, image_id="i", mask_label="1"),
        record(1, image_id="i", mask_label="2", lesion_id="2"),
    )
    assert [(row.source_id, row.lesion_id) for row in rows] == [("i", "1"), ("i-2", "2")]


def test_names_stay_what_they_are(tmp_path: Path) -> None:
    rows = read(tmp_path, record(1, patient_id="NA"), record(2, patient_id="007"), record(3, patient_id="1.50"))
    assert [row.patient_id for row in rows] == ["north-NA", "north-007", "north-1.50"]


def test_missing_files_are_not_looked_for(tmp_path: Path) -> None:
    (row,) = read(tmp_path, record())
    assert not row.files["bmode"].exists()


# How spreadsheets write CSV.


def test_what_excel_writes_in_a_country_of_decimal_commas(tmp_path: Path) -> None:
    text = (
        "sep=;\r\n"
        "Centre_ID;patient_id;bmode_file;mask_file;row_mm;COL_MM;age_years;sln_positive;;\r\n"
        "north;Müller\u00a0;us\\1.png;roi\\1.png;0,085;0,1;54;WAHR;;\r\n"
        ";;;;;;;;;\r\n"
    ).replace("WAHR", "true")
    rows = [read_manifest(save_text(tmp_path, text.encode(encoding)))[0] for encoding in ("utf-8-sig", "cp1252")]
    rows.append(read_manifest(save_text(tmp_path, text.encode("utf-16")))[0])
    assert rows[0] == rows[1] == rows[2]
    assert rows[0].patient_id == "north-Müller"
    assert rows[0].files["bmode"] == tmp_path / "us" / "1.png"
    assert rows[0].spacing_mm == (0.085, 0.1)
    assert rows[0].values == {"age_years": 54.0, "sln_positive": True}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(tmp_path: Path, separator: str, end: str) -> None:
    path = save(tmp_path, [record(1, vendor='Acme, "Inc"; 3|4'), record(2)], separator)
    save_text(tmp_path, path.read_text().replace("\n", end))
    rows = read_manifest(path)
    assert [row.patient_id for row in rows] == ["north-p1", "north-p2"]
    assert rows[0].values["vendor"] == 'Acme, "Inc"; 3|4'


@pytest.mark.parametrize(
    ("separator", "size", "expected"),
    [
        (";", "17,5", 17.5),
        (";", "17.5", 17.5),
        ("\t", "0,5", 0.5),
        (",", "17.5", 17.5),
        (",", ".5", 0.5),
        (";", "1,5E1", 15.0),
    ],
)
def test_decimal_signs(tmp_path: Path, separator: str, size: str, expected: float) -> None:
    (row,) = read(tmp_path, record(tumour_size_mm=size), separator=separator)
    assert row.values["tumour_size_mm"] == expected


def test_a_comma_that_may_part_thousands_is_not_guessed(tmp_path: Path) -> None:
    expected = "expected a number of at least 0 in mm, with a decimal point"
    assert problems(tmp_path, record(tumour_size_mm="1,234")) == [f"row 2, tumour_size_mm: found '1,234', {expected}"]
    # Semicolons, but another number of the table has a point.
    mixed = (record(1, tumour_size_mm="1,234"), record(2, tumour_size_mm="17.5"))
    assert problems(tmp_path, *mixed, separator=";") == [f"row 2, tumour_size_mm: found '1,234', {expected}"]
    both = (record(1, tumour_size_mm="1,5", positive_nodes="1.000"),)
    assert problems(tmp_path, *both, separator=";") == [
        "row 2, positive_nodes: found '1.000', expected a whole number of at least 0 in nodes, with a decimal comma "
        "as in the rest of the table"
    ]


def test_rows_are_numbered_as_a_spreadsheet_shows_them(tmp_path: Path) -> None:
    text = (
        "centre_id,patient_id,bmode_file,mask_file,vendor,side\n"
        'north,p1,a.png,m.png,"two\nlines",left\n'
        "\n"
        ",,,,,\n"
        "north,p2,b.png,n.png,Acme,centre\n"
    )
    assert problems_of(save_text(tmp_path, text)) == [
        "row 2, vendor: found 'two\\nlines', expected one line of printable text",
        "row 5, side: found 'centre', expected left | right | unknown",
    ]


# What is wrong is listed, all at once.


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        record(1, side="middle", age_years="141", birads="7", sln_positive="maybe"),
        record(2, patient_id="", row_mm="0.1", col_mm=""),
        record(3, bmode_file="../secret.png", mask_file="/etc/passwd", frame="0"),
        record(4, positive_nodes="2.5", days_us_to_surgery="nan", exam_day="2019-03-17"),
    )
    assert found == [
        "row 2, side: found 'middle', expected left | right | unknown",
        "row 2, age_years: found '141', expected a number of at least 0 and at most 120 in years",
        "row 2, birads: found '7', expected 0 | 1 | 2 | 3 | 4 | 4a | 4b | 4c | 5 | 6",
        "row 2, sln_positive: found 'maybe', expected true or false",
        "row 3, patient_id: found nothing, expected a value",
        "row 3, col_mm: found nothing, expected a value beside row_mm",
        "row 4, bmode_file: found a value that cannot be used, expected a path relative to the manifest that stays in "
        "its folder",
        "row 4, mask_file: found a value that cannot be used, expected a path relative to the manifest that stays in "
        "its folder",
        "row 4, frame: found '0', expected a whole number of at least 1",
        "row 5, positive_nodes: found '2.5', expected a whole number of at least 0 in nodes",
        "row 5, days_us_to_surgery: found 'nan', expected a number in days",
        "row 5, exam_day: found '2019-03-17', expected a whole number in days",
    ]


def test_every_column_problem_is_listed_at_once(tmp_path: Path) -> None:
    text = "centre_id,patient_id,patient_id,bmode_fil,slm_positive,age,zzz,,row_mm\nnorth,p1,p1,a.png,1,2,3,4,x\n"
    assert problems_of(save_text(tmp_path, text)) == [
        "row 1, patient_id: found 2 columns of this name, expected one",
        "row 1: found an unknown column 'bmode_fil', expected a documented column; did you mean bmode_file?",
        "row 1: found an unknown column 'slm_positive', expected a documented column; did you mean sln_positive?",
        "row 1: found an unknown column 'age', expected a documented column",
        "row 1: found an unknown column 'zzz', expected a documented column",
        "row 1, bmode_file: found no such column, expected one, since every manifest needs it",
        "row 1, mask_file: found no such column, expected one, since every manifest needs it",
        "row 2: found a value in column 8, which has no name, expected a name in row 1",
    ]


def test_a_thousand_problems_are_counted_and_the_first_listed(tmp_path: Path) -> None:
    path = save(tmp_path, (record(number, side="middle") for number in range(1000)))
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("found 1000 problems in manifest.csv")
    assert len(lines) == 1 + 200 + 1
    assert lines[-1].strip() == "and 800 more"
    assert lines[200].startswith("  row 201, side")


CONTRADICTIONS: dict[str, tuple[tuple[dict[str, str], ...], str]] = {
    "one id twice": (
        (record(1, image_id="i"), record(2, image_id="I")),
        "row 3, image_id: found the image_id and lesion_id of row 2, expected each pair in one row",
    ),
    "an id that a lesion makes": (
        (record(1, image_id="i-2"), record(2, image_id="i", lesion_id="2")),
        "row 3, image_id: found the image_id and lesion_id of row 2, expected each pair in one row",
    ),
    "one image of two patients": (
        (record(1, image_id="i"), record(2, image_id="k", bmode_file="us/1.png")),
        "row 3, bmode_file: found the image of row 2 under another patient or side, expected one for each image",
    ),
    "one image of two sides": (
        (record(1, image_id="i", side="left"), record(1, image_id="k", side="right")),
        "row 3, bmode_file: found the image of row 2 under another patient or side, expected one for each image",
    ),
    "one contour of two lesions": (
        (record(1), record(1, lesion_id="2")),
        "row 3, mask_file: found the image and contour of row 2, expected each contour in one row",
    ),
    "two outcomes of one axilla": (
        (record(1, sln_positive="true"), record(1, sln_positive="no", bmode_file="b.png", side="unknown")),
        "row 3, sln_positive: found False beside True in row 2, expected one outcome for each axilla",
    ),
    "patients that read alike": (
        (record(1, centre_id="a", patient_id="b-c"), record(2, centre_id="a-b", patient_id="c")),
        "row 3, patient_id: found a centre_id and patient_id that read like those of row 2, expected others",
    ),
    "no layout": (
        (record(elasto_file="e.png", elasto_kind="swe", elasto_unit="kPa"),),
        "row 2, elasto_layout: found nothing, expected a value beside elasto_file",
    ),
    "strain in kPa": (
        (record(elasto_file="e.png", elasto_layout="map", elasto_kind="strain", elasto_unit="kPa"),),
        "row 2, elasto_unit: found kPa beside strain, expected kPa or m/s for swe, relative for strain",
    ),
    "an overlay without scale": (
        (record(elasto_file="e", elasto_layout="overlay", elasto_kind="swe", elasto_unit="kPa", elasto_low="0"),),
        "row 2, elasto_high: found nothing, expected the value at that end of the colour bar beside an overlay",
    ),
    "a scale upside down": (
        (
            record(
                elasto_file="e",
                elasto_layout="overlay",
                elasto_kind="swe",
                elasto_unit="kPa",
                elasto_low="180",
                elasto_high="0",
            ),
        ),
        "row 2, elasto_high: found 0 beside elasto_low = 180, expected more than elasto_low",
    ),
    "a map with a palette": (
        (record(elasto_file="e", elasto_layout="map", elasto_kind="swe", elasto_unit="kPa", elasto_palette="jet"),),
        "row 2, elasto_palette: found a value beside the layout map, expected nothing",
    ),
    "a reader without a name": (
        (record(mask_file_2="b.png"),),
        "row 2, reader_id_2: found nothing, expected who drew mask_file_2",
    ),
    "one reader twice": (
        (record(mask_file_2="b.png", reader_id="r", reader_id_2="r"),),
        "row 2, reader_id_2: found the same reader as in reader_id, expected each reader once",
    ),
    "half a shape": (
        (record(image_rows="480"),),
        "row 2, image_cols: found nothing, expected a value beside image_rows",
    ),
    "a pane of three numbers": (
        (record(pane="1 2 3"),),
        "row 2, pane: found '1 2 3', expected four whole numbers: first row, first column, rows, columns, such as 24 "
        "336 392 304",
    ),
    "centimetres in metres": (
        (record(row_mm="0.00008", col_mm="0.1"),),
        "row 2, row_mm: found '0.00008', expected a number of at least 0.001 and at most 5 in mm",
    ),
    "an id too long for a file's name": (
        (record(image_id="é" * 60, lesion_id="é" * 60),),
        "row 2, image_id: found an id made of long names, expected at most 150 bytes in all; state a short one",
    ),
    "an id that is a path": (
        (record(image_id="a/b"),),
        "row 2, image_id: found a value that cannot be used, expected letters, digits, spaces and . _ - only, and a "
        "letter or digit first",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions(tmp_path: Path, name: str) -> None:
    records, expected = CONTRADICTIONS[name]
    assert expected in problems(tmp_path, *records)


def test_too_many_cells(tmp_path: Path) -> None:
    path = save_text(tmp_path, "centre_id,patient_id,bmode_file,mask_file\nnorth,p1,a.png,m.png,0,5\n")
    assert problems_of(path) == ["row 2: found 6 cells, expected at most 4; put quotation marks around separators"]


@pytest.mark.parametrize(
    "path",
    [
        "../a.png",
        "us/../../a.png",
        "/abs/a.png",
        "\\\\server\\share\\a.png",
        "C:\\us\\a.png",
        "c:a.png",
        "us\\..\\..\\a.png",
        "a" * 300 + ".png",
        "a/" * 600 + "b.png",
        ".",
    ],
)
@pytest.mark.parametrize("column", ["bmode_file", "mask_file", "mask_file_2", "fov_file", "elasto_file"])
def test_no_path_leads_out_of_the_folder(tmp_path: Path, path: str, column: str) -> None:
    said = {"reader_id_2": "r2", "elasto_layout": "map", "elasto_kind": "swe", "elasto_unit": "kPa", column: path}
    (found,) = problems(tmp_path, record(1, **said))
    assert found.startswith(f"row 2, {column}: found a value that cannot be used, expected ")
    assert "a.png" not in found


def test_messages_quote_no_ids(tmp_path: Path) -> None:
    secret = "Mustermann"
    found = problems(
        tmp_path,
        record(
            1, patient_id=f"{secret}\t1", image_id=f"{secret}/1", lesion_id=f"{secret}?", bmode_file=f"/{secret}.png"
        ),
        record(2, image_id=secret),
        record(3, image_id=secret),
    )
    assert len(found) == 5
    assert secret not in "".join(found)


# Tables that are none.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found no documented column in the first line of manifest.csv, expected a header such as"),
        (b"\xef\xbb\xbf\r\n\r\n", "found no documented column"),
        (b"see e-mail", "found no documented column"),
        (b"PK\x03\x04\x00\x00", "is not a text file, expected CSV; save it as CSV UTF-8"),
        ("centre_id,patient_id\n".encode("utf-16-le"), "is not a text file"),
        (
            b'centre_id,patient_id,bmode_file,mask_file\nnorth,"p1,a.png,m.png\n',
            "row 2 of manifest.csv is not valid CSV",
        ),
        (b"centre_id,\x81\x8d\n", "is not a text file"),
        (b"x" * (MAX_BYTES + 1), "larger than 16 MiB"),
        (b"centre_id" + b",v" * MAX_COLUMNS, "found 501 columns in manifest.csv, expected at most 500"),
        (b"centre_id,patient_id,bmode_file,mask_file\nn," + b"p" * 200_000 + b",a,b\n", "no cell longer than"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read_manifest(save_text(tmp_path, content))


def test_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.xlsx").touch()
    with pytest.raises(DataError, match=r"found no manifest.csv .*usdlr ingest --template DIR.*CSV UTF-8"):
        read_manifest(tmp_path / MANIFEST_FILE)


def test_a_table_without_rows_has_none(tmp_path: Path) -> None:
    assert read_manifest(save_text(tmp_path, ",".join(LEAST) + "\n,,,\n")) == []


NAMES = st.sampled_from([item.name for item in COLUMNS if not item.column.pattern] + ["proxy_a", "mask_file_2", ""])
CELLS = st.one_of(
    st.sampled_from(["", "1", "0,5", "true", "left", "a.png", "../x", '"', "1e999", "²"]), st.text(max_size=12)
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(NAMES, max_size=8),
    st.lists(st.lists(CELLS, max_size=14), max_size=5),
    st.sampled_from([",", ";", "\t"]),
)
def test_any_table_is_read_or_refused(tmp_path: Path, header: list[str], rows: list[list[str]], separator: str) -> None:
    lines = [separator.join(cells) for cells in ([*LEAST, *header], *rows)]
    found: list[SourceRow] = []
    with suppress(DataError):
        found = read_manifest(save_text(tmp_path, "\n".join(lines).encode("utf-8", "replace")))
    require_usable_ids(found)
    for path in (path for row in found for path in row.paths().values()):
        assert tmp_path in path.parents
        path.is_file()  # no name that a file system chokes on


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes, behind_a_header: bool) -> None:
    head = (",".join(LEAST) + "\n").encode() if behind_a_header else b""
    with suppress(DataError):
        require_usable_ids(read_manifest(save_text(tmp_path, head + content)))


# The template and the documentation.


def test_the_template_is_a_valid_manifest(tmp_path: Path) -> None:
    written = write_template(tmp_path / "example")
    assert [path.name for path in written] == ["manifest.csv", "manifest_columns.md"]
    rows = read_manifest(written[0])
    require_usable_ids(rows)
    first, second = rows
    assert first.spacing_mm == (0.085, 0.085)
    assert [mask.reader_id for mask in first.masks] == ["reader1", "reader2"]
    assert first.elastography is not None
    assert first.elastography.layout is ElastographyLayout.OVERLAY
    assert (second.source_id, second.frame, second.spacing_mm) == ("us-0002", 3, None)
    # A spreadsheet shows every documented column.
    shown = set(pd.read_csv(written[0], encoding="utf-8-sig").columns)
    assert shown >= {item.name for item in COLUMNS if not item.column.pattern}
    assert all(definition(name) is not None for name in shown)
    assert written[1].read_text().endswith(describe_columns())


def test_the_template_overwrites_nothing(tmp_path: Path) -> None:
    path = save(tmp_path, [record()])
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"found manifest\.csv in that folder already"):
        write_template(tmp_path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["manifest.csv"]


def test_every_column_is_documented_where_centres_look() -> None:
    card = CARD.read_text()
    assert card.endswith(describe_columns())
    assert all(f"`{item.name}`" in card for item in COLUMNS if not item.column.pattern)


def test_columns_of_further_readers_end() -> None:
    assert definition(f"mask_file_{MAX_READERS}") is not None
    assert definition(f"mask_file_{MAX_READERS + 1}") is None
    assert definition("mask_file_1") is None
    assert definition("mask_expected_2") is None


# Adapters.


def test_the_adapter_reads_the_manifest_of_a_folder(tmp_path: Path) -> None:
    load_all()
    rows = read(tmp_path, record())
    adapter = adapter_named("manifest")
    assert adapter.rows(tmp_path) == rows
    assert adapter.inputs(tmp_path) == {"manifest": tmp_path / "manifest.csv"}
    assert not adapter.identifying


def test_the_documented_adapter_of_ones_own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_module, "ADAPTERS", dict(ADAPTERS))
    (example,) = re.findall(r"```python\n(.*?)```", CARD.read_text(), re.DOTALL)
    scope: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, str(CARD), "exec"), scope)
    (tmp_path / "list.csv").write_text(
        "image,patient,side,um_per_pixel,reader,age,sln\nu1,7,L,85,r1,54,1\nu2,8,?,90,r2,61,\n"
    )
    one, two = adapter_named("north_hospital").rows(tmp_path)
    assert one.files == {"bmode": tmp_path / "us" / "u1.png"}
    assert one.spacing_mm == (0.085, 0.085)
    assert (one.patient_id, one.side, one.values["sln_positive"]) == ("north_hospital-7", Side.LEFT, True)
    assert (two.side, two.values["sln_positive"]) == (Side.UNKNOWN, None)
    assert [mask.reader_id for mask in (*one.masks, *two.masks)] == ["r1", "r2"]
