"""A bundle's radiomics brought to another centre's level and spread, without a look at outcomes.

What a model reads of a column is its distance from the development patients' mean, in their standard deviations. A
scanner that measures all textures higher moves everybody. ComBat with a fixed reference estimates the centre's shift
and spread of every column from a local sample, shrinks both towards what its columns have in common, and takes them
out. This is a straight line per column, so it is written into the means and scales that the bundle's own parts hold:
an adapted bundle measures and loads like any other.

References
----------
Johnson, Li and Rabinovic, Biostatistics 8 (2007) 118, doi:10.1093/biostatistics/kxj037. Fortin et al., NeuroImage 161
(2017) 149, doi:10.1016/j.neuroimage.2017.08.047.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.modalities import MODALITIES
from usdlr.core.types import Split, Stage
from usdlr.inference.scores import BlockScores
from usdlr.inference.signature import SignatureReadout
from usdlr.inference.stage import StageModel
from usdlr.radiomics.harmonise.centre_estimate import Shrinkage, adapt_centre
from usdlr.radiomics.harmonise.combat import Scale
from usdlr.radiomics.selection.selector import FeatureSelector

FEWEST_PATIENTS = 20
_SHRINKAGE = Shrinkage(parametric=True, eb=True, mean_only=False, tolerance=1e-4)

Floats = npt.NDArray[np.float64]
Moments = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Harmonisation:
    """What is done to every column: ``a + b * value``.

    Parameters
    ----------
    offset, factor : mapping of str to float
        ``a`` and ``b`` by column, of the columns that are changed.
    left : mapping of str to str
        Why the others are left as measured; see :class:`usdlr.radiomics.harmonise.centre_policy.Reason`.
    patients : int
        Of the local sample.
    fitted_patients : frozenset of str
        Whose images were seen.
    """

    offset: Mapping[str, float]
    factor: Mapping[str, float]
    left: Mapping[str, str]
    patients: int
    fitted_patients: frozenset[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without patients."""
        return {
            "patients": self.patients,
            "columns": len(self.offset),
            "left": {reason: list(self.left.values()).count(reason) for reason in sorted(set(self.left.values()))},
        }

    def levels(self, columns: list[str], values: Floats) -> Floats:
        """Where a value of the development scale lies on the local one, (columns,)."""
        pairs = [(self.offset.get(name, 0.0), self.factor.get(name, 1.0)) for name in columns]
        offset, factor = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
        return np.asarray((values - offset) / factor, dtype=np.float64)

    def spreads(self, columns: list[str], values: Floats) -> Floats:
        """A distance of the development scale on the local one, (columns,)."""
        factor = np.array([self.factor.get(name, 1.0) for name in columns], dtype=np.float64)
        return np.asarray(values / factor, dtype=np.float64)


def development_moments(models: Mapping[Stage, StageModel]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of every radiomics column among the development patients, from the bundle itself.

    Those of the SLN stage, which all training patients taught: the NSLN stage knows the SLN-positive ones alone, and
    a centre's patients must not be brought to their level. Clinical variables are case mix, no measurement of a
    scanner's, and are never among them.
    """
    model = models[Stage.SLN]
    found: dict[str, tuple[float, float]] = {}
    parts: list[tuple[list[str], Floats, Floats]] = [
        (list(score.columns_), score.center_, score.scale_) for each in model.scores.models.values() for score in each
    ]
    parts.append((model.selector.columns_, model.selector.mean_, model.selector.scale_))
    for columns, mean, scale in parts:
        for name, middle, spread in zip(columns, mean, scale, strict=True):
            if name.partition(".")[0] in MODALITIES:
                found.setdefault(name, (float(middle), float(spread)))
    return found


def fit_harmonisation(design: pd.DataFrame, moments: Moments, *, rows: Rows) -> Harmonisation:
    """Fit on local images, without outcomes.

    Parameters
    ----------
    design : DataFrame, (images, columns)
        Design table of the local sample.
    moments : mapping of str to (float, float)
        Mean and standard deviation of the development patients by column, from :func:`development_moments`.
    rows : Rows
        Whose images they are: of the adaptation part.

    Raises
    ------
    LeakError
        If an image is of another part.
    DataError
        If there are too few patients, or no column that the model reads.
    """
    require_split(rows, [Split.TUNING], "harmonisation of a local sample")
    if len(rows.patients) < FEWEST_PATIENTS:
        raise DataError(
            f"found {len(rows.patients)} patients in the adaptation part, expected at least {FEWEST_PATIENTS} to "
            "harmonise with; use more patients or leave harmonise out"
        )
    columns = [name for name in moments if name in design.columns]
    if len(columns) < 2:
        raise DataError(
            "found no radiomics columns that the model reads among the local ones, expected some; the model reads "
            "images alone, or features were measured with other settings: leave harmonise out"
        )
    mean, deviation = (np.array([moments[name][place] for name in columns]) for place in (0, 1))
    values = design[columns].to_numpy(np.float64)
    nothing = np.zeros((len(values), 0))
    person = np.unique(np.asarray(rows.patient_id, dtype=object).astype(str), return_inverse=True)[1]
    estimate = adapt_centre(
        values,
        nothing,
        person,
        Scale(mean, deviation**2, np.zeros((0, len(columns)))),
        np.ones(len(columns), dtype=bool),
        _SHRINKAGE,
        fewest=FEWEST_PATIENTS,
        cloud=None,
    )
    factor = 1 / np.sqrt(estimate.spread)
    offset = mean - factor * (mean + deviation * estimate.shift)
    good = estimate.reasons == ""
    named = np.array(columns, dtype=object)
    return Harmonisation(
        dict(zip(named[good], offset[good].tolist(), strict=True)),
        dict(zip(named[good], factor[good].tolist(), strict=True)),
        dict(zip(named[~good], map(str, estimate.reasons[~good]), strict=True)),
        len(rows.patients),
        rows.patients,
    )


def harmonised(model: StageModel, found: Harmonisation) -> StageModel:
    """The model of a stage that reads local columns as it read those of the development patients."""
    return replace(
        model,
        selector=_selector(model.selector, found),
        scores=_scores(model.scores, found),
        readout=None if model.readout is None else _readout(model.readout, found),
    )


def _selector(selector: FeatureSelector, found: Harmonisation) -> FeatureSelector:
    state = selector.to_dict()
    return FeatureSelector.from_dict(state | _moved(state, found, ("median", "mean"), ("scale",)))


def _scores(scores: BlockScores, found: Harmonisation) -> BlockScores:
    state = scores.to_dict()
    patterns = [
        {**one, "models": [each | _moved(each, found, ("fill", "center"), ("scale",)) for each in one["models"]]}
        for one in state["patterns"]
    ]
    return BlockScores.from_dict({**state, "patterns": patterns})


def _readout(readout: SignatureReadout, found: Harmonisation) -> SignatureReadout:
    state = readout.to_dict()
    if state["signature"] is None:
        return readout
    signature = dict(state["signature"])
    scaling = signature["scaling"]
    # What follows a bend is on a scale of its own; before a straight one, mean and scale are the column's.
    bent = scaling["kind"] != "linear"
    levels, spreads = (("median",), ("spread",)) if bent else (("median", "mean"), ("spread", "scale"))
    signature["scaling"] = scaling | _moved(scaling, found, levels, spreads)
    return SignatureReadout.from_dict({**state, "signature": signature})


def _moved(
    state: Mapping[str, Any], found: Harmonisation, levels: tuple[str, ...], spreads: tuple[str, ...]
) -> dict[str, list[float]]:
    columns = list(state["columns"])
    moved = {name: found.levels(columns, np.asarray(state[name], dtype=np.float64)).tolist() for name in levels}
    return moved | {
        name: found.spreads(columns, np.asarray(state[name], dtype=np.float64)).tolist() for name in spreads
    }
