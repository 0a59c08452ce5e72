"""What would move a stage's probability across its threshold: searched on the model itself, one input at a time.

A sentence made of this is about the model. It says how far an answer is from another one, not what a larger tumour
would do to a patient: the images stay as they are, and in a patient they would not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from usdlr.core.modalities import MODALITIES
from usdlr.core.ordinal import RANKS
from usdlr.decision.calibration import Calibrator
from usdlr.decision.explanation import ABSENCE, BY_STRATUM, CLINICAL_VALUE, NO_THRESHOLD, SIZE, UNKNOWN, UNREAD, Change
from usdlr.inference.explain_probe import Probe
from usdlr.inference.sites import is_tumour
from usdlr.radiomics.design import CLINICAL

TUMOUR_SIZE = "tumour_size_mm"
# First and last value that is tried, and the step between: what is plausible before surgery of a breast tumour. Beyond
# what its training patients had, a model extrapolates, whichever way.
RANGES: Mapping[str, tuple[float, float, float]] = {
    TUMOUR_SIZE: (2.0, 100.0, 0.5),
    "age_years": (18.0, 100.0, 1.0),
    "grade_core_biopsy": (1.0, 3.0, 1.0),
    "days_us_to_surgery": (0.0, 180.0, 1.0),
    **{name: (min(words.values()), max(words.values()), 1.0) for name, words in RANKS.items()},
}
# A size is told to this fraction of the step, the nearest one that crosses among them.
FINER = 5
_CONTINUOUS = (TUMOUR_SIZE,)

Values = npt.NDArray[np.float64]


def changes(
    probe: Probe,
    calibrator: Calibrator,
    threshold: float,
    *,
    clinical: Sequence[str],
    sets: Mapping[str, Sequence[str]],
    by_stratum: str | None = None,
) -> tuple[Change, ...]:
    """The smallest change of tumour size, of every other clinical variable, and the absence of every block.

    Parameters
    ----------
    probe : Probe
        The axilla.
    calibrator : Calibrator
        Of the stage.
    threshold : float
        Below this probability the stage says low risk.
    clinical : sequence of str
        Pre-operative variables that the model reads.
    sets : mapping of str to sequence of str
        Blocks that are taken away together, see :func:`usdlr.inference.explain_blocks.design_blocks`.
    by_stratum : str, optional
        A variable on which the threshold itself depends: it is not searched.

    Returns
    -------
    tuple of Change
        Tumour size first, then the other variables, then absences: every block that is there, and every optional
        modality with all of its images and features.
    """

    def probability(designs: Sequence[pd.DataFrame], hidden: Sequence[str] = ()) -> Values:
        return np.asarray(expit(calibrator.transform(probe.logits(designs, hidden=hidden))))

    now = float(probability([probe.design])[0])
    order = sorted(clinical, key=lambda name: name != TUMOUR_SIZE)
    found = [
        _variable(probe, name, now >= threshold, threshold, probability, varies=by_stratum == name) for name in order
    ]
    return (*found, *_absences(probe, sets, now >= threshold, threshold, probability))


def with_value(probe: Probe, variable: str, value: float) -> pd.DataFrame:
    """The axilla's rows of the design table with another value of a clinical variable; a node's row stays empty."""
    design = probe.design.copy()
    design.loc[is_tumour(probe.cases), CLINICAL + variable] = value
    return design


def _variable(
    probe: Probe,
    name: str,
    high: bool,
    threshold: float,
    probability: Callable[[Sequence[pd.DataFrame]], Values],
    *,
    varies: bool,
) -> Change:
    kind = SIZE if name == TUMOUR_SIZE else CLINICAL_VALUE
    column = CLINICAL + name
    known = probe.design[column].to_numpy(np.float64) if column in probe.design else np.zeros(0)
    known = known[np.isfinite(known)]
    value = float(known.mean()) if known.size else None
    if threshold <= 0:
        return Change(kind, name, value, unsearched=NO_THRESHOLD)
    if varies:
        return Change(kind, name, value, unsearched=BY_STRATUM)
    if value is None:
        return Change(kind, name, unsearched=UNKNOWN)
    if name not in RANGES:
        return Change(kind, name, value, unsearched=UNREAD)
    low, top, step = RANGES[name]
    reach = int(np.ceil((max(abs(value - low), abs(top - value))) / step))
    tried = _within([value + sign * step * place for place in range(1, reach + 1) for sign in (-1, 1)], low, top)
    crossed = _crossing(probe, name, tried, high, threshold, probability)
    if crossed is None:
        return Change(kind, name, value, low=low, high=top, step=step)
    if name in _CONTINUOUS:
        sign = np.sign(crossed[0] - value)
        nearer = [crossed[0] - sign * step * part / FINER for part in range(FINER - 1, 0, -1)]
        crossed = _crossing(probe, name, _within(nearer, low, top), high, threshold, probability) or crossed
        step /= FINER
    return Change(kind, name, value, crossed[0], True, crossed[1], low, top, step)


def _within(values: Sequence[float], low: float, high: float) -> list[float]:
    # One digit is what is printed: the value that was tried is the value that is told.
    return list(dict.fromkeys(round(value, 1) for value in values if low <= round(value, 1) <= high))


def _crossing(
    probe: Probe,
    name: str,
    tried: Sequence[float],
    high: bool,
    threshold: float,
    probability: Callable[[Sequence[pd.DataFrame]], Values],
) -> tuple[float, float] | None:
    """The first value, in the order tried, that lies on the other side, and its probability."""
    if not tried:
        return None
    found = probability([with_value(probe, name, value) for value in tried])
    other = np.flatnonzero((found >= threshold) != high)
    return None if not other.size else (tried[int(other[0])], float(found[other[0]]))


def _absences(
    probe: Probe,
    sets: Mapping[str, Sequence[str]],
    high: bool,
    threshold: float,
    probability: Callable[..., Values],
) -> list[Change]:
    there = {block for run in probe.runs for block in _present(probe, run.batch["present"].any(dim=0).tolist())}
    if probe.model.readout is not None:
        there |= {block for of in sets.values() for block in of if block not in probe.blocks}
    out = []
    for name, of in sets.items():
        if there & set(of):
            out.append(_absence(name, float(probability([probe.design], of)[0]), high, threshold))
    for modality, meaning in MODALITIES.items():
        blocks = [block for block in probe.settings.image_blocks if block.split(".")[0] == modality]
        if meaning.required or not there & set(blocks):
            continue
        stripped = probe.design.copy()
        stripped.loc[:, [str(name).startswith(f"{modality}.") for name in stripped]] = np.nan
        out.append(_absence(modality, float(probability([stripped], blocks)[0]), high, threshold))
    return out


def _absence(name: str, probability: float, high: bool, threshold: float) -> Change:
    if threshold <= 0:
        return Change(ABSENCE, name, probability=probability, unsearched=NO_THRESHOLD)
    return Change(ABSENCE, name, crosses=(probability >= threshold) != high, probability=probability)


def _present(probe: Probe, flags: Sequence[bool]) -> list[str]:
    return [block for block, flag in zip(probe.blocks, flags, strict=True) if flag]
