"""What is asked of an adaptation, and how local patients are divided for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.hashing import derive_seed
from usdlr.core.named_parts import nearest
from usdlr.core.types import Split, Stage
from usdlr.decision.calibration import Calibrator, InterceptCalibrator, IsotonicCalibrator, PlattCalibrator
from usdlr.decision.settings import ContractSettings

NO_CHANGE, INTERCEPT, LINE, ISOTONIC = "none", "intercept", "line", "isotonic"
# What stands behind the bundle's own calibrator.
RECALIBRATIONS: dict[str, type[Calibrator]] = {
    INTERCEPT: InterceptCalibrator,
    LINE: PlattCalibrator,
    ISOTONIC: IsotonicCalibrator,
}
# Patients of either class without whom a stage's calibration is left as it is.
FEWEST_RECALIBRATION = {INTERCEPT: 5, LINE: 10, ISOTONIC: 50}
FOLD = "adapted"
# The parts: tuning adapts, calibration is read once for the thresholds, test is untouched until both models are fixed.
PARTS = (Split.TUNING, Split.CALIBRATION, Split.TEST)


@dataclass(frozen=True)
class AdaptSettings:
    """What an adaptation does; thresholds are always established anew, since nothing of the old contract is left.

    Parameters
    ----------
    recalibrate : str
        ``none``, ``intercept`` (a shift of the log-odds), ``line`` (shift and slope), or ``isotonic``.
    harmonise : bool
        Whether radiomics columns are brought to the level and spread of the development patients, fitted on the
        adaptation part without a look at outcomes. Case mix that shows in the features is taken out too.
    fine_tune : list of str
        Stages (``sln``, ``nsln``) whose networks' last linear layer is fitted again, drawn towards its old weights.
    adaptation, calibration : float
        Shares of the patients with a known outcome; the rest is the untouched test part. Patients without a known
        outcome can teach harmonisation alone and join the adaptation part.
    contract : ContractSettings
        False-negative targets of the adapted model. Strata and deferral near a threshold are not made anew.
    seed : int
        Of the division of the patients.

    Raises
    ------
    ConfigError
        If a word is unknown or a share leaves a part without anybody.
    """

    recalibrate: str = LINE
    harmonise: bool = False
    fine_tune: list[str] = field(default_factory=list)
    adaptation: float = 0.35
    calibration: float = 0.35
    contract: ContractSettings = field(default_factory=ContractSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        known = (NO_CHANGE, *RECALIBRATIONS)
        if self.recalibrate not in known:
            raise ConfigError(
                f"found adapt.recalibrate = {self.recalibrate!r}, expected one of {', '.join(known)}"
                f"{nearest(str(self.recalibrate), known)}"
            )
        stages = list(map(str, Stage))
        if not set(self.fine_tune) <= set(stages) or len(set(self.fine_tune)) < len(self.fine_tune):
            raise ConfigError(f"found adapt.fine_tune = {self.fine_tune}, expected some of {', '.join(stages)}")
        if self.fine_tune and self.recalibrate == NO_CHANGE:
            raise ConfigError(
                "found adapt.fine_tune with adapt.recalibrate = none, expected a recalibration after it: new weights "
                "need a new calibration; use line"
            )
        shares = (self.adaptation, self.calibration, 1 - self.adaptation - self.calibration)
        if not all(0.05 <= share <= 0.9 for share in shares):
            raise ConfigError(
                f"found adapt.adaptation = {self.adaptation} and adapt.calibration = {self.calibration}, expected "
                "shares that leave at least 0.05 of the patients to each of adaptation, calibration and test"
            )
        if self.contract.strata is not None or self.contract.defer_near:
            raise ConfigError(
                "found strata or defer_near in the contract of an adaptation, expected neither: the adapted model gets "
                "one contract for all; leave them out"
            )


def plain(settings: AdaptSettings) -> dict[str, Any]:
    """The settings as plain data, for a record."""
    asked = settings.contract
    return {
        "recalibrate": settings.recalibrate,
        "harmonise": settings.harmonise,
        "fine_tune": list(settings.fine_tune),
        "adaptation": settings.adaptation,
        "calibration": settings.calibration,
        "contract": {"alpha": asked.alpha, "delta": asked.delta, "kind": asked.kind},
        "seed": settings.seed,
    }


def local_splits(labels: pd.DataFrame, settings: AdaptSettings) -> pd.DataFrame:
    """Which part every local patient belongs to.

    Patients are dealt out in proportion among those NSLN positive, SLN positive and SLN negative, so that no part is
    left without the rare ones by chance. The result depends on the ids and the seed, not on the order of the rows.

    Parameters
    ----------
    labels : DataFrame
        ``patient_id side sln nsln``, one row per axilla: 1 positive, 0 negative, NaN unknown.
    settings : AdaptSettings
        Shares and seed.

    Returns
    -------
    DataFrame
        The ``splits`` table: ``fold patient_id split``, patients in the order of their ids.

    Raises
    ------
    DataError
        If fewer than three patients have a known outcome.
    """
    by = labels.assign(patient_id=labels["patient_id"].astype(str)).groupby("patient_id", sort=True)
    kind = by[["sln", "nsln"]].max()
    stratum = np.select([kind["nsln"] == 1, kind["sln"] == 1, kind["sln"] == 0], [2, 1, 0], default=-1)
    known = np.flatnonzero(stratum >= 0)
    if len(known) < len(PARTS):
        raise DataError(
            f"found {len(known)} local patients with a known outcome, expected at least {len(PARTS)}, one for each of "
            "adaptation, calibration and test; collect outcomes first"
        )
    drawn = np.random.default_rng(derive_seed(settings.seed, "adaptation")).permutation(len(kind))
    order = sorted(known, key=lambda place: (-int(stratum[place]), int(drawn[place])))
    shares = np.array([settings.adaptation, settings.calibration, 1 - settings.adaptation - settings.calibration])
    dealt = np.zeros(len(PARTS))
    # Whoever knows no outcome can teach nothing but harmonisation.
    split = np.full(len(kind), str(Split.TUNING), dtype=object)
    for count, place in enumerate(order, start=1):
        part = int(np.argmax(np.round(shares * count - dealt, 9)))
        dealt[part] += 1
        split[place] = str(PARTS[part])
    return pd.DataFrame({"fold": FOLD, "patient_id": kind.index.astype(str), "split": split})
