"""The design table: radiomics features and clinical variables of every image set, behind the pre-operative guard."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from usdlr.core import tables
from usdlr.core.columns import FEATURE_PATTERN, known_too_late, model_variables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.modalities import MODALITIES
from usdlr.core.ordinal import RANKS, ranks

CLINICAL = "clinical."


def require_preoperative(clinical: Sequence[str]) -> None:
    """Refuse a variable that a model must not read.

    Raises
    ------
    ConfigError
        If a variable is known only after surgery, is an outcome, or is neither numeric nor in an order.

    Examples
    --------
    >>> require_preoperative(["tumour_size_mm", "age_years", "cn_stage"])
    >>> require_preoperative(["grade_surgical"])
    Traceback (most recent call last):
    ...
    usdlr.core.errors.ConfigError: found data.clinical = 'grade_surgical', which is known only after surgery, ...
    """
    allowed = model_variables()
    for name in clinical:
        if name in allowed:
            continue
        why = known_too_late(name) or "which is neither a numeric nor an ordered variable of the cases table"
        raise ConfigError(f"found data.clinical = {name!r}, {why}, expected some of {', '.join(allowed)}")


def design_table(features: pd.DataFrame, cases: pd.DataFrame, clinical: Sequence[str]) -> pd.DataFrame:
    """Join features and clinical variables.

    Parameters
    ----------
    features : DataFrame
        The ``features`` table.
    cases : DataFrame
        The ``cases`` table.
    clinical : sequence of str
        Pre-operative columns of ``cases``; words in an order become ranks, see :func:`usdlr.core.ordinal.ranks`.

    Returns
    -------
    DataFrame
        Indexed by ``image_id`` in the order of ``cases``; feature columns, then ``clinical.{variable}``, null where it
        is not known.

    Raises
    ------
    ConfigError
        If the guard refuses a variable.
    DataError
        If a case has no features, or a word is none of its variable's.
    """
    require_preoperative(clinical)
    measured = features.set_index("image_id")
    missing = [name for name in cases["image_id"] if name not in measured.index]
    if missing:
        raise DataError(f"found {len(missing)} cases without features, first {missing[0]}; extract features again")
    columns = [name for name in measured.columns if re.match(FEATURE_PATTERN, name)]
    table = measured.loc[list(cases["image_id"]), columns].copy()
    added = {
        CLINICAL + name: ranks(name, cases[name])
        if name in RANKS
        else pd.to_numeric(cases[name]).astype("float64").to_numpy()
        for name in clinical
    }
    return pd.concat([table, pd.DataFrame(added, index=table.index)], axis=1)


def unmeasured(cases: pd.DataFrame) -> pd.DataFrame:
    """The ``features`` table of cases of which no radiomics is read: a row each, and no feature."""
    rows = pd.DataFrame(
        {
            "image_id": cases["image_id"].astype("str"),
            "status": "ok",
            "reason": "radiomics not measured: nothing reads it",
        }
    )
    return tables.FEATURES.conform(rows)


def with_columns(table: pd.DataFrame, columns: Sequence[str], what: str) -> pd.DataFrame:
    """The columns that a fitted part reads, in its order; null where nobody has an optional modality or its region.

    A table holds the features that some row has: of a centre without elastography, or of one patient whose map misses
    the ring, all columns of the modality or region are absent. One feature missing among others of its region was
    measured with other settings.

    Parameters
    ----------
    table : DataFrame
        Features and clinical variables, named ``{modality}...`` or otherwise.
    columns : sequence of str
        What the part reads.
    what : str
        The part, for the message.

    Raises
    ------
    DataError
        If any other column is missing.
    """
    optional = {name for name, modality in MODALITIES.items() if not modality.required}
    there = {tuple(str(name).split(".")[:2]) for name in table.columns}

    def excused(name: str) -> bool:
        parts = name.split(".")
        return parts[0] in optional and tuple(parts[:2]) not in there

    lost = [name for name in columns if name not in table.columns and not excused(name)]
    if lost:
        raise DataError(
            f"found no feature {lost[0]!r} (and {len(lost) - 1} more), expected the features {what} was fitted with; "
            "extract them with the bundle's settings"
        )
    return table.reindex(columns=list(columns))
