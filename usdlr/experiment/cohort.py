"""Who takes part: labels per axilla, exclusions, and the checks that come before any long work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import DataError
from usdlr.core.types import ExclusionCode, Stage
from usdlr.core.where import outside
from usdlr.experiment.data_settings import DataSettings
from usdlr.inference.axillae import endpoint_values, outcome_table, require_binary
from usdlr.inference.predictor import exclusion_table
from usdlr.inference.sites import is_tumour, orphans, unread
from usdlr.ingest.adapter import adapter_named
from usdlr.ingest.centres import load_all
from usdlr.ingest.duplicates import require_disjoint_pictures, same_picture
from usdlr.ingest.split_schemes import from_table
from usdlr.ingest.splits import SplitSettings, make_splits
from usdlr.simulate.centres import SIMULATED_PREFIX

load_all()  # adapters are looked up by name below, whatever else was imported


def select_cohort(cases: pd.DataFrame, data: DataSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cases of the cohort with spacing whose stage-1 endpoint is known, and exclusion rows for the others.

    Of several reasons the condition of ``data.where`` is told: whoever is outside the cohort does not lack an outcome.

    Raises
    ------
    ConfigError
        If an endpoint's column does not exist.
    DataError
        If an endpoint is not binary, contradicts itself within an axilla, or no case is left.
    """
    for stage in Stage:
        require_binary(cases, data.endpoint(stage).column, f"data.{stage}.column")
    unknown = endpoint_values(cases, data.sln.column).isna()
    treated = cases["neoadjuvant"].fillna(False).astype(bool)
    reasons: dict[str, tuple[str, str]] = {}
    for image_id, neoadjuvant in zip(cases["image_id"][unknown], treated[unknown], strict=True):
        if neoadjuvant:
            reasons[str(image_id)] = (
                str(ExclusionCode.NEOADJUVANT),
                "found neoadjuvant treatment before axillary surgery, expected an untreated axilla; "
                "the node status no longer speaks of the ultrasound",
            )
        else:
            reasons[str(image_id)] = (
                str(ExclusionCode.ENDPOINT_MISSING),
                f"found no {data.sln.column}, expected true or false; add the outcome or leave the case out",
            )
    reasons |= unread(cases, data.sites)
    for image_id in cases["image_id"][cases["row_mm"].isna() | cases["col_mm"].isna()]:
        reasons.setdefault(
            str(image_id),
            (
                str(ExclusionCode.SPACING_MISSING),
                "found no spacing, expected millimetres per pixel for ring and crop; state it in the source's table",
            ),
        )
    reasons |= outside(cases, data.where)
    reasons |= orphans(cases[~cases["image_id"].isin(list(reasons))])
    kept = cases[~cases["image_id"].isin(list(reasons))].reset_index(drop=True)
    if kept.empty:
        code, sentence = next(iter(reasons.values()))
        raise DataError(f"found no usable case among {len(cases)}; the first is {code}: {sentence}")
    return kept, exclusion_table(cases, reasons, "cohort")


def axilla_labels(cases: pd.DataFrame, data: DataSettings) -> pd.DataFrame:
    """One row per axilla with the outcomes that the experiment asks for.

    Parameters and return value as of :func:`usdlr.inference.axillae.outcome_table`.
    """
    return outcome_table(cases, {stage: data.endpoint(stage).column for stage in Stage})


def cohort_splits(
    cases: pd.DataFrame, data: DataSettings, settings: SplitSettings, seed: int, prints: pd.DataFrame, root: Path
) -> pd.DataFrame:
    """The splits of a cohort, in which no picture stands on both sides.

    Parameters
    ----------
    cases : DataFrame
        The cohort.
    data, settings, seed
        Endpoints, and how patients are divided.
    prints : DataFrame
        From :func:`usdlr.ingest.duplicates.fingerprint_table`.
    root : Path
        Folder that the paths of ``cases`` are relative to.

    Raises
    ------
    DataError
        If the cohort cannot be divided so.
    LeakError
        If one picture would be trained on and judged under different patients.
    """
    fixed = None if settings.table is None else from_table(Path(settings.table), cases)
    splits = make_splits(axilla_labels(cases, data), settings, seed, fixed=fixed)
    require_disjoint_pictures(splits, cases, prints, same_picture(cases, root))
    return splits


def is_simulated(cases: pd.DataFrame, data: DataSettings) -> bool:
    """Whether any patient is simulated: the adapter says so, or the centre's name, by whatever adapter it came."""
    named = cases["centre_id"].astype("str").str.startswith(SIMULATED_PREFIX)
    return adapter_named(data.centre).simulated or bool(named.any())


def stage_labels(labels: pd.DataFrame, stage: Stage) -> pd.Series:
    """Labels that a stage is trained and judged on: stage 2 counts only axillae with a positive sentinel node."""
    values = labels[str(stage)].astype("float64")
    return values if stage is Stage.SLN else values.where(labels["sln"] == 1)


def image_labels(
    cases: pd.DataFrame, labels: pd.DataFrame, stage: Stage
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The stage's label of every image set, (images,), not-a-number where the stage's tables do not train on it.

    They train on no image of a lymph node, which has no row among radiomics and clinical variables.
    """
    known = labels[AXILLA_KEY].assign(label=stage_labels(labels, stage))
    joined = cases[AXILLA_KEY].merge(known, on=AXILLA_KEY, how="left", validate="many_to_one")
    return np.where(is_tumour(cases), joined["label"].to_numpy(np.float64), np.nan)
