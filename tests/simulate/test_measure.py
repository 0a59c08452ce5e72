"""What is measured on rendered images is what was drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr

from usdlr.core.errors import CaseError
from usdlr.core.hashing import derive_seed
from usdlr.core.units import Spacing
from usdlr.simulate.bmode import acquire_bmode
from usdlr.simulate.centres import CENTRES, Centre
from usdlr.simulate.cohort import draw_cohort
from usdlr.simulate.elastogram import acquire_elastography
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.measure import measure_latents
from usdlr.simulate.tissue import build_phantom

MIDDLE = {name: latent.middle for name, latent in LATENTS.items()}
PATIENTS = 75  # at each of two centres

# Rank correlation of the measured with the true latent, a little below what was found.
FLOORS = {
    "size_mm": 0.99,
    "stiffness_kpa": 0.93,
    "rim_kpa": 0.93,
    "halo_db": 0.70,
    "heterogeneity_db": 0.75,
    "spiculation": 0.82,
    "echogenicity_db": 0.70,
    "posterior_db_per_cm": 0.70,
    "aspect_ratio": 0.86,
    "calcifications_per_cm2": 0.85,
}


@dataclass(frozen=True)
class Picture:
    bmode: npt.NDArray[np.uint8]
    stiffness: npt.NDArray[np.float32]
    lesion: npt.NDArray[np.bool_]
    spacing: Spacing
    centre: Centre

    def measured(self) -> dict[str, float]:
        return measure_latents(self.bmode, self.stiffness, self.lesion, self.spacing, self.centre)


def picture(latents: dict[str, float], centre: Centre, *seed: object) -> Picture:
    spacing = centre.spacing_for(latents["size_mm"])
    streams = [np.random.default_rng(derive_seed("measure", *seed, step)) for step in ("tissue", "bmode", "swe")]
    phantom = build_phantom(latents, (centre.rows, centre.cols), spacing, streams[0])
    bmode, kpa = acquire_bmode(phantom, centre, streams[1]), acquire_elastography(phantom, centre, streams[2])
    return Picture(bmode, kpa, phantom.lesion, spacing, centre)


@pytest.fixture(scope="module")
def cohort() -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    true, measured = [], []
    for name in ("north", "south"):
        table = draw_cohort(CENTRES[name], PATIENTS, 21)
        for number, row in enumerate(table[list(LATENTS)].to_dict("records")):
            latents = {str(key): float(value) for key, value in row.items()}
            true.append(latents)
            measured.append(picture(latents, CENTRES[name], name, number).measured())
    return true, measured


@pytest.mark.parametrize("name", LATENTS)
def test_measured_ranks_as_true(cohort: tuple[list[dict[str, float]], list[dict[str, float]]], name: str) -> None:
    true, measured = ([row[name] for row in rows] for rows in cohort)
    assert np.isfinite(measured).mean() > 0.97
    assert spearmanr(true, measured, nan_policy="omit").statistic > FLOORS[name]


# How far the median estimate may lie from the median truth; scanners misread stiffness by a factor.
OFFSETS = {
    "size_mm": 0.3,
    "stiffness_kpa": 20.0,
    "rim_kpa": 8.0,
    "halo_db": 2.5,
    "heterogeneity_db": 0.6,
    "spiculation": 0.15,
    "echogenicity_db": 1.5,
    "posterior_db_per_cm": 2.0,
    "aspect_ratio": 0.05,
    "calcifications_per_cm2": 1.0,
}


@pytest.mark.parametrize("name", LATENTS)
def test_estimates_are_on_the_scale_of_the_latent(
    cohort: tuple[list[dict[str, float]], list[dict[str, float]]], name: str
) -> None:
    true, measured = ([row[name] for row in rows] for rows in cohort)
    assert abs(np.nanmedian(np.subtract(measured, true))) < OFFSETS[name]


# From, to, and how much of the change must be found: estimates differ in scale, never in direction.
PLANTED: dict[str, tuple[float, float, tuple[float, float]]] = {
    "size_mm": (16.0, 22.0, (0.95, 1.05)),
    "stiffness_kpa": (60.0, 120.0, (0.8, 1.1)),
    "rim_kpa": (15.0, 60.0, (0.85, 1.15)),
    "halo_db": (2.0, 8.0, (0.75, 1.25)),
    "heterogeneity_db": (1.5, 4.5, (0.7, 1.3)),
    "spiculation": (0.2, 0.8, (0.6, 1.4)),
    "echogenicity_db": (-17.0, -10.0, (0.6, 1.2)),
    "posterior_db_per_cm": (-8.0, 2.0, (0.75, 1.25)),
    "aspect_ratio": (0.55, 0.85, (0.8, 1.2)),
    "calcifications_per_cm2": (0.0, 12.0, (0.5, 1.2)),
}


@pytest.mark.parametrize("name", LATENTS)
def test_planted_change_is_found(name: str) -> None:
    low, high, (least, most) = PLANTED[name]
    found = []
    for seed in range(4):
        pair = [
            picture({**MIDDLE, name: value}, CENTRES["north"], "planted", seed).measured()[name]
            for value in (low, high)
        ]
        found.append((pair[1] - pair[0]) / (high - low))
    assert min(found) > 0, found
    assert least < np.mean(found) < most, found


@pytest.mark.parametrize("name", ["stiffness_kpa", "rim_kpa"])
def test_the_echo_is_not_read_from_the_stiffness_nor_the_other_way_round(name: str) -> None:
    pictures = [picture({**MIDDLE, name: LATENTS[name].middle * share}, CENTRES["north"], "apart") for share in (1, 2)]
    first, second = (case.measured() for case in pictures)
    for other in set(LATENTS) - {"stiffness_kpa", "rim_kpa"}:
        assert second[other] == first[other], other
    without = measure_latents(pictures[0].bmode, None, pictures[0].lesion, pictures[0].spacing, CENTRES["north"])
    assert np.isnan([without["stiffness_kpa"], without["rim_kpa"]]).all()
    assert {key: value for key, value in without.items() if value == value} == {
        key: value for key, value in first.items() if key not in ("stiffness_kpa", "rim_kpa")
    }


def test_map_without_values_gives_no_stiffness() -> None:
    case = picture(MIDDLE, CENTRES["south"], "empty map")
    for kept in (np.zeros_like(case.lesion), case.lesion):  # no value at all; no tissue around the lesion
        kpa = np.where(kept, case.stiffness, np.nan).astype(np.float32)
        found = measure_latents(case.bmode, kpa, case.lesion, case.spacing, case.centre)
        assert np.isnan(found["rim_kpa"])
        assert np.isnan(found["stiffness_kpa"]) == (not kept.any())


def test_stated_gain_and_dynamic_range_change_no_estimate() -> None:
    base = CENTRES["west"]
    other = replace(base, gain_db=base.gain_db + 3.0, dynamic_range_db=80.0)
    latents = {**MIDDLE, "echogenicity_db": -9.0, "posterior_db_per_cm": 0.0}
    first, second = (picture(latents, centre, "gain").measured() for centre in (base, other))
    for name in LATENTS:
        assert second[name] == pytest.approx(first[name], rel=0.05, abs=0.35), name


def test_lesion_at_the_lower_border_shows_nothing_behind_it() -> None:
    spacing, middle = Spacing(0.1, 0.1), LATENTS["posterior_db_per_cm"].middle
    for axes, told in (((60, 90), True), ((4, 4), False)):
        rows, cols = np.indices((300, 320))
        lesion = np.hypot((rows - 299) / axes[0], (cols - 160) / axes[1]) < 1
        bmode = np.random.default_rng(0).integers(60, 160, lesion.shape).astype(np.uint8)
        found = measure_latents(bmode, None, lesion, spacing, CENTRES["north"])
        # A large one tells by its own levels, which fall by nothing here; a tiny one tells nothing.
        assert np.isfinite(found["posterior_db_per_cm"]) == told
        assert not told or middle + 2 < found["posterior_db_per_cm"] < 1.5
        assert np.isfinite([found["size_mm"], found["echogenicity_db"]]).all()


@pytest.mark.parametrize("side", [1, 2, 6])
def test_tiny_lesions_and_black_pictures_are_measured_or_not_a_number(side: int) -> None:
    lesion = np.zeros((120, 140), dtype=bool)
    lesion[50 : 50 + side, 70 : 70 + side] = True
    for grey in (0, 128, 255):
        bmode = np.full(lesion.shape, grey, dtype=np.uint8)
        found = measure_latents(bmode, None, lesion, Spacing(0.1, 0.08), CENTRES["overseas"])
        assert set(found) == set(LATENTS)
        assert found["size_mm"] == 5.0 or found["size_mm"] < 5.0  # the lowest of the latent where smaller


def test_empty_lesion_and_other_shapes_are_refused() -> None:
    nothing = np.zeros((50, 60), dtype=bool)
    with pytest.raises(CaseError, match="without a single pixel"):
        measure_latents(nothing.astype(np.uint8), None, nothing, Spacing(0.1, 0.1), CENTRES["north"])
    with pytest.raises(ValueError, match="shape"):
        measure_latents(np.zeros((50, 61), np.uint8), None, ~nothing, Spacing(0.1, 0.1), CENTRES["north"])
    with pytest.raises(ValueError, match="shear-wave map"):
        measure_latents(
            nothing.astype(np.uint8), np.zeros((9, 9), np.float32), ~nothing, Spacing(0.1, 0.1), CENTRES["north"]
        )


def test_disc_has_its_diameter_and_aspect_on_uneven_pixels() -> None:
    rows, cols = np.indices((300, 400))
    spacing = Spacing(0.12, 0.08)
    lesion = np.hypot((rows - 150) * spacing.row_mm / 6.0, (cols - 200) * spacing.col_mm / 10.0) < 1
    bmode = np.random.default_rng(0).integers(95, 125, lesion.shape).astype(np.uint8)
    found = measure_latents(bmode, None, lesion, spacing, CENTRES["north"])
    assert found["size_mm"] == pytest.approx(20.0, abs=0.25)
    assert found["aspect_ratio"] == pytest.approx(0.6, abs=0.01)
    assert found["spiculation"] < 0.2
    assert found["calcifications_per_cm2"] < 1
