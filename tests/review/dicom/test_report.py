"""The structured report says what the page prints, names no account, and refuses another image."""

from __future__ import annotations

import math
import shutil
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from scipy import ndimage

from tests.review.dicom.made import (
    ANSWER,
    COLUMNS,
    MODEL,
    PASSWORD_LIKE,
    ROWS,
    STATE,
    VERDICT,
    axilla,
    lesion,
    picture,
)
from tests.review.dicom.test_admission import deep
from usdlr.core.errors import CaseError, DataError
from usdlr.core.types import MaskSource, RiskGroup, Side, SpacingSource
from usdlr.imaging.store import mask_to_png, write_png
from usdlr.review.acts import Act, AxillaState, Status
from usdlr.review.dicom.capture import sc_dataset
from usdlr.review.dicom.report import sr_dataset
from usdlr.review.dicom.segmentation import regions_of, seg_dataset
from usdlr.review.dicom.source import make_source, read_source
from usdlr.review.dicom.study import study_objects
from usdlr.review.dicom.web import file_bytes
from usdlr.review.records import AxillaRecord

MADE = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def report(folder: Path, state: AxillaState = STATE, **changes: Any) -> pydicom.Dataset:
    record = axilla(folder, **changes)
    return sr_dataset(MODEL, record, state, make_source(record, record.images[0]), made=MADE)


def measured(dataset: pydicom.Dataset) -> dict[str, tuple[str, str]]:
    """Names, printed values and units of every number, read from the raw data set."""
    found = {}

    def walk(item: pydicom.Dataset) -> None:
        if item.get("ValueType") == "NUM":
            value = item.MeasuredValueSequence[0]
            unit = value.MeasurementUnitsCodeSequence[0].CodeValue
            found[item.ConceptNameCodeSequence[0].CodeMeaning] = (str(value.NumericValue), unit)
        for child in item.get("ContentSequence", []):
            walk(child)

    walk(dataset)
    return found


def printed(dataset: pydicom.Dataset) -> dict[str, str]:
    """Every sentence by its name, read from the raw data set."""
    found = {}
    for child in dataset.get("ContentSequence", []):
        if child.get("ValueType") == "TEXT":
            found[str(child.ConceptNameCodeSequence[0].CodeMeaning)] = str(child.TextValue)
        found |= printed(child)
    return found


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    first, second = (
        [file_bytes(item) for item in study_objects(MODEL, axilla(tmp_path), STATE, made=MADE)] for _ in range(2)
    )
    assert first == second


def test_nothing_tells_the_image_or_what_a_reader_signs_in_with(tmp_path: Path) -> None:
    for item in study_objects(MODEL, axilla(tmp_path), STATE, made=MADE):
        content = file_bytes(item)
        for secret in (PASSWORD_LIKE, "img-secret", "axilla-token", "image-token", str(tmp_path)):
            assert secret.encode() not in content


def test_only_a_judged_case_is_final_and_none_is_verified(tmp_path: Path) -> None:
    for status, flag in (
        (Status.UNREAD, "PRELIMINARY"),
        (Status.STARTED, "PRELIMINARY"),
        (Status.DEFERRED, "PRELIMINARY"),
        (Status.DISAGREED, "PRELIMINARY"),
        (Status.REVIEWED, "FINAL"),
        (Status.ADJUDICATED, "FINAL"),
    ):
        made = report(tmp_path, replace(STATE, status=status))
        assert (made.PreliminaryFlag, made.VerificationFlag) == (flag, "UNVERIFIED")


def test_a_threshold_lies_on_the_printed_side_of_its_probability(tmp_path: Path) -> None:
    stage = replace(ANSWER.stages[0], probability=0.12310, threshold=0.12314)
    state = replace(STATE, answer=replace(ANSWER, stages=(stage, ANSWER.stages[1])))
    found = measured(report(tmp_path, state))
    assert found["P(SLN positive | x)"] == ("12.3", "%")
    assert found["Threshold of P(SLN positive | x)"] == ("12.314", "%")


def test_what_counts_is_the_state_not_what_was_loaded(tmp_path: Path) -> None:
    answer = replace(ANSWER, group=RiskGroup.LR_SLN, diameter_mm=7.25, orthogonal_mm=None)
    made = report(tmp_path, replace(STATE, answer=answer))
    assert measured(made)["Long axis"] == ("7.2", "mm")
    assert "Short axis" not in measured(made)
    assert "Risk group LR-SLN" in str(made)


def test_every_reader_is_in_it(tmp_path: Path) -> None:
    other = replace(VERDICT, display="Dr. Bo^Chan", act=Act.REJECT, group=None, reason="No", number=8)
    text = str(report(tmp_path, replace(STATE, verdicts=(VERDICT, other), status=Status.DISAGREED)))
    assert "Dr. Anna Bergér" in text
    assert "Dr. Bo Chan" in text
    assert "Rejected" in text
    assert "Readers disagree" in text


def test_diameters_of_another_image_get_no_region_of_this_one(tmp_path: Path) -> None:
    record = axilla(tmp_path)
    second = replace(record.images[0], token="other-token", image_id="img-2", number=2, calipers=())
    source = make_source(record, record.images[0])
    for length, fits in ((10.04, True), (15.0, False)):
        both = replace(record, images=(record.images[0], second))
        state = replace(STATE, answer=replace(ANSWER, diameter_mm=length))
        made = hd.sr.Comprehensive3DSR.from_dataset(sr_dataset(MODEL, both, state, source, made=MADE))
        content: Any = made.content
        (region,) = content.get_planar_roi_measurement_groups()
        assert bool(region.get_measurements()) is fits
        assert measured(made)["Long axis"][0] == f"{length:.1f}"


def test_an_image_that_was_left_out_gets_no_region(tmp_path: Path) -> None:
    record = axilla(tmp_path)
    second = replace(record.images[0], token="other-token", image_id="img-2", number=2)
    both = replace(record, images=(record.images[0], second))
    source, made = study_objects(MODEL, both, replace(STATE, used=("other-token",)), made=MADE)
    assert (source.Modality, made.Modality) == ("US", "SR")
    assert "Image Region" not in str(made)
    assert measured(made)["Long axis"] == ("10.0", "mm")


def test_control_characters_of_a_reason_are_gone(tmp_path: Path) -> None:
    verdict = replace(VERDICT, reason="one\r\ntwo\x1b$B three")
    assert "one two $B three" in str(report(tmp_path, replace(STATE, verdicts=(verdict,))))


def test_without_millimetres_none_are_claimed(tmp_path: Path) -> None:
    answer = replace(ANSWER, diameter_mm=None, orthogonal_mm=None)
    record = axilla(tmp_path, spacing_source=SpacingSource.LESION_RELATIVE, calipers=())
    source, segmentation, made = study_objects(MODEL, record, replace(STATE, answer=answer), made=MADE)
    assert "SequenceOfUltrasoundRegions" not in source
    assert "PixelSpacing" not in str(segmentation)
    assert len(segmentation.SegmentSequence) == 2
    assert not {"Long axis", "Short axis"} & set(measured(made))


def test_a_step_that_was_not_reached_says_so_before_its_number(tmp_path: Path) -> None:
    first, second = ANSWER.stages
    answer = replace(ANSWER, group=RiskGroup.LR_SLN, stages=(first, replace(second, reached=False)))
    texts = printed(report(tmp_path, replace(STATE, answer=answer)))
    assert texts["As printed: P(SLN positive | x)"].startswith("23.4 %; 90 % interval")
    assert texts["As printed: P(NSLN positive | SLN positive, x)"].startswith("not reached")


def test_lengths_that_are_shares_of_the_lesion_are_no_millimetres(tmp_path: Path) -> None:
    relative = axilla(tmp_path, mask_source=MaskSource.AUTOMATIC, spacing_source=SpacingSource.LESION_RELATIVE)
    for item in study_objects(MODEL, relative, replace(STATE, answer=replace(ANSWER, diameter_mm=None)), made=MADE)[1:]:
        content = file_bytes(item)
        assert b"share of the lesion's diameter" in content
        assert b"2 mm" not in content
        assert b"margin_mm" not in content
    in_mm = axilla(tmp_path, mask_source=MaskSource.AUTOMATIC)
    _, segmentation, made = study_objects(MODEL, in_mm, STATE, made=MADE)
    assert b"margin_mm=2" in file_bytes(segmentation)
    assert b"margin 2 mm" in file_bytes(made)


def test_without_a_scale_there_is_no_ring(tmp_path: Path) -> None:
    record = axilla(tmp_path, row_mm=None, col_mm=None, spacing_source=SpacingSource.NONE, calipers=())
    found = regions_of(record.images[0], STATE, margin_mm=2.0)
    assert found.ring is None
    made = seg_dataset(record, record.images[0], make_source(record, record.images[0]), found, made=MADE)
    assert [segment.SegmentLabel for segment in made.SegmentSequence] == ["Tumour"]


def test_a_ring_of_shares_of_the_lesion_is_stored_and_follows_its_contour(tmp_path: Path) -> None:
    # 30 x 40 pixels are a disc of 39.09 pixels across, which is 20 units: a margin of 2 units is 3.909 pixels.
    unit = 20.0 / math.sqrt(4 * 1200 / math.pi)
    relative: dict[str, Any] = {"row_mm": None, "col_mm": None, "spacing_source": SpacingSource.LESION_RELATIVE}
    record = axilla(tmp_path, **relative, calipers=(), row={"row_mm": unit, "col_mm": unit})
    image = record.images[0]
    # 15 x 20 pixels, a quarter of the area: half as wide a ring.
    smaller = ((29.5, 39.5), (29.5, 59.5), (44.5, 59.5), (44.5, 39.5))
    for outlines, pixels, width in (({}, 1200, 3.909), ({image.token: (smaller,)}, 300, 1.9544)):
        state = replace(STATE, outlines=outlines)
        found = regions_of(image, state, margin_mm=2.0)
        assert found.ring is not None
        assert found.tumour.sum() == pixels
        away = ndimage.distance_transform_edt(~found.tumour)
        np.testing.assert_array_equal(found.ring, (away > 0) & (away <= width))
        objects = study_objects(MODEL, record, state, made=MADE)
        segmentation = next(one for one in objects if one.Modality == "SEG")
        assert [one.SegmentLabel for one in segmentation.SegmentSequence] == ["Tumour", "Peritumoral ring"]
        # Units are no millimetres: nobody must measure by them.
        assert b"margin_mm" not in file_bytes(segmentation)
        assert "PixelSpacing" not in str(segmentation)


def test_a_ring_outside_the_field_of_view_is_none(tmp_path: Path) -> None:
    record = axilla(tmp_path, paths={"bmode": "images/b.png", "mask": "images/m.png", "fov": "images/f.png"})
    write_png(tmp_path / "images" / "f.png", mask_to_png(lesion()))
    found = regions_of(record.images[0], STATE, margin_mm=2.0)
    assert found.ring is None
    assert found.tumour.any()


@pytest.mark.parametrize(
    ("source", "redrawn", "expected"),
    [
        (MaskSource.READER, False, "MANUAL"),
        (MaskSource.AUTOMATIC, False, "AUTOMATIC"),
        (MaskSource.AUTOMATIC, True, "SEMIAUTOMATIC"),
        (MaskSource.READER, True, "MANUAL"),
    ],
)
def test_who_drew_it(tmp_path: Path, source: MaskSource, redrawn: bool, expected: str) -> None:
    record = axilla(tmp_path, mask_source=source)
    # Rows 10 to 19 and columns 20 to 34, as a polygon through the pixels' outer corners.
    outline = ((9.5, 19.5), (9.5, 34.5), (19.5, 34.5), (19.5, 19.5))
    state = replace(STATE, outlines={"image-token": (outline,)}) if redrawn else STATE
    _, segmentation, made = study_objects(MODEL, record, state, made=MADE)
    tumour, ring = segmentation.SegmentSequence
    assert (tumour.SegmentAlgorithmType, ring.SegmentAlgorithmType) == (expected, "AUTOMATIC")
    assert f"({expected}" in str(made) or expected in str(made)
    whole = np.zeros((ROWS, COLUMNS), dtype=bool)
    whole[10:20, 20:35] = True
    np.testing.assert_array_equal(segmentation.pixel_array[0].astype(bool), whole if redrawn else lesion())


def scanner_file(folder: Path, record: AxillaRecord, pixels: Any = None, **header: Any) -> Path:
    dataset = make_source(record, record.images[0]).dataset
    if pixels is not None:
        dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
        if pixels.ndim == 3:
            dataset.NumberOfFrames = len(pixels)
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    path = folder / "scanner.dcm"
    path.write_bytes(file_bytes(dataset))
    return path


def test_another_patients_image_is_refused(tmp_path: Path) -> None:
    record = axilla(tmp_path)
    other = np.random.default_rng(9).integers(60, 200, (ROWS, COLUMNS)).astype(np.uint8)
    for pixels in (other, np.flipud(picture()), np.full((ROWS, COLUMNS), 120, np.uint8)):
        with pytest.raises(DataError, match="pixels are not those"):
            read_source(scanner_file(tmp_path, record, pixels), record)


def test_the_other_side_is_refused(tmp_path: Path) -> None:
    record = axilla(tmp_path)
    path = scanner_file(tmp_path, record, Laterality="R")
    with pytest.raises(DataError, match="right side for a case of the left side"):
        read_source(path, record)
    assert read_source(path, replace(record, side=Side.UNKNOWN)).frame == 1


def test_a_clips_frame_is_found_and_named(tmp_path: Path) -> None:
    record = axilla(tmp_path)
    frames = np.stack([np.roll(picture(), 40, axis=0), picture()])
    path = scanner_file(tmp_path, record, frames, SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1")
    source = read_source(path, record)
    assert source.frame == 2
    regions = regions_of(record.images[0], STATE, margin_mm=2.0)
    segmentation = seg_dataset(record, record.images[0], source, regions, made=MADE)
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        assert group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber == 2
    made = sr_dataset(MODEL, record, STATE, source, segmentation=segmentation, made=MADE)
    assert str(made).count("Referenced Frame Number") >= 3


def test_damaged_identifiers_are_refused(tmp_path: Path) -> None:
    record = axilla(tmp_path)
    path = scanner_file(tmp_path, record, StudyInstanceUID="")
    with pytest.raises(DataError, match="StudyInstanceUID"):
        read_source(path, record)


@pytest.mark.parametrize("levels", [60, 300, 3000])
def test_a_deep_header_is_read_or_refused_at_once(tmp_path: Path, levels: int) -> None:
    path = tmp_path / "deep.dcm"
    path.write_bytes(deep(tmp_path, levels))
    started = time.monotonic()
    try:
        assert read_source(path, axilla(tmp_path)).dataset.PatientID == "pseudo-4711"
    except CaseError:
        assert levels > 60
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("page", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_page_that_is_no_png_is_refused(tmp_path: Path, page: bytes) -> None:
    record = axilla(tmp_path)
    with pytest.raises(DataError, match="expected a PNG"):
        sc_dataset(record, make_source(record, record.images[0]), page)


def test_the_standards_validator_finds_no_error(tmp_path: Path) -> None:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("no dciodvfy: apt-get install dicom3tools")
    for number, item in enumerate(study_objects(MODEL, axilla(tmp_path), STATE, made=MADE)):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(file_bytes(item))
        done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in done.stderr, done.stderr


def test_a_verdict_on_an_earlier_answer_says_so(tmp_path: Path) -> None:
    judged = replace(STATE, verdicts=(replace(VERDICT, earlier=True),))
    for state, expected in ((STATE, 0), (judged, 1)):
        told = [element.value for element in report(tmp_path, state).iterall() if element.keyword == "TextValue"]
        assert told.count("on an earlier answer") == expected
