"""Rows of images as rows of axillae: whoever was photographed often must not count often."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.leak import Rows

Array = npt.NDArray[np.float64]


def axilla_weights(rows: Rows) -> Array:
    """One over the number of rows that show the same axilla, (rows,).

    Examples
    --------
    >>> axilla_weights(Rows.of(["a", "a", "a", "b"], ["train"] * 4, ["left", "left", "right", "left"]))
    array([0.5, 0.5, 1. , 1. ])
    """
    codes = pd.factorize(pd.MultiIndex.from_tuples(rows.axillae))[0]
    return np.asarray(1.0 / np.bincount(codes)[codes], dtype=np.float64)


def axilla_means(table: pd.DataFrame, labels: Array, rows: Rows) -> tuple[pd.DataFrame, Array, Rows]:
    """One row per axilla and label: the mean of what its images have, not-a-number where none has anything.

    Parameters
    ----------
    table : DataFrame, (rows, columns)
        Not-a-number where nothing was measured.
    labels : ndarray, (rows,)
        1 positive, 0 negative, not-a-number unknown.
    rows : Rows
        Whose rows they are.

    Returns
    -------
    table, labels, rows
        In the order in which the axillae first appear; the very same where every axilla has one row.

    Raises
    ------
    ValueError
        If there are not as many of each.
    """
    if not len(table) == len(labels) == len(rows):
        raise ValueError(f"{len(table)} rows of features, {len(labels)} labels and {len(rows)} patients")
    keys = [(*axilla, str(label)) for axilla, label in zip(rows.axillae, labels.tolist(), strict=True)]
    codes = pd.factorize(pd.MultiIndex.from_tuples(keys))[0]
    _, first = np.unique(codes, return_index=True)
    if len(first) == len(table):
        return table, labels, rows
    means = table.reset_index(drop=True).astype("float64").groupby(codes, sort=True).mean()
    sides = [side for _, side in rows.axillae]
    owners = [(rows.patient_id[place], rows.split[place], sides[place]) for place in first]
    return means, labels[first], Rows.of(*zip(*owners, strict=True))
