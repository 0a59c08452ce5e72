"""Who is tested in which fold: by chance, by centre, by date, or as a published table of folds says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.core.errors import DataError, LeakError
from usdlr.core.hashing import SHORT, file_hash

BUNDLE_FOLD = "bundle"
LATER_FOLD = "later"

ID_COLUMNS = ("patient_id", "image_id", "source_id", "id")
FOLD_COLUMNS = ("fold", "kfold")
# A fold's name is the name of a folder.
FOLD_NAME = re.compile(r"\w[\w .-]*")


class SplitBy(StrEnum):
    """What decides the fold that tests a patient."""

    PATIENTS = "patients"
    CENTRE = "centre"
    DATE = "date"
    TABLE = "table"


def deal_folds(order: Sequence[str], folds: int) -> dict[str, str]:
    """The fold of every patient when they are dealt out in turn: ``0``, ``1``, ... ``folds - 1``."""
    return {patient: str(position % folds) for position, patient in enumerate(order)}


def folds_by_centre(patients: pd.DataFrame) -> dict[str, str]:
    """The fold of every patient when each centre is tested once, by models that have never seen it.

    Parameters
    ----------
    patients : DataFrame
        ``centre_id`` by patient.

    Raises
    ------
    DataError
        If there are fewer than two centres, or a centre's name cannot name a fold.
    """
    centres = patients["centre_id"].astype(str)
    if centres.nunique() < 2:
        raise DataError(
            f"found {centres.nunique()} centre, expected at least 2 to leave one out; split by patients, or add the "
            "cases of another centre"
        )
    require_fold_names(centres.unique(), "centre_id")
    return dict(zip(map(str, patients.index), centres, strict=True))


def folds_by_date(patients: pd.DataFrame, test_share: float) -> dict[str, str]:
    """The patients of the one test fold, ``later``: those whose first examination came last.

    Days are counted from another day at every centre, so the cut is made within each centre. Patients first examined
    on one day stay together, which moves the share to the nearest possible one.

    Parameters
    ----------
    patients : DataFrame
        ``centre_id`` and ``exam_day`` (day of the first examination) by patient.
    test_share : float
        Share of each centre's patients to test.

    Returns
    -------
    dict
        Only patients who are tested; everybody else came earlier.

    Raises
    ------
    DataError
        If a day is unknown, or a centre saw all its patients on one day.
    """
    if "exam_day" not in patients or patients["exam_day"].isna().any():
        unknown = len(patients) if "exam_day" not in patients else int(patients["exam_day"].isna().sum())
        raise DataError(
            f"found {unknown} of {len(patients)} patients with an image set without exam_day, expected the day of "
            "every examination; add the column or split by patients"
        )
    tested: list[str] = []
    for _, centre in patients.groupby("centre_id", sort=True):
        days, counts = np.unique(centre["exam_day"].to_numpy(np.float64), return_counts=True)
        if len(days) < 2:
            raise DataError(
                f"found a centre that saw all its {len(centre)} patients on one exam_day, expected earlier and later "
                "ones; leave the centre out or split by patients"
            )
        later = counts[::-1].cumsum()[-2::-1]  # patients on or after each day but the first
        cut = days[1:][int(np.argmin(np.abs(later - test_share * len(centre))))]
        tested += [str(patient) for patient in centre.index[centre["exam_day"] >= cut]]
    return dict.fromkeys(tested, LATER_FOLD)


def from_table(path: Path, cases: pd.DataFrame) -> dict[str, str]:
    """The fold of every patient as a CSV file states it, e.g. the folds that a data set was published with.

    Parameters
    ----------
    path : Path
        A file with a column ``fold`` (or ``kFold``) and a column ``patient_id``, ``image_id``, ``source_id`` or
        ``ID``. Its ids are patients, image sets, or the source's own ids of image sets, whichever the cohort knows.
        Rows about others are ignored.
    cases : DataFrame
        ``patient_id, image_id`` of the cohort.

    Returns
    -------
    dict
        Fold by patient, in the order of the cohort.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column or somebody of the cohort, or has fewer than two folds.
    LeakError
        If it puts one patient in two folds.
    """
    fold_of = _read_fold_table(path)
    image_ids = cases["image_id"].astype(str)
    # An image_id is the source's own id, a hyphen and the start of the content hash.
    known_as = {
        "patient_id": cases["patient_id"].astype(str),
        "image_id": image_ids,
        "source_id": image_ids.str.slice(stop=-SHORT - 1),
    }
    stated = max((ids.map(fold_of) for ids in known_as.values()), key=lambda folds: int(folds.notna().sum()))
    if stated.isna().any():
        raise DataError(
            f"found {int(stated.isna().sum())} of {len(cases)} image sets without a fold in {path.name}, expected one "
            "for each; complete the table or leave the image sets out"
        )
    folds = pd.DataFrame({"patient_id": cases["patient_id"].astype(str).to_numpy(), "fold": stated.to_numpy()})
    torn = int((folds.groupby("patient_id")["fold"].nunique() > 1).sum())
    if torn:
        raise LeakError(
            f"found {torn} patients in two folds of {path.name}, expected each in one; a patient's images travel "
            "together: correct the table"
        )
    require_fold_names(folds["fold"].unique(), path.name)
    if folds["fold"].nunique() < 2:
        raise DataError(
            f"found {folds['fold'].nunique()} fold in {path.name} for this cohort, expected at least 2; "
            "use another table or split by patients"
        )
    return dict(zip(folds["patient_id"], folds["fold"], strict=True))


def fold_table_hash(path: Path) -> str:
    """SHA-256 of a table of folds that can be read.

    Raises
    ------
    DataError
        If it cannot.
    LeakError
        If it puts one id in two folds.
    """
    _read_fold_table(path)
    return file_hash(path)


def require_fold_names(names: Iterable[str], where: str) -> None:
    """Refuse names that cannot be folders beside each other and beside the bundle's.

    Raises
    ------
    DataError
        Naming the first such name.
    """
    seen: dict[str, str] = {BUNDLE_FOLD: BUNDLE_FOLD}
    for name in names:
        twin = seen.setdefault(name.casefold(), name)
        if not FOLD_NAME.fullmatch(name) or twin != name or name == BUNDLE_FOLD:
            raise DataError(
                f"found {name!r} in {where} as the name of a fold, expected letters, digits, spaces and . _ - only, "
                f"a letter or digit first, not {BUNDLE_FOLD!r}, and no other name that differs only in case; rename it"
            )


def natural_order(names: Iterable[str]) -> list[str]:
    """Names sorted, numbers by their value.

    Examples
    --------
    >>> natural_order(["10", "north", "9"])
    ['9', '10', 'north']
    """

    def key(name: str) -> tuple[bool, int, str]:
        return (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)

    return sorted(set(names), key=key)


def _read_fold_table(path: Path) -> Mapping[str, str]:
    if not path.is_file():
        raise DataError(f"found no file {path.name}, expected a table of folds; check splits.table")
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False)
    except (OSError, ValueError) as error:  # UnicodeDecodeError and pandas' parser errors are ValueErrors
        raise DataError(f"found {path.name} is not a readable CSV table ({error}); export it again") from error
    ids, folds = (_column(table, names, path.name) for names in (ID_COLUMNS, FOLD_COLUMNS))
    if folds.eq("").any() or ids.eq("").any():
        row = int((folds.eq("") | ids.eq("")).to_numpy().argmax()) + 1
        raise DataError(f"found row {row} of {path.name} without an id or a fold, expected both; complete the row")
    if (pd.DataFrame({"id": ids, "fold": folds}).groupby("id")["fold"].nunique() > 1).any():
        raise LeakError(f"found one id in two folds of {path.name}, expected each in one; correct the table")
    return dict(zip(ids, folds, strict=True))


def _column(table: pd.DataFrame, names: Sequence[str], file: str) -> pd.Series:
    found = [name for wanted in names for name in table.columns if str(name).strip().lower() == wanted]
    if not found:
        raise DataError(f"found no column {' or '.join(names)} in {file}, expected one; name the column so")
    return table[found[0]].str.strip()
