"""From a bundle and a ``cases`` table to predictions and decisions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import DataError
from usdlr.core.types import ExclusionCode, OnUncertified, Split, Stage
from usdlr.data.samples import SampleStore
from usdlr.decision.cascade import decide
from usdlr.inference.bundle import Bundle, Member
from usdlr.inference.pooling import AXILLA, calibrated_rows, pool_axillae
from usdlr.inference.stage import prepare_torch
from usdlr.radiomics.design import design_table
from usdlr.radiomics.extract import extract


@dataclass(frozen=True)
class Prediction:
    """What a bundle says about a cohort.

    Parameters
    ----------
    predictions, decisions, exclusions : DataFrame
        The tables of the same names.
    """

    predictions: pd.DataFrame
    decisions: pd.DataFrame
    exclusions: pd.DataFrame


def predict(
    bundle: Bundle, cases: pd.DataFrame, root: Path, *, jobs: int, ledger: Path, on_uncertified: OnUncertified | None
) -> Prediction:
    """Apply a bundle.

    Parameters
    ----------
    bundle : Bundle
        The model.
    cases : DataFrame
        The ``cases`` table.
    root : Path
        Folder its paths are relative to.
    jobs : int
        Processes for features and crops.
    ledger : Path
        Where finished feature rows wait until all are there.
    on_uncertified : OnUncertified or None
        Instead of the bundle's own choice.

    Raises
    ------
    DataError
        If no case can be used.
    """
    preparation = bundle.preparation
    prepare_torch(preparation.threads)
    features = extract(cases, root, preparation.radiomics, engine=preparation.engine, jobs=jobs, ledger=ledger)
    usable, store, exclusions = usable_cases(cases, features, root, bundle, jobs=jobs)
    design = design_table(features, usable, preparation.clinical)
    predictions = predict_member(
        bundle.member, usable, store, design, batch_size=preparation.batch_size, split=_all_external(usable)
    )
    decisions = decide(
        cascade_scores(predictions), bundle.member.contract, on_uncertified=on_uncertified or bundle.on_uncertified
    )
    return Prediction(tables.PREDICTIONS.conform(predictions), tables.DECISIONS.conform(decisions), exclusions)


def usable_cases(
    cases: pd.DataFrame, features: pd.DataFrame, root: Path, bundle: Bundle, *, jobs: int
) -> tuple[pd.DataFrame, SampleStore, pd.DataFrame]:
    """Cases with features and crops, their crops, and exclusion rows for the others.

    Raises
    ------
    DataError
        If none is left.
    """
    failed = {
        str(row["image_id"]): (str(ExclusionCode.FEATURES_FAILED), str(row["reason"]))
        for row in features[features["status"] == "failed"].to_dict("records")
    }
    rest = cases[~cases["image_id"].isin(list(failed))]
    preparation = bundle.preparation
    store, uncut = SampleStore.cut(rest, root, preparation.crop, preparation.radiomics.margin_mm, jobs=jobs)
    failed |= {name: (str(error.code), error.sentence) for name, error in uncut.items()}
    exclusions = exclusion_table(cases, failed, "features")
    usable = cases[~cases["image_id"].isin(list(failed))].reset_index(drop=True)
    if usable.empty:
        first = exclusions.iloc[0]
        raise DataError(f"found no usable case among {len(cases)}; first {first['source_id']}: {first['sentence']}")
    return usable, store.select(usable["image_id"]), exclusions


def exclusion_table(cases: pd.DataFrame, reasons: dict[str, tuple[str, str]], step: str) -> pd.DataFrame:
    """Rows of ``exclusions`` for image ids with a code and a sentence."""
    chosen = cases[cases["image_id"].isin(list(reasons))]
    if chosen.empty:
        return tables.EXCLUSIONS.empty()
    return tables.EXCLUSIONS.conform(
        pd.DataFrame(
            {
                "centre_id": chosen["centre_id"],
                "patient_id": chosen["patient_id"],
                "side": chosen["side"],
                "source_id": chosen["image_id"],
                "step": step,
                "code": [reasons[str(name)][0] for name in chosen["image_id"]],
                "sentence": [reasons[str(name)][1] for name in chosen["image_id"]],
            }
        )
    )


def predict_member(
    member: Member, cases: pd.DataFrame, store: SampleStore, design: pd.DataFrame, *, batch_size: int, split: pd.Series
) -> pd.DataFrame:
    """Rows of ``predictions`` of both stages for every axilla."""
    parts = []
    for stage, model in member.models.items():
        pooled = pool_axillae(model.predict_images(store, design, batch_size), cases)
        parts.append(
            calibrated_rows(
                pooled,
                member.calibrators[stage],
                stage=stage,
                fold=member.name,
                split=split,
                model_id=model.model_id,
            )
        )
    return pd.concat(parts, ignore_index=True)


def cascade_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per axilla with both stages' probabilities: ``patient_id, side, p_sln, p_nsln``."""
    wide = predictions.pivot(index=AXILLA, columns="stage", values="probability")
    order = predictions[AXILLA].drop_duplicates()
    named = wide.rename(columns={str(stage): f"p_{stage}" for stage in Stage}).reset_index()
    return order.merge(named, on=AXILLA, how="left", validate="one_to_one")[[*AXILLA, "p_sln", "p_nsln"]]


def _all_external(cases: pd.DataFrame) -> pd.Series:
    patients = cases["patient_id"].unique()
    return pd.Series(str(Split.EXTERNAL), index=patients)
