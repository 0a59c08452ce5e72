"""The training axillae that a bundle may show as neighbours, where its owner has opted in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.types import Split, Stage
from usdlr.data.samples import SampleStore
from usdlr.experiment.layout import Layout
from usdlr.inference.explain_neighbours import FOLDER, write_neighbours
from usdlr.inference.stage import prepare_torch
from usdlr.inference.stage_files import load_stage
from usdlr.inference.variants import Variant
from usdlr.ingest.splits import BUNDLE_FOLD


@dataclass(frozen=True, kw_only=True)
class BundleSettings:
    """What the bundle holds beside the model.

    Parameters
    ----------
    neighbours : bool
        Embeddings and node status of single training axillae, without ids, so that an explanation can show the nearest
        ones. They are single patients' numbers: whoever hands the bundle on hands them on.
    """

    neighbours: bool = False


def training_neighbours(
    settings: BundleSettings,
    layout: Layout,
    cases: pd.DataFrame,
    labels: pd.DataFrame,
    *,
    ensemble: tuple[Variant, ...],
    batch_size: int,
    threads: int,
) -> dict[str, Path]:
    """The further folder of the bundle with its training axillae, by its name; empty where nobody asked for it.

    Parameters
    ----------
    settings : BundleSettings
        Whether it is wanted.
    layout : Layout
        A run with its fits.
    cases, labels : DataFrame
        The cohort and its outcomes, ``patient_id side sln nsln``.
    ensemble, batch_size, threads
        The experiment's.

    Raises
    ------
    DataError
        If there are too few training axillae to show single ones.
    """
    if not settings.neighbours:
        return {}
    splits = layout.read_splits(cases["patient_id"].unique())
    taught = splits[(splits["fold"] == BUNDLE_FOLD) & (splits["split"] == str(Split.TRAIN))]["patient_id"]
    rows = cases[cases["patient_id"].isin(taught)].reset_index(drop=True)
    prepare_torch(threads)
    model = load_stage(layout.stage(BUNDLE_FOLD, Stage.SLN), ensemble)
    found = model.embed(rows, SampleStore.load(layout.crops), pd.read_parquet(layout.design), batch_size)
    known = found[AXILLA_KEY].merge(labels[[*AXILLA_KEY, "sln", "nsln"]], on=AXILLA_KEY, how="left")
    return {FOLDER: write_neighbours(layout.out / "work" / FOLDER, found, known)}
