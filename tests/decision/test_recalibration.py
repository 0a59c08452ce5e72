"""A map behind a map, against statsmodels' logistic regressions."""

from __future__ import annotations

import json

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from usdlr.core.errors import BundleError, LeakError
from usdlr.core.leak import Rows
from usdlr.decision.calibration import (
    InterceptCalibrator,
    IsotonicCalibrator,
    PlattCalibrator,
    RecalibratedCalibrator,
    calibrator_from_dict,
)
from usdlr.decision.calibration_choice import AUTO_CANDIDATES

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def sample(n: int = 400, seed: int = 3) -> tuple[Floats, Floats, Rows]:
    """Log-odds whose truth is 0.5 + 0.6 x, and their outcomes."""
    random = np.random.default_rng(seed)
    x = random.normal(0, 2, n)
    y = (random.uniform(size=n) < expit(0.5 + 0.6 * x)).astype(np.float64)
    return x, y, Rows.of([f"p{k}" for k in range(n)], ["tuning"] * n)


def fitted_before() -> PlattCalibrator:
    x, y, rows = sample(seed=9)
    return PlattCalibrator().fit(2 * x - 1, y, rows=rows)


def test_a_shift_is_that_of_a_regression_with_an_offset() -> None:
    x, y, rows = sample()
    before = fitted_before()
    found = RecalibratedCalibrator(before, InterceptCalibrator()).fit(x, y, rows=rows)
    at = before.transform(x)
    fit = sm.GLM(y, np.ones((len(y), 1)), family=sm.families.Binomial(), offset=at).fit()
    assert found.transform(x) == pytest.approx(at + fit.params[0], abs=1e-7)
    assert found.sampling_variance(x) == pytest.approx(np.full(len(x), fit.cov_params()[0, 0]), rel=1e-5)


def test_a_line_without_a_prior_is_a_plain_logistic_regression() -> None:
    x, y, rows = sample()
    before = fitted_before()
    found = RecalibratedCalibrator(before, PlattCalibrator(prior_strength=0.0)).fit(x, y, rows=rows)
    design = np.column_stack([before.transform(x), np.ones(len(x))])
    fit = sm.Logit(y, design).fit(disp=False)
    assert found.transform(x) == pytest.approx(design @ fit.params, abs=1e-5)
    expected = np.einsum("ij,jk,ik->i", design, fit.cov_params(), design)
    assert found.sampling_variance(x) == pytest.approx(expected, rel=1e-4)


def test_isotonic_recalibration_never_turns_a_ranking() -> None:
    x, y, rows = sample()
    found = RecalibratedCalibrator(fitted_before(), IsotonicCalibrator()).fit(x, y, rows=rows)
    assert (np.diff(found.transform(np.sort(x))) >= 0).all()
    assert found.sampling_variance(x).max() > 0


@pytest.mark.parametrize("after", [InterceptCalibrator(), PlattCalibrator(), IsotonicCalibrator()])
def test_it_comes_back_from_json_and_stands_behind_another(after: InterceptCalibrator) -> None:
    x, y, rows = sample()
    once = RecalibratedCalibrator(fitted_before(), after).fit(x, y, rows=rows)
    twice = RecalibratedCalibrator(once, InterceptCalibrator()).fit(x, 1 - y, rows=rows)
    for one in (once, twice):
        back = calibrator_from_dict(json.loads(json.dumps(one.to_dict())))
        assert back.transform(x) == pytest.approx(one.transform(x), abs=0)
        assert back.sampling_variance(x) == pytest.approx(one.sampling_variance(x), abs=0)
        assert not back.fitted_patients_


def test_one_class_changes_nothing() -> None:
    x, _, rows = sample(20)
    before = fitted_before()
    found = RecalibratedCalibrator(before, InterceptCalibrator()).fit(x, np.ones(20), rows=rows)
    assert found.transform(x) == pytest.approx(before.transform(x))


def test_a_row_of_the_calibration_part_is_a_leak() -> None:
    x, y, rows = sample(30)
    planted = Rows.of(rows.patient_id, ["tuning"] * 29 + ["calibration"])
    with pytest.raises(LeakError, match="1 calibration"):
        RecalibratedCalibrator(fitted_before(), PlattCalibrator()).fit(x, y, rows=planted)


def test_damaged_states_are_refused() -> None:
    x, y, rows = sample(60)
    state = RecalibratedCalibrator(fitted_before(), PlattCalibrator()).fit(x, y, rows=rows).to_dict()
    nested = state
    for _ in range(20):
        nested = {**state, "before": nested}
    for broken in (
        {**state, "covariance": [[1.0, 0.0]]},
        {**state, "covariance": [[-1.0, 0.0], [0.0, 1.0]]},
        {**state, "before": None},
        {**state, "after": {"kind": "unheard of"}},
        {key: value for key, value in state.items() if key != "covariance"},
        nested,
    ):
        with pytest.raises(BundleError):
            calibrator_from_dict(broken)


def test_a_run_does_not_choose_a_mere_shift() -> None:
    assert not {"intercept", "recalibrated"} & set(AUTO_CANDIDATES)
