"""What of a design table the networks of an experiment read: all of it, clinical variables alone, or nothing."""

from __future__ import annotations

import numpy.typing as npt
import pandas as pd

from usdlr.core.leak import Rows
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.selections import make_selector, training_icc
from usdlr.radiomics.selection.selector import FeatureSelector


def fit_selector(
    config: ExperimentConfig, design: pd.DataFrame, label: npt.ArrayLike, *, rows: Rows
) -> FeatureSelector:
    """The selector of the columns that ``model.tabular`` reads, fitted on training rows.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    design : DataFrame, (rows, columns)
        The whole design table of the rows.
    label : array, (rows,)
        1 positive, 0 negative.
    rows : Rows
        Whose rows they are.

    Returns
    -------
    FeatureSelector
        Of clinical variables alone under ``clinical``; without a column under ``none``, when nothing is fitted.

    Raises
    ------
    LeakError
        If a row is not of the training split.
    DataError
        If no column varies, or one class only is known.
    """
    columns = config.model.table_columns([str(name) for name in design.columns])
    if not columns:
        return without_columns()
    icc = training_icc(config, design, rows) if config.model.reads_radiomics else None
    return make_selector(config, icc).fit(design[columns], label, rows=rows)


def without_columns() -> FeatureSelector:
    """A selector that was fitted on nobody and gives no column, for networks of images alone."""
    nothing: dict[str, list[float]] = {name: [] for name in ("columns", "median", "mean", "scale", "indicators")}
    return FeatureSelector.from_dict({"max_features": 0, "max_correlation": 1.0, "always": [], **nothing})
