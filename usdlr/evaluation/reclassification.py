"""Net reclassification and integrated discrimination improvement, with what must be printed beside them.

Reviewers still ask for both. Neither is a proper score: a model that is merely overconfident can gain on them. The
texts here go wherever the numbers go, and a decision curve (:mod:`usdlr.evaluation.net_benefit`) belongs beside them.

References
----------
Pencina et al., Stat Med 27 (2008) 157, doi:10.1002/sim.2929, and Stat Med 30 (2011) 11, doi:10.1002/sim.4085. Kerr et
al., Epidemiology 25 (2014) 114, doi:10.1097/EDE.0000000000000018. Pepe et al., Stat Biosci 7 (2015) 282,
doi:10.1007/s12561-014-9118-0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import ConfigError
from usdlr.decision.arrays import FloatArray, scores
from usdlr.decision.wording_models import CAVEAT_CATEGORIES, CAVEAT_CONTINUOUS, CAVEAT_IDI, CAVEAT_NRI
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.metrics import no_classes
from usdlr.evaluation.resampling import REPLICATES, Kind, Patients, known_patients, patient_bootstraps


@dataclass(frozen=True)
class Reclassification:
    """How a new model moves axillae against an old one.

    Parameters
    ----------
    total : Estimate
        Sum of both components, from -2 to 2.
    positives : Estimate
        Among positive axillae: share that moved up minus share that moved down.
    negatives : Estimate
        Among negative axillae: share that moved down minus share that moved up.
    caveats : tuple of str
        To be printed with the numbers.
    """

    total: Estimate
    positives: Estimate
    negatives: Estimate
    caveats: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "total": self.total.as_dict(),
            "positives": self.positives.as_dict(),
            "negatives": self.negatives.as_dict(),
            "caveats": list(self.caveats),
        }


def net_reclassification(
    y: npt.ArrayLike,
    new: npt.ArrayLike,
    old: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    borders: Sequence[float] = (),
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> Reclassification:
    """Net reclassification by the new model's risks against the old one's.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    new, old : (n,) array_like
        Probabilities of the positive class.
    patient : (n,) array_like
        Whose axilla it is.
    borders : sequence of float
        Rising probabilities that part the risk categories; a risk at a border is in the upper one. Without borders the
        index is the continuous one: any higher risk is a move up.
    replicates, seed, interval
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`; bootstrap intervals are what Kerr et al. advise.

    Raises
    ------
    ConfigError
        If the borders do not rise within (0, 1).

    Examples
    --------
    >>> new, old = [0.6, 0.4, 0.2, 0.1], [0.4, 0.4, 0.6, 0.2]
    >>> found = net_reclassification([1, 1, 0, 0], new, old, ["a", "b", "c", "d"], borders=[0.5])
    >>> found.positives.value, found.negatives.value, found.total.value
    (0.5, 0.5, 1.0)
    """
    parts = np.asarray(borders, dtype=np.float64)
    if parts.ndim != 1 or (np.diff(parts) <= 0).any() or not ((parts > 0) & (parts < 1)).all():
        raise ConfigError(f"found borders {list(borders)}, expected rising probabilities between 0 and 1")
    truth, risks, who = _risks(y, new, old, patient)
    kind = "continuous" if not len(parts) else f"{len(parts) + 1} categories"
    caveats = (CAVEAT_NRI, CAVEAT_CATEGORIES if len(parts) else CAVEAT_CONTINUOUS)
    names = [f"net reclassification ({kind}), {of}" for of in ("total", "positives", "negatives")]
    why = no_classes(truth)
    if why:
        none = undefined(len(truth), why)
        return Reclassification(none, none, none, caveats)
    ours, theirs = (np.searchsorted(parts, risk, side="right") if len(parts) else risk for risk in risks)
    move = np.sign(ours - theirs).astype(np.float64)
    total, positives, negatives = _by_class(truth, move, -move, who, names, replicates, seed, interval)
    return Reclassification(total, positives, negatives, caveats)


def discrimination_improvement(
    y: npt.ArrayLike,
    new: npt.ArrayLike,
    old: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> Reclassification:
    """Integrated discrimination improvement: gain of mean risk among positives, loss of it among negatives, their sum.

    Parameters
    ----------
    y, new, old, patient, replicates, seed, interval
        As in :func:`net_reclassification`.

    Examples
    --------
    >>> found = discrimination_improvement([1, 1, 0, 0], [0.9, 0.5, 0.25, 0.25], [0.5, 0.5, 0.5, 0.25], list("abcd"))
    >>> round(found.total.value, 3)
    0.325
    """
    truth, (ours, theirs), who = _risks(y, new, old, patient)
    names = [f"integrated discrimination improvement, {of}" for of in ("total", "positives", "negatives")]
    why = no_classes(truth)
    if why:
        none = undefined(len(truth), why)
        return Reclassification(none, none, none, (CAVEAT_IDI,))
    gain = ours - theirs
    total, positives, negatives = _by_class(truth, gain, -gain, who, names, replicates, seed, interval)
    return Reclassification(total, positives, negatives, (CAVEAT_IDI,))


def _risks(
    y: npt.ArrayLike, new: npt.ArrayLike, old: npt.ArrayLike, patient: npt.ArrayLike
) -> tuple[FloatArray, list[FloatArray], Patients]:
    return known_patients(
        y, patient, new=scores(new, "new", probability=True), old=scores(old, "old", probability=True)
    )


def _by_class(
    truth: FloatArray,
    among_positives: FloatArray,
    among_negatives: FloatArray,
    who: Patients,
    names: Sequence[str],
    replicates: int,
    seed: int,
    interval: Kind,
) -> list[Estimate]:
    """Sum of the two means, and each mean over its own class."""
    positive = (truth == 1).astype(np.float64)
    columns = np.stack([among_positives * positive, among_negatives * (1 - positive), positive, 1 - positive], axis=1)

    def statistic(weights: FloatArray) -> FloatArray:
        sums = weights @ columns
        first, second = sums[:, 0] / sums[:, 2], sums[:, 1] / sums[:, 3]
        return np.stack([first + second, first, second], axis=1)

    return patient_bootstraps(statistic, who, names, replicates=replicates, seed=seed, interval=interval)
