"""Patients with two positive axillae: what is counted, and what it promises about axillae."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from usdlr.core.leak import Rows
from usdlr.decision.contract import Contract
from usdlr.decision.contract_words import deferred_sentence
from usdlr.decision.deferral import DeferralRule, Unsure
from usdlr.decision.thresholds import ContractSettings, ThresholdPath, fit_contract

SETTINGS = ContractSettings(alpha_sln=0.10, alpha_nsln=0.10)
PATH = ThresholdPath(np.array([0.0, 0.2, 0.4]), np.zeros(3))


def fitted(patients: list[str], p: np.ndarray, positive: np.ndarray | None = None) -> Contract:
    y = np.ones(len(p)) if positive is None else positive
    rows = Rows.of(patients, ["calibration"] * len(p), [("left", "right")[place % 2] for place in range(len(p))])
    return fit_contract(PATH, p, y, np.ones(len(p)), y, rows=rows, settings=SETTINGS).contract


def test_fifteen_patients_with_both_axillae_are_not_thirty_positives() -> None:
    both = [f"c{place // 2}" for place in range(30)]
    contract = fitted(both, np.full(30, 0.9))
    assert binom.cdf(0, 30, 0.10) < 0.05 < binom.cdf(0, 15, 0.10)  # counting axillae would have certified
    assert not contract.certified
    assert contract.positives == {"sln": 15, "nsln": 15}
    assert contract.required_positives == {"sln": 29, "nsln": 29}
    assert contract.several == {"sln": 15, "nsln": 15}
    alone = fitted([f"c{place}" for place in range(30)], np.full(30, 0.9))
    assert alone.certified
    assert alone.several == {}
    assert "several" not in alone.to_dict()
    assert Contract.from_dict(contract.to_dict()) == contract
    assert Contract.from_dict(contract.to_dict()).several == contract.several


def test_the_same_axilla_twice_changes_nothing() -> None:
    names = [f"c{place}" for place in range(80)]
    p = np.random.default_rng(1).uniform(0.15, 1, 80)
    once, twice = fitted(names, p), fitted([name for name in names for _ in (0, 1)], np.repeat(p, 2))
    assert (once.p_value, once.t_sln, once.positives, once.misses) == (
        twice.p_value,
        twice.t_sln,
        twice.positives,
        twice.misses,
    )


def test_a_patient_is_missed_if_either_axilla_is_and_a_negative_side_counts_for_nothing() -> None:
    # Patient a: right axilla below 0.2. Patient b: the low side is negative. 60 others are high on one side.
    patients = ["a", "a", "b", "b", *(f"c{place}" for place in range(60))]
    p = np.array([0.9, 0.1, 0.1, 0.9, *[0.9] * 60])
    positive = np.array([1.0, 1.0, 0.0, 1.0, *[1.0] * 60])
    contract = fitted(patients, p, positive)
    assert contract.certified
    assert contract.positives["sln"] == 62
    assert contract.misses["sln"] == 1
    assert contract.several == {"sln": 1, "nsln": 1}
    assert contract.p_value == pytest.approx(binom.cdf(1, 62, 0.10))


def rates(share: float, one_side: float, either: float, both: float) -> tuple[float, float]:
    """Rate by patient and rate by axilla, enumerated over all kinds of positive patients."""
    kinds = [
        ((1 - share) * chance, 1, missed) for chance, missed in ((one_side, 1), (1 - one_side, 0))
    ] + [
        (share * chance, 2, missed) for chance, missed in ((both, 2), (either - both, 1), (1 - either, 0))
    ]  # fmt: skip
    by_patient = sum(weight for weight, _, missed in kinds if missed)
    by_axilla = sum(weight * missed for weight, _, missed in kinds) / sum(weight * held for weight, held, _ in kinds)
    return by_patient, by_axilla


def test_what_is_promised_of_patients_says_of_axillae() -> None:
    grid = (0.0, 0.05, 0.1, 0.3, 0.6, 1.0)
    for share, one_side, either, both in product(grid, grid, grid, grid):
        if both > either:
            continue
        by_patient, by_axilla = rates(share, one_side, either, both)
        assert by_axilla == pytest.approx((by_patient + share * both) / (1 + share))
        assert by_axilla <= by_patient + share / (1 + share) + 1e-12
        assert (by_axilla <= by_patient + 1e-12) == (share * (both - by_patient) <= 1e-9)
    # Where nobody has two, both are one number.
    assert rates(0.0, 0.07, 0.5, 0.5) == pytest.approx((0.07, 0.07))


def test_the_promise_holds_for_correlated_sides() -> None:
    """A fifth of the patients have two positive axillae with nearly the same score: counted by patient it holds."""
    path = ThresholdPath(np.linspace(0, 1, 201), np.zeros(201))
    settings = ContractSettings(alpha_sln=0.2, alpha_nsln=0.2, delta=0.1)
    broken, draws = 0, 300
    for seed in range(draws):
        random = np.random.default_rng(seed)
        own = random.random(90)
        extra = random.random(90) < 0.2
        p = np.concatenate([own, own[extra]])
        names = [f"c{place}" for place in [*range(90), *np.flatnonzero(extra)]]
        ones = np.ones(len(p))
        rows = Rows.of(names, ["calibration"] * len(p))
        contract = fit_contract(path, p, ones, ones, ones, rows=rows, settings=settings).contract
        # The two sides agree, so the rate is the threshold by patient and by axilla alike.
        broken += contract.certified and contract.t_sln > 0.2
    assert 0 < broken <= 0.1 * draws + 2.5 * np.sqrt(0.1 * 0.9 * draws)


def test_deferred_axillae_are_told_among_axillae() -> None:
    patients = ["a", "a", *(f"c{place}" for place in range(60))]
    p, ones = np.full(62, 0.9), np.ones(62)
    rows = Rows.of(patients, ["calibration"] * 62)
    reach = {name: np.where(np.arange(62) < 3, 9.0, 0.0) for name in ("sln", "nsln")}
    contract = fit_contract(
        PATH, p, ones, p, ones, rows=rows, settings=SETTINGS, rule=DeferralRule(1.0), unsure=Unsure(reach, reach)
    ).contract
    assert contract.positives["sln"] == 61
    assert contract.deferred == {
        "axillae": 62, "all": 3, "sln": 3, "nsln": 3, "sln_positive": 62, "nsln_positive": 62
    }  # fmt: skip
    assert "3 SLN-positive and 3 NSLN-positive axillae (of 62 and 62)" in deferred_sentence(contract)
