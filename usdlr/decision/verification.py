"""NSLN status is known after dissection only: how far that may bend the NSLN false-negative rate.

Among dissected axillae the rate is what it is. Among all SLN-positive ones it differs if those dissected differ. Two
answers stand beside it, neither part of the contract: a rate weighted by how rarely axillae like these were dissected,
which is right if dissection depends on nothing but the given variables; and the bounds that assume nothing.

References
----------
Begg and Greenes, Assessment of diagnostic tests when disease verification is subject to selection bias, Biometrics 39
(1983), doi:10.2307/2530820. Kish, Survey Sampling, 1965 (effective sample size).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from usdlr.core.errors import InputError
from usdlr.decision.arrays import FloatArray, labels, same_length
from usdlr.decision.chain import BoolArray

SMALLEST_CHANCE = 0.05
"""Chances of dissection below it count as this much, so that no single axilla speaks for more than 20."""
RIDGE = 1e-2
_STEPS, _RESUMED = 25, 3


@dataclass(frozen=True)
class Verification:
    """How much of the NSLN status is known, and what that may mean for the rate.

    Parameters
    ----------
    sln_positive, verified : int
        SLN-positive axillae, and how many of them have known NSLN status.
    positives, misses : int
        Verified NSLN positives, and how many of them are missed.
    weighted, low, high : float or None
        Weighted rate with its 95 % interval; None without a verified positive. Percentiles of the bootstrap, or, where
        none or all of the verified positives are missed and resamples cannot differ, the exact interval of as many
        positives as weigh as much.
    effective_positives : float
        Positives that would weigh as much if all weighed the same.
    truncated : int
        Verified axillae whose chance of dissection was below :data:`SMALLEST_CHANCE`.
    best, worst : float or None
        Smallest and largest rate that the unverified axillae allow; None where there can be no positive.
    method : str
        How the weighted rate and its interval were found.
    """

    sln_positive: int
    verified: int
    positives: int
    misses: int
    weighted: float | None
    low: float | None
    high: float | None
    effective_positives: float
    truncated: int
    best: float | None
    worst: float | None
    method: str

    @property
    def verified_share(self) -> float | None:
        """Share of SLN-positive axillae with known NSLN status."""
        return self.verified / self.sln_positive if self.sln_positive else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"verified_share": self.verified_share}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` wrote.

        Raises
        ------
        InputError
            If a value is missing.
        """
        names = [one.name for one in fields(cls)]
        missing = [name for name in names if name not in values]
        if missing:
            raise InputError(f"found no {missing[0]!r} in the verification, expected {', '.join(names)}; make it again")
        return cls(**{name: values[name] for name in names})


def verification(
    missed: npt.ArrayLike,
    y_nsln: npt.ArrayLike,
    covariates: npt.ArrayLike,
    patient_id: Sequence[str],
    *,
    replicates: int = 2000,
    seed: int = 0,
) -> Verification:
    """Sensitivity of the NSLN false-negative rate to who was dissected.

    Parameters
    ----------
    missed : (n,) array_like of bool
        Whether each SLN-positive axilla is released at either stage. SLN-negative axillae are left out.
    y_nsln : (n,) array_like
        1 positive, 0 negative, NaN not dissected.
    covariates : (n, k) array_like
        What dissection may depend on, e.g. the log-odds of ``p_sln`` and the tumour size. A missing value counts as
        the mean, with a column of its own that says so.
    patient_id : sequence of str
        Whose axillae; the bootstrap draws patients, and fits the chances of dissection anew.
    replicates, seed : int
        Of the bootstrap.

    Raises
    ------
    InputError
        If arrays do not fit together, or a covariate is infinite.
    """
    truth = labels(y_nsln, "y_nsln")
    gone = np.asarray(missed, dtype=bool)
    x = np.asarray(covariates, dtype=np.float64)
    if x.ndim != 2 or len(x) != len(truth) or len(gone) != len(truth) or len(patient_id) != len(truth):
        raise InputError(
            f"found {x.shape} covariates, {len(gone)} decisions and {len(patient_id)} patients for {len(truth)} "
            "axillae, expected one row each; align them"
        )
    if np.isinf(x).any():
        raise InputError("found an infinite covariate, expected finite numbers or NaN; clip probabilities of 0 and 1")
    same_length(len(gone), y_nsln=truth)
    known, positive = ~np.isnan(truth), truth == 1
    design = _design(x)
    best, worst = _bounds(gone, known, positive)
    weighted = low = high = None
    effective, truncated, how = 0.0, 0, "no verified positive"
    if positive.any():
        beta = _chances_fit(design, known, np.ones(len(known)), np.zeros(design.shape[1]), _STEPS)
        chance = expit(design @ beta)
        truncated = int((chance[known] < SMALLEST_CHANCE).sum())
        weight = _weights(chance, known)
        weighted = float(weight[positive & gone].sum() / weight[positive].sum())
        effective = float(weight[positive].sum() ** 2 / (weight[positive] ** 2).sum())
        missed_all = bool(gone[positive].all())
        if missed_all or not gone[positive].any():
            # Every resample gives the same rate, which is no reason to be certain of it.
            reach = 1 - 0.025 ** (1 / effective)
            low, high = (1 - reach, 1.0) if missed_all else (0.0, reach)
            how = f"exact interval of {effective:.1f} equally weighted positives, all or none of which is missed"
        else:
            rates = _bootstrap(design, known, positive, gone, patient_id, beta, replicates, seed)
            how = f"patient bootstrap, {len(rates)} replicates"
            if len(rates):
                low, high = (float(end) for end in np.quantile(rates, [0.025, 0.975]))
    return Verification(
        sln_positive=len(truth),
        verified=int(known.sum()),
        positives=int(positive.sum()),
        misses=int((positive & gone).sum()),
        weighted=weighted,
        low=low,
        high=high,
        effective_positives=effective,
        truncated=truncated,
        best=best,
        worst=worst,
        method=f"inverse probability of dissection, logistic; {how}",
    )


def _bounds(gone: BoolArray, known: BoolArray, positive: BoolArray) -> tuple[float | None, float | None]:
    misses, held = int((positive & gone).sum()), int(positive.sum())
    unknown_gone, unknown_kept = int((~known & gone).sum()), int((~known & ~gone).sum())
    if held + unknown_gone + unknown_kept == 0:
        return None, None
    # Best: whoever was released unverified was negative, whoever was kept positive. Worst: the other way round.
    best = misses / (held + unknown_kept) if held + unknown_kept else 0.0
    worst = (misses + unknown_gone) / (held + unknown_gone) if held + unknown_gone else 0.0
    return best, worst


def _design(x: FloatArray) -> FloatArray:
    missing = np.isnan(x)
    held = np.where(missing, 0.0, x)
    count = np.maximum((~missing).sum(axis=0), 1)
    mean = held.sum(axis=0) / count
    centred = np.where(missing, 0.0, x - mean)
    spread = np.sqrt((centred**2).sum(axis=0) / count)
    scaled = centred / np.where(spread > 0, spread, 1.0)
    return np.column_stack([np.ones(len(x)), scaled, missing[:, missing.any(axis=0)].astype(np.float64)])


def _chances_fit(design: FloatArray, known: BoolArray, weight: FloatArray, start: FloatArray, steps: int) -> FloatArray:
    """Coefficients of the chance of being dissected. A slight ridge keeps them finite where all or none are."""
    beta, y = start.copy(), known.astype(np.float64)
    for _ in range(steps):
        p = expit(design @ beta)
        gradient = design.T @ (weight * (y - p)) - RIDGE * beta
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + RIDGE * np.eye(len(beta))
        step = np.linalg.solve(hessian, gradient)
        largest = float(np.abs(step).max())
        beta = beta + step * min(1.0, 2.0 / max(largest, 1e-300))
        if largest < 1e-10:
            break
    return beta


def _weights(chance: FloatArray, known: BoolArray) -> FloatArray:
    # All verified: nothing to weigh, to the last bit.
    if known.all():
        return np.ones(len(known))
    return np.where(known, 1 / np.maximum(chance, SMALLEST_CHANCE), 0.0)


def _bootstrap(
    design: FloatArray,
    known: BoolArray,
    positive: BoolArray,
    gone: BoolArray,
    patient_id: Sequence[str],
    beta: FloatArray,
    replicates: int,
    seed: int,
) -> FloatArray:
    patient = np.unique(np.asarray(patient_id, dtype=object), return_inverse=True)[1]
    many, random, rates = int(patient.max()) + 1, np.random.default_rng(seed), []
    for _ in range(replicates):
        drawn = np.bincount(random.integers(0, many, many), minlength=many)[patient].astype(np.float64)
        # A few steps from the whole sample's fit: the optimum of a resample lies close by.
        own = _chances_fit(design, known, drawn, beta, _RESUMED)
        weight = drawn * _weights(expit(design @ own), known)
        total = float(weight[positive].sum())
        if total > 0:
            rates.append(float(weight[positive & gone].sum()) / total)
    return np.asarray(rates, dtype=np.float64)
