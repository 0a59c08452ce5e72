"""What harmonisation is given: features, centres, and covariates that can be told from the centre."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.leak import Rows
from usdlr.radiomics.harmonise.centre_estimate import FEWEST
from usdlr.radiomics.harmonise.centre_policy import LocalPrior, Unseen
from usdlr.radiomics.harmonise.combat import Floats, Integers, dependent_covariate
from usdlr.radiomics.harmonise.covariates import Coding

Names: TypeAlias = npt.NDArray[np.object_]


def table_of(X: pd.DataFrame | npt.ArrayLike) -> tuple[list[str], Floats]:
    """Names and values; infinite values count as missing for estimates and pass through."""
    if isinstance(X, pd.DataFrame):
        if X.columns.has_duplicates:
            raise DataError(f"found the feature {X.columns[X.columns.duplicated()][0]!r} twice, expected it once")
        return [str(name) for name in X.columns], X.astype("float64").to_numpy(np.float64)
    values = np.asarray(X, dtype=np.float64)
    if values.ndim != 2:
        raise DataError(f"found features of shape {values.shape}, expected (rows, features)")
    return [f"x{number}" for number in range(values.shape[1])], values


def check_options(unseen: str, local_prior: str, min_local: int, tolerance: float) -> None:
    """Refuse options of :class:`~usdlr.radiomics.harmonise.transformer.ComBat` that mean nothing.

    Raises
    ------
    ConfigError
        Naming the option.
    """
    if unseen not in set(Unseen):
        raise ConfigError(f"found unseen = {unseen!r}, expected one of {', '.join(Unseen)}")
    if local_prior not in set(LocalPrior):
        raise ConfigError(f"found local_prior = {local_prior!r}, expected one of {', '.join(LocalPrior)}")
    if min_local < FEWEST:
        raise ConfigError(f"found min_local = {min_local}, expected at least {FEWEST} patients")
    if not tolerance > 0:
        raise ConfigError(f"found tolerance = {tolerance}, expected a positive number, e.g. 1e-4")


def features_of(X: pd.DataFrame | npt.ArrayLike, features: list[str]) -> Floats:
    """The values of the fitted features, by name where there are names: (rows, features).

    Raises
    ------
    DataError
        If one is missing.
    """
    if isinstance(X, pd.DataFrame):
        missing = [name for name in features if name not in X.columns]
        if missing:
            raise DataError(
                f"found no feature {missing[0]!r} (and {len(missing) - 1} more), expected the features that "
                "harmonisation was fitted with; extract them with the same settings"
            )
        return table_of(X[features])[1]
    names, values = table_of(X)
    if len(names) != len(features):
        raise DataError(f"found {len(names)} columns, expected {len(features)} as in the fit")
    return values


def labels_of(centre: Iterable[str], rows: int | None) -> Names:
    """Names of the rows' centres, (rows,).

    Raises
    ------
    DataError
        If a row has none, or there are not ``rows`` of them.
    """
    names = list(centre)
    empty = sum(pd.isna(name) or name == "" for name in names)
    if empty:
        raise DataError(f"found {empty} rows without a centre, expected its name in each (centre_id)")
    if rows is not None and len(names) != rows:
        raise DataError(f"found {len(names)} centres, expected {rows}: one per row of features")
    return np.array([str(name) for name in names], dtype=object)


def rows_of(table: pd.DataFrame | None, chosen: Integers, rows: int) -> pd.DataFrame | None:
    """Some rows of the covariates, by position.

    Raises
    ------
    DataError
        If the table has not ``rows`` rows.
    """
    if table is None:
        return None
    if len(table) != rows:
        raise DataError(f"found {len(table)} rows of covariates, expected {rows}: one per row of features")
    return table.iloc[chosen]


def reference_of(name: str | None, centres: list[str]) -> int | None:
    """Position of the reference centre, None without one.

    Raises
    ------
    DataError
        If it has no rows.
    """
    if name is not None and name not in centres:
        raise DataError(f"found no row of the reference centre {name}, expected it among {', '.join(centres)}")
    return None if name is None else centres.index(name)


def require_length(rows: Rows, found: int) -> None:
    """Refuse no rows at all, and features and patients that are not row by row the same.

    Raises
    ------
    DataError
        With both counts.
    """
    if not found:
        raise DataError("found no rows, expected those of at least two centres; leave harmonisation out")
    if len(rows) != found:
        raise DataError(f"found {found} rows of features but {len(rows)} patients, expected one per row")


def require_independent(coding: Coding, encoded: Floats, batch: Integers) -> None:
    """Refuse a design matrix that is not of full rank.

    Raises
    ------
    DataError
        Naming the covariate.
    """
    found = dependent_covariate(encoded, batch)
    if found is None:
        return
    (name, level), why = coding.names[found[0]], found[1]
    words = {
        "constant": "does not vary over the training rows",
        "centre": "cannot be told from the centre",
        "covariates": "follows from the other covariates",
    }[why]
    raise DataError(
        f"found the covariate {name}{f' (level {level})' if level else ''}, which {words}, expected one that varies "
        "within centres by itself; its effect cannot be estimated: leave it out or merge levels"
    )
