"""Columns of words that have an order, as numbers: the one place where their ranks stand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import DataError

# By column, the rank of every word that has one, and the words that grade nothing and count as missing.
# Category 4 without a letter spans 4a to 4c and takes the middle. Categories 0 (incomplete), 1 (nothing found) and
# 6 (known cancer) do not grade what the picture shows. cNX: the nodes cannot be assessed.
RANKS: Final[Mapping[str, Mapping[str, float]]] = {
    "birads": {"2": 0.0, "3": 1.0, "4a": 2.0, "4b": 3.0, "4": 3.0, "4c": 4.0, "5": 5.0},
    "cn_stage": {"cN0": 0.0, "cN1": 1.0, "cN2": 2.0, "cN3": 3.0},
}
UNRANKED: Final[Mapping[str, tuple[str, ...]]] = {"birads": ("0", "1", "6"), "cn_stage": ("cNX",)}


def ranks(column: str, values: Iterable[Any]) -> npt.NDArray[np.float64]:
    """An ordered column of words as ranks.

    ``birads``: 2 -> 0, 3 -> 1, 4a -> 2, 4b (and 4) -> 3, 4c -> 4, 5 -> 5. The chances of cancer that the atlas gives to
    the categories (3: up to 2 %, 4a: up to 10 %, 4b: up to 50 %, 4c: up to 95 %, 5: above) lie about 2 nat of log-odds
    apart, so that a rank is near enough to an interval scale for a regression. ``cn_stage``: cN0 -> 0 to cN3 -> 3.

    Parameters
    ----------
    column : str
        ``birads`` or ``cn_stage``.
    values : iterable
        As in that column of the cases.

    Returns
    -------
    float64 array, (rows,)
        Not-a-number for null and for words that grade nothing: BI-RADS 0, 1 and 6, and cNX.

    Raises
    ------
    DataError
        If a value is no word of the column.

    References
    ----------
    D'Orsi et al., ACR BI-RADS Atlas, 5th edition, American College of Radiology 2013; AJCC Cancer Staging Manual, 8th
    edition, Springer 2017, doi:10.1007/978-3-319-40618-3.

    Examples
    --------
    >>> ranks("cn_stage", ["cN0", "cN2", None, "cNX"])
    array([ 0.,  2., nan, nan])
    """
    known, unranked = RANKS[column], UNRANKED[column]
    found = []
    for row, value in enumerate(values):
        word = None if pd.isna(value) else value
        if not (word is None or word in known or word in unranked):
            raise DataError(
                f"found {column} = {value!r} in row {row}, expected one of {', '.join(sorted([*unranked, *known]))} or "
                "null; correct the table"
            )
        found.append(known.get(str(word), math.nan))
    return np.array(found, dtype=np.float64)
