"""A run fits the score in every fold, ships it with the summary, and repeats its deferrals in prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.tiny import tiny_config
from usdlr.core import tables
from usdlr.core.errors import BundleError, InputError
from usdlr.core.files import read_json
from usdlr.core.types import OnUncertified
from usdlr.data.samples import SampleStore
from usdlr.decision.settings import ContractSettings
from usdlr.evaluation.shift import shift_report
from usdlr.experiment.cohort import axilla_labels
from usdlr.experiment.decide import decide_all
from usdlr.experiment.layout import Layout
from usdlr.experiment.ood_fit import LOOKS, fold_seen
from usdlr.inference.bundle import load_bundle
from usdlr.inference.bundle_files import write_bundle
from usdlr.inference.predictor import Prepared, predict_prepared
from usdlr.inference.reference import bundle_reference, centre_rows, require_reference


def prepared(run: Path) -> Prepared:
    layout = Layout(run)
    cases = tables.CASES.read(layout.cases)
    store = SampleStore.load(layout.crops).select(cases["image_id"])
    design = pd.read_parquet(layout.design).loc[list(cases["image_id"])]
    return Prepared(cases, store, design, tables.EXCLUSIONS.empty())


def test_the_report_counts_false_alarms_of_test_axillae(run_folder: Path) -> None:
    found = read_json(run_folder / "metrics.json")["ood"]
    decisions = pd.read_parquet(run_folder / "decisions.parquet")
    assert found["rate"] == 0.05
    # Every test axilla is judged once; a fold with fewer than 19 tuning patients states no limit.
    folds = found["folds"].values()
    assert sum(one["n"] for one in folds) == (found["test"]["n"])
    assert all((one["limit"] is None) == (one["n"] == 0) for one in folds)
    assert sum(one["n"] for one in folds) in (0, len(decisions), *(one["n"] for one in folds))
    assert "Axillae unlike the training patients" in (run_folder / "report.html").read_text(encoding="utf-8")


def test_a_bundle_carries_a_summary_that_its_own_patients_fit(run_folder: Path) -> None:
    bundle = load_bundle(run_folder / "bundle")
    reference = require_reference(bundle)
    splits = tables.SPLITS.read(run_folder / "splits.csv").query("fold == 'bundle'")["split"].value_counts()
    assert reference.counts["patients"] == splits["train"] + splits["tuning"]
    assert reference.counts["held"] == splits["tuning"]
    labels = axilla_labels(tables.CASES.read(run_folder / "cases.parquet"), tiny_config(run_folder).data)
    assert 0 < reference.endpoints["sln"]["positive"] < len(labels)
    rows, predictions = centre_rows(bundle, prepared(run_folder))
    written = pd.read_parquet(run_folder / "predictions.parquet").query("fold == 'bundle'")
    both = predictions.merge(written, on=["patient_id", "side", "stage"], suffixes=("", "_run"))
    assert np.allclose(both["logit"], both["logit_run"], atol=1e-6)
    found = shift_report(reference, rows)
    assert found["kinds"]["image_features"]["alarm"] is False
    names = set(tables.CASES.read(run_folder / "cases.parquet")["patient_id"])
    text = (run_folder / "bundle" / "reference" / "summary.json").read_text(encoding="utf-8")
    assert not any(name in text for name in names)
    assert bundle_reference(replace(bundle, extras={})) is None
    with pytest.raises(BundleError, match="without a summary"):
        require_reference(replace(bundle, extras={}))


def test_looks_that_are_gone_or_of_other_networks_are_read_again(run_copy: Path) -> None:
    config, layout = tiny_config(run_copy), Layout(run_copy)
    cases = tables.CASES.read(layout.cases)
    first, _ = fold_seen(config, layout, cases, "0")
    kept = run_copy / "work" / "fits" / "0" / "sln" / LOOKS
    kept.write_bytes((run_copy / "work" / "fits" / "1" / "sln" / LOOKS).read_bytes())
    (run_copy / "work" / "fits" / "0" / "nsln" / LOOKS).unlink()
    second, _ = fold_seen(config, layout, cases, "0")
    for block, each in first.looks.items():
        for one, other in zip(each, second.looks[block], strict=True):
            assert np.array_equal(one, other, equal_nan=True)


def test_a_run_defers_by_the_score_and_prediction_repeats_it(run_copy: Path) -> None:
    layout = Layout(run_copy)
    cases = tables.CASES.read(layout.cases)
    config = tiny_config(run_copy)
    config = replace(config, contract=ContractSettings(ood_share=0.3))
    labels, splits = axilla_labels(cases, config.data), layout.read_splits(cases["patient_id"].unique())
    decided = decide_all(config, layout, cases, labels, splits)
    write_bundle(
        layout.bundle,
        members={name: layout.member(name) for name in ("bundle", "0")},
        preparation=config.preparation,
        on_uncertified=OnUncertified.ZERO_MISS,
        card=read_json(layout.bundle / "bundle.json")["card"],
    )
    bundle = load_bundle(layout.bundle, member="0")
    rule = bundle.member.contract.deferral
    assert rule is not None
    assert rule.width == 0
    assert bundle.member.ood is not None
    assert rule.ood_above == bundle.member.ood.limit
    found = predict_prepared(bundle, prepared(run_copy), on_uncertified=OnUncertified.ZERO_MISS)
    test = set(splits[(splits["fold"] == "0") & (splits["split"] == "test")]["patient_id"])
    own, run = (
        one[one["patient_id"].isin(test)].set_index(["patient_id", "side"]).sort_index()
        for one in (found.decisions, decided.decisions)
    )
    assert own["risk_group"].tolist() == run["risk_group"].tolist()
    assert own["reason"].tolist() == run["reason"].tolist()
    strange = decided.strange[(decided.strange["fold"] == "0") & decided.strange["patient_id"].isin(test)]
    strange = strange.set_index(["patient_id", "side"]).sort_index()
    told = found.reliability.set_index(["patient_id", "side"]).loc[strange.index]
    assert told["ood_score"].tolist() == strange["ood_score"].tolist()
    deferred = run["risk_group"] == "DEFER"
    assert deferred.tolist() == strange["ood_alarm"].astype(bool).tolist()
    assert 0 < deferred.sum() < len(run)
    assert run.loc[deferred, "reason"].str.contains("unlike those").all()


def test_a_share_that_too_few_tuning_patients_can_state_is_refused(run_copy: Path) -> None:
    layout = Layout(run_copy)
    cases = tables.CASES.read(layout.cases)
    config = replace(tiny_config(run_copy), contract=ContractSettings(ood_share=0.001))
    labels, splits = axilla_labels(cases, config.data), layout.read_splits(cases["patient_id"].unique())
    with pytest.raises(InputError, match="at least 999"):
        decide_all(config, layout, cases, labels, splits)
