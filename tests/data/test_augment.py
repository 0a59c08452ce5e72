"""Augmentation: the same geometry for everything in a case, replayable, and true to what the pixels mean."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from usdlr.core.errors import ConfigError
from usdlr.data.augment import Augmenter, AugmentSettings, Geometry, Record, apply, draw
from usdlr.data.samples import Sample

SIDE = 96
MIDDLE = (SIDE - 1) / 2
STILL = {"flip": 0.0, "rotate_deg": 0.0, "scale": 0.0, "shift": 0.0, "intensity": 0.0}


def augmenter(seed: int = 0, **change: float) -> Augmenter:
    return Augmenter(AugmentSettings(**{**STILL, **change}), seed)


def blob(row: float, col: float) -> npt.NDArray[np.float32]:
    """A Gaussian spot, 0 to 1."""
    rows, cols = np.ogrid[:SIDE, :SIDE]
    return np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * 3.0**2)).astype(np.float32)


def disc(row: float, col: float, radius: float) -> npt.NDArray[np.bool_]:
    rows, cols = np.ogrid[:SIDE, :SIDE]
    return np.asarray((rows - row) ** 2 + (cols - col) ** 2 <= radius**2)


def spots(*centres: tuple[float, float]) -> Sample:
    """The same spots in B-mode, stiffness and the masks."""
    light = np.sum([blob(*centre) for centre in centres], axis=0)
    return Sample(
        images={"bmode": (250 * light).astype(np.float32), "elasto": (290 * light).astype(np.float32)},
        rois={"intratumoral": light > 0.5, "peritumoral": (light > 0.1) & (light <= 0.5)},
        lesion=light > 0.5,
        pixel_mm=0.25,
    )


def centre(weights: npt.NDArray[Any]) -> tuple[float, float]:
    weights = np.nan_to_num(weights.astype(float))
    rows, cols = np.mgrid[:SIDE, :SIDE]
    return float((rows * weights).sum() / weights.sum()), float((cols * weights).sum() / weights.sum())


def textured() -> Sample:
    rng = np.random.default_rng(0)
    return Sample(
        images={
            "bmode": rng.uniform(20, 230, (SIDE, SIDE)).astype(np.float32),
            "elasto": rng.uniform(5, 200, (SIDE, SIDE)).astype(np.float32),
        },
        rois={"intratumoral": blob(48, 48) > 0.3},
        lesion=blob(48, 48) > 0.3,
        pixel_mm=0.25,
    )


def fingerprint(sample: Sample) -> str:
    """Changes with any bit of a sample."""
    digest = hashlib.sha256(repr((sorted(sample.images), sorted(sample.rois), sample.pixel_mm)).encode())
    for pixels in (*(sample.images[n] for n in sorted(sample.images)), *(sample.rois[n] for n in sorted(sample.rois))):
        digest.update(f"{pixels.dtype} {pixels.shape}".encode() + pixels.tobytes())
    digest.update(sample.lesion.tobytes())
    return digest.hexdigest()


def test_seed_epoch_and_image_decide_everything() -> None:
    sample = textured()
    before = fingerprint(sample)
    one, other = Augmenter(AugmentSettings(), 5), Augmenter(AugmentSettings(), 5)
    first = fingerprint(one(sample, 3, "a"))
    for epoch in range(3):  # what was drawn in between does not matter
        other(sample, epoch, "z")
    assert first == fingerprint(other(sample, 3, "a")) == fingerprint(one(sample, 3, "a"))
    different = [one(sample, 4, "a"), one(sample, 3, "b"), Augmenter(AugmentSettings(), 6)(sample, 3, "a")]
    assert len({first, *map(fingerprint, different)}) == 4
    assert fingerprint(sample) == before


def everything() -> str:
    """One fingerprint over many augmented samples, every part among them."""
    sample = textured()
    sample.images["elasto"][:10] = np.nan
    strong = Augmenter(AugmentSettings(intensity=2.0), 5)
    return hashlib.sha256("".join(fingerprint(strong(sample, i, "a")) for i in range(40)).encode()).hexdigest()


def test_another_process_gives_equal_bytes() -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}\nfrom tests.data.test_augment import everything\n"
    code += "sys.stdout.write(everything())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == everything()


def test_zero_strengths_change_nothing() -> None:
    sample = textured()
    sample.images["elasto"][:10] = np.nan
    sample.images["elasto"][20] = 400.0  # beyond the range that a network sees: not the augmentation's to clip
    assert fingerprint(augmenter()(sample, 1, "a")) == fingerprint(sample)


def test_a_landmark_goes_where_trigonometry_says() -> None:
    """Flip, then zoom and turn about the middle, counter-clockwise on the screen, then shift."""
    row, col = 30.0, 40.0
    for flip, angle, zoom, down, right in [
        (False, 10.0, 1.0, 0.0, 0.0),
        (False, 0.0, 1.2, 0.0, 0.0),
        (False, 0.0, 1.0, 0.05, -0.1),
        (True, 0.0, 1.0, 0.0, 0.0),
        (True, -17.0, 0.9, -0.04, 0.08),
    ]:
        x, up = (MIDDLE - col if flip else col - MIDDLE), MIDDLE - row
        turned = complex(x, up) * zoom * complex(math.cos(math.radians(angle)), math.sin(math.radians(angle)))
        expected = MIDDLE - turned.imag + down * SIDE, MIDDLE + turned.real + right * SIDE
        found = apply(Record(Geometry(flip, angle, zoom, down, right)), spots((row, col)))
        for name in ("bmode", "elasto"):
            assert centre(found.images[name]) == pytest.approx(expected, abs=0.06)
        for mask in (*found.rois.values(), found.lesion):
            assert centre(mask) == pytest.approx(expected, abs=0.4)


def test_millimetres_follow_the_zoom() -> None:
    """A lesion of 15 px radius keeps its area in mm2 at every zoom, and its area in pixels goes with the square."""
    lesion = disc(MIDDLE, MIDDLE, 15)
    sample = Sample(
        images={"bmode": np.where(lesion, 40, 120).astype(np.float32)},
        rois={"intratumoral": lesion, "context": np.ones_like(lesion)},
        lesion=lesion,
        pixel_mm=0.2,
    )
    for zoom in (0.8, 0.95, 1.1, 1.5):
        found = apply(Record(Geometry(zoom=zoom)), sample)
        assert found.pixel_mm == pytest.approx(0.2 / zoom)
        for area in (found.lesion.sum(), found.rois["intratumoral"].sum(), (found.images["bmode"] < 80).sum()):
            assert area == pytest.approx(math.pi * 15**2 * zoom**2, rel=0.03)
            assert area * found.pixel_mm**2 == pytest.approx(math.pi * 3**2, rel=0.03)
    assert apply(Record(Geometry(True, 8.0, 1.0, 0.1, 0.1)), sample).pixel_mm == 0.2


def test_images_regions_and_lesion_move_together() -> None:
    sample = spots((30, 40))
    sample = replace(sample, images={**sample.images, "bmode@-1": sample.images["bmode"]})
    strong = Augmenter(AugmentSettings(flip=0.5, rotate_deg=25, scale=0.2, shift=0.1, intensity=0), 0)
    distances = []
    for i in range(40):
        found = strong(sample, i, "a")
        where = centre(found.images["bmode"])
        assert centre(found.images["elasto"]) == pytest.approx(where, abs=0.1)
        assert centre(found.images["bmode@-1"]) == where
        assert centre(found.rois["intratumoral"]) == pytest.approx(where, abs=0.4)
        assert centre(found.rois["peritumoral"]) == pytest.approx(where, abs=0.5)
        assert not (found.rois["intratumoral"] & found.rois["peritumoral"]).any()
        np.testing.assert_array_equal(found.lesion, found.rois["intratumoral"])
        distances.append(math.dist(where, (30, 40)))
    assert np.median(distances) > 3


def test_twenty_regions_travel_without_being_mixed_up() -> None:
    masks = {f"peritumoral-{i + 1}mm": disc(20 + 2 * i, 70 - 2 * i, 6) for i in range(20)}
    sample = replace(textured(), rois=masks)
    for found in (apply(Record(Geometry(shift_rows=3 / SIDE)), sample), apply(Record(Geometry(flip=True)), sample)):
        flipped = found.pixel_mm == sample.pixel_mm and centre(found.lesion)[0] == pytest.approx(48, abs=0.01)
        for i, mask in enumerate(found.rois.values()):
            expected = (20 + 2 * i, SIDE - 1 - (70 - 2 * i)) if flipped else (23 + 2 * i, 70 - 2 * i)
            assert centre(mask) == pytest.approx(expected, abs=0.01)
            assert mask.sum() == disc(48, 48, 6).sum()
            assert mask.dtype == np.bool_


def test_flips_left_to_right_in_half_of_the_draws_and_never_upside_down() -> None:
    turning = augmenter(flip=0.5, rotate_deg=12)
    places = np.array([centre(turning(spots((20, 25)), i, "a").images["bmode"]) for i in range(150)])
    assert 0.4 < (places[:, 1] > SIDE / 2).mean() < 0.6
    # Depth has a direction: what lies near the skin stays there, however far an image may turn.
    assert places[:, 0].max() < 28
    most = augmenter(flip=1.0, rotate_deg=45.0, scale=0.3)
    assert max(centre(most(spots((20, MIDDLE)), i, "a").images["bmode"])[0] for i in range(60)) < MIDDLE


def test_zoom_and_rotation_stay_within_their_limits_and_keep_proportions() -> None:
    """Taller than wide is a sign of malignancy: no zoom may act along one axis only."""
    upright, level = spots((28, 48), (68, 48)), spots((48, 28), (48, 68))
    zooming = augmenter(rotate_deg=10, scale=0.15)
    zooms, angles = [], []
    for i in range(60):
        lengths = []
        for sample in (upright, level):
            pixels = zooming(sample, i, "a").images["bmode"]
            half = SIDE // 2
            first, second = pixels.copy(), pixels.copy()
            if sample is upright:
                first[half:], second[:half] = 0, 0
            else:
                first[:, half:], second[:, :half] = 0, 0
            (r0, c0), (r1, c1) = centre(first), centre(second)
            lengths.append(math.hypot(r1 - r0, c1 - c0) / 40)
            if sample is level:
                angles.append(math.degrees(math.atan2(r1 - r0, c1 - c0)))
        assert lengths[0] == pytest.approx(lengths[1], abs=0.01)
        zooms.append(lengths[0])
    assert 0.84 < min(zooms) < 0.92 < 1.08 < max(zooms) < 1.16
    assert -10.5 < min(angles) < -5 < 5 < max(angles) < 10.5


def test_draws_of_different_kinds_are_independent() -> None:
    """Flip, rotation and every part have randomness of their own."""
    records = [draw(AugmentSettings(), 0, i, "a") for i in range(800)]
    rotations = np.array([record.geometry.rotate_deg for record in records])
    flips = np.array([record.geometry.flip for record in records])
    columns = [flips, rotations, np.array([record.geometry.zoom for record in records])]
    for name in ("shadow", "tgc", "speckle", "depth", "gain", "dynamic_range", "gamma"):
        columns.append(np.array([any(one.part == name for one in record.intensity["bmode"]) for record in records]))
    columns.append(np.array([bool(record.intensity["elasto"]) for record in records]))
    correlation = np.corrcoef(np.array(columns, dtype=float))
    assert np.abs(correlation - np.eye(len(columns))).max() < 4 / math.sqrt(len(records))
    assert 0.85 < (rotations != 0).mean() < 0.95
    assert Counter(flips.tolist())[True] == pytest.approx(400, abs=60)


def test_another_strength_of_one_part_leaves_the_other_draws_alone() -> None:
    """What a part costs or brings can then be compared on otherwise equal samples."""
    for i in range(20):
        full, without = (draw(AugmentSettings(shadow_db=db), 0, i, "a") for db in (6.0, 0.0))
        assert full.geometry == without.geometry
        assert [one for one in full.intensity["bmode"] if one.part != "shadow"] == list(without.intensity["bmode"])


def test_holes_in_stiffness_stay_holes_and_do_not_bleed() -> None:
    elasto = np.full((SIDE, SIDE), 40, np.float32)
    elasto[40:60, 30:50] = np.nan
    sample = Sample(
        images={"bmode": np.full((SIDE, SIDE), 90, np.float32), "elasto": elasto},
        rois={"intratumoral": np.isnan(elasto)},
        lesion=np.isnan(elasto),
        pixel_mm=0.25,
    )
    for i in range(20):
        found = augmenter(flip=0.5, rotate_deg=20, scale=0.1, shift=0.05)(sample, i, "a")
        stiffness = found.images["elasto"]
        np.testing.assert_allclose(stiffness[np.isfinite(stiffness)], 40, rtol=1e-4)
        brightness = found.images["bmode"]
        np.testing.assert_allclose(brightness[np.isfinite(brightness)], 90, rtol=1e-4)
        hole = np.isnan(stiffness) & np.isfinite(brightness)
        assert hole.sum() == pytest.approx(400 * (0.25 / found.pixel_mm) ** 2, rel=0.06)


def test_what_is_turned_in_from_outside_has_no_value() -> None:
    sample = textured()
    sample.rois["intratumoral"][:] = True
    counts = []
    for i in range(10):
        found = augmenter(shift=0.2, rotate_deg=15)(sample, i, "a")
        gaps = [np.isnan(found.images[name]) for name in ("bmode", "elasto")]
        np.testing.assert_array_equal(gaps[0], gaps[1])
        # The region goes where the pixels go.
        assert (found.rois["intratumoral"] ^ ~gaps[0]).mean() < 0.03
        counts.append(gaps[0].sum())
    assert max(counts) > 500


def test_stiffness_changes_by_one_factor() -> None:
    sample = textured()
    factors = []
    for i in range(100):
        ratio = augmenter(intensity=1.0)(sample, i, "a").images["elasto"] / sample.images["elasto"]
        np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-4)
        factors.append(float(ratio.mean()))
    assert 0.9 <= min(factors) < 0.97 < 1.03 < max(factors) <= 1.1


def test_frames_of_a_clip_share_their_modality_s_draw() -> None:
    sample = textured()
    clip = dict.fromkeys(("bmode@-1", "bmode", "bmode@+1"), sample.images["bmode"])
    strong = Augmenter(AugmentSettings(intensity=2.0), 0)
    for i in range(15):
        found = strong(replace(sample, images={**clip, "elasto": sample.images["elasto"]}), i, "a")
        assert list(found.images) == ["bmode@-1", "bmode", "bmode@+1", "elasto"]
        np.testing.assert_array_equal(found.images["bmode@-1"], found.images["bmode"])
        np.testing.assert_array_equal(found.images["bmode@+1"], found.images["bmode"])


def test_absent_modality_stays_absent() -> None:
    sample = replace(textured(), images={"bmode": textured().images["bmode"]})
    assert set(Augmenter(AugmentSettings(), 0)(sample, 0, "a").images) == {"bmode"}


def test_values_stay_in_their_range_at_the_largest_strength() -> None:
    strong = Augmenter(AugmentSettings(intensity=4.0), 0)
    for i in range(40):
        found = strong(textured(), i, "a")
        assert 0 <= np.nanmin(found.images["bmode"]) <= np.nanmax(found.images["bmode"]) <= 255.01
        assert 0 <= np.nanmin(found.images["elasto"]) <= np.nanmax(found.images["elasto"]) <= 300.01
        assert {pixels.dtype for pixels in found.images.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flip": -0.1}, r"augment.flip = -0.1, expected at least 0"),
        ({"rotate_deg": float("nan")}, r"augment.rotate_deg = nan"),
        ({"gain_db": float("inf")}, r"augment.gain_db = inf, expected at least 0 and finite"),
        ({"flip": 1.2}, "expected shares"),
        ({"scale": 1.0}, "expected shares"),
        ({"shift": 2.0}, "expected shares"),
        ({"rotate_deg": 90.0}, r"augment.rotate_deg = 90.0, expected at most 45"),
        ({"intensity": 4.5}, r"augment.intensity = 4.5, expected at most 4"),
        ({"gain_db": 61.0}, r"augment.gain_db = 61.0 at augment.intensity = 1.0, expected a product of at most 60"),
        ({"shadow_db": 20.0, "intensity": 4.0}, r"augment.shadow_db = 20.0 at augment.intensity = 4.0"),
        ({"dynamic_range": 1.0}, "augment.dynamic_range = 1.0"),
        ({"gamma": 5.0}, "augment.gamma = 5.0"),
        ({"tgc_db": 31.0}, "augment.tgc_db = 31.0"),
        ({"speckle_db": 10.5}, "augment.speckle_db = 10.5"),
        ({"depth": 4.1}, "augment.depth = 4.1"),
        ({"stiffness": 0.95}, "augment.stiffness = 0.95"),
    ],
)
def test_settings_refuse(change: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        AugmentSettings(**change)
