"""From probabilities to lesions, held against scikit-image and against shapes whose sizes are known."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter
from skimage.measure import label, regionprops

from usdlr.core.errors import ConfigError
from usdlr.core.units import Spacing
from usdlr.imaging.components import LesionRules, find_lesions, short_axes

ALL = LesionRules(smallest_mm=0.0, smallest_share=0.0, least_score=0.0, most=10_000)


def blobs(seed: int, shape: tuple[int, int] = (90, 130)) -> npt.NDArray[np.float32]:
    """Probabilities with many parts, holes and touches of the border."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2.5)
    return np.asarray(0.5 + 0.5 * noise / np.abs(noise).max(), dtype=np.float32)


def without_holes(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Background that no step up, down, left or right leads from to the border is lesion."""
    beside = label(~np.pad(mask, 1), connectivity=1)  # type: ignore[no-untyped-call]  # scikit-image has no types
    return np.asarray((beside != beside[0, 0])[1:-1, 1:-1])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.35, 0.5, 0.6])
def test_parts_are_those_of_scikit_image(seed: int, threshold: float) -> None:
    probability = blobs(seed)
    labels, lesions = find_lesions(probability, LesionRules(threshold, 0.0, 0.0, 0.0, 10_000), None)
    filled = without_holes(probability >= threshold)
    assert (filled & (probability < threshold)).any() or threshold > 0.35
    expected = label(filled, connectivity=2)  # type: ignore[no-untyped-call]  # scikit-image has no types
    np.testing.assert_array_equal(labels > 0, filled)
    # One to one: every pair of numbers that meet, meets no other.
    pairs = {(int(one), int(two)) for one, two in zip(labels[filled], expected[filled], strict=True)}
    assert len(pairs) == expected.max() == len(lesions)
    measured = regionprops(expected, intensity_image=probability)  # type: ignore[no-untyped-call]  # scikit-image has no types
    theirs = {found.label: found for found in measured}
    for own, other in pairs:
        lesion, found = lesions[own - 1], theirs[other]
        top, left, bottom, right = found.bbox
        assert lesion.number == own
        assert lesion.area_px == found.area
        assert lesion.box == (top, left, bottom - top, right - left)
        assert lesion.score == pytest.approx(found.intensity_mean, abs=1e-6)
    scores = [lesion.score for lesion in lesions]
    assert scores == sorted(scores, reverse=True)
    assert [lesion.number for lesion in lesions] == list(range(1, len(lesions) + 1))


def test_corners_touch_and_a_ring_of_corners_has_an_inside() -> None:
    probability = np.zeros((7, 7), dtype=np.float32)
    for row, col in ((1, 3), (2, 2), (2, 4), (3, 1), (3, 5), (4, 2), (4, 4), (5, 3)):
        probability[row, col] = 1.0
    labels, lesions = find_lesions(probability, ALL, None)
    assert len(lesions) == 1
    assert lesions[0].area_px == labels.sum() == 13


def strip(width: float, length: float, angle_deg: float, mm: Spacing, side: float = 60.0) -> npt.NDArray[np.int64]:
    """A rectangle in mm, turned, in the middle of a square image of ``side`` mm."""
    rows, cols = np.indices((round(side / mm.row_mm), round(side / mm.col_mm))) + 0.5
    y, x = rows * mm.row_mm - side / 2, cols * mm.col_mm - side / 2
    turn = math.radians(angle_deg)
    along, across = x * math.cos(turn) + y * math.sin(turn), -x * math.sin(turn) + y * math.cos(turn)
    return np.asarray((np.abs(along) <= length / 2) & (np.abs(across) <= width / 2), dtype=np.int64)


@pytest.mark.parametrize("mm", [Spacing(0.2, 0.2), Spacing(0.1, 0.3), Spacing(0.25, 0.12)], ids=str)
@pytest.mark.parametrize("angle", [0, 17, 45, 80, 90])
def test_a_strip_is_as_narrow_as_it_was_drawn(mm: Spacing, angle: float) -> None:
    found = short_axes(strip(8.0, 30.0, angle, mm), mm)
    assert list(found) == [1]
    # Corners of pixels reach past the strip by at most half a diagonal on either side.
    assert found[1] == pytest.approx(8.0, abs=math.hypot(mm.row_mm, mm.col_mm))


@pytest.mark.parametrize("mm", [Spacing(0.1, 0.1), Spacing(0.05, 0.15)], ids=str)
def test_a_disc_is_its_diameter_in_every_direction(mm: Spacing) -> None:
    rows, cols = np.indices((round(20 / mm.row_mm), round(20 / mm.col_mm))) + 0.5
    disc = np.hypot(rows * mm.row_mm - 10, cols * mm.col_mm - 10) <= 6
    found = short_axes(disc.astype(np.int64), mm)[1]
    assert found == pytest.approx(12, abs=0.2)
    (theirs,) = regionprops(disc.astype(np.uint8), spacing=mm.as_tuple())  # type: ignore[no-untyped-call]  # scikit-image has no types
    assert found == pytest.approx(theirs.axis_minor_length, rel=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_no_direction_is_narrower(seed: int) -> None:
    mm = Spacing(0.1, 0.17)
    objects = label(blobs(seed) > 0.6, connectivity=2)  # type: ignore[no-untyped-call]  # scikit-image has no types
    angles = np.radians(np.arange(0, 180, 0.05))
    directions = np.column_stack([np.sin(angles), np.cos(angles)])
    for number, found in short_axes(objects, mm).items():
        row, col = np.nonzero(objects == number)
        corners = np.concatenate([np.column_stack([row + a, col + b]) for a in (0, 1) for b in (0, 1)])
        across = (corners * mm.as_tuple()) @ directions.T
        width = np.ptp(across, axis=0).min()
        assert found <= width + 1e-9
        assert found == pytest.approx(width, rel=2e-3)


def test_numbers_that_are_missing_have_no_axis() -> None:
    objects = np.zeros((9, 9), dtype=np.int64)
    objects[1:4, 1:3], objects[6:8, 6:8] = 2, 5
    assert short_axes(objects, Spacing(1.0, 1.0)) == {2: 2.0, 5: 2.0}
    assert short_axes(np.zeros((3, 3), dtype=np.int64), Spacing(1.0, 1.0)) == {}


def squares() -> npt.NDArray[np.float32]:
    """Squares of 4, 10 and 20 pixels in an image of 200 columns, the small ones the surer."""
    probability = np.full((100, 200), 0.1, dtype=np.float32)
    probability[10:14, 10:14], probability[30:40, 30:40], probability[60:80, 100:120] = 0.95, 0.85, 0.7
    return probability


@pytest.mark.parametrize(
    ("changed", "spacing", "areas"),
    [
        ({"smallest_share": 0.02}, None, [16, 100, 400]),  # 4 of 200 pixels are just large enough
        ({"smallest_share": 0.0201}, None, [100, 400]),
        ({"smallest_share": 0.06, "smallest_mm": 0.0}, None, [400]),
        ({"smallest_mm": 2.0, "smallest_share": 0.4}, Spacing(0.2, 0.2), [100, 400]),  # shares count for nothing here
        ({"smallest_mm": 2.01}, Spacing(0.2, 0.2), [400]),
        ({"smallest_mm": 2.0}, Spacing(0.2, 0.1), [400]),  # the narrower side counts
        ({"threshold": 0.8}, None, [16, 100]),
        ({"threshold": 0.7, "least_score": 0.8}, None, [16, 100]),
        ({"most": 2}, None, [16, 100]),
        ({"most": 1}, None, [16]),
        ({"most": 1, "smallest_share": 0.03}, None, [100]),  # what is too small takes no place
        ({"threshold": 0.96}, None, []),
    ],
)
def test_rules_keep_what_they_say(changed: dict[str, float], spacing: Spacing | None, areas: list[int]) -> None:
    rules = LesionRules(**{"least_score": 0.0, **changed})  # type: ignore[arg-type]  # a table of numbers
    labels, lesions = find_lesions(squares(), rules, spacing)
    assert [lesion.area_px for lesion in lesions] == areas
    assert [int((labels == lesion.number).sum()) for lesion in lesions] == areas
    assert int((labels > 0).sum()) == sum(areas)


def test_sizes_are_told_in_the_unit_of_the_image() -> None:
    for spacing, expected in ((None, 20 / 200), (Spacing(0.1, 0.1), 2.0), (Spacing(0.3, 0.1), 2.0)):
        _, lesions = find_lesions(squares(), ALL, spacing)
        assert lesions[-1].short_axis == pytest.approx(expected)


def test_a_score_is_the_mean_probability_times_the_presence() -> None:
    probability = np.zeros((30, 30), dtype=np.float32)
    probability[5:15, 5:15] = 0.8
    probability[5:10, 5:15] = 0.6
    probability[9, 9] = 0.0  # a hole is inside
    mean = (50 * 0.8 + 49 * 0.6) / 100
    for presence in (1.0, 0.9, 0.5):
        _, (lesion,) = find_lesions(probability, LesionRules(least_score=0.1), None, presence=presence)
        assert lesion.score == pytest.approx(mean * presence, abs=1e-6)
    labels, lesions = find_lesions(probability, LesionRules(least_score=0.5), None, presence=0.7)
    assert not lesions
    assert not labels.any()


def test_edges_of_what_there_can_be() -> None:
    nothing = np.zeros((20, 30), dtype=np.float32)
    labels, lesions = find_lesions(nothing, ALL, None)
    assert labels.shape == (20, 30)
    assert not labels.any()
    assert not lesions
    single = nothing.copy()
    single[0, 29] = 1.0
    labels, (lesion,) = find_lesions(single, ALL, Spacing(0.5, 0.25))
    assert (lesion.box, lesion.area_px, lesion.short_axis) == ((0, 29, 1, 1), 1, 0.25)
    assert labels[0, 29] == 1
    labels, (lesion,) = find_lesions(np.ones((20, 30), dtype=np.float32), ALL, None)
    assert (lesion.box, lesion.area_px) == ((0, 0, 20, 30), 600)
    assert lesion.short_axis == pytest.approx(20 / 30)
    # A bay that opens to the border is no hole.
    bay = nothing.copy()
    bay[0:6, 0:6] = 1.0
    bay[0:4, 2:4] = 0.0
    _, (lesion,) = find_lesions(bay, ALL, None)
    assert lesion.area_px == 36 - 8
    _, (lesion,) = find_lesions(np.ones((1, 1), dtype=np.float32), ALL, None)
    assert lesion.short_axis == 1.0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"threshold": 0.0}, "lesions.threshold = 0.0 and least_score = 0.5, expected probabilities below 1"),
        ({"threshold": 1.0}, "lesions.threshold = 1.0"),
        ({"threshold": math.nan}, "lesions.threshold = nan"),
        ({"least_score": 1.0}, "least_score = 1.0"),
        ({"least_score": -0.1}, "least_score = -0.1"),
        ({"smallest_mm": -1.0}, "lesions.smallest_mm = -1.0 and smallest_share = 0.02, expected 0 to 100 mm"),
        ({"smallest_mm": 100.0}, "lesions.smallest_mm = 100.0"),
        ({"smallest_share": 0.5}, "smallest_share = 0.5"),
        ({"most": 0}, "lesions.most = 0, expected at least 1"),
    ],
)
def test_impossible_rules_are_refused(changed: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LesionRules(**changed)  # type: ignore[arg-type]  # a table of numbers


def test_rules_are_plain_data() -> None:
    assert LesionRules(**LesionRules(most=2).as_dict()) == LesionRules(most=2)
