"""Where answers change with the contour: counted by hand and by scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from usdlr.evaluation.contour_likeness import effect_by_likeness

COUNT = 12
OVERLAP = [0.2, 0.3, 0.5, 0.6, 0.7, 0.79, 0.8, 0.85, 0.9, 0.95, 1.0, 0.9]
TRUTH = [1, 1, 1, 0, 1, 0, 1, 0, 1, 0, 0, np.nan]
READER = [0.9, 0.8, 0.7, 0.3, 0.6, 0.4, 0.9, 0.2, 0.4, 0.5, 0.1, 0.9]
SOFTWARE = [0.1, 0.2, 0.7, 0.3, 0.2, 0.4, 0.8, 0.2, 0.4, 0.3, 0.1, 0.1]
KEY = {"patient_id": [f"p{number}" for number in range(COUNT)], "side": "left"}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    likeness = pd.DataFrame({**KEY, "dice": OVERLAP, "sphericity_reader": 0.6, "sphericity_software": 0.75})
    return effect_by_likeness(
        pd.DataFrame({**KEY, "p_sln": READER}),
        pd.DataFrame({**KEY, "p_sln": SOFTWARE}),
        pd.DataFrame({**KEY, "sln": TRUTH}),
        likeness.sample(frac=1, random_state=1),
        replicates=200,
    )


def test_every_axilla_of_known_outcome_is_in_one_group(found: dict[str, Any]) -> None:
    assert [(row["n"], row["positives"]) for row in found["overlap"]] == [(2, 2), (4, 2), (5, 2)]


def test_measures_are_scikit_learns(found: dict[str, Any]) -> None:
    none, middle, good = found["overlap"]
    assert none["auc"]["reader"]["value"] is None, "one outcome alone has no AUC"
    for row, places in ((middle, slice(2, 6)), (good, slice(6, 11))):
        first, second = (roc_auc_score(TRUTH[places], values[places]) for values in (READER, SOFTWARE))
        assert row["auc"]["reader"]["value"] == pytest.approx(first)
        assert row["auc"]["software"]["value"] == pytest.approx(second)
        assert row["auc"]["difference"]["value"] == pytest.approx(second - first)
    assert none["change"]["positive"]["value"] == pytest.approx(-0.7)
    assert none["change"]["negative"]["value"] is None
    assert good["change"]["positive"]["value"] == pytest.approx(-0.05)
    assert good["change"]["negative"]["value"] == pytest.approx(-0.2 / 3)


def test_how_round_contours_are(found: dict[str, Any]) -> None:
    for outcome, count in (("positive", 6), ("negative", 5)):
        own = found["sphericity"][outcome]
        assert own["difference"]["value"] == pytest.approx(0.15)
        assert own["reader"]["n"] == count
