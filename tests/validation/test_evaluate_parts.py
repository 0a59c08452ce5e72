"""Parts of a validation's numbers: which area is pooled, prevalence of those calibrated on, thresholds by axilla."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.validation.test_validation_plan import made
from usdlr.core.types import Stage
from usdlr.evaluation.stage_metrics import stage_estimates
from usdlr.validation.evaluate import _calibrated_on, _centre, _read_of


def test_two_axillae_wholly_alike_narrow_no_interval() -> None:
    """Everybody counted twice knows no more: the area's interval stays that of the patients."""
    random = np.random.default_rng(3)
    y = np.repeat([1.0, 0.0], 60)
    logit = random.normal(0.8 * y, 1.0)

    def width(sides: list[str]) -> float:
        index = pd.MultiIndex.from_product([[f"p{n:03d}" for n in range(120)], sides], names=["patient_id", "side"])
        z = np.repeat(logit, len(sides))
        rows = pd.DataFrame({"logit": z, "probability": 1 / (1 + np.exp(-z))}, index=index)
        found = stage_estimates(rows, 0.5, pd.Series(np.repeat(y, len(sides)), index=index))["auc"]
        return float(found["high"] - found["low"])

    assert width(["left", "right"]) == pytest.approx(width(["left"]), rel=0.02)


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
