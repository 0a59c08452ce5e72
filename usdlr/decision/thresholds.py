"""Thresholds for a false-negative target with a stated confidence, by Learn-then-Test.

A pair of thresholds (t_sln, t_nsln) is acceptable when two rates stay below their targets:

- ``fnr_sln``: share of SLN-positive axillae with ``p_sln < t_sln``;
- ``fnr_nsln``: share of NSLN-positive axillae with ``p_sln < t_sln`` or ``p_nsln < t_nsln``: a miss at either stage.

Pairs lie on one path, fixed on tuning patients, that starts at treat-all (0, 0) and only goes up. On the calibration
patients, which no other fit has seen, it is walked while the larger of the two exact binomial p-values is at most
``delta``; the last such pair ships. Taking the larger p-value is an intersection-union test, and walking one fixed
sequence is a closed test, so ``delta`` is split neither between endpoints nor between pairs.

References
----------
Angelopoulos, Bates, Candès, Jordan and Lei, Learn then Test: calibrating predictive algorithms to achieve risk control,
arXiv:2110.01052, doi:10.48550/arXiv.2110.01052. Berger, Multiparameter hypothesis testing and acceptance sampling,
Technometrics 24 (1982), doi:10.1080/00401706.1982.10487790 (intersection-union test).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from usdlr.core.errors import ConfigError, InputError
from usdlr.core.leak import Rows, require_disjoint, require_split
from usdlr.core.types import ContractStatus, OnUncertified, Split, Stage
from usdlr.decision.arrays import FloatArray, labels, same_length, scores
from usdlr.decision.contract import Contract, FittedContract

__all__ = [
    "Contract",
    "ContractSettings",
    "FittedContract",
    "ThresholdPath",
    "build_path",
    "exact_p_value",
    "fit_contract",
    "required_positives",
]

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ContractSettings:
    """What the user demands.

    Parameters
    ----------
    alpha_sln, alpha_nsln : float
        Largest tolerated false-negative rate per endpoint, between 0 and 1.
    delta : float
        Tolerated chance that the statement is wrong, between 0 and 1; joint over both endpoints.
    path_steps : int
        Number of steps from treat-all to treat-nobody.
    on_uncertified : str
        ``"defer"`` or ``"zero_miss"``: what a prediction answers when the target cannot be certified.

    Raises
    ------
    ConfigError
        If a value is impossible.
    """

    alpha_sln: float = 0.10
    alpha_nsln: float = 0.10
    delta: float = 0.05
    path_steps: int = 200
    on_uncertified: str = "defer"

    def __post_init__(self) -> None:
        for name in ("alpha_sln", "alpha_nsln", "delta"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
                raise ConfigError(f"found {name} = {value!r}, expected a number between 0 and 1, e.g. 0.05 for 5 %")
        if isinstance(self.path_steps, bool) or not isinstance(self.path_steps, int) or self.path_steps < 1:
            raise ConfigError(f"found path_steps = {self.path_steps!r}, expected a whole number from 1 upward")
        if self.on_uncertified not in set(OnUncertified):
            raise ConfigError(
                f"found on_uncertified = {self.on_uncertified!r}, expected {' or '.join(map(str, OnUncertified))}"
            )

    @property
    def alpha(self) -> dict[str, float]:
        """Targets by stage."""
        return {str(Stage.SLN): float(self.alpha_sln), str(Stage.NSLN): float(self.alpha_nsln)}


def exact_p_value(misses: int, positives: int, alpha: float) -> float:
    """Chance of at most ``misses`` misses among ``positives`` if the true rate were ``alpha``.

    Valid for the hypothesis that the rate is ``alpha`` or more; 1 where there are no positives.

    Examples
    --------
    >>> round(exact_p_value(0, 59, 0.05), 4)
    0.0485
    """
    if positives == 0:
        return 1.0
    return float(binom.cdf(misses, positives, alpha))


def required_positives(alpha: float, delta: float, misses: int = 0) -> int:
    """Smallest number of positives that can certify ``alpha`` at ``delta`` with the given number of misses.

    Examples
    --------
    >>> required_positives(0.05, 0.05), required_positives(0.10, 0.05)
    (59, 29)
    """
    high = max(1, misses)
    while exact_p_value(misses, high, alpha) > delta:
        high *= 2
    low = 0  # the p-value falls as positives are added, so the answer lies in (low, high]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exact_p_value(misses, middle, alpha) > delta else (low, middle)
    return high


@dataclass(frozen=True, eq=False)
class ThresholdPath:
    """Pairs of thresholds in the order in which they are tested.

    Parameters
    ----------
    t_sln, t_nsln : (k,) float64 array
        Probabilities; the first pair is (0, 0), neither array ever falls.
    fitted_patients : frozenset of str
        Tuning patients behind the path.

    Raises
    ------
    InputError
        If the pairs do not start at (0, 0), fall, or leave [0, 1].
    """

    t_sln: FloatArray
    t_nsln: FloatArray
    fitted_patients: frozenset[str] = field(default=frozenset(), repr=False)

    def __post_init__(self) -> None:
        for name in ("t_sln", "t_nsln"):
            path = scores(getattr(self, name), name, probability=True).copy()
            if len(path) == 0 or path[0] != 0 or (np.diff(path) < 0).any():
                raise InputError(
                    f"found a threshold path whose {name} is empty, does not start at 0 or falls; use build_path"
                )
            path.setflags(write=False)
            object.__setattr__(self, name, path)
        same_length(len(self.t_sln), t_nsln=self.t_nsln)

    def __len__(self) -> int:
        return len(self.t_sln)


def build_path(
    p_sln: npt.ArrayLike,
    y_sln: npt.ArrayLike,
    p_nsln: npt.ArrayLike,
    y_nsln: npt.ArrayLike,
    *,
    rows: Rows,
    settings: ContractSettings,
) -> ThresholdPath:
    """Fix the order in which pairs will be tested, on tuning patients.

    Step *i* aims at losing the share ``i / path_steps`` of the positives (scaled by the endpoint's target, so that
    both endpoints meet theirs together). The score below which that share of the tuning positives lies is
    interpolated between their sorted scores, with 0 below the lowest and 1 above the highest, so a handful of
    positives still gives a path of small steps. What stage 1 loses of the NSLN positives counts against stage 2.
    Where tuning holds no positive of an endpoint, the scores of SLN-positive axillae, then of all, stand in: the
    promise does not depend on how good the path is.

    Parameters
    ----------
    p_sln, p_nsln : (n,) array_like
        Calibrated probabilities, one per axilla; ``p_nsln`` = P(NSLN positive | SLN positive, x).
    y_sln, y_nsln : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    rows : Rows
        Whose rows these are; all of the tuning split.
    settings : ContractSettings
        Targets and number of steps.

    Raises
    ------
    LeakError
        If a row is not of the tuning split.
    InputError
        If arrays do not fit together.
    """
    require_split(rows, [Split.TUNING], "threshold path")
    sln, nsln, sln_positive, nsln_positive = _checked(p_sln, y_sln, p_nsln, y_nsln, rows)
    share = np.arange(settings.path_steps + 1) / settings.path_steps
    largest = max(settings.alpha_sln, settings.alpha_nsln)
    everyone = np.ones(len(rows), dtype=bool)
    t_sln = _quantile(sln[_first_used(sln_positive | nsln_positive, everyone)], share * settings.alpha_sln / largest)
    second = _first_used(nsln_positive, sln_positive, everyone)
    lost = np.array([np.mean(sln[second] < t) if second.any() else 0.0 for t in t_sln])
    left = share * settings.alpha_nsln / largest - lost
    left = np.divide(left, 1 - lost, out=np.zeros_like(left), where=lost < 1).clip(0.0, 1.0)
    t_nsln = np.maximum.accumulate(_quantile(nsln[second], left))
    moved = np.concatenate([[True], (np.diff(t_sln) > 0) | (np.diff(t_nsln) > 0)])
    return ThresholdPath(t_sln[moved], t_nsln[moved], rows.patients)


def fit_contract(
    path: ThresholdPath,
    p_sln: npt.ArrayLike,
    y_sln: npt.ArrayLike,
    p_nsln: npt.ArrayLike,
    y_nsln: npt.ArrayLike,
    *,
    rows: Rows,
    settings: ContractSettings,
) -> FittedContract:
    """Walk the path on calibration patients and state what they support.

    Parameters
    ----------
    path : ThresholdPath
        From :func:`build_path`, on other patients.
    p_sln, y_sln, p_nsln, y_nsln : (n,) array_like
        As in :func:`build_path`, one value per calibration axilla.
    rows : Rows
        Whose rows these are; all of the calibration split.
    settings : ContractSettings
        Targets.

    Returns
    -------
    FittedContract
        The contract, and the patients that it has seen. ``certified`` needs a pair beyond treat-all; otherwise the
        contract is ``not_certifiable`` and holds the largest thresholds that miss no calibration positive (0 where
        there is no positive), which promise nothing.

    Raises
    ------
    LeakError
        If a row is not of the calibration split, or a patient helped to build the path.
    InputError
        If arrays do not fit together.
    """
    require_split(rows, [Split.CALIBRATION], "false-negative contract")
    require_disjoint(path.fitted_patients, rows.patients, "threshold path")
    sln, nsln, sln_positive, nsln_positive = _checked(p_sln, y_sln, p_nsln, y_nsln, rows)
    positives = {str(Stage.SLN): int(sln_positive.sum()), str(Stage.NSLN): int(nsln_positive.sum())}

    def misses_at(t_sln: float, t_nsln: float) -> dict[str, int]:
        released = sln < t_sln
        return {
            str(Stage.SLN): int((sln_positive & released).sum()),
            str(Stage.NSLN): int((nsln_positive & (released | (nsln < t_nsln))).sum()),
        }

    last, p_value, tried = -1, None, {str(stage): 0 for stage in Stage}
    for step, (t_sln, t_nsln) in enumerate(zip(path.t_sln, path.t_nsln, strict=True)):
        tried = misses_at(t_sln, t_nsln)
        p = max(exact_p_value(tried[stage], positives[stage], alpha) for stage, alpha in settings.alpha.items())
        if p > settings.delta:
            break
        last, p_value = step, p
    if last > 0:
        status, t = ContractStatus.CERTIFIED, (float(path.t_sln[last]), float(path.t_nsln[last]))
        required = {stage: required_positives(alpha, settings.delta) for stage, alpha in settings.alpha.items()}
    else:
        status, p_value = ContractStatus.NOT_CERTIFIABLE, None
        t = (_lowest(sln[sln_positive | nsln_positive]), _lowest(nsln[nsln_positive]))
        required = {
            stage: _still_required(alpha, settings.delta, positives[stage], tried[stage])
            for stage, alpha in settings.alpha.items()
        }
    contract = Contract(
        alpha=settings.alpha,
        delta=float(settings.delta),
        status=status,
        required_positives=required,
        t_sln=t[0],
        t_nsln=t[1],
        positives=positives,
        misses=misses_at(*t),
        p_value=p_value,
    )
    return FittedContract(contract, rows.patients)


def _checked(
    p_sln: npt.ArrayLike, y_sln: npt.ArrayLike, p_nsln: npt.ArrayLike, y_nsln: npt.ArrayLike, rows: Rows
) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray]:
    sln, nsln = scores(p_sln, "p_sln", probability=True), scores(p_nsln, "p_nsln", probability=True)
    truth_sln, truth_nsln = labels(y_sln, "y_sln"), labels(y_nsln, "y_nsln")
    same_length(len(rows), p_sln=sln, p_nsln=nsln, y_sln=truth_sln, y_nsln=truth_nsln)
    return sln, nsln, truth_sln == 1, truth_nsln == 1


def _first_used(*masks: BoolArray) -> BoolArray:
    return next((mask for mask in masks if mask.any()), masks[-1])


def _quantile(values: FloatArray, share: FloatArray) -> FloatArray:
    """Scores below which the given shares lie: 0, the sorted values and 1 at equal distances."""
    knots = np.concatenate([[0.0], np.sort(values), [1.0]])
    return np.asarray(np.interp(share, np.linspace(0.0, 1.0, len(knots)), knots), dtype=np.float64)


def _lowest(values: FloatArray) -> float:
    return float(values.min()) if len(values) else 0.0


def _still_required(alpha: float, delta: float, positives: int, misses: int) -> int:
    fewest = required_positives(alpha, delta)
    return fewest if positives < fewest else max(fewest, required_positives(alpha, delta, misses))
