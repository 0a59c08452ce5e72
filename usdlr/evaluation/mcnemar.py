"""McNemar's test of two models' calls on the same axillae, exact and mid-p, for patients with one axilla or two.

Under the null hypothesis the two models are exchangeable within every patient, so that the patient's net difference is
as likely to have either sign. Where every patient has one axilla that is McNemar's exact conditional test; with two, it
is the same argument for whole patients, and a patient whose axillae are both repeated adds no evidence.

References
----------
McNemar, Psychometrika 12 (1947) 153, doi:10.1007/BF02295996. Fagerland, Lydersen and Laake, BMC Med Res Methodol 13
(2013) 91, doi:10.1186/1471-2288-13-91 (mid-p).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from usdlr.core.errors import InputError
from usdlr.decision.arrays import FloatArray, labels, same_length
from usdlr.evaluation import weighted
from usdlr.evaluation.comparison import PValue, net_by_patient
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.resampling import REPLICATES, Patients, known_patients, patient_bootstrap

MIDDLE = "exact p is never too small and mostly too large; mid-p is near its level, without a guarantee"


@dataclass(frozen=True)
class McNemar:
    """How often two models' calls are right on the same axillae.

    Parameters
    ----------
    both, first_only, second_only, neither : int
        Axillae that both, one or none of the models called rightly.
    difference : Estimate
        Share right of the first minus that of the second, with a paired patient bootstrap interval.
    exact, mid_p : PValue
        Two-sided.
    """

    both: int
    first_only: int
    second_only: int
    neither: int
    difference: Estimate
    exact: PValue
    mid_p: PValue

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "both": self.both,
            "first_only": self.first_only,
            "second_only": self.second_only,
            "neither": self.neither,
            "difference": self.difference.as_dict(),
            "exact": self.exact.as_dict(),
            "mid_p": self.mid_p.as_dict(),
        }


def compare_calls(
    y: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, McNemar]:
    """Sensitivity, specificity and accuracy of two models' calls, compared on the same axillae.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    first, second : (n,) array_like
        1 called positive, 0 called negative.
    patient : (n,) array_like
        Whose axilla it is.
    replicates, seed
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`.

    Returns
    -------
    dict of str to McNemar
        Keys ``sensitivity specificity accuracy``.

    Raises
    ------
    InputError
        If a call is neither 0 nor 1.

    Examples
    --------
    >>> found = compare_calls([1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 1], ["a", "b", "c", "d"])
    >>> found["sensitivity"].first_only, found["sensitivity"].exact.value
    (1, 1.0)
    """
    calls = {"first": labels(first, "first"), "second": labels(second, "second")}
    for name, call in calls.items():
        if np.isnan(call).any():
            raise InputError(f"found a call of {name} that is missing, expected 0 or 1; decide every axilla")
    truth, (ours, theirs), who = known_patients(y, patient, **calls)
    found = {}
    for name, rows in {"sensitivity": truth == 1, "specificity": truth == 0, "accuracy": truth >= 0}.items():
        _, of_row = np.unique(who.of_row[rows], return_inverse=True)
        some = Patients(of_row.astype(np.int64), int(of_row.max(initial=-1)) + 1)
        right = (ours == truth)[rows], (theirs == truth)[rows]
        found[name] = _compare(*right, some, name, replicates, seed)
    return found


def mcnemar(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[float, float]:
    """Exact and mid-p two-sided p-values of two paired proportions of independent axillae.

    Parameters
    ----------
    first, second : (n,) array_like
        1 right, 0 wrong.

    Examples
    --------
    >>> [round(p, 3) for p in mcnemar([1] + [0] * 7, [0] + [1] * 7)]
    [0.07, 0.039]
    """
    ours, theirs = labels(first, "first"), labels(second, "second")
    same_length(len(ours), second=theirs)
    return sign_flip(ours - theirs)


def sign_flip(net: FloatArray) -> tuple[float, float]:
    """Exact and mid-p two-sided p-values of a sum whose terms are as likely to be positive as negative.

    Parameters
    ----------
    net : (patients,) float64 array
        Whole numbers. The distribution of their sum under random signs is worked out, not drawn.

    Examples
    --------
    >>> import numpy as np
    >>> sign_flip(np.array([1.0, 1.0, 1.0]))
    (0.25, 0.125)
    """
    sizes, counts = np.unique(np.abs(np.rint(net)).astype(np.int64), return_counts=True)
    sizes, counts = sizes[sizes > 0], counts[sizes > 0]
    if not len(sizes):
        return 1.0, 1.0
    total = abs(int(np.rint(net).sum()))
    # The commonest size is left to the binomial's own tail, which keeps its digits; the rest is convolved.
    most = int(counts.argmax())
    sums: npt.NDArray[np.int64] = np.zeros(1, dtype=np.int64)
    mass: FloatArray = np.ones(1)
    for other, times in zip(np.delete(sizes, most), np.delete(counts, most), strict=True):
        steps = np.arange(times + 1)
        spread = (sums[:, None] + other * (2 * steps - times)[None, :]).ravel()
        weight = (mass[:, None] * np.asarray(binom.pmf(steps, times, 0.5))[None, :]).ravel()
        sums, place = np.unique(spread, return_inverse=True)
        mass = np.bincount(place, weights=weight).astype(np.float64)
    size, count = int(sizes[most]), int(counts[most])
    # The sum is sums + size * (2 B - count) with B binomial; it is symmetric about 0.
    wanted = (total - sums + size * count) / (2 * size)
    at_least = float((mass * binom.sf(np.ceil(wanted) - 1, count, 0.5)).sum())
    whole = wanted == np.rint(wanted)
    at = float((mass[whole] * binom.pmf(wanted[whole], count, 0.5)).sum())
    exact = min(1.0, 2 * at_least) if total else 1.0
    return exact, exact - (at if total else at / 2)


def _compare(
    ours: npt.NDArray[np.bool_],
    theirs: npt.NDArray[np.bool_],
    who: Patients,
    name: str,
    replicates: int,
    seed: int,
) -> McNemar:
    n = len(ours)
    both, ours_only = int((ours & theirs).sum()), int((ours & ~theirs).sum())
    theirs_only = int((theirs & ~ours).sum())
    counts = both, ours_only, theirs_only, n - both - ours_only - theirs_only
    if not n:
        none = PValue(None, 0, "undefined: no axillae in the denominator")
        return McNemar(*counts, undefined(0, "no axillae in the denominator"), none, none)
    gain = ours.astype(np.float64) - theirs.astype(np.float64)
    difference = patient_bootstrap(
        weighted.share(gain, np.ones(n)), who, f"{name}, paired difference", replicates=replicates, seed=seed
    )
    exact, middle = sign_flip(net_by_patient(ours, theirs, who))
    how = f"of {name}, two-sided; {who.count} patients, {ours_only + theirs_only} axillae on which the models differ"
    return McNemar(
        *counts, difference, PValue(exact, n, f"McNemar, exact, {how}"), PValue(middle, n, f"McNemar, mid-p, {how}")
    )
