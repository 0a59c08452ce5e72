"""The B-mode parts mean what they say: dB, millimetres and depth."""

from __future__ import annotations

import math
from random import Random

import albumentations as A
import numpy as np
import numpy.typing as npt
import pytest
from skimage.exposure import adjust_gamma

from usdlr.core.modalities import MODALITIES
from usdlr.core.named_parts import option_names
from usdlr.data.augment import AugmentSettings, pipeline
from usdlr.data.augment.echo import depth, dynamic_range, gain, gamma, shadow, speckle, tgc
from usdlr.data.augment.parts import PARTS, PartTransform
from usdlr.simulate.speckle import log_compress

Pixels = npt.NDArray[np.float32]
PIXEL_MM = 0.25


def flat(grey: float = 0.5, side: int = 96) -> Pixels:
    """One grey."""
    return np.full((side, side), grey, dtype=np.float32)


def amplitudes() -> Pixels:
    """A ramp of echo amplitudes that stays inside 60 dB under the changes below."""
    return np.tile(10 ** (np.linspace(-12, 20, 64) / 20), (32, 1)).astype(np.float32)


def screen(amplitude: Pixels, dynamic_range_db: float, gain_db: float) -> Pixels:
    """The simulator's scanner, as a share of the grey range."""
    return (log_compress(amplitude, dynamic_range_db, gain_db) / 255).astype(np.float32)


def test_gain_is_the_scanner_s_gain_in_db() -> None:
    before = screen(amplitudes(), 60.0, 0.0)
    for db in (-6.0, 3.0, 9.0):
        after = screen(amplitudes(), 60.0, db)
        np.testing.assert_allclose(gain(before, PIXEL_MM, db=db), after, atol=1.1 / 255)
    # On a ramp from black to white, 6 dB of 60 are a tenth of it.
    ramp = np.linspace(0, 1, 11, dtype=np.float32)[None]
    np.testing.assert_allclose(gain(ramp, PIXEL_MM, db=6.0) - ramp, 0.1, atol=1e-6)


def test_contrast_is_the_scanner_s_dynamic_range() -> None:
    before = screen(amplitudes(), 60.0, 0.0)
    for narrower in (48.0, 55.0, 75.0):
        after = screen(amplitudes(), narrower, 0.0)
        np.testing.assert_allclose(dynamic_range(before, PIXEL_MM, contrast=60 / narrower), after, atol=1.3 / 255)


def test_gamma_against_scikit_image() -> None:
    image = np.random.default_rng(0).uniform(0, 1, (40, 40)).astype(np.float32)
    for exponent in (0.8, 1.0, 1.25):
        expected: Pixels = adjust_gamma(image, exponent)  # type: ignore[no-untyped-call]  # scikit-image has no types
        np.testing.assert_allclose(gamma(image, PIXEL_MM, exponent=exponent), expected, rtol=1e-5)
    # What earlier parts left below black or above white does not break it.
    np.testing.assert_array_equal(gamma(np.array([[-0.5, 1.5]], np.float32), PIXEL_MM, exponent=1.3), [[0, 1]])


def test_time_gain_compensation_depends_on_depth_alone() -> None:
    sliders = [3.0, -3.0, 0.0, 6.0, 1.0]
    rng = np.random.default_rng(0)
    image = rng.uniform(0.2, 0.8, (200, 50)).astype(np.float32)
    change = (tgc(image, PIXEL_MM, db=sliders) - image) * 60
    np.testing.assert_allclose(change, change[:, :1].repeat(50, axis=1), atol=1e-4)
    profile = change[:, 0]
    for slider, db in enumerate(sliders):  # one every 8 mm, 32 pixels
        assert profile[32 * slider] == pytest.approx(db, abs=1e-4)
    assert (np.diff(profile[:33]) <= 1e-4).all()
    assert (np.diff(profile[32:97]) >= -1e-4).all()
    assert np.abs(np.diff(profile)).max() < 0.45  # smooth: no step from row to row
    np.testing.assert_allclose(profile[128:], 1.0, atol=1e-4)
    # The same depth at twice the pixel size is half as many rows down.
    coarse = (tgc(image, 2 * PIXEL_MM, db=sliders) - image)[:, 0] * 60
    np.testing.assert_allclose(coarse[:100], profile[::2], atol=1e-4)


def test_speckle_has_its_strength_and_its_grain() -> None:
    """White noise under a Gaussian of standard deviation s correlates as exp(-d^2 / 4 s^2) over a distance d."""
    image = flat(0.4, 512)
    noise = (speckle(image, 0.1, db=2.5, axial_mm=0.15, lateral_mm=0.3, seed=7) - image) * 60
    assert noise.mean() == pytest.approx(0, abs=0.06)
    assert noise.std() == pytest.approx(2.5, rel=0.03)
    for rows, cols in ((1, 0), (2, 0), (0, 2), (0, 4)):
        pairs = noise[rows:, cols:], noise[: 512 - rows, : 512 - cols]
        expected = math.exp(-((rows * 0.1) ** 2) / (4 * 0.15**2) - (cols * 0.1) ** 2 / (4 * 0.3**2))
        assert float((pairs[0] * pairs[1]).mean() / noise.var()) == pytest.approx(expected, abs=0.03)
    again = (speckle(image, 0.1, db=2.5, axial_mm=0.15, lateral_mm=0.3, seed=7) - image) * 60
    other = (speckle(image, 0.1, db=2.5, axial_mm=0.15, lateral_mm=0.3, seed=8) - image) * 60
    np.testing.assert_array_equal(again, noise)
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.05


def test_shadow_darkens_only_below_where_it_begins() -> None:
    image = np.random.default_rng(0).uniform(0.3, 0.9, (120, 120)).astype(np.float32)
    lost = (image - shadow(image, PIXEL_MM, row=0.5, col=0.25, width_mm=4.0, spread_deg=5.0, db=12.0)) * 60
    assert lost.min() >= -1e-4
    np.testing.assert_array_equal(lost[:60], 0)
    middle = lost[60:, 30]
    assert (np.diff(middle) >= -1e-4).all()
    assert middle[0] == pytest.approx(0, abs=1e-4)
    assert middle[-1] == pytest.approx(12.0, rel=0.01)
    # Half of the loss lies where the edge is: 2 mm beside the axis, and 5 degrees further out with depth.
    for down_mm in (10.0, 14.0):
        row = 60 + round(down_mm / PIXEL_MM)
        width = (lost[row] > lost[row, 30] / 2).sum() * PIXEL_MM
        assert width == pytest.approx(4.0 + 2 * down_mm * math.tan(math.radians(5)), abs=1.5 * PIXEL_MM)
    np.testing.assert_array_equal(lost[:, 60:], 0)


def test_shadow_that_begins_above_the_crop_is_complete_at_its_top() -> None:
    lost = (flat() - shadow(flat(), PIXEL_MM, row=-0.5, col=0.5, width_mm=5.0, spread_deg=0.0, db=6.0)) * 60
    np.testing.assert_allclose(lost[:, 44:53], 6.0, rtol=0.01)
    np.testing.assert_array_equal(lost[:, :30], 0)


def test_depth_takes_detail_and_leaves_size() -> None:
    """A point spreads by the variance that larger pixels add; a lesion's width at half height stays."""
    point = flat(0.0, 65)
    point[32, 32] = 1.0
    rows, cols = np.mgrid[:65, :65]
    for factor in (1.0, 1.5, 2.0, 3.0):
        spread = depth(point, PIXEL_MM, factor=factor)
        assert spread.sum() == pytest.approx(1.0, abs=1e-4)
        for axis in (rows, cols):
            assert (axis * spread).sum() == pytest.approx(32, abs=1e-3)
            assert ((axis - 32.0) ** 2 * spread).sum() == pytest.approx((factor**2 - 1) / 4, rel=0.12, abs=1e-4)
    lesion = np.where((rows - 32) ** 2 + (cols - 32) ** 2 <= 15**2, 0.2, 0.6).astype(np.float32)
    assert ((depth(lesion, PIXEL_MM, factor=2.0) < 0.4).sum()) == pytest.approx((lesion < 0.4).sum(), rel=0.02)
    fine = np.indices((64, 64)).sum(axis=0) % 2
    assert depth(fine.astype(np.float32), PIXEL_MM, factor=3.0)[8:-8, 8:-8].std() < 0.05


def drawn(strength: float = 1.0) -> list[tuple[str, str, dict[str, object]]]:
    settings = AugmentSettings(intensity=strength)
    return [
        (group, name, part.draw(Random(3), settings.strength(part.strength)))
        for group, parts in PARTS.items()
        for name, part in parts.items()
    ]


def test_no_part_fills_or_spreads_a_hole() -> None:
    image = flat()
    image[30:50, 20:40] = np.nan
    before = np.isnan(image)
    for group, name, values in drawn(4.0):
        changed = PARTS[group][name].change(image, PIXEL_MM, **values)
        np.testing.assert_array_equal(np.isnan(changed), before, err_msg=name)
        assert changed.dtype == np.float32, name
        assert np.isfinite(image[~before]).all(), name
    # Nor does the hole darken its rim.
    np.testing.assert_allclose(depth(image, PIXEL_MM, factor=3.0)[~before], 0.5, rtol=1e-5)


def test_parts_change_a_copy() -> None:
    image = np.random.default_rng(0).uniform(0, 1, (96, 96)).astype(np.float32)
    before = image.copy()
    for group, name, values in drawn():
        assert (PARTS[group][name].change(image, PIXEL_MM, **values) != before).any(), name
        np.testing.assert_array_equal(image, before, err_msg=name)


def test_every_modality_has_its_parts_and_every_part_its_values() -> None:
    assert {modality.augmentation for modality in MODALITIES.values()} <= set(PARTS)
    for group, name, values in drawn():
        assert sorted(values) == sorted(option_names(PARTS[group][name].change)), name


def test_draws_stay_within_their_strength_and_reach_it() -> None:
    def all_of(name: str, key: str, strength: float) -> npt.NDArray[np.float64]:
        random = Random(0)
        return np.array([PARTS["echo"][name].draw(random, strength)[key] for _ in range(400)])

    for name, key, strength, low, high in [
        ("gain", "db", 9.0, -9.0, 9.0),
        ("tgc", "db", 2.0, -2.0, 2.0),
        ("dynamic_range", "contrast", 0.15, 0.85, 1.15),
        ("gamma", "exponent", 0.25, 0.8, 1.25),
        ("speckle", "db", 2.5, 0.0, 2.5),
        ("shadow", "db", 6.0, 2.0, 6.0),
        ("depth", "factor", 0.5, 1.0, 1.5),
    ]:
        values = all_of(name, key, strength)
        assert low <= values.min() < low + 0.03 * (high - low), name
        assert high - 0.03 * (high - low) < values.max() <= high, name


def test_parts_are_albumentations_transforms() -> None:
    image = flat()
    certain = A.Compose([PartTransform("echo", "gain", 6.0, p=1.0)], seed=0)
    changes = [certain(image=image, pixel_mm=PIXEL_MM)["image"] - image for _ in range(20)]
    assert all(np.ptp(change) < 1e-6 and abs(change[0, 0]) <= 0.1 for change in changes)
    assert len({float(change[0, 0]) for change in changes}) == 20
    still = pipeline("echo", AugmentSettings(intensity=0.0))
    np.testing.assert_array_equal(still(image=image, pixel_mm=PIXEL_MM)["image"], image)
    busy = pipeline("echo", AugmentSettings(intensity=2.0))
    assert any((busy(image=image, pixel_mm=PIXEL_MM)["image"] != image).any() for _ in range(10))
