"""What is known of every axilla of a ``cases`` table: its outcomes, and what describes it beside them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from usdlr.core.columns import AXILLA_KEY, DERIVED
from usdlr.core.endpoints import derived_endpoints
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.types import ElastographyState, Stage
from usdlr.inference.sites import is_tumour

# One value per axilla; where its image sets state several, the first one counts.
FIRST = (
    "centre_id",
    "vendor",
    "device",
    "age_years",
    "birads",
    "cn_stage",
    "neoadjuvant",
    "sln_reference",
    "sln_deposit",
    "axillary_surgery",
    "sln_positive_count",
    "sln_removed_count",
    "positive_nodes",
    "removed_nodes",
    "dfs_months",
    "dfs_event",
)
# The largest of an axilla's image sets counts.
LARGEST = ("tumour_size_mm", "days_us_to_surgery")
ELASTOGRAPHY = "elastography"


def axilla_table(cases: pd.DataFrame) -> pd.DataFrame:
    """One row per axilla that describes it, from the image sets of its tumour.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.

    Returns
    -------
    DataFrame
        ``patient_id side``, the columns :data:`FIRST` and :data:`LARGEST`, ``images`` (image sets of the axilla) and
        ``elastography`` (whether stiffness was measured in any of them), in the order of ``cases``.

    Examples
    --------
    >>> image = {"patient_id": "a", "side": "left", "site": "tumour", "tumour_size_mm": 14.0}
    >>> rows = [image | {"elasto_state": "missing"}, image | {"tumour_size_mm": 21.0, "elasto_state": "measured"}]
    >>> axilla_table(pd.DataFrame(rows))[["tumour_size_mm", "images", "elastography"]].to_dict("records")
    [{'tumour_size_mm': 21.0, 'images': 2, 'elastography': True}]
    """
    rows = cases[is_tumour(cases)].reset_index(drop=True)
    groups = rows.groupby(AXILLA_KEY, sort=False, dropna=False)
    size = groups.size()
    out = size.index.to_frame(index=False)
    for name in FIRST:
        if name in rows:
            out[name] = groups[name].first().to_numpy()
    for name in LARGEST:
        if name in rows:
            out[name] = groups[name].max().to_numpy()
    out["images"] = size.to_numpy()
    measured = rows["elasto_state"] == str(ElastographyState.MEASURED)
    out[ELASTOGRAPHY] = measured.groupby([rows[name] for name in AXILLA_KEY], sort=False).any().to_numpy(dtype=bool)
    return out


def outcome_table(cases: pd.DataFrame, columns: Mapping[Stage, str]) -> pd.DataFrame:
    """One row per axilla with the outcome of either stage.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    columns : mapping of Stage to str
        The endpoint of each stage.

    Returns
    -------
    DataFrame
        ``patient_id, side, centre_id, sln, nsln, exam_day`` in the order of ``cases``; labels are 1.0, 0.0 or
        not-a-number (unknown, which is never read as negative); ``exam_day`` is the first examination's,
        not-a-number where the day of any is unknown.

    Raises
    ------
    DataError
        If the image sets of one axilla state different outcomes.
    """
    named = cases[[*AXILLA_KEY, "centre_id"]].reset_index(drop=True)
    for stage in Stage:
        values = endpoint_values(cases, columns[stage]).reset_index(drop=True)
        named[str(stage)] = np.where(values.isna(), np.nan, values.fillna(False).astype(float))
    groups = named.groupby(AXILLA_KEY, sort=False)
    for stage in Stage:
        if (groups[str(stage)].nunique(dropna=False) > 1).any():
            raise DataError(
                f"found axillae whose image sets state different values of {columns[stage]}, "
                "expected one outcome per patient and side; correct the table"
            )
    if named.empty:
        return named.assign(exam_day=np.empty(0))
    labels = groups.first().reset_index()
    days = cases[AXILLA_KEY].assign(exam_day=cases["exam_day"].astype("Float64").astype("float64"))
    first = days.groupby(AXILLA_KEY, sort=False)["exam_day"].agg(lambda values: values.min(skipna=False))
    return labels.assign(exam_day=first.to_numpy())


def endpoint_values(cases: pd.DataFrame, column: str) -> pd.Series:
    """An endpoint of every image set, true, false or null: a column of ``cases`` or one derived from it."""
    values: pd.Series = (derived_endpoints(cases) if column in DERIVED else cases)[column].astype("boolean")
    return values


def require_binary(cases: pd.DataFrame, column: str, key: str) -> None:
    """Refuse an endpoint that is no column, or not one of true and false.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    column : str
        The endpoint.
    key : str
        Where it was named, for the message.

    Raises
    ------
    ConfigError
        If there is no such column.
    DataError
        If it holds other values.
    """
    if column in DERIVED:
        return
    if column not in cases:
        candidates = [str(name) for name in cases if cases[name].dtype == "boolean"]
        raise ConfigError(f"found {key} = {column!r}, expected a column of the cases: {', '.join(candidates)}")
    if cases[column].dtype != "boolean":
        values = sorted(map(str, cases[column].dropna().unique()))
        shown = ", ".join(values[:5]) + (", ..." if len(values) > 5 else "")
        raise DataError(
            f"found {key} = {column!r} with {len(values)} different values ({shown}), expected true or false; "
            "name a binary endpoint"
        )


def quality_counts(cases: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Image sets by quality flag, spacing source, state of elastography and source of the contour."""
    counts = {"flags": cases["quality_flags"].dropna().str.split().explode().value_counts()}
    counts |= {name: cases[name].value_counts() for name in ("spacing_source", "elasto_state", "mask_source")}
    if not is_tumour(cases).all():
        counts["site"] = cases["site"].value_counts()
    return {name: {str(word): int(n) for word, n in part.sort_index().items()} for name, part in counts.items()}
