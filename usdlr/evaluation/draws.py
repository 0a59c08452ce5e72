"""Bootstrap draws of patients for means over axillae."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import InputError
from usdlr.decision.arrays import FloatArray, labels

IntArray = npt.NDArray[np.int64]
RESAMPLES = 2000


def patient_places(patients: npt.ArrayLike | None, y: npt.ArrayLike) -> tuple[IntArray, str]:
    """Number of the patient of every axilla of known status, and the word for what is drawn.

    Parameters
    ----------
    patients : (n,) array_like or None
        Whose axillae they are; None: every axilla for itself.
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.

    Raises
    ------
    InputError
        If there is not one patient per row.
    """
    known = ~np.isnan(labels(y, "y"))
    if patients is None:
        return np.arange(int(known.sum())), "axillae"
    names = np.asarray(patients, dtype=object).astype(str)
    if names.shape != known.shape:
        raise InputError(f"found {names.size} patients for {len(known)} rows, expected one each; align them")
    return np.unique(names[known], return_inverse=True)[1].astype(np.int64), "patients"


def drawn_means(values: FloatArray, place: IntArray, seed: int, *, replicates: int = RESAMPLES) -> FloatArray:
    """Means over the axillae of drawn patients, one per replicate and column.

    Parameters
    ----------
    values : (n,) or (n, k) float64 array
        One row per axilla.
    place : (n,) int64 array
        The number of its patient, from :func:`patient_places`.
    seed : int
        The same seed gives the same draws.
    replicates : int
        How many.

    Returns
    -------
    (replicates,) or (replicates, k) float64 array
    """
    columns = values.reshape(len(values), -1)
    people = int(place.max()) + 1
    own = people == len(place) and bool((place == np.arange(people)).all())
    totals = columns if own else np.column_stack([np.bincount(place, column) for column in columns.T])
    rows = np.bincount(place).astype(np.float64)
    random = np.random.default_rng(seed)
    found = np.empty((replicates, columns.shape[1]))
    for replicate in range(replicates):
        drawn = random.integers(0, people, people)
        count = float(people) if own else rows[drawn].sum()
        for column in range(columns.shape[1]):
            found[replicate, column] = totals[drawn, column].sum() / count
    return found.reshape(replicates, *values.shape[1:])


def drawn_counts(place: IntArray, group: IntArray, groups: int, replicates: int, seed: int) -> FloatArray:
    """How many axillae of each group are in each draw of patients, (replicates, groups).

    Parameters
    ----------
    place : (n,) int64 array
        The number of each axilla's patient.
    group : (n,) int64 array
        The axilla's group, from 0 to ``groups - 1``.
    groups, replicates, seed : int
        How many groups and draws, and which draws.
    """
    people = int(place.max()) + 1
    random = np.random.default_rng(seed)
    found = np.empty((replicates, groups))
    for replicate in range(replicates):
        weight = np.bincount(random.integers(0, people, people), minlength=people)
        found[replicate] = np.bincount(group, weight[place], minlength=groups)
    return found
