"""The quality that follows from a score."""

from __future__ import annotations

import numpy as np
import pytest

from usdlr.core.errors import BundleError, DataError
from usdlr.inference.segmentation import Expected


def test_it_recovers_a_known_relation() -> None:
    rng = np.random.default_rng(0)
    score = rng.uniform(0.5, 1.0, 4000)
    dice = np.clip(score - 0.1 + rng.normal(0, 0.05, 4000), 0, 1)
    error = 0.3 * (1 - score) + rng.normal(0, 0.01, 4000)
    found = Expected.fit(score, dice, error)
    for value in (0.55, 0.7, 0.95):
        at, share = found.of(value)
        assert at == pytest.approx(value - 0.1, abs=0.02)
        assert share == pytest.approx(0.3 * (1 - value), abs=0.01)
    assert found.lesions == 4000


def test_it_never_falls_and_never_rises() -> None:
    rng = np.random.default_rng(1)
    found = Expected.fit(rng.uniform(size=60), rng.uniform(size=60), rng.uniform(size=60))
    assert list(found.dice) == sorted(found.dice)
    assert list(found.error_share) == sorted(found.error_share, reverse=True)


def test_few_lesions_know_their_mean_alone() -> None:
    found = Expected.fit([0.5, 0.9], [0.6, 0.8], [0.2, np.nan])
    assert found.of(0.1) == found.of(0.99) == (0.7, 0.2)


def test_a_false_lesion_counts_with_no_overlap_and_no_distance() -> None:
    score = np.r_[np.full(30, 0.9), np.full(30, 0.6)]
    dice = np.r_[np.full(30, 0.9), np.zeros(30)]
    error = np.r_[np.full(30, 0.05), np.full(30, np.nan)]
    assert Expected.fit(score, dice, error).of(0.6)[0] == 0.0


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match="found no lesion with an outline"):
        Expected.fit([], [], [])
    with pytest.raises(DataError, match="found no lesion with an outline"):
        Expected.fit([0.5], [0.0], [np.nan])


def test_it_comes_back_as_written() -> None:
    found = Expected((0.5, 1.0), (0.7, 0.9), (0.1, 0.05), 40)
    assert Expected.from_dict(found.as_dict()) == found
    with pytest.raises(BundleError, match="damaged table of expected quality"):
        Expected.from_dict({**found.as_dict(), "dice": [0.7, 1.4]})
