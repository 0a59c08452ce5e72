"""What the report shows of the radiomics: which features were chosen how often, and the nomogram of the signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.baselines.nomogram import Nomogram
from usdlr.baselines.signature import SCORE, SignatureNomogram, read_nomogram
from usdlr.core.files import read_json
from usdlr.core.hashing import derive_seed
from usdlr.core.leak import Rows
from usdlr.core.types import Split, Stage
from usdlr.experiment.cohort import axilla_labels, image_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.inference.stage_files import SELECTOR
from usdlr.inference.stage_files import SIGNATURE as SIGNATURE_FILE
from usdlr.ingest.split_schemes import BUNDLE_FOLD
from usdlr.radiomics.design import CLINICAL
from usdlr.radiomics.selection.frequency import SelectionFrequency, bootstrap_frequencies, selection_frequencies
from usdlr.radiomics.selection.selector import FeatureSelector
from usdlr.radiomics.stability.repeats import read_repeats
from usdlr.radiomics.stability.selector import StableFeatures, Unjudged

# Name of the baseline whose nomogram is drawn.
SIGNATURE = "radiomics_signature"


def make_selector(config: ExperimentConfig, icc: Mapping[str, float] | None = None) -> FeatureSelector:
    """The unfitted selector of an experiment; ``icc`` is from :func:`training_icc`."""
    return FeatureSelector(
        config.selection.max_features,
        config.selection.max_correlation,
        tuple(CLINICAL + name for name in config.data.clinical),
        steps=config.selection.steps,
        stability=icc,
        min_icc=None if icc is None else config.selection.min_icc,
    )


def training_icc(config: ExperimentConfig, design: pd.DataFrame, rows: Rows) -> dict[str, float] | None:
    """Every feature's intraclass correlation over repeated measurements of the training cases.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    design : DataFrame, (rows, columns)
        Design table of the training rows, indexed by image id.
    rows : Rows
        Whose rows they are. Measurements of other images are not looked at: not even the choice of stable features
        knows a patient who is judged.

    Returns
    -------
    dict of str to float, or None
        ICC(2,1) by feature; ``None`` where ``selection.stability`` names no table.

    Raises
    ------
    ConfigError
        If the table was made with other features.
    DataError
        If it cannot be read, or too few training cases were measured repeatedly.
    """
    if config.selection.stability is None:
        return None
    repeats = read_repeats(Path(config.selection.stability), config.radiomics.as_dict(), config.engine)
    judged = StableFeatures(config.selection.min_icc, unjudged=str(Unjudged.KEEP))
    return judged.fit(design, rows=rows, repeats=repeats).icc_


def chosen_features(config: ExperimentConfig, layout: Layout, cases: pd.DataFrame) -> dict[str, SelectionFrequency]:
    """How often each feature was chosen, by ``folds-{stage}`` and ``bootstraps-{stage}``.

    The folds' choices are those of the fitted members. The bootstraps draw the training patients of the model that
    ships; nothing of them is used anywhere else.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment; ``selection.bootstraps`` draws, 0 for none.
    layout : Layout
        The run, with fitted members.
    cases : DataFrame
        The ``cases`` table of the cohort.

    Returns
    -------
    dict of str to SelectionFrequency
        Empty where the networks read no radiomics: nothing was chosen.
    """
    if not config.model.reads_radiomics:
        return {}
    design = pd.read_parquet(layout.design).loc[list(cases["image_id"])]
    candidates = [str(name) for name in design.columns]
    out: dict[str, SelectionFrequency] = {}
    for stage in Stage:
        out[f"folds-{stage}"] = selection_frequencies(
            {fold: _columns(layout, fold, stage) for fold in layout.test_folds()}, candidates
        )
        if config.selection.bootstraps:
            out[f"bootstraps-{stage}"] = _bootstraps(config, layout, cases, design, stage)
    return out


def _columns(layout: Layout, fold: str, stage: Stage) -> list[str]:
    state: dict[str, Any] = read_json(layout.stage(fold, stage) / SELECTOR)
    return list(state["columns"])


def _bootstraps(
    config: ExperimentConfig, layout: Layout, cases: pd.DataFrame, design: pd.DataFrame, stage: Stage
) -> SelectionFrequency:
    place, label, rows = shipped_training(config, layout, cases, stage)
    icc = training_icc(config, design.iloc[place], rows)
    return bootstrap_frequencies(
        design.iloc[place],
        label,
        rows,
        lambda: make_selector(config, icc),
        config.selection.bootstraps,
        derive_seed(config.seed, "selection", stage),
    )


def shipped_training(
    config: ExperimentConfig, layout: Layout, cases: pd.DataFrame, stage: Stage
) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], np.ndarray[tuple[int], np.dtype[np.float64]], Rows]:
    """Training rows of the model that ships: positions among the cases, labels, and whose they are."""
    splits = layout.read_splits(cases["patient_id"].unique())
    part = splits[splits["fold"] == BUNDLE_FOLD].set_index("patient_id")["split"]
    split = part.loc[list(cases["patient_id"])].to_numpy()
    label = image_labels(cases, axilla_labels(cases, config.data), stage)
    train = np.flatnonzero(np.isfinite(label) & (split == str(Split.TRAIN)))
    rows = Rows.of(cases["patient_id"].iloc[train], split[train], cases["side"].iloc[train])
    return train, label[train], rows


def fitted_nomograms(config: ExperimentConfig, layout: Layout, cases: pd.DataFrame) -> dict[str, Nomogram]:
    """The nomogram of radiomics signature and clinical variables by stage, where that baseline was asked for.

    Fitted on the training rows of the model that ships, to be drawn; its figures in the report are the folds' own.
    """
    if SIGNATURE not in config.baselines:
        return {}
    design = pd.read_parquet(layout.design).loc[list(cases["image_id"])]
    out: dict[str, Nomogram] = {}
    for stage in Stage:
        place, label, rows = shipped_training(config, layout, cases, stage)
        model = SignatureNomogram(
            derive_seed(config.seed, "baseline", SIGNATURE, BUNDLE_FOLD, stage),
            outcome=config.data.endpoint(stage).positive,
        )
        out[str(stage)] = model.fit(design.iloc[place], label, rows=rows).nomogram_
    return out


def readout_nomograms(config: ExperimentConfig, layout: Layout) -> dict[str, Nomogram]:
    """The nomogram of the shipped model's own signature readout by stage; empty where it has none.

    Read from the fitted stages' files: what is drawn is what predicts.
    """
    if config.signature is None:
        return {}
    found = {}
    for stage in Stage:
        nomogram = read_nomogram(read_json(layout.stage(BUNDLE_FOLD, stage) / SIGNATURE_FILE))
        named = (replace(one, title="Signature score") if one.name == SCORE else one for one in nomogram.variables)
        found[str(stage)] = replace(nomogram, variables=tuple(named))
    return found
