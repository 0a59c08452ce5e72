"""The oracle and the limit of a simulated cohort: how well anybody could do, to print beside the model.

The truth is read when every prediction exists, and nothing that predicts or decides reads it. The *oracle* ranks the
axillae by their true probabilities. The *limit* is a logistic regression of the scenario's own form on the latents as
they can be measured on each image with the true outline; each fold's is fitted on that fold's training patients and
scores its test patients, as every model of the run. A ridge keeps its weights sane where the training patients are few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LinearRegression, LogisticRegression

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import DataError
from usdlr.core.files import read_json, write_atomic
from usdlr.core.hashing import file_hash
from usdlr.core.leak import Rows, require_split
from usdlr.core.progress import say
from usdlr.core.types import Split, Stage
from usdlr.evaluation.ceiling import LIMIT, ORACLE, CeilingScores
from usdlr.experiment.cohort import stage_labels
from usdlr.experiment.data_settings import DataSettings
from usdlr.experiment.layout import Layout
from usdlr.ingest.adapter import adapter_named
from usdlr.ingest.splits import BUNDLE_FOLD
from usdlr.simulate.export import COHORT_FILE, MEASURED_PREFIX, TRUTH_FILE, TRUTH_IMAGES_FILE
from usdlr.simulate.latents import EVERY_LATENT, LATENTS, NODE_LATENTS
from usdlr.simulate.scenario import TIMES, Logit

LARGEST = "1"  # lesion_id of an axilla's largest lesion, the one that decides its nodes
PROBABILITY = {Stage.SLN: "p_sln", Stage.NSLN: "p_nsln"}
# Inverse strength of the ridge. Against next to none it lifts the area of the default scenario by 0.046 with 25
# training patients, by 0.008 with 100 and by 0.002 with 300, and lowers it in no scenario (measured by
# experiments/benchmarks/limit_penalty.py). A limit that overfits would be no limit.
RIDGE = 0.1

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of the axillae of a simulated cohort and of nobody's patients.

    Parameters
    ----------
    logits : mapping of Stage to Logit
        The true form of each stage's log-odds; the coefficients are not used.
    centre_matters : bool
        Whether the centre shifts the log-odds of a positive sentinel node.
    axillae : DataFrame, index (patient_id, side)
        ``centre_id p_sln p_nsln``.
    measured : DataFrame, index (patient_id, side)
        One column per latent: what is measured of the largest lesion, and of the lymph node where the scenario images
        nodes, the mean over its views, NaN where no view shows it.
    """

    logits: Mapping[Stage, Logit]
    centre_matters: bool
    axillae: pd.DataFrame
    measured: pd.DataFrame


def truth_files(root: Path) -> dict[str, Path]:
    """The files that hold the truth of a simulated cohort, by role; none where there is no ``truth.parquet``.

    Raises
    ------
    DataError
        If there is a truth but not all of it.
    """
    if not (root / TRUTH_FILE).is_file():
        return {}
    missing = [name for name in (COHORT_FILE, TRUTH_IMAGES_FILE) if not (root / name).is_file()]
    if missing:
        raise DataError(
            f"found {TRUTH_FILE} without {' and '.join(missing)} in {root}, expected all three; simulate again"
        )
    return {"cohort": root / COHORT_FILE, "truth": root / TRUTH_FILE, "truth_images": root / TRUTH_IMAGES_FILE}


def run_truth(data: DataSettings) -> dict[str, Path]:
    """:func:`truth_files` of the cohort a run reads; none where its patients are not simulated.

    Nothing in the two tables is looked at: that they are this cohort's, whole and unchanged, their hashes say, before
    hours are spent.

    Raises
    ------
    DataError
        If the cohort was written with another truth.
    """
    root = Path(str(data.root))
    files = truth_files(root) if adapter_named(data.centre).simulated else {}
    if files:
        cohort = read_json(files["cohort"])
        stated = cohort.get("truth") if isinstance(cohort, dict) else None
        for path in (files["truth"], files["truth_images"]):
            if not isinstance(stated, dict) or stated.get(path.name) != file_hash(path):
                raise DataError(
                    f"found a {path.name} in {root} that is not the one {COHORT_FILE} was written with, expected the "
                    "cohort as it was simulated; simulate again, or remove the truth to run without it"
                )
    return files


def run_ceilings(
    data: DataSettings, layout: Layout, labels: pd.DataFrame, splits: pd.DataFrame
) -> dict[str, CeilingScores]:
    """Oracle and limit of a run's test axillae, kept in its folder; nothing where the truth is not known."""
    if not run_truth(data):
        layout.ceilings.unlink(missing_ok=True)
        if adapter_named(data.centre).simulated:
            say(f"found no {TRUTH_FILE} in the simulated cohort: neither oracle nor limit")
        return {}
    scores = ceiling_scores(read_truth(Path(str(data.root)), labels), labels, splits)
    table = pd.concat([part.predictions.assign(name=name) for name, part in scores.items()], ignore_index=True)
    write_atomic(layout.ceilings, lambda target: table.to_parquet(target, index=False))
    return scores


def run_scenario(data: DataSettings) -> dict[str, str]:
    """``name`` and ``meaning`` of the scenario behind a simulated cohort; empty otherwise."""
    path = Path(str(data.root)) / COHORT_FILE
    if not adapter_named(data.centre).simulated or not path.is_file():
        return {}
    scenario = _scenario(path)
    return {name: str(scenario.get(name, "")) for name in ("name", "meaning")}


def read_truth(root: Path, labels: pd.DataFrame) -> Truth:
    """The truth of a cohort's axillae.

    Parameters
    ----------
    root : Path
        The folder of the simulated cohort.
    labels : DataFrame
        ``patient_id side``, one row per axilla of the run.

    Raises
    ------
    DataError
        If a file cannot be read, lacks a column, or does not cover every axilla once.
    """
    files = truth_files(root)
    if not files:
        raise DataError(f"found no {TRUTH_FILE} in {root}, expected the folder of a simulated cohort")
    scenario = _scenario(files["cohort"])
    logits = {stage: _logit(scenario, stage) for stage in Stage}
    wanted = pd.MultiIndex.from_frame(labels[AXILLA_KEY].astype("str"))
    # By name: whatever else stands in the files, true latents and true states among it, is not even read.
    axillae = _table(files["truth"], [*AXILLA_KEY, "centre_id", *PROBABILITY.values()]).set_index(AXILLA_KEY)
    _require_cover(axillae.index, wanted, TRUTH_FILE, once=True)
    axillae = axillae.loc[wanted]
    probabilities = axillae[list(PROBABILITY.values())].to_numpy(dtype=np.float64)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise DataError(f"found true probabilities outside 0 to 1 in {TRUTH_FILE}, expected none; simulate again")
    nodes = [MEASURED_PREFIX + name for name in NODE_LATENTS] if _images_nodes(scenario) else []
    columns = [MEASURED_PREFIX + name for name in LATENTS] + nodes
    images = _table(files["truth_images"], [*AXILLA_KEY, "lesion_id", *columns]).set_index(AXILLA_KEY)
    largest = (images["lesion_id"] == LARGEST).to_numpy()
    _require_cover(images.index[largest], wanted, f"{TRUTH_IMAGES_FILE} with lesion_id = {LARGEST}", once=False)
    images = images.loc[largest | images[nodes].notna().any(axis=1).to_numpy(), columns].astype("float64")
    measured = images.groupby(level=AXILLA_KEY, sort=False).mean().loc[wanted]
    return Truth(
        logits=logits,
        centre_matters=float(scenario.get("centre_effect", 0.0)) > 0,
        axillae=axillae,
        measured=measured.rename(columns=lambda name: str(name).removeprefix(MEASURED_PREFIX)),
    )


def ceiling_scores(truth: Truth, labels: pd.DataFrame, splits: pd.DataFrame) -> dict[str, CeilingScores]:
    """Scores of oracle and limit for every test axilla, in the run's own folds.

    Parameters
    ----------
    truth : Truth
        Of the same axillae.
    labels : DataFrame
        ``patient_id side sln nsln`` of every axilla of the run: 1 positive, 0 negative, NaN unknown.
    splits : DataFrame
        ``fold patient_id split``.

    Raises
    ------
    LeakError
        If a patient has two splits in one fold.
    DataError
        If a fold's training patients are all positive or all negative.
    """
    oracle, limit = [], []
    chance: dict[str, set[str]] = {ORACLE: set(), LIMIT: set()}
    keys = labels[AXILLA_KEY].reset_index(drop=True)
    centres = truth.axillae["centre_id"].to_numpy()
    for stage in Stage:
        logit = truth.logits[stage]
        status = stage_labels(labels, stage).to_numpy(np.float64)
        probability = truth.axillae[PROBABILITY[stage]].to_numpy(np.float64)
        # The centre shifts the log-odds of the sentinel node alone.
        design = LimitDesign(logit, centres if truth.centre_matters and stage is Stage.SLN else None)
        if not design.tells_anything:
            chance[LIMIT].add(str(stage))
        if np.ptp(probability) == 0:
            chance[ORACLE].add(str(stage))
        for fold, part in splits[splits["fold"] != BUNDLE_FOLD].groupby("fold", sort=False):
            split = part.set_index("patient_id")["split"].loc[list(keys["patient_id"])].to_numpy()
            test = np.flatnonzero(split == str(Split.TEST))
            rows = keys.iloc[test].assign(stage=str(stage), fold=str(fold))
            oracle.append(rows.assign(score=probability[test]))
            score = np.full(len(test), 0.5)
            if design.tells_anything:
                score = _limit(design, truth.measured, status, Rows.of(keys["patient_id"], split), str(stage))[test]
            limit.append(rows.assign(score=score))
    return {
        name: CeilingScores(pd.concat(parts, ignore_index=True), frozenset(chance[name]))
        for name, parts in ((ORACLE, oracle), (LIMIT, limit))
    }


@dataclass
class LimitDesign:
    """Columns of the limit's regression: the scenario's terms on measured latents, and what is missing.

    A latent that was not measured (stiffness and rim without a shear-wave map) is predicted by a linear regression on
    the standardised scores of the other measured latents, and an indicator column says that it was.

    Parameters
    ----------
    logit : Logit
        Its terms; its coefficients are not used.
    centres : array of str, optional
        Centre of every row; one indicator column for each but the first.

    Attributes
    ----------
    regressions_ : dict of str to LinearRegression
        Of each latent of a term that some row of ``fit`` lacks.
    means_ : Series
        Mean score of every latent in ``fit``.
    """

    logit: Logit
    centres: npt.NDArray[np.object_] | None = None
    regressions_: dict[str, LinearRegression] = field(init=False, default_factory=dict)
    means_: pd.Series = field(init=False, default_factory=lambda: pd.Series(dtype="float64"))

    @property
    def tells_anything(self) -> bool:
        """Whether there is any column."""
        return bool(self.logit.terms) or (self.centres is not None and len(set(self.centres)) > 1)

    def fit(self, measured: pd.DataFrame) -> LimitDesign:
        """Learn what replaces a missing value, from training rows alone."""
        scores = standardised(measured)
        self.means_, self.regressions_ = scores.mean().fillna(0.0), {}
        for name in self.logit.latents:
            known = scores[name].notna().to_numpy()
            if known.any():
                others = scores.drop(columns=name).fillna(self.means_)
                self.regressions_[name] = LinearRegression().fit(others[known], scores.loc[known, name])
        return self

    def columns(self, measured: pd.DataFrame) -> Values:
        """The design matrix, (rows, columns), without an intercept."""
        scores = standardised(measured)
        complete, absent = {}, {}
        for name in self.logit.latents:
            missing = scores[name].isna().to_numpy()
            complete[name] = scores[name].fillna(self.means_[name]).to_numpy(np.float64)
            if missing.any() and name in self.regressions_:
                others = scores.drop(columns=name).fillna(self.means_)
                complete[name] = np.where(missing, self.regressions_[name].predict(others), complete[name])
            absent[missing.tobytes()] = missing.astype(np.float64)  # latents of one map are missing together
        columns = [np.prod([complete[name] for name in term.split(TIMES)], axis=0) for term in self.logit.terms] + list(
            absent.values()
        )
        if self.centres is not None:
            columns += [(self.centres == name).astype(np.float64) for name in sorted(set(self.centres))[1:]]
        return np.column_stack(columns)


def standardised(measured: pd.DataFrame) -> pd.DataFrame:
    """Scores of measured latents on the scale of a scenario's coefficients; NaN stays NaN."""
    scores = {}
    for name, latent in ((str(column), EVERY_LATENT[str(column)]) for column in measured):
        values = measured[name].to_numpy(np.float64)
        # A logarithm needs a positive value, and no tumour has less than the lowest.
        scores[name] = latent.standardised(np.maximum(values, latent.low) if latent.log else values)
    return pd.DataFrame(scores, index=measured.index)


def ceiling_lines(metrics: Mapping[str, Any]) -> list[str]:
    """One line per stage for the terminal; none where the truth is unknown.

    Examples
    --------
    >>> stage = {"auc": {"value": 0.8, "low": 0.76, "high": 0.84}, "share_of_limit": {"value": 0.86}}
    >>> best = {"stages": {"sln": {"auc": {"value": 0.85}}}}
    >>> ceiling_lines({"stages": {"sln": stage}, "oracle": best, "limit": best})
    ['SLN: AUC 0.80 (0.76-0.84) of a limit of 0.85 (share 0.86) and an oracle of 0.85; simulated']
    """
    if ORACLE not in metrics or LIMIT not in metrics:
        return []
    lines = []
    for stage in [stage for stage in Stage if stage in metrics["stages"]]:
        ours, auc = metrics["stages"][stage], metrics["stages"][stage]["auc"]
        limit, oracle = (_number(metrics[name]["stages"][stage]["auc"].get("value")) for name in (LIMIT, ORACLE))
        ends = "" if auc.get("low") is None else f" ({_number(auc['low'])}-{_number(auc['high'])})"
        lines.append(
            f"{stage.upper()}: AUC {_number(auc.get('value'))}{ends} of a limit of {limit} (share "
            f"{_number(ours['share_of_limit'].get('value'))}) and an oracle of {oracle}; simulated"
        )
    return lines


def _limit(design: LimitDesign, measured: pd.DataFrame, status: Values, patients: Rows, stage: str) -> Values:
    """Probability of every axilla under the limit of one fold."""
    split = np.array(patients.split)
    train = np.flatnonzero(np.isfinite(status) & (split == str(Split.TRAIN)))
    require_split(Rows.of(np.array(patients.patient_id)[train], split[train]), [Split.TRAIN], "limit")
    require_whole(patients)
    if set(status[train]) != {0.0, 1.0}:
        raise DataError(
            f"found {len(train)} training axillae of one class at stage {stage}, expected both for the limit of the "
            "simulation; use fewer folds or more patients"
        )
    columns = design.fit(measured.iloc[train]).columns(measured)
    centre, scale = columns[train].mean(axis=0), columns[train].std(axis=0)
    varied = scale > 0
    columns = (columns - centre)[:, varied] / scale[varied]
    if not varied.any():
        return np.full(len(columns), float(status[train].mean()))
    model = LogisticRegression(C=RIDGE, max_iter=1000).fit(columns[train], status[train].astype(np.int64))
    return np.asarray(model.predict_proba(columns)[:, 1], dtype=np.float64)


def require_whole(patients: Rows) -> None:
    """Refuse a patient with two splits in one fold."""
    require_split(patients, list(Split), "limit")


def _scenario(path: Path) -> Mapping[str, Any]:
    content = read_json(path)
    scenario = content.get("scenario") if isinstance(content, dict) else None
    if not isinstance(scenario, dict):
        raise DataError(
            f"found no scenario in {COHORT_FILE}, expected the one the cohort was drawn from; simulate again"
        )
    return scenario


def _images_nodes(scenario: Mapping[str, Any]) -> bool:
    """Whether a cohort has images of lymph nodes; one from before there were any says nothing of them."""
    nodes = scenario.get("nodes")
    return isinstance(nodes, dict) and float(nodes.get("imaged_rate", 0.0)) > 0


def _logit(scenario: Mapping[str, Any], stage: Stage) -> Logit:
    part = scenario.get(str(stage))
    if not isinstance(part, dict) or not {"intercept", "terms"} <= set(part):
        raise DataError(
            f"found no terms of stage {stage} in the scenario of {COHORT_FILE}, expected some; simulate again"
        )
    return Logit(part["intercept"], part["terms"])


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path, columns=list(columns))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"found {path.name} unreadable or without one of its columns ({', '.join(columns)}), expected them all; "
            "simulate again"
        ) from error
    words = [name for name in ("patient_id", "side", "centre_id", "lesion_id") if name in table]
    return table.astype(dict.fromkeys(words, "str"))


def _require_cover(found: pd.Index, wanted: pd.MultiIndex, what: str, *, once: bool) -> None:
    absent = int((~wanted.isin(found)).sum())
    twice = int(found[found.isin(wanted)].duplicated().sum()) if once else 0
    if absent or twice:
        raise DataError(
            f"found {absent} of {len(wanted)} axillae of the run absent from {what} and {twice} rows too many, "
            "expected the truth of this very cohort; point data.root to the folder that was simulated"
        )


def _number(value: float | None) -> str:
    return "not estimable" if value is None else f"{value:.2f}"
