"""How close a model comes to the best possible, on a simulated cohort whose truth is known.

The *oracle* ranks axillae by the true probabilities: nobody can do better, with whatever images. The *limit* is a model
of the true form on what can be measured on the images, fitted on as many patients as the model. It is a yardstick, not
a bound: with few patients a simpler model, or a better measure of one property, may lie above it by chance or by right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import InputError
from usdlr.core.types import Stage
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation import metrics, weighted
from usdlr.evaluation.alignment import by_axilla, same_axillae
from usdlr.evaluation.intervals import LEVEL, Estimate, undefined
from usdlr.evaluation.resampling import MOST_LOST, bootstrap_weights, known_patients, once, replicate

ORACLE, LIMIT = "oracle", "limit"
CHANCE = 0.5
NEAREST = 0.01  # a limit that is less than this above chance divides nothing
BY_DEFINITION = "0.5 by definition: in this scenario nothing tells the axillae apart"


@dataclass(frozen=True, eq=False)
class CeilingScores:
    """Scores of the oracle or of the limit for the axillae that the model is judged on.

    Parameters
    ----------
    predictions : DataFrame
        ``patient_id side stage fold score``: the model's test axillae at both stages, in the model's folds.
    chance : frozenset of str
        Stages at which the scenario leaves nothing to know, so that the AUC is 0.5 by definition.
    """

    predictions: pd.DataFrame
    chance: frozenset[str] = frozenset()


def ceiling_estimates(
    name: str, ceiling: CeilingScores, tested: Mapping[Stage, pd.DataFrame], status: Mapping[Stage, pd.Series]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Both AUCs of the oracle or the limit at every stage, with the model's own interval methods.

    Parameters
    ----------
    name : str
        ``oracle`` or ``limit``.
    ceiling : CeilingScores
        Its scores.
    tested : mapping of Stage to DataFrame
        The model's test rows by axilla, with ``fold``.
    status : mapping of Stage to Series
        1 positive, 0 negative, NaN unknown, in the order of ``tested``.

    Raises
    ------
    InputError
        If the scores are not of the model's axillae and folds, or one is not a finite number.
    """
    found = {}
    for stage, rows in tested.items():
        theirs = _aligned(name, ceiling, stage, rows)
        y, score = status[stage], theirs["score"]
        n = int(y.notna().sum())
        if str(stage) in ceiling.chance:
            pooled = mean = Estimate(CHANCE, CHANCE, CHANCE, n, BY_DEFINITION) if n else undefined(0, "no axillae")
        else:
            pooled = metrics.auc(y, score)
            if pooled.value is not None:
                pooled = replace(pooled, method=f"pooled over folds: {pooled.method}")
            mean = metrics.auc_mean_over_folds(y, score, rows["fold"])
        found[str(stage)] = {"auc": pooled.as_dict(), "auc_mean_over_folds": mean.as_dict()}
    return found


def shares_of_limit(
    limit: CeilingScores, tested: Mapping[Stage, pd.DataFrame], status: Mapping[Stage, pd.Series]
) -> dict[str, dict[str, Any]]:
    """The model's share of the limit at every stage; see :func:`share_of_limit` and :func:`ceiling_estimates`."""
    shares = {}
    for stage, rows in tested.items():
        if str(stage) in limit.chance:
            share = undefined(int(status[stage].notna().sum()), f"the limit is {BY_DEFINITION}")
        else:
            patients = rows.index.get_level_values("patient_id")
            score = _aligned(LIMIT, limit, stage, rows)["score"]
            share = share_of_limit(status[stage], rows["probability"], score, patients)
        shares[str(stage)] = share.as_dict()
    return shares


def share_of_limit(
    y: npt.ArrayLike, score: npt.ArrayLike, limit: npt.ArrayLike, patient: npt.ArrayLike, *, seed: int = 0
) -> Estimate:
    """(AUC - 0.5) / (limit - 0.5), both pooled over folds, with a paired percentile bootstrap over patients.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    score, limit : (n,) array_like
        The model's scores and the limit's; higher means more likely positive.
    patient : (n,) array_like
        Whose axilla it is: both sides of a patient are drawn together.
    seed : int
        Of the bootstrap; the same seed gives the same interval.

    Returns
    -------
    Estimate
        1: as good as the limit; 0: no better than chance. Without a value where the limit is at most 0.51; without an
        interval where that is so in more than 5 % of the resamples.

    Examples
    --------
    >>> share = share_of_limit([0, 0, 1, 1], [1, 3, 2, 4], [1, 2, 3, 4], ["a", "b", "c", "d"])
    >>> share.value
    0.5
    """
    truth, (ours, theirs), who = known_patients(y, patient, score=score, limit=limit)
    n = len(truth)
    why = metrics.no_ranking(truth, ours) or metrics.no_ranking(truth, theirs)
    if why:
        return undefined(n, why)
    reached, best = weighted.auc(truth, ours), weighted.auc(truth, theirs)

    def statistic(weights: FloatArray) -> FloatArray:
        lead = best(weights) - CHANCE
        return np.where(lead > NEAREST, (reached(weights) - CHANCE) / lead, np.nan)

    value = float(once(statistic, n)[0])
    if np.isnan(value):
        top = float(once(best, n)[0])
        return undefined(n, f"the limit is {top:.3f}, too near to {CHANCE} to be shared")
    every = replicate(statistic, bootstrap_weights(who, seed=seed))[:, 0]
    kept = every[np.isfinite(every)]
    method = (
        f"(AUC - 0.5) / (limit - 0.5), both pooled over folds, paired percentile bootstrap over {who.count} patients"
    )
    if len(kept) < (1 - MOST_LOST) * len(every):
        lost = f"no interval: in {len(every) - len(kept)} of {len(every)} resamples the limit is no better than chance"
        return Estimate(value, None, None, n, f"{method}, {lost}")
    low, high = np.quantile(kept, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), n, f"{method} ({len(kept)} resamples)")


def _aligned(name: str, ceiling: CeilingScores, stage: Stage, rows: pd.DataFrame) -> pd.DataFrame:
    chosen = ceiling.predictions[ceiling.predictions["stage"].astype(str) == str(stage)]
    what = f"scores of the {name} at stage {stage}"
    theirs = by_axilla(chosen, ("fold", "score"), what)
    same_axillae(theirs, rows, what, "model's test predictions")
    if (theirs["fold"].astype(str).to_numpy() != rows["fold"].astype(str).to_numpy()).any():
        raise InputError(f"found other test folds in the {what}, expected the model's; make them from its splits")
    if not np.isfinite(theirs["score"].to_numpy(dtype=np.float64)).all():
        raise InputError(f"found {what} that are no finite numbers, expected one per axilla; check the truth tables")
    return theirs
