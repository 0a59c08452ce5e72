"""Splits by patient: stratified, disjoint, and checked again whenever they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.hashing import derive_seed
from usdlr.core.types import Split, Stage

BUNDLE_FOLD = "bundle"

# What each split is needed for decides which classes it must hold. A threshold needs positives only.
NEEDS_BOTH_CLASSES = (Split.TRAIN, Split.TUNING, Split.TEST)


@dataclass(frozen=True)
class SplitSettings:
    """How patients are divided.

    Parameters
    ----------
    folds : int
        Number of test folds; every patient is tested once.
    tuning : float
        Share of a fold's remaining patients for early stopping and calibrators.
    calibration : float
        Share of a fold's remaining patients for the thresholds.
    """

    folds: int = 5
    tuning: float = 0.2
    calibration: float = 0.2

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"found splits.folds = {self.folds}, expected at least 2")
        for name, share in (("tuning", self.tuning), ("calibration", self.calibration)):
            if not 0 < share < 1:
                raise ConfigError(f"found splits.{name} = {share}, expected a share between 0 and 1")
        if self.tuning + self.calibration >= 0.9:
            raise ConfigError(
                f"found splits.tuning + splits.calibration = {self.tuning + self.calibration:g}, expected below 0.9; "
                "leave patients to train on"
            )


def make_splits(axillae: pd.DataFrame, settings: SplitSettings, seed: int) -> pd.DataFrame:
    """Divide patients into folds, and for each fold into train, tuning, calibration and test.

    A further fold named ``bundle`` has no test part: it is for the model that ships.

    Parameters
    ----------
    axillae : DataFrame
        ``patient_id, side, centre_id, sln, nsln``; labels are 0, 1 or not-a-number (unknown).
    settings : SplitSettings
        Numbers and shares.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    DataFrame
        ``fold, patient_id, split``; every patient once per fold.

    Raises
    ------
    DataError
        If a part of a fold lacks a class that it needs.
    """
    patients = _patients(axillae)
    if len(patients) < 2 * settings.folds:
        raise DataError(
            f"found {len(patients)} patients, expected at least {2 * settings.folds} for {settings.folds} folds; "
            "use fewer folds or more patients"
        )
    order = _stratified_order(patients, derive_seed(seed, "folds"))
    test_fold = {patient: str(position % settings.folds) for position, patient in enumerate(order)}
    shares = {
        Split.TRAIN: 1 - settings.tuning - settings.calibration,
        Split.TUNING: settings.tuning,
        Split.CALIBRATION: settings.calibration,
    }
    parts: list[dict[str, str]] = []
    for fold in [*map(str, range(settings.folds)), BUNDLE_FOLD]:
        rest = patients[[test_fold[patient] != fold for patient in patients.index]]
        assigned = _deal(_stratified_order(rest, derive_seed(seed, "inner", fold)), shares)
        for patient in patients.index:
            parts.append({"fold": fold, "patient_id": patient, "split": assigned.get(patient, str(Split.TEST))})
    splits = pd.DataFrame(parts)
    check_splits(splits, patients.index)
    require_classes(splits, axillae)
    return tables.SPLITS.conform(splits)


def check_splits(splits: pd.DataFrame, patients: Sequence[str] | pd.Index[str]) -> None:
    """Refuse splits that leak or lose a patient.

    Raises
    ------
    LeakError
        If a patient has two splits in one fold.
    DataError
        If a patient is missing or unknown.
    """
    for fold, part in splits.groupby("fold", sort=False):
        repeated = part["patient_id"].duplicated(keep=False)
        if repeated.any():
            twice = part[repeated]
            names = " and ".join(sorted(set(twice["split"][twice["patient_id"] == twice["patient_id"].iloc[0]])))
            raise LeakError(
                f"found {twice['patient_id'].nunique()} patients twice in fold {fold} (one of them in {names}), "
                "expected each patient in exactly one split of a fold; delete splits.csv and run again"
            )
        missing, unknown = set(patients) - set(part["patient_id"]), set(part["patient_id"]) - set(patients)
        if missing or unknown:
            raise DataError(
                f"found fold {fold} without {len(missing)} of the cohort's patients and with {len(unknown)} unknown "
                "ones, expected exactly the cohort; delete splits.csv and run again"
            )


def require_classes(splits: pd.DataFrame, axillae: pd.DataFrame) -> None:
    """Refuse splits in which a part has no case of a class that it needs.

    Raises
    ------
    DataError
        Naming fold, split, stage and class.
    """
    joined = splits.merge(axillae[["patient_id", "sln", "nsln"]], on="patient_id")
    # Stage 2 is trained and judged on SLN-positive axillae with known NSLN status.
    joined["nsln"] = joined["nsln"].where(joined["sln"] == 1)
    parts = [
        (fold, str(split))
        for fold in splits["fold"].unique()
        for split in (Split.TRAIN, Split.TUNING, Split.CALIBRATION, Split.TEST)
        if (fold, split) != (BUNDLE_FOLD, Split.TEST)
    ]
    for fold, split in parts:
        part = joined[(joined["fold"] == fold) & (joined["split"] == split)]
        for stage in Stage:
            for label, word in ((1, "positive"), (0, "negative")):
                if label == 0 and split not in NEEDS_BOTH_CLASSES:
                    continue
                if not (part[str(stage)] == label).any():
                    raise DataError(
                        f"found no {word} case of stage {stage} in the {split} part of fold {fold}, expected at least "
                        "one; use fewer folds, other shares or more patients"
                    )


def _patients(axillae: pd.DataFrame) -> pd.DataFrame:
    """One row per patient: the highest label of both sides (unknown counts lowest) and the centre."""
    filled = axillae.assign(sln=axillae["sln"].fillna(-1), nsln=axillae["nsln"].fillna(-1))
    patients = filled.groupby("patient_id", sort=True).agg(
        sln=("sln", "max"), nsln=("nsln", "max"), centre_id=("centre_id", "first"), centres=("centre_id", "nunique")
    )
    if (patients["centres"] > 1).any():
        raise DataError(
            "found one patient_id at two centres, expected ids that are unique over all centres; "
            "put the centre's name in front of them"
        )
    return patients.drop(columns="centres")


def _stratified_order(patients: pd.DataFrame, seed: int) -> list[str]:
    """Patients sorted by stratum and shuffled within: dealing them out in turn stratifies any division."""
    shuffled = patients.sample(frac=1.0, random_state=seed)
    return list(shuffled.sort_values(["sln", "nsln", "centre_id"], kind="stable").index)


def _deal(order: Sequence[str], shares: Mapping[Split, float]) -> dict[str, str]:
    """Give each patient in turn to the part that lags furthest behind its share."""
    names = list(shares)
    target = np.array([shares[name] for name in names])
    counts = np.zeros(len(names))
    dealt: dict[str, str] = {}
    for position, patient in enumerate(order, start=1):
        part = int(np.argmax(target * position - counts))
        counts[part] += 1
        dealt[patient] = str(names[part])
    return dealt
