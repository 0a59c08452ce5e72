"""Scores and outcomes from a plain CSV, as published studies share them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.named_parts import nearest
from usdlr.core.types import Stage
from usdlr.ingest.manifest_csv import CsvTable, read_csv_table

PROBABILITY, LOG_ODDS, SCORE = "probability", "log_odds", "score"
SCALES = (PROBABILITY, LOG_ODDS, SCORE)
POSITIVE = frozenset({"1", "1.0", "yes", "y", "true", "positive", "pos", "+", "malignant", "metastatic"})
NEGATIVE = frozenset({"0", "0.0", "no", "n", "false", "negative", "neg", "-", "benign"})
UNKNOWN = frozenset({"", "na", "n/a", "nan", "null", "none", "unknown", "?", "."})
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
# A probability of exactly 0 or 1 has no log-odds.
EDGE = 1e-9
DEFAULTS = {
    Stage.SLN: ("sln", ("p_sln",)),
    Stage.NSLN: ("nsln", ("p_nsln",)),
}


@dataclass(frozen=True)
class StageColumns:
    """Where a stage's outcome and scores stand.

    Parameters
    ----------
    outcome : str
        Column of the outcome: 1/0, yes/no, true/false, positive/negative; empty where unknown.
    scores : sequence of str
        Columns of scores, the model in question first; higher means more likely positive.
    threshold : float or None
        At or above it a row is called positive, on the columns' own scale.
    alpha : float or None
        Largest tolerated false-negative rate, for a verdict.
    """

    outcome: str
    scores: Sequence[str]
    threshold: float | None = None
    alpha: float | None = None


@dataclass(frozen=True)
class ScoreColumns:
    """Which columns of a file are read, whatever else it holds.

    Parameters
    ----------
    stages : mapping of Stage to StageColumns
        One or both.
    patient : str
        Whose row it is; several rows of a patient are one cluster.
    side : str
        Of the axilla; where the file has no such column, rows of a patient are told apart by their order.
    subgroups : sequence of str
        Columns to divide by.
    scale : str
        ``probability``, ``log_odds``, or ``score`` for anything else, which is ranked but neither calibrated nor
        weighed.

    Raises
    ------
    ConfigError
        If no stage is named, a name stands for two things, or a number is impossible.
    """

    stages: dict[Stage, StageColumns]
    patient: str = "patient_id"
    side: str = "side"
    subgroups: Sequence[str] = field(default_factory=tuple)
    scale: str = PROBABILITY

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigError("found no column of an outcome, expected --sln_outcome or --nsln_outcome; name one")
        if self.scale not in SCALES:
            raise ConfigError(f"found --scale {self.scale}, expected {', '.join(SCALES)}{nearest(self.scale, SCALES)}")
        names = [self.patient, self.side, *self.subgroups]
        for stage, one in self.stages.items():
            names += [one.outcome, *one.scores]
            if not one.scores:
                raise ConfigError(f"found no column of scores of stage {stage}, expected --{stage}_scores; name some")
            limit = one.threshold
            if limit is not None and (not np.isfinite(limit) or (self.scale == PROBABILITY and not 0 <= limit <= 1)):
                raise ConfigError(f"found --{stage}_threshold {limit}, expected a number on the scale of the scores")
            if one.alpha is not None and not 0 < one.alpha < 1:
                raise ConfigError(f"found --{stage}_alpha {one.alpha}, expected a share between 0 and 1, e.g. 0.1")
            if one.alpha is not None and one.threshold is None:
                raise ConfigError(f"found --{stage}_alpha without --{stage}_threshold, expected both for a verdict")
        twice = sorted({name for name in map(str.lower, names) if list(map(str.lower, names)).count(name) > 1})
        if twice:
            raise ConfigError(f"found the column {twice[0]!r} named twice, expected each column for one thing")


@dataclass(frozen=True)
class ScoreTable:
    """Rows of a file.

    Parameters
    ----------
    keys : DataFrame
        ``patient_id side`` of every row.
    outcome : dict of Stage to (n,) float64 array
        1 positive, 0 negative, NaN unknown.
    scores : dict of Stage to dict of str to (n,) float64 array
        By column, as they stand.
    subgroups : DataFrame
        Text, null where empty.
    columns : ScoreColumns
        What was asked.
    """

    keys: pd.DataFrame
    outcome: dict[Stage, npt.NDArray[np.float64]]
    scores: dict[Stage, dict[str, npt.NDArray[np.float64]]]
    subgroups: pd.DataFrame
    columns: ScoreColumns

    def predicted(self, stage: Stage, column: str) -> pd.DataFrame:
        """``patient_id side probability logit`` of one column; the two are null where the column is a mere score."""
        values = self.scores[stage][column]
        if self.columns.scale == PROBABILITY:
            p, z = values, logit(np.clip(values, EDGE, 1 - EDGE))
        elif self.columns.scale == LOG_ODDS:
            p, z = expit(values), values
        else:
            p = z = np.full(len(values), np.nan)
        return self.keys.assign(probability=p, logit=z)


def read_scores(path: Path, columns: ScoreColumns) -> ScoreTable:
    """Read a file: any usual separator, decimal point or comma, with or without a byte-order mark.

    Raises
    ------
    DataError
        Naming row, column, what was found and what was expected.
    """
    if not path.is_file():
        raise DataError(f"found no file {path}, expected a CSV of ids, scores and outcomes; check the path")
    table = read_csv_table(path, bool)
    if not table.rows:
        raise DataError(f"found no row in {path.name}, expected one per axilla; check the file")
    reader = _Reader(table, path.name)
    patient = reader.text(columns.patient)
    for number, name in zip(reader.numbers, patient, strict=True):
        if name is None:
            raise DataError(f"found no {columns.patient} in row {number} of {path.name}, expected one; add it")
    named = pd.Series(patient, dtype=object).astype(str)
    if columns.side.lower() in table.header:
        side = pd.Series(["" if one is None else one for one in reader.text(columns.side)], dtype=object)
    else:
        side = (named.groupby(named, sort=False).cumcount() + 1).astype(str)
    keys = pd.DataFrame({"patient_id": named, "side": side.astype(str)})
    twice = keys.duplicated(AXILLA_KEY)
    if twice.any():
        row = reader.numbers[int(twice.to_numpy().argmax())]
        raise DataError(
            f"found a patient and side for the second time in row {row} of {path.name}, expected each axilla once; "
            f"remove one row, or drop the column {columns.side} to take rows as one cluster per patient"
        )
    return ScoreTable(
        keys,
        {stage: reader.outcomes(one.outcome) for stage, one in columns.stages.items()},
        {
            stage: {name: reader.scores(name, columns.scale) for name in one.scores}
            for stage, one in columns.stages.items()
        },
        pd.DataFrame({name: reader.text(name) for name in columns.subgroups}, index=keys.index, dtype=object),
        columns,
    )


class _Reader:
    """Columns of a table by name, with the row numbers that a spreadsheet shows."""

    def __init__(self, table: CsvTable, name: str) -> None:
        self.table, self.name = table, name
        self.numbers = [number for number, _ in table.rows]

    def text(self, column: str) -> list[str | None]:
        """Cells as they stand, None where empty."""
        header = self.table.header
        if column.lower() not in header:
            known = [one for one in header if one]
            raise DataError(
                f"found no column {column!r} in {self.name}, expected it among {', '.join(known[:20])}"
                f"{nearest(column.lower(), known)}"
            )
        if header.count(column.lower()) > 1:
            raise DataError(f"found the column {column!r} twice in {self.name}, expected it once; rename one")
        place = header.index(column.lower())
        return [(cells[place] if place < len(cells) else "") or None for _, cells in self.table.rows]

    def outcomes(self, column: str) -> npt.NDArray[np.float64]:
        """1, 0, or not-a-number where unknown."""
        found = []
        for number, cell in zip(self.numbers, self.text(column), strict=True):
            word = (cell or "").lower().replace(",", ".")
            if word not in POSITIVE | NEGATIVE | UNKNOWN:
                raise DataError(
                    f"found {column} = {cell!r} in row {number} of {self.name}, expected 1 or 0, yes or no, positive "
                    "or negative, or nothing where it is unknown; recode it"
                )
            found.append(np.nan if word in UNKNOWN else float(word in POSITIVE))
        return np.array(found, dtype=np.float64)

    def scores(self, column: str, scale: str) -> npt.NDArray[np.float64]:
        """Numbers, each finite and of the scale."""
        kind = "a probability from 0 to 1" if scale == PROBABILITY else "a finite number"
        found = []
        for number, cell in zip(self.numbers, self.text(column), strict=True):
            text = (cell or "").replace("\u2212", "-")
            value = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else np.nan
            if not np.isfinite(value) or (scale == PROBABILITY and not 0 <= value <= 1):
                extra = "; give --scale score for scores that are no probabilities" if np.isfinite(value) else ""
                raise DataError(f"found {column} = {cell!r} in row {number} of {self.name}, expected {kind}{extra}")
            found.append(value)
        return np.array(found, dtype=np.float64)
