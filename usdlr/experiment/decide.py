"""Calibrators, contracts and out-of-fold decisions. Each part of a fold is read for one purpose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.files import write_json
from usdlr.core.leak import Rows, require_disjoint
from usdlr.core.types import OnUncertified, Split, Stage
from usdlr.decision.calibration_choice import fit_calibrator
from usdlr.decision.cascade import decide
from usdlr.decision.contract import Contract
from usdlr.decision.deferral import Unsure, fit_deferral
from usdlr.decision.path import two_stages
from usdlr.decision.strata import StratumRule
from usdlr.decision.stratified import fit_strata
from usdlr.decision.thresholds import build_path, fit_contract
from usdlr.decision.uncertainty import LogitInterval
from usdlr.decision.wording import decision_note
from usdlr.experiment.cohort import is_simulated, stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import RAW, WITHOUT, Layout
from usdlr.experiment.ood_fit import fit_ood, fold_seen
from usdlr.inference.calibrated import calibrated_rows
from usdlr.inference.member import CONTRACT, USED, certified_hash, image_key
from usdlr.inference.ood_files import ood_rows, with_ood
from usdlr.inference.predictor import cascade_scores
from usdlr.inference.stage_files import load_stage, save_calibrator, save_interval
from usdlr.inference.strata import axilla_strata
from usdlr.ingest.splits import BUNDLE_FOLD

# Why `calibrator: auto` took which one, beside the stage's calibrator in the run's folder.
CALIBRATOR_CHOICE = "calibrator_choice.json"


@dataclass(frozen=True)
class Decided:
    """What became of the axillae.

    Parameters
    ----------
    predictions : DataFrame
        Rows of every fold, split, stage and axilla.
    decisions : DataFrame
        One row per axilla, from the fold that tests it.
    contracts : dict of str to Contract
        By fold, ``bundle`` among them.
    strange : DataFrame
        ``patient_id side fold split ood_score ood_limit ood_alarm ood_p ood_why``: how unlike its training patients
        every axilla is, by every fold.
    """

    predictions: pd.DataFrame
    decisions: pd.DataFrame
    contracts: dict[str, Contract]
    strange: pd.DataFrame


def decide_all(
    config: ExperimentConfig, layout: Layout, cases: pd.DataFrame, labels: pd.DataFrame, splits: pd.DataFrame
) -> Decided:
    """Calibrate, certify and decide every fold.

    Calibrators and the path of thresholds see tuning patients; thresholds see calibration patients, once; nothing
    sees a test patient. Calibrators and contracts are written beside the fitted stages.

    Raises
    ------
    LeakError
        If a test patient was seen by anything that judges it.
    """
    predictions, decisions, contracts, strangers = [], [], {}, []
    note = decision_note(
        simulated=is_simulated(cases, config.data),
        proxy=any(config.data.endpoint(stage).proxy for stage in Stage),
    )
    for fold, part in splits.groupby("fold", sort=False):
        name = str(fold)
        split = part.set_index("patient_id")["split"]
        rows, contract, seen, strange = _one_fold(config, layout, cases, labels, name, split)
        predictions.append(rows)
        strangers.append(strange)
        contracts[name] = contract
        if name == BUNDLE_FOLD:
            continue
        test = rows[rows["split"] == str(Split.TEST)]
        require_disjoint(seen, set(test["patient_id"]), f"calibrators and thresholds of fold {name}")
        # An experiment reports what the thresholds would do; only a shipped bundle defers for want of a certificate.
        scores = with_ood(cascade_scores(test), strange)
        # As the bundle does: every stratum by its own contract, and nobody whose stratum calibration never saw.
        strata = None if contract.strata is None else axilla_strata(cases, scores, contract.strata)
        decisions.append(decide(scores, contract, on_uncertified=OnUncertified.ZERO_MISS, note=note, strata=strata))
    order = labels[AXILLA_KEY]
    decided = order.merge(pd.concat(decisions, ignore_index=True), on=AXILLA_KEY, how="left", validate="one_to_one")
    every = (pd.concat(parts, ignore_index=True) for parts in (predictions, strangers))
    return Decided(next(every), decided, contracts, next(every))


def _one_fold(
    config: ExperimentConfig,
    layout: Layout,
    cases: pd.DataFrame,
    labels: pd.DataFrame,
    fold: str,
    split: pd.Series,
) -> tuple[pd.DataFrame, Contract, frozenset[str], pd.DataFrame]:
    axilla_split = split.loc[list(labels["patient_id"])].to_numpy()
    tuning, calibration = (axilla_split == str(part) for part in (Split.TUNING, Split.CALIBRATION))
    parts, probability = [], {}
    seen: set[str] = set()
    for stage in Stage:
        folder = layout.stage(fold, stage)
        raw = labels[AXILLA_KEY].merge(pd.read_parquet(folder / RAW), on=AXILLA_KEY, validate="one_to_one")
        label = stage_labels(labels, stage).to_numpy(np.float64)
        use = tuning & np.isfinite(label)
        found = fit_calibrator(
            config.calibrator, raw["logit"].to_numpy()[use], label[use], rows=_rows(labels, axilla_split, use)
        )
        calibrator = found.calibrator
        save_calibrator(folder, calibrator)
        if found.choice is not None:
            write_json(folder / CALIBRATOR_CHOICE, found.choice)
        interval = LogitInterval.fit(
            raw["logit"].to_numpy()[use],
            calibrator,
            _changes(raw[tuning], pd.read_parquet(folder / WITHOUT)),  # no label is needed for it
            rows=_rows(labels, axilla_split, use),
            labels=label[use],
        )
        save_interval(folder, interval)
        seen |= calibrator.fitted_patients_
        model_id = load_stage(folder, config.ensemble).model_id
        rows = calibrated_rows(raw, calibrator, interval, stage=stage, fold=fold, split=split, model_id=model_id)
        probability[stage] = rows["probability"].to_numpy()
        parts.append(rows)

    def columns(use: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
        return [
            probability[Stage.SLN][use],
            labels["sln"].to_numpy(np.float64)[use],
            probability[Stage.NSLN][use],
            labels["nsln"].to_numpy(np.float64)[use],
        ]

    made = frozenset(map(str, split.index[split.isin([str(Split.TRAIN), str(Split.TUNING)])]))
    tuned = _rows(labels, axilla_split, tuning)
    path = build_path(*columns(tuning), rows=tuned, settings=config.contract)
    options: dict[str, Any] = {
        "rows": _rows(labels, axilla_split, calibration),
        "settings": config.contract,
        "seen": seen | made,
    }
    looked, _ = fold_seen(config, layout, cases, fold)
    strange = ood_rows(
        fit_ood(
            config, layout.member(fold), looked, dict(zip(split.index.astype(str), split.astype(str), strict=True))
        ),
        looked,
        config.radiomics,
    )
    if config.contract.defer_near or config.contract.ood_share is not None:
        scores = with_ood(cascade_scores(pd.concat(parts)), strange)
        unsure = Unsure.of(labels[AXILLA_KEY].merge(scores, on=AXILLA_KEY, validate="one_to_one"))
        options["rule"] = fit_deferral(
            path,
            two_stages(*columns(tuning), rows=tuned)[0],
            unsure.take(tuning),
            rows=tuned,
            alpha=list(config.contract.alpha.values()),
            at_most=config.contract.defer_at_most if config.contract.defer_near else 0.0,
            ood_share=config.contract.ood_share,
        )
        options["unsure"] = unsure.take(calibration)
    by = StratumRule.of(config.contract)
    if by is None:
        fitted = fit_contract(path, *columns(calibration), **options)
    else:
        strata = axilla_strata(cases, labels[calibration], by)
        fitted = fit_strata(path, *columns(calibration), stratum=strata, by=by, **options)
    # Whatever changes a probability after this line voids the contract; a bundle refuses to load then.
    bound = certified_hash(layout.member(fold), config.preparation.as_dict())
    fitted = replace(fitted, contract=replace(fitted.contract, certified_for=bound))
    write_json(layout.member(fold) / CONTRACT, fitted.contract.to_dict())
    used = zip(cases["image_id"], split.loc[list(cases["patient_id"])], strict=True)
    write_json(layout.member(fold) / USED, {image_key(str(name)): str(part) for name, part in used})
    return (
        pd.concat(parts, ignore_index=True),
        fitted.contract,
        frozenset(seen | path.fitted_patients | fitted.fitted_patients),
        strange.assign(fold=fold, split=split.loc[list(strange["patient_id"])].to_numpy()),
    )


def _changes(raw: pd.DataFrame, without: pd.DataFrame) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """What having a modality moves in the raw log-odds of the given axillae, by modality."""
    found = {}
    for name, part in without.groupby("modality", sort=False):
        both = raw[[*AXILLA_KEY, "logit"]].merge(part, on=AXILLA_KEY, suffixes=("", "_without"), validate="one_to_one")
        found[str(name)] = (both["logit"] - both["logit_without"]).to_numpy(np.float64)
    return found


def _rows(
    labels: pd.DataFrame,
    split: np.ndarray[tuple[int], np.dtype[np.object_]],
    use: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> Rows:
    return Rows.of(labels["patient_id"][use], split[use])
