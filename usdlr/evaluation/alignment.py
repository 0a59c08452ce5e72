"""Tables of one row per axilla, brought into one order; a row too many or too few is an error, never a loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from usdlr.core.errors import InputError
from usdlr.decision.arrays import labels

AXILLA: tuple[str, str] = ("patient_id", "side")
LABELS: tuple[str, ...] = (*AXILLA, "sln", "nsln")


def by_axilla(table: pd.DataFrame, columns: Sequence[str], what: str) -> pd.DataFrame:
    """The wanted columns, indexed by ``(patient_id, side)`` in sorted order.

    Raises
    ------
    InputError
        If a column is missing or an axilla appears twice.
    """
    missing = [name for name in (*AXILLA, *columns) if name not in table.columns]
    if missing:
        raise InputError(f"found no column {missing[0]!r} in the {what}, expected one; add it")
    keyed = table.loc[:, [*AXILLA, *columns]].astype(dict.fromkeys(AXILLA, "str")).set_index(list(AXILLA))
    if keyed.index.has_duplicates:
        raise InputError(
            f"found {int(keyed.index.duplicated().sum())} axillae more than once in the {what}, expected each once; "
            "remove the duplicates"
        )
    return keyed.sort_index()


def same_axillae(table: pd.DataFrame, reference: pd.DataFrame, what: str, expected: str) -> None:
    """Refuse two tables from :func:`by_axilla` that do not hold the same axillae.

    Raises
    ------
    InputError
        With both counts; patients are not named.
    """
    if not table.index.equals(reference.index):
        absent, extra = len(reference.index.difference(table.index)), len(table.index.difference(reference.index))
        raise InputError(
            f"found {len(table)} axillae in the {what} and {len(reference)} in the {expected} ({absent} absent, "
            f"{extra} extra), expected the same ones; no axilla may be dropped between steps"
        )


def label_table(table: pd.DataFrame) -> pd.DataFrame:
    """The labels by axilla: ``sln`` and ``nsln``, 1 positive, 0 negative, NaN unknown.

    Raises
    ------
    InputError
        If a column is missing, an axilla appears twice, or a value is none of the three.
    """
    keyed = by_axilla(table, LABELS[2:], "labels")
    return pd.DataFrame({name: labels(keyed[name], name) for name in LABELS[2:]}, index=keyed.index)


def endpoint_counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Positive, negative and unknown axillae by stage; NSLN among SLN-positive axillae.

    Parameters
    ----------
    table : DataFrame
        ``patient_id side sln nsln``, one row per axilla.

    Examples
    --------
    >>> rows = {"patient_id": ["a", "b", "c"], "side": ["left"] * 3, "sln": [1, 0, None], "nsln": [None, None, None]}
    >>> endpoint_counts(pd.DataFrame(rows))["nsln"]
    {'positive': 0, 'negative': 0, 'unknown': 1}
    """
    truth = label_table(table)
    return {"sln": _count(truth["sln"]), "nsln": _count(truth.loc[truth["sln"] == 1, "nsln"])}


def _count(values: pd.Series) -> dict[str, int]:
    array = values.to_numpy(dtype=np.float64)
    return {
        "positive": int((array == 1).sum()),
        "negative": int((array == 0).sum()),
        "unknown": int(np.isnan(array).sum()),
    }
