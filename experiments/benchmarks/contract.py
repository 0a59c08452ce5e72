"""Is the false-negative promise kept, and what does it cost? By simulation, with the true rates in closed form.

    python experiments/benchmarks/contract.py [--draws 2000] [--alpha 0.10 0.05] [--positives 50 100 200 400 800]

Every draw fixes a path on 100 tuning axillae, certifies thresholds on fresh calibration positives, and compares the
true false-negative rates of the shipped pair with their targets. Scores are binormal, skewed (like beta) or heavily
tied; both stages' scores are joined by a Gaussian copula, so true rates are bivariate normal probabilities.
``positives`` counts NSLN positives on average; there are twice as many SLN positives.

Prints one JSON line per scenario:

- ``broken``: share of draws whose true fnr_sln or fnr_nsln exceeds its target, and ``limit``, the largest share that
  chance allows at delta = 5 % (one in a hundred over all scenarios); ``not_certifiable``: share of draws;
- ``specificity``: SLN negatives spared, and NSLN negatives of SLN-positive axillae spared at either stage, over
  certified draws; ``best_on_path``: mean of the two that the last pair which calibration supports anywhere on the path
  would spare beyond it;
- ``one_threshold_loss``: specificity lost against the order statistic of the calibration positives by stage 1 alone;
- ``path_loss``: mean specificity lost against the best fixed shape of path, known only in hindsight.

Exits with 1 if a promise is broken too often.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtr, ndtri, owens_t
from scipy.stats import binom

from usdlr.core.leak import Rows
from usdlr.decision.path import SPENDING, ThresholdPath, path_of, two_stages
from usdlr.decision.thresholds import ContractSettings, build_path, exact_p_value, fit_contract

Array = npt.NDArray[np.float64]
DELTA, TUNING, LEVELS = 0.05, 100, 10
NEGATIVE, SLN_ONLY, BOTH = range(3)  # what an axilla truly is
SHAPE_DRAWS = 100  # draws in which every fixed shape of path, and every pair of the path, is tried


@dataclass(frozen=True)
class Marginal:
    """How one stage's score is distributed in each of the three classes, from a standard normal and back."""

    name: str
    score: Callable[[Array, int, int], Array]  # standard normal, stage, class -> score
    below: Callable[[float, int, int], float]  # threshold, stage, class -> standard normal below which score < it


MEANS = ((-1.3, 0.7, 1.2), (-1.0, -1.0, 1.0))  # log-odds by stage and class
# Kumaraswamy's law, shaped like a beta law, with quantiles in closed form: F(x) = 1 - (1 - x**a)**b.
SKEW = (((1.2, 6.0), (2.2, 2.8), (3.0, 2.8)), ((1.2, 4.5), (1.2, 4.5), (3.2, 2.2)))


def _tied_below(t: float, stage: int, kind: int) -> float:
    # A score on the grid is below t when the exact one is below the midpoint before the first level >= t.
    middle = (np.ceil(t * LEVELS - 1e-9) - 0.5) / LEVELS
    return -np.inf if middle <= 0 else np.inf if middle >= 1 else float(logit(middle)) - MEANS[stage][kind]


MARGINALS = (
    Marginal(
        "binormal",
        lambda z, stage, kind: expit(z + MEANS[stage][kind]),
        lambda t, stage, kind: float(logit(t)) - MEANS[stage][kind],
    ),
    Marginal(
        "skewed",
        lambda z, stage, kind: (1 - ndtr(-z) ** (1 / SKEW[stage][kind][1])) ** (1 / SKEW[stage][kind][0]),
        lambda t, stage, kind: float(-ndtri((1 - t ** SKEW[stage][kind][0]) ** SKEW[stage][kind][1])),
    ),
    Marginal(
        "tied",
        lambda z, stage, kind: np.round(expit(z + MEANS[stage][kind]) * LEVELS) / LEVELS,
        _tied_below,
    ),
)


@dataclass(frozen=True)
class World:
    """One scenario."""

    marginal: Marginal
    correlation: float
    positives: int
    alpha: float

    def draw(self, kinds: npt.NDArray[np.int64], random: np.random.Generator) -> tuple[Array, Array]:
        """Both stages' scores of axillae of given classes."""
        z = random.standard_normal((2, len(kinds)))
        z[1] = self.correlation * z[0] + np.sqrt(1 - self.correlation**2) * z[1]
        p = np.empty_like(z)
        for stage, kind in product(range(2), range(3)):
            here = kinds == kind
            p[stage, here] = self.marginal.score(z[stage, here], stage, kind)
        return p[0].clip(0, 1), p[1].clip(0, 1)

    def released(self, t: Sequence[float], kind: int) -> tuple[float, float]:
        """True share released at stage 1, and at either stage."""
        first, second = (self.marginal.below(one, stage, kind) for stage, one in enumerate(t))
        joint = bivariate_normal(first, second, self.correlation)
        return float(ndtr(first)), float(ndtr(first) + ndtr(second)) - joint

    def true_rates(self, t: Sequence[float]) -> tuple[float, float]:
        """True fnr_sln and fnr_nsln of a pair; half of the SLN positives are NSLN positive."""
        alone, both = self.released(t, SLN_ONLY), self.released(t, BOTH)
        return (alone[0] + both[0]) / 2, both[1]

    def specificity(self, t: Sequence[float]) -> tuple[float, float]:
        """True share of SLN negatives, and of NSLN negatives among SLN positives, who are spared."""
        return self.released(t, NEGATIVE)[0], self.released(t, SLN_ONLY)[1]


def bivariate_normal(h: float, k: float, correlation: float) -> float:
    """P(X < h, Y < k) of standard normals, by Owen's T (Owen 1956, doi:10.1214/aoms/1177728074)."""
    if np.isinf(h) or np.isinf(k):
        return 0.0 if min(h, k) == -np.inf else float(ndtr(min(h, k)))
    h, k = (one if abs(one) > 1e-12 else 1e-12 for one in (h, k))
    root = np.sqrt(1 - correlation**2)
    tails = owens_t(h, (k / h - correlation) / root) + owens_t(k, (h / k - correlation) / root)
    return float((ndtr(h) + ndtr(k)) / 2 - tails - (0.0 if h * k > 0 else 0.5))


def scenario(world: World, draws: int, seed: int) -> dict[str, object]:
    """What one scenario found."""
    settings = ContractSettings(alpha_sln=world.alpha, alpha_nsln=world.alpha, delta=DELTA)
    held = 2 * world.positives
    tuning = Rows.of(map("t{}".format, range(TUNING)), ["tuning"] * TUNING)
    calibration = Rows.of(map("c{}".format, range(held)), ["calibration"] * held)
    broken, certified = 0, 0
    spared, best, one_loss = [], [], []
    shapes: dict[float, list[float]] = {part: [] for part in SPENDING}
    ours = []
    for draw in range(draws):
        random = np.random.default_rng([seed, draw])
        kinds = random.choice(3, TUNING, p=[0.6, 0.2, 0.2])
        p_tune = world.draw(kinds, random)
        y_tune = (kinds > 0).astype(float), np.where(kinds > 0, kinds == BOTH, 0.0)
        tune = (p_tune[0], y_tune[0], p_tune[1], y_tune[1])
        path = build_path(*tune, rows=tuning, settings=settings)
        kinds = random.choice([SLN_ONLY, BOTH], held)
        p, ones = world.draw(kinds, random), np.ones(held)
        y_nsln = (kinds == BOTH).astype(float)
        contract = fit_contract(path, p[0], ones, p[1], y_nsln, rows=calibration, settings=settings).contract
        pair = contract.t_sln, contract.t_nsln
        mean = 0.0
        if contract.certified:
            certified += 1
            broken += any(rate > world.alpha for rate in world.true_rates(pair))
            spared.append(world.specificity(pair))
            mean = float(np.mean(spared[-1]))
            if draw < SHAPE_DRAWS:
                last = _best_pair(path, p, y_nsln, world.alpha)
                best.append(float(np.mean(world.specificity(last))) - mean)
        if draw < SHAPE_DRAWS:
            ours.append(mean)
            stages, _ = two_stages(*tune, rows=tuning)
            for part in SPENDING:
                t_sln, t_nsln = path_of(stages, [world.alpha] * 2, settings.path_steps, part)
                shape = ThresholdPath(t_sln, t_nsln)
                other = fit_contract(shape, p[0], ones, p[1], y_nsln, rows=calibration, settings=settings).contract
                t = other.t_sln, other.t_nsln
                shapes[part].append(float(np.mean(world.specificity(t))) if other.certified else 0.0)
            one_loss.append(_one_threshold_loss(world, path, p[0], calibration, settings))
    limit = int(binom.isf(0.01 / 60, draws, DELTA))
    fixed = max(shapes, key=lambda part: float(np.mean(shapes[part])))
    both = np.mean(spared, axis=0) if spared else np.full(2, np.nan)
    return {
        "scores": world.marginal.name,
        "correlation": world.correlation,
        "positives": world.positives,
        "alpha": world.alpha,
        "draws": draws,
        "broken": broken / draws,
        "limit": limit / draws,
        "kept": broken <= limit,
        "not_certifiable": round(1 - certified / draws, 4),
        "specificity": [round(float(one), 4) for one in both],
        "best_on_path": round(float(np.mean(best)), 4) if best else None,
        "one_threshold_loss": round(float(np.nanmean(one_loss)), 4) if not np.isnan(one_loss).all() else None,
        "path_loss": round(float(np.mean(shapes[fixed]) - np.mean(ours)), 4),
        "best_shape": fixed,
        "whole_shape_loss": round(float(np.mean(shapes[fixed]) - np.mean(shapes[1.0])), 4),
    }


def _best_pair(path: ThresholdPath, p: tuple[Array, Array], y_nsln: Array, alpha: float) -> tuple[float, float]:
    """The last pair of the path with both p-values at most delta, wherever it lies; counted anew for every pair."""
    nsln = y_nsln == 1
    for t_sln, t_nsln in zip(path.t_sln[::-1], path.t_nsln[::-1], strict=True):
        gone = p[0] < t_sln
        if (
            exact_p_value(int(gone.sum()), len(gone), alpha) <= DELTA
            and exact_p_value(int((gone | (p[1] < t_nsln))[nsln].sum()), int(nsln.sum()), alpha) <= DELTA
        ):
            return float(t_sln), float(t_nsln)
    return 0.0, 0.0


def _one_threshold_loss(world: World, path: ThresholdPath, p: Array, rows: Rows, settings: ContractSettings) -> float:
    """Specificity of the order statistic minus that of the walk, by stage 1 alone; NaN where nothing is certified."""
    ones, n = np.ones(len(p)), len(p)
    alone = ThresholdPath(path.t_sln, np.zeros(len(path)))
    contract = fit_contract(alone, p, ones, ones, ones, rows=rows, settings=settings).contract
    allowed = int((binom.cdf(np.arange(n), n, world.alpha) <= DELTA).sum()) - 1
    if allowed < 0 or not contract.certified:
        return np.nan
    order = float(np.sort(p)[allowed])
    return world.released((order, 0.0), NEGATIVE)[0] - world.released((contract.t_sln, 0.0), NEGATIVE)[0]


def worlds(positives: Sequence[int], alphas: Sequence[float]) -> list[World]:
    """Every scenario."""
    return [World(*one) for one in product(MARGINALS, (0.0, 0.7), positives, alphas)]


def main() -> int:
    """Parse the command line, run, print; 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--positives", type=int, nargs="+", default=[50, 100, 200, 400, 800])
    parser.add_argument("--alpha", type=float, nargs="+", default=[0.10, 0.05])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    kept = True
    for number, world in enumerate(worlds(options.positives, options.alpha)):
        found = scenario(world, options.draws, options.seed + number)
        kept &= bool(found["kept"])
        print(json.dumps(found), flush=True)
    return int(not kept)


if __name__ == "__main__":
    with np.errstate(divide="ignore"):
        sys.exit(main())
