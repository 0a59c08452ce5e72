"""The parts of an axilla that its strangeness is told by, each with its law among training axillae."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from usdlr.core.errors import BundleError, DataError
from usdlr.core.leak import Rows
from usdlr.decision.arrays import FloatArray
from usdlr.inference.gaussian import Gaussian
from usdlr.radiomics.design import CLINICAL

FEWEST_ROWS = 10
"""Training axillae that a part is judged by at least."""
FOLDS = 5
IMAGE, TABLE = "image", "table"
MOST_SCORE = 5.0

# Of every image block, embeddings (axillae, places) of every network of both stages; not-a-number: block absent.
Looks = Mapping[str, Sequence[npt.NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class Part:
    """One part of an axilla.

    Parameters
    ----------
    name : str
        Image block, ``{modality}.{region}`` of radiomics, or ``clinical``.
    kind : str
        ``image`` or ``table``.
    laws : tuple of Gaussian
        One per network; of a table one.
    centre, spread : (float, float)
        Of the cube root of both distances among training axillae, see :meth:`Gaussian.distances`.
    columns : tuple of str
        Of a table.
    tuning : (k,) float64 array
        Scores of the tuning patients who have the part, rising.
    """

    name: str
    kind: str
    laws: tuple[Gaussian, ...]
    centre: tuple[float, float]
    spread: tuple[float, float]
    columns: tuple[str, ...] = ()
    tuning: FloatArray = field(default_factory=lambda: np.zeros(0))

    @property
    def key(self) -> str:
        """Its name among all parts."""
        return f"{self.kind}:{self.name}"

    def distance(self, looks: Looks, scores: FloatArray, columns: Mapping[str, int]) -> FloatArray:
        """The larger distance in standard deviations of training axillae, (n,); not-a-number: the part is absent.

        Parameters
        ----------
        looks : mapping
            Embeddings.
        scores : (n, p) float64 array
            Normal scores of all columns.
        columns : mapping of str to int
            Where each column is.
        """
        if self.kind == IMAGE:
            found = image_distance(self.laws, looks.get(self.name, ()))
        else:
            found = table_distance(self.laws[0], scores[:, [columns[name] for name in self.columns]])
        return np.asarray(np.max((np.cbrt(found) - np.array(self.centre)) / np.array(self.spread), axis=1))

    def p_values(self, scores: FloatArray) -> FloatArray:
        """Conformal p-values among tuning patients, (n,); not-a-number where the part is absent."""
        return conformal_p(scores, self.tuning)

    def to_dict(self) -> dict[str, Any]:
        """What goes into JSON; no patient."""
        return {
            "name": self.name,
            "kind": self.kind,
            "laws": len(self.laws),
            "centre": list(self.centre),
            "spread": list(self.spread),
            "columns": list(self.columns),
            "tuning": self.tuning.tolist(),
        }

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What goes into safetensors."""
        return {f"{place}.{name}": one for place, law in enumerate(self.laws) for name, one in law.to_arrays().items()}

    @classmethod
    def from_files(cls, state: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Restore what :meth:`to_dict` and :meth:`to_arrays` gave.

        Raises
        ------
        BundleError
            If it is no part.
        KeyError, TypeError, ValueError
            If it is damaged.
        """
        part = cls(
            str(state["name"]),
            str(state["kind"]),
            tuple(Gaussian.from_arrays(below(arrays, f"{place}.")) for place in range(int(state["laws"]))),
            _pair(state["centre"]),
            _pair(state["spread"]),
            tuple(str(name) for name in state["columns"]),
            np.asarray(state["tuning"], dtype=np.float64),
        )
        fits = part.kind == IMAGE or {len(law.mean) for law in part.laws} == {len(part.columns)}
        if part.kind not in (IMAGE, TABLE) or not part.laws or not fits or not min(part.spread) > 0:
            raise BundleError(f"found an impossible part {part.key} of the out-of-distribution score; export it again")
        return part


def conformal_p(scores: FloatArray, known: FloatArray) -> FloatArray:
    """Share of the known patients and the new one who are at least as strange, (n,).

    ``known`` is rising. The chance of a value of at most a is at most a for a patient exchangeable with them.

    Examples
    --------
    >>> conformal_p(np.array([0.5, 9.0]), np.array([0.0, 1.0, 2.0])).tolist()
    [0.75, 0.25]
    """
    above = len(known) - np.searchsorted(known, scores, side="left")
    return np.where(np.isfinite(scores), (1 + above) / (len(known) + 1), np.nan)


def below(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)}


def tables_of(columns: Sequence[str]) -> dict[str, list[str]]:
    """Columns by modality and region, clinical variables together."""
    out: dict[str, list[str]] = {}
    for name in columns:
        group = CLINICAL.rstrip(".") if name.startswith(CLINICAL) else ".".join(name.split(".")[:2])
        out.setdefault(group, []).append(name)
    return out


def patient_folds(rows: Rows) -> npt.NDArray[np.intp]:
    """Which of five folds every row is in; a patient's rows together."""
    names = {name: place for place, name in enumerate(sorted(rows.patients))}
    order = np.random.default_rng(0).permutation(len(names)) % FOLDS
    return np.array([order[names[who]] for who in rows.patient_id], dtype=np.intp)


def image_part(name: str, each: Sequence[npt.NDArray[Any]], fold: npt.NDArray[np.intp]) -> Part | None:
    """The part of an image block, from every network's embeddings; None where too few training axillae have it."""
    arrays = [np.asarray(one, dtype=np.float64) for one in each]
    has = np.all([np.isfinite(one).all(axis=1) for one in arrays], axis=0)
    if has.sum() < FEWEST_ROWS:
        return None
    kept = [one[has] for one in arrays]
    return Part(name, IMAGE, tuple(Gaussian.fit(one) for one in kept), *_middle(_held_out(kept, fold[has])))


def table_part(name: str, columns: Sequence[str], scores: FloatArray, fold: npt.NDArray[np.intp]) -> Part | None:
    """The part of some columns, from their normal scores; None where too few training axillae have a value."""
    has = np.isfinite(scores).any(axis=1)
    if has.sum() < FEWEST_ROWS:
        return None
    kept = _bounded(scores[has])
    return Part(name, TABLE, (Gaussian.fit(kept),), *_middle(_held_out([kept], fold[has])), tuple(columns))


def image_distance(laws: Sequence[Gaussian], each: Sequence[npt.NDArray[Any]]) -> FloatArray:
    """Distances averaged over networks, (n, 2); not-a-number where the block is absent.

    Raises
    ------
    DataError
        If there are other networks than the laws are of.
    """
    widths = [one.shape[1] for one in each]
    if widths != [len(law.mean) for law in laws]:
        raise DataError(
            f"found embeddings of {widths} places, expected {[len(law.mean) for law in laws]}, one per network; "
            "use the networks that the out-of-distribution score was fitted with"
        )
    found = [law.distances(np.asarray(one, dtype=np.float64)) for law, one in zip(laws, each, strict=True)]
    return np.asarray(np.mean(found, axis=0), dtype=np.float64)


def table_distance(law: Gaussian, scores: FloatArray) -> FloatArray:
    """Distances of normal scores, (n, 2); not-a-number where there is no value at all."""
    absent = np.asarray(np.isnan(scores).all(axis=1))
    return np.where(absent[:, None], np.nan, law.distances(_bounded(scores)))


def _bounded(scores: FloatArray) -> FloatArray:
    # As networks read them, up to five standard deviations: one wild value in hundreds is not a stranger, many are.
    # A single missing value counts as the usual one.
    return np.asarray(np.clip(np.nan_to_num(scores, nan=0.0), -MOST_SCORE, MOST_SCORE), dtype=np.float64)


def _held_out(each: Sequence[FloatArray], group: npt.NDArray[np.intp]) -> FloatArray:
    """Distances of rows by laws that were not fitted on their patients, averaged over networks."""
    out = np.full((len(group), 2), np.nan)
    for fold in range(FOLDS):
        inside, rest = group == fold, group != fold
        if inside.any() and rest.sum() >= 2:
            out[inside] = np.mean([Gaussian.fit(one[rest]).distances(one[inside]) for one in each], axis=0)
    return np.asarray(out[np.isfinite(out).all(axis=1)], dtype=np.float64)


def _middle(distances: FloatArray) -> tuple[tuple[float, float], tuple[float, float]]:
    """Centres of the cube root of both distances, and spreads upward: alarms are about large ones, of a longer tail."""
    if not len(distances):
        return (1.0, 1.0), (1.0, 1.0)
    root = np.cbrt(distances)
    centre, upper = np.quantile(root, [0.5, 0.9], axis=0)
    spread = (upper - centre) / float(ndtri(0.9))
    spread = np.where(spread > 1e-9, spread, np.maximum(root.std(axis=0), 1e-3))
    return _pair(centre.tolist()), _pair(spread.tolist())


def _pair(values: Sequence[float]) -> tuple[float, float]:
    first, second = values
    return float(first), float(second)
