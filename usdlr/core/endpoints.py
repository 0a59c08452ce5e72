"""Endpoints that follow from counts of positive nodes. Unknown is never read as negative."""

from __future__ import annotations

import numpy as np
import pandas as pd

from usdlr.core.errors import DataError

N_POSITIVE = "n_positive"
BURDEN_GE3 = "burden_ge3"
HIGH_BURDEN = 3
_READ = ("sln_positive", "positive_nodes", "axillary_surgery")


def derived_endpoints(cases: pd.DataFrame) -> pd.DataFrame:
    """Whether any node is positive, and whether three or more are.

    ``positive_nodes`` is a complete count only after dissection (``axillary_surgery`` is ``alnd``) and a lower bound
    otherwise; a negative sentinel node means no positive node.

    - ``n_positive``: true where the sentinel node or a counted node is positive; false where the sentinel node is
      negative, or a complete count is zero; null otherwise.
    - ``burden_ge3``: true where three or more are counted, dissected or not; false where a complete count is below
      three or the sentinel node is negative; null otherwise.
    - Both are null after neoadjuvant treatment, which may have cleared the nodes.

    Parameters
    ----------
    cases : DataFrame
        A ``cases`` table: ``sln_positive``, ``positive_nodes``, ``axillary_surgery`` and, where it has one,
        ``neoadjuvant``.

    Returns
    -------
    DataFrame
        ``n_positive`` and ``burden_ge3``, nullable booleans, with the index of ``cases``.

    Raises
    ------
    DataError
        If a column is missing, or a row contradicts itself: a negative sentinel node beside a positive node, or a
        positive one (of more than isolated tumour cells, which are not counted) beside a complete count of zero.

    Examples
    --------
    >>> rows = {"sln_positive": [True, True], "positive_nodes": [1, 1], "axillary_surgery": ["alnd", "slnb"]}
    >>> derived_endpoints(pd.DataFrame(rows))["burden_ge3"].tolist()
    [False, <NA>]
    """
    for name in _READ:
        if name not in cases:
            raise DataError(f"found no column {name!r}, expected one for {N_POSITIVE} and {BURDEN_GE3}; add it as null")
    sln = cases["sln_positive"].astype("boolean")
    count = cases["positive_nodes"].astype("Int64")
    complete = _is(cases, "axillary_surgery", "alnd")
    usable = pd.Series(True, index=cases.index)
    if "neoadjuvant" in cases:
        usable = ~cases["neoadjuvant"].astype("boolean").fillna(False).astype(bool)

    positive, negative = (sln.eq(value).fillna(False).astype(bool) & usable for value in (True, False))
    some, many = (count.ge(least).fillna(False).astype(bool) & usable for least in (1, HIGH_BURDEN))
    none, few = (count.lt(least).fillna(False).astype(bool) & complete & usable for least in (1, HIGH_BURDEN))
    _refuse(negative & some, "sln_positive = false beside a positive node", "no positive node, or sln_positive = true")
    _refuse(
        positive & none & ~_is(cases, "sln_deposit", "itc"),
        "sln_positive = true beside a dissection without a positive node",
        "positive_nodes to count the sentinel nodes too",
    )
    return pd.DataFrame(
        {
            N_POSITIVE: _three_valued(true=positive | some, false=negative | (none & ~positive)),
            BURDEN_GE3: _three_valued(true=many, false=negative | few),
        }
    )


def _is(cases: pd.DataFrame, column: str, word: str) -> pd.Series:
    if column not in cases:
        return pd.Series(False, index=cases.index)
    return cases[column].astype("str").eq(word).fillna(False).astype(bool)


def _three_valued(true: pd.Series, false: pd.Series) -> pd.Series:
    values = pd.Series(pd.NA, index=true.index, dtype="boolean")
    values[false] = False
    values[true] = True
    return values


def _refuse(wrong: pd.Series, found: str, expected: str) -> None:
    if wrong.any():
        row = int(np.asarray(wrong).argmax())
        raise DataError(
            f"found {found} in {int(wrong.sum())} of {len(wrong)} rows (the first is row {row}), expected {expected}; "
            "correct the table"
        )
