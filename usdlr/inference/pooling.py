"""From image sets to axillae: one calibrated prediction per patient, side and stage."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

from usdlr.core.columns import CONTRIBUTION_PREFIX
from usdlr.core.types import Stage
from usdlr.decision.calibration import PlattCalibrator
from usdlr.inference.stage import BASE

AXILLA = ["patient_id", "side"]


def pool_axillae(images: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Average the image sets of each axilla.

    Parameters
    ----------
    images : DataFrame
        From :meth:`StageModel.predict_images`.
    cases : DataFrame
        The ``cases`` table; its order decides the order of axillae.

    Returns
    -------
    DataFrame
        ``patient_id, side, logit`` and contributions: means over the axilla's image sets. A block that only some of
        them have counts as 0 where it is absent; one that none has stays null. The shares still sum to the logit.
    """
    if set(images["image_id"]) != set(cases["image_id"]):
        raise ValueError("predictions and cases name different image sets: an axilla would be judged on a part of them")
    joined = cases[["image_id", *AXILLA]].merge(images, on="image_id", how="left", validate="one_to_one")
    shares = [name for name in images if str(name).startswith(CONTRIBUTION_PREFIX)]
    groups = joined.groupby(AXILLA, sort=False)
    seen = groups[shares].count() > 0
    pooled = joined[[*AXILLA, *shares]].fillna(0.0).groupby(AXILLA, sort=False)[shares].mean().where(seen)
    pooled.insert(0, "logit", pooled.sum(axis=1))
    return pooled.reset_index()


def calibrated_rows(
    pooled: pd.DataFrame, calibrator: PlattCalibrator, *, stage: Stage, fold: str, split: pd.Series, model_id: str
) -> pd.DataFrame:
    """Rows of the ``predictions`` table.

    Parameters
    ----------
    pooled : DataFrame
        From :func:`pool_axillae`.
    calibrator : PlattCalibrator
        Fitted on tuning patients; slope and intercept are applied to the shares too, so that they still add up.
    stage, fold, model_id : str
        For the columns of the same name.
    split : Series
        Split by patient id.
    """
    shares = [name for name in pooled if str(name).startswith(CONTRIBUTION_PREFIX)]
    out = pooled[AXILLA].copy()
    out["stage"] = str(stage)
    out["fold"] = fold
    out["split"] = split.loc[list(pooled["patient_id"])].to_numpy()
    scaled = pooled[shares] * calibrator.slope_
    scaled[BASE] = scaled[BASE] + calibrator.intercept_
    out["logit"] = scaled.sum(axis=1).to_numpy(np.float64)
    out["probability"] = expit(out["logit"].to_numpy(np.float64))
    return pd.concat([out, scaled], axis=1).assign(model_id=model_id)
