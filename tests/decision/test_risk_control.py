from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import BundleError, InputError
from usdlr.core.leak import Rows
from usdlr.core.types import ContractStatus, OnUncertified
from usdlr.decision.cascade import decide
from usdlr.decision.contract import Contract
from usdlr.decision.risk_control import marginal_positives
from usdlr.decision.thresholds import ContractSettings, ThresholdPath, fit_contract
from usdlr.decision.wording import contract_sentence

FINE = ThresholdPath(np.linspace(0, 1, 1001), np.zeros(1001))


def fitted(p: np.ndarray, alpha: float = 0.1, kind: str = "marginal") -> Contract:
    rows = Rows.of([f"c{place}" for place in range(len(p))], ["calibration"] * len(p))
    settings = ContractSettings(alpha_sln=alpha, alpha_nsln=alpha, kind=kind)
    return fit_contract(FINE, p, np.ones(len(p)), p, np.ones(len(p)), rows=rows, settings=settings).contract


def test_the_mean_rate_is_at_most_alpha_and_close_to_it_but_single_ones_exceed_it() -> None:
    # Uniform scores: the true rate of a threshold is the threshold. Angelopoulos et al. 2024, theorem 1 and 2:
    # alpha - 2 / (n + 1) <= E <= alpha, but for the steps of the path.
    n, draws = 60, 1000
    rates = [fitted(np.random.default_rng(seed).random(n)).t_sln for seed in range(draws)]
    error = np.std(rates) / np.sqrt(draws)
    assert 0.1 - 2 / (n + 1) - 3 * error - 0.001 < np.mean(rates) < 0.1 + 3 * error
    assert np.mean(np.array(rates) > 0.1) > 0.2


def test_it_is_never_called_certified() -> None:
    contract = fitted(np.random.default_rng(0).random(60))
    assert contract.marginal_held
    assert contract.answers
    assert not contract.certified
    assert contract.p_value is None
    sentence = contract_sentence(contract)
    assert sentence.startswith("Marginal, without a stated confidence: on average")
    assert "may miss more" in sentence
    assert "Certified" not in sentence
    scores = pd.DataFrame({"patient_id": ["a"], "side": "left", "p_sln": [0.0], "p_nsln": [0.5]})
    decisions = decide(scores, contract, on_uncertified=OnUncertified.DEFER)
    assert decisions["risk_group"].tolist() == ["LR-SLN"]
    assert decisions["contract"].tolist() == ["marginal"]
    assert decisions["reason"][0].startswith("Marginal target only, uncertified: ")
    void = contract.void()
    assert not void.answers
    assert set(decide(scores, void, on_uncertified=OnUncertified.DEFER)["risk_group"]) == {"DEFER"}
    assert Contract.from_dict(contract.to_dict()) == contract


def test_nothing_can_be_marginal_and_certified() -> None:
    contract = fitted(np.random.default_rng(0).random(60))
    assert contract.status is ContractStatus.MARGINAL
    with pytest.raises(InputError, match="a marginal promise is no certificate"):
        replace(contract, status=ContractStatus.CERTIFIED)
    with pytest.raises(InputError, match="a marginal promise is no certificate"):
        replace(contract, kind="certified")
    plain = contract.to_dict()
    for change in ({"status": "certified"}, {"kind": "certified"}):
        with pytest.raises(BundleError, match="no certificate"):
            Contract.from_dict(plain | change)
    with pytest.raises(BundleError, match="no certificate"):
        Contract.from_dict({key: value for key, value in plain.items() if key != "kind"})
    with pytest.raises(InputError, match="expected one kind"):
        replace(contract, by_stratum={"east": fitted(np.random.default_rng(0).random(60), kind="certified")})


def test_a_marginal_contract_of_an_older_file_keeps_its_promise_and_no_more() -> None:
    contract = fitted(np.random.default_rng(0).random(60))
    older = contract.to_dict() | {"status": "not_certifiable", "marginal_held": True}
    assert Contract.from_dict(older) == contract
    lost = Contract.from_dict(older | {"marginal_held": False})
    assert lost.status is ContractStatus.NOT_CERTIFIABLE
    assert not lost.answers


def test_fewest_positives() -> None:
    # (0 + 1) / (n + 1) <= alpha
    assert [marginal_positives(alpha) for alpha in (0.1, 0.05, 0.01, 0.3)] == [9, 19, 99, 3]
    few = fitted(0.5 + np.arange(8) / 20)
    assert not few.marginal_held
    assert few.required_positives == {"sln": 9, "nsln": 9}
    assert "at least 9 and 9 are needed to show on average over calibration samples" in contract_sentence(few)
    assert fitted(0.5 + np.arange(9) / 20).marginal_held


def test_it_is_bolder_than_the_certified_one() -> None:
    for seed in range(20):
        p = np.random.default_rng(seed).random(150)
        assert fitted(p).t_sln >= fitted(p, kind="certified").t_sln


@pytest.mark.parametrize(("n", "alpha"), [(200, 0.05), (200, 0.1), (181, 0.05), (59, 0.05), (120, 0.1)])
def test_mapie_is_never_bolder(n: int, alpha: float) -> None:
    """MAPIE's fixed sequence on the same scores: conservative, since it rounds some counts up by one."""
    control = pytest.importorskip("mapie.risk_control")
    p = np.arange(n) / n  # evenly spread positives: a threshold's rate is the threshold
    grid = np.concatenate([[0.0], (np.arange(n) + 0.5) / n])
    rows = Rows.of([f"c{place}" for place in range(n)], ["calibration"] * n)
    settings = ContractSettings(alpha_sln=alpha, alpha_nsln=alpha)
    path = ThresholdPath(grid, np.zeros(n + 1))
    ours = fit_contract(path, p, np.ones(n), p, np.ones(n), rows=rows, settings=settings).contract
    controller = control.BinaryClassificationController(
        lambda x: np.column_stack([1 - x[:, 0], x[:, 0]]),
        control.recall,
        target_level=1 - alpha,
        confidence_level=0.95,
        list_predict_params=grid,
        fwer_method="fixed_sequence",
    ).calibrate(p[:, None], np.ones(n, dtype=int))
    valid = np.atleast_1d(np.asarray(controller.valid_predict_params, dtype=float))
    theirs = int((p < valid.max()).sum()) if valid.size else -1
    assert theirs <= (ours.misses["sln"] if ours.certified else 0)
    if ours.certified:
        assert theirs >= ours.misses["sln"] - 1
