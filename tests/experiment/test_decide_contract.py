"""What the settings of the contract change in a run: deferral, strata and the marginal promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import tiny_config
from usdlr.core import tables
from usdlr.decision.contract import Contract
from usdlr.experiment.cohort import axilla_labels
from usdlr.experiment.decide import Decided, decide_all
from usdlr.experiment.layout import Layout
from usdlr.experiment.results import cohort_counts


def decided(cohort: Path, run: Path, **settings: Any) -> Decided:
    config = tiny_config(cohort)
    config = replace(config, contract=replace(config.contract, **settings))
    layout = Layout(run)
    cases = tables.CASES.read(layout.cases)
    splits = layout.read_splits(cases["patient_id"].unique())
    return decide_all(config, layout, cases, axilla_labels(cases, config.data), splits)


def test_axillae_near_a_threshold_are_deferred_where_asked(cohort: Path, run_copy: Path) -> None:
    plain = decided(cohort, run_copy)
    near = decided(cohort, run_copy, defer_near=True, defer_at_most=1.0)
    assert all(contract.deferral is None for contract in plain.contracts.values())
    for name, contract in near.contracts.items():
        assert contract.deferral is not None
        assert contract.deferral.width == 1.0
        assert contract.deferred is not None
        assert contract.positives == plain.contracts[name].positives  # deferred positives stay in the denominator
        assert Contract.from_dict(contract.to_dict()) == contract
    group = near.decisions["risk_group"]
    assert set(plain.decisions["risk_group"]) & {"DEFER"} == set()
    assert near.decisions.loc[group == "DEFER", "reason"].str.contains("too uncertain").all()


@pytest.mark.parametrize("by", ["centre", "tumour_size", "elastography"])
def test_every_stratum_of_the_bundle_has_a_contract(cohort: Path, run_copy: Path, by: str) -> None:
    contract = decided(cohort, run_copy, strata=by).contracts["bundle"]
    assert contract.by_stratum
    held = [part.positives["sln"] for part in contract.by_stratum.values()]
    assert sum(held) <= contract.positives["sln"]
    assert all(not part.certified and part.required_positives["sln"] >= 29 for part in contract.by_stratum.values())


def test_a_marginal_contract_is_never_certified(cohort: Path, run_copy: Path) -> None:
    found = decided(cohort, run_copy, kind="marginal", alpha_sln=0.5, alpha_nsln=0.9)
    assert {contract.kind for contract in found.contracts.values()} == {"marginal"}
    assert not any(contract.certified for contract in found.contracts.values())
    status = {str(contract.status) for name, contract in found.contracts.items() if name != "bundle"}
    assert set(found.decisions["contract"]) == status <= {"marginal", "not_certifiable"}


@pytest.mark.parametrize("by", ["centre", "tumour_size"])
def test_out_of_fold_decisions_use_their_folds_strata(cohort: Path, run_copy: Path, by: str) -> None:
    found = decided(cohort, run_copy, strata=by)
    cases = tables.CASES.read(run_copy / "cases.parquet")
    column = {"centre": "centre_id", "tumour_size": "tumour_size_mm"}[by]
    value = cases.groupby(["patient_id", "side"])[column].max()
    test = found.predictions[found.predictions["split"].astype(str) == "test"]
    fold = test.drop_duplicates(["patient_id", "side"]).set_index(["patient_id", "side"])["fold"]
    rows = found.decisions.dropna(subset="risk_group").set_index(["patient_id", "side"])
    assert len(rows) == len(fold)
    seen = set()
    for key, row in zip(rows.index, rows.to_dict("records"), strict=True):
        contract = found.contracts[str(fold.loc[[key]].iloc[0])]
        assert contract.strata is not None
        (name,) = contract.strata.labels([value.loc[[key]].iloc[0]])
        if name is not None and name in contract.by_stratum:
            part = contract.by_stratum[name]
            assert (row["t_sln"], row["t_nsln"]) == (part.t_sln, part.t_nsln)
            assert name in row["reason"]
            seen.add((part.t_sln, part.t_nsln) == (contract.t_sln, contract.t_nsln))
        else:
            assert row["risk_group"] == "DEFER"
    assert False in seen  # the strata's thresholds are not those of all axillae together


def test_image_sets_are_those_of_tested_patients(cohort: Path, run_copy: Path) -> None:
    """Split by date, earlier patients train only: their image sets stand behind no rate."""
    config, layout = tiny_config(cohort), Layout(run_copy)
    cases = tables.CASES.read(layout.cases)
    labels = axilla_labels(cases, config.data)
    late = set(list(labels["patient_id"].unique())[::2])
    told = cohort_counts(
        config, layout, cases, labels[labels["patient_id"].isin(late)], tables.EXCLUSIONS.read(layout.exclusions)
    )
    assert told["image_sets"] == int(cases["patient_id"].isin(late).sum()) < len(cases)
    assert told["image_sets_with_untested"] == len(cases)
    assert sum(told["quality"]["spacing_source"].values()) == told["image_sets"]
