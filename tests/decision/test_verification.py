from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit
from scipy.stats import binomtest

from usdlr.core.errors import InputError
from usdlr.decision.verification import verification
from usdlr.decision.wording import verification_sentence


def cohort(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Missed, true NSLN status, whether dissected, covariates: large tumours are dissected more and missed less."""
    random = np.random.default_rng(seed)
    size, score = random.normal(size=n), random.normal(size=n)
    truth = (random.random(n) < expit(0.3 * size)).astype(float)
    missed = random.random(n) < expit(-1.5 - 1.2 * size)
    dissected = random.random(n) < expit(0.8 * size + 0.3 * score)
    return missed, truth, dissected, np.column_stack([size, score])


def names(n: int) -> list[str]:
    return [f"p{place}" for place in range(n)]


def test_weights_take_back_what_selective_dissection_bent() -> None:
    missed, truth, dissected, x = cohort(20_000, 1)
    full = missed[truth == 1].mean()
    y = np.where(dissected, truth, np.nan)
    plain = missed[dissected & (truth == 1)].mean()
    found = verification(missed, y, x, names(len(y)), replicates=50)
    assert full - plain > 0.04  # selection matters here
    assert found.weighted == pytest.approx(full, abs=0.012)
    assert found.verified_share == pytest.approx(dissected.mean())
    assert found.best is not None
    assert found.worst is not None
    assert found.best < full < found.worst
    assert found.effective_positives < found.positives


def test_the_weighted_rate_is_that_of_a_logistic_regression() -> None:
    missed, truth, dissected, x = cohort(600, 2)
    y = np.where(dissected, truth, np.nan)
    fitted = sm.GLM(dissected.astype(float), sm.add_constant(x), family=sm.families.Binomial()).fit()
    weight = 1 / np.maximum(fitted.fittedvalues, 0.05)
    positive = dissected & (truth == 1)
    expected = weight[positive & missed].sum() / weight[positive].sum()
    found = verification(missed, y, x, names(600), replicates=10)
    assert found.weighted == pytest.approx(expected, abs=1e-3)  # but for the slight ridge
    assert found.effective_positives == pytest.approx(
        weight[positive].sum() ** 2 / (weight[positive] ** 2).sum(), rel=0.01
    )


def test_the_interval_covers_the_truth() -> None:
    hits, target = 0, cohort(400_000, 99)
    full = target[0][target[1] == 1].mean()
    for seed in range(40):
        missed, truth, dissected, x = cohort(300, seed)
        found = verification(missed, np.where(dissected, truth, np.nan), x, names(300), replicates=120, seed=seed)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= full <= found.high
    assert 32 <= hits <= 40


def test_everybody_dissected_is_the_plain_rate_exactly() -> None:
    missed, truth, _, x = cohort(200, 3)
    found = verification(missed, truth, x, names(200), replicates=20)
    assert found.weighted == missed[truth == 1].mean() == found.best == found.worst
    assert found.effective_positives == found.positives
    assert "needs no assumption" in verification_sentence(found)


def test_bounds_of_a_case_small_enough_to_count() -> None:
    # Verified: 4 positives, 1 missed. Not dissected: 2 released, 3 kept.
    missed = [1, 0, 0, 0, 0, 1, 1, 0, 0, 0]
    y = [1, 1, 1, 1, 0, np.nan, np.nan, np.nan, np.nan, np.nan]
    found = verification(missed, y, np.zeros((10, 1)), names(10), replicates=20)
    assert (found.best, found.worst) == (1 / 7, 3 / 6)
    said = verification_sentence(found)
    assert "5 of 10 SLN-positive axillae (50.0 %)" in said
    assert "14.2 to 50.0 %" in said
    assert "part of the contract" in said


def test_duplicating_patients_does_not_narrow_the_interval() -> None:
    missed, truth, dissected, x = cohort(150, 4)
    y = np.where(dissected, truth, np.nan)
    once = verification(missed, y, x, names(150), replicates=300)
    twice = verification(np.tile(missed, 2), np.tile(y, 2), np.tile(x, (2, 1)), names(150) * 2, replicates=300)
    assert twice.weighted == pytest.approx(once.weighted, abs=1e-3)
    assert once.low is not None
    assert once.high is not None
    assert twice.low == pytest.approx(once.low, abs=0.01)
    assert twice.high == pytest.approx(once.high, abs=0.01)


def test_degenerate_input_has_a_defined_answer() -> None:
    nobody = verification([], [], np.zeros((0, 2)), [], replicates=5)
    assert (nobody.weighted, nobody.best, nobody.verified_share) == (None, None, None)
    assert "no SLN-positive axilla" in verification_sentence(nobody)
    unknown = verification([1, 0], [np.nan, np.nan], [[1.0], [np.nan]], ["a", "b"], replicates=5)
    assert (unknown.weighted, unknown.best, unknown.worst) == (None, 0.0, 1.0)
    assert "no rate can be estimated" in verification_sentence(unknown)
    constant = verification([0, 1, 0], [1, 1, np.nan], [[2.0]] * 3, list("abc"), replicates=50)
    assert constant.weighted == pytest.approx(0.5)
    perfect = verification([0, 1, 0, 1], [1, 1, np.nan, np.nan], [[9.0], [8.0], [-9.0], [-8.0]], list("abcd"))
    assert perfect.weighted is not None
    with pytest.raises(InputError, match="expected one row each"):
        verification([1], [1, 0], [[1.0], [2.0]], ["a", "b"])
    with pytest.raises(InputError, match="infinite"):
        verification([1], [1], [[np.inf]], ["a"])


def test_the_same_seed_gives_the_same_numbers() -> None:
    missed, truth, dissected, x = cohort(100, 5)
    y = np.where(dissected, truth, np.nan)
    first, again = (verification(missed, y, x, names(100), replicates=50, seed=7).to_dict() for _ in range(2))
    assert first == again


def test_no_miss_is_not_certainty() -> None:
    """Resamples of a sample without a miss have none either; the exact interval knows better."""
    found = verification([0] * 40, [1] * 20 + [0] * 20, np.zeros((40, 1)), names(40), replicates=50)
    exact = binomtest(0, 20).proportion_ci(0.95)
    assert (found.weighted, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(exact.high)
    assert "95 % interval 0.0 to 16.9 %" in verification_sentence(
        verification([0] * 41, [1] * 20 + [0] * 20 + [np.nan], np.zeros((41, 1)), names(41), replicates=50)
    )
    every = verification([1] * 40, [1] * 20 + [0] * 20, np.zeros((40, 1)), names(40), replicates=50)
    assert every.low == pytest.approx(binomtest(20, 20).proportion_ci(0.95).low)
    assert every.high == 1.0
    # Few weigh much: the interval is that of fewer positives.
    _, truth, dissected, x = cohort(200, 6)
    few = verification(np.zeros(200), np.where(dissected, truth, np.nan), x, names(200), replicates=50)
    assert few.high is not None
    assert few.high > binomtest(0, few.positives).proportion_ci(0.95).high
