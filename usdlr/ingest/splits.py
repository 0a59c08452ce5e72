"""Splits by patient: stratified, disjoint, and checked again whenever they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.hashing import derive_seed
from usdlr.core.types import Split, Stage
from usdlr.ingest.split_schemes import (
    BUNDLE_FOLD,
    SplitBy,
    deal_folds,
    folds_by_centre,
    folds_by_date,
    natural_order,
)

__all__ = ["BUNDLE_FOLD", "SplitSettings", "check_splits", "make_splits", "read_splits", "require_classes"]

# What each split is needed for decides which classes it must hold. A threshold needs positives only.
NEEDS_BOTH_CLASSES = (Split.TRAIN, Split.TUNING, Split.TEST)


@dataclass(frozen=True)
class SplitSettings:
    """How patients are divided.

    Parameters
    ----------
    folds : int
        Number of test folds of ``by: patients``; every patient is tested once.
    tuning : float
        Share of a fold's remaining patients for early stopping and calibrators.
    calibration : float
        Share of a fold's remaining patients for the thresholds.
    by : str
        What decides the fold that tests a patient: ``patients`` (chance, stratified over centre and endpoint),
        ``centre`` (each centre is tested once, by models that have never seen it), ``date`` (one fold tests the
        patients who were examined last) or ``table`` (a CSV file says so).
    test_share : float
        Share of each centre's patients that ``by: date`` tests.
    table : str or None
        The CSV file of ``by: table``, e.g. the folds that a data set was published with.
    """

    folds: int = 5
    tuning: float = 0.2
    calibration: float = 0.2
    by: str = "patients"
    test_share: float = 0.2
    table: str | None = None

    def __post_init__(self) -> None:
        if self.by not in set(SplitBy):
            raise ConfigError(
                f"found splits.by = {self.by!r}, expected {', '.join(map(str, SplitBy))}; choose one of them"
            )
        if (self.by == SplitBy.TABLE) != (self.table is not None):
            raise ConfigError(
                f"found splits.by = {self.by!r} and splits.table = {self.table!r}, expected a table with by = 'table' "
                "and none otherwise; correct one of the two"
            )
        if self.folds < 2:
            raise ConfigError(f"found splits.folds = {self.folds}, expected at least 2")
        for name in ("tuning", "calibration", "test_share"):
            share = getattr(self, name)
            if not 0 < share < 1:
                raise ConfigError(f"found splits.{name} = {share}, expected a share between 0 and 1")
        if self.tuning + self.calibration >= 0.9:
            raise ConfigError(
                f"found splits.tuning + splits.calibration = {self.tuning + self.calibration:g}, expected below 0.9; "
                "leave patients to train on"
            )


def make_splits(
    axillae: pd.DataFrame, settings: SplitSettings, seed: int, *, fixed: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Divide patients into folds, and for each fold into train, tuning, calibration and test.

    A further fold named ``bundle`` has no test part: it is for the model that ships.

    Parameters
    ----------
    axillae : DataFrame
        ``patient_id, side, centre_id, sln, nsln``; labels are 0, 1 or not-a-number (unknown). For ``by: date`` also
        ``exam_day``, the day of the axilla's first examination.
    settings : SplitSettings
        Numbers, shares and what decides the test folds.
    seed : int
        Seed of the shuffle.
    fixed : mapping of str to str, optional
        Test fold by patient for ``by: table``, from :func:`usdlr.ingest.split_schemes.from_table`.

    Returns
    -------
    DataFrame
        ``fold, patient_id, split``; every patient once per fold. Test folds are named ``0``, ``1``, ... by chance,
        after the centre, ``later``, or as the table names them.

    Raises
    ------
    DataError
        If a part of a fold lacks a class that it needs, or the cohort cannot be divided so.
    """
    patients = _patients(axillae)
    test_fold = _test_folds(patients, settings, seed, fixed)
    shares = {
        Split.TRAIN: 1 - settings.tuning - settings.calibration,
        Split.TUNING: settings.tuning,
        Split.CALIBRATION: settings.calibration,
    }
    parts: list[dict[str, str]] = []
    for fold in [*natural_order(test_fold.values()), BUNDLE_FOLD]:
        rest = patients[[test_fold.get(patient) != fold for patient in patients.index]]
        assigned = _deal(_stratified_order(rest, derive_seed(seed, "inner", fold)), shares)
        for patient in patients.index:
            parts.append({"fold": fold, "patient_id": patient, "split": assigned.get(patient, str(Split.TEST))})
    splits = pd.DataFrame(parts)
    check_splits(splits, patients.index)
    require_classes(splits, axillae)
    return tables.SPLITS.conform(splits)


def read_splits(path: Path, patients: Sequence[str] | pd.Index[str]) -> pd.DataFrame:
    """Read splits that were written with their checksum, and check them against a cohort.

    Raises
    ------
    LeakError
        If a patient has two splits in one fold.
    DataError
        If the file or its provenance is missing, it was changed, or it does not hold exactly these patients.
    TableError
        If it breaks the schema.
    """
    again = "run the same command again"
    if not path.is_file():
        raise DataError(f"found no {path}, expected the run's splits; {again}")
    try:
        raw = pd.read_csv(path, dtype="str", keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"found {path.name} is not a readable table ({error}); delete it and {again}") from error
    if {"fold", "patient_id", "split"} <= set(raw.columns):
        check_splits(raw, patients)  # a leak is named as such, whatever the checksum says
    if not tables.provenance_path(path).is_file():
        raise DataError(
            f"found {path.name} without {tables.provenance_path(path).name}, expected its checksum beside it; "
            f"delete it and {again}"
        )
    return tables.SPLITS.read(path)


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
                        "one; use fewer folds, other ones, other shares or more patients"
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
    if "exam_day" in filled:
        # One examination without a day might have been the first.
        days = filled["exam_day"].astype("float64")
        unknown = days.isna().groupby(filled["patient_id"]).any()
        patients["exam_day"] = days.groupby(filled["patient_id"]).min().where(~unknown)
    return patients.drop(columns="centres")


def _test_folds(
    patients: pd.DataFrame, settings: SplitSettings, seed: int, fixed: Mapping[str, str] | None
) -> Mapping[str, str]:
    """The fold that tests a patient; who has none is never tested."""
    if settings.by == SplitBy.CENTRE:
        return folds_by_centre(patients)
    if settings.by == SplitBy.DATE:
        return folds_by_date(patients, settings.test_share)
    if settings.by == SplitBy.TABLE:
        if fixed is None or not set(patients.index) <= set(fixed):
            raise DataError("found patients without a fold, expected one for each; read splits.table for this cohort")
        return {patient: fixed[patient] for patient in patients.index}
    if len(patients) < 2 * settings.folds:
        raise DataError(
            f"found {len(patients)} patients, expected at least {2 * settings.folds} for {settings.folds} folds; "
            "use fewer folds or more patients"
        )
    return deal_folds(_stratified_order(patients, derive_seed(seed, "folds")), settings.folds)


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
