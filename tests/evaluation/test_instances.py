"""Objects whose fate is known because they were drawn so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import kruskal
from skimage import draw, measure

from usdlr.core.errors import CaseError, ConfigError, DataError
from usdlr.core.units import Spacing
from usdlr.evaluation.detection import collect, detection, strata
from usdlr.evaluation.instances import Matching, match_objects, objects_of
from usdlr.imaging.components import short_axes

Mask = NDArray[np.bool_]
DRAW: Any = draw  # neither module is typed throughout
MEASURE: Any = measure
MM = Spacing(1.0, 1.0)


def empty() -> Mask:
    return np.zeros((120, 160), dtype=bool)


def box(row: int, col: int, rows: int, cols: int) -> Mask:
    mask = empty()
    mask[row : row + rows, col : col + cols] = True
    return mask


def outcomes(matching: Matching, kind: str) -> list[str]:
    return matching.objects.loc[matching.objects["kind"] == kind, "outcome"].tolist()


def test_found_missed_and_invented() -> None:
    # Reference: three nodes; predicted: one right, one covering 39 of 100 pixels, nothing on the third, one invented.
    drawn = box(10, 10, 10, 10) | box(10, 50, 10, 10) | box(10, 90, 10, 10)
    guess = box(10, 10, 10, 10) | box(60, 60, 8, 8) | box(10, 50, 3, 13) | box(13, 50, 9, 1)
    matching = match_objects(drawn, guess, MM, smallest_mm=0)
    assert matching.objects.loc[1, "covered"] == pytest.approx(0.37)
    assert outcomes(matching, "reference") == ["found", "missed", "missed"]
    assert outcomes(matching, "predicted") == ["matched", "false_positive", "false_positive"]
    assert matching.counts == {"reference": 3, "found": 1, "predicted": 3, "false_positives": 2, "neutral": 0}
    # Unmatched objects are removed: the one that is found is perfect.
    assert (matching.overlap.dice, matching.overlap.hausdorff_mm) == (1.0, 0.0)


@pytest.mark.parametrize(("rows", "outcome"), [(4, "found"), (3, "missed")])
def test_forty_per_cent_is_enough(rows: int, outcome: str) -> None:
    matching = match_objects(box(10, 10, 10, 10), box(10, 10, rows, 10), MM, smallest_mm=0)
    assert outcomes(matching, "reference") == [outcome]


def test_two_predicted_objects_may_cover_one_node_together() -> None:
    guess = box(10, 10, 10, 3) | box(10, 16, 10, 3)
    matching = match_objects(box(10, 10, 10, 10), guess, MM, smallest_mm=0)
    assert outcomes(matching, "reference") == ["found"]
    assert outcomes(matching, "predicted") == ["matched", "matched"]
    assert matching.overlap.dice == pytest.approx(2 * 60 / 160)


def test_small_objects_are_dropped_from_both_sides() -> None:
    drawn = box(10, 10, 10, 10) | box(50, 50, 4, 30)
    guess = box(10, 10, 10, 10) | box(48, 50, 8, 30) | box(90, 90, 4, 30)
    matching = match_objects(drawn, guess, MM)
    assert matching.dropped == 1
    assert outcomes(matching, "reference") == ["found"]
    # The one on the dropped node is neither right nor wrong; the one of 4 mm elsewhere is dropped itself.
    assert outcomes(matching, "predicted") == ["matched", "neutral"]
    assert matching.overlap.dice == 1.0
    precision = detection(collect([("a", "a1", matching)])[0])["precision"]
    assert (precision.value, precision.events, precision.n) == (1.0, 1, 1)


def test_labels_keep_touching_objects_apart() -> None:
    numbers = box(10, 10, 10, 10).astype(np.int64) + 2 * box(10, 20, 10, 10)
    assert match_objects(numbers, box(10, 10, 10, 10), MM).counts["reference"] == 2
    assert match_objects(numbers > 0, box(10, 10, 10, 10), MM).counts["reference"] == 1
    assert len(np.unique(objects_of(box(3, 3, 5, 5) | box(8, 8, 5, 5)))) == 2  # corners touch: one object


def test_components_are_those_of_scikit_image() -> None:
    mask = np.random.default_rng(0).random((60, 60)) < 0.3
    assert objects_of(mask).max() == MEASURE.label(mask, connectivity=2).max()


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.1, np.pi / 2, 2.5])
@pytest.mark.parametrize("spacing", [Spacing(0.1, 0.1), Spacing(0.2, 0.1), Spacing(0.1, 0.3)])
def test_short_axis_of_an_ellipse_at_any_angle(angle: float, spacing: Spacing) -> None:
    turn = np.linspace(0, 2 * np.pi, 400)
    along, across = 9.0 * np.cos(turn), 4.0 * np.sin(turn)  # half axes in mm
    row = (15 + along * np.sin(angle) + across * np.cos(angle)) / spacing.row_mm
    col = (15 + along * np.cos(angle) - across * np.sin(angle)) / spacing.col_mm
    mask = np.zeros((round(30 / spacing.row_mm), round(30 / spacing.col_mm)), dtype=np.int64)
    mask[DRAW.polygon(row, col, mask.shape)] = 1
    assert short_axes(mask, spacing)[1] == pytest.approx(8.0, abs=2 * max(spacing.row_mm, spacing.col_mm))


def test_short_axis_of_a_disc_is_that_of_scikit_image() -> None:
    mask = np.zeros((100, 100), dtype=np.int64)
    mask[DRAW.ellipse(50, 50, 18, 30)] = 4
    assert short_axes(mask, MM)[4] == pytest.approx(MEASURE.regionprops(mask)[0].axis_minor_length, abs=1.0)


@pytest.mark.parametrize("guess", [empty(), box(10, 10, 10, 10)])
def test_no_reference_object(guess: Mask) -> None:
    matching = match_objects(empty(), guess, MM)
    assert matching.counts["false_positives"] == matching.counts["predicted"] == int(guess.any())
    assert matching.overlap.dice is None


def test_wrong_settings_and_grids_are_refused() -> None:
    with pytest.raises(ConfigError, match="covered = 0"):
        match_objects(empty(), empty(), MM, covered=0)
    with pytest.raises(ConfigError, match="smallest_mm"):
        match_objects(empty(), empty(), MM, smallest_mm=-1)
    with pytest.raises(CaseError, match="resample"):
        match_objects(empty(), empty().T, MM)
    with pytest.raises(ConfigError, match="numbers 0, 1, 2"):
        match_objects(empty().astype(float), empty(), MM)


def cohort() -> list[tuple[str, str, Matching]]:
    """Two images: two of three nodes found, one invented; then a node found, nothing invented."""
    drawn = box(10, 10, 10, 10) | box(10, 50, 16, 16) | box(60, 90, 6, 6)
    first = match_objects(drawn, box(10, 10, 10, 9) | box(10, 50, 16, 16) | box(90, 10, 9, 9), MM)
    second = match_objects(box(10, 10, 12, 12), box(10, 10, 6, 12), MM)
    return [("a", "a1", first), ("b", "b1", second)]


def test_recall_and_false_positives_per_image() -> None:
    images, objects = collect(cohort())
    found = detection(images, replicates=100)
    assert (found["recall"].value, found["recall"].events, found["recall"].n) == (0.75, 3, 4)
    assert (found["precision"].value, found["precision"].n) == (0.75, 4)
    assert found["false_positives_per_image"].value == 0.5
    assert found["dice"].value == pytest.approx((2 * 346 / (356 + 346) + 2 / 3) / 2)
    assert len(objects) == 8


def test_images_of_one_patient_do_not_narrow_the_interval() -> None:
    random = np.random.default_rng(1)
    images = pd.DataFrame({"patient_id": [f"p{i}" for i in range(40)], "image_id": [f"i{i}" for i in range(40)]})
    images["reference"], images["found"] = 5, random.integers(0, 6, 40)
    images["predicted"], images["false_positives"], images["neutral"], images["dropped"] = 6, 1, 0, 0
    for name in ("dice", "iou", "hausdorff_mm", "average_hausdorff_mm", "hausdorff95_mm", "boundary_error_mm"):
        images[name] = random.random(40)
    once, thrice = detection(images), detection(pd.concat([images] * 3, ignore_index=True))
    for name in ("recall", "dice"):
        assert thrice[name].value == pytest.approx(once[name].value)
        assert (thrice[name].low, thrice[name].high) == pytest.approx((once[name].low, once[name].high))


def planted(seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    size = np.repeat([4.5, 7.0, 9.49, 9.5, 12.0, 14.5, 20.0], 20)
    quality = 0.5 + 0.02 * size + random.normal(0, 0.03, len(size))
    outcome = np.where(np.arange(len(size)) % 5 == 0, "missed", "found")
    table = pd.DataFrame({"kind": "reference", "short_axis_mm": size, "outcome": outcome, "hausdorff_mm": 1.0})
    table["dice"] = np.where(outcome == "found", quality, np.nan)
    return table


def test_strata_round_to_whole_millimetres() -> None:
    objects = planted()
    table, tests = strata(objects)
    assert dict(zip(table["stratum"], table["n"], strict=True)) == {
        "5-9 mm": 60,
        "10-14 mm": 40,
        ">=15 mm": 40,
        ">=10 mm": 80,
    }
    assert table["recall"].tolist() == pytest.approx([0.8] * 4)
    found = objects[objects["outcome"] == "found"]
    parts = [found.loc[found["short_axis_mm"].between(*ends), "dice"] for ends in ((4, 9.49), (9.5, 14.4), (14.5, 99))]
    expected = kruskal(*parts)
    assert tests["dice"]["statistic"] == pytest.approx(expected.statistic)
    assert tests["dice"]["p_value"] == pytest.approx(expected.pvalue)
    assert tests["dice"]["significant"] is True
    assert "independent" in tests["dice"]["method"]
    assert tests["hausdorff_mm"]["p_value"] is None
    assert "the same" in tests["hausdorff_mm"]["method"]


def test_strata_without_objects_are_undefined() -> None:
    table, tests = strata(planted().query("short_axis_mm < 9"))
    assert table.set_index("stratum")["recall"].isna().tolist() == [False, True, True, True]
    assert "fewer than two strata" in tests["dice"]["method"]
    with pytest.raises(ConfigError, match="two lower ends"):
        strata(planted(), edges_mm=(10, 5))


def test_nothing_at_all() -> None:
    images, objects = collect([("a", "a1", match_objects(empty(), empty(), MM))])
    found = detection(images)
    assert found["recall"].value is None
    assert found["recall"].method.startswith("undefined")
    assert found["dice"].value is None
    assert found["false_positives_per_image"].value == 0.0
    assert strata(objects)[0]["n"].sum() == 0
    assert len(collect([])[0]) == 0
    with pytest.raises(DataError, match="more than once"):
        collect([*cohort(), *cohort()])
