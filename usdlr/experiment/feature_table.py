"""A table of ready-made features with outcomes: what an experiment on it is told, and how it is read."""

from __future__ import annotations

import csv
import fnmatch
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.baselines.pipelines import BASELINES
from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY, known_too_late
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.named_parts import nearest
from usdlr.core.types import ExclusionCode, Stage
from usdlr.decision.calibration_choice import calibrator_name
from usdlr.decision.settings import ContractSettings
from usdlr.ingest.splits import SplitSettings

# No feature, whatever the patterns say.
IDS = ("patient_id", "side", "image_id", "centre_id", "stage", "fold", "split", "model_id", "status", "code", "reason")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TableSettings:
    """Where features and outcomes stand.

    Parameters
    ----------
    file : str or None
        CSV or Parquet, one row per image or axilla; given on the command line.
    sln, nsln : str
        Columns of the outcomes: 1, 0, or empty where unknown.
    features : list of str
        Columns that are read, by pattern; ``*`` stands for anything. Those of outcomes and ids never are.
    patient, side, centre : str
        Columns of the ids; without a side or a centre, a patient has one axilla, and there is one centre.
    simulated : bool
        Whether the patients are; every page says so.
    proxies : dict of str to str
        By stage, what stands in for node status, in a sentence.
    """

    file: str | None = None
    sln: str = "sln_positive"
    nsln: str = "nsln_positive"
    features: list[str] = field(default_factory=lambda: ["*.*"])
    patient: str = "patient_id"
    side: str = "side"
    centre: str = "centre_id"
    simulated: bool = False
    proxies: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FeatureTableConfig:
    """An experiment on a table of features.

    Parameters
    ----------
    name, question : str
        As of any experiment.
    table : TableSettings
        The development patients.
    external : dict of str to str
        Further files of the same columns by name, judged once by the learners of the ``bundle`` fold.
    learners : list of str
        Names of :data:`usdlr.baselines.pipelines.BASELINES`; the first is the model that decides, the others stand
        beside it.
    splits : SplitSettings
        Folds and shares; by patients or by centre.
    calibrator : str or dict
        As of any experiment.
    contract : ContractSettings
        False-negative targets; without strata and deferral near a threshold.
    seed : int
        Of everything that is random.
    """

    name: str
    question: str
    table: TableSettings = field(default_factory=TableSettings)
    external: dict[str, str] = field(default_factory=dict)
    learners: list[str] = field(default_factory=lambda: ["radiomics_ridge", "radiomics_forest"])
    splits: SplitSettings = field(default_factory=SplitSettings)
    calibrator: str | dict[str, Any] = "platt"
    contract: ContractSettings = field(default_factory=ContractSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        calibrator_name(self.calibrator)
        if not self.learners or len(set(self.learners)) < len(self.learners):
            raise ConfigError(f"found learners = {self.learners}, expected one or more different names")
        for name in self.learners:
            if name not in BASELINES:
                raise ConfigError(
                    f"found the learner {name!r}, expected some of {', '.join(BASELINES)}{nearest(name, BASELINES)}"
                )
        if self.splits.by not in ("patients", "centre"):
            raise ConfigError(f"found splits.by = {self.splits.by}, expected patients or centre: a table has no dates")
        if self.contract.strata is not None or self.contract.defer_near:
            raise ConfigError("found strata or defer_near in the contract, expected neither with a table of features")


@dataclass(frozen=True)
class FeatureRows:
    """A table read.

    Parameters
    ----------
    axillae : DataFrame
        ``patient_id side centre_id sln nsln``, one row per axilla.
    design : DataFrame, (rows, features)
        Numbers; missing where empty.
    owner : (rows,) int array
        Axilla of every row.
    exclusions : DataFrame
        The ``exclusions`` table: every row whose sentinel node status is unknown.
    """

    axillae: pd.DataFrame
    design: pd.DataFrame
    owner: npt.NDArray[np.int64]
    exclusions: pd.DataFrame

    def by_axilla(self, values: Floats) -> Floats:
        """Mean over the rows of every axilla, (axillae,)."""
        count = np.bincount(self.owner, minlength=len(self.axillae))
        return np.asarray(np.bincount(self.owner, weights=values, minlength=len(self.axillae)) / count)


def read_feature_table(path: Path, settings: TableSettings) -> FeatureRows:
    """Read a table of features and outcomes.

    Raises
    ------
    DataError
        If it cannot be read, a column is missing or named twice, or outcomes of one axilla contradict each other.
    ConfigError
        If no column is left to read, or one is known only after surgery.
    """
    if not path.is_file():
        raise DataError(f"found no file {path}, expected a CSV or Parquet table of features; check the path")
    try:
        if path.suffix != ".parquet":
            _require_different(path)
        # Text first: ids keep their zeros, and a patient called NA keeps the name.
        raw = (
            pd.read_parquet(path)
            if path.suffix == ".parquet"
            else pd.read_csv(path, dtype="str", keep_default_na=False, na_values=[""])
        )
    except (OSError, ValueError) as error:
        raise DataError(f"found {path}, which is no readable table ({error}); save it as CSV or Parquet") from error
    for name in (settings.patient, settings.sln):
        if name not in raw.columns:
            raise DataError(
                f"found no column {name!r} in {path.name}, expected it{nearest(name, list(map(str, raw.columns)))}"
            )
    if raw.empty or raw[settings.patient].isna().any():
        raise DataError(f"found no row, or rows without {settings.patient}, in {path.name}, expected one in every row")
    keys = pd.DataFrame({"patient_id": raw[settings.patient].astype(str)})
    keys["side"] = raw[settings.side].astype(str) if settings.side in raw else "left"
    keys["centre_id"] = raw[settings.centre].astype(str) if settings.centre in raw else path.stem
    for stage, column in ((Stage.SLN, settings.sln), (Stage.NSLN, settings.nsln)):
        keys[str(stage)] = _outcome(raw[column], path.name) if column in raw else np.nan
    groups = keys.groupby(AXILLA_KEY, sort=False)
    for stage in Stage:
        if (groups[str(stage)].nunique(dropna=False) > 1).any():
            raise DataError(f"found axillae with two values of the {stage} outcome in {path.name}, expected one each")
    axillae = groups[["centre_id", "sln", "nsln"]].first().reset_index()
    known = axillae["sln"].notna()
    kept = axillae[known].reset_index(drop=True)
    if kept.empty:
        raise DataError(f"found no row with a known {settings.sln} in {path.name}, expected some")
    place = pd.MultiIndex.from_frame(kept[AXILLA_KEY]).get_indexer(pd.MultiIndex.from_frame(keys[AXILLA_KEY]))
    use = place >= 0
    design = _design(raw[use], settings, path.name)
    return FeatureRows(kept, design, place[use].astype(np.int64), _unknown(keys, ~use, settings.sln))


def _require_different(path: Path) -> None:
    """Every column once: pandas would call the second ``name.1``, and an outcome would pass for a feature."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        header = next(csv.reader(stream), [])
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"found the column {name!r} twice in {path.name}, expected every column once; remove one")


def _unknown(keys: pd.DataFrame, left_out: npt.NDArray[np.bool_], column: str) -> pd.DataFrame:
    """One exclusion per row without a known sentinel node status; rows are counted as a spreadsheet does."""
    found = keys.loc[left_out, ["centre_id", *AXILLA_KEY]].assign(
        source_id=[f"row {row + 2}" for row in np.flatnonzero(left_out)],
        step="cohort",
        code=str(ExclusionCode.ENDPOINT_MISSING),
        sentence=f"found no {column}, expected 1 or 0; add the outcome, or leave the row out",
    )
    return tables.EXCLUSIONS.conform(found) if len(found) else tables.EXCLUSIONS.empty()


def _outcome(values: pd.Series, name: str) -> Floats:
    words = values.astype("string").str.strip().str.lower()
    found = words.map({"1": 1.0, "1.0": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0, "no": 0.0})
    wrong = found.isna() & words.notna() & (words != "")
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise DataError(
            f"found {values.name} = {values.iloc[row]!r} in row {row + 2} of {name}, expected 1 or 0, or nothing where "
            "it is unknown; recode it"
        )
    return np.asarray(found.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _design(raw: pd.DataFrame, settings: TableSettings, name: str) -> pd.DataFrame:
    apart = {*IDS, settings.patient, settings.side, settings.centre, settings.sln, settings.nsln}
    columns = [
        str(column)
        for column in raw.columns
        if column not in apart and any(fnmatch.fnmatchcase(str(column), pattern) for pattern in settings.features)
    ]
    if not columns:
        raise ConfigError(
            f"found no column of {name} by table.features = {settings.features}, expected some; name them"
        )
    for column in columns:
        # A table that pandas once wrote may hold a column's double under a number.
        if why := known_too_late(re.sub(r"(\.\d+)+$", "", column).removeprefix("clinical.")):
            raise ConfigError(f"found the column {column!r} among the features, {why}; leave it out of table.features")
    found = {}
    for column in columns:
        numbers = pd.to_numeric(raw[column], errors="coerce")
        wrong = numbers.isna() & raw[column].notna() & (raw[column].astype("string").str.strip() != "")
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise DataError(
                f"found {column} = {raw[column].iloc[row]!r} in row {row + 2} of {name}, expected a number; correct "
                "it, or leave the column out of table.features"
            )
        found[column] = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.DataFrame(found)
