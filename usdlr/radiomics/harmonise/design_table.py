"""Harmonisation of a design table: the centre and the covariates of its rows come from the ``cases`` table.

The centre of a row is the ``centre_id`` of its case, the covariates are pre-operative columns of the same table.
Feature columns ``{modality}.{roi}...`` are harmonised; ``clinical.*`` columns mean the same at every centre and stay
as they are. Harmonisation comes before :class:`~usdlr.radiomics.selection.selector.FeatureSelector`, inside the fold::

    combat = fit_design(ComBat(unseen="none"), design.loc[train], cases, rows=rows)
    selector = FeatureSelector().fit(harmonise_design(combat, design.loc[train], cases), y, rows=rows)
    inputs = selector.transform(harmonise_design(combat, design.loc[test], cases))
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from usdlr.core.columns import FEATURE_PATTERN
from usdlr.core.errors import DataError
from usdlr.core.leak import Rows
from usdlr.core.modalities import MODALITIES
from usdlr.radiomics.harmonise.transformer import ComBat


def harmonised_columns(columns: Iterable[object]) -> list[str]:
    """The feature columns of a design table; ``clinical.*`` and others are not among them.

    Examples
    --------
    >>> harmonised_columns(["bmode.intratumoral.original.firstorder.Mean", "clinical.age_years"])
    ['bmode.intratumoral.original.firstorder.Mean']
    """
    names = [str(name) for name in columns]
    return [name for name in names if re.match(FEATURE_PATTERN, name) and name.split(".", 1)[0] in MODALITIES]


def fit_design(combat: ComBat, design: pd.DataFrame, cases: pd.DataFrame, *, rows: Rows) -> ComBat:
    """Fit ``combat`` on the feature columns of a design table and return it.

    Parameters
    ----------
    combat : ComBat
        What to fit.
    design : DataFrame
        Training rows of :func:`~usdlr.radiomics.design.design_table`, indexed by ``image_id``.
    cases : DataFrame
        The ``cases`` table (more rows do no harm): ``image_id``, ``patient_id``, ``centre_id`` and the covariates.
    rows : Rows
        Whose rows ``design`` holds, in its order.

    Raises
    ------
    LeakError, ConfigError, DataError
        As :meth:`ComBat.fit`; also if ``rows`` names other patients than ``cases``.
    """
    table = _cases_of(design, cases)
    if tuple(map(str, table["patient_id"])) != rows.patient_id:
        raise DataError("found other patients in rows than in the cases of the design table; build both from one table")
    columns = harmonised_columns(design.columns)
    return combat.fit(design[columns], rows=rows, centre=table["centre_id"], covariates=table)


def harmonise_design(combat: ComBat, design: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """The design table with its feature columns harmonised: same rows, same columns, clinical variables untouched.

    Parameters
    ----------
    combat : ComBat
        Fitted by :func:`fit_design`.
    design : DataFrame
        Any rows, indexed by ``image_id``. An optional modality that no row has may be absent.
    cases : DataFrame
        The ``cases`` table, as in :func:`fit_design`.

    Raises
    ------
    DataError
        As :meth:`ComBat.transform`; also if there are features that harmonisation was not fitted with.
    """
    table = _cases_of(design, cases)
    columns = harmonised_columns(design.columns)
    strange = sorted(set(columns) - set(combat.features_))
    if strange:
        raise DataError(
            f"found {len(strange)} features that harmonisation was not fitted with, first {strange[0]}, expected those "
            "of training; extract them with the same settings"
        )
    there = {name.split(".", 1)[0] for name in columns}
    absent = {name for name, modality in MODALITIES.items() if not modality.required and name not in there}
    given = [name for name in combat.features_ if name in design.columns or name.split(".", 1)[0] in absent]
    features = design.reindex(columns=given)
    values = np.asarray(combat.transform(features, centre=table["centre_id"], covariates=table), dtype=np.float64)
    result = design.copy()
    result[columns] = pd.DataFrame(values, index=design.index, columns=combat.features_)[columns]
    return result


def _cases_of(design: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    if "centre_id" not in cases.columns:
        raise DataError("found no column 'centre_id' in the cases table, expected the centre of each row")
    table = cases.set_index("image_id")
    missing = [name for name in design.index if name not in table.index]
    if missing:
        raise DataError(f"found {len(missing)} rows of the design table without a case, expected one each")
    return table.loc[list(design.index)]
