"""Raw log-odds become rows of the predictions table, and their shares still add up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from usdlr.core.leak import Rows
from usdlr.core.types import Stage
from usdlr.decision.calibration import CALIBRATORS, PlattCalibrator
from usdlr.decision.uncertainty import LogitInterval
from usdlr.inference.calibrated import absent, calibrated_rows

AXILLAE = pd.DataFrame(
    {
        "patient_id": ["p", "p", "q"],
        "side": ["left", "right", "left"],
        "logit": [1.0, 2.5, 0.5],
        "spread": [0.0, 0.0, 0.25],
        "contribution.bmode.intratumoral": [0.6, 2.0, 0.2],
        "contribution.elasto.intratumoral": [0.1, np.nan, np.nan],
        "contribution.base": [0.3, 0.5, 0.3],
    }
)


# Nothing is open but what networks and views, and a missing map, leave open.
INTERVAL = LogitInterval(((0.0, 0.0), (0.0, 0.0)), {"elasto": (-1.0, 2.0)}, level=0.9)


def rows(slope: float, intercept: float) -> pd.DataFrame:
    calibrator = PlattCalibrator()
    calibrator.slope_, calibrator.intercept_ = slope, intercept
    split = pd.Series({"q": "train", "p": "test"})
    return calibrated_rows(AXILLAE, calibrator, INTERVAL, stage=Stage.SLN, fold="0", split=split, model_id="m")


def test_calibration_keeps_the_sum() -> None:
    found = rows(2.0, -1.0)
    np.testing.assert_allclose(found["logit"], 2.0 * AXILLAE["logit"] - 1.0)
    np.testing.assert_allclose(found["probability"], expit(found["logit"]))
    np.testing.assert_allclose(found.filter(like="contribution.").sum(axis=1), found["logit"])


def test_slope_scales_every_share_and_the_intercept_belongs_to_the_base() -> None:
    found = rows(2.0, -1.0)
    np.testing.assert_allclose(found["contribution.bmode.intratumoral"], [1.2, 4.0, 0.4])
    np.testing.assert_allclose(found["contribution.elasto.intratumoral"], [0.2, np.nan, np.nan])
    np.testing.assert_allclose(found["contribution.base"], [-0.4, 0.0, -0.4])


def test_the_interval_is_wider_for_axillae_without_the_map_and_where_networks_disagree() -> None:
    """The second axilla lacks the map, which moved tuning patients by -1 to 2; the third also has a spread of 0.25."""
    found = rows(2.0, -1.0)
    spread = 1.6448536 * 2 * 0.25
    np.testing.assert_allclose(found["logit_low"] - found["logit"], [0, -2, -np.hypot(2, spread)], atol=1e-6)
    np.testing.assert_allclose(found["logit_high"] - found["logit"], [0, 4, np.hypot(4, spread)], atol=1e-6)


def test_a_modality_is_absent_where_all_of_its_image_blocks_are() -> None:
    more = AXILLAE.copy()
    more["contribution.elasto.peritumoral"] = [np.nan, 0.5, np.nan]
    more["contribution.radiomics.elasto.intratumoral"] = 0.1
    found = absent(more)
    assert {name: there.tolist() for name, there in found.items()} == {
        "bmode": [False, False, False],
        "elasto": [False, False, True],
    }


def test_every_row_says_whose_it_is() -> None:
    found = rows(1.0, 0.0)
    assert list(found["split"]) == ["test", "test", "train"]
    assert found[["patient_id", "side"]].equals(AXILLAE[["patient_id", "side"]])
    assert set(found["stage"]) == {"sln"}
    assert set(found["fold"]) == {"0"}
    assert set(found["model_id"]) == {"m"}


def test_the_given_table_is_not_changed() -> None:
    before = AXILLAE.copy()
    rows(3.0, 3.0)
    pd.testing.assert_frame_equal(AXILLAE, before)


@pytest.mark.parametrize("kind", ["beta", "isotonic", "venn_abers"])
def test_shares_add_up_after_a_calibrator_that_bends(kind: str) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(0, 2, 60)
    y = (draw.random(60) < expit(x)).astype(float)
    tuning = Rows.of([f"t{i}" for i in range(60)], ["tuning"] * 60)
    calibrator = CALIBRATORS[kind]().fit(x, y, rows=tuning)
    split = pd.Series({"q": "train", "p": "test"})
    found = calibrated_rows(AXILLAE, calibrator, INTERVAL, stage=Stage.SLN, fold="0", split=split, model_id="m")
    np.testing.assert_array_equal(found["logit"], calibrator.transform(AXILLAE["logit"]))
    shares = found.filter(like="contribution.")
    np.testing.assert_allclose(shares.sum(axis=1), found["logit"])
    before = AXILLAE[shares.columns.drop("contribution.base")].fillna(0.0)
    assert (np.sign(shares[before.columns].fillna(0.0)) * np.sign(before) >= 0).all(axis=None)
    assert (found["logit_low"] <= found["logit"]).all()
    assert (found["logit_high"] >= found["logit"]).all()
    assert list(found["contribution.elasto.intratumoral"].isna()) == [False, True, True]
