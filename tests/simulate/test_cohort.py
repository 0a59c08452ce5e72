from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit, k0
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from usdlr.core.errors import ConfigError
from usdlr.core.tables import CASES
from usdlr.simulate.centres import CENTRES, find_centres
from usdlr.simulate.cohort import draw_cohort, draw_second_lesions
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.scenario import SCENARIOS

EACH = 100_000
BOTH = (CENTRES["north"], CENTRES["south"])
# The documented scale of each latent, written out again: middle, spread, whether the logarithm counts.
SCALES = {
    "size_mm": (18.0, 0.42, True),
    "rim_kpa": (38.0, 0.60, True),
    "stiffness_kpa": (100.0, 0.48, True),
    "halo_db": (6.0, 2.8, False),
    "heterogeneity_db": (3.0, 0.42, True),
    "echogenicity_db": (-10.5, 2.8, False),
}
LOADINGS = {"size_mm": 0.45, "rim_kpa": 0.40, "stiffness_kpa": 0.45, "halo_db": 0.35, "heterogeneity_db": 0.35}
# The documented coefficients, likewise: per standard deviation; the last is the intercept.
SLN = {"size_mm": 0.85, "rim_kpa": 1.05, "stiffness_kpa": 0.65, "halo_db": 0.75, "heterogeneity_db": 0.55}
NSLN = {"rim_kpa": 1.60, "size_mm": 1.05, "halo_db": 0.80}
RIM = {"halo_db": 1.4, "rim_kpa": 1.4}
STIFF = {"stiffness_kpa": 1.4, "rim_kpa": 1.4}
SIZE = {"size_mm": 2.0}
PRODUCT = {"echogenicity_db*stiffness_kpa": 2.0}
STATED: dict[str, tuple[tuple[dict[str, float], float], tuple[dict[str, float], float]]] = {
    "default": ((SLN, -0.716), (NSLN, -2.247)),
    "no_signal": (({}, -0.405), ({}, -0.405)),
    "size_only": ((SIZE, -0.670), (SIZE, -2.028)),
    "peritumoral_only": ((RIM, -0.663), (RIM, -1.994)),
    "elastography_only": ((STIFF, -0.660), (STIFF, -1.982)),
    "interaction": ((PRODUCT, -0.562), (PRODUCT, -1.525)),
    "rare": ((SLN, -0.716), (NSLN, -5.229)),
}


def both_centres(scenario: str, seed: int = 20) -> pd.DataFrame:
    tables = [draw_cohort(centre, EACH, seed, SCENARIOS[scenario]) for centre in BOTH]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def cohort() -> pd.DataFrame:
    return both_centres("default")


def scores(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: (np.log(table[name] / middle) if log else table[name] - middle) / spread
            for name, (middle, spread, log) in SCALES.items()
        }
    )


def covariance(terms: dict[str, float], other: dict[str, float]) -> npt.NDArray[np.float64]:
    return np.array([[1.0 if a == b else LOADINGS[a] * LOADINGS[b] for b in other] for a in terms])


def slopes(terms: dict[str, float]) -> npt.NDArray[np.float64]:
    return np.array(list(terms.values()))


def auc_and_error(truth: pd.Series, score: pd.Series) -> tuple[float, float]:
    """Mann-Whitney, and the standard error by DeLong's structural components."""
    positive, negative = np.sort(score[truth]), np.sort(score[~truth])
    below = (np.searchsorted(negative, positive) + np.searchsorted(negative, positive, side="right")) / 2
    above = (
        len(positive) - (np.searchsorted(positive, negative) + np.searchsorted(positive, negative, side="right")) / 2
    )
    v10, v01 = below / len(negative), above / len(positive)
    return float(v10.mean()), float(np.sqrt(v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01)))


@pytest.mark.parametrize("name", list(STATED))
def test_logit_recovers_the_stated_coefficients_of_200_000_patients(name: str) -> None:
    """Whatever the truth depends on is found, and every other latent is found to add nothing."""
    table, shift = both_centres(name), 0.4 if name in ("default", "rare") else 0.0
    for stage, rows in (("sln", np.full(len(table), True)), ("nsln", table["sln_true"].to_numpy())):
        terms, intercept = STATED[name][stage == "nsln"]
        plain = scores(table)
        design = plain.assign(**{term: np.prod(plain[term.split("*")], axis=1) for term in terms if "*" in term})
        design = design.assign(south=(table["centre_id"] == "simulated-south") - 0.5, intercept=1.0)
        expected = {**terms, "intercept": intercept, "south": shift if stage == "sln" else 0.0}
        fit = sm.Logit(table[f"{stage}_true"][rows].astype(float), design[rows]).fit(disp=0)
        stated = np.array([expected.get(str(column), 0.0) for column in design])
        assert np.abs((fit.params.to_numpy() - stated) / fit.bse.to_numpy()).max() < 3.4, (stage, fit.params)
        named = [position for position, column in enumerate(design) if column in expected]
        off = np.abs((fit.params.to_numpy() - stated) / fit.bse.to_numpy())[named]
        assert off.max() < 3, (stage, fit.params)


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


def normal_auc(mean_logit: float, sd: float, shifts: tuple[float, ...] = (0.0,)) -> float:
    """AUC of expit(linear predictor) for a Gaussian linear predictor, by numerical integration."""
    unit = np.linspace(-8, 8, 16_001)
    density, probability = norm.pdf(unit), np.zeros_like(unit)
    for shift in shifts:
        probability += expit(mean_logit + shift + sd * unit) / len(shifts)
    return integrated_auc(probability, density)


def integrated_auc(probability: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> float:
    positive, negative = weight * probability, weight * (1 - probability)
    below = np.cumsum(negative) - negative / 2
    return float((positive * below).sum() / positive.sum() / negative.sum())


def test_oracle_auc_is_the_integral_over_the_linear_predictors(cohort: pd.DataFrame) -> None:
    """Both linear predictors are jointly Gaussian (clipping apart): integrate on a grid what the cohort estimates."""
    a_slopes, b_slopes = slopes(SLN), slopes(NSLN)
    (_, a_intercept), (_, b_intercept) = STATED["default"]
    a_sd = float(np.sqrt(a_slopes @ covariance(SLN, SLN) @ a_slopes))
    b_sd = float(np.sqrt(b_slopes @ covariance(NSLN, NSLN) @ b_slopes))
    correlation = float(a_slopes @ covariance(SLN, NSLN) @ b_slopes) / (a_sd * b_sd)
    unit = np.linspace(-6, 6, 601)
    first, second = np.meshgrid(unit, unit, indexing="ij")
    own = (second - correlation * first) / np.sqrt(1 - correlation**2)
    density = norm.pdf(first) * norm.pdf(own)
    p_a = np.mean([expit(a_intercept + shift + a_sd * unit) for shift in (-0.2, 0.2)], axis=0)
    p_b = expit(b_intercept + b_sd * unit)

    for name, shift in (("simulated-north", -0.2), ("simulated-south", 0.2)):
        rows = cohort["centre_id"] == name
        found, error = auc_and_error(cohort["sln_true"][rows], cohort["p_sln"][rows])
        assert abs(found - normal_auc(a_intercept + shift, a_sd)) < 3 * error
    among_positive = (density * p_a[:, None]).sum(axis=0)
    positive = cohort["sln_true"].to_numpy()
    found, error = auc_and_error(cohort["nsln_true"][positive], cohort["p_nsln"][positive])
    assert abs(found - integrated_auc(p_b, among_positive)) < 3 * error
    prevalence = float((among_positive * p_b).sum() / among_positive.sum())
    assert cohort["nsln_true"][positive].mean() == pytest.approx(prevalence, abs=0.01)


@pytest.mark.parametrize("name", ["size_only", "peritumoral_only", "elastography_only"])
def test_oracle_auc_of_independent_latents_is_the_one_dimensional_integral(name: str) -> None:
    table, (terms, intercept) = both_centres(name), STATED[name][0]
    found, error = auc_and_error(table["sln_true"], table["p_sln"])
    assert abs(found - normal_auc(intercept, float(np.linalg.norm(slopes(terms))))) < 3 * error


def test_oracle_auc_of_the_interaction_is_the_integral_over_the_product() -> None:
    """The density of a product of two independent standard normals is K0(|x|) / pi."""
    table = both_centres("interaction")
    x = np.linspace(-14, 14, 280_000)  # an even number of points: none at the pole
    terms, intercept = STATED["interaction"][0]
    expected = integrated_auc(expit(intercept + slopes(terms)[0] * x), k0(np.abs(x)) / np.pi)
    found, error = auc_and_error(table["sln_true"], table["p_sln"])
    assert abs(found - expected) < 3 * error
    for part in ("echogenicity_db", "stiffness_kpa", "rim_kpa", "size_mm", "halo_db", "aggressiveness"):
        alone, error = auc_and_error(table["sln_true"], table[part])
        assert abs(alone - 0.5) < 3 * error, part


@pytest.mark.parametrize("stage", ["sln", "nsln"])
def test_without_signal_what_surgery_found_is_independent_of_everything(stage: str) -> None:
    """The labels as a model sees them: missing ones are missing independently of the images too."""
    table = both_centres("no_signal", seed=3)
    known = table[f"{stage}_positive"].notna()
    if stage == "nsln":
        known &= table["sln_positive"].fillna(False)
    label = table[f"{stage}_positive"][known].astype(bool)
    names = [*LATENTS, "aggressiveness", "age_years", "grade_core_biopsy", "days_us_to_surgery", "exam_day"]
    columns = table[known][names].astype(float)
    columns["cn1"] = table["cn_stage"][known].eq("cN1")
    columns["south"] = table["centre_id"][known].eq("simulated-south")
    columns["strain"] = table["has_elasto"][known]
    for name, column in columns.astype(float).items():
        found, error = auc_and_error(label, column)
        assert abs(found - 0.5) < 3.5 * error, name
    standard = (columns.astype(float) - columns.mean()) / columns.std()
    fit = sm.Logit(label.astype(float), sm.add_constant(standard)).fit(disp=0)
    assert fit.llr_pvalue > 0.01
    assert set(table["p_sln"].round(12)) == {round(float(expit(-0.405)), 12)}


def test_by_default_who_is_dissected_does_depend_on_the_images(cohort: pd.DataFrame) -> None:
    """Missing not at random: what the test above must not find is really there in the default scenario."""
    positive = cohort[cohort["sln_positive"].fillna(False)]
    found, error = auc_and_error(positive["axillary_surgery"].eq("alnd"), positive["rim_kpa"])
    assert found - 0.5 > 5 * error


@pytest.mark.parametrize("name", list(STATED))
def test_40_percent_of_the_sentinel_nodes_are_positive_and_40_or_8_behind_them(name: str) -> None:
    table = both_centres(name)
    positive = table["sln_true"].to_numpy()
    assert positive.mean() == pytest.approx(0.40, abs=0.01)
    assert table["nsln_true"][positive].mean() == pytest.approx(0.08 if name == "rare" else 0.40, abs=0.01)
    assert not (table["nsln_true"] & ~table["sln_true"]).any()


def test_cohort_has_the_promised_rates(cohort: pd.DataFrame) -> None:
    positive = cohort["sln_true"].to_numpy()
    assert roc_auc_score(positive, cohort["p_sln"]) == pytest.approx(0.88, abs=0.01)
    assert roc_auc_score(cohort["nsln_true"][positive], cohort["p_nsln"][positive]) == pytest.approx(0.85, abs=0.01)
    assert cohort["size_mm"].median() == pytest.approx(18, abs=0.2)
    assert cohort["size_mm"].between(5, 45).all()
    assert cohort["neoadjuvant"].mean() == pytest.approx(0.02, abs=0.002)
    assert (cohort["stiffness_kpa"] > 50).mean() == pytest.approx(0.927, abs=0.01)  # 280 of 302 published
    assert (cohort["calcifications_per_cm2"] > 0).mean() == pytest.approx(0.37, abs=0.01)


@pytest.mark.parametrize("name", list(CENTRES))
def test_a_centre_has_its_rates_and_its_case_mix(name: str) -> None:
    table, centre = draw_cohort(CENTRES[name], EACH, 21), CENTRES[name]
    for column, rate in (
        ("has_second_view", centre.second_view_rate),
        ("has_second_lesion", centre.second_lesion_rate),
        ("has_second_reader", centre.second_reader_rate),
        ("has_elasto", 1 - centre.elastography.missing_rate),
        ("is_strain", (1 - centre.elastography.missing_rate) * centre.elastography.strain_rate),
    ):
        assert binomtest(int(table[column].sum()), EACH, rate).pvalue > 0.001, column
    larger = {"east": 0.2, "overseas": 0.7}.get(name, 0.0)
    assert np.log(table["size_mm"].median() / 18.0) / 0.42 == pytest.approx(larger, abs=0.02)


def test_a_second_lesion_is_smaller_and_tells_nothing_more_about_the_nodes(cohort: pd.DataFrame) -> None:
    north = cohort[cohort["centre_id"] == "simulated-north"]
    second = draw_second_lesions(CENTRES["north"], north, 20)
    assert (second["size_mm"] < north["size_mm"]).all()
    assert (second["size_mm"] >= 4.0).all()
    p = north["p_sln"].clip(1e-9, 1 - 1e-9)
    design = scores(second).drop(columns="size_mm").assign(logit=np.log(p / (1 - p)), intercept=1.0)
    fit = sm.Logit(north["sln_true"].astype(float), design).fit(disp=0)
    assert np.abs(fit.tvalues.drop(["logit", "intercept"])).max() < 3.3
    assert fit.params["logit"] == pytest.approx(1.0, abs=4 * fit.bse["logit"])
    assert second["rim_kpa"].corr(north["rim_kpa"], method="spearman") == pytest.approx(0.16, abs=0.02)  # 0.4 squared


def test_true_probabilities_are_calibrated_in_every_tenth(cohort: pd.DataFrame) -> None:
    tenth = pd.qcut(cohort["p_sln"], 10, labels=False)
    table = cohort.groupby(tenth).agg(p=("p_sln", "mean"), y=("sln_true", "mean"))
    assert (table["p"] - table["y"]).abs().max() < 0.012


def test_endpoints_follow_the_nullness_rules(cohort: pd.DataFrame) -> None:
    treated = cohort["neoadjuvant"]
    stated = [column.name for column in CASES.columns if column.endpoint and column.name in cohort]
    endpoints = [name for name in stated if not name.startswith("dfs_")]
    assert len(endpoints) == 9
    assert cohort[["dfs_months", "dfs_event"]].notna().all(axis=None)  # surgery is no condition of being followed
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


def test_another_scenario_has_the_same_tumours_and_other_nodes() -> None:
    default, rare, none = (
        draw_cohort(CENTRES["south"], 300, 4, SCENARIOS[n]) for n in ("default", "rare", "no_signal")
    )
    pd.testing.assert_frame_equal(default[list(LATENTS)], rare[list(LATENTS)])
    pd.testing.assert_series_equal(default["sln_true"], rare["sln_true"])
    assert not default["nsln_true"].equals(rare["nsln_true"])
    assert default["aggressiveness"].equals(none["aggressiveness"])


def test_clinical_values_stay_in_the_tables_domains(cohort: pd.DataFrame) -> None:
    for column in CASES.columns:
        if column.name in cohort and column.choices:
            assert set(cohort[column.name].dropna()) <= set(column.choices), column.name
        elif column.name in cohort and column.low is not None and column.high is not None:
            assert cohort[column.name].dropna().between(column.low, column.high).all(), column.name
    assert cohort["patient_id"].is_unique


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nort"], "unknown centre 'nort', expected one of: north, south, west, east, overseas"),
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
        assert widths[0] <= widths[1] <= widths[2]
        assert widths[0] < widths[2]
        assert widths[2] > 45 + 10
