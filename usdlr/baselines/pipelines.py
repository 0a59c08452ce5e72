"""scikit-learn pipelines that see the same training rows as the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split


@dataclass(frozen=True)
class Baseline:
    """A plain model.

    Parameters
    ----------
    name : str
        Key in ``metrics.json``.
    title : str
        Words for the report.
    columns : callable
        Chooses its columns from those of the design table.
    build : callable
        Makes the unfitted scikit-learn estimator from a seed.
    """

    name: str
    title: str
    columns: Callable[[list[str]], list[str]]
    build: Callable[[int], Any]


def _size(columns: list[str]) -> list[str]:
    return [name for name in columns if name == "clinical.tumour_size_mm"]


def _everything(columns: list[str]) -> list[str]:
    return list(columns)


def _finite(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)


def _trees(seed: int) -> Any:
    return make_pipeline(
        SimpleImputer(strategy="median"),
        ExtraTreesClassifier(500, min_samples_leaf=3, class_weight="balanced", n_jobs=1, random_state=seed),
    )


def _forest(seed: int) -> Any:
    return make_pipeline(
        SimpleImputer(strategy="median"),
        RandomForestClassifier(500, min_samples_leaf=3, class_weight="balanced", n_jobs=1, random_state=seed),
    )


def _boosting(seed: int) -> Any:
    # The default of 20 rows per leaf cannot split the few dozen rows of a second stage.
    return HistGradientBoostingClassifier(max_iter=200, learning_rate=0.05, min_samples_leaf=5, random_state=seed)


def _lasso(seed: int) -> Any:
    # With C up to 0.1, thirty rows leave no column a weight.
    return make_pipeline(
        SimpleImputer(strategy="median"),
        StandardScaler(),
        LogisticRegression(l1_ratio=1.0, C=0.2, solver="liblinear", random_state=seed),
    )


def _logistic(seed: int) -> Any:
    return make_pipeline(SimpleImputer(strategy="median"), FunctionTransformer(np.log1p), LogisticRegression())


BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline("size", "tumour size alone (logistic regression)", _size, _logistic),
        Baseline("radiomics", "radiomics and size (extremely randomised trees)", _everything, _trees),
        Baseline("radiomics_boosting", "radiomics and size (gradient boosting)", _everything, _boosting),
        Baseline("radiomics_forest", "radiomics and size (random forest)", _everything, _forest),
        Baseline("radiomics_lasso", "radiomics and size (L1 logistic regression)", _everything, _lasso),
    )
}


def baseline_named(name: str) -> Baseline:
    """The baseline called ``name``.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if name not in BASELINES:
        raise ConfigError(f"found baseline {name!r}, expected some of {', '.join(BASELINES)}")
    return BASELINES[name]


def fit_and_score(
    baseline: Baseline, design: pd.DataFrame, labels: npt.ArrayLike, *, rows: Rows, judged: pd.DataFrame, seed: int
) -> npt.NDArray[np.float64]:
    """Fit a baseline on training rows and score others.

    Parameters
    ----------
    baseline : Baseline
        What to fit.
    design : DataFrame, (rows, columns)
        Features and clinical variables of the training rows.
    labels : array, (rows,)
        1 positive, 0 negative.
    rows : Rows
        Whose rows they are.
    judged : DataFrame, (other rows, columns)
        Rows to score.
    seed : int
        Seed of the estimator.

    Returns
    -------
    ndarray, (other rows,)
        Probability of the positive class.

    Raises
    ------
    LeakError
        If a fitted row is not of the training split.
    DataError
        If the training rows have nothing in the baseline's columns, or their labels are not 0 and 1.
    """
    require_split(rows, [Split.TRAIN], f"baseline {baseline.name}")
    columns = baseline.columns([str(name) for name in design.columns])
    if not columns:
        raise DataError(
            f"found no column for the baseline {baseline.name}, expected clinical.tumour_size_mm; "
            "add tumour_size_mm to data.clinical or leave the baseline out"
        )
    known = np.asarray(labels, dtype=np.float64)
    if set(known.tolist()) != {0.0, 1.0}:
        raise DataError(
            f"found the labels {', '.join(map(str, sorted(set(known.tolist()))))} in the training rows of the baseline "
            f"{baseline.name}, expected 0 and 1; use fewer folds or more patients"
        )
    values = _finite(design[columns].to_numpy(np.float64))
    measured = np.isfinite(values).any(axis=0)  # a column that no training row has teaches nothing
    if not measured.any():
        raise DataError(f"found no value in the columns of the baseline {baseline.name}, expected some; leave it out")
    estimator = baseline.build(seed)
    estimator.fit(values[:, measured], known.astype(np.int64))
    others = _finite(judged[columns].to_numpy(np.float64))[:, measured]
    return np.asarray(estimator.predict_proba(others)[:, 1], dtype=np.float64)
