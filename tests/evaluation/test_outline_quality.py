"""Outlines judged: discs whose overlap is known, faults that are planted, and SimpleITK beside every number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK

from usdlr.core.units import Spacing
from usdlr.evaluation.outline_quality import (
    OutlinedImage,
    judge_image,
    judge_images,
    mean_of,
    outline_metrics,
    paired_difference,
    score_curve,
)

ITK: Any = SimpleITK  # publishes no types for its filters
SHAPE = (60, 80)
MM = Spacing(0.5, 0.25)


def blob(rows: slice, cols: slice, value: int = 1) -> np.ndarray[Any, np.dtype[np.int64]]:
    out = np.zeros(SHAPE, dtype=np.int64)
    out[rows, cols] = value
    return out


NOTHING = np.zeros(SHAPE, dtype=np.int64)
LESION = blob(slice(20, 40), slice(20, 60))  # 10 mm x 10 mm


def image(
    reference: Any, predicted: Any, *, patient: str = "p", name: str = "i", spacing: Spacing | None = MM, **rest: Any
) -> OutlinedImage:
    scores = rest.pop("scores", {int(number): 0.9 for number in np.unique(predicted) if number})
    return OutlinedImage(patient, name, rest.pop("kind", "lesion"), reference, predicted, scores, spacing, **rest)


@pytest.mark.parametrize("seed", range(6))
def test_whole_masks_are_judged_as_simpleitk_judges_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = (rng.random(SHAPE) < 0.02 * (seed + 1)).astype(np.int64)
    predicted = (rng.random(SHAPE) < 0.03 * (seed + 1)).astype(np.int64)
    row = judge_image(image(reference, predicted))
    first, second = (ITK.GetImageFromArray(mask.astype(np.uint8)) for mask in (reference, predicted))
    for one in (first, second):
        one.SetSpacing((MM.col_mm, MM.row_mm))
    overlap, distance = ITK.LabelOverlapMeasuresImageFilter(), ITK.HausdorffDistanceImageFilter()
    overlap.Execute(first, second)
    distance.Execute(first, second)
    assert row["dice"] == pytest.approx(overlap.GetDiceCoefficient())
    assert row["iou"] == pytest.approx(overlap.GetJaccardCoefficient())
    assert row["hausdorff_mm"] == pytest.approx(distance.GetHausdorffDistance())
    assert row["average_hausdorff_mm"] == pytest.approx(distance.GetAverageHausdorffDistance())


def test_a_missed_lesion_counts_with_nothing() -> None:
    row = judge_image(image(LESION, NOTHING))
    assert (row["dice"], row["iou"], row["lesions"], row["found_lesions"]) == (0.0, 0.0, 1, 0)
    assert np.isnan([row["hausdorff95_mm"], row["score"], row["software_mm"]]).all()
    assert row["reader_mm"] == pytest.approx(np.hypot(10, 10))


def test_an_image_without_a_lesion_has_no_overlap_to_tell() -> None:
    for predicted, count in ((NOTHING, 0), (LESION, 1)):
        row = judge_image(image(NOTHING, predicted, kind="background"))
        assert np.isnan([row["dice"], row["iou"], row["hausdorff_mm"], row["hausdorff_share"]]).all()
        assert row["found_lesions"] == count


def test_without_a_pixel_size_nothing_is_in_millimetres() -> None:
    row = judge_image(image(LESION, np.roll(LESION, 4, axis=1), spacing=None))
    assert np.isnan([row[name] for name in row if name.endswith("_mm")]).all()
    # A shift by 4 of a square of 20 x 40 pixels, whose disc of equal area is 31.9 pixels across.
    assert row["hausdorff_share"] == pytest.approx(4 / np.sqrt(4 * 800 / np.pi))
    in_mm = judge_image(image(LESION, np.roll(LESION, 4, axis=1)))
    assert in_mm["hausdorff_mm"] == pytest.approx(1.0)
    assert in_mm["hausdorff_share"] == pytest.approx(1.0 / np.sqrt(4 * 100 / np.pi))


def test_the_largest_lesion_is_measured_on_what_covers_it() -> None:
    reference = LESION + blob(slice(2, 6), slice(2, 6), 2)
    predicted = blob(slice(20, 40), slice(20, 50)) + blob(slice(50, 60), slice(0, 80), 2)
    row = judge_image(image(reference, predicted))
    assert row["reader_mm"] == pytest.approx(np.hypot(10, 10))
    assert row["software_mm"] == pytest.approx(np.hypot(10, 7.5))
    assert row["lesions"] == row["found_lesions"] == 2


def study() -> list[OutlinedImage]:
    """Four patients: found, missed, invented beside, and half covered; and tissue, of which one image of four fails."""
    half = blob(slice(20, 40), slice(20, 40))
    beside = LESION + blob(slice(45, 58), slice(0, 30), 2)
    shown = [
        image(LESION, LESION, patient="a", name="a1", groups={"device": "A"}, scores={1: 0.95}),
        image(LESION, NOTHING, patient="b", name="b1", groups={"device": "A"}),
        image(LESION, beside, patient="c", name="c1", groups={"device": "B"}, scores={1: 0.8, 2: 0.6}),
        image(LESION, half, patient="d", name="d1", groups={"device": "B"}, scores={1: 0.7}),
    ]
    tissue = [image(NOTHING, NOTHING, patient=f"t{n}", name=f"t{n}", kind="background") for n in range(3)]
    return [*shown, *tissue, image(NOTHING, half, patient="t9", name="t9", kind="background", scores={1: 0.5})]


def test_the_numbers_of_a_small_study() -> None:
    images, matched, objects = judge_images(study(), covered=0.4, smallest_mm=4.5)
    told = outline_metrics(images, matched, objects, groups=["device"], replicates=200)
    dice = [1.0, 0.0, 2 * 800 / (2 * 800 + 13 * 30), 2 * 400 / 1200]
    assert told["dice"]["value"] == pytest.approx(np.mean(dice))
    assert told["dice_median"]["value"] == pytest.approx(np.median(dice))
    assert told["dice"]["low"] < told["dice"]["value"] < told["dice"]["high"]
    assert (told["good"]["events"], told["good"]["n"]) == (3, 4)
    assert (told["recall"]["events"], told["recall"]["n"]) == (3, 4)
    assert (told["precision"]["events"], told["precision"]["n"]) == (3, 4)
    assert told["false_positives_per_image"]["value"] == pytest.approx(0.25)
    tissue = told["without_a_lesion"]["background"]
    assert (tissue["events"], tissue["n"]) == (1, 4)
    assert told["groups"]["device"]["B"]["value"] == pytest.approx(np.mean(dice[2:]))
    assert [row["n"] for row in told["strata"] if row["stratum"] == "10-14 mm"] == [4]
    assert told["diameters"]["n"] == 3
    assert told["confidence"]["spearman"] == pytest.approx(1.0)


def test_patients_are_drawn_not_images() -> None:
    """The same picture of a patient ten times over says nothing new: the interval must not shrink."""
    values = np.random.default_rng(2).uniform(0.4, 1.0, 30)
    rows = [{"patient_id": f"p{n}", "image_id": f"i{n}", "dice": value} for n, value in enumerate(values)]
    once, often = (mean_of(pd.DataFrame(rows * times), "dice", replicates=500) for times in (1, 10))
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))
    assert once.low is not None
    assert once.high is not None
    # About two standard errors of 30 patients either way.
    assert once.high - once.low == pytest.approx(2 * 1.96 * values.std(ddof=1) / np.sqrt(30), rel=0.15)


def test_a_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    ids = {"patient_id": [f"p{n}" for n in range(50)], "image_id": [f"i{n}" for n in range(50)]}
    base, change = rng.uniform(0.2, 0.9, 50), rng.normal(0.05, 0.001, 50)
    first, second = (pd.DataFrame({**ids, "dice": values}) for values in (base + change, base))
    found = paired_difference(first, second.sample(frac=1, random_state=1), "dice", replicates=200)
    assert (found.value, found.low, found.high) == pytest.approx((0.05, 0.05, 0.05), abs=0.001)


def test_lesions_found_against_lesions_invented() -> None:
    curve = score_curve(study(), covered=0.4)
    points = {score: (recall, false) for score, recall, false in curve.to_numpy().tolist()}
    assert points[0.95] == (0.25, 0.0)
    assert points[0.7] == (0.75, 0.0)
    assert points[0.5] == (0.75, 2 / 8)
    assert curve["recall"].is_monotonic_increasing


def test_nothing_to_judge() -> None:
    images, matched, objects = judge_images([image(NOTHING, NOTHING, kind="background")], covered=0.4, smallest_mm=4.5)
    told = outline_metrics(images, matched, objects, replicates=100)
    assert told["dice"]["value"] is None
    assert told["recall"]["value"] is None
    assert told["without_a_lesion"]["background"]["events"] == 0
    assert told["diameters"] is None
    assert told["confidence"] is None
