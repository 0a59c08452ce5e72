"""The signature of one stage of one fold: who is kept from which network, and the fit on what is left."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.hashing import derive_seed
from usdlr.core.leak import Rows
from usdlr.core.types import Split, Stage
from usdlr.data.dataset import Axillae
from usdlr.data.samples import SampleStore
from usdlr.experiment.cohort import stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.inference.signature import SignatureReadout, by_axilla, cross_fitting_folds
from usdlr.inference.stage import StageModel

NOBODY = -1  # no network is kept from this axilla


def kept_apart(
    config: ExperimentConfig, fold: str, labels: pd.DataFrame, split: npt.NDArray[np.object_]
) -> npt.NDArray[np.intp]:
    """The cross-fitting fold whose networks learn nothing from an axilla, (axillae,).

    It is -1 outside the training split, and everywhere if the readout is the networks' own.

    Both stages share the division: the second stage's networks start from the first's, and would bring along what
    those had learned from their own patients.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    fold : str
        Name of the fold.
    labels : DataFrame, (axillae, ...)
        From :func:`usdlr.experiment.cohort.axilla_labels`.
    split : array of str, (axillae,)
        Split of every axilla's patient.
    """
    out = np.full(len(labels), NOBODY, dtype=np.intp)
    if config.signature is None:
        return out
    train = np.flatnonzero(split == str(Split.TRAIN))
    positive = [stage_labels(labels, stage).to_numpy(np.float64)[train] == 1 for stage in Stage]
    out[train] = cross_fitting_folds(
        labels["patient_id"].iloc[train].tolist(),
        np.sum(positive, axis=0).tolist(),
        config.signature.folds,
        derive_seed(config.seed, fold, "cross-fitting"),
    )
    return out


def fit_signature_readout(
    config: ExperimentConfig,
    model: StageModel,
    fold: str,
    stage: Stage,
    *,
    cases: pd.DataFrame,
    store: SampleStore,
    design: pd.DataFrame,
    labels: pd.DataFrame,
    apart: npt.NDArray[np.intp],
) -> SignatureReadout:
    """The signature over what a stage's networks read of the axillae that they did not learn from.

    Parameters
    ----------
    config : ExperimentConfig
        With a signature readout.
    model : StageModel
        The fitted networks.
    fold, stage
        Which ones.
    cases, store, design : DataFrame, SampleStore, DataFrame
        Of the cohort, in the same order.
    labels : DataFrame
        From :func:`usdlr.experiment.cohort.axilla_labels`, in the order of the cases.
    apart : int array, (axillae,)
        From :func:`kept_apart`.

    Raises
    ------
    DataError
        If a class has too few training patients.
    """
    assert config.signature is not None
    label = stage_labels(labels, stage).to_numpy(np.float64)
    used = np.isfinite(label) & (apart != NOBODY)
    keys = pd.MultiIndex.from_frame(labels.loc[used, ["patient_id", "side"]])
    mine = pd.MultiIndex.from_frame(cases[["patient_id", "side"]]).isin(keys)
    rows = cases[mine].reset_index(drop=True)
    return SignatureReadout.fit(
        model.read(rows, store, design, config.fit.batch_size),
        config.model,
        model.networks[0].blocks,
        by_axilla(design.loc[list(rows["image_id"])], Axillae.of(rows)),
        label[used],
        apart[used],
        rows=Rows.of(labels["patient_id"][used], [str(Split.TRAIN)] * int(used.sum())),
        chosen=config.signature,
        seed=derive_seed(config.seed, fold, stage, "signature"),
        outcome=config.data.endpoint(stage).positive,
    )
