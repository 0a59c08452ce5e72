"""The explanation on a page adds up, agrees with the tables, and its maps lie where the lesion and its ring are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from tests.review.reading_list import reading_list, small_cases, told, two_images
from usdlr.core import tables
from usdlr.decision.explanation import Explanation
from usdlr.inference.bundle import load_bundle
from usdlr.inference.explain import explain
from usdlr.inference.predictor import predict_prepared, prepare_cases
from usdlr.review.anew import Request, What
from usdlr.review.explaining import explained
from usdlr.review.plain import from_plain


def test_shares_add_up_and_numbers_are_those_of_the_list(run_folder: Path) -> None:
    record, plain, _ = told(run_folder)
    assert (plain["group"], plain["reason"]) == (str(record.answer.group), record.answer.reason)
    found = from_plain(Explanation, plain["explanation"])
    for shown, one, stage in zip(plain["stages"], found.stages, record.answer.stages, strict=True):
        assert (one.probability, one.threshold) == (stage.probability, stage.threshold)
        added = shown["base"]["adds"] + sum(block["adds"] or 0.0 for block in shown["blocks"])
        assert added == pytest.approx(shown["sum"]["adds"], abs=1e-5)
        assert 1 / (1 + np.exp(-shown["sum"]["adds"])) == pytest.approx(stage.probability, abs=1e-6)
        assert shown["reached"] == stage.reached
        assert f"{100 * stage.probability:.1f} %" in shown["sentence"] or not stage.reached


def test_maps_lie_on_lesion_and_ring_and_nowhere_else(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Full colour from the faintest value on: this model's images add next to nothing, which would stay pale.
    monkeypatch.setattr("usdlr.review.explaining.full_colour", lambda case: 1e-12)
    record = two_images(run_folder)
    bundle = load_bundle(run_folder / "bundle")
    plain, pictures = explained(bundle, Request(What.EXPLAIN, record), None, patch_mm=None)
    images = {image.token: image for image in record.images}
    assert {one["picture"] for one in plain["maps"]} == set(pictures)
    assert {one["image"] for one in plain["maps"]} == set(images)
    coloured = 0
    for one in plain["maps"]:
        image = images[one["image"]]
        pixels = cv2.imdecode(np.frombuffer(pictures[one["picture"]], np.uint8), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        assert pixels.shape == (image.rows, image.columns, 4)
        near = np.zeros((image.rows, image.columns), np.uint8)
        lines = [np.array(line)[:, ::-1].astype(np.int32) for line in image.ring]
        cv2.fillPoly(near, lines, 1)
        # A crop's pixels are larger than the image's: they may reach over the edge.
        reach = ndimage.binary_dilation(near, iterations=12)
        assert not pixels[..., 3][~reach].any()
        coloured += int((pixels[..., 3] > 0).sum())
        for name in (record.patient_id, image.image_id):
            assert name not in one["picture"]
    assert coloured > 0


def test_maps_are_those_of_the_explanation_of_files(run_folder: Path, tmp_path: Path) -> None:
    record, plain, _ = told(run_folder)
    bundle, cases = load_bundle(run_folder / "bundle"), small_cases(run_folder)
    table = tables.CASES.read(cases)
    prepared = prepare_cases(bundle.preparation, table, cases.parent, jobs=1, ledger=tmp_path)
    prediction = predict_prepared(bundle, prepared, on_uncertified=None)
    truth = explain(bundle, prepared, prediction, (record.patient_id, str(record.side)), patch_mm=None)
    for stage, maps in truth.maps.items():
        for image in record.images:
            place = list(truth.cases["image_id"]).index(image.image_id)
            for modality in ("bmode", "elasto"):
                of = [one for one in maps.signed if one.image == place and one.block.startswith(f"{modality}.")]
                stated = [one["adds"] for one in plain["maps"] if (one["stage"], one["image"], one["modality"])
                        == (str(stage), image.token, modality)]  # fmt: skip
                assert stated == pytest.approx([sum(one.total for one in of)] if of else [], abs=1e-5)


def test_a_redrawn_contour_is_explained_as_it_counts(run_folder: Path) -> None:
    other = next(one for one in reading_list(run_folder)[1] if len(one.images) == 1)
    image = other.images[0]
    lower = tuple(tuple((row + 2.0, col) for row, col in line) for line in image.contour)
    request = Request(What.EXPLAIN, other, {image.token: lower})
    plain, _ = explained(load_bundle(run_folder / "bundle"), request, None, patch_mm=None)
    found = from_plain(Explanation, plain["explanation"])
    assert found.stages[0].probability != other.answer.stages[0].probability
