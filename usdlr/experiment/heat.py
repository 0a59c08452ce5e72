"""Which tuning axillae the report shows with heat maps, and these maps on one crop."""

from __future__ import annotations

import numpy as np
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError
from usdlr.core.progress import say
from usdlr.core.types import Split, Stage
from usdlr.data.samples import SampleStore
from usdlr.experiment.cohort import stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.inference.heatmap import heat_maps
from usdlr.inference.stage import prepare_torch
from usdlr.inference.stage_files import load_stage
from usdlr.ingest.splits import BUNDLE_FOLD
from usdlr.report.figures_heatmap import HeatCase
from usdlr.report.heat_cases import heat_of_axillae

# Axillae of each stage, where the gallery shows as many cases.
MOST = 4


def choose_spread(predictions: pd.DataFrame, labels: pd.DataFrame, stage: Stage, count: int) -> pd.DataFrame:
    """Tuning axillae of the bundle's fold with known status, evenly spread from the lowest probability to the highest.

    Parameters
    ----------
    predictions : DataFrame
        The ``predictions`` table.
    labels : DataFrame
        From :func:`usdlr.experiment.cohort.axilla_labels`.
    stage : Stage
        Which question.
    count : int
        At most so many.

    Returns
    -------
    DataFrame
        ``patient_id side probability found``, the lowest probability first.
    """
    known = labels[AXILLA_KEY].assign(found=stage_labels(labels, stage).to_numpy(np.float64)).dropna(subset="found")
    rows = predictions[
        (predictions["fold"] == BUNDLE_FOLD)
        & (predictions["stage"] == str(stage))
        & (predictions["split"] == str(Split.TUNING))
    ]
    joined = rows[[*AXILLA_KEY, "probability"]].merge(known, on=AXILLA_KEY, how="inner", validate="one_to_one")
    ranked = joined.sort_values(["probability", *AXILLA_KEY], kind="stable").reset_index(drop=True)
    count = min(count, len(ranked))
    places = [] if count == 0 else np.unique(np.linspace(0, len(ranked) - 1, count).round().astype(int)).tolist()
    return ranked.iloc[places].reset_index(drop=True)


def heat_cases(
    config: ExperimentConfig, layout: Layout, cases: pd.DataFrame, predictions: pd.DataFrame, labels: pd.DataFrame
) -> list[HeatCase]:
    """Heat maps of the networks that ship, for both stages; the first image of an axilla's tumour stands for it.

    Tuning axillae are shown: no weight was fitted to them, and looking at test axillae while a model is being made
    would spend them. A backbone whose features have no place in the image has no maps, which is said, and costs the
    run nothing else.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    layout : Layout
        A run with its fits.
    cases, predictions : DataFrame
        The tables.
    labels : DataFrame
        From :func:`usdlr.experiment.cohort.axilla_labels`.
    """
    count = min(config.gallery, MOST)
    if count == 0:
        return []
    store = SampleStore.load(layout.crops)
    design = pd.read_parquet(layout.design)
    prepare_torch(config.threads)
    out: list[HeatCase] = []
    for stage in Stage:
        chosen = choose_spread(predictions, labels, stage, count)
        keys = pd.MultiIndex.from_frame(chosen[AXILLA_KEY])
        rows = cases[pd.MultiIndex.from_frame(cases[AXILLA_KEY]).isin(keys)].reset_index(drop=True)
        if rows.empty:
            continue
        model = load_stage(layout.stage(BUNDLE_FOLD, stage), config.ensemble)
        try:
            heat = heat_maps(model, rows, store, design, config.fit.batch_size)
        except ConfigError as error:
            say(f"no heat maps: {error}")
            return []
        out += heat_of_axillae(chosen, rows, store, heat.maps, stage, margin_mm=config.radiomics.margin_mm)
    return out
