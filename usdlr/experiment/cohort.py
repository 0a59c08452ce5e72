"""Who takes part: labels per axilla, exclusions, and the checks that come before any long work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.core.columns import AXILLA_KEY, DERIVED
from usdlr.core.endpoints import derived_endpoints
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.types import ExclusionCode, Stage
from usdlr.core.where import outside
from usdlr.experiment.data_settings import DataSettings
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
        _require_binary(cases, data.endpoint(stage).column, f"data.{stage}.column")
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
    """One row per axilla.

    Returns
    -------
    DataFrame
        ``patient_id, side, centre_id, sln, nsln, exam_day`` in the order of ``cases``; labels are 1.0, 0.0 or
        not-a-number (unknown, which is never read as negative); ``exam_day`` is the first examination's,
        not-a-number where the day of any is unknown.

    Raises
    ------
    DataError
        If the image sets of one axilla state different outcomes.
    """
    named = cases[[*AXILLA_KEY, "centre_id"]].reset_index(drop=True)
    for stage in Stage:
        values = endpoint_values(cases, data.endpoint(stage).column).reset_index(drop=True)
        named[str(stage)] = np.where(values.isna(), np.nan, values.fillna(False).astype(float))
    groups = named.groupby(AXILLA_KEY, sort=False)
    for stage in Stage:
        if (groups[str(stage)].nunique(dropna=False) > 1).any():
            raise DataError(
                f"found axillae whose image sets state different values of {data.endpoint(stage).column}, "
                "expected one outcome per patient and side; correct the table"
            )
    if named.empty:
        return named.assign(exam_day=np.empty(0))
    labels = groups.first().reset_index()
    days = cases[AXILLA_KEY].assign(exam_day=cases["exam_day"].astype("Float64").astype("float64"))
    first = days.groupby(AXILLA_KEY, sort=False)["exam_day"].agg(lambda values: values.min(skipna=False))
    return labels.assign(exam_day=first.to_numpy())


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


def quality_counts(cases: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Image sets by quality flag, spacing source, state of elastography and source of the contour."""
    counts = {"flags": cases["quality_flags"].dropna().str.split().explode().value_counts()}
    counts |= {name: cases[name].value_counts() for name in ("spacing_source", "elasto_state", "mask_source")}
    if not is_tumour(cases).all():
        counts["site"] = cases["site"].value_counts()
    return {name: {str(word): int(n) for word, n in part.sort_index().items()} for name, part in counts.items()}


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


def endpoint_values(cases: pd.DataFrame, column: str) -> pd.Series:
    """An endpoint of every image set, true, false or null: a column of ``cases`` or one derived from it."""
    values: pd.Series = (derived_endpoints(cases) if column in DERIVED else cases)[column].astype("boolean")
    return values


def _require_binary(cases: pd.DataFrame, column: str, key: str) -> None:
    if column in DERIVED:
        return
    if column not in cases:
        candidates = [str(name) for name in cases if cases[name].dtype == "boolean"]
        raise ConfigError(f"found {key} = {column!r}, expected a column of the cases: {', '.join(candidates)}")
    if cases[column].dtype != "boolean":
        values = sorted(map(str, cases[column].dropna().unique()))
        shown = ", ".join(values[:5]) + (", ..." if len(values) > 5 else "")
        raise DataError(
            f"found {key} = {column!r} with {len(values)} different values ({shown}), expected true or false; "
            "name a binary endpoint"
        )
