"""Vectorised statistics are those of scikit-learn, scipy and pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from usdlr.radiomics.selection.column_statistics import auc, constant, descending, imputed, medians, pearson, spearman


def test_auc_of_every_column_is_scikit_learns_ties_included() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=(90, 5)), rng.integers(0, 3, (90, 5))], axis=1)
    labels = (rng.uniform(size=90) < 0.3).astype(float)
    expected = [roc_auc_score(labels, values[:, place]) for place in range(10)]
    np.testing.assert_allclose(auc(values, labels), expected, rtol=0, atol=1e-12)


def test_rank_correlation_is_scipys_and_nothing_for_a_constant() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(size=(60, 4)), rng.integers(0, 4, (60, 3))], axis=1).astype(float)
    np.testing.assert_allclose(spearman(values), np.abs(spearmanr(values).statistic), rtol=0, atol=1e-8)
    np.testing.assert_allclose(pearson(values), np.abs(np.corrcoef(values, rowvar=False)), rtol=0, atol=1e-8)
    flat = np.column_stack([values[:, 0], np.full(60, 1e6)])
    np.testing.assert_array_equal(spearman(flat), np.eye(2))


def test_medians_skip_what_is_missing_and_fill_an_empty_column_with_nought() -> None:
    rng = np.random.default_rng(2)
    table = pd.DataFrame(rng.normal(size=(31, 4))).mask(rng.uniform(size=(31, 4)) < 0.3)
    table[4] = np.nan
    values = table.to_numpy()
    np.testing.assert_allclose(medians(values), table.median().fillna(0))
    np.testing.assert_allclose(imputed(values, medians(values)), table.fillna(table.median()).fillna(0))


def test_constant_means_beyond_rounding() -> None:
    values = np.column_stack([[5.0] * 4, [1e6, 1e6 + 1e-6, 1e6, 1e6], [0, 0, 0, 1e-3], [np.nan, 2, 2, 2], [np.nan] * 4])
    assert constant(values).tolist() == [True, True, False, True, True]


def test_ties_keep_their_order_whatever_rounding_adds() -> None:
    assert descending(np.array([0.1, 0.3 + 1e-13, 0.3, 0.5])) == [3, 1, 2, 0]
