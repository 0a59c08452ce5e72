from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.ndimage import label

from tests.simulate.flat import SHAPE, disc
from usdlr.core.units import Spacing
from usdlr.simulate.acquired import Flags
from usdlr.simulate.centres import CENTRES, ReaderStyle
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.reader import draw_contour
from usdlr.simulate.tissue import build_phantom

SPACING = CENTRES["north"].spacing
SPACINGS = [Spacing(0.1, 0.1), Spacing(0.12, 0.08)]


def radius_mm(mask: Flags, spacing: Spacing) -> float:
    """Radius of the disc of the same area."""
    return float(np.sqrt(mask.sum() * spacing.row_mm * spacing.col_mm / np.pi))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("bias", [-0.8, 0.0, 0.8])
def test_a_steady_reader_draws_the_outline_with_their_bias(bias: float, spacing: Spacing) -> None:
    drawn = draw_contour(disc(6.0, spacing), ReaderStyle("r", bias, 0.0), np.random.default_rng(0))
    assert drawn.dtype == bool
    assert drawn.shape == SHAPE
    assert radius_mm(drawn, spacing) == pytest.approx(6.0 + bias, abs=0.05)
    # Along rows and along columns alike: a bias is a distance in millimetres, not in pixels.
    height, width = drawn.any(axis=1).sum() * spacing.row_mm, drawn.any(axis=0).sum() * spacing.col_mm
    assert height == pytest.approx(2 * (6.0 + bias), abs=0.2)
    assert width == pytest.approx(2 * (6.0 + bias), abs=0.2)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", list(CENTRES))
def test_two_readers_differ_by_their_biases_in_millimetres(name: str, spacing: Spacing) -> None:
    first, second = CENTRES[name].readers
    rng = np.random.default_rng(0)
    differences, agreements = [], []
    for _ in range(150):
        phantom = disc(rng.uniform(4.0, 9.0), spacing)
        one, two = draw_contour(phantom, first, rng), draw_contour(phantom, second, rng)
        differences.append(radius_mm(one, spacing) - radius_mm(two, spacing))
        agreements.append(2 * (one & two).sum() / (one.sum() + two.sum()))
    standard_error = np.std(differences) / np.sqrt(len(differences))
    assert standard_error < 0.05
    assert np.mean(differences) == pytest.approx(first.bias_mm - second.bias_mm, abs=max(3 * standard_error, 0.05))
    assert np.std(differences) > 0.05
    assert 0.75 < np.mean(agreements) < 0.99


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("bias", "noise", "tolerance"), [(-0.4, 0.0, 0.05), (0.6, 0.0, 0.05), (0.4, 0.5, 0.15)])
def test_the_line_lies_off_the_true_outline_by_bias_and_noise(
    bias: float, noise: float, tolerance: float, spacing: Spacing
) -> None:
    """True distance of the pixels of the line, on lesions as patients have them."""
    latents = {name: latent.middle for name, latent in LATENTS.items()} | {"spiculation": 0.0}
    distances = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        phantom = build_phantom(latents, (300, 360), spacing, rng)
        drawn = draw_contour(phantom, ReaderStyle("r", bias, noise), rng)
        line, _ = cv2.findContours(drawn.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cols, rows = line[0][:, 0].T
        distances.append(phantom.distance_mm[rows, cols])
    steps = np.concatenate(distances)
    # The outermost pixels of the mask lie half a pixel inside its border.
    assert steps.mean() == pytest.approx(bias - 0.05, abs=tolerance)
    assert steps.std() == pytest.approx(noise, abs=0.1)


def test_a_contour_is_one_piece_without_holes() -> None:
    shaky = ReaderStyle("r", -2.0, 2.0)
    for seed in range(20):
        drawn = draw_contour(disc(4.0, SPACING), shaky, np.random.default_rng(seed))
        assert drawn.any()
        assert label(drawn)[1] == 1
        assert label(np.pad(~drawn, 1, constant_values=True))[1] == 1


def test_of_two_pieces_the_larger_is_drawn_and_a_hole_is_filled() -> None:
    steady = ReaderStyle("r", 0.0, 0.0)
    large = disc(5.0, SPACING)
    # A satellite of 2 mm whose middle lies 9 mm beside the lesion's.
    satellite = np.roll(disc(2.0, SPACING).distance_mm, 90, axis=1)
    both = replace(large, distance_mm=np.minimum(large.distance_mm, satellite))
    assert radius_mm(draw_contour(both, steady, np.random.default_rng(0)), SPACING) == pytest.approx(5.0, abs=0.1)
    ring = replace(large, distance_mm=np.maximum(large.distance_mm, -disc(2.5, SPACING).distance_mm))
    assert radius_mm(draw_contour(ring, steady, np.random.default_rng(0)), SPACING) == pytest.approx(5.0, abs=0.1)


def test_a_timid_reader_keeps_the_core_of_a_small_lesion() -> None:
    timid = ReaderStyle("r", -5.0, 0.0)
    drawn = draw_contour(disc(2.5, SPACING), timid, np.random.default_rng(0))
    assert 0.5 < radius_mm(drawn, SPACING) < 1.5


def test_a_generous_reader_goes_as_far_as_their_bias() -> None:
    """The image is searched as far as the line can lie."""
    generous = ReaderStyle("r", 6.0, 0.0)
    drawn = draw_contour(disc(4.0, SPACING), generous, np.random.default_rng(0))
    assert radius_mm(drawn, SPACING) == pytest.approx(10.0, abs=0.1)


def test_the_same_seed_gives_the_same_contour() -> None:
    reader = CENTRES["south"].readers[0]
    first, again, other = (draw_contour(disc(5.0, SPACING), reader, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
