"""Against a real archive: what is sent comes back with the same numbers, masks and pixels."""

from __future__ import annotations

import io
import logging
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import UID

from tests.review.dicom.conftest import NAME, PASSWORD, Orthanc, need
from tests.review.dicom.made import (
    BOTTOM,
    COL_MM,
    COLUMNS,
    LEFT,
    MODEL,
    RIGHT,
    ROW_MM,
    ROWS,
    STATE,
    TOP,
    axilla,
    lesion,
    picture,
)
from usdlr.core.errors import DataError
from usdlr.ingest.pipeline import ingest
from usdlr.review import words
from usdlr.review.dicom.admission import Admission, Admitted, Outcome
from usdlr.review.dicom.imports import import_studies
from usdlr.review.dicom.network import Peer, Receiver, send
from usdlr.review.dicom.study import study_objects
from usdlr.review.dicom.web import DicomWeb, Login, file_bytes

MADE = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LOGIN = Login(NAME, PASSWORD)


def page() -> tuple[bytes, np.ndarray[Any, Any]]:
    pixels = np.random.default_rng(1).integers(0, 256, (41, 53, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue(), pixels


def sent_objects(folder: Path) -> list[pydicom.Dataset]:
    return study_objects(MODEL, axilla(folder), STATE, pages=[page()[0]], made=MADE)


def fetched(orthanc: Orthanc, study: str) -> dict[str, pydicom.Dataset]:
    with DicomWeb(orthanc.web, LOGIN) as web:
        found = [pydicom.dcmread(io.BytesIO(content)) for content in web.fetch(study)]
    return {dataset.Modality: dataset for dataset in found}


def require_whole(found: dict[str, pydicom.Dataset], folder: Path) -> None:
    """Everything that was sent is there: numbers in DCMTK's words, masks by highdicom, pixels, millimetres."""
    assert sorted(found) == ["OT", "SEG", "SR", "US"]
    np.testing.assert_array_equal(found["US"].pixel_array, picture())
    (region,) = found["US"].SequenceOfUltrasoundRegions
    assert (region.PhysicalDeltaY, region.PhysicalDeltaX) == pytest.approx((ROW_MM / 10, COL_MM / 10), abs=1e-12)
    assert (region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection) == (3, 3)

    segmentation = hd.seg.Segmentation.from_dataset(found["SEG"])
    masks = segmentation.get_pixels_by_source_instance([found["US"].SOPInstanceUID])[0]
    np.testing.assert_array_equal(masks[..., 0], lesion())
    rows, cols = np.mgrid[:ROWS, :COLUMNS]
    # Distance to the rectangle of pixel centres, by hand.
    down = np.maximum(np.maximum(TOP - rows, rows - (BOTTOM - 1)), 0) * ROW_MM
    across = np.maximum(np.maximum(LEFT - cols, cols - (RIGHT - 1)), 0) * COL_MM
    ring = (np.hypot(down, across) <= MODEL.margin_mm + 1e-9) & ~lesion()
    np.testing.assert_array_equal(masks[..., 1], ring)
    spacing = found["SEG"].SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [float(value) for value in spacing] == [ROW_MM, COL_MM]
    np.testing.assert_array_equal(found["OT"].pixel_array, page()[1])

    path = folder / "sr.dcm"
    found["SR"].save_as(path)
    text = subprocess.run(
        [need("dsrdump"), "+Pl", str(path)], capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout
    for stage, probability, low, high, threshold in (
        ("P(SLN positive | x)", "23.4", "11.1", "45.7", "12.3"),
        ("P(NSLN positive | SLN positive, x)", "6.5", "2.0", "14.0", "30.0"),
    ):
        assert f'<contains NUM:(,,"{stage}")="{probability}" (%,UCUM,"Percent")>' in text
        assert f'lower end: {stage}")="{low}"' in text
        assert f'upper end: {stage}")="{high}"' in text
        assert f'"Threshold of {stage}")="{threshold}"' in text
        assert f"{probability} %; 90 % interval {low} to {high} %; threshold {threshold} %" in text
    assert words.probability_text(STATE.answer.stages[0].probability) == "23.4 %"
    assert '"Long axis")="10.0" (mm' in text
    assert '"Short axis")="6.0" (mm' in text
    assert '(HR-SLN/LR-NSLN,99USDLR,"Risk group HR-SLN/LR-NSLN")' in text
    assert '"Person Observer Name")="Dr. Anna Bergér"' in text
    assert '"Time of the verdict")="20260301093015"' in text
    assert "Second suspicious node – see clip" in text
    assert "not a medical device" in text


def test_stow_and_back(orthanc: Orthanc, tmp_path: Path) -> None:
    objects = sent_objects(tmp_path)
    with DicomWeb(orthanc.web, LOGIN) as web:
        confirmed = web.store(objects)
    assert list(confirmed) == [str(item.SOPInstanceUID) for item in objects]
    require_whole(fetched(orthanc, str(objects[0].StudyInstanceUID)), tmp_path)


def test_c_store_and_back(orthanc: Orthanc, tmp_path: Path) -> None:
    objects = sent_objects(tmp_path)
    confirmed = send(objects, Peer("127.0.0.1", orthanc.dicom, "ARCHIVE"))
    assert len(confirmed) == 4
    require_whole(fetched(orthanc, str(objects[0].StudyInstanceUID)), tmp_path)


def test_sending_twice_stores_once(orthanc: Orthanc, tmp_path: Path) -> None:
    with DicomWeb(orthanc.web, LOGIN) as web:
        web.store(sent_objects(tmp_path))
        send(sent_objects(tmp_path), Peer("127.0.0.1", orthanc.dicom, "ARCHIVE"))
    assert len(orthanc.rest("GET", "/instances")) == 4


def test_what_the_archive_does_not_take_is_an_error(orthanc: Orthanc, tmp_path: Path) -> None:
    objects = sent_objects(tmp_path)
    with pytest.raises(DataError, match="found no association"):
        send(objects, Peer("127.0.0.1", orthanc.dicom, "ELSEWHERE"))
    with pytest.raises(DataError, match=r"answering 401.*password"), DicomWeb(orthanc.web, Login("usdlr", "no")) as web:
        web.store(objects)
    assert orthanc.rest("GET", "/instances") == []


def test_search_finds_the_patient_and_logs_nobody(
    orthanc: Orthanc, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    objects = sent_objects(tmp_path)
    caplog.set_level(logging.DEBUG)
    with DicomWeb(orthanc.web, LOGIN) as web:
        web.store(objects)
        (study,) = web.find(patient_id="pseudo-4711")
        assert study.study_uid == str(objects[0].StudyInstanceUID)
        assert set(study.modalities) == {"US", "SEG", "SR", "OT"}
        assert web.find(patient_id="pseudo-4712") == []
        assert len(list(web.fetch(study.study_uid))) == 4
    assert "pseudo-4711" not in caplog.text
    assert study.study_uid not in caplog.text


def scanner_files(shared_data: Path) -> list[bytes]:
    names = ("gdcm-US-ALOKA-16.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm")
    return [(shared_data / "dicom_us_regions" / name).read_bytes() for name in names]


def test_an_imported_study_is_ingested_with_its_millimetres(
    orthanc: Orthanc, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USDLR_KEY_FILE", str(tmp_path / "key"))
    for content in scanner_files(shared_data):
        orthanc.add(content)
    with DicomWeb(orthanc.web, LOGIN) as web:
        # Our own objects in the archive are no images to learn from.
        web.store(sent_objects(tmp_path))
        studies = [str(study["0020000D"]["Value"][0]) for study in orthanc.rest("GET", "/dicom-web/studies")]
        imported = import_studies(web, studies, tmp_path / "import")
    assert imported.counts == {Outcome.KEPT: 2, Outcome.LEFT_OUT: 4}
    cases = ingest(imported.folder, "dicom", tmp_path / "out").cases
    # Two panes of the first file, one of the second; values of the data's README, centimetres times ten.
    assert sorted(cases["row_mm"].round(6)) == [0.254767, 0.382653, 0.382653]
    for path in imported.folder.rglob("*.dcm"):
        assert path.name.replace("-", "").removesuffix(".dcm").isalnum()
        assert path.stat().st_mode & 0o077 == 0


def test_the_archive_sends_to_the_receiver(orthanc: Orthanc, shared_data: Path, tmp_path: Path) -> None:
    for content in scanner_files(shared_data):
        orthanc.add(content)
    received: list[Admitted] = []
    with Receiver(Admission(tmp_path / "in"), ["ARCHIVE"], on_received=received.append) as receiver:
        orthanc.rest("PUT", "/modalities/station", json=["USDLR", "127.0.0.1", receiver.port])
        for instance in orthanc.rest("GET", "/instances"):
            orthanc.rest("POST", "/modalities/station/store", content=instance)
    assert [item.outcome for item in received] == [Outcome.KEPT] * 2
    sent = {pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID for content in scanner_files(shared_data)}
    paths = [item.path for item in received if item.path is not None]
    assert {pydicom.dcmread(path).SOPInstanceUID for path in paths} == sent


def test_a_scanners_study_keeps_its_patient(orthanc: Orthanc, tmp_path: Path) -> None:
    record = axilla(tmp_path)
    record = replace(record, row={**record.row, "source_row": 7, "source_col": 11})
    scanner = study_objects(MODEL, axilla(tmp_path), STATE, made=MADE)[0]
    screen = np.full((ROWS + 20, COLUMNS + 30), 5, np.uint8)
    screen[7 : 7 + ROWS, 11 : 11 + COLUMNS] = picture()
    scanner.Rows, scanner.Columns, scanner.PixelData = *screen.shape, screen.tobytes()
    scanner.SpecificCharacterSet = "ISO_IR 100"
    scanner.PatientName, scanner.PatientID, scanner.StudyDate = "Müller^Jürgen", "MRN 1", "20260228"
    scanner.Manufacturer = "Scanner"
    scanner.SOPInstanceUID = scanner.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    path = tmp_path / "scanner.dcm"
    path.write_bytes(file_bytes(scanner))
    orthanc.add(path.read_bytes())

    objects = study_objects(MODEL, record, STATE, source_file=path, made=MADE)
    assert [item.Modality for item in objects] == ["SEG", "SR"]
    with DicomWeb(orthanc.web, LOGIN) as web:
        web.store(objects)
    found = fetched(orthanc, str(scanner.StudyInstanceUID))
    for modality in ("US", "SEG", "SR"):
        assert (str(found[modality].PatientName), found[modality].PatientID) == ("Müller^Jürgen", "MRN 1")
        assert found[modality].StudyDate == "20260228"
    assert len(orthanc.rest("GET", "/patients")) == len(orthanc.rest("GET", "/studies")) == 1
    masks = hd.seg.Segmentation.from_dataset(found["SEG"]).get_pixels_by_source_instance(["1.2.3.4"])[0]
    assert masks.shape[:2] == screen.shape
    np.testing.assert_array_equal(masks[7 : 7 + ROWS, 11 : 11 + COLUMNS, 0], lesion())
    assert masks[..., 0].sum() == lesion().sum()
    content: Any = hd.sr.Comprehensive3DSR.from_dataset(found["SR"]).content
    (group, *_) = content.get_planar_roi_measurement_groups()
    # Column and row of the rectangle's corners on the scanner's screen, from the outer corner of the first pixel.
    corners = {tuple(point) for point in group.roi.value.tolist()}
    assert corners == {(LEFT + 11.0, TOP + 7.0), (RIGHT + 11.0, TOP + 7.0)} | {
        (RIGHT + 11.0, BOTTOM + 7.0),
        (LEFT + 11.0, BOTTOM + 7.0),
    }
