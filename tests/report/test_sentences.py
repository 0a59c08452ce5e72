"""What a page says of a contract: deferral, strata, the marginal kind, folds, and what nobody dissected."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from usdlr.core.types import ContractStatus
from usdlr.decision.contract import Contract
from usdlr.decision.deferral import DeferralRule
from usdlr.decision.strata import StratumRule
from usdlr.evaluation.survival_summary import study_survival
from usdlr.evaluation.verified import verified_nsln
from usdlr.report.audit import conflicts
from usdlr.report.inputs import StudyInputs
from usdlr.report.sentences import (
    contract_statement,
    contract_words,
    false_negative_notes,
    notices,
    summary,
    uncertified_folds,
    verification_lines,
)

With = Callable[[StudyInputs, dict[str, Any]], StudyInputs]


def with_contract(
    inputs: StudyInputs, change: Callable[[Contract], Contract], folds: Callable[[Contract], Contract] | None = None
) -> StudyInputs:
    """The study with other contracts: that of the bundle, and those of the folds with their decisions."""
    metrics = copy.deepcopy(dict(inputs.metrics))
    cascade = metrics["cascade"]
    cascade["contract"] = change(Contract.from_dict(cascade["contract"])).to_dict()
    if folds is None:
        return replace(inputs, metrics=metrics)
    cascade["folds"] = {name: folds(Contract.from_dict(one)).to_dict() for name, one in cascade["folds"].items()}
    status = next(iter(cascade["folds"].values()))["status"]
    return replace(inputs, metrics=metrics, decisions=inputs.decisions.assign(contract=status))


def marginal(contract: Contract) -> Contract:
    return replace(contract, kind="marginal", status=ContractStatus.MARGINAL, p_value=None)


def test_a_marginal_study_is_called_certified_nowhere(certified: StudyInputs) -> None:
    inputs = with_contract(certified, marginal, marginal)
    assert inputs.uncertified
    statement = contract_statement(inputs)
    told = [*statement, *false_negative_notes(inputs), summary(inputs), contract_words(inputs)]
    told += [f"{one.title} {one.text}" for one in notices(inputs, conflicts(inputs))]
    assert not [one for one in told if re.search(r"\bcertified\b", one, re.IGNORECASE)]
    assert notices(inputs, ())[0].title == "Uncertified: a marginal promise only, without a stated confidence"
    assert statement[0].startswith("Marginal, without a stated confidence")
    assert "delta" not in " ".join(statement)
    assert "p-value" not in " ".join(statement)
    assert statement[-1].endswith("5 of 5 folds kept the marginal target on their calibration patients.")
    assert conflicts(inputs) == ()


def test_every_sentence_about_thresholds_of_a_marginal_study_says_uncertified(certified: StudyInputs) -> None:
    inputs = with_contract(certified, marginal, marginal)
    for block in (*contract_statement(inputs), *(one.text for one in notices(inputs, ()))):
        for sentence in re.split(r"(?<=[A-Za-z0-9)%])\.\s", block):
            if re.search(r"threshold|risk group|\bgroups?\b", sentence):
                assert "uncertified" in sentence.lower(), sentence


def test_the_statement_of_a_certified_contract_is_as_it_was(certified: StudyInputs) -> None:
    statement = contract_statement(certified)
    assert statement[0].startswith("Certified with 95 % confidence")
    assert "joint over both endpoints. It is tested with exact binomial p-values" in statement[1]
    assert "one with two positive axillae counts once" in statement[2]
    assert statement[-1].endswith("5 of 5 folds' contracts were certified.")
    assert len(statement) == 5


def test_deferral_and_strata_stand_in_the_statement(certified: StudyInputs) -> None:
    def rich(contract: Contract) -> Contract:
        short = replace(contract, status=ContractStatus.NOT_CERTIFIABLE, p_value=None, positives={"sln": 9, "nsln": 4})
        return replace(
            contract,
            deferral=DeferralRule(0.4),
            deferred={"axillae": 200, "all": 21, "sln": 4, "nsln": 2, "sln_positive": 88, "nsln_positive": 61},
            strata=StratumRule("tumour_size", (20.0, 50.0)),
            by_stratum={"up to 20 mm": contract, "over 20 to 50 mm": short},
        )

    statement = contract_statement(with_contract(certified, rich))
    told = " ".join(statement)
    for words in (
        "Deferred of the calibration axillae: 21 of 200; among them 4 SLN-positive and 2 NSLN-positive",
        "1 of 2 strata by tumour size are certified",
        "up to 20 mm: Certified with 95 % confidence",
        "over 20 to 50 mm: Uncertified",
        "and so does every fold: the out-of-fold decisions on this page rest on the thresholds of the fold's strata",
    ):
        assert words in told, words


def test_a_certified_bundle_does_not_lend_its_certificate_to_folds(certified: StudyInputs) -> None:
    def lost(contract: Contract) -> Contract:
        return replace(contract, status=ContractStatus.NOT_CERTIFIABLE, p_value=None)

    inputs = with_contract(certified, lambda contract: contract, lost)
    assert contract_statement(inputs)[-1].endswith("0 of 5 folds' contracts were certified.")
    assert uncertified_folds(inputs).startswith("5 of 5 folds could not certify")
    assert conflicts(inputs) == ()


def test_a_decision_that_claims_a_certificate_its_fold_lacks_is_a_conflict(
    certified: StudyInputs, with_metrics: With
) -> None:
    metrics = copy.deepcopy(dict(certified.metrics))
    metrics["cascade"]["folds"]["3"] |= {"status": "not_certifiable", "p_value": None}
    found = conflicts(with_metrics(certified, metrics))
    assert len(found) == 1
    assert found[0].startswith("Number of axillae decided under a certified contract: the estimates say 208")
    assert "give 260" in found[0]
    assert conflicts(replace(certified, decisions=certified.decisions.drop(columns="contract"))) == ()


@pytest.fixture(scope="module")
def verified(certified: StudyInputs) -> StudyInputs:
    found = verified_nsln(certified.decisions, certified.labels, certified.axillae, replicates=60)
    cascade = {**certified.metrics["cascade"], "verification": found}
    return replace(certified, metrics={**certified.metrics, "cascade": cascade})


def test_verification_is_told_with_what_was_used_and_left_out(verified: StudyInputs, certified: StudyInputs) -> None:
    said, used = (line.replace("\u00a0", " ") for line in verification_lines(verified))
    share = verified.metrics["cascade"]["verified_share"]
    assert said.startswith(f"NSLN status is known for {share['events']} of {share['n']} SLN-positive axillae")
    assert said.endswith("Neither is part of the contract.")
    missing = int((verified.axillae["tumour_size_mm"].isna() & (verified.labels["sln"] == 1)).sum())
    assert missing > 0
    assert f"tumour size in mm is left out, unknown for {missing} axillae" in used
    assert "log-odds of P(SLN positive | x), log-odds of P(NSLN positive | SLN positive, x), age in years" in used
    assert "patient bootstrap, 60 replicates" in used
    cascade = {key: value for key, value in certified.metrics["cascade"].items() if key != "verification"}
    assert verification_lines(replace(certified, metrics={**certified.metrics, "cascade": cascade})) == ()
    assert conflicts(verified) == ()


def test_verification_of_a_proxy_does_not_speak_of_dissection(verified: StudyInputs, uncertified: StudyInputs) -> None:
    inputs = replace(verified, metrics={**verified.metrics, "proxies": uncertified.metrics["proxies"]})
    assert "dissect" not in " ".join(verification_lines(inputs))


def test_everybody_verified_needs_no_second_sentence(certified: StudyInputs) -> None:
    labels = certified.labels.assign(nsln=certified.labels["nsln"].fillna(0.0))
    found = verified_nsln(certified.decisions, labels, certified.axillae, replicates=20)
    cascade = {**certified.metrics["cascade"], "verification": found}
    lines = verification_lines(replace(certified, labels=labels, metrics={**certified.metrics, "cascade": cascade}))
    assert len(lines) == 1
    assert "needs no assumption" in lines[0]


def test_counts_of_verification_and_survival_are_audited(verified: StudyInputs) -> None:
    survival = study_survival(verified.decisions, verified.axillae, replicates=100)
    assert survival is not None
    inputs = replace(verified, metrics={**verified.metrics, "survival": survival})
    assert conflicts(inputs) == ()
    metrics = copy.deepcopy(dict(inputs.metrics))
    metrics["cascade"]["verification"]["verified"] += 1
    metrics["survival"]["patients"] -= 2
    found = conflicts(replace(inputs, metrics=metrics))
    assert len(found) == 2
    assert "known NSLN status" in found[0]
    assert "follow-up" in found[1]
    told = replace(inputs, metrics={**inputs.metrics, "survival": {"unavailable": "no library"}})
    assert conflicts(told) == ()
    assert isinstance(inputs.axillae, pd.DataFrame)
    assert np.isfinite(inputs.axillae["dfs_months"]).all()
