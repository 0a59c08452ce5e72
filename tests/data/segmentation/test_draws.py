"""Windows to learn from: reproducible, with targets and prompts that belong to what they show."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from skimage.measure import label
from torch import Tensor
from torch.utils.data import DataLoader

from tests.discs import disc_frame, disc_grey, disc_mask
from usdlr.core.errors import ConfigError
from usdlr.data.augment.settings import AugmentSettings
from usdlr.data.segmentation import DrawSettings, Example, Frame, OutlineDataset, draw_example, outline_loader
from usdlr.data.segmentation.draws import signed_distance
from usdlr.imaging.window import Window, look

SIZE = 64
SHAPE = (96, 120)
STILL: dict[str, Any] = {
    **dict.fromkeys(("close", "pointed", "empty", "zoom", "shift", "rotate_deg", "stretch", "bend", "flip"), 0.0),
    **dict.fromkeys(("box_error", "strokes", "marks"), 0.0),
    "echo": AugmentSettings(intensity=0.0),
}


def settings(**changed: Any) -> DrawSettings:
    """No variation but what is asked for."""
    return DrawSettings(**{**STILL, **changed})


def frame(*discs: tuple[float, float, float], shape: tuple[int, int] = SHAPE, aspect: float = 1.0) -> Frame:
    lesions = np.zeros(shape, dtype=np.uint8)
    for number, disc in enumerate(discs, start=1):
        lesions[disc_mask(shape, disc, aspect)] = number
    return Frame("made", "p", disc_grey(shape, discs, 1), lesions, None, aspect, (0,))


ONE = frame((50, 40, 14))


def parts(mask: npt.NDArray[np.bool_]) -> int:
    """How many connected parts a mask has."""
    return int(label(mask).max())  # type: ignore[no-untyped-call]  # scikit-image has no types


def two_epochs(loader: DataLoader[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """All batches of two epochs, told apart as a trainer tells them apart."""
    batches = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]  # an EpochSampler
        batches += list(loader)
    return batches


def same(one: Example, other: Example) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


class TestReproducible:
    @pytest.mark.parametrize("kind", ["close", "pointed", "empty", "whole"])
    def test_the_same_arguments_give_the_same_example(self, kind: str) -> None:
        shares: dict[str, Any] = dict.fromkeys(("close", "pointed", "empty"), 0.0)
        strong = DrawSettings(**(shares if kind == "whole" else shares | {kind: 1.0}))
        first = draw_example(ONE, SIZE, strong, 3, 5)
        np.random.default_rng(0).random(10)
        np.random.seed(1)  # the global state must not matter
        assert same(first, draw_example(ONE, SIZE, strong, 3, 5))
        for other in (
            draw_example(ONE, SIZE, strong, 3, 6),
            draw_example(ONE, SIZE, strong, 4, 5),
            draw_example(replace(ONE, image_id="other"), SIZE, strong, 3, 5),
        ):
            assert not np.array_equal(first.image, other.image)

    def test_intensities_vary_with_the_epoch_too(self) -> None:
        only = settings(echo=AugmentSettings(intensity=1.0))
        first, second = (draw_example(ONE, SIZE, only, 0, epoch) for epoch in (0, 1))
        np.testing.assert_array_equal(first.target, second.target)
        assert not np.array_equal(first.image, second.image)

    def test_what_else_is_in_the_frame_does_not_matter(self) -> None:
        elsewhere = replace(ONE, patient_id="q", rows=(7,))
        assert same(draw_example(ONE, SIZE, DrawSettings(), 0, 0), draw_example(elsewhere, SIZE, DrawSettings(), 0, 0))

    def test_the_loader_gives_what_was_drawn(self) -> None:
        frames = [disc_frame(number) for number in range(7)]
        dataset = OutlineDataset(frames, SIZE, DrawSettings(), 9)
        assert len(dataset) == 7
        loader = outline_loader(dataset, 3, 9)
        state = torch.get_rng_state()
        batches = two_epochs(loader)
        assert torch.equal(state, torch.get_rng_state())
        assert len(batches) == 4  # the seventh waits
        assert {name: tuple(value.shape) for name, value in batches[0].items()} == {
            "image": (3, 1, SIZE, SIZE),
            "prompts": (3, 3, SIZE, SIZE),
            "target": (3, 1, SIZE, SIZE),
            "distance": (3, 1, SIZE, SIZE),
        }
        drawn = [draw_example(one, SIZE, DrawSettings(), 9, epoch).image for epoch in (0, 1) for one in frames]
        seen = [image for batch in batches for image in batch["image"][:, 0].numpy()]
        places = [next(i for i, one in enumerate(drawn) if np.array_equal(one, image)) for image in seen]
        assert all(place < 7 for place in places[:6])
        assert all(place >= 7 for place in places[6:])
        assert len(set(places)) == 12
        again = two_epochs(outline_loader(OutlineDataset(frames, SIZE, DrawSettings(), 9), 3, 9))
        assert all(torch.equal(one[name], two[name]) for one, two in zip(batches, again, strict=True) for name in one)

    def test_processes_that_prepare_batches_change_none(self) -> None:
        dataset = OutlineDataset([disc_frame(number) for number in range(7)], SIZE, DrawSettings(), 9)
        alone, together = (two_epochs(outline_loader(dataset, 3, 9, workers)) for workers in (0, 2))
        assert len(alone) == len(together) == 4
        assert all(torch.equal(one[name], two[name]) for one, two in zip(alone, together, strict=True) for name in one)

    def test_few_frames_are_one_batch(self) -> None:
        dataset = OutlineDataset([disc_frame(number) for number in range(3)], SIZE, DrawSettings(), 0)
        (batch,) = list(outline_loader(dataset, 8, 0))
        assert len(batch["image"]) == 3


class TestWhole:
    @pytest.mark.parametrize("aspect", [1.0, 0.6, 1.8])
    @pytest.mark.parametrize("shape", [(96, 120), (200, 90), (40, 40)])
    def test_without_variation_it_is_the_image(self, shape: tuple[int, int], aspect: float) -> None:
        made = frame((shape[0] / 2, shape[1] / 2, 12), shape=shape, aspect=aspect)
        window = Window.whole(shape, aspect)
        example = draw_example(made, SIZE, settings(), 0, 0)
        np.testing.assert_allclose(example.image, look(made.grey, window, SIZE) / 255, atol=1e-5)
        share = look(made.lesions > 0, window, SIZE)
        np.testing.assert_allclose(example.target, share, atol=1e-6)
        assert not example.prompts.any()

    def test_all_lesions_are_its_target(self) -> None:
        two = frame((30, 30, 12), (60, 90, 9))
        example = draw_example(two, SIZE, settings(), 0, 0)
        assert parts(example.target >= 0.5) == 2

    def test_values_stay_in_range_however_strong(self) -> None:
        strong = DrawSettings(
            zoom=1.5, shift=0.5, rotate_deg=45, stretch=0.7, bend=0.1, echo=AugmentSettings(intensity=4.0)
        )
        for epoch in range(40):
            example = draw_example(ONE, SIZE, strong, 0, epoch)
            for values in (example.image, example.prompts, example.target):
                assert values.dtype == np.float32
                assert values.min() >= 0
                assert values.max() <= 1 + 1e-6
            assert np.isfinite(example.distance).all()
            assert np.abs(example.distance).max() < math.sqrt(2)

    def test_image_and_target_move_together(self) -> None:
        moved = settings(zoom=0.4, shift=0.15, rotate_deg=20, stretch=0.2, bend=0.05, flip=0.5)
        clean = replace(ONE, grey=np.where(ONE.lesions > 0, 40, 200).astype(np.uint8))
        for epoch in range(30):
            example = draw_example(clean, SIZE, moved, 0, epoch)
            dark = (example.image > 0.1) & (example.image < 120 / 255)
            inside = example.target >= 0.5
            assert inside.sum() > 20
            assert (dark & inside).sum() >= 0.9 * inside.sum()

    def test_black_stays_black(self) -> None:
        grey = ONE.grey.copy()
        grey[:, :30] = 0
        example = draw_example(
            replace(ONE, grey=grey), SIZE, settings(echo=AugmentSettings(intensity=4.0, gain_db=15.0)), 0, 0
        )
        plain = look(grey, Window.whole(SHAPE), SIZE)
        assert (plain == 0).sum() > 500
        assert not example.image[plain == 0].any()

    @pytest.mark.parametrize("chance", [0.0, 1.0])
    def test_marks_are_drawn_by_chance_and_only_on_the_image(self, chance: float) -> None:
        plain = draw_example(ONE, SIZE, settings(), 0, 0)
        changed = draw_example(ONE, SIZE, settings(marks=chance), 0, 0)
        assert np.array_equal(plain.image, changed.image) == (chance == 0.0)
        np.testing.assert_array_equal(plain.target, changed.target)


class TestEmpty:
    def test_windows_hold_no_lesion(self) -> None:
        made = [frame((50, 40, 14)), frame((20, 20, 6), (80, 100, 8)), frame((50, 100, 20), aspect=1.5)]
        for one in made:
            whole, found = Window.whole(SHAPE, one.aspect), 0
            for epoch in range(40):
                example = draw_example(one, SIZE, settings(empty=1.0, rotate_deg=15, bend=0.02), 0, epoch)
                shown = example.target.sum()
                # Where no try found such a window, the whole image is shown: with all lesions, not with a rest of one.
                if shown > 1:
                    found += 1
                    assert shown == pytest.approx(look(one.lesions > 0, whole, SIZE).sum(), rel=0.2)
                else:
                    assert not example.distance.any()
                assert not example.prompts.any()
            assert found <= 5

    def test_where_the_lesion_is_everywhere_the_whole_image_is_shown(self) -> None:
        full = replace(ONE, lesions=np.ones(SHAPE, dtype=np.uint8))
        example = draw_example(full, SIZE, settings(empty=1.0), 0, 0)
        np.testing.assert_array_equal(example.target > 0, look(full.grey, Window.whole(SHAPE), SIZE) > 0)

    @pytest.mark.parametrize("asked", ["close", "pointed", "empty"])
    def test_a_frame_without_a_lesion_never_has_a_prompt(self, asked: str) -> None:
        bare = replace(ONE, lesions=np.zeros(SHAPE, dtype=np.uint8))
        for epoch in range(10):
            example = draw_example(bare, SIZE, settings(**{asked: 1.0}, strokes=1.0), 0, epoch)
            assert not example.target.any()
            assert not example.prompts.any()


class TestPrompts:
    def test_a_close_window_shows_its_lesion_large(self) -> None:
        for epoch in range(30):
            example = draw_example(ONE, SIZE, settings(close=1.0), 0, epoch)
            # The box takes 1 / 1.6 of the side, and up to a quarter or a third more or less.
            rows = np.flatnonzero((example.target >= 0.5).any(axis=1))
            assert 0.4 * SIZE < len(rows) < 0.85 * SIZE
            assert example.prompts.any()
            middle = rows.mean() + 0.5 - SIZE / 2
            assert abs(middle) < 0.15 * SIZE

    @pytest.mark.parametrize("kind", ["close", "pointed"])
    def test_strokes_lie_where_they_say(self, kind: str) -> None:
        counts = np.zeros(3)
        for epoch in range(60):
            example = draw_example(
                ONE, SIZE, settings(**{kind: 1.0}, strokes=0.6, rotate_deg=15, bend=0.02, zoom=0.3), 0, epoch
            )
            box, inside, outside = example.prompts
            assert set(np.unique(example.prompts)) <= {0.0, 1.0}
            target = example.target >= 0.5
            assert not (inside.astype(bool) & ~target).any()
            assert not (outside.astype(bool) & target).any()
            # Something always says which lesion is meant.
            assert box.any() or inside.any() or not target.any()
            counts += [box.any(), inside.any(), outside.any()]
        assert (counts[0] > 0) == (kind == "close")
        assert (counts[1:] > 15).all()
        assert counts[2] < 60

    def test_a_box_without_error_is_the_lesions(self) -> None:
        boxes = 0
        for epoch in range(20):
            example = draw_example(ONE, SIZE, settings(close=1.0), 0, epoch)
            if not example.prompts[0].any():
                continue
            boxes += 1
            target = example.target >= 0.5
            expected = np.outer(target.any(axis=1), target.any(axis=0))
            np.testing.assert_array_equal(example.prompts[0].astype(bool), expected)
        assert boxes > 8

    def test_a_box_errs_as_much_as_it_is_told(self) -> None:
        off = []
        for epoch in range(150):
            example = draw_example(ONE, 128, settings(close=1.0, box_error=0.1), 0, epoch)
            if example.prompts[0].any():
                rows = np.flatnonzero((example.target >= 0.5).any(axis=1))
                drawn = np.flatnonzero(example.prompts[0].any(axis=1))
                off.append((drawn[0] - rows[0]) / len(rows))
        assert np.std(off) == pytest.approx(0.1, rel=0.25)
        assert abs(np.mean(off)) < 0.03

    def test_targets_of_neighbours_are_kept_apart(self) -> None:
        two = frame((48, 40, 15), (48, 74, 15))
        targets: list[npt.NDArray[np.bool_]] = []
        beside = []
        for epoch in range(20):
            example = draw_example(two, SIZE, settings(close=1.0), 0, epoch)
            target = example.target >= 0.5
            targets.append(target)
            assert parts(target) == 1
            # Nearly always the neighbour is in sight, dark, and no target.
            beside.append(int(((example.image < 0.3) & (example.image > 0) & ~target).sum()))
        assert np.mean(np.array(beside) > 30) > 0.7
        leaning = {bool(np.nonzero(target)[1].mean() > SIZE / 2) for target in targets}
        assert leaning == {True, False}


class TestDistance:
    @pytest.mark.parametrize("radius", [3, 10, 25])
    def test_it_is_that_of_another_library(self, radius: float) -> None:
        inside = disc_mask((SIZE, SIZE), (30, 28, radius))
        expected = (distance_transform_edt(~inside) - distance_transform_edt(inside)) / SIZE
        found = signed_distance(inside)
        assert found.dtype == np.float32
        # Steps to eight neighbours come within 5 % of a straight line.
        np.testing.assert_allclose(found, expected, rtol=0.05, atol=1e-6)
        np.testing.assert_array_equal(found < 0, inside)

    @pytest.mark.parametrize("value", [False, True])
    def test_without_a_boundary_there_is_none(self, value: bool) -> None:
        assert not signed_distance(np.full((SIZE, SIZE), value)).any()

    def test_an_example_carries_that_of_its_target(self) -> None:
        example = draw_example(ONE, SIZE, DrawSettings(), 0, 0)
        np.testing.assert_array_equal(example.distance, signed_distance(example.target >= 0.5))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"close": 1.1}, "windows.close = 1.1, expected a share from 0 to 1"),
        ({"strokes": -0.1}, "windows.strokes = -0.1"),
        ({"marks": math.nan}, "windows.marks = nan"),
        ({"close": 0.5, "pointed": 0.3, "empty": 0.3}, "expected shares of at most 1 together"),
        ({"zoom": 2.0}, "windows.zoom = 2.0, expected 0 to 1.5"),
        ({"rotate_deg": 90.0}, "windows.rotate_deg = 90.0, expected 0 to 45"),
        ({"bend": -0.1}, "windows.bend = -0.1"),
        ({"box_error": 0.6}, "windows.box_error = 0.6"),
    ],
)
def test_impossible_windows_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DrawSettings(**given)  # type: ignore[arg-type]  # a table of numbers
