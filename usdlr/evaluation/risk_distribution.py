"""How predicted risks are anticipated to spread over a population, for planning a study before its data exist."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, expit, log_expit, logit
from scipy.stats import norm

from usdlr.core.errors import ConfigError
from usdlr.decision.arrays import FloatArray, scores

# The trapezium rule converges faster than any power for smooth densities; at these points it is exact to 12 digits.
_POINTS = 4001
_WIDEST_SD = 12.0
_TAIL = 40.0


@dataclass(frozen=True, eq=False)
class RiskDistribution:
    """Log-odds of a calibrated model over a population, as points with weights.

    Parameters
    ----------
    log_odds : (k,) float64 array
        Log-odds of the positive class, in nat.
    weight : (k,) float64 array
        Share of the population at each point; the weights sum to 1.
    words : str
        The assumption, for readers.
    """

    log_odds: FloatArray
    weight: FloatArray
    words: str

    @classmethod
    def normal(cls, mean: float, sd: float) -> RiskDistribution:
        """Normal log-odds over the whole population.

        Raises
        ------
        ConfigError
            If ``sd`` is not positive.

        Examples
        --------
        >>> round(RiskDistribution.normal(-5.0, 2.5).prevalence(), 3)
        0.052
        """
        if not (np.isfinite(mean) and np.isfinite(sd) and sd > 0):
            raise ConfigError(f"found mean = {mean}, sd = {sd}, expected finite numbers and sd > 0; correct them")
        at = mean + sd * np.linspace(-_WIDEST_SD, _WIDEST_SD, _POINTS)
        words = f"log-odds normal with mean {mean:g} and standard deviation {sd:g}"
        return cls(at, _normalised(norm.pdf((at - mean) / sd)), words)

    @classmethod
    def beta(cls, a: float, b: float) -> RiskDistribution:
        """Beta-distributed risks.

        Raises
        ------
        ConfigError
            If ``a`` or ``b`` is not positive.
        """
        if not (np.isfinite(a) and np.isfinite(b) and a > 0 and b > 0):
            raise ConfigError(f"found a = {a}, b = {b}, expected two positive numbers; correct them")
        at = np.linspace(-_TAIL / a, _TAIL / b, 4 * _POINTS)
        # The density on the log-odds scale has no poles, unlike that of the risk itself.
        density = np.exp(a * log_expit(at) + b * log_expit(-at) - betaln(a, b))
        return cls(at, _normalised(density), f"risks beta-distributed with a = {a:g} and b = {b:g}")

    @classmethod
    def from_auc(cls, auc: float, prevalence: float) -> RiskDistribution:
        """Normal log-odds of one variance in both classes, calibrated, with the given AUC.

        Raises
        ------
        ConfigError
            If ``auc`` is not between 0.5 and 1, or ``prevalence`` not between 0 and 1.

        Examples
        --------
        >>> risks = RiskDistribution.from_auc(0.8, 0.3)
        >>> round(risks.prevalence(), 9)
        0.3
        """
        if not 0.5 < auc < 1:
            raise ConfigError(f"found auc = {auc}, expected more than 0.5 and less than 1; state what is anticipated")
        if not 0 < prevalence < 1:
            raise ConfigError(f"found prevalence = {prevalence}, expected a share between 0 and 1; correct it")
        # Two normals of variance v whose log-odds are calibrated lie v apart, so the AUC fixes v.
        sd = float(np.sqrt(2) * norm.ppf(auc))
        low, shift = float(logit(prevalence)) - sd**2 / 2, sd**2
        at = np.linspace(low - _WIDEST_SD * sd, low + shift + _WIDEST_SD * sd, 2 * _POINTS)
        density = (1 - prevalence) * norm.pdf((at - low) / sd) + prevalence * norm.pdf((at - low - shift) / sd)
        words = f"log-odds normal with one variance in both classes, AUC {auc:g}, prevalence {prevalence:g}"
        return cls(at, _normalised(density), words)

    @classmethod
    def observed(cls, log_odds: npt.ArrayLike) -> RiskDistribution:
        """The log-odds that a model gave in an earlier cohort, each with the same weight.

        Raises
        ------
        ConfigError
            If there is none.
        """
        at = scores(log_odds, "log_odds")
        if len(at) == 0:
            raise ConfigError("found no log-odds, expected those of an earlier cohort; give at least one")
        return cls(at, np.full(len(at), 1 / len(at)), f"log-odds of {len(at)} earlier axillae")

    def prevalence(self) -> float:
        """Share of positives if the risks are right."""
        return float(self.weight @ expit(self.log_odds))

    def mean_log_likelihood(self) -> float:
        """Expected log-likelihood per patient if the risks are right, in nat."""
        risk = expit(self.log_odds)
        each = risk * log_expit(self.log_odds) + (1 - risk) * log_expit(-self.log_odds)
        return float(self.weight @ each)

    def slope_variance(self) -> float:
        """Variance of the calibration slope times the number of patients, at a slope of 1 and an intercept of 0."""
        risk = expit(self.log_odds)
        each = self.weight * risk * (1 - risk)
        i00, i01, i11 = (float(each @ self.log_odds**power) for power in (0, 1, 2))
        determinant = i00 * i11 - i01**2
        if determinant <= 1e-15:
            raise ConfigError(
                "found risks that are all the same, expected a spread; a slope cannot be estimated from one risk"
            )
        return i00 / determinant


def _normalised(density: npt.ArrayLike) -> FloatArray:
    array = np.asarray(density, dtype=np.float64)
    return np.asarray(array / array.sum(), dtype=np.float64)
