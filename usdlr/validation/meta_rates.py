"""A proportion over several centres: the binomial-normal model, which needs no correction where nobody was missed.

Each centre's count is binomial with a log-odds of its own, normal between centres. The likelihood is integrated
numerically and maximised. A normal model of observed log-odds would have to add half a case wherever a centre has no
miss, which is the ordinary case here, and would then be biased.

References
----------
Stijnen, Hamza and Oezdemir, Stat Med 29 (2010) 3046, doi:10.1002/sim.4040. Hamza, van Houwelingen and Stijnen, J Clin
Epidemiol 61 (2008) 41, doi:10.1016/j.jclinepi.2007.03.016 (why not the normal model). Trikalinos and others, AHRQ
13-EHC114-EF (2013).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, gammaln, log_expit, logsumexp
from scipy.stats import chi2, t

from usdlr.core.errors import InputError
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.clustered_rate import exact_ends
from usdlr.evaluation.intervals import LEVEL
from usdlr.validation.meta import FEWEST_FOR_PREDICTION, Interval, Pooled

SCALE = "the log-odds of the rate"
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
_LOG_WEIGHTS = np.log(_WEIGHTS) - 0.5 * np.log(2 * np.pi)
_LARGEST_TAU = 10.0
_TAIL = (1 - LEVEL) / 2


def pool_rates(events: npt.ArrayLike, totals: npt.ArrayLike, effective: npt.ArrayLike | None = None) -> Pooled | None:
    """A proportion of several centres.

    Parameters
    ----------
    events, totals : array_like of int, (centres,)
        Numerators and denominators; centres with a denominator of 0 are left out.
    effective : array_like of float, (centres,), optional
        Independent axillae that the denominators are worth, :func:`usdlr.evaluation.clustered_rate.effective_number`;
        the denominators by default.

    Returns
    -------
    Pooled or None
        Rates as shares; ``fixed`` is the proportion of all taken together with its exact interval. Without one event,
        or with nothing else, the likelihood has no maximum: ``random`` and ``prediction`` are then empty, and
        ``method`` says so. ``None`` without a centre.

    Raises
    ------
    InputError
        If a count is impossible.

    Examples
    --------
    >>> found = pool_rates([1, 2, 0], [30, 41, 22])
    >>> round(found.fixed.value, 4), found.tau2.value
    (0.0323, 0.0)
    """
    k, n = (np.asarray(values, dtype=np.float64) for values in (events, totals))
    if k.ndim != 1 or k.shape != n.shape or (k < 0).any() or (k > n).any() or (k != np.round(k)).any():
        raise InputError("found events that are no whole numbers from 0 to their totals, expected counts; correct them")
    worth = n if effective is None else np.asarray(effective, dtype=np.float64)
    if worth.shape != n.shape or not ((worth > 0) | (n == 0)).all() or (worth > n + 1e-9).any():
        raise InputError("found effective numbers that are not above 0 and at most the totals, expected one per centre")
    k, n, worth = k[n > 0], n[n > 0], worth[n > 0]
    if not len(n):
        return None
    hit, total = int(k.sum()), int(n.sum())
    effective_total = together(n, worth)
    (low,), (high,) = exact_ends([hit], total, effective_total)
    fixed = Interval(hit / total, float(low), float(high))
    # What follows sees as many independent axillae, missed at the same rate.
    k, n = k * worth / n, worth
    nothing = Interval(None, None, None)
    centres = len(n)
    words = "proportion of all centres taken together with its Clopper-Pearson interval"
    if effective_total < total:
        words += f" ({effective_total:.1f} independent axillae: those of one patient taken as wholly alike)"
    if centres == 1:
        return Pooled(1, fixed, nothing, nothing, nothing, nothing, None, None, f"one centre alone: {words}", SCALE)
    q, p = _equal_rates(k, n)
    if hit in (0, total):
        why = "no random effects can be estimated, because all centres have the same extreme rate"
        return Pooled(centres, fixed, nothing, nothing, nothing, nothing, q, p, f"{words}; {why}", SCALE)
    centre, tau = _fit(k, n)
    reach = float(t.ppf(1 - _TAIL, centres - 1))
    error = _standard_error(k, n, centre, tau)
    random = Interval(*_rates(centre, reach * error))
    prediction = Interval(random.value, None, None)
    if centres >= FEWEST_FOR_PREDICTION:
        prediction = Interval(*_rates(centre, reach * float(np.sqrt(tau**2 + error**2))))
    return Pooled(
        centres,
        fixed,
        random,
        prediction,
        Interval(tau**2, *_profile(k, n, centre, tau)),
        nothing,
        q,
        p,
        f"fixed effect: {words}; random effects: binomial-normal model by maximum likelihood, with an interval by the "
        f"t distribution of {centres - 1} degrees of freedom on the log-odds; variance between centres with a profile "
        "likelihood interval; Q: likelihood-ratio test that all centres have one rate",
        SCALE,
    )


def together(totals: npt.ArrayLike, effective: npt.ArrayLike) -> float:
    """Independent axillae that those of several centres are worth, no patient being at two of them.

    Parameters
    ----------
    totals, effective : array_like of float, (centres,)
        Axillae, and what they are worth.

    Examples
    --------
    >>> together([40, 10], [20.0, 10.0]), together([], [])
    (27.77777777777778, 0.0)
    """
    n, worth = (np.asarray(values, dtype=np.float64) for values in (totals, effective))
    n, worth = n[n > 0], worth[n > 0]
    return float(n.sum() ** 2 / (n**2 / worth).sum()) if len(n) else 0.0


def log_likelihood(k: FloatArray, n: FloatArray, centre: float, tau: float) -> float:
    """Log-likelihood of the binomial-normal model.

    Parameters
    ----------
    k, n : float64 array, (centres,)
        Counts and denominators.
    centre, tau : float
        Mean and standard deviation of the centres' log-odds.

    Notes
    -----
    Gauss-Hermite nodes are placed about the mode of every centre's integrand (adaptive quadrature), so that large
    centres, whose integrands are narrow, are not missed between nodes.
    """
    chosen = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    if tau < 1e-6:
        return float((chosen + k * log_expit(centre) + (n - k) * log_expit(-centre)).sum())
    mode, spread = _modes(k, n, centre, tau)
    z = mode[:, None] + spread[:, None] * _NODES[None, :]
    at = centre + tau * z
    inside = k[:, None] * log_expit(at) + (n - k)[:, None] * log_expit(-at) - 0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    # The nodes carry the weight exp(-x^2 / 2), which is taken out again.
    parts = inside + 0.5 * _NODES**2 + _LOG_WEIGHTS + 0.5 * np.log(2 * np.pi) + np.log(spread)[:, None]
    return float((chosen + logsumexp(parts, axis=1)).sum())


def _modes(k: FloatArray, n: FloatArray, centre: float, tau: float) -> tuple[FloatArray, FloatArray]:
    z = np.zeros(len(k))
    for _ in range(100):
        p = expit(centre + tau * z)
        slope = tau * (k - n * p) - z
        bend = tau**2 * n * p * (1 - p) + 1
        step = np.clip(slope / bend, -1.0, 1.0)
        z = z + step
        if float(np.abs(step).max()) < 1e-12:
            break
    p = expit(centre + tau * z)
    return z, 1 / np.sqrt(tau**2 * n * p * (1 - p) + 1)


def _fit(k: FloatArray, n: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation of the log-odds, with the largest likelihood."""
    rate = k.sum() / n.sum()
    start = float(np.log(rate / (1 - rate)))

    def loss(values: FloatArray) -> float:
        return -log_likelihood(k, n, float(values[0]), abs(float(values[1])))

    best = (start, 0.0)
    least = loss(np.array([start, 0.0]))
    for tau in (0.1, 0.5, 1.5):
        found = minimize(
            loss,
            np.array([start, tau]),
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000},
        )
        if found.fun < least - 1e-9:
            best, least = (float(found.x[0]), abs(float(found.x[1]))), float(found.fun)
    return best if best[1] > 1e-4 else (start, 0.0)


def _standard_error(k: FloatArray, n: FloatArray, centre: float, tau: float) -> float:
    """Of the mean log-odds, from the observed information; that of the mean alone where centres do not differ."""
    if tau == 0:
        rate = float(expit(centre))
        return float(1 / np.sqrt(n.sum() * rate * (1 - rate)))
    step = 1e-4

    def at(first: float, second: float) -> float:
        return log_likelihood(k, n, centre + first * step, tau + second * step)

    middle = at(0, 0)
    first = (at(1, 0) - 2 * middle + at(-1, 0)) / step**2
    second = (at(0, 1) - 2 * middle + at(0, -1)) / step**2
    cross = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * step**2)
    determinant = first * second - cross**2
    if determinant <= 0 or second >= 0:  # flat in tau: the mean's own information
        return float(1 / np.sqrt(max(-first, 1e-12)))
    return float(np.sqrt(-second / determinant))


def _rates(centre: float, half: float) -> tuple[float, float, float]:
    return float(expit(centre)), float(expit(centre - half)), float(expit(centre + half))


def _profile(k: FloatArray, n: FloatArray, centre: float, tau: float) -> tuple[float, float]:
    """Ends of the profile likelihood interval of the variance between centres."""
    best = log_likelihood(k, n, centre, tau)
    allowed = float(chi2.ppf(LEVEL, 1)) / 2

    def lost(value: float) -> float:
        found = minimize_scalar(
            lambda middle: -log_likelihood(k, n, float(middle), value),
            bounds=(centre - 12.0, centre + 12.0),
            method="bounded",
            options={"xatol": 1e-6},
        )
        return best + float(found.fun) - allowed

    def crossing(inside: float, outside: float) -> float:
        for _ in range(50):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if lost(middle) <= 0 else (inside, middle)
        return inside

    low = 0.0 if lost(0.0) <= 0 else crossing(tau, 0.0)
    reach = max(2 * tau, 0.5)
    while reach < _LARGEST_TAU and lost(reach) <= 0:
        reach *= 1.6
    high = crossing(tau, reach) if lost(reach) > 0 else reach
    return low**2, high**2


def _equal_rates(k: FloatArray, n: FloatArray) -> tuple[float, float]:
    """Likelihood-ratio statistic that all centres have one rate, and its p-value."""
    rate = k.sum() / n.sum()
    own = k / n

    def part(counts: FloatArray, shares: FloatArray, common: float) -> FloatArray:
        if common <= 0:
            return np.zeros_like(counts)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(counts > 0, counts * np.log(shares / common), 0.0)

    q = 2 * float((part(k, own, rate) + part(n - k, 1 - own, 1 - rate)).sum())
    return max(0.0, q), float(chi2.sf(max(0.0, q), len(n) - 1))
