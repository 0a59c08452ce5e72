"""How well a classifier tells a new centre's patients from those behind a model.

An AUC of 0.5: it cannot. With the training patients' own features at hand the comparison is exact. Without them, a
sample stands in that is drawn from the reference: every column's distribution, joined by their rank correlations (a
Gaussian copula), and whole modalities missing as often as they were. What the reference does not hold, such as how
columns bend together, then also tells the two apart: the AUC is an upper estimate and no test.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.metrics import auc
from usdlr.evaluation.reference import Reference, bounded

FEWEST = 20
MOST = 2000
FOLDS = 5
STRENGTH = 0.05  # of scikit-learn's inverse penalty: dozens of columns, few patients
SAMPLE = "a sample drawn from the reference's distributions and rank correlations stands for the training patients"
ROWS = "training patients' own features"


def domain_auc(
    reference: Reference, design: pd.DataFrame, *, own: pd.DataFrame | None = None, seed: int = 0
) -> Estimate:
    """Cross-fitted AUC of a ridge logistic model between both groups.

    Parameters
    ----------
    reference : Reference
        Of the patients behind the model.
    design : DataFrame, (patients, columns)
        Radiomics of the new centre's patients.
    own : DataFrame, optional
        Radiomics of the training patients, where the owner hands them over.
    seed : int
        Of the sample and of the folds.

    Returns
    -------
    Estimate
        ``method`` says which patients were compared.
    """
    count = len(design) + (min(reference.counts["patients"], MOST) if own is None else len(own))
    if not reference.read:
        return undefined(count, "domain classifier: the networks read no radiomics")
    if min(len(design), count - len(design)) < FEWEST:
        return undefined(count, f"domain classifier: fewer than {FEWEST} patients in a group")
    chosen = reference.features.take(reference.read)
    here = chosen.scores(design.reindex(columns=list(reference.read)).to_numpy(np.float64))
    if own is None:
        there = copula_sample(reference, min(reference.counts["patients"], MOST), seed)
    else:
        there = chosen.scores(own.reindex(columns=list(reference.read)).to_numpy(np.float64))
    values = np.concatenate([there, here])
    absent = np.isnan(values)
    # Whole regions are missing together: one column says so for all of theirs.
    patterns = np.unique(absent, axis=1)
    told = np.concatenate([bounded(values), patterns[:, patterns.any(axis=0)].astype(np.float64)], axis=1)
    label = np.concatenate([np.zeros(len(there)), np.ones(len(here))])
    found = auc(label, _cross_fitted(told, label, seed))
    method = f"cross-fitted ridge logistic model, {ROWS if own is not None else SAMPLE}; {found.method}"
    return Estimate(found.value, found.low, found.high, found.n, method)


def copula_sample(reference: Reference, size: int, seed: int) -> FloatArray:
    """Normal scores of made-up patients, (size, columns read); not-a-number where a region is missing."""
    random = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(reference.correlation)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    drawn = random.standard_normal((size, len(values))) @ root.T
    modality = random.uniform(size=(size, 1 + len(reference.groups)))
    order = {name: place for place, name in enumerate(dict.fromkeys(group.split(".")[0] for group in reference.groups))}
    for place, name in enumerate(reference.read):
        group = ".".join(name.split(".")[:2])
        has, without = reference.groups[group]
        # The regions of a modality are missing together.
        gone = modality[:, order[group.split(".")[0]]] > has / (has + without)
        drawn[gone, place] = np.nan
    # As real ones are: through the column's own values, whose shared ones fall together.
    chosen = reference.features.take(reference.read)
    return chosen.scores(chosen.values(drawn))


def _cross_fitted(values: FloatArray, label: FloatArray, seed: int) -> FloatArray:
    out = np.zeros(len(label))
    centre, scale = values.mean(axis=0), values.std(axis=0)
    scaled: npt.NDArray[np.float64] = (values - centre) / np.where(scale > 0, scale, 1.0)
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(scaled, label):
        model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=500)
        out[test] = model.fit(scaled[train], label[train]).decision_function(scaled[test])
    return out
