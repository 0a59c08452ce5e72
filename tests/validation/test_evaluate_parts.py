"""Parts of a validation's numbers: which area is pooled, prevalence of those calibrated on, thresholds by axilla."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tests.validation.test_validation_plan import made
from usdlr.core.types import Stage
from usdlr.validation.evaluate import _area, _calibrated_on, _centre, _read_of


def test_a_centre_with_two_axillae_of_one_patient_is_pooled_by_patients() -> None:
    axilla = {"value": 0.8, "low": 0.7, "high": 0.87, "n": 40, "method": "DeLong"}
    patient = axilla | {"low": 0.65, "method": "by patient"}
    assert _area({"auc": axilla, "auc_by_patient": patient}, clustered=True).low == 0.65
    assert _area({"auc": axilla, "auc_by_patient": patient}, clustered=False).low == 0.7
    assert _area({"auc": axilla, "auc_by_patient": patient | {"low": None, "high": None}}, clustered=True).low == 0.7


def test_prevalence_is_that_of_whom_the_probabilities_were_calibrated_on() -> None:
    """Saerens, Latinne and Decaestecker (2002) divide by the prior of the calibrated probabilities."""
    card = {"positive": 50, "negative": 50}
    assert _calibrated_on(card, {"held_n": 20, "held_positive": 4}) == pytest.approx(0.2)
    assert _calibrated_on(card, {}) == pytest.approx(0.5)
    assert _read_of(Stage.NSLN, "from predictions, no outcome read") == "from predictions, no NSLN outcome read"
    assert _read_of(Stage.SLN, "from predictions, no outcome read") == "from predictions, no outcome read"


def test_a_centre_is_read_at_the_thresholds_of_each_axilla() -> None:
    """Risk 0.3 of everybody: above the first stratum's threshold, below the second's; half the positives are found."""
    who = [f"p{number}" for number in range(8)]
    labels = pd.DataFrame({"patient_id": who, "side": "left", "centre_id": "east"})
    labels = labels.assign(sln=[1.0, 1.0, 0.0, 0.0] * 2, nsln=[1.0, 0.0, 0.0, 0.0] * 2)
    rows: list[dict[str, Any]] = [
        {"patient_id": name, "side": "left", "stage": stage, "logit": -0.847, "probability": 0.3}
        for name in who
        for stage in ("sln", "nsln")
    ]
    decisions = labels[["patient_id", "side"]].assign(
        p_sln=0.3, p_nsln=0.3, t_sln=[0.2] * 4 + [0.4] * 4, t_nsln=0.1, risk_group=["HR-NSLN"] * 4 + ["LR-SLN"] * 4
    )
    found = _centre(made(), labels, pd.DataFrame(rows), decisions)
    assert found["stages"]["sln"]["sensitivity"]["value"] == pytest.approx(0.5)
    assert found["verdicts"]["sln"]["rate"]["events"] == 2
