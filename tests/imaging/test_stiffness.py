from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import ExclusionCode
from usdlr.imaging.stiffness import StiffnessMap, stiffness_from_map, to_kpa, youngs_modulus_kpa
from usdlr.imaging.store import stiffness_to_png


@pytest.mark.parametrize(("speed", "modulus"), [(1.0, 3.0), (3.0, 27.0), (7.0, 147.0), (0.0, 0.0)])
def test_three_times_density_times_speed_squared(speed: float, modulus: float) -> None:
    assert youngs_modulus_kpa(speed) == pytest.approx(modulus, rel=1e-12)
    assert to_kpa([speed], "m/s")[0] == pytest.approx(modulus, rel=1e-12)


@pytest.mark.parametrize(("kpa", "speed"), [(5, 1.3), (9, 1.7), (13, 2.1), (17, 2.4)])
def test_published_pairs(kpa: float, speed: float) -> None:
    # Society of Radiologists in Ultrasound, liver elastography consensus 2020, doi 10.1148/radiol.2020192437: limits in
    # both units, speeds to one decimal (half a digit is 0.05 m/s, at 2.4 m/s 0.7 kPa).
    assert youngs_modulus_kpa(speed - 0.05) <= kpa <= youngs_modulus_kpa(speed + 0.05)


def test_density_counts_in_proportion() -> None:
    assert youngs_modulus_kpa(2.0, density_kg_m3=911.0) == pytest.approx(10.932)
    for density in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="density"):
            youngs_modulus_kpa(2.0, density_kg_m3=density)


def test_strain_has_no_kilopascal() -> None:
    with pytest.raises(CaseError, match="relative strain") as caught:
        to_kpa([10.0], "relative")
    assert caught.value.code is ExclusionCode.ELASTOGRAPHY_UNREADABLE
    with pytest.raises(ConfigError, match="kPa, m/s, relative"):
        to_kpa([10.0], "psi")


def test_float_map_in_kpa() -> None:
    pixels = np.array([[5.0, 120.5, np.nan], [-1.0, 0.0, 5000.0]], dtype=np.float32)
    found = stiffness_from_map(pixels, "kPa")
    np.testing.assert_array_equal(found.values[0, :2], np.array([5.0, 120.5], dtype=np.float32))
    assert np.isnan(found.values).sum() == 4
    assert (found.unit, found.opacity, found.saturated_fraction) == ("kPa", None, 0.0)
    # Both values stand in one row beside each other: the map's box holds nothing else.
    assert found.valid_fraction == 1.0


def test_speed_map_becomes_kpa() -> None:
    found = stiffness_from_map(np.array([[1.0, 3.0], [7.0, 0.0]]), "m/s")
    np.testing.assert_allclose(found.values[0], [3.0, 27.0], rtol=1e-6)
    assert found.values[1, 0] == pytest.approx(147.0)
    assert found.valid_fraction == pytest.approx(0.75)


@given(st.lists(st.integers(1, 65534), min_size=4, max_size=40))
@settings(max_examples=50, deadline=None)
def test_canonical_counts_survive_reading_and_writing(counts: list[int]) -> None:
    pixels = np.array([[*counts, 65535, 20000]], dtype=np.uint16)
    found = stiffness_from_map(pixels, "kPa", step=0.01)
    np.testing.assert_array_equal(stiffness_to_png(found.values), pixels)


def test_eight_bit_map_with_its_step() -> None:
    pixels = np.array([[10, 100, 255]], dtype=np.uint8)
    found = stiffness_from_map(pixels, "kPa", step=1.0, no_value=255)
    np.testing.assert_array_equal(found.values, np.array([[10, 100, np.nan]], dtype=np.float32))
    assert stiffness_from_map(pixels, "m/s", step=0.02).values[0, 1] == pytest.approx(12.0)


def test_relative_map_is_percent() -> None:
    found = stiffness_from_map(np.array([[0.0, 55.0, 100.0, 101.0]]), "relative")
    np.testing.assert_array_equal(found.values, np.array([[0, 55, 100, np.nan]], dtype=np.float32))
    assert found.unit == "relative"


def test_beyond_the_canonical_range_is_saturated_not_cut() -> None:
    found = stiffness_from_map(np.array([[100.0, 655.34, 700.0, 1001.0]]), "kPa")
    assert np.isfinite(found.values).tolist() == [[True, True, False, False]]
    assert found.saturated_fraction == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("pixels", "unit", "step", "message"),
    [
        (np.full((4, 4), 20000.0), "kPa", None, "too large"),  # pascal
        (np.full((4, 4), 120.0), "m/s", None, "too large"),  # kPa
        (np.full((4, 4), 0.05), "kPa", None, "check the unit"),  # MPa
        (np.full((4, 4), 0.0), "kPa", None, "0 possible"),
        (np.full((4, 4), np.nan), "kPa", None, "0 possible"),
        (np.full((4, 4), 65535, np.uint16), "kPa", 0.01, "0 possible"),
        (np.full((4, 4), 5, np.uint16), "kPa", None, "step"),
        (np.full((4, 4), 5, np.uint16), "kPa", 0.0, "step"),
        (np.full((4, 4), 5, np.uint16), "kPa", float("nan"), "step"),
        (np.full((4, 4, 3), 5, np.uint8), "kPa", 1.0, "overlay"),
        (np.zeros((0, 4)), "kPa", None, "shape"),
        (np.full((4, 4), 500.0), "relative", None, "too large"),
        (np.full((2, 2), 1e300), "m/s", None, "too large"),
    ],
)
def test_what_cannot_be_in_the_unit_is_refused(pixels: np.ndarray, unit: str, step: float | None, message: str) -> None:
    with pytest.raises(CaseError, match=message) as caught:
        stiffness_from_map(pixels, unit, step)
    assert caught.value.code is ExclusionCode.ELASTOGRAPHY_UNREADABLE


def test_soft_tissue_alone_is_possible() -> None:
    assert np.isfinite(stiffness_from_map(np.full((4, 4), 0.8), "kPa").values).all()


def test_shares_refer_to_the_box_and_to_what_was_drawn() -> None:
    coloured = np.zeros((10, 10), dtype=bool)
    coloured[2:6, 3:8] = True
    coloured[3, 4] = False
    saturated = np.zeros((10, 10), dtype=bool)
    saturated[2, 3:7] = True
    found = StiffnessMap.of(np.where(coloured, 50.0, np.nan), "kPa", coloured, saturated, 0.5)
    assert found.valid_fraction == pytest.approx(15 / 20)
    assert found.saturated_fraction == pytest.approx(4 / 19)
    assert np.isnan(found.values[2, 3])
    assert not np.isnan(found.values[5, 7])
