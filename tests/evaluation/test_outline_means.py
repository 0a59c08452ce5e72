"""Means, medians, shares and differences over images: what patients with several images may change, and what not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import DataError
from usdlr.evaluation.intervals import clopper_pearson
from usdlr.evaluation.outline_means import mean_of, median_of, paired_difference, share_of, sizes_of


def test_patients_are_drawn_not_images() -> None:
    """The same picture of a patient ten times over says nothing new: the interval must not shrink."""
    values = np.random.default_rng(2).uniform(0.4, 1.0, 30)
    rows = [{"patient_id": f"p{n}", "image_id": f"i{n}", "dice": value} for n, value in enumerate(values)]
    once, often = (mean_of(pd.DataFrame(rows * times), "dice", replicates=500) for times in (1, 10))
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))
    assert once.low is not None
    assert once.high is not None
    # About two standard errors of 30 patients either way.
    assert once.high - once.low == pytest.approx(2 * 1.96 * values.std(ddof=1) / np.sqrt(30), rel=0.15)


def test_a_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    ids = {"patient_id": [f"p{n}" for n in range(50)], "image_id": [f"i{n}" for n in range(50)]}
    base, change = rng.uniform(0.2, 0.9, 50), rng.normal(0.05, 0.001, 50)
    first, second = (pd.DataFrame({**ids, "dice": values}) for values in (base + change, base))
    found = paired_difference(first, second.sample(frac=1, random_state=1), "dice", replicates=200)
    assert (found.value, found.low, found.high) == pytest.approx((0.05, 0.05, 0.05), abs=0.001)


def column(values: list[float]) -> pd.DataFrame:
    names = [f"p{n}" for n in range(len(values))]
    return pd.DataFrame({"patient_id": names, "image_id": names, "dice": values})


@pytest.mark.parametrize("count", [1, 2, 9, 10])
def test_the_median_is_that_of_numpy(count: int) -> None:
    values = np.random.default_rng(count).uniform(size=count).tolist()
    assert median_of(column(values), "dice", replicates=100).value == pytest.approx(np.median(values))


def test_images_without_a_value_are_counted_out() -> None:
    assert mean_of(column([0.5, np.nan, 0.7]), "dice", replicates=100).n == 2
    for of in (mean_of, median_of):
        assert of(column([np.nan]), "dice", replicates=100).method.startswith("undefined")


def test_an_image_in_one_table_alone_is_told() -> None:
    first, second = column([0.9, 0.8, 0.7, 0.6, np.nan]), column([0.8, 0.7, 0.6])
    found = paired_difference(first, second, "dice", replicates=100)
    assert found.n == 3
    assert found.value == pytest.approx(0.1)
    assert found.method.endswith("2 images without a value in both left out")
    assert "left out" not in paired_difference(second, second, "dice", replicates=100).method


def test_an_image_given_twice_is_refused() -> None:
    table = column([0.9, 0.8, 0.7])
    for pair in ((table, pd.concat([table, table[:1]])), (pd.concat([table, table[:1]]), table)):
        with pytest.raises(DataError, match="found 1 images more than once"):
            paired_difference(*pair, "dice", replicates=100)


def test_a_share_is_exact_and_does_not_narrow_with_more_images_of_a_patient() -> None:
    table = column([1.0] * 3 + [0.0] * 7)
    once = share_of(table, table["dice"] > 0.5)
    assert (once.low, once.high) == pytest.approx(clopper_pearson(3, 10))
    many = pd.concat([table] * 5, ignore_index=True)
    often = share_of(many, many["dice"] > 0.5)
    assert (often.events, often.n) == (15, 50)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert share_of(table[:0], table["dice"][:0] > 0.5).value is None


def test_sizes_are_software_minus_reader() -> None:
    table = column([0.0] * 5).assign(reader=[10.0, 12, 14, 16, np.nan], software=[9.0, 11, 14, 15, 20])
    told = sizes_of(table, "reader", "software", replicates=100, seed=0)
    assert told is not None
    assert (told["n"], told["bias"]["value"]) == (4, pytest.approx(-0.75))
    assert sizes_of(table[4:], "reader", "software", replicates=100, seed=0) is None
