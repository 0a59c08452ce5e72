"""From a stage's raw log-odds to rows of the ``predictions`` table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from usdlr.core.columns import AXILLA_KEY, CONTRIBUTION_PREFIX
from usdlr.core.modalities import MODALITIES
from usdlr.core.regions import block_site
from usdlr.core.types import Site, Stage
from usdlr.decision.calibration import Calibrator
from usdlr.decision.uncertainty import LogitInterval
from usdlr.inference.stage import BASE


def calibrated_rows(
    axillae: pd.DataFrame,
    calibrator: Calibrator,
    interval: LogitInterval,
    *,
    stage: Stage,
    fold: str,
    split: pd.Series,
    model_id: str,
) -> pd.DataFrame:
    """Rows of the ``predictions`` table.

    Parameters
    ----------
    axillae : DataFrame
        From :meth:`usdlr.inference.stage.StageModel.predict_axillae`.
    calibrator : Calibrator
        Fitted on tuning patients; it divides the shares too, so that they still add up.
    interval : LogitInterval
        Measured on tuning patients.
    stage, fold, model_id : str
        For the columns of the same name.
    split : Series
        Split by patient id.
    """
    shares = [name for name in axillae if str(name).startswith(CONTRIBUTION_PREFIX)]
    out = axillae[AXILLA_KEY].copy()
    out["stage"] = str(stage)
    out["fold"] = fold
    out["split"] = split.loc[list(axillae["patient_id"])].to_numpy()
    raw = axillae["logit"].to_numpy(np.float64)
    factor, base = calibrator.divide(raw, axillae[BASE].to_numpy(np.float64))
    scaled = axillae[shares].mul(factor, axis=0)
    scaled[BASE] = base
    # Not the sum of the shares: axillae that a step of the map makes equal stay equal to the last digit.
    out["logit"] = calibrator.transform(raw)
    out["logit_low"], out["logit_high"] = interval.bounds(
        raw, axillae["spread"].to_numpy(np.float64), absent(axillae), calibrator
    )
    out["probability"] = expit(out["logit"].to_numpy(np.float64))
    return pd.concat([out, scaled], axis=1).assign(model_id=model_id)


def absent(axillae: pd.DataFrame) -> dict[str, npt.NDArray[np.bool_]]:
    """Who has no image of a modality, by modality, and who none of a lymph node (``axilla``).

    A modality is absent where every image block of the tumour is null in it; node images are where all of theirs are.
    """
    blocks: dict[str, list[str]] = {}
    for name in map(str, axillae):
        modality, _, region = name.removeprefix(CONTRIBUTION_PREFIX).partition(".")
        if name.startswith(CONTRIBUTION_PREFIX) and modality in MODALITIES:
            site = block_site(region)
            blocks.setdefault(modality if site is Site.TUMOUR else str(site), []).append(name)
    return {what: axillae[names].isna().all(axis=1).to_numpy(dtype=np.bool_) for what, names in blocks.items()}
