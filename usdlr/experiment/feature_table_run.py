"""Plain learners on a table of features: the folds, the contract and the report of every other experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml
from scipy.special import logit

from usdlr.baselines.pipelines import baseline_named, fit_and_score
from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import write_atomic, write_json, write_text
from usdlr.core.hashing import SHORT, data_hash, derive_seed, file_hash
from usdlr.core.leak import Rows, require_disjoint
from usdlr.core.provenance import Provenance
from usdlr.core.types import OnUncertified, Split, Stage
from usdlr.decision.calibration_choice import fit_calibrator
from usdlr.decision.cascade import decide
from usdlr.decision.contract import Contract
from usdlr.decision.thresholds import build_path, fit_contract
from usdlr.decision.uncertainty import LogitInterval
from usdlr.decision.wording import decision_note
from usdlr.evaluation.external import external_metrics
from usdlr.evaluation.study import BaselineScores, study_metrics
from usdlr.experiment.feature_table import FeatureRows, FeatureTableConfig, read_feature_table
from usdlr.inference.calibrated import calibrated_rows
from usdlr.inference.predictor import cascade_scores
from usdlr.inference.stream import together
from usdlr.ingest.splits import BUNDLE_FOLD, make_splits
from usdlr.report.inputs import StudyInputs
from usdlr.report.study import write_report

# A forest of agreeing trees says 0 or 1, which has no log-odds.
EDGE = 1e-6
SHARE, BASE = "contribution.features", "contribution.base"

Floats = npt.NDArray[np.float64]


def run_feature_table(config: FeatureTableConfig, out: Path) -> Path:
    """Fit, decide, judge and report.

    Returns
    -------
    Path
        The report. Beside it ``predictions decisions splits exclusions metrics.json config.yaml``, with further files
        ``exclusions_external.csv``, and ``scores.parquet``, every learner's own scores.

    Raises
    ------
    ConfigError, DataError
        If the table or the configuration cannot work.
    LeakError
        If an external file shares patients with the development table.
    """
    if config.table.file is None:
        raise ConfigError("found no table.file, expected the table of features; add --table.file FILE")
    source = Path(config.table.file)
    rows = read_feature_table(source, config.table)
    others = {name: read_feature_table(Path(path), config.table) for name, path in config.external.items()}
    patients = set(rows.axillae["patient_id"])
    for name, other in others.items():
        require_disjoint(patients, set(other.axillae["patient_id"]), f"learners for {name}")
        if list(other.design) != list(rows.design):
            raise DataError(f"found other features in {name} than in {source.name}, expected the same columns in order")
    splits = make_splits(rows.axillae, config.splits, config.seed)
    names = [str(fold) for fold in splits["fold"].unique()]
    fitted = [_fold(config, rows, others, splits, fold) for fold in names]
    inputs = {source.name: file_hash(source), **{name: file_hash(Path(path)) for name, path in config.external.items()}}
    provenance = Provenance("usdlr fit_table", inputs, _identity(config), config.seed)
    return _write(config, rows, others, dict(zip(names, fitted, strict=True)), splits, provenance, out)


@dataclass(frozen=True)
class _Fold:
    predictions: pd.DataFrame
    external: Mapping[str, pd.DataFrame]
    scores: pd.DataFrame
    contract: Contract


def _fold(
    config: FeatureTableConfig,
    rows: FeatureRows,
    others: Mapping[str, FeatureRows],
    splits: pd.DataFrame,
    fold: str,
) -> _Fold:
    """Every learner of one fold; calibrator, path and thresholds of the first."""
    split = splits[splits["fold"] == fold].set_index("patient_id")["split"]
    part = split.loc[list(rows.axillae["patient_id"])].to_numpy(dtype=object)
    scores, predicted = [], []
    external: dict[str, list[pd.DataFrame]] = {name: [] for name in others}
    for stage in Stage:
        label = _truth(rows, stage)
        for learner in config.learners:
            own, elsewhere = _scored(config, rows, others, part, label, stage, learner, fold)
            keyed = rows.axillae[AXILLA_KEY].assign(score=own, split=part, source="")
            further = [
                one.axillae[AXILLA_KEY].assign(score=elsewhere[k], split="external", source=k)
                for k, one in others.items()
            ]
            scores.append(pd.concat([keyed, *further]).assign(stage=str(stage), fold=fold, name=learner))
            if learner != config.learners[0]:
                continue
            use = (part == str(Split.TUNING)) & np.isfinite(label)
            tuned = _rows(rows, part, use)
            raw = logit(np.clip(own, EDGE, 1 - EDGE))
            calibrator = fit_calibrator(config.calibrator, raw[use], label[use], rows=tuned).calibrator
            interval = LogitInterval.fit(raw[use], calibrator, {}, rows=tuned)
            model_id = data_hash([config.name, fold, str(stage), calibrator.to_dict(), own.round(9).tolist()])[:SHORT]
            shared: dict[str, Any] = {"stage": stage, "fold": fold, "model_id": model_id}
            predicted.append(calibrated_rows(_raw(rows, raw), calibrator, interval, split=split, **shared))
            for name, other in others.items():
                away = pd.Series(str(Split.EXTERNAL), index=other.axillae["patient_id"].unique())
                theirs = _raw(other, logit(np.clip(elsewhere[name], EDGE, 1 - EDGE)))
                external[name].append(calibrated_rows(theirs, calibrator, interval, split=away, **shared))
    predictions = pd.concat(predicted, ignore_index=True)
    contract = _contract(config, rows, predictions, part)
    told = {name: pd.concat(parts, ignore_index=True) for name, parts in external.items()}
    return _Fold(predictions, told, pd.concat(scores, ignore_index=True), contract)


def _scored(
    config: FeatureTableConfig,
    rows: FeatureRows,
    others: Mapping[str, FeatureRows],
    part: npt.NDArray[np.object_],
    label: Floats,
    stage: Stage,
    learner: str,
    fold: str,
) -> tuple[Floats, dict[str, Floats]]:
    """One learner's probabilities by axilla, of the table and of every further one."""
    train = ((part == str(Split.TRAIN)) & np.isfinite(label))[rows.owner]
    who = rows.axillae["patient_id"].to_numpy(dtype=object)[rows.owner]
    designs = [rows.design, *(other.design for other in others.values())]
    found = fit_and_score(
        baseline_named(learner),
        rows.design[train],
        label[rows.owner][train],
        rows=Rows.of(who[train], part[rows.owner][train]),
        judged=pd.concat(designs, ignore_index=True),
        seed=derive_seed(config.seed, "learner", learner, fold, stage),
    )
    ends = np.cumsum([len(table) for table in designs])[:-1]
    own, *further = np.split(found, ends)
    return rows.by_axilla(own), {
        name: other.by_axilla(values) for (name, other), values in zip(others.items(), further, strict=True)
    }


def _contract(
    config: FeatureTableConfig, rows: FeatureRows, predictions: pd.DataFrame, part: npt.NDArray[np.object_]
) -> Contract:
    tuning, calibration = (part == str(one) for one in (Split.TUNING, Split.CALIBRATION))
    probability = {
        stage: predictions.loc[predictions["stage"] == str(stage), "probability"].to_numpy(np.float64)
        for stage in Stage
    }

    def columns(use: npt.NDArray[np.bool_]) -> list[Floats]:
        return [one[use] for stage in Stage for one in (probability[stage], rows.axillae[str(stage)].to_numpy(float))]

    path = build_path(*columns(tuning), rows=_rows(rows, part, tuning), settings=config.contract)
    made = frozenset(rows.axillae["patient_id"][tuning | (part == str(Split.TRAIN))])
    options: dict[str, Any] = {"rows": _rows(rows, part, calibration), "settings": config.contract, "seen": made}
    return fit_contract(path, *columns(calibration), **options).contract


def _truth(rows: FeatureRows, stage: Stage) -> Floats:
    known = rows.axillae[str(stage)]
    return (known if stage is Stage.SLN else known.where(rows.axillae["sln"] == 1)).to_numpy(np.float64)


def _rows(rows: FeatureRows, part: npt.NDArray[np.object_], use: npt.NDArray[np.bool_]) -> Rows:
    return Rows.of(rows.axillae["patient_id"][use], part[use])


def _raw(rows: FeatureRows, values: Floats) -> pd.DataFrame:
    out = rows.axillae[AXILLA_KEY].assign(logit=values, spread=0.0)
    out[SHARE], out[BASE] = values, 0.0
    return out


def _identity(config: FeatureTableConfig) -> dict[str, Any]:
    plain = asdict(config)
    plain["table"].pop("file")  # machines differ; its content is among the inputs
    plain["external"] = sorted(config.external)
    return plain


def _write(
    config: FeatureTableConfig,
    rows: FeatureRows,
    others: Mapping[str, FeatureRows],
    folds: Mapping[str, _Fold],
    splits: pd.DataFrame,
    provenance: Provenance,
    out: Path,
) -> Path:
    note = decision_note(simulated=config.table.simulated, proxy=any(config.table.proxies.values()))
    tests = {name: one for name, one in folds.items() if name != BUNDLE_FOLD}
    decided = []
    for one in tests.values():
        scores = cascade_scores(one.predictions[one.predictions["split"] == str(Split.TEST)])
        decided.append(decide(scores, one.contract, on_uncertified=OnUncertified.ZERO_MISS, note=note))
    every = pd.concat([one.predictions for one in folds.values()], ignore_index=True)
    predictions = tables.PREDICTIONS.write(every, out / "predictions.parquet", provenance)
    decisions = tables.DECISIONS.write(pd.concat(decided, ignore_index=True), out / "decisions.parquet", provenance)
    tables.SPLITS.write(splits, out / "splits.csv", provenance)
    exclusions = tables.EXCLUSIONS.write(rows.exclusions, out / "exclusions.csv", provenance)
    if others:
        elsewhere = [
            one.exclusions.assign(source_id=f"{k} " + one.exclusions["source_id"]) for k, one in others.items()
        ]
        tables.EXCLUSIONS.write(together(elsewhere), out / "exclusions_external.csv", provenance)
    scores = pd.concat([one.scores for one in folds.values()], ignore_index=True)
    write_atomic(out / "scores.parquet", lambda target: scores.to_parquet(target, index=False))
    labels = rows.axillae[[*AXILLA_KEY, "sln", "nsln"]]
    tested = scores[(scores["split"] == str(Split.TEST)) & (scores["fold"] != BUNDLE_FOLD)]
    plain = {name: one.contract.to_dict() for name, one in folds.items()}
    described = rows.axillae[[*AXILLA_KEY, "centre_id"]]
    metrics = study_metrics(
        predictions=predictions,
        decisions=decisions,
        labels=labels,
        contract=plain.pop(BUNDLE_FOLD),
        fold_contracts=plain,
        baselines=_beside(config, tested),
        header={
            "experiment": config.name,
            "question": config.question,
            "simulated": config.table.simulated,
            "proxies": {str(stage): config.table.proxies.get(str(stage)) for stage in Stage},
            "endpoints": {
                str(stage): {"column": getattr(config.table, str(stage)), "positive": f"{stage.upper()} positive"}
                for stage in Stage
            },
        },
        cohort={
            "centres": sorted(rows.axillae["centre_id"].unique()),
            "image_sets": len(rows.design),
            **_left_out(rows),
            "features": len(rows.design.columns),
            "relative_diameter": None,
        },
        axillae=described,
    )
    if others:
        metrics["external"] = _external(config, others, folds[BUNDLE_FOLD])
    write_json(out / "metrics.json", metrics)
    settings = yaml.safe_dump(_identity(config), sort_keys=False, allow_unicode=True)
    write_text(out / "config.yaml", settings)
    inputs = StudyInputs(
        metrics=metrics,
        predictions=predictions,
        decisions=decisions,
        labels=labels,
        exclusions=exclusions,
        baselines=tested[tested["name"].isin(config.learners[1:])][[*AXILLA_KEY, "stage", "fold", "score", "name"]],
        gallery=(),
        provenance=provenance.as_dict(),
        config_yaml=settings,
        axillae=described,
    )
    return write_report(inputs, out)[0]


def _left_out(rows: FeatureRows) -> dict[str, Any]:
    """How many rows are not used, and why."""
    codes = rows.exclusions["code"].value_counts().sort_index()
    return {"excluded": len(rows.exclusions), "exclusions": {str(code): int(n) for code, n in codes.items()}}


def _beside(config: FeatureTableConfig, scores: pd.DataFrame) -> dict[str, BaselineScores]:
    columns = [*AXILLA_KEY, "stage", "fold", "score"]
    return {
        name: BaselineScores(baseline_named(name).learner or name, scores.loc[scores["name"] == name, columns])
        for name in config.learners[1:]
    }


def _external(config: FeatureTableConfig, others: Mapping[str, FeatureRows], fold: _Fold) -> dict[str, Any]:
    """Every further file judged by the fold that tests nobody."""
    limits = {Stage.SLN: fold.contract.t_sln, Stage.NSLN: fold.contract.t_nsln}
    found = {}
    for name, other in others.items():
        scores = fold.scores[fold.scores["source"] == name]
        found[name] = external_metrics(
            predictions=fold.external[name],
            labels=other.axillae[[*AXILLA_KEY, "sln", "nsln"]],
            thresholds=limits,
            baselines=_beside(config, scores),
            cohort={
                "simulated": config.table.simulated,
                "centres": sorted(other.axillae["centre_id"].unique()),
                **_left_out(other),
            },
        )
    return found
