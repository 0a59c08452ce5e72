"""A reading list holds the very numbers of the tables, and nothing that was found later."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage
from scipy.special import expit

from tests.review.reading_list import reading_list, small_cases, two_images, write_cases
from usdlr.core import tables
from usdlr.core.errors import DataError
from usdlr.core.types import MaskSource, Site, Stage
from usdlr.core.units import Spacing
from usdlr.decision.wording_review import AUTOMATIC_CONTOUR
from usdlr.imaging.mask import measure
from usdlr.imaging.store import read_case
from usdlr.inference.bundle import load_bundle
from usdlr.inference.predictor import predict
from usdlr.review.load import read_list
from usdlr.review.outlines import length_mm, mask_of
from usdlr.review.plain import from_plain, to_plain
from usdlr.review.records import AxillaRecord


def test_every_number_is_the_tables_own(run_folder: Path, tmp_path: Path) -> None:
    model, records, exclusions = reading_list(run_folder)
    bundle = load_bundle(run_folder / "bundle")
    cases = small_cases(run_folder)
    table = tables.CASES.read(cases)
    truth = predict(bundle, table, cases.parent, jobs=1, ledger=tmp_path / "ledger", on_uncertified=None)
    assert (model.bundle_id, model.digest) == (bundle.bundle_id, bundle.digest)
    assert len(records) == len(truth.decisions) == table["patient_id"].nunique()
    assert exclusions.empty
    for number, (record, (_, decision)) in enumerate(zip(records, truth.decisions.iterrows(), strict=True), start=1):
        own = truth.predictions[truth.predictions["patient_id"] == record.patient_id].set_index("stage")
        told = truth.reliability[truth.reliability["patient_id"] == record.patient_id].iloc[0]
        assert (record.number, record.patient_id, record.side) == (number, decision["patient_id"], decision["side"])
        answer = record.answer
        assert (answer.group, answer.reason, answer.contract) == (
            decision["risk_group"],
            decision["reason"],
            decision["contract"],
        )
        assert answer.stage_reached == decision["stage_reached"]
        for one in answer.stages:
            row = own.loc[str(one.stage)]
            assert one.probability == row["probability"] == decision[f"p_{one.stage}"]
            assert one.threshold == decision[f"t_{one.stage}"]
            assert [one.low, one.high] == expit([row["logit_low"], row["logit_high"]]).tolist()
            assert one.reached == (one.stage is Stage.SLN or decision["stage_reached"] == "nsln")
            assert one.conformal == (told[f"conformal_low_{one.stage}"], told[f"conformal_high_{one.stage}"])


def test_images_carry_contour_ring_and_calipers_of_their_files(run_folder: Path) -> None:
    model, records, _ = reading_list(run_folder)
    cases = small_cases(run_folder)
    rows = tables.CASES.read(cases).set_index("image_id")
    for record in records:
        assert [one.number for one in record.images] == list(range(1, len(record.images) + 1))
        for one in record.images:
            row = {"image_id": one.image_id, **rows.loc[one.image_id].to_dict()}
            images = read_case({str(name): value for name, value in row.items()}, cases.parent)
            shape = images.mask.shape
            assert (one.rows, one.columns) == shape
            assert np.array_equal(mask_of(one.contour, shape), images.mask.pixels)
            # The ring's outer edge: what lies at most its width from the lesion, by scipy's distances.
            away = ndimage.distance_transform_edt(~images.mask.pixels, sampling=(one.row_mm or 0, one.col_mm or 0))
            assert np.array_equal(mask_of(one.ring, shape), away <= model.margin_mm * (1 + 1e-9))
            assert images.mask.spacing is not None
            longest = measure(images.mask).longest_diameter_mm
            assert length_mm(one.calipers[0], images.mask.spacing) == pytest.approx(longest, rel=1e-12)
        largest = max(length_mm(one.calipers[0], read_spacing(one.row_mm, one.col_mm)) for one in record.images)
        assert record.answer.diameter_mm == pytest.approx(largest, rel=1e-12)


def read_spacing(row_mm: float | None, col_mm: float | None) -> Spacing:
    """Of an image that has millimetres."""
    assert row_mm is not None
    assert col_mm is not None
    return Spacing(row_mm, col_mm)


def test_the_colour_bar_ends_where_the_gallerys_would(run_folder: Path) -> None:
    record = next(one for one in reading_list(run_folder)[1] if any(image.limit for image in one.images))
    image = next(one for one in record.images if one.limit is not None)
    stored = np.asarray(cv2.imread(str(Path(image.root) / image.paths["elasto"]), cv2.IMREAD_UNCHANGED), dtype=float)
    highest = stored[stored < 65535].max() / 100
    assert image.unit == "kPa"
    assert image.limit is not None
    assert highest <= image.limit
    assert image.limit % 50 == 0
    assert len(record.images) > 1 or image.limit - highest < 50 or image.limit == 50


def test_records_hold_no_outcome_and_survive_json(run_folder: Path) -> None:
    _, records, _ = reading_list(run_folder)
    text = json.dumps([to_plain(one) for one in records], allow_nan=False)
    assert [from_plain(AxillaRecord, plain) for plain in json.loads(text)] == records
    for word in ("positive_nodes", "sln_positive", "dfs_event", "axillary_surgery", "sln_deposit"):
        assert word not in text
    tokens = [one.token for one in records] + [image.token for one in records for image in one.images]
    assert len(set(tokens)) == len(tokens)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", token) for token in tokens)


def test_an_automatic_contour_a_strangers_centre_and_a_missing_mask_are_told(run_folder: Path, tmp_path: Path) -> None:
    source = small_cases(run_folder)
    table = tables.CASES.read(source)
    double = two_images(run_folder)
    first, second = (one.image_id for one in double.images)
    other = next(one for one in reading_list(run_folder)[1] if len(one.images) == 1)
    there = table["image_id"] == other.images[0].image_id
    table.loc[there, "mask_source"] = str(MaskSource.AUTOMATIC)
    table.loc[there, "centre_id"] = "elsewhere"
    table.loc[there, "quality_flags"] = "mask_repaired"
    cases = write_cases(table, source.parent, tmp_path / "cases")
    name = str(table.loc[table["image_id"] == first, "mask_path"].iloc[0])
    (tmp_path / "cases" / name).unlink()
    _, records, exclusions = read_list(run_folder / "bundle", cases, work=tmp_path / "work", jobs=1)
    assert len(records) == len(reading_list(run_folder)[1])
    told = next(one for one in records if one.patient_id == other.patient_id)
    assert told.images[0].mask_source is MaskSource.AUTOMATIC
    assert AUTOMATIC_CONTOUR in told.answer.warnings
    assert any("void for elsewhere" in one for one in told.answer.warnings)
    assert told.answer.flags == ("small holes or islands of the contour repaired",)
    # The image without a mask is still shown, so that somebody can draw one; the other answers alone.
    lost = next(one for one in records if one.patient_id == double.patient_id)
    assert [one.image_id for one in lost.images] == [first, second]
    assert lost.images[0].contour == ()
    assert lost.images[0].mask_source is None
    assert len(lost.answer.left_out) == len(exclusions) == 1
    assert "the mask file" in lost.answer.left_out[0]
    assert Path(name).name not in lost.answer.left_out[0]


def test_the_tumour_comes_first(run_folder: Path, tmp_path: Path) -> None:
    source = small_cases(run_folder)
    table = tables.CASES.read(source)
    double = two_images(run_folder)
    table.loc[table["image_id"] == double.images[0].image_id, "site"] = str(Site.AXILLA)
    cases = write_cases(table, source.parent, tmp_path / "cases")
    _, records, _ = read_list(run_folder / "bundle", cases, work=tmp_path / "work", jobs=1)
    record = next(one for one in records if one.patient_id == double.patient_id)
    assert [(one.site, one.number) for one in record.images] == [(Site.TUMOUR, 1), (Site.AXILLA, 2)]
    assert record.row["image_id"] == record.images[0].image_id == double.images[1].image_id
    assert any("axilla" in one for one in record.answer.left_out)


def test_files_outside_the_tables_folder_are_refused_before_anything_is_read(run_folder: Path, tmp_path: Path) -> None:
    source = small_cases(run_folder)
    table = tables.CASES.read(source)
    cases = write_cases(table, source.parent, tmp_path / "cases")
    name = str(table["bmode_path"].iloc[0])
    shutil.move(tmp_path / "cases" / name, tmp_path / "outside.png")
    (tmp_path / "cases" / name).symlink_to(tmp_path / "outside.png")
    with pytest.raises(DataError, match="found 1 files outside"):
        read_list(run_folder / "bundle", cases, work=tmp_path / "work", jobs=1)
