"""Estimates on patients of another source: by hand, and what may not stand among them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from usdlr.core.errors import InputError, LeakError
from usdlr.core.types import Stage
from usdlr.evaluation.external import external_metrics
from usdlr.evaluation.study import BaselineScores

# Of 3 x 2 pairs, the positives rank higher in 5; the baseline in 3.
TRUTH = {"a": (1, 1), "b": (1, 0), "c": (0, 0), "d": (0, 0), "e": (0, 0)}
MODEL = {"a": 0.9, "b": 0.4, "c": 0.5, "d": 0.2, "e": 0.1}
PLAIN = {"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.2, "e": 0.3}


def rows(split: str = "external") -> pd.DataFrame:
    from math import log

    return pd.DataFrame(
        {"patient_id": name, "side": "left", "stage": str(stage), "fold": "bundle", "split": split,
         "logit": log(p / (1 - p)), "logit_low": log(p / (1 - p)) - 1, "logit_high": log(p / (1 - p)) + 1,
         "probability": p, "model_id": "m"}
        for stage in Stage for name, p in MODEL.items()
    )  # fmt: skip


def judged(**changes: Any) -> dict[str, Any]:
    labels = pd.DataFrame(
        {"patient_id": name, "side": "left", "sln": float(sln), "nsln": float(nsln)}
        for name, (sln, nsln) in TRUTH.items()
    )
    scores = pd.DataFrame(
        {"patient_id": name, "side": "left", "stage": str(stage), "fold": "bundle", "score": score}
        for stage in Stage
        for name, score in PLAIN.items()
    )
    given: dict[str, Any] = {
        "predictions": rows(),
        "labels": labels,
        "thresholds": {Stage.SLN: 0.45, Stage.NSLN: 0.5},
        "baselines": {"plain": BaselineScores("Plain", scores)},
        "cohort": {"centres": ["east"]},
    }
    return external_metrics(**(given | changes))


def test_estimates_are_those_of_the_hand() -> None:
    found = judged()
    sln = found["stages"]["sln"]
    assert sln["auc"]["value"] == pytest.approx(5 / 6)
    assert set(sln["auc"]) == {"value", "low", "high", "n", "method"}
    # Called at 0.45: a and c.
    assert (sln["sensitivity"]["value"], sln["specificity"]["value"]) == (0.5, pytest.approx(2 / 3))
    assert found["stages"]["nsln"]["auc"]["n"] == 2
    plain = found["baselines"]["plain"]["stages"]["sln"]
    assert plain["auc"]["value"] == pytest.approx(3 / 6)
    assert plain["difference"]["value"] == pytest.approx(2 / 6)
    assert found["cohort"]["sln"] == {"positive": 2, "negative": 3, "unknown": 0}
    assert (found["cohort"]["axillae"], found["cohort"]["centres"]) == (5, ["east"])


@pytest.mark.parametrize("split", ["train", "tuning", "calibration", "test"])
def test_a_patient_who_made_the_model_is_refused(split: str) -> None:
    with pytest.raises(LeakError, match="whom the model was made with"):
        judged(predictions=rows(split))


def test_no_axilla_may_be_missing() -> None:
    with pytest.raises(InputError, match="4 axillae"):
        judged(predictions=rows().query("patient_id != 'e'"))
