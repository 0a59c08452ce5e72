"""How many positives, and how many patients, a promised false-negative rate needs.

References
----------
Angelopoulos et al., Learn then Test, Ann Appl Stat 19 (2025), see arXiv:2110.01052.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom, nbinom

from usdlr.core.errors import ConfigError
from usdlr.decision.thresholds import required_positives
from usdlr.evaluation.sample_size import share, upward

ASSURANCE = 0.8
_MOST_MISSES = 20_000


@dataclass(frozen=True)
class CertificationNeed:
    """Positives that certify a false-negative rate, and the patients to recruit for them.

    Parameters
    ----------
    alpha, delta : float
        The largest tolerated rate, and the tolerated chance that the statement is wrong.
    least_positives : int
        Without a single miss; fewer can never certify.
    positives, misses : int
        Enough, at the anticipated rate and with the wanted assurance, and the misses allowed among them.
    assurance : float
        Chance that so many positives certify, and, apart from it, that so many patients bring so many positives.
    patients_expected, patients : int
        To recruit so that the positives come on average, and with the wanted assurance.
    share : float
        Of recruited patients who end as a positive in the calibration part.
    """

    alpha: float
    delta: float
    least_positives: int
    positives: int
    misses: int
    assurance: float
    patients_expected: int
    patients: int
    share: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def certification_need(
    *,
    alpha: float,
    delta: float,
    prevalence: float,
    verified: float = 1.0,
    calibration_share: float = 1.0,
    anticipated_fnr: float = 0.0,
    assurance: float = ASSURANCE,
) -> CertificationNeed:
    """What a promise of at most ``alpha`` with confidence ``1 - delta`` costs in patients.

    One threshold, or a path that is walked as the contract does, stands behind the statement: the count of misses
    among positives is binomial at the operating point that ships.

    Parameters
    ----------
    alpha, delta : float
        As in :func:`usdlr.decision.thresholds.required_positives`.
    prevalence : float
        Share of positives among recruited patients; for NSLN the product of both (SLN positive, NSLN positive among
        those).
    verified : float
        Share of the positives whose status becomes known: for NSLN, who are dissected.
    calibration_share : float
        Share of patients who go to the calibration part; 1 for a study that only certifies.
    anticipated_fnr : float
        True false-negative rate at the operating point that is hoped for; 0 asks for the bare minimum.
    assurance : float
        Chance that the study certifies, and that recruitment brings the positives.

    Raises
    ------
    ConfigError
        If a value is out of range, or the anticipated rate is not clearly below ``alpha``.

    Examples
    --------
    >>> need = certification_need(alpha=0.05, delta=0.05, prevalence=0.4)
    >>> need.least_positives, need.positives, need.patients_expected, need.patients
    (59, 59, 148, 160)
    """
    for name, value in (("alpha", alpha), ("delta", delta), ("assurance", assurance)):
        share(name, value)
    for name, value in (("prevalence", prevalence), ("verified", verified), ("calibration_share", calibration_share)):
        share(name, value, one=True)
    if not (np.isfinite(anticipated_fnr) and 0 <= anticipated_fnr < alpha):
        raise ConfigError(
            f"found anticipated_fnr = {anticipated_fnr} and alpha = {alpha}, expected a rate from 0 up and below "
            "alpha; a rate at or above alpha cannot be certified"
        )
    misses = _misses(alpha, delta, anticipated_fnr, assurance)
    positives = required_positives(alpha, delta, misses)
    fraction = prevalence * verified * calibration_share
    return CertificationNeed(
        alpha=alpha,
        delta=delta,
        least_positives=required_positives(alpha, delta),
        positives=positives,
        misses=misses,
        assurance=assurance,
        patients_expected=upward(positives / fraction),
        patients=patients_for_positives(positives, fraction, assurance),
        share=fraction,
    )


def patients_for_positives(positives: int, fraction: float, assurance: float) -> int:
    """Smallest number of patients of whom at least ``positives`` are positive with chance ``assurance``.

    Examples
    --------
    >>> patients_for_positives(59, 1.0, 0.9)
    59
    """
    share("fraction", fraction, one=True)
    share("assurance", assurance)
    if fraction == 1 or positives <= 0:
        return max(positives, 0)
    return positives + int(nbinom.ppf(assurance, positives, fraction))


def _misses(alpha: float, delta: float, fnr: float, assurance: float) -> int:
    """Fewest allowed misses at which a study certifies with the wanted chance."""
    size = 64
    while True:
        allowed = np.arange(size)
        # With k misses allowed, the smallest number of positives waits for the (k + 1)-th miss at rate alpha.
        positives = allowed + 1 + nbinom.ppf(1 - delta, allowed + 1, alpha)
        enough = np.flatnonzero(binom.cdf(allowed, positives, fnr) >= assurance)
        if len(enough):
            return int(enough[0])
        if size >= _MOST_MISSES:
            raise ConfigError(
                f"found anticipated_fnr = {fnr} and alpha = {alpha}, which lie so close that more than "
                f"{_MOST_MISSES} misses would have to be seen; tolerate more or anticipate less"
            )
        size *= 4
