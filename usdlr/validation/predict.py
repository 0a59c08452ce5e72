"""Predictions of a frozen bundle for every source, made and written without a look at any outcome."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import DataError, LeakError
from usdlr.core.files import write_atomic
from usdlr.core.hashing import table_hash
from usdlr.core.journal import Journal
from usdlr.core.provenance import Provenance
from usdlr.core.types import ExclusionCode, OnUncertified, Split
from usdlr.core.where import outside
from usdlr.data.samples import SampleStore
from usdlr.inference.bundle import Bundle
from usdlr.inference.predictor import (
    Prepared,
    exclusion_table,
    patient_splits,
    predict_prepared,
    prepare_cases,
)
from usdlr.validation.lock import is_outcome
from usdlr.validation.plan import Plan
from usdlr.validation.shift import FOLDER as SHIFT
from usdlr.validation.shift import save_rows
from usdlr.validation.sources import Source

FOLDER = "sources"
_TABLES = ("predictions.parquet", "decisions.parquet", "reliability.parquet", "exclusions.csv", "cases.parquet")
_PREPARED = ("design.parquet", "crops.npz")


@dataclass(frozen=True)
class Predicted:
    """What the bundle says about one source.

    Parameters
    ----------
    name : str
        The source.
    root : Path
        Folder that the paths of its cases are relative to.
    prepared : Prepared
        Cases as the bundle reads them, with empty outcomes.
    predictions, decisions, reliability : DataFrame
        The tables of these names; decisions are by the bundle's thresholds, whatever its contract is worth here.
    exclusions : DataFrame
        Of every step.
    """

    name: str
    root: Path
    prepared: Prepared
    predictions: pd.DataFrame
    decisions: pd.DataFrame
    reliability: pd.DataFrame
    exclusions: pd.DataFrame


def predict_source(
    plan: Plan,
    bundle: Bundle,
    source: Source,
    out: Path,
    *,
    journal: Journal,
    jobs: int,
    key: Any,
    provenance: Provenance,
) -> Predicted:
    """Predictions for one source, from what an earlier call left where nothing changed.

    Patients who made the model are found by their images and left out, counted in ``exclusions``.

    Parameters
    ----------
    plan, bundle, source
        What is asked of whom.
    out : Path
        Folder of the validation.
    journal, jobs
        Of the validation.
    key : plain data
        Changes with plan and bundle.
    provenance : Provenance
        Of the tables.

    Raises
    ------
    LeakError
        If nobody is left, because all patients made the model.
    DataError
        If no case can be used.
    """
    folder = out / FOLDER / source.name
    blind = without_outcomes(source.cases)

    def work() -> None:
        kept, left_out = select(plan, bundle, blind)
        prepared = prepare_cases(
            bundle.preparation, kept, source.root, jobs=jobs, ledger=folder / ".features", measure=None
        )
        found = predict_prepared(_reaching(plan, bundle), prepared, on_uncertified=OnUncertified.ZERO_MISS)
        before = pd.concat([source.exclusions, left_out, prepared.exclusions], ignore_index=True)
        prepared.store.save(folder / "crops.npz")
        write_atomic(folder / "design.parquet", lambda target: prepared.design.to_parquet(target))
        tables.CASES.write(prepared.cases, folder / "cases.parquet", provenance)
        tables.EXCLUSIONS.write(before, folder / "exclusions.csv", provenance)
        tables.PREDICTIONS.write(found.predictions, folder / "predictions.parquet", provenance)
        tables.DECISIONS.write(found.decisions, folder / "decisions.parquet", provenance)
        tables.RELIABILITY.write(found.reliability, folder / "reliability.parquet", provenance)
        save_rows(bundle, prepared, folder / SHIFT)

    outputs = [folder / name for name in (*_TABLES, *_PREPARED)]
    journal.step(f"predict-{source.name}", [key, table_hash(blind), table_hash(source.exclusions)], outputs, work)
    cases = tables.CASES.read(folder / "cases.parquet")
    prepared = Prepared(
        cases,
        SampleStore.load(folder / "crops.npz").select(cases["image_id"]),
        pd.read_parquet(folder / "design.parquet").loc[list(cases["image_id"])],
        tables.EXCLUSIONS.read(folder / "exclusions.csv"),
    )
    return Predicted(
        source.name,
        source.root,
        prepared,
        tables.PREDICTIONS.read(folder / "predictions.parquet"),
        tables.DECISIONS.read(folder / "decisions.parquet"),
        tables.RELIABILITY.read(folder / "reliability.parquet"),
        prepared.exclusions,
    )


def without_outcomes(cases: pd.DataFrame) -> pd.DataFrame:
    """The table with every outcome empty, so that nothing that reads it can know one."""
    blind = cases.copy()
    for name in blind.columns:
        if is_outcome(str(name)):
            blind[name] = pd.Series([None] * len(blind), index=blind.index, dtype=object).astype(blind[name].dtype)
    return tables.CASES.conform(blind)


def select(plan: Plan, bundle: Bundle, cases: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cases that the plan is about, and exclusion rows for the others; no outcome decides.

    Raises
    ------
    LeakError
        If all patients made the model.
    DataError
        If nobody is left.
    """
    made = patient_splits(cases, bundle.member)
    seen = set(made.index[made != str(Split.EXTERNAL)])
    reasons: dict[str, tuple[str, str]] = {}
    for image_id in cases["image_id"][cases["patient_id"].astype(str).isin(seen)]:
        reasons[str(image_id)] = (
            str(ExclusionCode.DEVELOPMENT_PATIENT),
            "found a patient who was used to make the model, expected new ones; what the model says of them proves "
            "nothing about it",
        )
    for image_id in cases["image_id"][cases["neoadjuvant"].fillna(False).astype(bool)]:
        reasons.setdefault(
            str(image_id),
            (
                str(ExclusionCode.NEOADJUVANT),
                "found neoadjuvant treatment before axillary surgery, expected an untreated axilla; the node status no "
                "longer speaks of the ultrasound",
            ),
        )
    for image_id in cases["image_id"][cases["row_mm"].isna() | cases["col_mm"].isna()]:
        reasons.setdefault(
            str(image_id),
            (
                str(ExclusionCode.SPACING_MISSING),
                "found no spacing, expected millimetres per pixel for ring and crop; state it in the source's table",
            ),
        )
    for image_id, reason in outside(cases, plan.where).items():
        reasons.setdefault(image_id, reason)
    kept = cases[~cases["image_id"].isin(list(reasons))].reset_index(drop=True)
    if kept.empty and len(seen) == len(made):
        raise LeakError(
            f"found all {len(made)} patients among those who made the model, expected new ones; validate on others"
        )
    if kept.empty:
        code, sentence = next(iter(reasons.values()))
        raise DataError(f"found no usable case among {len(cases)}; the first is {code}: {sentence}")
    return kept, exclusion_table(cases, reasons, "cohort")


def _reaching(plan: Plan, bundle: Bundle) -> Bundle:
    """The bundle as the plan reads it: its contract reaches those centres that the plan names, and no others.

    A centre that merely has the name of one of the development would keep the contract silently.
    """
    cohort = {**bundle.card["cohort"], "centres": list(plan.development_centres)}
    return replace(bundle, card={**bundle.card, "cohort": cohort})
