from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from statsmodels.stats import inter_rater

from tests.evaluation.cohorts import Array, doubled, given
from usdlr.core.errors import ConfigError, InputError
from usdlr.evaluation import ordinal


def burdens(n: int = 200, seed: int = 0, *, ties: bool = False) -> tuple[Array, Array, Array]:
    """True class, score and probabilities of three classes."""
    random = np.random.default_rng(seed)
    latent = random.normal(size=n)
    truth = np.digitize(latent + random.normal(0, 0.8, n), [0.3, 1.3]).astype(float)
    score = np.round(latent, 1) if ties else latent
    tails = [1 / (1 + np.exp(-2 * (score - cut))) for cut in (0.3, 1.3)]
    return truth, score, np.column_stack([1 - tails[0], tails[0] - tails[1], tails[1]])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("only", [3, 2])
def test_concordance_is_somers_d_of_scipy(ties: bool, only: int) -> None:
    truth, score, _ = burdens(ties=ties)
    truth = np.minimum(truth, only - 1)
    found = ordinal.ordinal_concordance(truth, score, np.arange(200))
    assert found["somers_d"].value == pytest.approx(scipy.stats.somersd(truth, score).statistic)
    assert found["c_index"].value == pytest.approx((given(found["somers_d"])[1] + 1) / 2)
    if only == 2:
        assert found["c_index"].value == pytest.approx(sklearn.metrics.roc_auc_score(truth, score))


@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_kappa_is_that_of_statsmodels(weights: str) -> None:
    truth, _, table = burdens()
    predicted = table.argmax(axis=1).astype(float)
    crossed = np.zeros((3, 3))
    np.add.at(crossed, (truth.astype(int), predicted.astype(int)), 1)
    theirs = inter_rater.cohens_kappa(crossed, wt=weights)
    ours = ordinal.ordinal_kappa(truth, predicted, weights=weights)  # type: ignore[arg-type]  # one of the two words
    assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.kappa, theirs.kappa_low, theirs.kappa_upp))


def test_ranked_probability_score_is_the_mean_of_border_brier_scores() -> None:
    truth, _, table = burdens()
    found = ordinal.ranked_probability_score(truth, table, np.arange(200))
    borders = [
        sklearn.metrics.brier_score_loss(truth >= 1, 1 - table[:, 0]),
        sklearn.metrics.brier_score_loss(truth >= 2, table[:, 2]),
    ]
    assert found.value == pytest.approx(np.mean(borders))
    two = np.column_stack([1 - table[:, 2], table[:, 2]])
    again = ordinal.ranked_probability_score((truth == 2).astype(float), two, np.arange(200))
    assert again.value == pytest.approx(borders[1])
    low, value, high = given(found)
    assert low < value < high
    # Certain and right is 0; certain and as wrong as can be is 1; next door is half of that.
    for actual, expected in [(0, 0.0), (1, 0.5), (2, 1.0)]:
        certain = ordinal.ranked_probability_score([actual] * 3, [[1.0, 0.0, 0.0]] * 3, list("abc"))
        assert certain.value == expected


def test_rows_given_twice_change_nothing() -> None:
    truth, score, table = burdens(80)
    who = np.arange(80)
    pairs = [
        (ordinal.ordinal_concordance(truth, score, who)["c_index"],
         ordinal.ordinal_concordance(*map(doubled, (truth, score, who)))["c_index"]),
        (ordinal.ranked_probability_score(truth, table, who),
         ordinal.ranked_probability_score(*map(doubled, (truth, table, who)))),
        (ordinal.ordinal_kappa(truth, table.argmax(axis=1), patient=who),
         ordinal.ordinal_kappa(doubled(truth), doubled(table.argmax(axis=1)), patient=doubled(who))),
    ]  # fmt: skip
    for one, two in pairs:
        assert one.low is not None
        assert (two.value, two.low, two.high) == pytest.approx((one.value, one.low, one.high))


def test_a_lower_bound_below_three_nodes_is_unknown() -> None:
    nodes = [0, 1, 2, 3, 12, np.nan, 2, 5]
    bound = [False] * 6 + [True, True]
    assert np.array_equal(
        ordinal.burden_class(nodes, lower_bound=bound), [0, 1, 1, 2, 2, np.nan, np.nan, 2], equal_nan=True
    )
    for wrong in ([-1], [1.5]):
        with pytest.raises(InputError, match="positive_nodes"):
            ordinal.burden_class(wrong)
    with pytest.raises(InputError, match="1 bounds for 2 rows"):
        ordinal.burden_class([1, 2], lower_bound=[True])


def test_unknown_classes_are_left_out() -> None:
    truth, score, table = burdens(60)
    gap = np.concatenate([truth, [np.nan, np.nan]])
    more, rows, who = np.append(score, [9, -9]), np.vstack([table, [[0, 0, 1.0], [1.0, 0, 0]]]), np.arange(62)
    assert ordinal.ordinal_concordance(gap, more, who) == ordinal.ordinal_concordance(truth, score, who[:60])
    assert ordinal.ranked_probability_score(gap, rows, who) == ordinal.ranked_probability_score(truth, table, who[:60])


def test_degenerate_input() -> None:
    cases: list[tuple[list[float], list[float], str]] = [
        ([1, 1, 1], [1, 2, 3], "one class"),
        ([0, 1, 2], [2, 2, 2], "constant"),
        ([0, np.nan, 2], [1, 2, 3], "fewer than 3"),
    ]
    for truth, score, why in cases:
        for estimate in ordinal.ordinal_concordance(truth, score, list("abc")).values():
            assert estimate.value is None
            assert why in estimate.method
    few = ordinal.ranked_probability_score([np.nan] * 3, [[1.0, 0.0]] * 3, list("abc"))
    assert few.value is None
    skipped = ordinal.ordinal_concordance([0, 0, 2, 2], [1, 2, 2, 3], list("abcd"))
    assert skipped["c_index"].value == pytest.approx(3.5 / 4)


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"sum to 0.9"):
        ordinal.ranked_probability_score([0], [[0.5, 0.4]], ["a"])
    with pytest.raises(InputError, match="2 or more classes"):
        ordinal.ranked_probability_score([0], [[1.0]], ["a"])
    with pytest.raises(InputError, match="a class from 0 to 1"):
        ordinal.ranked_probability_score([2], [[0.5, 0.5]], ["a"])
    with pytest.raises(InputError, match="2 values for 1 rows"):
        ordinal.ranked_probability_score([0], [[0.5, 0.5]] * 2, ["a"])
    with pytest.raises(ConfigError, match="1 classes"):
        ordinal.ordinal_concordance([0], [1.0], ["a"], classes=1)
