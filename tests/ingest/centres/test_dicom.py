"""A folder of DICOM files: the public ones, ones written with pydicom, and everything else a folder can hold."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.ingest.us_dicom import PATIENT_ID, PATIENT_NAME, us_region, write_us
from usdlr.core.types import ExclusionCode, Side, SpacingSource
from usdlr.ingest.adapter import require_usable_ids
from usdlr.ingest.centres.dicom import MAX_FRAMES, DicomFolder
from usdlr.ingest.source import SourceRow

CARD = Path(__file__).resolve().parents[3] / "data_cards" / "dicom.md"
GREY = np.tile(np.arange(80, dtype=np.uint8), (60, 1))


def usable(rows: list[SourceRow]) -> list[SourceRow]:
    require_usable_ids(rows)
    return [row for row in rows if row.refusal is None]


def refusals(rows: list[SourceRow]) -> list[tuple[ExclusionCode, str]]:
    require_usable_ids(rows)
    return [(row.refusal.code, row.refusal.sentence) for row in rows if row.refusal is not None]


@pytest.fixture(scope="module")
def public(shared_data: Path) -> list[SourceRow]:
    return DicomFolder().rows(shared_data / "dicom_us_regions")


def test_every_public_file_is_a_case_and_every_licence_an_exclusion(public: list[SourceRow]) -> None:
    counts = Counter(row.files["bmode"].name for row in usable(public))
    assert counts == {
        "JPGLosslessP14SV1_1s_1f_8b.dcm": 1,
        "OBXXXX1A.dcm": 1,
        "OBXXXX1A_2frame.dcm": 2,
        "OBXXXX1A_rle.dcm": 1,
        "US1_J2KR.dcm": 1,
        "US1_UNCR.dcm": 1,
        "color-pl.dcm": 1,
        "examples_palette.dcm": 1,
        "examples_rgb_color.dcm": 1,
        "examples_ybr_color.dcm": 30,
        "gdcm-US-ALOKA-16.dcm": 2,
        "gdcm-US-ALOKA-16_big.dcm": 2,
    }
    assert [code for code, _ in refusals(public)] == [ExclusionCode.IMAGE_UNREADABLE] * 2
    assert not any(row.masks or row.mask_required for row in public)


def test_two_panes_are_two_images(public: list[SourceRow]) -> None:
    for name in ("gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm"):
        rows = [row for row in public if row.files["bmode"].name == name]
        # Measured on the file: x 32-335 and 336-639, y 24-415, both ends included.
        assert [row.pane for row in rows] == [(24, 32, 392, 304), (24, 336, 392, 304)]
        assert [row.source_id[-3:] for row in rows] == ["-p1", "-p2"]
        assert {row.side for row in rows} == {Side.RIGHT}
    assert all(row.pane is None for row in public if "ALOKA" not in row.files["bmode"].name)


def test_files_that_share_an_identifier_stay_apart(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = DicomFolder().rows(shared_data / "dicom_us_regions")
    said = capsys.readouterr().err
    assert "found 6 DICOM files that share a SOPInstanceUID but not their content" in said
    assert "found 2 DICOM files without PatientID" in said
    ids = [row.source_id for row in rows if row.files["bmode"].name in ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm")]
    first, second = (name.rsplit("-", 1) for name in ids)
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_patients(public: list[SourceRow]) -> None:
    patients = {row.files["bmode"].name: row.patient_id for row in usable(public)}
    assert patients["OBXXXX1A.dcm"] == patients["OBXXXX1A_rle.dcm"] == patients["examples_palette.dcm"]
    assert patients["US1_J2KR.dcm"] == patients["US1_UNCR.dcm"] != patients["OBXXXX1A.dcm"]
    # Without PatientID: each is the only file of its study.
    assert len({patients["JPGLosslessP14SV1_1s_1f_8b.dcm"], patients["color-pl.dcm"], *patients.values()}) == 6


def test_the_card_states_the_hash_of_each_public_file(shared_data: Path) -> None:
    stated = dict(re.findall(r"\| `([\w.-]+\.dcm)` \| `([0-9a-f]{64})` \|", CARD.read_text()))
    folder = shared_data / "dicom_us_regions"
    assert stated == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.dcm")}


def test_what_a_header_says_arrives(tmp_path: Path) -> None:
    tags: dict[str, Any] = {"Laterality": "L", "PatientAge": "047Y", "SeriesDescription": PATIENT_NAME}
    path = write_us(tmp_path / "a.dcm", GREY, [us_region(0, 0, 79, 59)], **tags)
    (row,) = usable(DicomFolder().rows(tmp_path))
    assert row.files == {"bmode": path}
    assert (row.patient_id, row.side, row.frame, row.pane) == (PATIENT_ID, Side.LEFT, None, None)
    # The header calibrates: the row states nothing, and nothing free-hand goes on.
    assert (row.spacing_mm, row.spacing_source) == (None, SpacingSource.NONE)
    assert row.values == {"age_years": 47.0, "vendor": "Maker", "device": "Scanner 1"}


def test_an_impossible_age_is_none(tmp_path: Path) -> None:
    write_us(tmp_path / "a.dcm", GREY, PatientAge="999Y")
    assert usable(DicomFolder().rows(tmp_path))[0].values["age_years"] is None


def test_each_frame_of_a_short_stack_is_a_row(tmp_path: Path) -> None:
    halves = [us_region(0, 0, 39, 59), us_region(40, 0, 79, 59)]
    write_us(tmp_path / "a.dcm", np.stack([GREY] * 3), frames=3, per_frame=[[], halves, halves[:1]])
    rows = usable(DicomFolder().rows(tmp_path))
    assert [(row.frame, row.pane) for row in rows] == [
        (1, None),
        (2, (0, 0, 60, 40)),
        (2, (0, 40, 60, 40)),
        (3, None),
    ]


def test_which_frame_of_a_long_clip_is_meant_nobody_knows(tmp_path: Path) -> None:
    write_us(tmp_path / "a.dcm", np.stack([GREY] * (MAX_FRAMES + 1)), frames=MAX_FRAMES + 1)
    write_us(tmp_path / "b.dcm", np.stack([GREY] * MAX_FRAMES), frames=MAX_FRAMES)
    rows = DicomFolder().rows(tmp_path)
    ((code, sentence),) = refusals(rows)
    assert code is ExclusionCode.FRAME_UNSTATED
    assert "found file 1 of 2 with 65 frames, expected at most 64" in sentence
    assert len(usable(rows)) == MAX_FRAMES


def test_folders_below_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/1.dcm", "a/2", "a/c/3.dcm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_us(tmp_path / name, GREY)
    rows = usable(DicomFolder().rows(tmp_path))
    assert [str(row.files["bmode"].relative_to(tmp_path)) for row in rows] == ["a/2", "a/c/3.dcm", "b/1.dcm"]


def test_a_copy_is_kept_and_told_apart(tmp_path: Path) -> None:
    write_us(tmp_path / "a.dcm", GREY)
    for name in ("b.dcm", "c.dcm"):
        shutil.copy(tmp_path / "a.dcm", tmp_path / name)
    first, second, third = (row.source_id for row in usable(DicomFolder().rows(tmp_path)))
    assert (second, third) == (f"{first}-copy2", f"{first}-copy3")


def test_whatever_else_lies_in_the_folder_is_an_exclusion_without_names(tmp_path: Path) -> None:
    write_us(tmp_path / "Erika_Mustermann.dcm", GREY)
    (tmp_path / "README Mustermann.txt").write_text("see e-mail")
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (tmp_path / "empty").touch()
    Image.fromarray(GREY).save(tmp_path / "Mustermann.png")
    (tmp_path / "cut Mustermann.dcm").write_bytes((tmp_path / "Erika_Mustermann.dcm").read_bytes()[:150])
    (tmp_path / "elsewhere").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    write_us(tmp_path / "damaged Mustermann.dcm", GREY, NumberOfFrames=-3)
    os.mkfifo(tmp_path / "pipe")
    rows = DicomFolder().rows(tmp_path)
    assert len(usable(rows)) == 1
    found = refusals(rows)
    assert len(found) == 9
    assert all(re.search(r"found file \d+ of 10 ", sentence) for _, sentence in found)
    assert {code for code, _ in found} == {ExclusionCode.IMAGE_UNREADABLE}
    assert not [s for _, s in found if "ustermann" in s or str(tmp_path) in s]
    assert any("in PNG format, expected DICOM" in sentence for _, sentence in found)


@pytest.mark.parametrize("modality", ["MG", "SEG", "SR"])
def test_another_modality_is_no_ultrasound_picture(tmp_path: Path, modality: str) -> None:
    write_us(tmp_path / "a.dcm", GREY, Modality=modality)
    ((code, sentence),) = refusals(DicomFolder().rows(tmp_path))
    assert code is ExclusionCode.IMAGE_UNREADABLE
    assert f"of modality {modality}, expected US" in sentence


def test_the_study_stands_for_a_patient_without_id(tmp_path: Path) -> None:
    for name, study in (("a", "1.2.3"), ("b", "1.2.3"), ("c", "1.2.4")):
        write_us(tmp_path / f"{name}.dcm", GREY, PatientID="", StudyInstanceUID=study)
    patients = [row.patient_id for row in usable(DicomFolder().rows(tmp_path))]
    assert patients[0] == patients[1] != patients[2]


def test_without_patient_and_study_nobody_knows_whose_image_it_is(tmp_path: Path) -> None:
    write_us(tmp_path / "a.dcm", GREY, PatientID="", StudyInstanceUID="")
    ((code, sentence),) = refusals(DicomFolder().rows(tmp_path))
    assert code is ExclusionCode.IDENTITY_MISSING
    assert "neither PatientID nor StudyInstanceUID" in sentence


def test_an_identifier_that_is_none_does_not_reach_a_file_name(tmp_path: Path) -> None:
    path = write_us(tmp_path / "a.dcm", GREY, SOPInstanceUID="1.2.3.4")
    path.write_bytes(path.read_bytes().replace(b"1.2.3.4", b"../../x"))
    (row,) = usable(DicomFolder().rows(tmp_path))
    assert re.fullmatch(r"file-[0-9a-f]{12}", row.source_id)


def test_ids_identify_patients() -> None:
    assert DicomFolder.identifying


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1500), st.binary(min_size=1, max_size=12))
def test_damaged_headers_only_become_exclusions(tmp_path: Path, place: int, damage: bytes) -> None:
    path = tmp_path / "a.dcm"
    if not (tmp_path / "whole").is_dir():
        (tmp_path / "whole").mkdir()
        write_us(tmp_path / "whole" / "a.dcm", GREY, [us_region(0, 0, 39, 59), us_region(40, 0, 79, 59)])
    whole = (tmp_path / "whole" / "a.dcm").read_bytes()
    path.write_bytes(whole[:place] + damage + whole[place + len(damage) :])
    rows = DicomFolder().rows(tmp_path)
    require_usable_ids(rows)
    assert len(rows) >= 3  # the whole file's two panes, and something about the damaged one
