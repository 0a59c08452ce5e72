"""Auxiliary quantities of an axilla: from its lesions, in standard deviations of the training axillae."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from usdlr.data.dataset import Axillae
from usdlr.data.samples import Sample, SampleStore
from usdlr.experiment.auxiliary import auxiliary_targets, stiffness

NAN = math.nan
CASES = pd.DataFrame(
    {
        "image_id": list("abcdef"),
        "patient_id": ["p", "q", "p", "r", "s", "t"],
        "side": ["left"] * 6,
        "birads": ["4a", "5", "4c", None, "6", "2"],
    }
)
LESION = np.array([[True, True, False]])


def sample(kpa: tuple[float, float, float] | None) -> Sample:
    images = {"bmode": np.zeros((1, 3), np.float32)}
    if kpa is not None:
        images["elasto"] = np.array([kpa], np.float32)
    return Sample(images, {}, LESION, pixel_mm=1.0)


# The third pixel lies outside the lesion.
MAPS = [(10.0, 30.0, 999.0), (50.0, NAN, 999.0), (60.0, 80.0, 0.0), None, (NAN, NAN, 5.0), (100.0, 100.0, 1.0)]
STORE = SampleStore(tuple("abcdef"), tuple(sample(kpa) for kpa in MAPS))
AXILLAE = Axillae.of(CASES)
ALL = np.arange(5)


def test_stiffness_is_the_mean_inside_the_lesion_where_there_is_a_value() -> None:
    np.testing.assert_allclose(stiffness(STORE.samples), [20, 50, 70, NAN, NAN, 100])


def test_stiffness_of_an_axilla_is_the_mean_of_its_maps_in_training_standard_deviations() -> None:
    """p has 20 and 70, so 45; q 50; r and s are unknown; t 100. Trained on p and t: mean 72.5, deviation 27.5."""
    found = auxiliary_targets(["stiffness"], CASES, STORE, AXILLAE, np.array([0, 2, 4]))
    np.testing.assert_allclose(found[:, 0], [-1, (50 - 72.5) / 27.5, NAN, NAN, 1])


def test_birads_is_the_highest_category_of_the_axilla() -> None:
    """p has 4a and 4c, so rank 4; q 5; t 0; category 6 and null grade nothing. Trained on q and t: 2.5 and 2.5."""
    found = auxiliary_targets(["birads"], CASES, STORE, AXILLAE, np.array([1, 4]))
    np.testing.assert_allclose(found[:, 0], [(4 - 2.5) / 2.5, 1, NAN, NAN, -1])


def test_columns_follow_the_names() -> None:
    one, other = (auxiliary_targets([name], CASES, STORE, AXILLAE, ALL) for name in ("birads", "stiffness"))
    both = auxiliary_targets(["stiffness", "birads"], CASES, STORE, AXILLAE, ALL)
    np.testing.assert_array_equal(both, np.hstack([other, one]))
    assert auxiliary_targets([], CASES, STORE, AXILLAE, ALL).shape == (5, 0)


@pytest.mark.parametrize("train", [[0], [2, 3], []])
def test_what_does_not_vary_or_is_not_known_in_training_teaches_nothing(train: list[int]) -> None:
    found = auxiliary_targets(["stiffness", "birads"], CASES, STORE, AXILLAE, np.array(train, dtype=np.intp))
    assert np.isnan(found).all()


def test_equal_maps_do_not_vary_by_rounding() -> None:
    store = SampleStore(tuple("abcdef"), (*(sample((12.3, 12.3, 0.0)) for _ in range(5)), sample((50.0, 50.0, 0.0))))
    found = auxiliary_targets(["stiffness"], CASES, store, AXILLAE, np.array([0, 1, 2]))
    assert np.isnan(found).all()
