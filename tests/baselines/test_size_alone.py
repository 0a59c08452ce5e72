"""A curve of tumour size: against statsmodels, against the baseline of that name, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from usdlr.baselines.pipelines import baseline_named
from usdlr.baselines.size_alone import SizeCurve, fit_size_curve
from usdlr.core.errors import DataError


def cohort(count: int) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(5)
    size = np.exp(chance.normal(3.0, 0.5, count))
    label = chance.random(count) < 1 / (1 + np.exp(-(-5.0 + 1.4 * np.log1p(size))))
    return size, label.astype(float)


def test_the_curve_is_a_logistic_regression_on_log_size() -> None:
    size, label = cohort(4000)
    found = fit_size_curve(size, label)
    truth = sm.Logit(label, sm.add_constant(np.log1p(size))).fit(disp=0)
    assert found is not None
    # scikit-learn's default penalty shrinks the slope of 4,000 axillae by less than a hundredth.
    assert (found.intercept, found.slope) == pytest.approx(tuple(truth.params), rel=0.01)
    wanted = truth.predict([[1.0, np.log1p(23.0)]])[0]
    assert found.probability(23.0) == pytest.approx(wanted, abs=2e-3)


def test_it_says_what_the_baseline_of_the_report_says() -> None:
    size, label = cohort(120)
    found = fit_size_curve(size, label)
    table = pd.DataFrame({"clinical.tumour_size_mm": size})
    baseline = baseline_named("size").build(0, len(size)).fit(table, label)
    assert found is not None
    wanted = baseline.predict_proba(pd.DataFrame({"clinical.tumour_size_mm": [9.0, 31.0]}))[:, 1]
    assert [found.probability(9.0), found.probability(31.0)] == pytest.approx(list(wanted), abs=1e-9)


def test_unknown_sizes_and_outcomes_do_not_count() -> None:
    size, label = cohort(60)
    more = fit_size_curve([*size, np.nan, 500.0], [*label, 1.0, np.nan])
    assert more == fit_size_curve(size, label)
    assert more is not None
    assert (more.axillae, more.high_mm) == (60, size.max())


def test_too_few_give_no_curve_and_damage_is_told() -> None:
    assert fit_size_curve([10.0] * 8, [1, 1, 1, 1, 0, 0, 0, 0]) is None
    with pytest.raises(DataError, match="one of each per axilla"):
        fit_size_curve([10.0], [1, 0])
    with pytest.raises(DataError, match="damaged curve"):
        SizeCurve.from_dict({"intercept": 1.0})
    with pytest.raises(DataError, match="finite numbers"):
        SizeCurve(float("nan"), 1.0, 10, 5, 1.0, 2.0)
