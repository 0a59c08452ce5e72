from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binomtest

from usdlr.core.errors import BundleError, ConfigError, InputError, LeakError
from usdlr.core.leak import Rows, require_disjoint
from usdlr.core.types import ContractStatus
from usdlr.decision.calibration import PlattCalibrator
from usdlr.decision.path import path_of, shares, two_stages
from usdlr.decision.thresholds import (
    Contract,
    ContractSettings,
    ThresholdPath,
    build_path,
    exact_p_value,
    fit_contract,
    required_positives,
)

Array = NDArray[np.float64]
STRICT = ContractSettings(alpha_sln=0.05, alpha_nsln=0.05, delta=0.05)


def rows(n: int, split: str, prefix: str = "") -> Rows:
    return Rows.of([f"{prefix or split}{i}" for i in range(n)], [split] * n)


def one_threshold(n: int) -> ThresholdPath:
    """Only t_sln moves, in steps that lose one more of n equally spaced scores each."""
    steps = np.concatenate([[0.0], (np.arange(n) + 0.5) / n])
    return ThresholdPath(steps, np.zeros_like(steps))


def contract_on_positives(n: int, settings: ContractSettings) -> Contract:
    """Every axilla positive at both stages, scores spread evenly; stage 2 never releases anybody."""
    p, ones = np.arange(n) / n, np.ones(n)
    return fit_contract(one_threshold(n), p, ones, ones, ones, rows=rows(n, "calibration"), settings=settings).contract


@pytest.mark.parametrize(("misses", "positives", "alpha"), [(0, 59, 0.05), (4, 200, 0.05), (12, 200, 0.1), (3, 7, 0.3)])
def test_p_value_is_the_exact_one_sided_binomial_test(misses: int, positives: int, alpha: float) -> None:
    assert exact_p_value(misses, positives, alpha) == pytest.approx(
        binomtest(misses, positives, alpha, alternative="less").pvalue, rel=1e-9
    )


def test_no_positives_prove_nothing() -> None:
    assert exact_p_value(0, 0, 0.1) == 1.0


@pytest.mark.parametrize(
    ("alpha", "delta", "misses", "needed"),
    [(0.05, 0.05, 0, 59), (0.10, 0.05, 0, 29), (0.05, 0.05, 1, 93), (0.9, 0.5, 0, 1)],
)
def test_required_positives(alpha: float, delta: float, misses: int, needed: int) -> None:
    # 59, 29 and 93 are the sample sizes of distribution-free tolerance limits (Wilks 1941).
    assert required_positives(alpha, delta, misses) == needed
    assert binomtest(misses, needed, alpha, alternative="less").pvalue <= delta
    if needed > misses + 1:
        assert binomtest(misses, needed - 1, alpha, alternative="less").pvalue > delta


@pytest.mark.parametrize(("alpha", "allowed"), [(0.05, 4), (0.10, 12)])
def test_two_hundred_positives_allow_so_many_misses(alpha: float, allowed: int) -> None:
    contract = contract_on_positives(200, ContractSettings(alpha_sln=alpha, alpha_nsln=alpha))
    assert contract.status is ContractStatus.CERTIFIED
    assert contract.misses == {"sln": allowed, "nsln": allowed}
    assert contract.p_value is not None
    assert contract.p_value <= 0.05 < exact_p_value(allowed + 1, 200, alpha)


def test_forty_positives_certify_nothing_at_five_per_cent() -> None:
    contract = contract_on_positives(40, STRICT)
    assert contract.status is ContractStatus.NOT_CERTIFIABLE
    assert contract.required_positives == {"sln": 59, "nsln": 59}
    assert contract.positives == {"sln": 40, "nsln": 40}
    assert contract.misses == {"sln": 0, "nsln": 0}
    assert contract.p_value is None


def test_fifty_nine_positives_certify_a_step_without_misses() -> None:
    n = 59
    p, ones = 0.5 + np.arange(n) / (2 * n), np.ones(n)
    path = ThresholdPath([0.0, 0.3, 0.55], [0.0, 0.0, 0.0])  # type: ignore[arg-type]  # lists are converted
    fitted = fit_contract(path, p, ones, ones, ones, rows=rows(n, "calibration"), settings=STRICT)
    assert fitted.contract.certified
    assert fitted.contract.t_sln == 0.3
    assert fitted.fitted_patients == {f"calibration{i}" for i in range(n)}


def test_treat_all_alone_is_not_certified() -> None:
    # 59 positives reject treat-all, but the first step beyond it misses one, for which 93 are needed.
    contract = contract_on_positives(59, STRICT)
    assert contract.status is ContractStatus.NOT_CERTIFIABLE
    assert contract.required_positives == {"sln": 93, "nsln": 93}
    only = fit_contract(
        ThresholdPath(np.zeros(1), np.zeros(1)),
        np.ones(90),
        np.ones(90),
        np.ones(90),
        np.ones(90),
        rows=rows(90, "calibration"),
        settings=STRICT,
    ).contract
    assert only.status is ContractStatus.NOT_CERTIFIABLE
    assert only.required_positives == {"sln": 59, "nsln": 59}


def test_the_walk_stops_at_the_first_failure_and_never_looks_beyond() -> None:
    # Stage 2 fails at the second step; misses can only grow, so the walk must not go on.
    n = 100
    ones = np.ones(n)
    path = ThresholdPath(np.array([0.0, 0.1, 0.1, 0.2]), np.array([0.0, 0.0, 0.9, 0.9]))
    contract = fit_contract(
        path, 0.5 * ones, ones, 0.5 * ones, ones, rows=rows(n, "calibration"), settings=STRICT
    ).contract
    assert (contract.t_sln, contract.t_nsln) == (0.1, 0.0)


def test_a_miss_at_either_stage_counts_for_nsln() -> None:
    p_sln = np.array([0.1, 0.9, 0.9, 0.1, 0.05])
    p_nsln = np.array([0.9, 0.1, 0.9, 0.1, 0.05])
    y_sln, y_nsln = np.array([1.0, 1, 1, 1, 0]), np.array([1.0, 1, 1, np.nan, np.nan])
    loose = ContractSettings(alpha_sln=0.95, alpha_nsln=0.95, delta=0.5)
    contract = fit_contract(
        ThresholdPath(np.array([0.0, 0.5]), np.array([0.0, 0.5])),
        p_sln,
        y_sln,
        p_nsln,
        y_nsln,
        rows=rows(5, "calibration"),
        settings=loose,
    ).contract
    assert contract.misses == {"sln": 2, "nsln": 2}  # SLN: rows 0 and 3; NSLN: 0 at stage 1, 1 at stage 2, 3 unknown
    assert contract.positives == {"sln": 4, "nsln": 3}


def test_unknown_status_is_neither_positive_nor_negative() -> None:
    p = np.linspace(0, 1, 50, endpoint=False)
    known = fit_contract(
        one_threshold(50), p, np.ones(50), np.ones(50), np.ones(50), rows=rows(50, "calibration"), settings=STRICT
    ).contract
    unknown = np.full(150, np.nan)
    more = fit_contract(
        one_threshold(50),
        np.concatenate([p, np.zeros(150)]),
        np.concatenate([np.ones(50), unknown]),
        np.ones(200),
        np.concatenate([np.ones(50), unknown]),
        rows=rows(200, "calibration"),
        settings=STRICT,
    ).contract
    assert more == known


def test_zero_miss_thresholds_are_the_largest_and_respect_the_chain() -> None:
    p_sln = np.array([0.30, 0.20, 0.60, 0.10])
    p_nsln = np.array([0.50, 0.70, 0.40, 0.05])
    y_sln, y_nsln = np.array([1.0, np.nan, 1.0, 0.0]), np.array([np.nan, 1.0, 1.0, np.nan])
    contract = fit_contract(
        ThresholdPath(np.zeros(1), np.zeros(1)),
        p_sln,
        y_sln,
        p_nsln,
        y_nsln,
        rows=rows(4, "calibration"),
        settings=STRICT,
    ).contract
    # Row 1 is NSLN positive: a t_sln above 0.2 would lose it at stage 1 although its SLN status is not recorded.
    assert (contract.t_sln, contract.t_nsln) == (0.2, 0.4)
    assert contract.misses == {"sln": 0, "nsln": 0}


def test_without_positives_everybody_is_treated() -> None:
    contract = fit_contract(
        one_threshold(3),
        [0.1, 0.2, 0.3],
        [0, 0, np.nan],
        [0.1, 0.2, 0.3],
        [np.nan] * 3,
        rows=rows(3, "calibration"),
        settings=ContractSettings(),
    ).contract
    assert (contract.t_sln, contract.t_nsln) == (0.0, 0.0)
    assert contract.required_positives == {"sln": 29, "nsln": 29}


def tuning_sample(n: int, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    draw = np.random.default_rng(seed)
    y_sln = (draw.random(n) < 0.4).astype(float)
    y_nsln = np.where(y_sln == 1, (draw.random(n) < 0.4).astype(float), np.nan)
    return draw.beta(2 + 2 * y_sln, 3), y_sln, draw.beta(2 + 2 * np.nan_to_num(y_nsln), 3), y_nsln


def test_the_path_starts_at_treat_all_rises_and_repeats() -> None:
    sample = tuning_sample(60)
    path = build_path(*sample, rows=rows(60, "tuning"), settings=ContractSettings())
    again = build_path(*sample, rows=rows(60, "tuning"), settings=ContractSettings())
    assert (path.t_sln[0], path.t_nsln[0]) == (0.0, 0.0)
    assert (path.t_sln[1:] + path.t_nsln[1:] > 0).all()
    assert (np.diff(path.t_sln) >= 0).all()
    assert (np.diff(path.t_nsln) >= 0).all()
    assert 100 < len(path) <= 201
    np.testing.assert_array_equal(path.t_sln, again.t_sln)
    np.testing.assert_array_equal(path.t_nsln, again.t_nsln)
    assert not path.t_sln.flags.writeable


def test_steps_follow_the_quantiles_of_the_positives() -> None:
    # 99 positives at 0.01 ... 0.99 and negatives all near 0: losing 10 % of the positives means t = 0.1.
    p = np.concatenate([np.arange(1, 100) / 100, np.full(50, 0.001)])
    y = np.concatenate([np.ones(99), np.zeros(50)])
    y_nsln = np.where(y == 1, 1.0, np.nan)
    path = build_path(p, y, p, y_nsln, rows=rows(149, "tuning"), settings=ContractSettings(path_steps=10))
    assert path.t_sln[:3] == pytest.approx([0.0, 0.1, 0.2])
    # Stage 1 has spent all that may be lost at stage 2, but for the rounding of 10 in 99.
    assert (path.t_nsln <= path.t_sln).all()


def test_the_stricter_endpoint_moves_more_slowly() -> None:
    p = np.arange(1, 100) / 100
    ones = np.ones(99)
    settings = ContractSettings(alpha_sln=0.05, alpha_nsln=0.10, path_steps=10)
    path = build_path(p, ones, ones, ones, rows=rows(99, "tuning"), settings=settings)
    assert path.t_sln[2] == pytest.approx(0.1)


@pytest.mark.parametrize("case", ["no_nsln_positive", "no_positive", "all_unknown", "one_positive", "empty"])
def test_scarce_tuning_patients_still_give_a_path(case: str) -> None:
    p_sln, y_sln, p_nsln, y_nsln = tuning_sample(20)
    if case == "no_nsln_positive":
        y_nsln = np.where(np.isnan(y_nsln), np.nan, 0.0)
    elif case == "no_positive":
        y_sln, y_nsln = np.zeros(20), np.full(20, np.nan)
    elif case == "all_unknown":
        y_sln, y_nsln = np.full(20, np.nan), np.full(20, np.nan)
    elif case == "one_positive":
        y_sln, y_nsln = np.eye(20)[3], np.where(np.eye(20)[3] == 1, 1.0, np.nan)
    elif case == "empty":
        p_sln = y_sln = p_nsln = y_nsln = np.zeros(0)
    path = build_path(p_sln, y_sln, p_nsln, y_nsln, rows=rows(len(p_sln), "tuning"), settings=ContractSettings())
    assert len(path) > 50
    assert path.t_sln[0] == path.t_nsln[0] == 0


@pytest.mark.parametrize("split", ["train", "calibration", "test"])
def test_a_path_from_other_rows_is_refused(split: str) -> None:
    with pytest.raises(LeakError, match=f"20 {split} rows in the fit of the threshold path"):
        build_path(*tuning_sample(20), rows=rows(20, split), settings=ContractSettings())


@pytest.mark.parametrize("split", ["train", "tuning", "test", "external"])
def test_thresholds_from_other_rows_are_refused(split: str) -> None:
    with pytest.raises(LeakError, match=f"20 {split} rows in the fit of the false-negative contract"):
        fit_contract(one_threshold(5), *tuning_sample(20), rows=rows(20, split), settings=ContractSettings())


def test_tuning_patients_in_disguise_are_refused() -> None:
    sample = tuning_sample(20)
    path = build_path(*sample, rows=rows(20, "tuning", "x"), settings=ContractSettings())
    with pytest.raises(LeakError, match="20 of 20 patients"):
        fit_contract(path, *sample, rows=rows(20, "calibration", "x"), settings=ContractSettings())


@pytest.mark.parametrize(
    ("t_sln", "t_nsln"),
    [([], []), ([0.1], [0.0]), ([0.0, 0.5, 0.4], [0.0] * 3), ([0.0, 1.5], [0.0, 0.0]), ([0.0], [0.0, 0.1])],
)
def test_a_path_that_is_no_path_is_refused(t_sln: list[float], t_nsln: list[float]) -> None:
    with pytest.raises(InputError, match="found"):
        ThresholdPath(np.array(t_sln), np.array(t_nsln))


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha_sln": 0},
        {"alpha_nsln": 1.0},
        {"delta": 5},
        {"delta": "x"},
        {"alpha_sln": True},
        {"path_steps": 0},
        {"path_steps": 2.5},
        {"path_steps": True},
        {"on_uncertified": "guess"},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ContractSettings(**wrong)


def test_the_contract_survives_json_exactly() -> None:
    for contract in (contract_on_positives(200, STRICT), contract_on_positives(40, STRICT)):
        assert Contract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract
        assert set(contract.to_dict()) == {
            "alpha",
            "delta",
            "status",
            "required_positives",
            "t_sln",
            "t_nsln",
            "positives",
            "misses",
            "p_value",
        }


@pytest.mark.parametrize(
    "wrong", [{"status": "fine"}, {"alpha": {"sln": 0.1}}, {"t_sln": 1.2}, {"delta": None}, {"t_nsln": float("nan")}]
)
def test_a_damaged_contract_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="export"):
        Contract.from_dict({**contract_on_positives(200, STRICT).to_dict(), **wrong})


def test_contracts_are_values() -> None:
    contract = contract_on_positives(200, STRICT)
    assert replace(contract) == contract


def test_a_calibrator_that_has_seen_the_calibration_part_is_refused() -> None:
    sample = tuning_sample(20)
    calibrator = PlattCalibrator().fit(sample[0], sample[1], rows=rows(20, "tuning", "x"))
    with pytest.raises(LeakError, match="20 of 20 patients both in the fit of the model or calibrators"):
        fit_contract(
            one_threshold(5),
            *sample,
            rows=rows(20, "calibration", "x"),
            settings=ContractSettings(),
            seen=calibrator.fitted_patients_,
        )


def test_whom_the_contract_has_seen_it_cannot_be_judged_on() -> None:
    fitted = fit_contract(
        one_threshold(5), *tuning_sample(20), rows=rows(20, "calibration", "x"), settings=ContractSettings()
    )
    with pytest.raises(LeakError, match="thresholds"):
        require_disjoint(fitted.fitted_patients, rows(20, "test", "x").patients, "thresholds")


def test_new_keys_may_be_missing_and_are_written_only_where_there_is_something_to_say() -> None:
    contract = contract_on_positives(200, STRICT)
    assert Contract.from_dict(contract.to_dict()).kind == "certified"
    with pytest.raises(BundleError, match="kind"):
        Contract.from_dict(contract.to_dict() | {"kind": "marginal"})
    with pytest.raises(BundleError, match="kind"):
        Contract.from_dict(contract.to_dict() | {"kind": "sure"})


def test_many_steps_lie_where_walks_end() -> None:
    share = shares([0.05, 0.10], 200)
    assert len(share) == 201
    assert (share[0], share[-1]) == (0.0, 1.0)
    assert (np.diff(share) > 0).all()
    assert np.diff(share)[:100].max() == pytest.approx(0.002)
    np.testing.assert_allclose(shares([0.1, 0.1], 10), np.arange(11) / 10)


def test_the_path_leaves_stage_two_something_and_spares_more_of_other_patients() -> None:
    def binormal(seed: int) -> tuple[Array, Array, Array, Array]:
        draw = np.random.default_rng(seed)
        y_sln = (draw.random(4000) < 0.5).astype(float)
        y_nsln = np.where(y_sln == 1, (draw.random(4000) < 0.5).astype(float), np.nan)
        p_sln, p_nsln = (expit(draw.normal(1.5 * np.nan_to_num(y), 1.0)) for y in (y_sln, y_nsln))
        return p_sln, y_sln, p_nsln, y_nsln

    tuning = rows(4000, "tuning")
    path = build_path(*binormal(1), rows=tuning, settings=ContractSettings())
    stages, _ = two_stages(*binormal(1), rows=tuning)
    whole = path_of(stages, [0.1, 0.1], 200, 1.0)
    p_sln, y_sln, p_nsln, y_nsln = binormal(2)
    spared = []
    for t_sln, t_nsln in (path.stages, (whole[0], whole[1])):
        # The last pair that keeps both targets among other patients: what would ship if truth were known.
        gone = [(p_sln < one) | (p_nsln < two) for one, two in zip(t_sln, t_nsln, strict=True)]
        kept = [
            (p_sln < one)[y_sln == 1].mean() <= 0.1 and both[y_nsln == 1].mean() <= 0.1
            for one, both in zip(t_sln, gone, strict=True)
        ]
        last = int(np.flatnonzero(kept)[-1])
        first, second = (p_sln < t_sln[last])[y_sln == 0].mean(), gone[last][(y_sln == 1) & (y_nsln == 0)].mean()
        spared.append((first + second) / 2)
    assert spared[0] > spared[1] + 0.03
