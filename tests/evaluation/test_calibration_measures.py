"""Brier score in parts, log loss, calibration errors and their draws against other libraries and exact sums."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint
from torchmetrics.functional.classification import binary_calibration_error

from usdlr.core.errors import InputError
from usdlr.evaluation.calibration import brier, observed_expected
from usdlr.evaluation.calibration_error import calibration_error, squared_calibration_error
from usdlr.evaluation.proper_scores import brier_parts, log_loss, scaled_brier

Array = NDArray[np.float64]


def sample(n: int = 300, seed: int = 0, digits: int = 6) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    p = draw.beta(1.5, 2.5, n).round(digits)
    return (draw.random(n) < p**1.3).astype(float), p


# Log loss and scaled Brier score


def test_log_loss_is_scikit_learns_and_never_infinite() -> None:
    y, p = sample()
    found = log_loss(y, logit(p))
    assert found.value == pytest.approx(sklearn.metrics.log_loss(y, p))
    each = -np.log(np.where(y == 1, p, 1 - p))
    half = 1.96 * each.std() / np.sqrt(len(y))  # the mean's own standard error
    assert (found.low, found.high) == pytest.approx((each.mean() - half, each.mean() + half), abs=half / 5)
    # Far out, a probability is 1 in floating point; its log-odds are not.
    assert log_loss([0, 1, 1], [50.0, 800.0, 50.0]).value == pytest.approx(50 / 3)


def test_scaled_brier_is_scikit_learns_skill_over_the_prevalence() -> None:
    y, p = sample()
    truth = 1 - sklearn.metrics.brier_score_loss(y, p) / sklearn.metrics.brier_score_loss(y, np.full_like(p, y.mean()))
    assert scaled_brier(y, p).value == pytest.approx(truth)
    assert scaled_brier(y, y).value == 1.0
    assert scaled_brier([1, 0, 1], [0.0, 1.0, 0.0]).value == pytest.approx(-3.5)  # worse than the prevalence


@pytest.mark.parametrize("measure", [brier, scaled_brier, lambda y, p, **more: log_loss(y, logit(p), **more)])
def test_a_patients_axillae_are_drawn_together(measure: Callable[..., Any]) -> None:
    y, p = sample(150)
    names = [f"p{i}" for i in range(150)]
    once = measure(y, p, patients=names)
    twice = measure(np.tile(y, 2), np.tile(p, 2), patients=names * 2)
    apart = measure(np.tile(y, 2), np.tile(p, 2))
    assert (twice.value, twice.n) == (pytest.approx(once.value), 300)
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))
    assert (apart.high - apart.low) == pytest.approx((once.high - once.low) / np.sqrt(2), rel=0.1)
    assert once.method.endswith("150 patients")
    assert apart.method.endswith("300 axillae")
    with pytest.raises(InputError, match="found 3 patients for 150 rows"):
        measure(y, p, patients=names[:3])


@pytest.mark.parametrize("y", [[], [1, 0], [np.nan] * 4, [1, 1, 1]])
def test_too_few_axillae_have_no_scores(y: list[float]) -> None:
    p = np.full(len(y), 0.5)
    assert scaled_brier(y, p).value is None
    if len(y) != 3:
        assert log_loss(y, p).value is None
        assert observed_expected(y, p).value is None
        assert calibration_error(y, p).value is None
        assert squared_calibration_error(y, p).value is None


def test_unknown_rows_are_left_out_with_their_patients() -> None:
    y, p = sample(60)
    names = np.array([f"p{i:02d}" for i in range(60)])
    more_y, more_p, more_names = np.append(y, np.nan), np.append(p, 0.5), np.append(names, "unknown")
    for measure in (brier, scaled_brier):
        assert measure(more_y, more_p, patients=more_names) == measure(y, p, patients=names)
    assert calibration_error(more_y, more_p) == calibration_error(y, p)
    assert brier_parts(more_y, more_p) == brier_parts(y, p)


def test_observed_over_expected_has_the_wilson_interval_of_statsmodels() -> None:
    y, p = sample()
    found = observed_expected(y, p)
    low, high = proportion_confint(int(y.sum()), len(y), method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((y.mean() / p.mean(), low / p.mean(), high / p.mean()))
    assert observed_expected([0, 1, 0], [0.0, 0.0, 0.0]).method == "undefined: every predicted risk is 0"


# The Brier score in parts


@pytest.mark.parametrize("bins", [None, 1, 4, 10])
@pytest.mark.parametrize("digits", [1, 6])
def test_the_parts_of_the_brier_score_add_up(bins: int | None, digits: int) -> None:
    y, p = sample(digits=digits)
    parts = brier_parts(y, p, bins=bins)
    assert parts is not None
    assert parts.brier == pytest.approx(sklearn.metrics.brier_score_loss(y, p))
    assert parts.brier == pytest.approx(parts.reliability - parts.resolution + parts.uncertainty + parts.within)
    assert parts.uncertainty == pytest.approx(y.var())
    if bins is None:
        assert parts.within == 0.0
        # Per distinct probability, scikit-learn's score of the group's own share is what a group leaves open.
        shares = np.array([y[p == value].mean() for value in p])
        assert parts.uncertainty - parts.resolution == pytest.approx(sklearn.metrics.brier_score_loss(y, shares))
    if parts.reliability_corrected is not None:
        assert parts.resolution_corrected is not None
        corrected = parts.reliability_corrected - parts.resolution_corrected + y.var(ddof=1) + parts.within
        assert corrected == pytest.approx(parts.brier)


def test_murphys_parts_of_a_table_worked_by_hand() -> None:
    """Four axillae of risk 0.25, one positive; two of risk 0.75, one positive."""
    parts = brier_parts([0, 0, 0, 1, 0, 1], [0.25] * 4 + [0.75] * 2)
    assert parts is not None
    reliability = (4 * 0.0**2 + 2 * 0.25**2) / 6
    resolution = (4 * (1 / 4 - 1 / 3) ** 2 + 2 * (1 / 2 - 1 / 3) ** 2) / 6
    assert (parts.reliability, parts.resolution, parts.uncertainty) == pytest.approx((reliability, resolution, 2 / 9))
    assert parts.groups == 2


def test_corrections_are_unbiased_over_every_possible_outcome() -> None:
    """The expectation over all 2^9 outcomes is the error of the true risks."""
    p = np.repeat([0.2, 0.5, 0.9], 3)
    risk = np.repeat([0.35, 0.5, 0.7], 3)
    true = float(((p - risk) ** 2).mean())
    plain = corrected = squared = 0.0
    for outcome in product([0.0, 1.0], repeat=9):
        y = np.array(outcome)
        chance = float(np.prod(np.where(y == 1, risk, 1 - risk)))
        parts = brier_parts(y, p)
        assert parts is not None
        assert parts.reliability_corrected is not None
        plain += chance * parts.reliability
        corrected += chance * parts.reliability_corrected
        value = squared_calibration_error(y, p, bins=10, groups="width").value
        assert value is not None
        squared += chance * value
    assert corrected == pytest.approx(true)
    assert squared == pytest.approx(true)
    assert plain > true + 0.05


def test_a_group_of_one_axilla_has_no_correction() -> None:
    parts = brier_parts([0, 1, 1], [0.1, 0.9, 0.9])
    assert parts is not None
    assert parts.reliability_corrected is None
    assert brier_parts([np.nan], [0.5]) is None
    assert "single axilla" in squared_calibration_error([0, 1, 1], [0.1, 0.9, 0.9], groups="width").method


# Calibration errors


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
@pytest.mark.parametrize("bins", [5, 10, 15])
def test_errors_over_equal_widths_are_torchmetrics(norm: str, bins: int) -> None:
    y, p = sample(500, 3)
    truth = binary_calibration_error(torch.tensor(p), torch.tensor(y).int(), n_bins=bins, norm=norm)  # type: ignore[arg-type]  # a plain str
    found = calibration_error(y, p, bins=bins, groups="width", norm=norm)  # type: ignore[arg-type]  # likewise
    assert found.value == pytest.approx(float(truth), abs=1e-6)
    assert (found.low, found.high, found.n) == (None, None, 500)


def test_groups_of_equal_size_are_scikit_learns_quantiles() -> None:
    y, p = sample(400, 4)
    observed, predicted = sklearn.calibration.calibration_curve(y, p, n_bins=8, strategy="quantile")
    found = calibration_error(y, p, bins=8)
    assert found.value == pytest.approx(np.abs(observed - predicted).mean(), abs=1e-9)  # 50 axillae each


def test_the_debiased_error_of_a_perfect_model_is_none_on_average_and_the_plain_one_is_not() -> None:
    draw = np.random.default_rng(6)
    plain, debiased = [], []
    for _ in range(400):
        p = draw.uniform(0.1, 0.9, 100)
        y = (draw.random(100) < p).astype(float)
        plain.append(squared_calibration_error(y, p, debiased=False).value)
        debiased.append(squared_calibration_error(y, p).value)
    assert abs(np.mean(debiased)) < 3 * np.std(debiased) / 20  # type: ignore[arg-type]  # none is None
    assert np.mean(plain) > 0.01  # type: ignore[arg-type]  # likewise


def test_a_planted_shift_is_every_error() -> None:
    draw = np.random.default_rng(7)
    risk = draw.choice(np.array([0.15, 0.35, 0.55]), 200_000)
    y = (draw.random(len(risk)) < risk).astype(float)
    for groups, norm, debiased in product(("mass", "width"), ("l1", "l2", "max"), (False, True)):
        if debiased and norm != "l2":
            continue
        found = calibration_error(y, risk + 0.2, groups=groups, norm=norm, debiased=debiased)  # type: ignore[arg-type]  # plain str
        assert found.value == pytest.approx(0.2, abs=0.01)


def test_the_root_of_a_negative_debiased_error_is_zero() -> None:
    y, p = [0, 1] * 20, np.full(40, 0.5)
    squared = squared_calibration_error(y, p)
    assert squared.value is not None
    assert squared.value < 0
    found = calibration_error(y, p, norm="l2", debiased=True)
    assert found.value == 0.0
    assert found.method.startswith("root of the debiased squared calibration error over 1 groups of equal size")


def test_unknown_options_are_refused() -> None:
    with pytest.raises(InputError, match="debiased needs l2"):
        calibration_error([0, 1, 1], [0.1, 0.2, 0.3], debiased=True)
    with pytest.raises(InputError, match="norm = 'l3'"):
        calibration_error([0, 1, 1], [0.1, 0.2, 0.3], norm="l3")  # type: ignore[arg-type]  # what is refused
    with pytest.raises(InputError, match="groups = 'size'"):
        calibration_error([0, 1, 1], [0.1, 0.2, 0.3], groups="size")  # type: ignore[arg-type]  # likewise
    with pytest.raises(InputError, match="expected a probability"):
        calibration_error([0, 1, 1], expit([0.1, 0.2, 0.3]) + 1)
