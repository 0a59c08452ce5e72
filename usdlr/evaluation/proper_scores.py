"""Scores that only honest probabilities minimise: log loss, scaled Brier score, and what the Brier score is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usdlr.decision.arrays import FloatArray, scores
from usdlr.evaluation.calibration import groups_of
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.metrics import FEWEST, known_rows, no_classes
from usdlr.evaluation.resampling import known_patients, patient_bootstrap


@dataclass(frozen=True)
class BrierParts:
    """A Brier score in parts: ``brier = reliability - resolution + uncertainty + within``.

    Parameters
    ----------
    brier : float
        Mean squared difference between probability and outcome.
    reliability : float
        Mean squared difference between the probability and the observed share of its group; 0 is ideal.
    resolution : float
        Mean squared difference between a group's observed share and that of all axillae; the larger, the better.
    uncertainty : float
        Variance of the outcome; no model can change it.
    within : float
        What grouping unequal probabilities leaves out; 0 where each group is one probability.
    reliability_corrected, resolution_corrected : float or None
        Without the bias by which few axillae per group raise both; the first may be negative. None where a group is
        a single axilla.
    groups, n : int
        Groups and axillae.
    method : str
        What a group is.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float
    reliability_corrected: float | None
    resolution_corrected: float | None
    groups: int
    n: int
    method: str


def log_loss(
    y: npt.ArrayLike, log_odds: npt.ArrayLike, *, patients: npt.ArrayLike | None = None, seed: int = 0
) -> Estimate:
    """Mean negative log likelihood in nat, with a percentile bootstrap interval; log(2) is a coin's.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    log_odds : (n,) array_like
        Predicted log-odds of the positive class: unlike a probability rounded to 0 or 1, their loss is never infinite.
    patients : (n,) array_like, optional
        Whose axillae they are; the bootstrap draws patients. Without it, it draws axillae.
    seed : int
        Of the bootstrap.

    Examples
    --------
    >>> round(log_loss([0, 1, 1], [0.0, 0.0, 0.0]).value, 4)
    0.6931
    """
    truth, (values,), who = known_patients(y, patients, log_odds=log_odds)
    if len(truth) < FEWEST:
        return undefined(len(truth), f"fewer than {FEWEST} axillae of known status")
    each = np.logaddexp(0.0, values) - truth * values
    return patient_bootstrap(lambda w: w @ each / w.sum(axis=1), who, "mean log loss in nat", seed=seed)


def scaled_brier(
    y: npt.ArrayLike, probability: npt.ArrayLike, *, patients: npt.ArrayLike | None = None, seed: int = 0
) -> Estimate:
    """Share of the outcome's variance that the probabilities take away: 1 is perfect, 0 is the prevalence for all.

    ``1 - Brier / (prevalence * (1 - prevalence))``, with the prevalence of the same axillae; below 0 a model is worse
    than telling everybody the prevalence.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    probability : (n,) array_like
        Probability of the positive class.
    patients, seed
        As in :func:`log_loss`.

    References
    ----------
    Steyerberg et al., Epidemiology 21 (2010), doi:10.1097/EDE.0b013e3181c30fb2.

    Examples
    --------
    >>> scaled_brier([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5]).value
    0.0
    """
    truth, (values,), who = known_patients(
        y, patients, probability=scores(probability, "probability", probability=True)
    )
    why = no_classes(truth)
    if why:
        return undefined(len(truth), why)
    errors = (values - truth) ** 2

    def statistic(weights: FloatArray) -> FloatArray:
        rows = weights.sum(axis=1)
        share = weights @ truth / rows
        # Where a class was not drawn there is no variance to be explained: not-a-number.
        return np.asarray(1 - weights @ errors / rows / np.where(share * (1 - share) > 0, share * (1 - share), np.nan))

    return patient_bootstrap(statistic, who, "scaled Brier score", seed=seed)


def brier_parts(y: npt.ArrayLike, probability: npt.ArrayLike, *, bins: int | None = None) -> BrierParts | None:
    """Reliability, resolution and uncertainty of the Brier score; None without axillae of known status.

    Parameters
    ----------
    y, probability : (n,) array_like
        As in :func:`scaled_brier`.
    bins : int, optional
        Groups of equal size, equal probabilities together. Without it every distinct probability is a group: the
        decomposition is exact then, but where nearly all probabilities differ a group is one axilla and reliability
        and resolution say nothing.

    References
    ----------
    Murphy, J Appl Meteorol 12 (1973), doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2. Stephenson, Coelho and
    Jolliffe, Weather Forecast 23 (2008), doi:10.1175/2007WAF2006116.1 (within groups). Ferro and Fricker, Q J R
    Meteorol Soc 138 (2012), doi:10.1002/qj.1924 (correction).

    Examples
    --------
    >>> parts = brier_parts([0, 0, 0, 1, 0, 1], [0.25, 0.25, 0.25, 0.25, 0.75, 0.75])
    >>> [round(value, 4) for value in (parts.reliability, parts.resolution, parts.uncertainty, parts.brier)]
    [0.0208, 0.0139, 0.2222, 0.2292]
    """
    truth, (values,) = known_rows(y, probability=scores(probability, "probability", probability=True))
    if not len(truth):
        return None
    group = values if bins is None else groups_of(values, bins)
    _, member, counts = np.unique(group, return_inverse=True, return_counts=True)
    n, share = len(truth), float(truth.mean())
    predicted, observed = np.bincount(member, values) / counts, np.bincount(member, truth) / counts
    reliability = float((counts * (predicted - observed) ** 2).sum() / n)
    resolution = float((counts * (observed - share) ** 2).sum() / n)
    off, gap = values - predicted[member], truth - observed[member]
    bias = None
    if counts.min() > 1:
        bias = float((counts * observed * (1 - observed) / (counts - 1)).sum() / n)
    return BrierParts(
        brier=float(((values - truth) ** 2).mean()),
        reliability=reliability,
        resolution=resolution,
        uncertainty=share * (1 - share),
        within=0.0 if bins is None else float((off**2 - 2 * off * gap).mean()),
        reliability_corrected=None if bias is None else reliability - bias,
        resolution_corrected=None if bias is None else resolution - bias + share * (1 - share) / (n - 1),
        groups=len(counts),
        n=n,
        method=(
            f"Murphy's decomposition, exact over {len(counts)} distinct probabilities"
            if bins is None
            else f"Murphy's decomposition over {len(counts)} groups of equal size, within-group terms apart"
        ),
    )
