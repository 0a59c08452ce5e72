"""Intraclass correlations equal published worked examples, and their intervals cover what they promise."""

from __future__ import annotations

import json
import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from usdlr.core.agreement import Form, intraclass_correlation, repeatability
from usdlr.core.errors import ConfigError

Values = npt.NDArray[np.float64]

# Shrout and Fleiss 1979, Table 2: six targets, four judges.
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
# The wines of pingouin's documentation: eight wines, four judges.
WINES = np.array(
    [[1, 1, 3, 6, 6, 7, 8, 9], [2, 3, 8, 4, 5, 5, 7, 9], [0, 3, 1, 3, 5, 6, 7, 9], [1, 2, 4, 3, 6, 2, 9, 8]]
).T
# The anxiety ratings of R's package irr: twenty subjects, three raters.
ANXIETY = np.array(
    [
        [3, 3, 3, 4, 5, 5, 2, 3, 5, 2, 2, 6, 1, 5, 2, 2, 1, 2, 4, 3],
        [3, 6, 4, 6, 2, 4, 2, 4, 3, 3, 2, 3, 3, 3, 2, 2, 1, 3, 3, 4],
        [2, 1, 4, 4, 3, 2, 1, 6, 1, 1, 1, 2, 3, 3, 1, 1, 3, 3, 2, 2],
    ]
).T


@pytest.mark.parametrize(
    ("values", "form", "expected", "digits"),
    [
        # Shrout and Fleiss 1979, Table 4.
        (JUDGES, Form.AGREEMENT, (0.29, None, None), 2),
        (JUDGES, Form.CONSISTENCY, (0.71, None, None), 2),
        # The same data in R: DescTools 0.290 and 0.715, psych with intervals.
        (JUDGES, Form.AGREEMENT, (0.290, 0.019, None), 3),
        (JUDGES, Form.AGREEMENT, (None, None, 0.76), 2),
        (JUDGES, Form.CONSISTENCY, (0.715, 0.342, None), 3),
        (JUDGES, Form.CONSISTENCY, (None, None, 0.95), 2),
        # pingouin's documentation; it cuts 0.7295 to 0.729.
        (WINES, Form.AGREEMENT, (0.728, None, None), 3),
        (WINES, Form.AGREEMENT, (None, 0.43, 0.93), 2),
        (WINES, Form.CONSISTENCY, (0.73, 0.43, 0.93), 2),
        # irr: ICC(A,1) = 0.198, -0.039 < ICC < 0.494.
        (ANXIETY, Form.AGREEMENT, (0.198, -0.039, 0.494), 3),
    ],
)
def test_published_values(
    values: Values, form: Form, expected: tuple[float | None, float | None, float | None], digits: int
) -> None:
    found = intraclass_correlation(values, form)[0]
    for ours, theirs in zip((found.value, found.low, found.high), expected, strict=True):
        if theirs is not None:
            assert ours is not None
            assert round(ours, digits) == theirs
    assert (found.subjects, found.raters, found.left_out) == (*values.shape, 0)
    assert str(form) in found.method
    assert "95 %" in found.method


def test_mean_squares_are_those_of_an_analysis_of_variance() -> None:
    formula = pytest.importorskip("statsmodels.formula.api")
    anova = pytest.importorskip("statsmodels.stats.anova")
    rng = np.random.default_rng(0)
    values = 40 + 3 * rng.normal(size=(9, 1, 4)) + rng.normal(size=(1, 5, 4)) + 2 * rng.normal(size=(9, 5, 4))
    agreement = intraclass_correlation(values, Form.AGREEMENT)
    consistency = intraclass_correlation(values, Form.CONSISTENCY)
    n, k = values.shape[:2]
    for i in range(4):
        long = pd.DataFrame(
            {"y": values[..., i].ravel(), "subject": np.repeat(np.arange(n), k), "rater": np.tile(np.arange(k), n)}
        )
        table = anova.anova_lm(formula.ols("y ~ C(subject) + C(rater)", data=long).fit())
        rows, columns, error = (table["sum_sq"] / table["df"])[["C(subject)", "C(rater)", "Residual"]]
        assert consistency.value[i] == pytest.approx((rows - error) / (rows + (k - 1) * error), rel=1e-10)
        assert agreement.value[i] == pytest.approx(
            (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n), rel=1e-10
        )


@pytest.mark.parametrize("true_icc", [0.3, 0.75, 0.95])
@pytest.mark.parametrize(("subjects", "raters"), [(10, 3), (40, 6)])
def test_intervals_cover_the_truth_in_95_of_100_samples(true_icc: float, subjects: int, raters: int) -> None:
    """Agreement with raters who do not differ in the mean, and consistency with raters who do."""
    rng = np.random.default_rng(11)
    samples = 4000
    subject = np.sqrt(true_icc) * rng.normal(size=(subjects, 1, samples))
    noise = np.sqrt(1 - true_icc) * rng.normal(size=(subjects, raters, samples))
    shift = np.linspace(-3, 3, raters)[None, :, None]
    # Three standard errors of a share of 95 % in 4000 samples are 1.03 points.
    for form, values in ((Form.CONSISTENCY, subject + noise + shift), (Form.AGREEMENT, subject + noise)):
        found = intraclass_correlation(values, form)
        coverage = np.mean((found.low <= true_icc) & (true_icc <= found.high))
        slack = 0.0103 if form == Form.CONSISTENCY else 0.02  # the degrees of freedom of agreement are approximate
        assert abs(coverage - 0.95) <= slack


def test_agreement_covers_the_truth_when_raters_differ() -> None:
    rng = np.random.default_rng(4)
    subjects, raters, samples = 30, 8, 3000
    subject, rater, noise = 0.8, 0.05, 0.15
    values = (
        np.sqrt(subject) * rng.normal(size=(subjects, 1, samples))
        + np.sqrt(rater) * rng.normal(size=(1, raters, samples))
        + np.sqrt(noise) * rng.normal(size=(subjects, raters, samples))
    )
    found = intraclass_correlation(values, Form.AGREEMENT)
    coverage = np.mean((found.low <= subject) & (subject <= found.high))
    assert 0.93 <= coverage <= 0.98
    assert np.mean(found.value) == pytest.approx(subject, abs=0.02)


def test_a_constant_shift_of_one_rater_lowers_agreement_and_leaves_consistency() -> None:
    shifted = JUDGES + np.array([0.0, 0, 0, 25])
    assert intraclass_correlation(shifted, Form.CONSISTENCY).value[0] == pytest.approx(
        intraclass_correlation(JUDGES, Form.CONSISTENCY).value[0], rel=1e-12
    )
    assert intraclass_correlation(shifted, Form.AGREEMENT).value[0] < 0.05


@pytest.mark.parametrize("form", list(Form))
def test_perfect_agreement_is_one_with_an_interval_of_one(form: Form) -> None:
    values = np.repeat(np.array([[1.0], [2.5], [7.1], [0.3]]), 3, axis=1)
    found = intraclass_correlation(values, form)[0]
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_raters_that_differ_by_a_constant_alone_are_consistent_and_have_a_defined_agreement() -> None:
    values = np.array([[1.0], [2.5], [7.1], [0.3]]) + np.array([0.0, 1.0, 2.0])
    assert intraclass_correlation(values, Form.CONSISTENCY).value[0] == pytest.approx(1.0)
    found = intraclass_correlation(values, Form.AGREEMENT)[0]
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    # A variance between subjects and one of 1 between raters, nothing else.
    subject = np.var(values[:, 0], ddof=1)
    assert found.value == pytest.approx(subject / (subject + 1.0), rel=1e-9)


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e250])
def test_unit_and_offset_of_a_feature_do_not_matter(form: Form, offset: float, scale: float) -> None:
    plain, other = (intraclass_correlation(values, form) for values in (JUDGES, (JUDGES + offset) * scale))
    for name in ("value", "low", "high"):
        np.testing.assert_allclose(getattr(other, name), getattr(plain, name), rtol=1e-7)


@pytest.mark.parametrize("form", list(Form))
def test_only_complete_subjects_count_and_the_others_are_counted(form: Form) -> None:
    values = np.stack([JUDGES, JUDGES, JUDGES], axis=-1)
    values[1, 2, 1] = np.nan
    values[4, 0, 2] = np.inf
    found = intraclass_correlation(values, form)
    assert found.subjects.tolist() == [6, 5, 5]
    assert found.left_out.tolist() == [0, 1, 1]
    for i, gone in ((1, 1), (2, 4)):
        alone = intraclass_correlation(np.delete(JUDGES, gone, axis=0), form)
        assert found.value[i] == pytest.approx(alone.value[0], rel=1e-12)
        assert found.high[i] == pytest.approx(alone.high[0], rel=1e-12)


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.full((5, 3), 4.2), "found the same value in all 5 subjects"),
        (1e6 + 1e-6 * JUDGES, "found the same value in all 6 subjects"),
        (np.zeros((5, 3)), "found the same value in all 5 subjects"),
        (JUDGES[:1], "found 1 subject that every rater measured, expected at least 2"),
        (JUDGES[:0], "found 0 subjects"),
        (JUDGES[:, :1], "found 1 rater, expected at least 2"),
        (JUDGES[:, :0], "found 0 raters"),
        (np.where(np.eye(4, dtype=bool), np.nan, np.arange(4.0)), "found 0 subjects"),
    ],
)
def test_what_cannot_be_estimated_has_a_reason(values: Values, why: str, form: Form) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = intraclass_correlation(values, form)
    assert np.isnan([found.value[0], found.low[0], found.high[0]]).all()
    assert why in found.reason[0]
    one = found[0]
    assert (one.value, one.low, one.high) == (None, None, None)
    assert one.method.startswith("not estimable: found ")
    assert json.loads(json.dumps(one.as_dict()))["value"] is None


def test_raters_who_exchange_two_subjects_have_no_agreement_to_speak_of() -> None:
    swapped = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert "found no variance to compare" in intraclass_correlation(swapped, Form.AGREEMENT).reason[0]
    assert intraclass_correlation(swapped, Form.CONSISTENCY).value[0] == -1.0


@settings(max_examples=150, deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(2, 6), st.integers(2, 4), st.just(2)),
        elements=st.one_of(st.integers(-3, 3).map(float), st.floats(-1e9, 1e9), st.just(float("nan"))),
    )
)
def test_no_silent_nan_and_ends_in_order(values: Values) -> None:
    for form in Form:
        found = intraclass_correlation(values, form)
        for i, reason in enumerate(found.reason):
            ends = (found.low[i], found.value[i], found.high[i])
            if reason:
                assert np.isnan(ends).all()
            else:
                assert np.isfinite(ends).all()
                assert ends[0] <= ends[1] + 1e-12 <= ends[2] + 2e-12 <= 1 + 3e-12


def test_many_features_at_once_are_each_alone() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(7, 3, 700)) + 2 * rng.normal(size=(7, 1, 700))
    values[rng.uniform(size=values.shape) < 0.03] = np.nan
    for form in Form:
        whole = intraclass_correlation(values, form)
        assert len(list(whole)) == len(whole) == 700
        for i in (0, 255, 256, 699):
            alone = intraclass_correlation(values[..., i], form)
            assert whole.subjects[i] == alone.subjects[0]
            for name in ("value", "low", "high"):
                assert getattr(whole, name)[i] == pytest.approx(getattr(alone, name)[0], rel=1e-12)


def test_a_level_that_is_no_share_is_refused() -> None:
    with pytest.raises(ConfigError, match="found a confidence level of 95"):
        intraclass_correlation(JUDGES, Form.AGREEMENT, level=95)


def test_array_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="expected \\(subjects, raters"):
        intraclass_correlation([1.0, 2.0], Form.AGREEMENT)


# Bland and Altman, Lancet 1986, doi:10.1016/S0140-6736(86)90837-8: peak flow, large meter, twice in 17 people.
PEAK_FLOW = np.array(
    [
        [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427],
        [490, 397, 512, 401, 470, 611, 415, 431, 638, 429, 420, 633, 275, 492, 165, 372, 421],
    ],
    dtype=float,
).T


def test_repeatability_of_the_peak_flow_meter_is_the_published_one() -> None:
    """Within-subject standard deviation 15.3 l/min (Bland and Altman, Lancet 1986), coefficient 2.77 times that."""
    found = repeatability(PEAK_FLOW)
    assert round(float(found.within_sd[0]), 1) == 15.3
    assert float(found.coefficient[0]) == pytest.approx(42.4, abs=0.05)
    assert found.subjects.tolist() == [17]


def test_within_subject_variation_is_a_share_of_each_subject() -> None:
    """Two measurements m(1 ± c) have the standard deviation m c √2 around m."""
    mean = np.array([1.0, 10.0, 1000.0])
    values = np.stack([mean * 0.9, mean * 1.1], axis=1)
    assert repeatability(values).within_cv[0] == pytest.approx(0.1 * np.sqrt(2))
    assert repeatability(values * 1e6).within_cv[0] == pytest.approx(0.1 * np.sqrt(2))
    # A share of what may be zero or negative means nothing; the scatter itself does.
    below = repeatability(values - 5)
    assert np.isnan(below.within_cv[0])
    assert np.isfinite(below.within_sd[0])


def test_repeatability_needs_two_subjects_and_two_raters() -> None:
    for values in (PEAK_FLOW[:1], PEAK_FLOW[:, :1], np.where(np.arange(17)[:, None] > 0, np.nan, PEAK_FLOW)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = repeatability(values)
        assert np.isnan([found.within_sd[0], found.coefficient[0], found.within_cv[0]]).all()
