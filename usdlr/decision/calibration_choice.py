"""Which calibrator: the one a configuration names, or the one that cross-validation on tuning patients prefers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import ConfigError, InputError
from usdlr.core.leak import Rows
from usdlr.core.named_parts import Part, split_part
from usdlr.decision.arrays import FloatArray
from usdlr.decision.calibration import CALIBRATORS, Calibrator, PlattCalibrator, build_calibrator
from usdlr.decision.calibrator import tuning_data

AUTO: Final = "auto"
# What `auto` compares unless it is told what to.
AUTO_CANDIDATES: Final = tuple(CALIBRATORS)
# On fewer patients of a class than this, held-out losses say nothing about five maps.
FEWEST_PER_CLASS = 10
_SEED = 0
_DIGITS = 9


@dataclass(frozen=True)
class FittedCalibrator:
    """A calibrator, and why it is this one.

    Parameters
    ----------
    calibrator : Calibrator
        Fitted.
    choice : dict or None
        Of ``auto``: plain data with ``chosen``, ``reason``, ``axillae``, ``patients_positive``,
        ``patients_negative`` and ``candidates``, by kind their held-out ``log_loss`` per axilla and, but for Platt
        scaling, its ``difference`` from Platt's with the ``standard_error``. None where a configuration named it.
    """

    calibrator: Calibrator
    choice: dict[str, Any] | None = None


class CalibratorChoice:
    """Chooses by patient-grouped, repeated cross-validation of the log loss.

    Platt scaling is kept unless another candidate's loss is lower by more than one standard error of the paired
    difference; then the candidate with the lowest loss is taken. With fewer than ``FEWEST_PER_CLASS`` patients of a
    class nothing is compared and Platt scaling is taken. One standard error is no test: where a line is the truth, 5 to
    20 % of simulated tuning parts of 60 to 300 patients chose something else, at a cost of 0.001 to 0.002 in log loss.
    The losses are kept, so that a reader can judge.

    Parameters
    ----------
    candidates : sequence of str or mapping, optional
        Names of :data:`usdlr.decision.calibration.CALIBRATORS`, or such names with their options; by default
        ``AUTO_CANDIDATES``. Platt scaling is always one of them.
    folds : int
        Parts of the tuning patients; each is held out once.
    repeats : int
        Times that the patients are divided anew.

    Raises
    ------
    ConfigError
        If a candidate is unknown or twice there, or a number is too small.
    """

    def __init__(self, *, candidates: Sequence[Part] | None = None, folds: int = 5, repeats: int = 10) -> None:
        parts = list(AUTO_CANDIDATES) if candidates is None else list(candidates)
        if isinstance(candidates, str) or not parts:
            raise ConfigError(
                f"found calibrator.auto.candidates = {candidates!r}, expected a list of calibrators, e.g. "
                f"[{', '.join(CALIBRATORS)}]"
            )
        if folds < 2 or repeats < 1:
            raise ConfigError(
                f"found calibrator.auto.folds = {folds} and repeats = {repeats}, expected at least 2 folds and 1 repeat"
            )
        self.candidates = {one.kind: one for one in (_built(part) for part in parts)}
        if len(self.candidates) < len(parts):
            raise ConfigError("found a calibrator twice in calibrator.auto.candidates, expected each once")
        self.candidates.setdefault(PlattCalibrator.kind, PlattCalibrator())
        self.folds, self.repeats = folds, repeats

    def fit(self, logit: npt.ArrayLike, y: npt.ArrayLike, *, rows: Rows) -> FittedCalibrator:
        """Choose on tuning rows, and fit the chosen one on all of them.

        Parameters
        ----------
        logit, y, rows
            As in :meth:`usdlr.decision.calibrator.Calibrator.fit`.

        Raises
        ------
        LeakError
            If a row is not of the tuning split.
        InputError
            As there.
        """
        x, target = tuning_data(logit, y, rows)
        patient = np.asarray(rows.patient_id, dtype=object).astype(str)
        positive, negative = (len(np.unique(patient[target == label])) for label in (1, 0))
        record: dict[str, Any] = {
            "axillae": len(x),
            "patients_positive": positive,
            "patients_negative": negative,
            "folds": self.folds,
            "repeats": self.repeats,
            "candidates": {},
        }
        platt = PlattCalibrator.kind
        if min(positive, negative) < FEWEST_PER_CLASS:
            chosen, reason = (
                platt,
                (
                    f"{positive} positive and {negative} negative tuning patients, fewer than {FEWEST_PER_CLASS} of a "
                    "class: nothing was compared"
                ),
            )
        else:
            losses = self._losses(x, target, patient)
            record["candidates"] = compared(losses, patient, reference=platt)
            chosen, reason = _verdict(record["candidates"], reference=platt)
        fitted = self.candidates[chosen].fit(x, target, rows=rows)
        return FittedCalibrator(fitted, {"chosen": chosen, "reason": reason, **record})

    def _losses(self, x: FloatArray, y: FloatArray, patient: npt.NDArray[np.str_]) -> dict[str, FloatArray]:
        """Held-out log loss of every row by candidate, its mean over the repeats."""
        total = {kind: np.zeros(len(x)) for kind in self.candidates}
        every = np.ones(len(x))
        random = np.random.default_rng(_SEED)
        for _ in range(self.repeats):
            fold = patient_folds(patient, y, self.folds, random)
            for held in range(self.folds):
                test = fold == held
                for kind, candidate in self.candidates.items():
                    z = candidate.map_of(x[~test], y[~test], every[~test]).transform(x[test])
                    total[kind][test] += np.logaddexp(0.0, z) - y[test] * z
        return {kind: loss / self.repeats for kind, loss in total.items()}


def fit_calibrator(part: Part, logit: npt.ArrayLike, y: npt.ArrayLike, *, rows: Rows) -> FittedCalibrator:
    """The calibrator that a configuration names or has chosen, fitted on tuning rows.

    Parameters
    ----------
    part : str or mapping
        A name of :data:`usdlr.decision.calibration.CALIBRATORS` or ``auto``, or that name with its options.
    logit, y, rows
        As in :meth:`usdlr.decision.calibrator.Calibrator.fit`.

    Raises
    ------
    ConfigError
        If the name or an option is unknown.
    LeakError
        If a row is not of the tuning split.
    InputError
        If lengths differ, a log-odds is not finite, or a label is unknown.

    Examples
    --------
    >>> rows = Rows.of("abcd", ["tuning"] * 4)
    >>> found = fit_calibrator("auto", [-2.0, 1.0, -1.0, 2.0], [0, 0, 1, 1], rows=rows)
    >>> found.choice["chosen"]
    'platt'
    """
    built = _maker(part)
    if isinstance(built, CalibratorChoice):
        return built.fit(logit, y, rows=rows)
    return FittedCalibrator(built.fit(logit, y, rows=rows))


def calibrator_name(part: Part) -> str:
    """The name in a configuration's choice of a calibrator, after its options were checked.

    Raises
    ------
    ConfigError
        If the name or an option is unknown or impossible.

    Examples
    --------
    >>> calibrator_name({"auto": {"candidates": ["platt", "beta"]}})
    'auto'
    """
    _maker(part)
    name, _ = split_part(part, "calibrator", _MAKERS)
    return name


def candidate_kinds(part: Part) -> tuple[str, ...]:
    """The kinds that a configuration's choice of a calibrator may end in.

    Raises
    ------
    ConfigError
        As :func:`calibrator_name`.

    Examples
    --------
    >>> candidate_kinds({"auto": {"candidates": ["beta"]}})
    ('beta', 'platt')
    """
    built = _maker(part)
    return tuple(built.candidates) if isinstance(built, CalibratorChoice) else (built.kind,)


def compared(
    losses: Mapping[str, FloatArray], patient: npt.NDArray[np.str_], *, reference: str
) -> dict[str, dict[str, float]]:
    """Mean loss per axilla by candidate, and its paired difference from the reference.

    Parameters
    ----------
    losses : mapping of str to (n,) float64 array
        Of every axilla, by candidate.
    patient : (n,) array of str
        Whose axillae they are: the standard error takes patients as independent, not their axillae.
    reference : str
        A candidate.

    Returns
    -------
    dict of str to dict
        ``log_loss``; for the others also ``difference`` (below 0: better than the reference) and
        ``standard_error``.

    Examples
    --------
    >>> import numpy as np
    >>> found = compared({"a": np.ones(4), "b": np.array([0.0, 0.0, 1.0, 1.0])}, np.array(list("pqrs")), reference="a")
    >>> found["b"]
    {'log_loss': 0.5, 'difference': -0.5, 'standard_error': 0.288675135}
    """
    _, place = np.unique(patient, return_inverse=True)
    patients = int(place.max()) + 1
    found: dict[str, dict[str, float]] = {}
    for kind, loss in losses.items():
        found[kind] = {"log_loss": round(float(loss.mean()), _DIGITS)}
        if kind != reference:
            each = loss - losses[reference]
            within = np.bincount(place, each - each.mean(), minlength=patients)
            error = float(np.sqrt((within**2).sum() * patients / max(patients - 1, 1))) / len(each)
            found[kind] |= {"difference": round(float(each.mean()), _DIGITS), "standard_error": round(error, _DIGITS)}
    return found


def patient_folds(
    patient: npt.NDArray[np.str_], y: FloatArray, folds: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Fold of every axilla: all of a patient's in one, patients with a positive one spread evenly over the folds.

    Parameters
    ----------
    patient : (n,) array of str
        Whose axillae they are. The result depends on the names, not on the order of the rows.
    y : (n,) float64 array
        1 positive, 0 negative.
    folds : int
        How many.
    random : Generator
        Shuffles the patients.
    """
    _, place = np.unique(patient, return_inverse=True)
    ill = np.bincount(place, y) > 0
    fold = np.empty(len(ill), dtype=np.int64)
    start = 0
    for group in (True, False):
        members = random.permutation(np.flatnonzero(ill == group))
        # The second group goes on where the first ended, so that folds differ by one patient at most.
        fold[members] = (start + np.arange(len(members))) % folds
        start += len(members)
    return fold[place]


def _verdict(candidates: Mapping[str, Mapping[str, float]], *, reference: str) -> tuple[str, str]:
    """The chosen candidate and a sentence."""
    better = [
        kind
        for kind, found in candidates.items()
        if kind != reference and found["difference"] < -found["standard_error"]
    ]
    if not better:
        return reference, f"no candidate's held-out log loss is below that of {reference} by more than a standard error"
    # Ties go to the candidate that is named first.
    chosen = min(better, key=lambda kind: candidates[kind]["log_loss"])
    return chosen, f"lowest held-out log loss, below that of {reference} by more than a standard error"


def _built(part: Part) -> Calibrator:
    try:
        calibrator = build_calibrator(part)
        calibrator.check_options()
    except InputError as error:
        raise ConfigError(f"{error} in calibrator = {part!r}") from error
    return calibrator


def _maker(part: Part) -> Calibrator | CalibratorChoice:
    name, options = split_part(part, "calibrator", _MAKERS)
    return CalibratorChoice(**options) if name == AUTO else _built(part)


_MAKERS: Final[dict[str, Callable[..., Any]]] = {**CALIBRATORS, AUTO: CalibratorChoice}
