"""Repeated measurements of the same lesions, whoever or whatever repeated them, and how well features agree over them.

A table of repeats has one row per image set and rater. A rater is a perturbed outline, a reader, or a view.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core import columns as c
from usdlr.core.agreement import Form, intraclass_correlation, repeatability
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import read_json
from usdlr.core.row_rules import OF_SOFTWARE
from usdlr.core.tables import FEATURES, Table, provenance_path

# Image sets of one lesion are views of it; those of another day would show that it grew.
LESION = ("centre_id", "patient_id", "side", "site", "lesion_id", "exam_day")


class Source(StrEnum):
    """What was repeated."""

    PERTURBATION = "perturbation"
    READER = "reader"
    VIEW = "view"


REPEATS = Table(
    "repeats",
    (c.FEATURES[0], c.Column("rater", c.STRING, "Perturbation, reader or view."), *c.FEATURES[1:]),
    ("image_id", "rater"),
)


def _correlation(name: str, meaning: str) -> tuple[c.Column, ...]:
    return (
        c.Column(name, c.FLOAT, f"{meaning}.", "1", True, high=1.0),
        c.Column(f"{name}_low", c.FLOAT, f"Lower end of the 95 % interval of {name}.", "1", True, high=1.0),
        c.Column(f"{name}_high", c.FLOAT, f"Upper end of the 95 % interval of {name}.", "1", True, high=1.0),
    )


STABILITY = Table(
    "stability",
    (
        c.Column("feature", c.STRING, "{modality}.{roi}.{image_type}.{class}.{feature}"),
        c.Column("source", c.STRING, "What was repeated.", choices=c.words(Source)),
        *_correlation("icc21", "ICC(2,1), absolute agreement of a single rater"),
        *_correlation("icc31", "ICC(3,1), consistency of a single rater"),
        c.Column("within_sd", c.FLOAT, "Within-case standard deviation, in the feature's unit.", "", True, low=0.0),
        c.Column(
            "within_cv",
            c.FLOAT,
            "Within-case coefficient of variation; null where the feature is not always positive.",
            "1",
            True,
            low=0.0,
        ),
        c.Column("n_cases", c.INTEGER, "Cases that every rater measured: those that count.", low=0),
        c.Column("n_left_out", c.INTEGER, "Cases that some rater did not measure.", low=0),
        c.Column("n_raters", c.INTEGER, "Measurements per case.", low=0),
        c.Column("reason", c.STRING, "Why there is no ICC(2,1) or no ICC(3,1).", nullable=True),
    ),
    ("source", "feature"),
)


def agreement_table(repeats: pd.DataFrame, source: Source) -> pd.DataFrame:
    """How well every feature agrees over repeated measurements.

    Cases are taken as independent: where a patient has several, intervals are somewhat too narrow.

    Parameters
    ----------
    repeats : DataFrame
        A table of repeats.
    source : Source
        What was repeated.

    Returns
    -------
    DataFrame
        The ``stability`` table: one row per feature, in the order of the columns of ``repeats``. A case counts for a
        feature when every rater measured it; the others are counted. A feature without an estimate has a reason.

    Raises
    ------
    DataError
        If a case has two measurements by one rater.
    """
    names = feature_names(repeats)
    if repeats.duplicated(["image_id", "rater"]).any():
        raise DataError("found a case measured twice by one rater in a table of repeats, expected once; remove one")
    case, cases = pd.factorize(repeats["image_id"])
    rater, raters = pd.factorize(repeats["rater"])
    values = np.full((len(cases), len(raters), len(names)), np.nan)
    values[case, rater] = repeats[names].to_numpy(np.float64)
    agreement = intraclass_correlation(values, Form.AGREEMENT)
    consistency = intraclass_correlation(values, Form.CONSISTENCY)
    scatter = repeatability(values)
    estimable = agreement.subjects >= 2
    return STABILITY.conform(
        pd.DataFrame(
            {
                "feature": names,
                "source": str(source),
                "icc21": agreement.value,
                "icc21_low": agreement.low,
                "icc21_high": agreement.high,
                "icc31": consistency.value,
                "icc31_low": consistency.low,
                "icc31_high": consistency.high,
                "within_sd": np.where(estimable, scatter.within_sd, np.nan),
                "within_cv": np.where(estimable, scatter.within_cv, np.nan),
                "n_cases": agreement.subjects,
                "n_left_out": agreement.left_out,
                "n_raters": agreement.raters,
                "reason": [a or b or None for a, b in zip(agreement.reason, consistency.reason, strict=True)],
            }
        )
    )


def feature_names(table: pd.DataFrame) -> list[str]:
    """The feature columns of a table, in its order."""
    return [str(name) for name in table.columns if re.match(c.FEATURE_PATTERN, str(name))]


def read_repeats(path: Path, radiomics: Mapping[str, Any], engine: str) -> pd.DataFrame:
    """A table of repeats that was made with the same features as an experiment's.

    Parameters
    ----------
    path : Path
        A ``repeats_*.parquet`` that ``usdlr features --stability`` wrote, its provenance beside it.
    radiomics : mapping
        The experiment's :meth:`usdlr.radiomics.settings.RadiomicsSettings.as_dict`.
    engine : str
        The experiment's engine.

    Raises
    ------
    ConfigError
        If it was made with other settings or by another engine.
    DataError
        If it is missing, changed, no table of repeats, or without its provenance.
    """
    beside = provenance_path(path)
    if not path.is_file() or not beside.is_file():
        absent = path if not path.is_file() else beside
        raise DataError(
            f"found no {absent}, expected a table of repeated measurements and its provenance; make both with "
            "usdlr features CASES --stability --out FOLDER"
        )
    origin = read_json(beside)
    if origin.get("table") != REPEATS.name:
        raise DataError(
            f"found a table of {origin.get('table')} in {path}, expected one of {REPEATS.name}: without the single "
            f"measurements nobody can leave out those of patients who are judged; name the {REPEATS.name}_*.parquet "
            "beside it"
        )
    made = origin.get("config", {})
    then = _named(made.get("radiomics") or {}) | {"engine": made.get("engine")}
    now = _named(json.loads(json.dumps(dict(radiomics)))) | {"engine": engine}
    changed = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    if changed:
        key = changed[0]
        raise ConfigError(
            f"found {path} made with {key} = {then.get(key)!r}, expected {now.get(key)!r} as in the experiment "
            f"({len(changed)} keys differ); measure the stability again with the experiment's features"
        )
    return REPEATS.read(path)


def _named(radiomics: Mapping[str, Any]) -> dict[str, Any]:
    return {f"radiomics.{key}": value for key, value in radiomics.items()}


def failures(repeats: pd.DataFrame) -> pd.DataFrame:
    """Measurements that failed: ``image_id``, ``rater``, ``code`` and ``reason``."""
    failed = repeats.loc[repeats["status"] == "failed", ["image_id", "rater", "code", "reason"]]
    return failed.reset_index(drop=True)


def reader_repeats(features: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table of repeats from the ``features`` tables of several readers.

    A reader who did not draw an image has a row without features there, so that the image is counted as left out.

    Parameters
    ----------
    features : mapping of str to DataFrame
        By reader. Only readers who drew the same images can be compared: take the readers of each centre apart.

    Raises
    ------
    DataError
        If there are fewer than two readers.
    """
    if len(features) < 2:
        raise DataError(f"found the features of {len(features)} readers, expected at least 2; measure each one's masks")
    cases = list(dict.fromkeys(str(name) for table in features.values() for name in table["image_id"]))
    parts = []
    for reader, table in features.items():
        rows = FEATURES.conform(table).set_index("image_id").reindex(cases).reset_index()
        absent = rows["status"].isna()
        rows.loc[absent, "status"] = "failed"
        rows.loc[absent, "reason"] = f"found no contour by {reader}, expected one; draw it or compare other readers"
        parts.append(rows.assign(rater=str(reader)))
    return REPEATS.conform(pd.concat(parts, ignore_index=True))


def agreement_of_readers(features: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How well every feature agrees between readers; see :func:`reader_repeats` and :func:`agreement_table`."""
    return agreement_table(reader_repeats(features), Source.READER)


def cases_by_reader(cases: pd.DataFrame, contours: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The ``cases`` table as each reader drew it.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    contours : DataFrame
        The ``contours`` table: every reader's masks of the same image sets.

    Returns
    -------
    dict of str to DataFrame
        By reader, in alphabetical order: the rows that the reader drew, with that reader's mask; ready to be measured.
    """
    found: dict[str, pd.DataFrame] = {}
    for reader, drawn in contours.groupby("reader_id", sort=True):
        masks = drawn.set_index(["image_id", "lesion_id"])
        keys = pd.MultiIndex.from_frame(cases[["image_id", "lesion_id"]])
        mine = cases.loc[keys.isin(masks.index)].reset_index(drop=True)
        chosen = masks.loc[pd.MultiIndex.from_frame(mine[["image_id", "lesion_id"]])]
        for name in ("mask_path", "mask_source"):
            mine[name] = chosen[name].to_numpy()
        # What is known of a contour by software holds for the table's own contour, not for another reader's.
        mine = mine.drop(columns=[name for name in OF_SOFTWARE if name in mine])
        mine["reader_id"] = str(reader)
        found[str(reader)] = mine
    return found


def view_repeats(features: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """One table of repeats from two views of the same lesion, taken on the same day.

    Parameters
    ----------
    features : DataFrame
        The ``features`` table.
    cases : DataFrame
        The ``cases`` table.

    Returns
    -------
    DataFrame
        A lesion goes by the ``image_id`` of its first view; raters are ``view-1`` and ``view-2``, in the order of the
        column ``view`` and then of the id. Of three and more the first two count. Lesions seen once are not there.
        Where no day is known, the image sets of a lesion are taken to be of one examination.
    """
    rows = cases.sort_values(["view", "image_id"], kind="stable", na_position="last")
    keys = [name for name in LESION if name in rows.columns]
    number = rows.groupby(keys, dropna=False, sort=False).cumcount()
    subject = rows.groupby(keys, dropna=False, sort=False)["image_id"].transform("first")
    pairs = pd.DataFrame({"image_id": rows["image_id"], "subject": subject, "number": number})
    twice = pairs.loc[pairs["number"] == 1, "subject"]
    pairs = pairs[pairs["subject"].isin(set(twice)) & (pairs["number"] < 2)]
    measured = FEATURES.conform(features).set_index("image_id")
    missing = [name for name in pairs["image_id"] if name not in measured.index]
    if missing:
        raise DataError(f"found {len(missing)} views without features, first {missing[0]}; extract features again")
    chosen = measured.loc[list(pairs["image_id"])].reset_index(drop=True)
    chosen.insert(0, "image_id", pairs["subject"].to_numpy())
    chosen.insert(1, "rater", [f"view-{number + 1}" for number in pairs["number"]])
    return REPEATS.conform(chosen)


def agreement_of_views(features: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Test-retest agreement of every feature; see :func:`view_repeats` and :func:`agreement_table`."""
    return agreement_table(view_repeats(features, cases), Source.VIEW)
