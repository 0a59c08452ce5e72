"""Which images may be learned from.

The leak rule: a patient who will judge a network must not have taught its image branch. With a table of splits, of
every ``cases`` table that shares a patient with it only patients of the split ``train`` of one fold are used: tuning,
calibration and test patients, and patients whom the splits do not name, are held out. A table that shares no patient
with it is another source and is used whole. Patients that a list excludes are held out everywhere. A picture with the
same bytes as a held-out one is held out too, whatever patient its row names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.hashing import data_hash, file_hash
from usdlr.core.types import Split
from usdlr.tasks.pretrain.images import COLUMNS

RULE = (
    "A network that starts from these weights may be judged only on patients who were held out here: with splits, on "
    "the tuning, calibration and test patients of the same fold of the same splits."
)


@dataclass(frozen=True)
class Chosen:
    """The images that may be learned from.

    Parameters
    ----------
    rows : tuple of mapping
        :data:`~usdlr.tasks.pretrain.images.COLUMNS` of each, ``root`` and ``split``.
    counts : mapping of str to int
        How many images and patients were used, held out and repeated. No names.
    content : str
        Hash of everything that is learned from, in its order.
    """

    rows: tuple[Mapping[str, Any], ...]
    counts: Mapping[str, int]
    content: str


def read_cases(path: Path) -> pd.DataFrame:
    """What pre-training may know of a ``cases`` table: :data:`~usdlr.tasks.pretrain.images.COLUMNS` and ``root``.

    Endpoints are checked with the rest of the table and left behind here.
    """
    return tables.CASES.read(path)[list(COLUMNS)].assign(root=str(path.parent))


def read_fold(path: Path, fold: str) -> dict[str, str]:
    """Split of every patient in one fold.

    Raises
    ------
    ConfigError
        If there is no such fold.
    """
    splits = tables.SPLITS.read(path)
    part = splits[splits["fold"] == fold]
    if part.empty:
        raise ConfigError(f"found --fold {fold!r}, expected one of {', '.join(splits['fold'].unique())}")
    return dict(zip(part["patient_id"], part["split"], strict=True))


def read_patients(path: Path) -> frozenset[str]:
    """Patients from a text file with one id per line, or from a table (.csv, .parquet) with a column ``patient_id``.

    Raises
    ------
    DataError
        If the file cannot be read or names nobody.
    """
    try:
        if path.suffix == ".parquet":
            names = pd.read_parquet(path, columns=["patient_id"])["patient_id"].astype(str).tolist()
        elif path.suffix == ".csv":
            names = pd.read_csv(path, dtype="str", keep_default_na=False)["patient_id"].tolist()
        else:
            names = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"found no file {path}, expected the patients to hold out there; check the path") from error
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"found {path} cannot be read as a list of patients ({type(error).__name__}), expected one id per line, or "
            "a table with a column patient_id"
        ) from error
    found = frozenset(name.strip() for name in names if name.strip())
    if not found:
        raise DataError(f"found no patient in {path}, expected one id per line; leave it out to hold out nobody")
    return found


def choose(
    cases: Sequence[pd.DataFrame],
    *,
    excluded: Collection[str] = frozenset(),
    splits: Mapping[str, str] | None = None,
) -> Chosen:
    """The images that may be learned from, by the rule of this module.

    Parameters
    ----------
    cases : sequence of DataFrame
        From :func:`read_cases`.
    excluded : collection of str
        Patients to hold out.
    splits : mapping of str to str, optional
        Split of every patient in the fold at hand, from :func:`read_fold`.

    Raises
    ------
    DataError
        If the patients to hold out, or those of the splits, are in none of the tables: their ids were then made with
        another key, and nobody would be held out. If nobody is left.
    """
    present = {str(patient) for table in cases for patient in table["patient_id"]}
    for names, what in ((excluded, "patients to hold out"), (splits or {}, "patients of the splits")):
        if names and present.isdisjoint(names):
            raise DataError(
                f"found none of the {len(names)} {what} among the {len(present)} of the cases, expected the same ids; "
                "ingest both with the same key, or give the splits of these cases"
            )
    everybody: list[dict[str, Any]] = []
    for table in cases:
        governed = splits is not None and not set(table["patient_id"]).isdisjoint(splits)
        for record in table.to_dict("records"):
            row = {str(key): value for key, value in record.items()}
            split = str(Split.TRAIN) if not governed else (splits or {}).get(str(row["patient_id"]), "unnamed")
            everybody.append({**row, "split": "excluded" if row["patient_id"] in excluded else split})
    # Splits name patients over all tables: a patient held out in one is held out in each.
    held = {row["patient_id"] for row in everybody if row["split"] != Split.TRAIN}
    digest = [_file_digest(row, "bmode_path") for row in everybody]
    forbidden = {name for name, row in zip(digest, everybody, strict=True) if row["patient_id"] in held}
    rows: list[dict[str, Any]] = []
    pictures: dict[str | None, None] = {}
    counts = {"twins_of_held_out_images": 0, "repeated_images": 0}
    for name, row in zip(digest, everybody, strict=True):
        if row["patient_id"] in held:
            continue
        if name is not None and name in forbidden:
            counts["twins_of_held_out_images"] += 1
        elif name is not None and name in pictures:
            counts["repeated_images"] += 1
        else:  # a file that is not there is reported when it is read
            pictures[name] = None
            rows.append(row)
    if not rows:
        raise DataError("found nobody left to learn from after holding patients out, expected some; use more cases")
    held_out = [row for row in everybody if row["patient_id"] in held]
    counts |= {
        "images": len(rows),
        "patients": len({row["patient_id"] for row in rows}),
        "held_out_images": len(held_out),
        "held_out_patients": len(held),
    }
    content = [
        [
            *(_file_digest(row, name) for name in ("bmode_path", "mask_path", "fov_path")),
            *(str(row[name]) for name in ("image_id", "patient_id", "row_mm", "col_mm")),
        ]
        for row in rows
    ]
    return Chosen(tuple(rows), counts, data_hash(content))


def _file_digest(row: Mapping[str, Any], column: str) -> str | None:
    if pd.isna(row[column]):
        return None
    path = Path(str(row["root"])) / str(row[column])
    return file_hash(path) if path.is_file() else None
