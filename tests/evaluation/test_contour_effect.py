"""What other contours change, on tables whose every number can be counted by hand or by scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from usdlr.core.types import RiskGroup
from usdlr.evaluation.contour_effect import contour_effect

LOW, MIDDLE, HIGH = (str(group) for group in list(RiskGroup)[:3])
FEW: dict[str, Any] = {"replicates": 200, "seed": 1}


def decisions(p_sln: list[float], p_nsln: list[float] | None = None, group: list[str] | None = None) -> pd.DataFrame:
    count = len(p_sln)
    return pd.DataFrame(
        {
            "patient_id": [f"p{number}" for number in range(count)],
            "side": "left",
            "risk_group": group or [LOW] * count,
            "p_sln": p_sln,
            "t_sln": 0.5,
            "p_nsln": p_nsln or [0.5] * count,
            "t_nsln": 0.4,
        }
    )


def labels(sln: list[float], nsln: list[float] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {"patient_id": [f"p{number}" for number in range(len(sln))], "side": "left", "sln": sln,
         "nsln": nsln or [np.nan] * len(sln)}
    )  # fmt: skip


TRUTH = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
READER = [0.9, 0.8, 0.7, 0.6, 0.55, 0.4, 0.3, 0.2, 0.1]
SOFTWARE = [0.9, 0.3, 0.7, 0.65, 0.45, 0.6, 0.3, 0.25, 0.1]


def test_the_same_contours_change_nothing() -> None:
    found = contour_effect(decisions(READER), decisions(READER), labels(TRUTH), **FEW)
    own = found["stages"]["sln"]
    for measure in own["measures"].values():
        assert measure["reader"]["value"] == measure["software"]["value"]
        assert measure["difference"]["value"] == 0
    assert own["change"]["mean"]["value"] == own["change"]["size"]["value"] == 0
    assert own["change"]["limits"] == [0, 0]
    assert found["groups"]["same"]["value"] == 1


def test_every_measure_is_scikit_learns() -> None:
    found = contour_effect(decisions(READER), decisions(SOFTWARE), labels(TRUTH), **FEW)["stages"]["sln"]
    for name, other in (
        ("auc", roc_auc_score),
        ("average_precision", average_precision_score),
        ("brier", brier_score_loss),
    ):
        own = found["measures"][name]
        first, second = other(TRUTH, READER), other(TRUTH, SOFTWARE)
        assert own["reader"]["value"] == pytest.approx(first, abs=1e-12)
        assert own["software"]["value"] == pytest.approx(second, abs=1e-12)
        assert own["difference"]["value"] == pytest.approx(second - first, abs=1e-12)
        assert own["difference"]["low"] <= second - first <= own["difference"]["high"]


def test_calls_at_the_models_threshold() -> None:
    """By hand: software misses one of four positives; of five negatives one turns right and another wrong."""
    found = contour_effect(decisions(READER), decisions(SOFTWARE), labels(TRUTH), **FEW)["stages"]["sln"]
    sensitivity, specificity = (found["measures"][name] for name in ("sensitivity", "specificity"))
    assert [sensitivity[key]["value"] for key in ("reader", "software", "difference")] == [1.0, 0.75, -0.25]
    assert [specificity[key]["value"] for key in ("reader", "software")] == [0.8, 0.8]
    assert specificity["difference"]["value"] == 0
    assert specificity["difference"]["low"] < 0 < specificity["difference"]["high"], "two answers did change"
    change = np.array(SOFTWARE) - np.array(READER)
    assert found["change"]["mean"]["value"] == pytest.approx(change.mean())
    assert found["change"]["size"]["value"] == pytest.approx(np.abs(change).mean())


def test_the_second_stage_asks_positive_axillae_alone() -> None:
    nsln = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, np.nan, np.nan, np.nan]
    found = contour_effect(decisions(READER, READER), decisions(SOFTWARE, SOFTWARE), labels(TRUTH, nsln), **FEW)
    own = found["stages"]["nsln"]
    assert (own["n"], own["positives"]) == (4, 2)
    # Positives 0.9 and 0.7 against negatives 0.3 and 0.65: both are above 0.4, and one of the negatives too.
    assert own["measures"]["sensitivity"]["software"]["value"] == 1
    assert own["measures"]["specificity"]["software"]["value"] == 0.5


def test_what_software_did_not_find_is_counted_and_compared_with_nothing() -> None:
    software = decisions(SOFTWARE).drop([0, 8])
    found = contour_effect(decisions(READER), software, labels(TRUTH), **FEW)
    assert found["axillae"] == {
        "reader": 9, "software": 7, "both": 7, "without_software": 2, "without_software_positive": 1,
        "unusable": 0, "unusable_positive": 0,
    }  # fmt: skip
    assert found["stages"]["sln"]["n"] == 7
    assert found["stages"]["sln"]["measures"]["auc"]["reader"]["value"] == roc_auc_score(TRUTH[1:8], READER[1:8])


def test_an_outline_that_the_model_cannot_use_is_no_missed_lesion() -> None:
    software = decisions(SOFTWARE).drop([0, 8])
    outlined = labels(TRUTH).drop([8])  # of the axilla 0 as well, twice
    found = contour_effect(
        decisions(READER), software, labels(TRUTH), outlined=pd.concat([outlined, outlined.head(1)]), **FEW
    )["axillae"]
    assert (found["without_software"], found["without_software_positive"]) == (1, 0)
    assert (found["unusable"], found["unusable_positive"]) == (1, 1)


def test_groups_are_counted_both_ways() -> None:
    first, second = [LOW, LOW, MIDDLE, HIGH], [LOW, MIDDLE, MIDDLE, LOW]
    values = READER[2:6]
    found = contour_effect(decisions(values, group=first), decisions(values, group=second), labels(TRUTH[2:6]), **FEW)[
        "groups"
    ]
    counts = {
        (first, second): number
        for first, row in zip(found["order"], found["counts"], strict=True)
        for second, number in zip(found["order"], row, strict=True)
        if number
    }
    assert counts == {(LOW, LOW): 1, (LOW, MIDDLE): 1, (MIDDLE, MIDDLE): 1, (HIGH, LOW): 1}
    assert found["same"]["value"] == 0.5


def test_an_outcome_that_nobody_has() -> None:
    found = contour_effect(decisions(READER), decisions(SOFTWARE), labels([0.0] * 9), **FEW)["stages"]["sln"]
    assert found["measures"]["sensitivity"]["reader"]["value"] is None
    assert "no axilla of that outcome" in found["measures"]["sensitivity"]["reader"]["method"]
    assert found["measures"]["auc"]["difference"]["value"] is None
