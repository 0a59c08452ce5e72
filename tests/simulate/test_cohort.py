from __future__ import annotations

from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from usdlr.core.errors import ConfigError
from usdlr.core.tables import CASES
from usdlr.simulate.centres import CENTRES, find_centres
from usdlr.simulate.cohort import Coefficients, draw_cohort

EACH = 100_000
# The documented scale of each latent, written out again: middle, spread, whether the logarithm counts.
SCALES = {
    "size_mm": (18.0, 0.42, True),
    "rim_kpa": (38.0, 0.60, True),
    "stiffness_kpa": (110.0, 0.38, True),
    "halo_db": (6.0, 2.8, False),
    "heterogeneity_db": (3.0, 0.42, True),
}
LOADINGS = {"size_mm": 0.45, "rim_kpa": 0.40, "stiffness_kpa": 0.45, "halo_db": 0.35, "heterogeneity_db": 0.35}
SLN = {
    "size_mm": "size",
    "rim_kpa": "rim",
    "stiffness_kpa": "stiffness",
    "halo_db": "halo",
    "heterogeneity_db": "heterogeneity",
}
NSLN = {"rim_kpa": "rim", "size_mm": "size", "halo_db": "halo"}


@pytest.fixture(scope="module")
def cohort() -> pd.DataFrame:
    return pd.concat([draw_cohort(centre, EACH, 20) for centre in CENTRES.values()], ignore_index=True)


def scores(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: (np.log(table[name] / middle) if log else table[name] - middle) / spread
            for name, (middle, spread, log) in SCALES.items()
        }
    )


def slopes(stage: str, terms: dict[str, str]) -> npt.NDArray[np.float64]:
    stated = asdict(Coefficients())
    return np.array([stated[f"{stage}_{word}"] for word in terms.values()])


def covariance(terms: dict[str, str], other: dict[str, str]) -> npt.NDArray[np.float64]:
    return np.array([[1.0 if a == b else LOADINGS[a] * LOADINGS[b] for b in other] for a in terms])


def test_logit_recovers_the_sentinel_coefficients(cohort: pd.DataFrame) -> None:
    known = cohort["sln_positive"].notna()
    design = scores(cohort)[list(SLN)].assign(intercept=1.0, south=(cohort["centre_id"] == "south") - 0.5)[known]
    fit = sm.Logit(cohort["sln_positive"][known].astype(float), design).fit(disp=0)
    stated = np.array([*slopes("sln", SLN), Coefficients().sln_intercept, 0.4])
    assert np.abs((fit.params.to_numpy() - stated) / fit.bse.to_numpy()).max() < 3


def test_logit_recovers_the_non_sentinel_coefficients(cohort: pd.DataFrame) -> None:
    positive = cohort["sln_true"].to_numpy()
    design = scores(cohort)[list(NSLN)].assign(intercept=1.0)[positive]
    fit = sm.Logit(cohort["nsln_true"][positive].astype(float), design).fit(disp=0)
    stated = np.array([*slopes("nsln", NSLN), Coefficients().nsln_intercept])
    assert np.abs((fit.params.to_numpy() - stated) / fit.bse.to_numpy()).max() < 3


def test_clinical_variables_add_nothing_to_the_true_probability(cohort: pd.DataFrame) -> None:
    p = cohort["p_sln"].clip(1e-6, 1 - 1e-6)
    design = pd.DataFrame(
        {
            "logit": np.log(p / (1 - p)),
            "intercept": 1.0,
            "cn1": (cohort["cn_stage"] == "cN1").astype(float),
            "birads5": (cohort["birads"] == "5").astype(float),
            "grade": cohort["grade_core_biopsy"].astype(float),
            "spiculation": cohort["spiculation"],
            "age": cohort["age_years"] / 10,
            "aggressiveness": cohort["aggressiveness"],
        }
    )
    fit = sm.Logit(cohort["sln_true"].astype(float), design).fit(disp=0)
    expected = np.array([1.0] + [0.0] * (design.shape[1] - 1))
    assert np.abs((fit.params.to_numpy() - expected) / fit.bse.to_numpy()).max() < 3.3
    # ... although they are far from useless by themselves.
    assert roc_auc_score(cohort["sln_true"], design["grade"]) > 0.6


def test_oracle_auc_is_the_integral_over_the_linear_predictors(cohort: pd.DataFrame) -> None:
    """Both linear predictors are jointly Gaussian: integrate on a grid what the cohort estimates."""
    a_slopes, b_slopes, stated = slopes("sln", SLN), slopes("nsln", NSLN), Coefficients()
    a_sd = float(np.sqrt(a_slopes @ covariance(SLN, SLN) @ a_slopes))
    b_sd = float(np.sqrt(b_slopes @ covariance(NSLN, NSLN) @ b_slopes))
    correlation = float(a_slopes @ covariance(SLN, NSLN) @ b_slopes) / (a_sd * b_sd)
    unit = np.linspace(-6, 6, 601)
    first, second = np.meshgrid(unit, unit, indexing="ij")
    own = (second - correlation * first) / np.sqrt(1 - correlation**2)
    density = norm.pdf(first) * norm.pdf(own)
    p_a = np.mean([expit(stated.sln_intercept + c.prevalence_shift + a_sd * unit) for c in CENTRES.values()], axis=0)
    p_b = expit(stated.nsln_intercept + b_sd * unit)

    def auc(probability: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> float:
        positive, negative = weight * probability, weight * (1 - probability)
        below = np.cumsum(negative) - negative / 2
        return float((positive * below).sum() / positive.sum() / negative.sum())

    at_north = expit(stated.sln_intercept + CENTRES["north"].prevalence_shift + a_sd * unit)
    north = cohort["centre_id"] == "north"
    assert roc_auc_score(cohort["sln_true"][north], cohort["p_sln"][north]) == pytest.approx(
        auc(at_north, norm.pdf(unit)), abs=0.005
    )
    among_positive = (density * p_a[:, None]).sum(axis=0)
    positive = cohort["sln_true"].to_numpy()
    measured = roc_auc_score(cohort["nsln_true"][positive], cohort["p_nsln"][positive])
    assert measured == pytest.approx(auc(p_b, among_positive), abs=0.005)
    prevalence = float((among_positive * p_b).sum() / among_positive.sum())
    assert cohort["nsln_true"][positive].mean() == pytest.approx(prevalence, abs=0.01)


def test_cohort_has_the_promised_rates(cohort: pd.DataFrame) -> None:
    positive = cohort["sln_true"].to_numpy()
    assert positive.mean() == pytest.approx(0.45, abs=0.01)
    assert cohort["nsln_true"][positive].mean() == pytest.approx(0.40, abs=0.01)
    assert roc_auc_score(positive, cohort["p_sln"]) == pytest.approx(0.88, abs=0.01)
    assert roc_auc_score(cohort["nsln_true"][positive], cohort["p_nsln"][positive]) == pytest.approx(0.85, abs=0.01)
    assert cohort["size_mm"].median() == pytest.approx(18, abs=0.2)
    assert cohort["size_mm"].between(5, 45).all()
    assert cohort["neoadjuvant"].mean() == pytest.approx(0.02, abs=0.002)


@pytest.mark.parametrize("name", list(CENTRES))
def test_elastography_is_missing_at_the_centres_rate(cohort: pd.DataFrame, name: str) -> None:
    missing = int((~cohort["has_elasto"][cohort["centre_id"] == name]).sum())
    assert binomtest(missing, EACH, CENTRES[name].elasto_missing_rate).pvalue > 0.001


def test_true_probabilities_are_calibrated_in_every_tenth(cohort: pd.DataFrame) -> None:
    tenth = pd.qcut(cohort["p_sln"], 10, labels=False)
    table = cohort.groupby(tenth).agg(p=("p_sln", "mean"), y=("sln_true", "mean"))
    assert (table["p"] - table["y"]).abs().max() < 0.012


def test_endpoints_follow_the_nullness_rules(cohort: pd.DataFrame) -> None:
    treated = cohort["neoadjuvant"]
    endpoints = [column.name for column in CASES.columns if column.endpoint and column.name in cohort]
    assert len(endpoints) == 9
    assert cohort.loc[treated, endpoints].isna().all().all()
    rest = cohort[~treated]
    positive, dissected = rest["sln_positive"].astype(bool), rest["axillary_surgery"] == "alnd"
    assert (rest["nsln_positive"].isna() == (positive & ~dissected)).all()
    assert not rest.loc[~positive, "nsln_positive"].astype(bool).any()
    assert rest[[name for name in endpoints if name != "nsln_positive"]].notna().all().all()
    assert set(rest.loc[~positive, "sln_deposit"]) == {"none", "itc"}
    assert set(rest.loc[positive, "sln_deposit"]) == {"micro", "macro"}


def test_node_counts_are_consistent(cohort: pd.DataFrame) -> None:
    rest = cohort[~cohort["neoadjuvant"]]
    positive, dissected = rest["sln_positive"].astype(bool), rest["axillary_surgery"] == "alnd"
    assert ((rest["sln_positive_count"] > 0) == positive).all()
    assert (rest["sln_positive_count"] <= rest["sln_removed_count"]).all()
    assert (rest["positive_nodes"] <= rest["removed_nodes"]).all()
    involved = rest["nsln_positive"].fillna(False).astype(bool)
    assert ((rest["positive_nodes"] > rest["sln_positive_count"]) == involved).all()
    assert (rest.loc[~dissected, "removed_nodes"] == rest.loc[~dissected, "sln_removed_count"]).all()
    assert (dissected[rest["sln_reference"] == "alnd"]).all()
    assert rest["sln_positive"].eq(rest["sln_true"]).all()


def test_non_sentinel_status_is_missing_not_at_random(cohort: pd.DataFrame) -> None:
    positive = cohort[cohort["sln_true"] & ~cohort["neoadjuvant"]]
    dissected = positive["axillary_surgery"] == "alnd"
    assert dissected.mean() == pytest.approx(0.85, abs=0.01)
    assert positive["nsln_true"][dissected].mean() - positive["nsln_true"][~dissected].mean() > 0.05
    by_count = dissected.groupby(positive["sln_positive_count"].clip(upper=3)).mean()
    assert by_count.is_monotonic_increasing
    # Among patients of equal risk and equal sentinel count, dissection says nothing about the other nodes.
    logit = np.log(positive["p_nsln"] / (1 - positive["p_nsln"]))
    count = positive["sln_positive_count"].astype(float)
    removed = positive["sln_removed_count"].astype(float)
    micro = (positive["sln_deposit"] == "micro").astype(float)
    slnb = positive["sln_reference"] == "slnb"
    design = sm.add_constant(
        pd.DataFrame(
            {
                "logit": logit,
                "count": count,
                "removed": removed,
                "micro": micro,
                "dissected": dissected.astype(float),
            }
        )[slnb]
    )
    fit = sm.Logit(positive["nsln_true"][slnb].astype(float), design).fit(disp=0)
    assert abs(fit.tvalues["dissected"]) < 3


def test_a_larger_cohort_begins_with_the_smaller_one() -> None:
    small, large = (draw_cohort(CENTRES["south"], n, 4) for n in (50, 200))
    pd.testing.assert_frame_equal(small, large.head(50))
    assert not draw_cohort(CENTRES["south"], 50, 5)["size_mm"].equals(small["size_mm"])
    assert not draw_cohort(CENTRES["north"], 50, 4)["size_mm"].equals(small["size_mm"])


def test_clinical_values_stay_in_the_tables_domains(cohort: pd.DataFrame) -> None:
    for column in CASES.columns:
        if column.name in cohort and column.choices:
            assert set(cohort[column.name].dropna()) <= set(column.choices), column.name
        elif column.name in cohort and column.low is not None and column.high is not None:
            assert cohort[column.name].dropna().between(column.low, column.high).all(), column.name
    assert cohort["patient_id"].is_unique


def test_a_coefficient_must_be_finite() -> None:
    with pytest.raises(ConfigError, match="sln_rim = nan, expected a finite number"):
        Coefficients(sln_rim=float("nan"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nort"], "unknown centre 'nort', expected one of: north, south"),
        ([], "no centre"),
        (["north", "north"], "twice"),
    ],
)
def test_centres_are_refused_by_name(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_centres(names)


def test_a_large_lesion_gets_a_larger_field() -> None:
    for centre in CENTRES.values():
        widths = [centre.cols * centre.spacing_for(size).col_mm for size in (10.0, 30.0, 45.0)]
        assert widths[0] < widths[1] <= widths[2]
        assert widths[2] > 45 + 10
