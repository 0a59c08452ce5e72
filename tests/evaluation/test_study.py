from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from usdlr.core.errors import InputError, LeakError, TableError
from usdlr.core.types import ContractStatus, OnUncertified
from usdlr.decision.cascade import decide
from usdlr.decision.contract import Contract
from usdlr.evaluation.study import BaselineScores, study_metrics

N = 120


def contract(t_sln: float, t_nsln: float) -> Contract:
    both = {"sln": 60, "nsln": 30}
    return Contract(
        alpha={"sln": 0.1, "nsln": 0.1},
        delta=0.05,
        status=ContractStatus.CERTIFIED,
        required_positives={"sln": 29, "nsln": 29},
        t_sln=t_sln,
        t_nsln=t_nsln,
        positives=both,
        misses={"sln": 1, "nsln": 0},
        p_value=0.03,
    )


def study() -> dict[str, Any]:
    """A consistent study: 60 patients with two sides, three folds, train rows among the predictions."""
    random = np.random.default_rng(0)
    keys = pd.DataFrame({"patient_id": [f"p{i // 2:03d}" for i in range(N)], "side": ["left", "right"] * (N // 2)})
    fold = pd.Series([str(i // 2 % 3) for i in range(N)])
    sln = (random.random(N) < 0.5).astype(float)
    nsln = np.where(sln == 1, (random.random(N) < 0.5).astype(float), 0.0)
    sln[:6] = np.nan
    nsln[np.isnan(sln) | (random.random(N) < 0.2)] = np.nan
    logits = {"sln": np.nan_to_num(sln) + random.normal(0, 1, N), "nsln": np.nan_to_num(nsln) + random.normal(0, 1, N)}
    contracts = {name: contract(0.3 + int(name) / 20, 0.35) for name in "012"}
    parts = []
    for stage, values in logits.items():
        table = keys.assign(stage=stage, fold=fold, split="test", logit=values, probability=expit(values), model_id="m")
        table = table.assign(logit_low=values - 1, logit_high=values + 1)
        parts += [table, table.assign(fold=((fold.astype(int) + 1) % 3).astype(str), split="train", logit=9.0)]
    predictions = pd.concat(parts, ignore_index=True).sample(frac=1, random_state=1)
    scores = keys.assign(p_sln=expit(logits["sln"]), p_nsln=expit(logits["nsln"]))
    decisions = pd.concat(
        [decide(scores[fold == name], value, on_uncertified=OnUncertified.DEFER) for name, value in contracts.items()]
    )
    baseline = pd.concat(
        [
            keys.assign(stage=stage, fold=fold, score=100 * values + random.normal(0, 80, N))
            for stage, values in logits.items()
        ]
    )
    return {
        "predictions": predictions,
        "decisions": decisions,
        "labels": keys.assign(sln=sln, nsln=nsln),
        "contract": contract(0.3, 0.3).to_dict(),
        "fold_contracts": {name: value.to_dict() for name, value in contracts.items()},
        "baselines": {"size": BaselineScores("Tumour size", baseline.sample(frac=1, random_state=2))},
        "header": {
            "experiment": "demo",
            "question": "?",
            "simulated": True,
            "proxies": {"sln": None, "nsln": None},
            "endpoints": {
                "sln": {"column": "sln_positive", "positive": "x"},
                "nsln": {"column": "nsln_positive", "positive": "z"},
            },
        },
        "cohort": {
            "centres": ["A"],
            "image_sets": 200,
            "patients": 60,
            "axillae": N,
            "excluded": 1,
            "exclusions": {"c": 1},
        },
    }


def test_the_whole_dictionary() -> None:
    given = study()
    found = study_metrics(**given)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == {
        "experiment",
        "question",
        "simulated",
        "proxies",
        "endpoints",
        "cohort",
        "stages",
        "cascade",
        "baselines",
        "references",
        "decision_curves",
    }
    stage_keys = {
        "auc",
        "auc_mean_over_folds",
        "sensitivity",
        "specificity",
        "ppv",
        "npv",
        "brier",
        "calibration_slope",
        "calibration_intercept",
        "auc_by_patient",
        "partial_auc",
        "average_precision",
        "specificity_at_sensitivity",
        "by_patient",
        "scaled_brier",
        "log_loss",
        "observed_expected",
        "calibration_error",
        "ici",
        "e50",
        "e90",
        "emax",
    }
    assert set(found["stages"]["sln"]) == set(found["stages"]["nsln"]) == stage_keys
    assert set(found["cascade"]) == {
        "fnr_sln",
        "fnr_nsln",
        "defer_rate",
        "defer_rate_sln_positive",
        "defer_rate_nsln_positive",
        "verified_share",
        "groups",
        "contract",
        "folds",
        "predictive",
        "pathways",
        "threshold_shift",
    }
    for stage in found["stages"].values():
        rates = {"sensitivity", "specificity", "ppv", "npv"}
        by_patient = stage.pop("by_patient")
        assert set(by_patient) == rates
        for name, estimate in (*stage.items(), *by_patient.items()):
            assert {"value", "low", "high", "n", "method"} <= set(estimate)
            assert ("events" in estimate) == (name in rates)
    assert found["cohort"]["patients"] == 60
    assert sum(found["cohort"]["sln"].values()) == N
    assert found["references"] == {"sentinel_biopsy_fnr": 0.1, "axillary_dissection_fnr": 0.05}
    assert sum(group["n"] for group in found["cascade"]["groups"].values()) == N


def test_numbers_come_from_test_rows_of_known_status() -> None:
    given = study()
    found = study_metrics(**given)
    test = given["predictions"].query("split == 'test'").merge(given["labels"], on=["patient_id", "side"])
    sln = test.query("stage == 'sln'").dropna(subset="sln")
    nsln = test.query("stage == 'nsln' and sln == 1").dropna(subset="nsln")
    assert found["stages"]["sln"]["auc"]["value"] == pytest.approx(roc_auc_score(sln["sln"], sln["probability"]))
    assert found["stages"]["sln"]["auc"]["n"] == len(sln) == N - 6
    assert found["stages"]["nsln"]["auc"]["value"] == pytest.approx(roc_auc_score(nsln["nsln"], nsln["probability"]))
    assert found["stages"]["nsln"]["auc"]["n"] == len(nsln)
    assert "pooled" in found["stages"]["sln"]["auc"]["method"]
    assert "mean of 3" in found["stages"]["sln"]["auc_mean_over_folds"]["method"]
    by_fold = [roc_auc_score(part["sln"], part["probability"]) for _, part in sln.groupby("fold")]
    assert found["stages"]["sln"]["auc_mean_over_folds"]["value"] == pytest.approx(np.mean(by_fold))


def test_sensitivity_uses_each_rows_threshold_and_mirrors_the_cascade() -> None:
    given = study()
    found = study_metrics(**given)
    assert found["cascade"]["fnr_sln"]["value"] == pytest.approx(1 - found["stages"]["sln"]["sensitivity"]["value"])


def test_baselines_are_compared_on_the_same_axillae() -> None:
    given = study()
    found = study_metrics(**given)["baselines"]["size"]
    merged = given["baselines"]["size"].predictions.merge(given["labels"], on=["patient_id", "side"])
    sln = merged.query("stage == 'sln'").dropna(subset="sln")
    assert found["title"] == "Tumour size"
    assert found["auc"] == found["stages"]["sln"]["auc"]
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(sln["sln"], sln["score"]))
    model = study_metrics(**given)["stages"]["sln"]["auc"]["value"]
    assert found["stages"]["sln"]["difference"]["value"] == pytest.approx(model - found["auc"]["value"])


def swapped(given: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    return {**given, key: value}


def test_an_axilla_lost_on_the_way_is_noticed() -> None:
    given = study()
    first = given["predictions"].query("split == 'test' and stage == 'nsln'").index[0]
    with pytest.raises(InputError, match="119 axillae in the test predictions of stage nsln and 120 in the labels"):
        study_metrics(**swapped(given, "predictions", given["predictions"].drop(first)))
    with pytest.raises(InputError, match="119 axillae in the decisions"):
        study_metrics(**swapped(given, "decisions", given["decisions"].iloc[1:]))
    with pytest.raises(InputError, match="1 extra"):
        study_metrics(**swapped(given, "labels", given["labels"].iloc[1:]))
    short = BaselineScores("short", given["baselines"]["size"].predictions.iloc[1:])
    with pytest.raises(InputError, match="119 axillae in the predictions of the baseline short"):
        study_metrics(**swapped(given, "baselines", {"short": short}))
    with pytest.raises(InputError, match="axillae = 121 in the cohort but 120"):
        study_metrics(**swapped(given, "cohort", {**given["cohort"], "axillae": 121}))


def test_leaks_are_refused() -> None:
    given = study()
    table = given["predictions"]
    trained = table[(table["patient_id"] == "p000") & (table["split"] == "train")].head(1)
    with pytest.raises(LeakError, match="1 patients in two splits of one fold"):
        study_metrics(**swapped(given, "predictions", pd.concat([table, trained.assign(fold="0", side="unknown")])))
    across = table.copy()
    across.loc[(across["patient_id"] == "p000") & (across["stage"] == "sln") & (across["split"] == "test"), "split"] = (
        "calibration"
    )
    with pytest.raises(LeakError, match="1 patients in two splits of one fold"):
        study_metrics(**swapped(given, "predictions", across))
    torn = table.copy()
    torn.loc[(torn["patient_id"] == "p000") & (torn["side"] == "left") & (torn["split"] == "test"), "fold"] = "9"
    with pytest.raises(LeakError, match="tested in more than one fold"):
        study_metrics(**swapped(given, "predictions", torn))
    with pytest.raises(TableError, match="second time"):
        study_metrics(**swapped(given, "predictions", pd.concat([table, table.head(1)])))


def test_decisions_of_another_model_or_fold_are_refused() -> None:
    given = study()
    decisions = given["decisions"]
    with pytest.raises(InputError, match="whose p_sln is not the test prediction's"):
        study_metrics(**swapped(given, "decisions", decisions.assign(p_sln=0.5)))
    with pytest.raises(InputError, match="whose t_sln or t_nsln is not their test fold's"):
        study_metrics(**swapped(given, "decisions", decisions.assign(t_nsln=0.5)))
    fewer = {name: value for name, value in given["fold_contracts"].items() if name != "2"}
    with pytest.raises(InputError, match="no contract of fold '2'"):
        study_metrics(**swapped(given, "fold_contracts", fewer))
    other = given["baselines"]["size"].predictions.assign(fold="0")
    with pytest.raises(InputError, match="other test folds"):
        study_metrics(**swapped(given, "baselines", {"other": BaselineScores("other", other)}))


def test_header_must_be_complete() -> None:
    given = study()
    with pytest.raises(InputError, match="no 'question'"):
        study_metrics(**swapped(given, "header", {"experiment": "demo"}))


def test_a_study_without_any_nsln_status_is_described_not_broken() -> None:
    given = study()
    found = study_metrics(**swapped(given, "labels", given["labels"].assign(nsln=np.nan)))
    assert found["stages"]["nsln"]["auc"]["value"] is None
    assert found["cascade"]["fnr_nsln"] == {
        "value": None,
        "low": None,
        "high": None,
        "n": 0,
        "events": 0,
        "method": "undefined: no axillae in the denominator",
    }
    assert found["baselines"]["size"]["stages"]["nsln"]["difference"]["value"] is None
