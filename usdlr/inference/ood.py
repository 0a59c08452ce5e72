"""How unlike the training patients an axilla is, and an alarm whose rate of false ones is stated.

An axilla has parts: what the networks make of every image block, the radiomics of every modality and region, and the
clinical variables. Of every part that it has, its Mahalanobis distance from the training axillae, along all directions
and along the few main ones, is told in standard deviations of what training axillae show that the law was not fitted
on (the cube root of a squared distance is close to normal: Wilson and Hilferty). The score is that of the part that
lies farthest out. It is a fixed function once training patients are known, so the conformal limit from tuning patients
holds in finite samples: a new patient who is exchangeable with them raises an alarm with at most the stated chance,
whatever the laws look like. Tuning patients have stopped the fits; what that is worth is measured on test patients,
see the study report.

References
----------
Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005). Lee et al., A simple unified framework for
detecting out-of-distribution samples (2018), arXiv 1807.03888 (distances of embeddings). Wilson and Hilferty, PNAS 17
(1931) 684, doi:10.1073/pnas.17.12.684.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import BundleError, DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.decision.arrays import FloatArray
from usdlr.decision.deferral import most_by_patient, share_limit
from usdlr.evaluation.marginals import Marginals
from usdlr.inference.ood_parts import (
    Looks,
    Part,
    below,
    conformal_p,
    image_part,
    patient_folds,
    table_part,
    tables_of,
)

RATE = 0.05
"""Share of patients like the tuning patients who raise an alarm at most, unless the experiment states another."""
DIGITS = 4  # another batch size moves an embedding in its seventh digit; it must not move an alarm
FAR = 3.0
"""Standard deviations beyond which a single feature is named."""


@dataclass(frozen=True, eq=False)
class Strange:
    """How strange some axillae are.

    Parameters
    ----------
    score : (n,) float64 array
        In standard deviations of the part that lies farthest out; not-a-number where there is no part.
    alarm : (n,) bool array or None
        Whether the score is above the limit; None where too few tuning patients give no limit.
    p : (n,) float64 array
        Conformal p-value of the score among tuning patients.
    parts : DataFrame, (n, parts)
        Score of every part; null where it is absent.
    """

    score: FloatArray
    alarm: npt.NDArray[np.bool_] | None
    p: FloatArray
    parts: pd.DataFrame


@dataclass(frozen=True, eq=False)
class OutOfDistribution:
    """The fitted score.

    Parameters
    ----------
    parts : tuple of Part
        In the order in which they are told.
    marginals : Marginals
        Of the columns of every table, among training axillae.
    rate : float
        Stated share of false alarms.
    limit : float or None
        Scores above it raise an alarm; None: too few tuning patients for the rate.
    tuning : (n,) float64 array
        Scores of tuning patients, rising; a patient's larger one where there are two axillae.
    fitted_patients : frozenset of str
        Training and tuning patients; empty after loading.
    """

    parts: tuple[Part, ...]
    marginals: Marginals
    rate: float
    limit: float | None
    tuning: FloatArray
    fitted_patients: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def fit(
        cls,
        looks: Looks,
        design: pd.DataFrame,
        *,
        rows: Rows,
        tuned_looks: Looks,
        tuned_design: pd.DataFrame,
        tuned_rows: Rows,
        rate: float = RATE,
    ) -> Self:
        """Fit laws on training axillae and the limit on tuning axillae.

        Parameters
        ----------
        looks, design
            Of training axillae: embeddings, and the design table with a row per axilla.
        rows : Rows
            Whose axillae these are.
        tuned_looks, tuned_design, tuned_rows
            The same of tuning axillae.
        rate : float
            Stated share of false alarms, above 0 and below 1.

        Raises
        ------
        LeakError
            If rows are of another split.
        """
        require_split(rows, [Split.TRAIN], "laws of the out-of-distribution score")
        require_split(tuned_rows, [Split.TUNING], "limit of the out-of-distribution score")
        fold = patient_folds(rows)
        found = [image_part(name, each, fold) for name, each in looks.items()]
        names = [str(name) for name in design.columns]
        marginals = Marginals.of(design.to_numpy(np.float64).reshape(len(design), len(names)), names)
        marginals = marginals.take([name for name, varies in zip(names, marginals.varies, strict=True) if varies])
        scores, at = marginals.scores(_columns(design, marginals)), _places(marginals)
        for name, own in tables_of(marginals.columns).items():
            found.append(table_part(name, own, scores[:, [at[one] for one in own]], fold))
        known = [part for part in found if part is not None]
        tuned = cls(tuple(known), marginals, rate, None, np.zeros(0))._scores(tuned_looks, tuned_design)
        parts = [
            replace(part, tuning=np.sort(_by_patient(tuned[:, place], tuned_rows))) for place, part in enumerate(known)
        ]
        score = _most(tuned)
        has = np.isfinite(score)
        limit = share_limit(score[has], tuned_rows.take(has).patient_id, rate)
        seen = frozenset(rows.patients | tuned_rows.patients)
        return cls(tuple(parts), marginals, rate, limit, np.sort(_by_patient(score, tuned_rows)), seen)

    @property
    def needed(self) -> int:
        """Tuning patients that the rate needs at least."""
        return int(np.ceil(1 / self.rate - 1e-9)) - 1

    def judge(self, looks: Looks, design: pd.DataFrame) -> Strange:
        """Scores of any axillae: embeddings, and the design table with a row per axilla.

        Raises
        ------
        DataError
            If a block has another number of networks or places.
        """
        parts = self._scores(looks, design)
        score = _most(parts)
        # A score that could not be made is strange, as the deferral rule says too.
        alarm = None if self.limit is None else ~(score <= self.limit)
        named = pd.DataFrame(parts, columns=[part.key for part in self.parts])
        return Strange(score, alarm, conformal_p(score, self.tuning), named)

    def part_p(self, parts: pd.DataFrame) -> pd.DataFrame:
        """Conformal p-values of every part, shape and columns of :attr:`Strange.parts`."""
        return pd.DataFrame({part.key: part.p_values(parts[part.key].to_numpy(np.float64)) for part in self.parts})

    def far_features(self, design: pd.DataFrame, row: int, *, most: int = 3) -> list[tuple[str, float, float, float]]:
        """The columns of an axilla that lie farthest out, at least 3 standard deviations: name, value, usual range.

        The range ends at the outermost quantiles that are kept: about 5 to 95 % of the training axillae.
        """
        values = _columns(design.iloc[[row]], self.marginals)
        scores = np.abs(np.nan_to_num(self.marginals.scores(values)[0], nan=0.0))
        found = []
        for at in np.argsort(-scores, kind="stable")[:most]:
            edges = self.marginals.edges[at, np.isfinite(self.marginals.edges[at])]
            if scores[at] >= FAR:
                found.append((self.marginals.columns[at], float(values[0, at]), float(edges[0]), float(edges[-1])))
        return found

    def _scores(self, looks: Looks, design: pd.DataFrame) -> FloatArray:
        """Scores of every part, (n, parts)."""
        scores, at = self.marginals.scores(_columns(design, self.marginals)), _places(self.marginals)
        each = [part.distance(looks, scores, at) for part in self.parts]
        return np.round(np.stack(each, axis=1) if each else np.zeros((len(design), 0)), DIGITS)

    def to_dict(self) -> dict[str, Any]:
        """What goes into JSON; no patient."""
        return {
            "rate": self.rate,
            "limit": self.limit,
            "tuning": self.tuning.tolist(),
            "columns": list(self.marginals.columns),
            "parts": [part.to_dict() for part in self.parts],
        }

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What goes into safetensors."""
        found: dict[str, npt.NDArray[Any]] = {f"marginals.{k}": v for k, v in self.marginals.to_arrays().items()}
        for number, part in enumerate(self.parts):
            found |= {f"part.{number}.{name}": one for name, one in part.to_arrays().items()}
        return found

    @classmethod
    def from_files(cls, state: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Restore what :meth:`to_dict` and :meth:`to_arrays` gave.

        Raises
        ------
        BundleError
            If either is damaged.
        """
        try:
            marginals = Marginals.from_arrays([str(name) for name in state["columns"]], below(arrays, "marginals."))
            parts = tuple(
                Part.from_files(one, below(arrays, f"part.{number}.")) for number, one in enumerate(state["parts"])
            )
            limit = None if state["limit"] is None else float(state["limit"])
            rate, tuning = float(state["rate"]), np.asarray(state["tuning"], dtype=np.float64)
        except BundleError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, DataError) as error:
            raise BundleError(
                f"found a damaged out-of-distribution score ({error}), expected what a run wrote; export the bundle "
                "again"
            ) from error
        numbers = [rate, *tuning, *([] if limit is None else [limit])]
        whole = np.isfinite(numbers).all() and 0 < rate < 1
        if not whole or any(set(part.columns) - set(marginals.columns) for part in parts):
            raise BundleError("found an out-of-distribution score that contradicts itself; export the bundle again")
        return cls(parts, marginals, rate, limit, tuning)


def _columns(design: pd.DataFrame, marginals: Marginals) -> FloatArray:
    # Nobody of a centre without elastography has its columns; a part without any value is absent.
    return np.asarray(design.reindex(columns=list(marginals.columns)).to_numpy(np.float64), dtype=np.float64)


def _places(marginals: Marginals) -> dict[str, int]:
    return {name: place for place, name in enumerate(marginals.columns)}


def _by_patient(score: FloatArray, rows: Rows) -> FloatArray:
    """The larger score of every patient who has one."""
    has = np.isfinite(score)
    return most_by_patient(score[has], rows.take(has).patient_id)


def _most(parts: FloatArray) -> FloatArray:
    """The largest score of every row's parts, (n,); not-a-number without any."""
    none = np.isnan(parts).all(axis=1) if parts.shape[1] else np.ones(len(parts), dtype=bool)
    return np.where(none, np.nan, np.max(np.nan_to_num(parts, nan=-np.inf), axis=1, initial=-np.inf))
