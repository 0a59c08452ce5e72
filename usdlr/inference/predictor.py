"""From a bundle and a ``cases`` table to predictions and decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import DataError
from usdlr.core.types import OnUncertified, Split, Stage
from usdlr.core.where import condition_words, outside
from usdlr.data.dataset import Vary
from usdlr.data.samples import SampleStore
from usdlr.decision.cascade import decide
from usdlr.decision.deferral import Unsure
from usdlr.decision.wording import decision_note
from usdlr.inference.automatic import with_reasons, with_sources
from usdlr.inference.bundle import Bundle
from usdlr.inference.calibrated import calibrated_rows
from usdlr.inference.member import Member, image_key
from usdlr.inference.ood_files import Seen, ood_rows, with_ood
from usdlr.inference.preparation import Preparation
from usdlr.inference.reading import Reading
from usdlr.inference.scale import require_same_scale
from usdlr.inference.sites import design_of, orphans, tumours, unread
from usdlr.inference.stage import prepare_torch
from usdlr.inference.strata import axilla_strata
from usdlr.inference.views import averaged_views
from usdlr.radiomics.design import unmeasured
from usdlr.radiomics.extract import extract


@dataclass(frozen=True)
class Prediction:
    """What a bundle says about a cohort.

    Parameters
    ----------
    predictions, decisions, exclusions : DataFrame
        The tables of the same names.
    foreign_centres : tuple of str
        Centres that the model was not made on: the contract is void there.
    seen : int
        Axillae of patients who were used to make the model: nothing may be concluded from them.
    reliability : DataFrame
        The table of the same name; without contours redrawn, see :mod:`usdlr.inference.contour`.
    """

    predictions: pd.DataFrame
    decisions: pd.DataFrame
    exclusions: pd.DataFrame
    foreign_centres: tuple[str, ...]
    seen: int
    reliability: pd.DataFrame = field(default_factory=tables.RELIABILITY.empty)


@dataclass(frozen=True)
class Prepared:
    """Cases as a model reads them.

    Parameters
    ----------
    cases : DataFrame
        Rows of ``cases`` with features and crops.
    store : SampleStore
        Their crops, in the same order.
    design : DataFrame
        Their design table.
    exclusions : DataFrame
        Why the others are not here.
    """

    cases: pd.DataFrame
    store: SampleStore
    design: pd.DataFrame
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
        If no case can be used, or lengths are of another kind than the model's.
    """
    prepared = prepare_cases(bundle.preparation, cases, root, jobs=jobs, ledger=ledger)
    return predict_prepared(bundle, prepared, on_uncertified=on_uncertified)


def prepare_cases(
    preparation: Preparation,
    cases: pd.DataFrame,
    root: Path,
    *,
    jobs: int,
    ledger: Path,
    measure: bool | None = None,
) -> Prepared:
    """Cases as a model reads them; parameters as for :func:`predict`.

    ``measure`` says whether radiomics is measured; by default only where the networks read it.

    Raises
    ------
    DataError
        If no case can be used, or lengths are of another kind than the model's.
    """
    read, reasons = cohort_of(preparation, cases)
    require_same_scale(read, root, preparation.relative_diameter)
    measured = tumours(read)
    if preparation.measures if measure is None else measure:
        features = extract(measured, root, preparation.radiomics, engine=preparation.engine, jobs=jobs, ledger=ledger)
    else:
        features = unmeasured(measured)
    usable, store, exclusions = usable_cases(read, features, root, preparation, jobs=jobs)
    exclusions = pd.concat([exclusion_table(cases, reasons, "cohort"), exclusions], ignore_index=True)
    return Prepared(usable, store, design_of(features, usable, preparation.clinical), exclusions)


def cohort_of(preparation: Preparation, cases: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """The image sets that the model is for, and code and sentence of every other one, by image id.

    Raises
    ------
    DataError
        If none is left.
    """
    reasons = unread(cases, preparation.network.sites)
    left_out = outside(cases, preparation.where)
    reasons |= left_out
    reasons |= orphans(cases[~cases["image_id"].isin(list(reasons))])
    read = cases[~cases["image_id"].isin(list(reasons))].reset_index(drop=True)
    if read.empty and len(left_out) == len(cases):
        raise DataError(
            f"found none of {len(cases)} image sets in the cohort that the model is for, expected some with "
            f"{condition_words(preparation.where)}; the model says nothing of others"
        )
    if read.empty:
        raise DataError(f"found no image of a primary tumour among {len(cases)}; the model reads nothing without one")
    return read, reasons


def predict_prepared(bundle: Bundle, prepared: Prepared, *, on_uncertified: OnUncertified | None) -> Prediction:
    """Apply a bundle to what :func:`prepare_cases` gave with the bundle's own preparation."""
    preparation, usable = bundle.preparation, prepared.cases
    prepare_torch(preparation.threads)
    readings: dict[Stage, list[Reading]] = {}
    raw = read_member(
        bundle.member,
        usable,
        prepared.store,
        prepared.design,
        batch_size=preparation.batch_size,
        views=averaged_views(preparation.views),
        readings=readings,
    )
    seen = Seen.of(usable, prepared.design, bundle.member.models, readings)
    strange = ood_rows(bundle.member.ood, seen, preparation.radiomics)
    predictions = member_rows(bundle.member, raw, split=patient_splits(usable, bundle.member))
    known = set(bundle.card["cohort"]["centres"])
    foreign = usable["patient_id"][~usable["centre_id"].isin(known)]
    scores = with_ood(cascade_scores(predictions), strange)
    is_foreign = scores["patient_id"].isin(set(foreign))
    answer = on_uncertified or bundle.on_uncertified
    note = decision_note(simulated=bool(bundle.card["simulated"]), proxy=any(bundle.card["proxies"].values()))
    contract = bundle.member.contract
    # The contract speaks of patients exchangeable with the calibration patients: at another centre it is void.
    decided = []
    for part, reached in ((scores[~is_foreign], contract), (scores[is_foreign], contract.void())):
        if len(part):
            strata = None if reached.strata is None else axilla_strata(usable, part, reached.strata)
            decided.append(decide(part, reached, on_uncertified=answer, note=note, strata=strata))
    decisions = scores[AXILLA_KEY].merge(pd.concat(decided, ignore_index=True), on=AXILLA_KEY, validate="one_to_one")
    external = predictions["split"] == str(Split.EXTERNAL)
    reliability = with_sources(reliability_rows(bundle, raw, predictions, strange), usable)
    return Prediction(
        tables.PREDICTIONS.conform(predictions),
        with_reasons(tables.DECISIONS.conform(decisions), reliability),
        prepared.exclusions,
        foreign_centres=tuple(sorted(set(usable["centre_id"]) - known)),
        seen=int((~external).sum()) // len(Stage),
        reliability=reliability,
    )


def usable_cases(
    cases: pd.DataFrame, features: pd.DataFrame, root: Path, preparation: Preparation, *, jobs: int
) -> tuple[pd.DataFrame, SampleStore, pd.DataFrame]:
    """Cases with features and every crop, their crops, and exclusion rows for the others.

    An image that fails in one variant's crop is left out for all of them; see
    :meth:`usdlr.data.samples.SampleStore.cut`.

    Raises
    ------
    DataError
        If none is left.
    """
    failed = failure_reasons(features)
    rest = cases[~cases["image_id"].isin(list(failed))]
    crop, *further = preparation.crops
    store, uncut = SampleStore.cut(
        rest, root, crop, preparation.regions, preparation.radiomics.margin_mm, jobs=jobs, further=further
    )
    failed |= {name: (str(error.code), error.sentence) for name, error in uncut.items()}
    failed |= orphans(cases[~cases["image_id"].isin(list(failed))])
    exclusions = exclusion_table(cases, failed, "features")
    usable = cases[~cases["image_id"].isin(list(failed))].reset_index(drop=True)
    if usable.empty:
        first = exclusions.iloc[0]
        raise DataError(f"found no usable case among {len(cases)}; the first is {first['code']}: {first['sentence']}")
    return usable, store.select(usable["image_id"]), exclusions


def failure_reasons(features: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Code and sentence of every case whose features failed, by image id."""
    return {
        str(row["image_id"]): (str(row["code"]), str(row["reason"]))
        for row in features[features["status"] == "failed"].to_dict("records")
    }


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


def read_member(
    member: Member,
    cases: pd.DataFrame,
    store: SampleStore,
    design: pd.DataFrame,
    *,
    batch_size: int,
    views: Sequence[Vary | None] = (None,),
    readings: dict[Stage, list[Reading]] | None = None,
) -> dict[Stage, pd.DataFrame]:
    """Raw log-odds of every axilla by stage, as :meth:`usdlr.inference.stage.StageModel.predict_axillae` gives them.

    Into ``readings`` goes what every network read of the samples as they are, where it is given.
    """
    raw = {}
    for stage, model in member.models.items():
        raw[stage], read = model.answer(cases, store, design, batch_size, views=views)
        if readings is not None:
            readings[stage] = read
    return raw


def member_rows(member: Member, raw: Mapping[Stage, pd.DataFrame], *, split: pd.Series) -> pd.DataFrame:
    """Rows of ``predictions`` from what :func:`read_member` gave."""
    parts = [
        calibrated_rows(
            axillae,
            member.calibrators[stage],
            member.intervals[stage],
            stage=stage,
            fold=member.name,
            split=split,
            model_id=member.models[stage].model_id,
        )
        for stage, axillae in raw.items()
    ]
    return pd.concat(parts, ignore_index=True)


def reliability_rows(
    bundle: Bundle,
    raw: Mapping[Stage, pd.DataFrame],
    predictions: pd.DataFrame,
    strange: pd.DataFrame,
) -> pd.DataFrame:
    """The ``reliability`` table: how strange every axilla is and conformal intervals; no contour is redrawn for it.

    Parameters
    ----------
    bundle : Bundle
        The model.
    raw : mapping of Stage to DataFrame
        From :func:`read_member`.
    predictions : DataFrame
        From :func:`member_rows`, in the same order.
    strange : DataFrame
        From :func:`usdlr.inference.ood_files.ood_rows`.
    """
    out = predictions[AXILLA_KEY].drop_duplicates().merge(strange, on=AXILLA_KEY, how="left", validate="one_to_one")
    for stage, axillae in raw.items():
        # Every stage reads the same axillae in the same order, and so do its rows of predictions.
        stated = predictions["probability"].to_numpy(np.float64)[(predictions["stage"] == str(stage)).to_numpy()]
        ends = bundle.member.intervals[stage].conformal(axillae["logit"], stated)
        out[f"conformal_low_{stage}"], out[f"conformal_high_{stage}"] = ends
    return tables.RELIABILITY.conform(out)


def cascade_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per axilla with both stages' probabilities, and how far the intervals reach from their log-odds.

    ``patient_id side p_sln p_nsln below_sln above_sln below_nsln above_nsln``; see
    :class:`usdlr.decision.deferral.Unsure`.
    """
    values = predictions.assign(
        p=predictions["probability"],
        below=(predictions["logit"] - predictions["logit_low"]).clip(lower=0.0),  # 0 but for rounding
        above=(predictions["logit_high"] - predictions["logit"]).clip(lower=0.0),
    )
    wide = values.pivot(index=AXILLA_KEY, columns="stage", values=["p", "below", "above"])
    wide.columns = pd.Index(["_".join(map(str, name)) for name in wide.columns])
    order = predictions[AXILLA_KEY].drop_duplicates()
    columns = [*AXILLA_KEY, *(f"p_{stage}" for stage in Stage), *Unsure.columns()]
    return order.merge(wide.reset_index(), on=AXILLA_KEY, how="left", validate="one_to_one")[columns]


def patient_splits(cases: pd.DataFrame, member: Member) -> pd.Series:
    """What each patient was used for when the member was made; ``external`` for everybody else."""
    known: dict[str, str | None] = {}
    for patient, name in _image_ids(cases):  # one known image tells on all of a patient's
        known[patient] = known.get(patient) or member.used.get(image_key(name))
    return pd.Series({patient: split or str(Split.EXTERNAL) for patient, split in known.items()})


def _image_ids(cases: pd.DataFrame) -> list[tuple[str, str]]:
    return [(str(p), str(i)) for p, i in zip(cases["patient_id"], cases["image_id"], strict=True)]
