"""How many patients the development of a risk model for a binary outcome needs.

External validation: :mod:`usdlr.evaluation.sample_size_external`; a promised false-negative rate:
:mod:`usdlr.evaluation.sample_size_contract`.

References
----------
Riley et al., Minimum sample size for developing a multivariable prediction model: Part II, Stat Med 38 (2019) 1276,
doi:10.1002/sim.7992. Riley et al., Calculating the sample size required for developing a clinical prediction model,
BMJ 368 (2020) m441, doi:10.1136/bmj.m441. Riley, Van Calster and Collins, A note on estimating the Cox-Snell R2 from
a reported C statistic, Stat Med 40 (2021) 859, doi:10.1002/sim.8806.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from usdlr.core.errors import ConfigError
from usdlr.evaluation.intervals import Z
from usdlr.evaluation.risk_distribution import RiskDistribution

SHRINKAGE = 0.9
R2_OPTIMISM = 0.05
RISK_MARGIN = 0.05


@dataclass(frozen=True)
class Requirement:
    """What one criterion asks for.

    Parameters
    ----------
    criterion : str
        What is to be precise, or small.
    n : int
        Patients with a known outcome (axillae, where both sides of a patient count).
    events : int
        Positives expected among them, rounded up.
    detail : str
        The target and the figures behind it.
    """

    criterion: str
    n: int
    events: int
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"criterion": self.criterion, "n": self.n, "events": self.events, "detail": self.detail}


def cox_snell_from_auc(auc: float, prevalence: float) -> float:
    """Cox-Snell R2 of a well calibrated model with normal log-odds of one variance in both classes.

    Riley's note simulates a million patients; the same integral is taken here exactly.

    Parameters
    ----------
    auc : float
        Anticipated area under the ROC curve, corrected for optimism.
    prevalence : float
        Share of positives.

    Examples
    --------
    >>> round(cox_snell_from_auc(0.78, 0.2), 2)
    0.16
    """
    risks = RiskDistribution.from_auc(auc, prevalence)
    return 1 - math.exp(-2 * (risks.mean_log_likelihood() - _null_log_likelihood(prevalence)))


def largest_cox_snell(prevalence: float) -> float:
    """The Cox-Snell R2 of a perfect model, below 1 for a binary outcome.

    Examples
    --------
    >>> round(largest_cox_snell(0.05), 2)
    0.33
    """
    share("prevalence", prevalence)
    return 1 - math.exp(2 * _null_log_likelihood(prevalence))


def development(
    *,
    prevalence: float,
    parameters: int,
    r2: float | None = None,
    auc: float | None = None,
    shrinkage: float = SHRINKAGE,
    r2_optimism: float = R2_OPTIMISM,
    risk_margin: float = RISK_MARGIN,
) -> list[Requirement]:
    """Patients needed to develop a model: one requirement per criterion of Riley et al.; the largest counts.

    Made for regression with candidate predictors. For a network the number of weights says nothing: give the number
    of candidate predictors of the last, fused regression, and take the result as a lower bound.

    Parameters
    ----------
    prevalence : float
        Share of positives.
    parameters : int
        Candidate predictor parameters, those dropped later included.
    r2, auc : float or None
        Exactly one: the anticipated Cox-Snell R2 (adjusted for optimism), or the AUC from which it is derived.
    shrinkage : float
        Criterion 1: expected uniform shrinkage of the coefficients, at least.
    r2_optimism : float
        Criterion 2: optimism in Nagelkerke's R2, at most.
    risk_margin : float
        Criterion 3: half the 95 % interval of the overall risk.

    Raises
    ------
    ConfigError
        If a value is out of range, or not exactly one of ``r2`` and ``auc`` is given.

    Examples
    --------
    >>> [need.n for need in development(prevalence=0.05, parameters=30, r2=0.05)]
    [5249, 1770, 73]
    """
    for name, value in (("shrinkage", shrinkage), ("r2_optimism", r2_optimism), ("risk_margin", risk_margin)):
        share(name, value)
    if parameters < 1:
        raise ConfigError(f"found parameters = {parameters}, expected at least 1; count the candidate predictors")
    if (r2 is None) == (auc is None):
        raise ConfigError(
            "found both or neither of r2 and auc, expected exactly one; give the one that is better known"
        )
    largest = largest_cox_snell(prevalence)
    explained = cox_snell_from_auc(auc, prevalence) if auc is not None else float(r2 or 0.0)
    if not 0 < explained < min(largest, shrinkage):
        raise ConfigError(
            f"found r2 = {explained:.3g}, expected a Cox-Snell R2 above 0 and below {min(largest, shrinkage):.3g}, the "
            "largest that this prevalence and shrinkage allow; a Nagelkerke R2 is divided by its largest value"
        )
    source = f"Cox-Snell R2 {explained:.3f}" + ("" if auc is None else f" from AUC {auc:g}")
    second = explained / (explained + r2_optimism * largest)
    return [
        requirement(
            "shrinkage of coefficients",
            _for_shrinkage(parameters, explained, shrinkage),
            prevalence,
            f"expected shrinkage of {shrinkage:g} or nearer 1, {parameters} parameters, {source}",
        ),
        requirement(
            "optimism in Nagelkerke's R2",
            _for_shrinkage(parameters, explained, second),
            prevalence,
            f"apparent minus adjusted at most {r2_optimism:g} (a shrinkage of {second:.3f})",
        ),
        requirement(
            "overall risk",
            (Z / risk_margin) ** 2 * prevalence * (1 - prevalence),
            prevalence,
            f"95 % interval within {risk_margin:g} of {prevalence:g}",
        ),
    ]


def largest(requirements: list[Requirement]) -> Requirement:
    """The requirement that decides: the one with most patients, the earlier of equals."""
    return max(requirements, key=lambda need: need.n)


def requirement(criterion: str, n: float, prevalence: float, detail: str) -> Requirement:
    """A requirement with both counts rounded up."""
    patients = upward(n)
    return Requirement(criterion, patients, upward(patients * prevalence), detail)


def upward(value: float) -> int:
    """The next whole number, where rounding errors of a product do not add one.

    Examples
    --------
    >>> upward(0.07 * 100), upward(7.01)
    (7, 8)
    """
    return math.ceil(round(value, 9))


def share(name: str, value: float, *, one: bool = False) -> None:
    """Refuse what is not a share above 0 and below 1 (with ``one``: or 1 itself).

    Raises
    ------
    ConfigError
        With the name, the value and the range.
    """
    if not (np.isfinite(value) and value > 0 and (value < 1 or (one and value == 1))):
        raise ConfigError(
            f"found {name} = {value}, expected a share above 0 and {'at most' if one else 'below'} 1 (not per cent); "
            "correct it"
        )


def _for_shrinkage(parameters: int, r2: float, shrinkage: float) -> float:
    return parameters / ((shrinkage - 1) * math.log(1 - r2 / shrinkage))


def _null_log_likelihood(prevalence: float) -> float:
    return prevalence * math.log(prevalence) + (1 - prevalence) * math.log(1 - prevalence)
