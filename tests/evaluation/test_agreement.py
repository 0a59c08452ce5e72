from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from statsmodels.stats import inter_rater

from tests.evaluation.cohorts import Array, doubled, given
from usdlr.core.agreement import Form, intraclass_correlation
from usdlr.core.errors import ConfigError, InputError
from usdlr.evaluation import agreement

# Peak expiratory flow in litres per minute, first reading of each meter: Bland and Altman, Lancet 327 (1986) 307.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def two_raters(n: int = 150, classes: int = 4, seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    first = random.integers(0, classes, n)
    second = np.clip(first + random.integers(-1, 2, n) * (random.random(n) < 0.6), 0, classes - 1)
    return first.astype(float), second.astype(float)


@pytest.mark.parametrize(("weights", "theirs"), [("none", None), ("linear", "linear"), ("quadratic", "quadratic")])
@pytest.mark.parametrize("classes", [2, 4])
def test_kappa_and_its_interval_are_those_of_statsmodels(
    weights: agreement.Weights, theirs: str | None, classes: int
) -> None:
    first, second = two_raters(classes=classes)
    found = agreement.cohen_kappa(first, second, classes=classes, weights=weights)
    table = np.zeros((classes, classes))
    np.add.at(table, (first.astype(int), second.astype(int)), 1)
    truth = inter_rater.cohens_kappa(table, wt=theirs)
    assert found.value == pytest.approx(truth.kappa)
    assert found.value == pytest.approx(sklearn.metrics.cohen_kappa_score(first, second, weights=theirs))
    assert (found.low, found.high) == pytest.approx((truth.kappa_low, truth.kappa_upp))


def test_patient_interval_is_near_the_large_sample_one_and_rows_given_twice_change_nothing() -> None:
    first, second = two_raters(400)
    who = np.arange(400)
    rows = agreement.cohen_kappa(first, second, classes=4, weights="quadratic")
    one = agreement.cohen_kappa(first, second, classes=4, weights="quadratic", patient=who)
    two = agreement.cohen_kappa(*map(doubled, (first, second)), classes=4, weights="quadratic", patient=doubled(who))
    assert (one.low, one.high) == pytest.approx((rows.low, rows.high), abs=0.01)
    assert (two.value, two.low, two.high) == pytest.approx((one.value, one.low, one.high))


def test_fleiss_kappa_is_that_of_statsmodels() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 3, 80)
    classes = np.where(random.random((80, 5)) < 0.6, truth[:, None], random.integers(0, 3, (80, 5))).astype(float)
    counts, _ = inter_rater.aggregate_raters(classes.astype(int), n_cat=3)
    found = agreement.fleiss_kappa(classes, classes=3)
    assert found.value == pytest.approx(inter_rater.fleiss_kappa(counts))
    low, value, high = given(found)
    assert low < value < high
    missing = np.vstack([classes, [[0, 1, np.nan, 2, 1]]])
    assert agreement.fleiss_kappa(missing, classes=3) == found
    who = np.arange(80)
    twice = agreement.fleiss_kappa(doubled(classes), classes=3, patient=doubled(who))
    assert (twice.low, twice.high) == pytest.approx((found.low, found.high))


def test_bland_and_altmans_own_example() -> None:
    """Published: mean -2.1, standard deviation 38.8, interval of the bias -22.0 to 17.8, of a limit 34.6 either way."""
    found = agreement.measurement_agreement(WRIGHT, MINI)
    assert (found.bias.value, found.sd) == pytest.approx((-2.1, 38.8), abs=0.05)
    assert (found.bias.low, found.bias.high) == pytest.approx((-22.0, 17.8), abs=0.15)
    assert found.upper.value == pytest.approx(-2.12 + 1.96 * 38.77, abs=0.05)
    assert found.lower.value == pytest.approx(-2.12 - 1.96 * 38.77, abs=0.05)
    for limit in (found.lower, found.upper):
        # They used the simpler variance 3 s² / n.
        low, _, high = given(limit)
        assert (high - low) / 2 == pytest.approx(34.6, abs=0.4)
    cells = np.stack([WRIGHT, MINI], axis=1)
    assert found.absolute == intraclass_correlation(cells, Form.AGREEMENT)[0]
    assert found.as_dict()["icc_consistency"]["value"] == intraclass_correlation(cells, Form.CONSISTENCY)[0].value


def test_limits_cover_the_true_limits() -> None:
    random, hits, total = np.random.default_rng(2), 0, 0
    for _ in range(400):
        found = agreement.measurement_agreement(random.normal(1.0, 2.0, 40), np.zeros(40))
        for limit, truth in [(found.lower, 1 - 1.96 * 2), (found.upper, 1 + 1.96 * 2)]:
            low, _, high = given(limit)
            hits += low <= truth <= high
            total += 1
    assert 0.925 <= hits / total <= 0.975


def test_limits_of_patients_measured_twice() -> None:
    first, second = np.array(WRIGHT, dtype=float), np.array(MINI, dtype=float)
    who = np.arange(17)
    one = agreement.measurement_agreement(first, second, patient=who)
    assert one.bias.value == pytest.approx(agreement.measurement_agreement(first, second).bias.value)
    two = agreement.measurement_agreement(doubled(first), doubled(second), patient=doubled(who))
    assert (two.bias.low, two.bias.high) == pytest.approx((one.bias.low, one.bias.high))
    rows = agreement.measurement_agreement(doubled(first), doubled(second))
    assert given(two.bias)[2] > given(rows.bias)[2]


def test_a_difference_that_grows_with_size_shows_in_the_slope() -> None:
    sizes = np.linspace(5, 50, 60)
    found = agreement.measurement_agreement(1.1 * sizes, sizes)
    assert found.slope == pytest.approx(0.1 / 1.05)
    gaps = agreement.measurement_agreement(np.append(1.1 * sizes, np.nan), np.append(sizes, 3.0))
    assert gaps.bias == found.bias


def test_degenerate_ratings() -> None:
    assert agreement.cohen_kappa([], [], classes=2).value is None
    assert agreement.cohen_kappa([np.nan, 1], [1, np.nan], classes=2).value is None
    same = agreement.cohen_kappa([1, 1, 1], [1, 1, 1], classes=2)
    assert same.value is None
    assert "one and the same class" in same.method
    perfect = agreement.cohen_kappa([0, 1, 1], [0, 1, 1], classes=2)
    assert (perfect.value, perfect.low) == (1.0, None)
    assert agreement.fleiss_kappa([[1, 1], [1, 1], [1, 1]], classes=2).value is None
    assert agreement.fleiss_kappa([[np.nan, 1]], classes=2).value is None
    few = agreement.measurement_agreement([1.0, 2.0], [1.0, 2.0])
    assert few.bias.value is None
    assert few.sd is None
    alike = agreement.measurement_agreement([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (alike.upper.value, alike.absolute.value) == (0.0, 1.0)


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"first = 2.0 in row 1"):
        agreement.cohen_kappa([0, 2], [0, 1], classes=2)
    with pytest.raises(InputError, match=r"second = 0.5"):
        agreement.cohen_kappa([0, 1], [0, 0.5], classes=2)
    with pytest.raises(InputError, match="2 and 1 ratings"):
        agreement.cohen_kappa([0, 1], [0], classes=2)
    with pytest.raises(InputError, match="3 patients for 2 rows"):
        agreement.cohen_kappa([0, 1], [0, 1], classes=2, patient=list("abc"))
    with pytest.raises(ConfigError, match="1 classes"):
        agreement.cohen_kappa([0, 0], [0, 0], classes=1)
    with pytest.raises(ConfigError, match="cubic"):
        agreement.cohen_kappa([0, 1], [0, 1], classes=2, weights="cubic")  # type: ignore[arg-type]  # refused
    with pytest.raises(InputError, match="at least 2 raters"):
        agreement.fleiss_kappa([[0], [1]], classes=2)
    with pytest.raises(InputError, match="two columns of one length"):
        agreement.measurement_agreement([1.0, 2.0], [1.0])
