from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from usdlr.core.errors import ConfigError, InputError, LeakError
from usdlr.core.leak import Rows
from usdlr.decision.stages import (
    StagedContract,
    StagedPath,
    StagedScores,
    build_staged_path,
    fit_staged_contract,
    released_by,
)
from usdlr.decision.thresholds import ContractSettings, build_path, fit_contract

NAMES = ("sln", "nsln", "burden")
ALPHA = dict.fromkeys(NAMES, 0.1)


def rows(n: int, split: str) -> Rows:
    return Rows.of([f"{split}{place}" for place in range(n)], [split] * n)


def data(n: int, random: np.random.Generator, stages: int = 3) -> StagedScores:
    y, p, before = {}, {}, np.ones(n)
    for name in NAMES[:stages]:
        before = before * (random.random(n) < 0.6)
        y[name], p[name] = before.copy(), expit(random.normal(1.0 * (2 * before - 1)))
    return StagedScores(p, y)


def certified(seed: int, n: int = 500) -> StagedContract:
    random = np.random.default_rng(seed)
    path = build_staged_path(data(100, random), rows=rows(100, "tuning"), alpha=ALPHA)
    return fit_staged_contract(path, data(n, random), rows=rows(n, "calibration"), alpha=ALPHA, delta=0.05)[0]


def test_two_stages_are_the_front_door() -> None:
    random = np.random.default_rng(0)
    tune, calibrate = data(80, random, 2), data(500, random, 2)
    alpha = {"sln": 0.1, "nsln": 0.15}
    settings = ContractSettings(alpha_sln=0.1, alpha_nsln=0.15)

    def columns(of: StagedScores) -> list[np.ndarray]:
        return [np.asarray(part[name]) for name in NAMES[:2] for part in (of.p, of.y)]

    path = build_path(*columns(tune), rows=rows(80, "tuning"), settings=settings)
    front = fit_contract(path, *columns(calibrate), rows=rows(500, "calibration"), settings=settings).contract
    general = build_staged_path(tune, rows=rows(80, "tuning"), alpha=alpha)
    contract, seen = fit_staged_contract(general, calibrate, rows=rows(500, "calibration"), alpha=alpha, delta=0.05)
    np.testing.assert_array_equal(general.t["nsln"], path.t_nsln)
    assert (contract.t["sln"], contract.t["nsln"], contract.p_value) == (front.t_sln, front.t_nsln, front.p_value)
    assert (contract.misses, contract.positives, contract.status) == (front.misses, front.positives, front.status)
    assert len(seen) == 500


def test_three_stages_keep_their_promise() -> None:
    # Independent normal scores: a positive of stage j is missed unless all stages up to j keep it.
    broken, draws = 0, 120
    for seed in range(draws):
        contract = certified(seed)
        assert contract.certified
        kept = np.cumprod([1.0 if t == 0 else norm.sf(logit(t) - 1.0) for t in contract.t.values()])
        broken += bool(((1 - kept) > 0.1).any())
    assert broken <= 0.05 * draws + 2.5 * np.sqrt(0.05 * 0.95 * draws)


def test_too_few_positives_of_the_last_stage_are_named() -> None:
    contract = certified(1, n=60)
    assert not contract.certified
    assert contract.required_positives["burden"] == 29
    assert contract.p_value is None
    assert set(contract.misses.values()) == {0}


def test_the_stage_that_releases_is_named() -> None:
    contract = certified(2)
    t = contract.t
    p = {
        "sln": [t["sln"] / 2, 1.0, 1.0, t["sln"]],
        "nsln": [0.0, t["nsln"] / 2, 1.0, 1.0],
        "burden": [0.0, 0.0, t["burden"] / 2, t["burden"]],
    }
    assert min(t.values()) > 0
    assert released_by(p, contract) == ["sln", "nsln", "burden", None]
    with pytest.raises(InputError, match="in this order"):
        released_by({"sln": [0.1]}, contract)


def test_impossible_input_is_refused() -> None:
    random = np.random.default_rng(0)
    with pytest.raises(LeakError, match="threshold path"):
        build_staged_path(data(10, random), rows=rows(10, "test"), alpha=ALPHA)
    with pytest.raises(ConfigError, match="expected one between 0 and 1"):
        build_staged_path(data(10, random), rows=rows(10, "tuning"), alpha={"sln": 0.1})
    path = build_staged_path(data(10, random), rows=rows(10, "tuning"), alpha=ALPHA)
    with pytest.raises(LeakError, match="false-negative contract"):
        fit_staged_contract(path, data(10, random), rows=rows(10, "tuning"), alpha=ALPHA, delta=0.05)
    with pytest.raises(ConfigError, match="delta"):
        fit_staged_contract(path, data(10, random), rows=rows(10, "calibration"), alpha=ALPHA, delta=5.0)
    short = StagedPath({"sln": path.t["sln"]})
    with pytest.raises(ConfigError, match="a path of"):
        fit_staged_contract(short, data(10, random), rows=rows(10, "calibration"), alpha=ALPHA, delta=0.05)
    with pytest.raises(InputError, match="the same stages"):
        StagedScores({"sln": [0.1]}, {"nsln": [1]})
