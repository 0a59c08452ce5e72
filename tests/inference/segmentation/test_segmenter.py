"""Finding and following lesions whose outline is known exactly, and pictures on which nothing can be found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from tests.discs import disc_grey, disc_mask, picture, segmenter_of
from usdlr.core.errors import ConfigError
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray
from usdlr.imaging.prompt import Prompt
from usdlr.inference.segmentation import Picture, Segmenter

SHAPE = (96, 120)


@pytest.fixture(scope="module")
def segmenter(disc_bundle: Path) -> Segmenter:
    return segmenter_of(disc_bundle)


ITK: Any = SimpleITK  # publishes no types for its filters


def dice(found: BoolArray, truth: BoolArray) -> float:
    """As SimpleITK gives it."""
    judge = ITK.LabelOverlapMeasuresImageFilter()
    judge.Execute(ITK.GetImageFromArray(truth.astype(np.uint8)), ITK.GetImageFromArray(found.astype(np.uint8)))
    return float(judge.GetDiceCoefficient())


@pytest.mark.parametrize(
    "disc",
    [(48.0, 60.0, 15.0), (30.0, 30.0, 9.0), (70.0, 90.0, 22.0), (48.0, 60.0, 44.0)],
    ids=["middle", "small", "large", "fills the picture"],
)
def test_a_lesion_is_found_and_outlined(segmenter: Segmenter, disc: tuple[float, float, float]) -> None:
    found = segmenter.find(picture([disc]))
    assert len(found.lesions) == 1
    assert dice(found.labels == 1, disc_mask(SHAPE, disc)) > 0.95
    assert found.lesions[0].score > 0.6
    assert found.why == ""


def test_two_lesions_are_two(segmenter: Segmenter) -> None:
    discs = [(30.0, 30.0, 12.0), (65.0, 90.0, 14.0)]
    found = segmenter.find(picture(discs))
    assert len(found.lesions) == 2
    overlaps = [[dice(found.mask(number), disc_mask(SHAPE, disc)) for disc in discs] for number in (1, 2)]
    assert sorted(max(row) > 0.95 for row in overlaps) == [True, True]
    assert found.lesions[0].score >= found.lesions[1].score


def test_a_reader_who_says_there_is_one_gets_the_likeliest_however_low_its_score(segmenter: Segmenter) -> None:
    discs = [(30.0, 30.0, 12.0), (65.0, 90.0, 14.0)]
    seen = picture(discs)
    strict = replace(segmenter, rules=replace(segmenter.rules, least_score=0.999))
    assert strict.find(seen).lesions == []
    found = strict.likeliest(seen)
    assert len(found.lesions) == 1
    assert found.why == ""
    np.testing.assert_array_equal(found.labels == 1, segmenter.find(seen).mask(1))
    assert found.lesions[0].score == segmenter.find(seen).lesions[0].score


def test_where_nothing_is_seen_nothing_is_likeliest(segmenter: Segmenter) -> None:
    blank = segmenter.likeliest(Picture(np.full(SHAPE, 90, dtype=np.uint8), None))
    assert blank.lesions == []
    assert "blank" in blank.why
    large = replace(segmenter, rules=replace(segmenter.rules, smallest_share=0.45))
    none = large.likeliest(replace(picture([(48.0, 60.0, 10.0)]), spacing=None))
    assert none.lesions == []
    assert none.why == "no part of the picture is likelier lesion than not, and large enough"


def test_a_lesion_at_the_border_is_cut_by_it(segmenter: Segmenter) -> None:
    disc = (2.0, 60.0, 18.0)
    found = segmenter.find(picture([disc]))
    assert dice(found.labels > 0, disc_mask(SHAPE, disc)) > 0.9
    assert found.lesions[0].box[0] == 0


def test_a_lesion_of_two_millimetres_is_kept_where_the_rules_keep_it(segmenter: Segmenter) -> None:
    disc = (40.0, 60.0, 7.0)
    seen = picture([disc], mm=1 / 7)  # 2 mm across
    found = segmenter.find(seen)
    assert len(found.lesions) == 1
    assert found.lesions[0].short_axis == pytest.approx(2.0, abs=0.3)
    stricter = replace(segmenter, rules=replace(segmenter.rules, smallest_mm=4.5))
    assert stricter.find(seen).lesions == []


def test_sixty_millimetres(segmenter: Segmenter) -> None:
    disc = (48.0, 60.0, 40.0)
    found = segmenter.find(picture([disc], mm=0.75))
    assert found.lesions[0].short_axis == pytest.approx(60.0, rel=0.04)


@pytest.mark.parametrize("level", [0, 7, 128, 255])
def test_a_blank_picture_has_no_lesion_and_says_why(segmenter: Segmenter, level: int) -> None:
    found = segmenter.find(Picture(np.full(SHAPE, level, dtype=np.uint8), None))
    assert found.lesions == []
    assert found.presence == 0.0
    assert found.why == "the picture is blank: its grey levels span 0 of 255"


def test_no_lesion_gives_an_empty_mask(segmenter: Segmenter) -> None:
    found = segmenter.find(picture([]))
    assert not found.labels.any()
    assert found.why == "no part of the picture scores 0.5 or more"


def test_an_inverted_picture_gives_a_result(segmenter: Segmenter) -> None:
    seen = picture([(48.0, 60.0, 15.0)])
    found = segmenter.find(Picture(255 - seen.grey, None))
    assert found.labels.shape == SHAPE
    # Its disc is bright: not what was learned.
    assert dice(found.labels > 0, disc_mask(SHAPE, (48.0, 60.0, 15.0))) < 0.5


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (33, 31)])
def test_any_size_gives_a_result(segmenter: Segmenter, shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(1, 255, shape).astype(np.uint8)
    found = segmenter.find(Picture(grey, None))
    assert found.labels.shape == found.probability.shape == found.spread.shape == shape
    assert np.isfinite(found.probability).all()


def test_pixels_that_are_not_square(segmenter: Segmenter) -> None:
    """A circle in the body, an ellipse in pixels of 0.4 x 0.2 mm."""
    shape = (48, 240)
    rows, cols = np.indices(shape) + 0.5
    truth = np.asarray(((rows - 24) * 0.4) ** 2 + ((cols - 120) * 0.2) ** 2 <= 5.0**2)
    level = np.where(truth, 35.0, 130.0) + np.random.default_rng(3).normal(0, 14, shape)
    seen = Picture(np.clip(level, 1, 255).astype(np.uint8), Spacing(0.4, 0.2), 2.0)
    found = segmenter.find(seen)
    assert dice(found.labels > 0, truth) > 0.93
    assert found.lesions[0].short_axis == pytest.approx(10.0, rel=0.1)


def test_the_mirror_image_gives_the_mirrored_outline(segmenter: Segmenter) -> None:
    seen = picture([(40.0, 40.0, 13.0)])
    found = segmenter.find(seen)
    mirrored = segmenter.find(Picture(np.ascontiguousarray(seen.grey[:, ::-1]), None))
    # OpenCV places pixels to 1/32: the two differ by that, not more.
    assert dice(found.labels == 1, mirrored.labels[:, ::-1] == 1) > 0.995


def test_networks_that_disagree_show_it_at_the_edge(segmenter: Segmenter) -> None:
    disc = (48.0, 60.0, 20.0)
    found = segmenter.find(picture([disc]))
    edge = disc_mask(SHAPE, (48.0, 60.0, 22.0)) & ~disc_mask(SHAPE, (48.0, 60.0, 18.0))
    inner = disc_mask(SHAPE, (48.0, 60.0, 10.0))
    assert found.spread[edge].mean() > 3 * found.spread[inner].mean()


def test_a_box_leads_to_the_lesion_in_it(segmenter: Segmenter) -> None:
    discs = [(30.0, 30.0, 12.0), (65.0, 90.0, 14.0)]
    for disc in discs:
        row, col, radius = disc
        box = (row - radius - 1, col - radius + 1, 2 * radius, 2 * radius)
        found = segmenter.follow(picture(discs), Prompt(box))
        assert len(found.lesions) == 1
        assert dice(found.labels == 1, disc_mask(SHAPE, disc)) > 0.95


def test_a_click_leads_to_the_lesion_under_it(segmenter: Segmenter) -> None:
    discs = [(30.0, 30.0, 12.0), (65.0, 90.0, 14.0)]
    for disc in discs:
        found = segmenter.follow(picture(discs), Prompt(None, inside=(((disc[0], disc[1]),),)))
        assert dice(found.labels == 1, disc_mask(SHAPE, disc)) > 0.9


def test_strokes_outside_that_leave_nothing_inside_are_refused(segmenter: Segmenter) -> None:
    nothing = Prompt(None, inside=(((40.0, 60.0),),), outside=(((40.0, 50.0), (40.0, 70.0)),))
    with pytest.raises(ConfigError, match="found no box, and no stroke inside that strokes outside leave"):
        segmenter.follow(picture([(48.0, 60.0, 18.0)]), nothing)


def test_strokes_are_never_overruled(segmenter: Segmenter) -> None:
    """Strokes that contradict the picture: tissue called lesion, lesion called tissue."""
    rng = np.random.default_rng(11)
    seen = picture([(48.0, 60.0, 18.0)])
    for _ in range(20):
        inside, outside = (
            tuple((float(rng.uniform(20, 76)), float(rng.uniform(30, 90))) for _ in range(3)) for _ in range(2)
        )
        prompt = Prompt((28, 40, 40, 40), inside=(inside,), outside=(outside,))
        found = segmenter.follow(seen, prompt)
        must, never = prompt.decided(SHAPE)
        assert found.labels[must].all()
        assert not found.labels[never].any()


def test_a_stroke_outside_cuts_the_outline(segmenter: Segmenter) -> None:
    seen = picture([(48.0, 60.0, 20.0)])
    cut = Prompt((28, 40, 40, 40), outside=(((48.0, 62.0), (48.0, 80.0)),))
    before, after = segmenter.follow(seen, Prompt((28, 40, 40, 40))), segmenter.follow(seen, cut)
    assert before.labels[48, 70] == 1
    assert after.labels[48, 70] == 0


def test_nothing_in_the_box_is_said(disc_bundle: Path, segmenter: Segmenter) -> None:
    stubborn = replace(segmenter, rules=replace(segmenter.rules, threshold=0.999999))
    found = stubborn.follow(picture([]), Prompt((10, 10, 20, 20)))
    assert found.lesions == []
    assert found.why == "nothing in the box looks like a lesion; draw strokes inside it, or the outline by hand"


def test_a_prompt_beside_the_picture_is_refused(segmenter: Segmenter) -> None:
    with pytest.raises(ConfigError, match="found a box beside the image of 96 x 120 pixels"):
        segmenter.follow(picture([]), Prompt((200, 10, 20, 20)))


def test_an_answer_does_not_depend_on_what_was_asked_before(segmenter: Segmenter) -> None:
    seen = picture([(48.0, 60.0, 15.0)])
    first = segmenter.find(seen).probability
    segmenter.follow(seen, Prompt((10, 10, 20, 20)))
    segmenter.find(picture([]))
    np.testing.assert_array_equal(first, segmenter.find(seen).probability)


def test_discs_are_drawn_as_asked() -> None:
    grey = disc_grey(SHAPE, [(48.0, 60.0, 15.0)], 1)
    inside = disc_mask(SHAPE, (48.0, 60.0, 15.0))
    assert grey[inside].mean() < 60 < 100 < grey[~inside].mean()
    assert inside.sum() == pytest.approx(np.pi * 15**2, rel=0.02)
