"""scikit-learn pipelines that see the same training rows as the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from usdlr.baselines.blocks import EMBEDDING, Block
from usdlr.baselines.ridge import RidgeScore
from usdlr.baselines.signature import SignatureNomogram
from usdlr.baselines.svm import SupportVectors
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.named_parts import nearest
from usdlr.core.types import Split

CLINICAL_TOO = " and clinical variables"  # of a title; see Baseline.titled


@dataclass(frozen=True)
class Baseline:
    """A plain model.

    Parameters
    ----------
    name : str
        Key in ``metrics.json``.
    title : str
        Words for the report, where every clinical variable is read; see :meth:`titled`.
    columns : callable
        Chooses its columns from those of the design table.
    build : callable
        Makes the unfitted scikit-learn estimator from a seed and the number of training rows.
    by_patient : bool
        Whether the estimator divides its training rows itself: it is then given the table and ``rows``, so that
        patients stay whole.
    learner : str or None
        Words for the estimator alone, where it may be asked to read one block; ``None``: its columns are its own.
    block : Block or None
        The block that it reads; ``None``: the columns of its own.
    """

    name: str
    title: str
    columns: Callable[[list[str]], list[str]]
    build: Callable[[int, int], Any]
    by_patient: bool = False
    learner: str | None = None
    block: Block | None = None

    def titled(self, clinical: Sequence[str]) -> str:
        """The title in an experiment with these clinical variables, which says what is read there and no more.

        Examples
        --------
        >>> BASELINES["radiomics_forest"].titled(["tumour_size_mm"])
        'radiomics and size (random forest)'
        >>> BASELINES["radiomics_forest"].titled([])
        'radiomics (random forest)'
        """
        words = {(): "", ("tumour_size_mm",): " and size"}.get(tuple(clinical), CLINICAL_TOO)
        return self.title.replace(CLINICAL_TOO, words)

    @property
    def reads_embeddings(self) -> bool:
        """Whether its columns come from the fold's fitted networks and not from the design table."""
        return self.block is not None and self.block.kind == EMBEDDING


ENOUGH_ROWS = 100  # for scikit-learn's default of 20 rows per leaf
LEAST_PATIENTS = 3  # of each class, to be divided into folds with both classes


def _size(columns: list[str]) -> list[str]:
    return [name for name in columns if name == "clinical.tumour_size_mm"]


def _everything(columns: list[str]) -> list[str]:
    return list(columns)


def _finite(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)


def _trees(seed: int, count: int) -> Any:
    return make_pipeline(
        SimpleImputer(strategy="median"),
        ExtraTreesClassifier(500, min_samples_leaf=3, class_weight="balanced", n_jobs=1, random_state=seed),
    )


def _forest(seed: int, count: int) -> Any:
    return make_pipeline(
        SimpleImputer(strategy="median"),
        RandomForestClassifier(500, min_samples_leaf=3, class_weight="balanced", n_jobs=1, random_state=seed),
    )


def _boosting(seed: int, count: int) -> Any:
    # The default of 20 rows per leaf cannot split the few dozen rows of a second stage.
    leaf = 20 if count >= ENOUGH_ROWS else 5
    return HistGradientBoostingClassifier(max_iter=200, learning_rate=0.05, min_samples_leaf=leaf, random_state=seed)


def _lasso(seed: int, count: int) -> Any:
    # With C up to 0.1, thirty rows leave no column a weight.
    return make_pipeline(
        SimpleImputer(strategy="median"),
        StandardScaler(),
        LogisticRegression(l1_ratio=1.0, C=0.2, solver="liblinear", random_state=seed),
    )


def _signature(seed: int, count: int) -> Any:
    return SignatureNomogram(seed)


def _ridge(seed: int, count: int) -> Any:
    return RidgeScore(seed)


def _svm(seed: int, count: int) -> Any:
    return SupportVectors(seed)


def _logistic(seed: int, count: int) -> Any:
    return make_pipeline(SimpleImputer(strategy="median"), FunctionTransformer(np.log1p), LogisticRegression())


def _of_all(name: str, learner: str, build: Callable[[int, int], Any], by_patient: bool = False) -> Baseline:
    return Baseline(name, f"radiomics{CLINICAL_TOO} ({learner})", _everything, build, by_patient, learner)


BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline("size", "tumour size alone (logistic regression)", _size, _logistic),
        _of_all("radiomics", "extremely randomised trees", _trees),
        _of_all("radiomics_boosting", "gradient boosting", _boosting),
        _of_all("radiomics_forest", "random forest", _forest),
        _of_all("radiomics_lasso", "L1 logistic regression", _lasso),
        _of_all("radiomics_ridge", "ridge logistic regression", _ridge, True),
        replace(
            _of_all("radiomics_signature", "LASSO signature and logistic nomogram", _signature, True),
            title=f"radiomics signature{CLINICAL_TOO} (logistic nomogram)",
        ),
        _of_all("radiomics_svm", "support vector machine", _svm, True),
    )
}


def baseline_named(name: str) -> Baseline:
    """The baseline called ``name``.

    Parameters
    ----------
    name : str
        A name of :data:`BASELINES`, alone or as ``{name}@{block}``: the same learner on one block alone; see
        :meth:`usdlr.baselines.blocks.Block.named`. The baseline's own ``name`` has no dot. Embeddings are those of
        the fold's network, which learned from the very rows that the learner sees: they look better there than on any
        other row, and the title says so.

    Raises
    ------
    ConfigError
        If there is none.

    Examples
    --------
    >>> found = baseline_named("radiomics_forest@bmode.peritumoral")
    >>> found.name, found.title
    ('radiomics_forest@bmode-peritumoral', 'radiomics of the B-mode ring (random forest)')
    """
    learner, at, block_name = name.partition("@")
    if learner not in BASELINES:
        raise ConfigError(
            f"found baseline {learner!r}, expected some of {', '.join(BASELINES)}{nearest(learner, BASELINES)}"
        )
    baseline = BASELINES[learner]
    if not at:
        return baseline
    if baseline.learner is None:
        raise ConfigError(f"found baseline {name!r}, expected {learner} without a block: its columns are its own")
    block = Block.named(block_name)
    # A reader must know that such a model stands on what the network made of the very rows that taught it.
    caveat = ", not cross-fitted" if block.kind == EMBEDDING else ""
    return replace(
        baseline,
        name=f"{learner}@{block.name}",
        title=f"{block.title}{caveat} ({baseline.learner})",
        columns=block.columns,
        block=block,
    )


def check_baselines(
    names: Sequence[str], *, clinical: Sequence[str], rois: Sequence[str], image_blocks: Sequence[str]
) -> list[str]:
    """Refuse baselines that an experiment cannot feed.

    Parameters
    ----------
    names : sequence of str
        As the configuration gives them.
    clinical, rois, image_blocks : sequence of str
        The experiment's clinical variables, radiomics regions and the networks' image blocks.

    Returns
    -------
    list of str
        The baselines' own names, without dots.

    Raises
    ------
    ConfigError
        If one is unknown or has nothing to read, or they are not one or more different ones.
    """
    found = [baseline_named(name) for name in names]
    own = [baseline.name for baseline in found]
    if not own or len(set(own)) != len(own):
        raise ConfigError(f"found baselines = {list(names)}, expected one or more different names")
    for baseline in found:
        if baseline.block is not None:
            baseline.block.require_measured(baseline.name, clinical=clinical, rois=rois, images=image_blocks)
        elif baseline.columns is _size and "tumour_size_mm" not in clinical:
            raise ConfigError(
                f"found the baseline {baseline.name} without its column among data.clinical = {list(clinical)}, "
                "expected tumour_size_mm there; add it or leave the baseline out"
            )
    return own


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
        If the training rows have nothing in the baseline's columns, their labels are not 0 and 1, or a baseline that
        divides them has fewer than three patients in a class.
    """
    require_split(rows, [Split.TRAIN], f"baseline {baseline.name}")
    columns = baseline.columns([str(name) for name in design.columns])
    if not columns and baseline.block is not None:
        raise DataError(
            f"found no column of the block {baseline.block.name} for the baseline {baseline.name}, expected some; no "
            "image of the cohort has this block: leave the baseline out"
        )
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
    estimator = baseline.build(seed, len(known))
    others = _finite(judged[columns].to_numpy(np.float64))[:, measured]
    if baseline.by_patient:
        _require_patients(baseline, known, rows)
        names = [columns[place] for place in np.flatnonzero(measured)]
        estimator.fit(pd.DataFrame(values[:, measured], columns=names), known, rows=rows)
        return np.asarray(estimator.predict_proba(pd.DataFrame(others, columns=names))[:, 1], dtype=np.float64)
    estimator.fit(values[:, measured], known.astype(np.int64))
    return np.asarray(estimator.predict_proba(others)[:, 1], dtype=np.float64)


def _require_patients(baseline: Baseline, labels: npt.NDArray[np.float64], rows: Rows) -> None:
    """Refuse training rows that cannot be divided by patient."""
    of_class: dict[float, set[str]] = {0.0: set(), 1.0: set()}
    for label, patient in zip(labels.tolist(), rows.patient_id, strict=True):
        of_class[label].add(patient)
    fewest = min(map(len, of_class.values()))
    if fewest < LEAST_PATIENTS:
        raise DataError(
            f"found {fewest} training patients in the rarer class of the baseline {baseline.name}, expected at least "
            f"{LEAST_PATIENTS}, since it divides them for its own choices; use more patients or leave it out"
        )
