"""Several image sets of one axilla become one prediction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from usdlr.core.types import Stage
from usdlr.decision.calibration import PlattCalibrator
from usdlr.inference.pooling import calibrated_rows, pool_axillae

CASES = pd.DataFrame(
    {"image_id": ["a", "b", "c", "d"], "patient_id": ["p", "p", "p", "q"], "side": ["left", "left", "right", "left"]}
)
IMAGES = pd.DataFrame(
    {
        "image_id": ["d", "a", "b", "c"],
        "logit": [0.5, 1.5, 0.5, 2.5],
        "contribution.bmode.intratumoral": [0.2, 1.0, 0.2, 2.0],
        "contribution.elasto.intratumoral": [np.nan, 0.2, np.nan, np.nan],
        "contribution.base": [0.3, 0.3, 0.3, 0.5],
    }
)


def test_an_axilla_is_the_mean_of_its_image_sets() -> None:
    pooled = pool_axillae(IMAGES, CASES)
    assert list(zip(pooled["patient_id"], pooled["side"], strict=True)) == [
        ("p", "left"),
        ("p", "right"),
        ("q", "left"),
    ]
    np.testing.assert_allclose(pooled["logit"], [1.0, 2.5, 0.5])
    np.testing.assert_allclose(pooled["contribution.bmode.intratumoral"], [0.6, 2.0, 0.2])
    # Two image sets, one with the block: its share is halved, so that the shares still add up.
    np.testing.assert_allclose(pooled["contribution.elasto.intratumoral"], [0.1, np.nan, np.nan])


def test_repeated_images_of_a_patient_change_nothing() -> None:
    again = pd.concat([CASES, CASES.assign(image_id=CASES["image_id"] + "2")])
    images = pd.concat([IMAGES, IMAGES.assign(image_id=IMAGES["image_id"] + "2")])
    pd.testing.assert_frame_equal(pool_axillae(images, again), pool_axillae(IMAGES, CASES))


def test_missing_or_repeated_prediction_is_an_error_not_a_dropped_image() -> None:
    with pytest.raises(ValueError, match="different image sets"):
        pool_axillae(IMAGES.iloc[1:], CASES)
    with pytest.raises(pd.errors.MergeError):
        pool_axillae(pd.concat([IMAGES, IMAGES]), CASES)


def test_calibration_keeps_the_sum() -> None:
    calibrator = PlattCalibrator()
    calibrator.slope_, calibrator.intercept_ = 2.0, -1.0
    pooled = pool_axillae(IMAGES, CASES)
    rows = calibrated_rows(
        pooled, calibrator, stage=Stage.SLN, fold="0", split=pd.Series({"p": "test", "q": "train"}), model_id="m"
    )
    np.testing.assert_allclose(rows["logit"], 2.0 * pooled["logit"] - 1.0)
    np.testing.assert_allclose(rows["probability"], expit(rows["logit"]))
    np.testing.assert_allclose(rows.filter(like="contribution.").sum(axis=1), rows["logit"])
    assert list(rows["split"]) == ["test", "test", "train"]
