"""ComBat's numbers are those of neuroCombat; where that program has no answer, those of the formula in print."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import invgamma, norm

from tests.radiomics.combat_data import Centres, centres, deviation, from_training, neurocombat
from usdlr.core.errors import DataError
from usdlr.radiomics.harmonise import combat
from usdlr.radiomics.harmonise.combat import (
    Moments,
    Prior,
    dependent_covariate,
    shrink_nonparametric,
    shrink_parametric,
)
from usdlr.radiomics.harmonise.transformer import ComBat

COVARIATES: dict[str, Any] = {"continuous": ("age_years",), "categorical": ("cn_stage",)}
OPTIONS = list(itertools.product([True, False], [True, False], [True, False], [None, "B"], [True, False]))


def ours(data: Centres, *, covariates: bool = False, **options: Any) -> ComBat:
    kept = COVARIATES if covariates else {}
    return ComBat(**options, **kept).fit(data.X, rows=data.rows, centre=data.centre, covariates=data.covariates)


def transformed(model: ComBat, data: Centres) -> Any:
    return model.transform(data.X, centre=data.centre, covariates=data.covariates)


@pytest.mark.parametrize(("parametric", "eb", "mean_only", "reference", "covariates"), OPTIONS)
def test_training_rows_equal_neurocombat(
    parametric: bool, eb: bool, mean_only: bool, reference: str | None, covariates: bool
) -> None:
    data = centres()
    model = ours(data, covariates=covariates, parametric=parametric, eb=eb, mean_only=mean_only, reference=reference)
    answer = neurocombat(
        data, covariates=covariates, parametric=parametric, eb=eb, mean_only=mean_only, ref_batch=reference
    )
    assert np.isfinite(answer["data"]).all()
    assert deviation(transformed(model, data), answer["data"].T, data.X) < 1e-11
    np.testing.assert_allclose(model.shift_, answer["estimates"]["gamma.star"], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(model.spread_, answer["estimates"]["delta.star"], rtol=1e-9)
    np.testing.assert_allclose(model.scale_.variance, answer["estimates"]["var.pooled"][:, 0], rtol=1e-10)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [(2, 40), (3, 2, 60), (12, 12, 12)])
def test_small_and_equal_centres_equal_neurocombat(sizes: tuple[int, ...], seed: int) -> None:
    data = centres(sizes, features=60, seed=seed)
    answer = neurocombat(data)
    assert deviation(transformed(ours(data), data), answer["data"].T, data.X) < 1e-11


@pytest.mark.parametrize(("parametric", "eb", "mean_only"), list(itertools.product([True, False], repeat=3)))
@pytest.mark.parametrize("reference", [None, "B"])
def test_new_rows_of_a_known_centre_equal_neurocombat_from_training(
    parametric: bool, eb: bool, mean_only: bool, reference: str | None
) -> None:
    data, new = centres(), centres((5, 1, 9), seed=8)
    model = ours(data, parametric=parametric, eb=eb, mean_only=mean_only, reference=reference)
    answer = neurocombat(data, parametric=parametric, eb=eb, mean_only=mean_only, ref_batch=reference)
    expected = from_training(new.X, new.centre, answer)
    np.testing.assert_allclose(transformed(model, new), expected, rtol=1e-9)


def test_new_rows_at_the_mean_of_the_covariates_equal_neurocombat_from_training() -> None:
    """For new rows, neuroCombat puts the mean effect of the training covariates; ours reads each row's own."""
    data, new = centres(), centres((5, 2, 9), seed=8)
    model = ComBat(continuous=("age_years",)).fit(
        data.X, rows=data.rows, centre=data.centre, covariates=data.covariates
    )
    answer = neurocombat(data, covariates=True, categorical=False)
    average = new.covariates.assign(age_years=float(data.covariates["age_years"].mean()))
    expected = from_training(new.X, new.centre, answer)
    found = model.transform(new.X, centre=new.centre, covariates=average)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    other = model.transform(new.X, centre=new.centre, covariates=average.assign(age_years=90.0))
    assert not np.allclose(other, expected, rtol=1e-3)


def test_likelihoods_too_small_for_a_float_still_have_an_answer() -> None:
    """neuroCombat answers not-a-number here: its likelihood of 900 rows underflows."""
    data = centres((900, 900), features=8)
    with np.errstate(all="ignore"):
        assert not np.isfinite(neurocombat(data, parametric=False)["data"]).all()
    model = ours(data, parametric=False)
    assert np.isfinite(transformed(model, data)).all()
    standard = model.scale_.standardised(data.X, np.zeros((1800, 0)))[:900]
    shifts, spreads = standard.mean(axis=0), standard.var(axis=0, ddof=1)
    for f in range(8):
        others = [k for k in range(8) if k != f]
        likelihood = [np.sum(norm.logpdf(standard[:, f], shifts[k], np.sqrt(spreads[k]))) for k in others]
        assert model.shift_[0, f] == pytest.approx(softmax(likelihood) @ shifts[others], rel=1e-9)


def test_nonparametric_posterior_is_the_weighted_mean_of_the_other_features() -> None:
    rng = np.random.default_rng(1)
    S = rng.normal(0.3, 1.2, (9, 5))
    moments = Moments.of(S, np.ones_like(S, dtype=bool))
    shifts, spreads = moments.mean, moments.variance
    shift, spread = shrink_nonparametric(moments, shifts, spreads, leave_out=True)
    for f in range(5):
        others = [k for k in range(5) if k != f]
        weight = np.array([norm.pdf(S[:, f], shifts[k], np.sqrt(spreads[k])).prod() for k in others])
        # The published program divides by (2 pi d)^(n/2), as the density does.
        assert shift[f] == pytest.approx((weight * shifts[others]).sum() / weight.sum(), rel=1e-10)
        assert spread[f] == pytest.approx((weight * spreads[others]).sum() / weight.sum(), rel=1e-10)


def test_the_blocks_of_the_likelihood_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    data = centres(features=25)
    whole = transformed(ours(data, parametric=False), data)
    monkeypatch.setattr(combat, "BLOCK", 60)
    assert deviation(transformed(ours(data, parametric=False), data), whole, data.X) < 1e-12


def test_parametric_estimate_settles_at_the_mode_of_the_posterior() -> None:
    """Under a tight tolerance no nearby shift or spread is likelier, by SciPy's densities."""
    rng = np.random.default_rng(2)
    S = rng.normal(0.5, 1.3, (15, 40)) + rng.normal(0, 0.4, 40)
    moments = Moments.of(S, np.ones_like(S, dtype=bool))
    prior = Prior.of(moments.mean, moments.variance)
    shift, spread = shrink_parametric(moments, prior, mean_only=False, tolerance=1e-13)
    a = (2 * prior.spread_variance + prior.spread_mean**2) / prior.spread_variance
    b = prior.spread_mean * (a - 1)
    assert invgamma(a, scale=b).var() == pytest.approx(prior.spread_variance)

    def shift_density(g: Any) -> Any:
        likelihood = np.sum(norm.logpdf(S, g, np.sqrt(spread)), axis=0)
        return likelihood + norm.logpdf(g, prior.shift_mean, np.sqrt(prior.shift_variance))

    for step in (-1e-4, 1e-4):
        assert (shift_density(shift) > shift_density(shift + step)).all()
    # The spread is the mean of its inverse-gamma posterior, given the shift.
    posterior = invgamma(a + 15 / 2, scale=b + ((S - shift) ** 2).sum(axis=0) / 2)
    np.testing.assert_allclose(spread, posterior.mean(), rtol=1e-9)


def test_a_tighter_tolerance_changes_little() -> None:
    data = centres()
    loose, tight = (transformed(ours(data, tolerance=tolerance), data) for tolerance in (1e-4, 1e-12))
    assert 0 < deviation(loose, tight, data.X) < 1e-3


def test_centres_that_do_not_differ_are_left_alone_but_for_the_degree_of_freedom() -> None:
    """All shifts 0, all spreads N/(N - 2): priors without variance, which divide by zero elsewhere."""
    half = centres((20,), names=("A",))
    data = Centres(np.vstack([half.X, half.X]), ["A"] * 20 + ["B"] * 20, pd.concat([half.covariates] * 2))
    mean = half.X.mean(axis=0)
    expected = mean + (data.X - mean) * np.sqrt(38 / 40)
    for options in ({}, {"parametric": False}, {"eb": False}):
        assert deviation(transformed(ours(data, **options), data), expected, data.X) < 1e-9, options
    assert deviation(transformed(ours(data, mean_only=True), data), data.X, data.X) < 1e-12


def test_what_does_not_settle_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combat, "PATIENCE", 1)
    with pytest.raises(DataError, match="found no stable shift and spread after 1 iterations"):
        ours(centres())


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([[1, 2, 3, 1, 2, 5]], None),
        ([[7, 7, 7, 7, 7, 7]], (0, "constant")),
        ([[0, 0, 0, 1, 1, 1]], (0, "centre")),
        ([[1, 2, 3, 1, 2, 5], [5, 5, 5, 8, 8, 8]], (1, "centre")),
        ([[1, 2, 3, 1, 2, 5], [3, 5, 7, 1, 3, 9]], (1, "covariates")),  # 2 x first, plus a constant per centre
        ([[1, 2, 3, 1, 2, 5], [1, 0, 3, 0, 4, 1]], None),
    ],
)
def test_covariates_without_an_effect_of_their_own(columns: Any, expected: tuple[int, str] | None) -> None:
    matrix = np.array(columns, dtype=np.float64).T
    batch = np.array([0, 0, 0, 1, 1, 1])
    assert dependent_covariate(matrix, batch) == expected
    full = np.column_stack([batch == 0, batch == 1, matrix])
    assert (np.linalg.matrix_rank(full) == full.shape[1]) == (expected is None)
