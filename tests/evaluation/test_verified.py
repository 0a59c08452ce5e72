"""The NSLN rate of a study beside what selective dissection may have bent."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit

from usdlr.core.errors import DataError, InputError
from usdlr.decision.wording import verification_sentence
from usdlr.evaluation.cascade import cascade_rates
from usdlr.evaluation.verified import read_verified, verified_nsln

LOW, MIDDLE, HIGH, DEFER = "LR-SLN", "HR-SLN/LR-NSLN", "HR-SLN/HR-NSLN", "DEFER"


def cohort(n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Large tumours are dissected more often and missed less: decisions, labels, axillae, the hidden truth."""
    random = np.random.default_rng(seed)
    size = random.normal(22, 8, n).clip(3, 80)
    p_sln, p_nsln = expit(random.normal(0, 1, n) + (size - 22) / 12), expit(random.normal(-0.5, 1, n))
    sln = random.random(n) < 0.6
    nsln = sln & (random.random(n) < 0.4)
    dissected = random.random(n) < expit((size - 22) / 5)
    keys = {"patient_id": [f"p{i:05d}" for i in range(n)], "side": "left"}
    group = np.where(p_sln < 0.3, LOW, np.where(p_nsln < 0.3, MIDDLE, HIGH))
    decisions = pd.DataFrame({**keys, "risk_group": group, "p_sln": p_sln, "p_nsln": p_nsln})
    labels = pd.DataFrame({**keys, "sln": sln.astype(float), "nsln": np.where(sln & ~dissected, np.nan, nsln)})
    axillae = pd.DataFrame({**keys, "tumour_size_mm": size, "age_years": random.normal(55, 10, n)})
    return decisions, labels, axillae.sample(frac=1.0, random_state=0), nsln.astype(float)


def test_the_weighted_rate_comes_nearer_to_everybodys() -> None:
    decisions, labels, axillae, truth = cohort(20_000, 1)
    missed = decisions["risk_group"].isin([LOW, MIDDLE]).to_numpy()
    full = missed[truth == 1].mean()
    plain = cascade_rates(decisions, labels)["fnr_nsln"]["value"]
    found = verified_nsln(decisions, labels, axillae, replicates=40)
    assert full - plain > 0.04
    assert found["weighted"] == pytest.approx(full, abs=0.015)
    assert found["best"] < full < found["worst"]
    assert found["covariates"] == ["p_sln", "p_nsln", "tumour_size_mm", "age_years"]


def test_it_is_a_logistic_regression_on_what_was_known_before() -> None:
    decisions, labels, axillae, _ = cohort(900, 2)
    found = verified_nsln(decisions, labels, axillae, replicates=20)
    rows = decisions.merge(labels, on=["patient_id", "side"]).merge(axillae, on=["patient_id", "side"])
    rows = rows[rows["sln"] == 1]
    x = np.column_stack([logit(rows["p_sln"]), logit(rows["p_nsln"]), rows["tumour_size_mm"], rows["age_years"]])
    known = rows["nsln"].notna().to_numpy()
    chance = sm.GLM(known.astype(float), sm.add_constant(x), family=sm.families.Binomial()).fit().fittedvalues
    weight = 1 / np.maximum(np.asarray(chance), 0.05)
    positive = (rows["nsln"] == 1).to_numpy()
    missed = rows["risk_group"].isin([LOW, MIDDLE]).to_numpy()
    assert found["weighted"] == pytest.approx(weight[positive & missed].sum() / weight[positive].sum(), abs=2e-3)
    assert (found["sln_positive"], found["verified"]) == (len(rows), int(known.sum()))
    rate = cascade_rates(decisions, labels)["fnr_nsln"]
    assert (found["fnr_nsln"]["events"], found["fnr_nsln"]["n"]) == (rate["events"], rate["n"])


def test_what_is_not_known_for_all_is_left_out_and_named() -> None:
    decisions, labels, axillae, _ = cohort(400, 3)
    positive = labels.loc[labels["sln"] == 1, "patient_id"]
    gaps = axillae.assign(
        tumour_size_mm=axillae["tumour_size_mm"].where(~axillae["patient_id"].isin(positive[:7])).astype("Float64")
    )
    found = verified_nsln(decisions, labels, gaps, replicates=20)
    assert found["covariates"] == ["p_sln", "p_nsln", "age_years"]
    assert found["left_out"] == {"tumour_size_mm": 7}
    # A gap among SLN-negative axillae harms nobody.
    negative = labels.loc[labels["sln"] == 0, "patient_id"]
    harmless = axillae.assign(tumour_size_mm=axillae["tumour_size_mm"].where(~axillae["patient_id"].isin(negative)))
    assert verified_nsln(decisions, labels, harmless, replicates=20)["left_out"] == {}
    for nothing in (pd.DataFrame(), axillae[["patient_id", "side"]], axillae.iloc[:0]):
        left = verified_nsln(decisions, labels, nothing, replicates=20)["left_out"]
        assert left == {"tumour_size_mm": len(positive), "age_years": len(positive)}
    with pytest.raises(DataError, match="age_years"):
        verified_nsln(decisions, labels, axillae.assign(age_years="old"), replicates=20)
    with pytest.raises(InputError, match="expected the same ones"):
        verified_nsln(decisions.iloc[1:], labels, axillae)


def test_degenerate_studies_have_an_answer_in_words() -> None:
    decisions, labels, axillae, _ = cohort(60, 4)
    nobody = verified_nsln(decisions, labels.assign(sln=0.0, nsln=0.0), axillae, replicates=20)
    assert nobody["fnr_nsln"]["value"] is None
    assert "no SLN-positive axilla" in verification_sentence(read_verified(nobody))
    undissected = verified_nsln(decisions, labels.assign(nsln=np.nan), axillae, replicates=20)
    assert undissected["fnr_nsln"]["method"].startswith("undefined: ")
    deferred = verified_nsln(decisions.assign(risk_group=DEFER), labels, axillae, replicates=20)
    assert deferred["weighted"] == 0.0
    assert deferred["worst"] == 0.0
    certain = verified_nsln(decisions.assign(p_sln=1.0, p_nsln=0.0), labels, axillae, replicates=20)
    assert certain["weighted"] is not None
    three = verified_nsln(decisions.head(3), labels.head(3), axillae, replicates=20)
    json.dumps(three, allow_nan=False)


def test_the_sentence_says_the_same_after_a_file() -> None:
    decisions, labels, axillae, _ = cohort(500, 5)
    found = verified_nsln(decisions, labels, axillae, replicates=50)
    plain = json.loads(json.dumps(found, allow_nan=False))
    said = verification_sentence(read_verified(plain))
    assert said == verification_sentence(read_verified(found))
    assert "If dissection depends on nothing but the variables used" in said
    proxy = verification_sentence(read_verified(plain), proxy=True)
    assert "dissect" not in proxy
    assert "If being known depends on nothing but the variables used" in proxy
    with pytest.raises(InputError, match="worst"):
        read_verified({key: value for key, value in plain.items() if key != "worst"})
