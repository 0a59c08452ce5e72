"""Outlines judged: discs whose overlap is known, faults that are planted, and SimpleITK beside every number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import SimpleITK

from usdlr.core.errors import DataError
from usdlr.core.units import Spacing
from usdlr.evaluation.outline_quality import OutlinedImage, judge_image, judge_images, outline_metrics, score_curve

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


DOT = blob(slice(7, 8), slice(9, 10))
DEGENERATE = {
    "one empty": (LESION, NOTHING),
    "the other empty": (NOTHING, LESION),
    "single pixels apart": (DOT, blob(slice(59, 60), slice(79, 80))),
    "single pixel in a mask": (DOT, blob(slice(5, 20), slice(0, 30))),
    "full": (np.ones(SHAPE, dtype=np.int64), LESION),
    "identical": (LESION, LESION),
    "touching the border": (blob(slice(0, 60), slice(0, 20)), blob(slice(0, 60), slice(5, 30))),
}


@pytest.mark.parametrize("spacing", [MM, Spacing(0.05, 2.0)])
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_masks_are_judged_as_simpleitk_judges_them(name: str, spacing: Spacing) -> None:
    reference, predicted = DEGENERATE[name]
    row = judge_image(image(reference, predicted, spacing=spacing))
    first, second = (ITK.GetImageFromArray(mask.astype(np.uint8)) for mask in (reference, predicted))
    for one in (first, second):
        one.SetSpacing((spacing.col_mm, spacing.row_mm))
    if reference.any():  # without a lesion there is nothing to share, where SimpleITK says 0
        overlap = ITK.LabelOverlapMeasuresImageFilter()
        overlap.Execute(first, second)
        assert row["dice"] == pytest.approx(overlap.GetDiceCoefficient())
        assert row["iou"] == pytest.approx(overlap.GetJaccardCoefficient())
    distance = ITK.HausdorffDistanceImageFilter()
    if not (reference.any() and predicted.any()):
        with pytest.raises(RuntimeError):
            distance.Execute(first, second)
        assert np.isnan([row["hausdorff_mm"], row["average_hausdorff_mm"], row["hausdorff_share"]]).all()
        return
    distance.Execute(first, second)
    assert row["hausdorff_mm"] == pytest.approx(distance.GetHausdorffDistance(), abs=1e-5)
    assert row["average_hausdorff_mm"] == pytest.approx(distance.GetAverageHausdorffDistance(), abs=1e-5)


def test_boundary_distances_of_a_grown_square() -> None:
    """A square grown by 2 pixels on all sides, worked out by hand: its sides lie 2 away, its corners further."""
    inner = blob(slice(20, 40), slice(20, 40))
    row = judge_image(image(inner, blob(slice(18, 42), slice(18, 42)), spacing=Spacing(1.0, 1.0)))
    near, knee, corner = [2.0] * (76 + 4 * 20), [np.hypot(2, 1)] * 8, [np.hypot(2, 2)] * 4
    assert row["boundary_error_mm"] == pytest.approx(np.mean(near + knee + corner))
    # 12 of the 92 outer pixels lie further than 2: the 95th percentile falls on one next to a corner.
    assert row["hausdorff95_mm"] == pytest.approx(np.hypot(2, 1))
    assert row["hausdorff_mm"] == pytest.approx(np.hypot(2, 2))


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
    assert (row["reader_short_mm"], row["software_short_mm"]) == pytest.approx((10.0, 7.5))
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
    # The columns that the half lacks lie 0.25 to 5 mm from it; back the distance is 0.
    there = np.mean([*np.zeros(20), *np.arange(1, 21) / 4])
    stratum = next(row for row in told["strata"] if row["stratum"] == "10-14 mm")
    assert stratum["median_average_hausdorff_mm"] == pytest.approx(0.0)
    assert objects["average_hausdorff_mm"].max() == pytest.approx(there / 2)
    assert told["short_axes"]["bias"]["value"] == pytest.approx((0 + 0 - 5) / 3)
    assert told["diameters"]["n"] == 3
    assert told["confidence"]["spearman"] == pytest.approx(1.0)


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


def test_without_a_pixel_size_no_table_is_in_millimetres() -> None:
    images, matched, objects = judge_images(
        [image(LESION, np.roll(LESION, 4, axis=1), spacing=None)], covered=0.4, smallest_mm=4.5
    )
    for table in (images, matched, objects):
        lengths = [name for name in table if str(name).endswith(("_mm", "_mm2"))]
        assert lengths
        assert table[lengths].isna().all(axis=None)
    assert matched["found"].tolist() == [1]


def test_lesions_too_small_to_count_are_told() -> None:
    small = LESION + blob(slice(2, 6), slice(2, 6), 2)  # 2 mm x 1 mm
    images, matched, objects = judge_images([image(small, LESION)], covered=0.4, smallest_mm=4.5)
    told = outline_metrics(images, matched, objects, replicates=100)
    assert (told["too_small"], told["recall"]["n"], images["lesions"].tolist()) == (1, 1, [2])


def test_lesions_that_were_not_matched_are_not_said_to_be_missing() -> None:
    images, matched, objects = judge_images(study(), covered=0.4, smallest_mm=4.5, match=False)
    told = outline_metrics(images, matched, objects, replicates=100)
    assert told["recall"]["method"] == "undefined: lesions were not matched one by one"
    assert told["too_small"] is None
    assert told["dice"]["n"] == 4


def test_a_group_that_no_image_has_is_refused() -> None:
    tables = judge_images(study(), covered=0.4, smallest_mm=4.5)
    with pytest.raises(DataError, match="found no column scanner"):
        outline_metrics(*tables, groups=["scanner"], replicates=100)


def test_an_image_without_its_group_is_counted_as_unknown() -> None:
    images, matched, objects = judge_images(study(), covered=0.4, smallest_mm=4.5)
    images.loc[0, "device"] = None
    told = outline_metrics(images, matched, objects, groups=["device"], replicates=100)
    assert {name: own["n"] for name, own in told["groups"]["device"].items()} == {"A": 1, "B": 2, "unknown": 1}


def test_no_image_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="found no image to judge"):
        judge_images([], covered=0.4, smallest_mm=4.5)
