"""Sample sizes against published figures and against simulation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import beta, binom, norm
from statsmodels.stats.proportion import proportion_confint

from usdlr.cli.main import main
from usdlr.core.errors import ConfigError
from usdlr.evaluation.risk_distribution import RiskDistribution
from usdlr.evaluation.sample_size import cox_snell_from_auc, development, largest, largest_cox_snell, upward
from usdlr.evaluation.sample_size_contract import certification_need, patients_for_positives
from usdlr.evaluation.sample_size_external import external_validation, patients_for_auc, positives_for_fnr

# The test values of the R package pmsampsize (CRAN, tests/testthat/test_bin.R); the first is the Chagas example
# of Riley et al., Stat Med 38 (2019) 1276. Cox-Snell R2, parameters, prevalence; criteria 1 to 3.
PMSAMPSIZE = [
    (0.288, 24, 0.174, [623, 662, 221]),
    (0.55, 24, 0.174, [255, 532, 221]),
    (0.288, 36, 0.174, [934, 992, 221]),
    (0.288, 24, 0.25, [623, 590, 289]),
]


@pytest.mark.parametrize(("r2", "parameters", "prevalence", "expected"), PMSAMPSIZE)
def test_development_is_that_of_pmsampsize(r2: float, parameters: int, prevalence: float, expected: list[int]) -> None:
    found = development(prevalence=prevalence, parameters=parameters, r2=r2)
    assert [need.n for need in found] == expected
    assert largest(found).n == max(expected)


def test_development_of_the_pre_eclampsia_example() -> None:
    # Riley et al., BMJ 368 (2020) m441: 30 parameters, 5 % with the outcome, Cox-Snell R2 0.05: 5249 patients,
    # 8.75 events per parameter.
    first = development(prevalence=0.05, parameters=30, r2=0.05)[0]
    assert first.n == 5249
    assert first.events == 263
    assert largest_cox_snell(0.05) == pytest.approx(0.33, abs=0.005)


def test_development_from_an_auc() -> None:
    # Printed output of pmsampsize, which simulates a million patients for it: R2 0.158 and 1556 patients at a
    # prevalence of 0.20, 30 parameters and a C statistic of 0.78.
    assert cox_snell_from_auc(0.78, 0.2) == pytest.approx(0.158, abs=0.002)
    assert largest(development(prevalence=0.2, parameters=30, auc=0.78)).n == pytest.approx(1556, rel=0.015)


@pytest.mark.parametrize(("auc", "prevalence"), [(0.81, 0.77), (0.65, 0.1), (0.95, 0.4)])
def test_r2_from_an_auc_is_that_of_a_fitted_regression(auc: float, prevalence: float) -> None:
    random, n = np.random.default_rng(7), 200_000
    positives = round(prevalence * n)
    y = np.concatenate([np.zeros(n - positives), np.ones(positives)])
    x = y * np.sqrt(2) * norm.ppf(auc) + random.normal(0, 1, n)
    fit = sm.Logit(y, sm.add_constant(x)).fit(disp=0)
    assert cox_snell_from_auc(auc, prevalence) == pytest.approx(1 - np.exp(-2 * (fit.llf - fit.llnull) / n), abs=0.005)


def test_external_validation_is_that_of_pmvalsampsize() -> None:
    # Mechanical heart valve failure, in the manuals of pmvalsampsize (R 0.1.0 and Python), prevalence 0.018, C 0.8, O/E
    # width 1: 905, 4252; slope 4544 for normal log-odds (-5, 2.5) and 17080 for log-odds that give C, both from a
    # million simulated patients. The package rounds the standard error of O/E up to four digits, hence 905 for 906.
    risks = RiskDistribution.normal(-5, 2.5)
    oe, slope, area = external_validation(prevalence=0.018, auc=0.8, oe_width=1.0, risks=risks)
    assert oe.n == pytest.approx(905, abs=1)
    assert area.n == 4252
    assert slope.n == pytest.approx(4544, rel=0.005)
    assert external_validation(prevalence=0.018, auc=0.8)[1].n == pytest.approx(17080, rel=0.005)


def test_calibration_slope_is_as_precise_as_promised() -> None:
    risks = RiskDistribution.from_auc(0.8, 0.3)
    n = external_validation(prevalence=0.3, auc=0.8)[1].n
    random, slopes = np.random.default_rng(3), []
    for _ in range(300):
        at = random.choice(risks.log_odds, n, p=risks.weight)
        y = random.random(n) < 1 / (1 + np.exp(-at))
        slopes.append(sm.Logit(y, sm.add_constant(at)).fit(disp=0).params[1])
    # Twice 1.96 standard deviations are the wanted 0.2; the standard deviation of 300 has an error of 4 %.
    assert 2 * 1.96 * np.std(slopes) == pytest.approx(0.2, rel=0.12)


def test_risk_distributions_hold_what_they_promise() -> None:
    risks = RiskDistribution.from_auc(0.75, 0.2)
    positive = risks.weight / (1 + np.exp(-risks.log_odds))
    negative = risks.weight - positive
    below = np.cumsum(negative) - negative / 2
    assert positive @ below / (positive.sum() * negative.sum()) == pytest.approx(0.75, abs=1e-6)
    assert risks.prevalence() == pytest.approx(0.2, abs=1e-9)
    assert RiskDistribution.beta(0.5, 0.5).prevalence() == pytest.approx(beta(0.5, 0.5).mean(), abs=1e-9)
    assert RiskDistribution.beta(2, 6).prevalence() == pytest.approx(beta(2, 6).mean(), abs=1e-9)
    seen = RiskDistribution.observed(np.random.default_rng(0).normal(-5, 2.5, 200_000))
    assert seen.slope_variance() == pytest.approx(RiskDistribution.normal(-5, 2.5).slope_variance(), rel=0.02)


@pytest.mark.parametrize(("fnr", "width"), [(0.0, 0.1), (0.05, 0.1), (0.1, 0.2), (0.1, 0.05), (0.5, 0.2), (0.95, 0.1)])
def test_positives_for_the_false_negative_rate(fnr: float, width: float) -> None:
    found = positives_for_fnr(fnr, width)

    def widest(m: int) -> float:
        ends = [proportion_confint(k, m, method="beta") for k in (np.floor(fnr * m), np.ceil(fnr * m))]
        return float(max(high - low for low, high in ends))

    assert all(widest(m) <= width for m in range(found, found + 200))
    assert widest(found - 1) > width


def test_one_percent_width_is_found_beyond_the_normal_approximation() -> None:
    assert positives_for_fnr(0.0, 0.01) == 368  # 1 - 0.025 ** (1 / 368) = 0.00997


def test_least_positives_are_the_contracts() -> None:
    found = certification_need(alpha=0.05, delta=0.05, prevalence=0.4)
    assert (found.least_positives, found.positives, found.misses) == (59, 59, 0)
    assert certification_need(alpha=0.10, delta=0.05, prevalence=0.4).least_positives == 29


@pytest.mark.parametrize(("alpha", "fnr", "assurance"), [(0.1, 0.05, 0.8), (0.1, 0.02, 0.9), (0.05, 0.03, 0.8)])
def test_positives_certify_with_the_wanted_chance(alpha: float, fnr: float, assurance: float) -> None:
    found = certification_need(alpha=alpha, delta=0.05, prevalence=0.4, anticipated_fnr=fnr, assurance=assurance)
    allowed = max(k for k in range(found.positives) if binom.cdf(k, found.positives, alpha) <= 0.05)
    assert found.misses == allowed
    assert binom.cdf(allowed, found.positives, fnr) >= assurance
    # With one miss fewer allowed, the smallest study that certifies has too small a chance.
    smaller = min(m for m in range(1, found.positives) if binom.cdf(allowed - 1, m, alpha) <= 0.05)
    assert binom.cdf(allowed - 1, smaller, fnr) < assurance


def test_the_wanted_chance_is_kept_to_the_last_digit() -> None:
    # Five misses are allowed from 103 positives on at alpha 10 %, delta 5 %: their chance decides.
    assert binom.cdf(5, 103, 0.1) <= 0.05 < binom.cdf(5, 102, 0.1)
    chance = float(binom.cdf(5, 103, 0.05))
    need = [
        certification_need(alpha=0.1, delta=0.05, prevalence=0.4, anticipated_fnr=0.05, assurance=chance + shift)
        for shift in (-1e-6, 1e-6)
    ]
    assert [found.misses for found in need] == [5, 6]
    assert need[0].positives == 103


@pytest.mark.parametrize(("positives", "fraction", "assurance"), [(59, 0.14, 0.8), (29, 0.5, 0.95), (1, 0.01, 0.5)])
def test_patients_bring_the_positives(positives: int, fraction: float, assurance: float) -> None:
    found = patients_for_positives(positives, fraction, assurance)
    assert binom.sf(positives - 1, found, fraction) >= assurance
    assert binom.sf(positives - 1, found - 1, fraction) < assurance


def test_every_share_multiplies() -> None:
    whole = certification_need(alpha=0.1, delta=0.05, prevalence=0.5)
    part = certification_need(alpha=0.1, delta=0.05, prevalence=0.5, verified=0.5, calibration_share=0.2)
    assert (whole.patients_expected, part.patients_expected) == (58, 580)
    assert part.as_dict()["share"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: development(prevalence=0.3, parameters=10), "exactly one"),
        (lambda: development(prevalence=0.3, parameters=10, r2=0.1, auc=0.7), "exactly one"),
        (lambda: development(prevalence=0.3, parameters=0, r2=0.1), "parameters = 0"),
        (lambda: development(prevalence=0.05, parameters=10, r2=0.4), "below 0.328"),
        (lambda: development(prevalence=30, parameters=10, r2=0.1), "not per cent"),
        (lambda: external_validation(prevalence=0.3, auc=0.5), "auc = 0.5"),
        (lambda: external_validation(prevalence=0.3, auc=0.8, slope_width=0), "slope_width = 0"),
        (lambda: external_validation(prevalence=0.3, auc=0.8, risks=RiskDistribution.observed([0, 0])), "all the same"),
        (lambda: RiskDistribution.observed([]), "no log-odds"),
        (lambda: RiskDistribution.normal(0, 0), "sd = 0"),
        (lambda: RiskDistribution.beta(0, 1), "a = 0"),
        (lambda: RiskDistribution.from_auc(0.8, 1), "prevalence = 1"),
        (lambda: positives_for_fnr(1.0, 0.1), "fnr = 1.0"),
        (lambda: positives_for_fnr(0.1, 0.0), "width = 0.0"),
        (lambda: positives_for_fnr(0.1, 1e-5), "allow more"),
        (lambda: patients_for_auc(0.8, 0.1, 1e-6), "allow more"),
        (lambda: certification_need(alpha=0.1, delta=0.05, prevalence=0.4, anticipated_fnr=0.1), "cannot be certified"),
        (lambda: certification_need(alpha=0.1, delta=0.05, prevalence=0.4, anticipated_fnr=0.0999), "so close"),
        (lambda: certification_need(alpha=0.1, delta=0.05, prevalence=0), "prevalence = 0"),
    ],
)
def test_impossible_plans_are_refused(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(ConfigError, match=words):
        call()


def test_rounding_errors_add_no_patient() -> None:
    assert (upward(0.07 * 100), upward(0.1 * 3 * 10), upward(2.0001)) == (7, 3, 3)


def test_command_prints_the_plan_and_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "plan.json"
    words = ["samplesize", "--prevalence", "0.174", "--parameters", "24", "--r2", "0.288", "--out", str(out)]
    assert main([*words, "--alpha_sln", "0.05", "--fnr", "0", "--dissected", "0.5"]) == 0
    told = capsys.readouterr().out
    plan = json.loads(out.read_text(encoding="utf-8"))
    assert [need["n"] for need in plan["development"]] == [623, 662, 221]
    assert plan["contract"]["sln"]["least_positives"] == 59
    assert plan["contract"]["nsln"]["share"] == pytest.approx(0.174 * 0.33 * 0.5)
    starred = [line for line in told.splitlines() if line.startswith("*")]
    assert "662" in starred[0]
    assert len(starred) == 2
    assert "59 are the least, without a miss" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prevalence", "35"], "prevalence = 35"),
        (["--prevalence", "0.3", "--fnr", "0.1"], "cannot be certified"),
        (["--prevalence", "0.3", "--log_odds_mean", "1"], "sd = 0"),
        ([], "prevalence"),
    ],
)
def test_command_refuses_in_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samplesize", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
