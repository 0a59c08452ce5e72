"""Intervals where patients have two axillae: Obuchowski's variance and the clustered sandwich, against other truths."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.special import expit, logit

from usdlr.evaluation import weighted
from usdlr.evaluation.calibration import calibration_intercept, calibration_slope
from usdlr.evaluation.delong import clustered_variance, placements
from usdlr.evaluation.heterogeneity import auc_heterogeneity
from usdlr.evaluation.metrics import auc
from usdlr.evaluation.resampling import bootstrap_weights, patients, replicate
from usdlr.evaluation.subgroups import subgroups

Array = NDArray[np.float64]


def two_sided(pairs: int = 150, alone: int = 120, seed: int = 3) -> tuple[list[str], Array, Array]:
    """Patients with two axillae that share most of their risk, and patients with one: ids, status, probability."""
    random = np.random.default_rng(seed)
    ids = [f"a{i:04d}" for i in range(pairs) for _ in range(2)] + [f"b{i:04d}" for i in range(alone)]
    own = np.repeat(random.normal(-0.4, 1.5, pairs), 2)
    risk = np.concatenate([own + random.normal(0, 0.2, 2 * pairs), random.normal(-0.4, 1.5, alone)])
    shared = np.concatenate([np.repeat(random.normal(0, 0.8, pairs), 2), random.normal(0, 0.8, alone)])
    return ids, (random.random(len(ids)) < expit(risk)).astype(float), expit(risk + shared)


def test_rows_given_twice_change_no_interval() -> None:
    ids, y, p = two_sided(pairs=0, alone=200)
    twice, y2, p2 = [*ids, *ids], np.tile(y, 2), np.tile(p, 2)
    once, again = auc(y, p), auc(y2, p2, patients=twice)
    assert (again.value, again.low, again.high) == pytest.approx((once.value, once.low, once.high), rel=1e-9)
    # The sandwich differs from the model's own variance, but the second copy of a row must add nothing to it.
    three = calibration_slope(np.tile(y, 3), logit(np.tile(p, 3)), patients=[*twice, *ids])
    two = calibration_slope(y2, logit(p2), patients=twice)
    assert (two.value, two.low, two.high) == pytest.approx((three.value, three.low, three.high), rel=1e-6)


def test_with_one_axilla_each_nothing_changes() -> None:
    ids, y, p = two_sided(pairs=0)
    who = patients(ids)
    parts = placements(y, p)
    assert clustered_variance(parts, y, who) == pytest.approx(float(parts.covariance[0, 0]), rel=1e-12)
    assert auc(y, p, patients=ids) == auc(y, p)
    for measure in (calibration_slope, calibration_intercept):
        assert measure(y, logit(p), patients=ids) == measure(y, logit(p))


def test_obuchowskis_variance_is_that_of_drawing_patients() -> None:
    ids, y, p = two_sided()
    who = patients(ids)
    draws = replicate(weighted.auc(y, p), bootstrap_weights(who, replicates=4000, seed=1))
    drawn, alone = float(np.var(draws)), float(placements(y, p).covariance[0, 0])
    found = clustered_variance(placements(y, p), y, who)
    assert found == pytest.approx(drawn, rel=0.08)
    assert found > 1.1 * alone  # both axillae of a patient say less than two patients
    estimate = auc(y, p, patients=ids)
    assert "clustered by patient (Obuchowski 1997): 420 axillae of 270 patients" in estimate.method


def test_the_sandwich_is_that_of_statsmodels() -> None:
    ids, y, p = two_sided()
    codes = pd.factorize(np.array(ids))[0]
    kept = {"groups": codes, "use_correction": False}
    factor = np.sqrt(270 / 269)
    model = sm.GLM(y, sm.add_constant(logit(p)), family=sm.families.Binomial())
    fit = model.fit(cov_type="cluster", cov_kwds=kept)
    slope = calibration_slope(y, logit(p), patients=ids)
    assert slope.value == pytest.approx(fit.params[1], rel=1e-6)
    assert slope.low is not None
    assert slope.high is not None
    assert (slope.high - slope.low) / 2 == pytest.approx(1.959964 * factor * fit.bse[1], rel=1e-5)
    shift = sm.GLM(y, np.ones((len(y), 1)), family=sm.families.Binomial(), offset=logit(p)).fit(
        cov_type="cluster", cov_kwds=kept
    )
    large = calibration_intercept(y, logit(p), patients=ids)
    assert large.low is not None
    assert large.high is not None
    assert (large.high - large.low) / 2 == pytest.approx(1.959964 * factor * shift.bse[0], rel=1e-5)
    assert "clustered by patient: 420 axillae of 270 patients" in large.method


def test_a_ranking_without_error_keeps_a_width_that_counts_patients() -> None:
    y, p = np.tile([0.0, 1.0], 10), np.tile([0.1, 0.9], 10)
    apart = auc(y, p)
    ids = [f"p{i // 4}" for i in range(20)]  # two positives and two negatives each
    together = auc(y, p, patients=ids)
    assert apart.low is not None
    assert together.low is not None
    assert together.low < apart.low
    assert "Newcombe" in together.method


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_or_no_rows_are_told(n: int) -> None:
    y, p, ids = np.array([1.0, 0.0, 1.0])[:n], np.array([0.9, 0.2, 0.4])[:n], ["a", "a", "b"][:n]
    for found in (auc(y, p, patients=ids), calibration_slope(y, logit(p), patients=ids)):
        assert found.n == n
        assert found.value is None or found.low is not None
    shift = calibration_intercept(y, logit(p), patients=ids)
    assert shift.value is None
    assert "undefined" in shift.method


def test_subgroups_and_their_test_count_patients() -> None:
    ids, y, p = two_sided()
    side = ["left" if i % 2 == 0 else "right" for i in range(len(ids))]
    rows = pd.DataFrame({"patient_id": ids, "side": side, "y": y, "probability": p, "called": (p > 0.2).astype(int)})
    rows["centre_id"] = np.where(pd.factorize(np.array(ids))[0] % 2 == 0, "a", "b")
    found = subgroups(rows)
    every = found.table.iloc[0]
    assert (every["auc_low"], every["auc_high"]) == pytest.approx(
        tuple(auc(y, p, patients=ids).as_dict()[k] for k in ("low", "high"))
    )
    assert "clustered by patient" in every["calibration_slope_method"]
    assert "clustered by patient" in found.tests["centre_id"]["auc"].method
    apart = auc_heterogeneity(y, p, rows["centre_id"])
    assert (found.tests["centre_id"]["auc"].statistic or 0) < (apart.statistic or 0)
