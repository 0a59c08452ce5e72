from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import scipy.stats

from tests.evaluation.cohorts import Array, doubled, given, random_cohort
from usdlr.core.errors import ConfigError, InputError
from usdlr.evaluation import discrimination, metrics, resampling
from usdlr.evaluation.resampling import Statistic, patient_bootstrap, patients


def weighted_variance(values: Array) -> Statistic:
    def statistic(weights: Array) -> Array:
        mean = weights @ values / weights.sum(axis=1)
        return np.asarray(weights @ values**2 / weights.sum(axis=1) - mean**2)

    return statistic


@pytest.mark.parametrize(("kind", "theirs"), [("percentile", "percentile"), ("bca", "BCa")])
def test_intervals_are_those_of_scipy(kind: resampling.Kind, theirs: Literal["percentile", "BCa"]) -> None:
    values = np.random.default_rng(1).exponential(1.0, 60)
    ours = patient_bootstrap(
        weighted_variance(values), patients(np.arange(60)), "variance", replicates=20_000, interval=kind
    )
    truth = scipy.stats.bootstrap(
        (values,),
        np.var,
        n_resamples=20_000,
        method=theirs,
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert ours.value == pytest.approx(values.var())
    assert ours.low == pytest.approx(truth.low, rel=0.02)
    assert ours.high == pytest.approx(truth.high, rel=0.02)
    assert f"patient bootstrap, 20000 replicates, {'percentile' if kind == 'percentile' else 'BCa'}" in ours.method


def test_leaving_out_groups_gives_the_same_interval_as_leaving_out_patients() -> None:
    values = np.random.default_rng(1).exponential(1.0, 3000)
    who = patients(np.arange(3000))
    pulls = []
    for groups in (3000, 1000):
        left_out = resampling.replicate(
            weighted_variance(values), resampling.jackknife_weights(who, groups=groups)
        ).ravel()
        pull = left_out.mean() - left_out
        pulls.append((pull**3).sum() / (6 * (pull**2).sum() ** 1.5))
    # The acceleration of an exponential's variance is its influence function's skewness / (6 sqrt n).
    influence = (values - values.mean()) ** 2
    assert pulls[0] == pytest.approx(scipy.stats.skew(influence) / (6 * np.sqrt(3000)), rel=0.02)
    assert pulls[1] == pytest.approx(pulls[0], abs=0.003)


def test_draws_are_multinomial_counts_of_patients_and_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    who = patients(["a", "b", "b", "c", "d", "d"])
    together = np.concatenate(list(resampling.bootstrap_weights(who, replicates=4000, seed=1)))
    monkeypatch.setattr(resampling, "_CELLS", 18)
    apart = np.concatenate(list(resampling.bootstrap_weights(who, replicates=4000, seed=1)))
    assert np.array_equal(together, apart)
    assert np.array_equal(together[:, 1], together[:, 2])
    assert np.array_equal(together[:, [0, 1, 3, 4]].sum(axis=1), np.full(4000, 4.0))
    # Of 4 draws from 4, the variance of a count is 3/4 and the covariance of two is -1/4.
    found = np.cov(together[:, [0, 1]].T)
    assert found == pytest.approx(np.array([[0.75, -0.25], [-0.25, 0.75]]), abs=0.05)


def test_rows_given_twice_do_not_narrow_an_interval() -> None:
    made = random_cohort(150, 3)
    plain = discrimination.discrimination(made.y, made.score, made.patient, interval="bca", replicates=500)
    twice = discrimination.discrimination(
        doubled(made.y), doubled(made.score), doubled(made.patient), interval="bca", replicates=500
    )
    for name, estimate in plain.items():
        assert estimate.low is not None, name
        again = twice[name]
        assert again.n == 2 * estimate.n
        assert (again.value, again.low, again.high) == pytest.approx(
            (estimate.value, estimate.low, estimate.high), abs=1e-12
        )
    # An interval that counts rows does narrow.
    rows, more = metrics.auc(made.y, made.score), metrics.auc(doubled(made.y), doubled(made.score))
    widths = [given(estimate)[2] - given(estimate)[0] for estimate in (rows, more)]
    assert widths[1] / widths[0] == pytest.approx(0.71, abs=0.02)


def test_coverage_with_two_alike_axillae_per_patient() -> None:
    """Binormal scores, both sides alike: the true AUC is Phi(1 / sqrt 2)."""
    truth, rows, whole = float(scipy.stats.norm.cdf(1 / np.sqrt(2))), 0, 0
    random = np.random.default_rng(7)
    for _ in range(200):
        y = (random.random(80) < 0.4).astype(float)
        score = random.normal(y, 1.0)
        y2, score2, who = doubled(y), doubled(score), doubled(np.arange(80))
        ours = discrimination.auc(y2, score2, who, replicates=400, interval="bca")
        naive = metrics.auc(y2, score2)
        whole += given(ours)[0] <= truth <= given(ours)[2]
        rows += given(naive)[0] <= truth <= given(naive)[2]
    assert whole >= 180
    assert rows <= 176


def test_rare_events_refuse_an_interval_and_say_why() -> None:
    y, score = np.array([1.0, 0, 0, 0, 0]), np.array([0.7, 0.9, 0.2, 0.1, 0.3])
    found = discrimination.auc(y, score, list("abcde"))
    assert found.value == 0.75
    assert found.low is None
    assert "no interval: undefined, for want of positives or negatives" in found.method
    assert found == discrimination.auc(y, score, list("abcde"))
    assert found.n == 5


@pytest.mark.parametrize(
    ("y", "score", "why"),
    [
        ([1, 1, 1, 1], [1, 2, 3, 4], "all 4 axillae are positive"),
        ([0, 1, 0, 1], [2, 2, 2, 2], "the score is constant"),
        ([0, 1, np.nan, np.nan], [1, 2, 3, 4], "fewer than 3 axillae"),
        ([np.nan] * 4, [1, 2, 3, 4], "fewer than 3 axillae"),
    ],
)
def test_what_cannot_be_ranked_is_undefined(y: list[float], score: list[float], why: str) -> None:
    for estimate in discrimination.discrimination(y, score, list("abcd")).values():
        assert estimate.value is None
        assert why in estimate.method


def test_few_patients_and_no_spread_have_no_interval() -> None:
    two = discrimination.auc([0, 1, 0, 1], [1, 2, 3, 4], ["a", "a", "b", "b"])
    assert two.value == 0.75
    assert two.low is None
    assert "2 of at least 3 patients" in two.method
    apart = discrimination.auc([0] * 10 + [1] * 10, np.arange(20), np.arange(20), interval="bca")
    assert (apart.value, apart.low, apart.high) == (1.0, None, None)
    assert "the same value in all of them" in apart.method


def test_unknown_rows_do_not_count_as_patients() -> None:
    made = random_cohort(60, 1)
    more, far = np.concatenate([[np.nan] * 4, made.y]), np.concatenate([[9.0] * 4, made.score])
    who = np.concatenate([["x", "y", "z", "z"], made.patient])
    assert discrimination.auc(more, far, who) == discrimination.auc(made.y, made.score, made.patient)


def test_bca_that_does_not_exist_says_so() -> None:
    # Every replicate above the value: nothing to correct with.
    above = patient_bootstrap(
        lambda weights: ((weights - 1) ** 2).sum(axis=1) + np.where((weights == 1).all(axis=1), 0.0, 1.0),
        patients([f"p{number}" for number in range(40)]),
        "distance",
        interval="bca",
    )
    assert above.value == 0.0
    assert "BCa does not exist" in above.method


def test_seed_repeats() -> None:
    made = random_cohort(80, 2)
    first, again, other = (discrimination.auc(made.y, made.score, made.patient, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_refusals() -> None:
    with pytest.raises(InputError, match="2 rows without a patient"):
        patients(["a", None, float("nan")])  # type: ignore[arg-type]  # what a table with gaps holds
    with pytest.raises(InputError, match="shape"):
        patients([["a", "b"]])
    with pytest.raises(InputError, match="3 patients for 4 rows"):
        discrimination.auc([0, 1, 0, 1], [1, 2, 3, 4], ["a", "b", "c"])
    with pytest.raises(ConfigError, match="99 replicates"):
        discrimination.auc([0, 1, 0, 1], [1, 2, 3, 4], list("abcd"), replicates=99)
    with pytest.raises(ConfigError, match="percentile or bca"):
        discrimination.auc([0, 1, 0, 1], [1, 2, 3, 4], list("abcd"), interval="t")  # type: ignore[arg-type]  # refused
