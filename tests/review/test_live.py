"""Redrawn contours give what the command line gives for a table that holds them; a dead process is replaced."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.review.reading_list import reading_list, small_cases, two_images, write_cases
from usdlr.core import tables
from usdlr.core.errors import DataError, InputError
from usdlr.core.types import MaskSource
from usdlr.decision.wording_outlines import rests_on_software
from usdlr.decision.wording_review import AUTOMATIC_CONTOUR
from usdlr.review.anew import Redrawn
from usdlr.review.live import Live
from usdlr.review.load import read_list
from usdlr.review.outlines import Outlines, mask_of
from usdlr.review.records import AxillaRecord, ImageRecord


@pytest.fixture(scope="module")
def live(run_folder: Path) -> Iterator[Live]:
    with Live(run_folder / "bundle") as found:
        yield found


def _moved(image: ImageRecord, rows: float = 2.3, grown: float = 1.08) -> Outlines:
    """The contour lower and larger, at places between pixels."""
    points = np.array(image.contour[0])
    middle = points.mean(axis=0)
    return (tuple(map(tuple, ((points - middle) * grown + middle + (rows, 0.4)).tolist())),)


def _as_table(run_folder: Path, record: AxillaRecord, drawn: dict[str, Outlines], folder: Path) -> AxillaRecord:
    """The axilla of a table whose mask files hold these contours, predicted from the files."""
    source = small_cases(run_folder)
    table = tables.CASES.read(source)
    cases = write_cases(table[table["patient_id"] == record.patient_id], source.parent, folder / "cases")
    for image in record.images:
        if image.token in drawn:
            mask = mask_of(drawn[image.token], (image.rows, image.columns))
            cv2.imwrite(str(folder / "cases" / image.paths["mask"]), np.where(mask, 255, 0).astype(np.uint8))
    (found,) = read_list(run_folder / "bundle", cases, work=folder / "work", jobs=1)[1]
    return found


def _same_numbers(found: Redrawn, truth: AxillaRecord) -> None:
    for one, other in zip(found.answer.stages, truth.answer.stages, strict=True):
        assert one == other
    assert found.answer.group == truth.answer.group
    assert found.answer.reason == truth.answer.reason
    assert found.answer.features == truth.answer.features
    assert (found.answer.diameter_mm, found.answer.orthogonal_mm) == (
        truth.answer.diameter_mm,
        truth.answer.orthogonal_mm,
    )
    for image, expected in zip(found.images, truth.images, strict=True):
        assert (image.contour, image.ring, image.calipers) == (expected.contour, expected.ring, expected.calipers)


def test_a_redrawn_contour_gives_what_a_table_with_it_gives(run_folder: Path, live: Live, tmp_path: Path) -> None:
    record = two_images(run_folder)
    first = record.images[0]
    drawn = {first.token: _moved(first)}
    found = live.predict(record, outlines=drawn)
    truth = _as_table(run_folder, record, drawn, tmp_path)
    _same_numbers(found, truth)
    assert [one.token for one in found.images] == [one.token for one in record.images]
    assert found.answer.stages != record.answer.stages
    assert found.images[1] == record.images[1]
    assert any("stated tumour size" in one for one in found.answer.warnings)


def test_the_size_that_is_told_is_the_redrawn_contours_own(run_folder: Path, live: Live) -> None:
    record = two_images(run_folder)
    second = record.images[1]
    found = live.predict(record, outlines={second.token: _moved(second, rows=0.0, grown=0.5)})
    assert second.row_mm is not None
    assert second.col_mm is not None
    (top, left), (bottom, right) = found.images[1].calipers[0]
    length = math.hypot((bottom - top) * second.row_mm, (right - left) * second.col_mm)
    assert found.answer.diameter_mm is not None
    assert length < found.answer.diameter_mm - 1, "the first image's contour is the larger one"
    (told,) = [one for one in found.answer.warnings if "stated tumour size" in one]
    assert told.endswith(f"the redrawn contour measures {length:.1f} mm.")


def test_the_same_contour_gives_the_loaded_numbers(run_folder: Path, live: Live) -> None:
    for record in reading_list(run_folder)[1][:2]:
        found = live.predict(record, outlines={one.token: one.contour for one in record.images})
        assert found.answer == record.answer
        assert found.images == record.images
        assert live.predict(record, outlines={}).answer == record.answer


def test_an_automatic_contour_that_a_reader_takes_over_is_a_readers(run_folder: Path, live: Live) -> None:
    record = reading_list(run_folder)[1][-1]
    image = replace(record.images[0], mask_source=MaskSource.AUTOMATIC)
    known = {"mask_source": "automatic", "mask_confidence": 0.8, "mask_error_mm": 0.9, "segmenter_id": "0123456789ab"}
    image = replace(image, row={**image.row, **known})
    reason = f"{record.answer.reason} {rests_on_software(0.8, 0.9)} Redrawn 12 times, it gives more."
    warned = replace(record.answer, reason=reason, warnings=(*record.answer.warnings, AUTOMATIC_CONTOUR))
    automatic = replace(record, images=(image,), answer=warned)
    assert live.predict(automatic, outlines={}).answer == warned
    found = live.predict(automatic, outlines={image.token: image.contour})
    assert found.answer == record.answer
    assert found.images[0].mask_source is MaskSource.READER
    # Another contour than the software's is predicted anew, and its answer speaks of no software either.
    moved = tuple(tuple((row + 2.0, column) for row, column in line) for line in image.contour)
    anew = live.predict(automatic, outlines={image.token: moved})
    assert AUTOMATIC_CONTOUR not in anew.answer.warnings
    assert "software" not in anew.answer.reason


def test_an_image_left_out_is_as_if_the_table_lacked_it(run_folder: Path, live: Live, tmp_path: Path) -> None:
    record = two_images(run_folder)
    keep, drop = record.images
    found = live.predict(record, outlines={}, used=(keep.token,))
    source = small_cases(run_folder)
    table = tables.CASES.read(source)
    cases = write_cases(table[table["image_id"] == keep.image_id], source.parent, tmp_path / "cases")
    (truth,) = read_list(run_folder / "bundle", cases, work=tmp_path / "work", jobs=1)[1]
    assert found.answer.stages == truth.answer.stages
    assert found.answer.left_out == (f"Image {drop.number} was left out by the reader.",)
    both = live.predict(record, outlines={}, used=(keep.token, drop.token))
    assert both.answer == record.answer


@pytest.mark.parametrize(
    ("outline", "told"),
    [
        (((1.0, 1.0), (1.0, 3.0), (3.0, 3.0)), "1 to 150 mm"),
        (((-9.0, -9.0), (-9.0, -5.0), (-5.0, -7.0)), "encloses no pixel"),
        (((1.0, 1.0), (2.0, 2.0)), "at least 3"),
        (((float("nan"), 1.0), (2.0, 2.0), (1.0, 3.0)), "no pair of numbers"),
        (((-10.0, -10.0), (-10.0, 9e3), (9e3, 9e3), (9e3, -10.0)), "ring inside the field of view"),
    ],
)
def test_a_poor_contour_is_refused_with_what_to_mend(
    run_folder: Path, live: Live, outline: tuple[tuple[float, float], ...], told: str
) -> None:
    record = reading_list(run_folder)[1][0]
    with pytest.raises(InputError, match=told) as found:
        live.predict(record, outlines={record.images[0].token: (outline,)})
    assert "expected" in str(found.value)
    assert record.patient_id not in str(found.value)


def test_strange_tokens_models_and_changed_files_are_refused(run_folder: Path, live: Live, tmp_path: Path) -> None:
    record = reading_list(run_folder)[1][0]
    with pytest.raises(DataError, match="not of this axilla"):
        live.predict(record, outlines={}, used=("another",))
    with pytest.raises(DataError, match="loaded with the model"):
        live.predict(replace(record, digest="0" * 64, bundle_id="0" * 12), outlines={})
    copied = _as_table(run_folder, record, {}, tmp_path)
    path = tmp_path / "cases" / copied.images[0].paths["mask"]
    mask = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    cv2.imwrite(str(path), np.roll(mask, 3, axis=1))
    with pytest.raises(DataError, match="changed since it was loaded"):
        live.predict(copied, outlines={})
    escaped = replace(copied.images[0], row={**copied.images[0].row, "bmode_path": "../work"})
    with pytest.raises(DataError, match="outside the folder"):
        live.predict(replace(copied, images=(escaped,)), outlines={})


def test_a_process_that_is_killed_is_replaced_and_many_may_ask_at_once(run_folder: Path, live: Live) -> None:
    record = reading_list(run_folder)[1][0]
    drawn = {record.images[0].token: _moved(record.images[0])}
    before = live.predict(record, outlines=drawn)
    worker = live._redrawing._worker
    assert worker is not None
    os.kill(worker._process.pid or 0, signal.SIGKILL)
    with ThreadPoolExecutor(3) as pool:
        after = list(pool.map(lambda _: live.predict(record, outlines=drawn), range(3)))
    assert after == [before] * 3
    live._redrawing._limit_s = 0.001
    try:
        with pytest.raises(DataError, match="no answer within"):
            live.predict(record, outlines=drawn)
    finally:
        live._redrawing._limit_s = 60.0
    assert live.predict(record, outlines=drawn) == before


def test_nothing_is_answered_after_the_end(run_folder: Path) -> None:
    record = reading_list(run_folder)[1][0]
    with Live(run_folder / "bundle") as live:
        pass
    with pytest.raises(DataError, match="shut down"):
        live.predict(record, outlines={})


def test_a_bundle_that_cannot_be_read_is_told_to_whoever_asks(run_folder: Path, tmp_path: Path) -> None:
    record = reading_list(run_folder)[1][0]
    with Live(tmp_path / "absent") as live, pytest.raises(InputError, match="absent"):
        live.predict(record, outlines={})
