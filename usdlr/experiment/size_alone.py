"""Tumour size alone, fitted on the axillae that the bundle's networks learned from, to stand beside its answer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from usdlr.baselines.size_alone import SizeCurve, fit_size_curve
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.types import Split, Stage
from usdlr.experiment.cohort import stage_labels
from usdlr.experiment.layout import Layout
from usdlr.inference.axillae import axilla_table
from usdlr.inference.size_alone import FOLDER, write_size_alone
from usdlr.ingest.splits import BUNDLE_FOLD


def size_alone(layout: Layout, cases: pd.DataFrame, labels: pd.DataFrame) -> dict[str, Path]:
    """The further folder of the bundle with the curves of tumour size, by its name; empty where none can be fitted.

    Parameters
    ----------
    layout : Layout
        A run with its splits.
    cases, labels : DataFrame
        The cohort and its outcomes, ``patient_id side sln nsln``.
    """
    splits = layout.read_splits(cases["patient_id"].unique())
    taught = splits[(splits["fold"] == BUNDLE_FOLD) & (splits["split"] == str(Split.TRAIN))]["patient_id"]
    rows = axilla_table(cases[cases["patient_id"].isin(taught)])
    known = rows[AXILLA_KEY].merge(labels, on=AXILLA_KEY, how="left", validate="one_to_one")
    sizes = rows["tumour_size_mm"].astype("Float64").to_numpy("float64", na_value=float("nan"))
    found = {stage: fit_size_curve(sizes, stage_labels(known, stage).to_numpy()) for stage in Stage}
    curves: dict[Stage, SizeCurve] = {stage: curve for stage, curve in found.items() if curve is not None}
    return {FOLDER: write_size_alone(layout.out / "work" / FOLDER, curves)} if curves else {}
