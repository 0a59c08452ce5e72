"""A small reading list for the tests of what joins a bundle and a page."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pandas as pd

from usdlr.core import tables
from usdlr.core.columns import PATHS
from usdlr.core.provenance import Provenance
from usdlr.inference.bundle import load_bundle
from usdlr.review.anew import Request, What
from usdlr.review.explaining import explained
from usdlr.review.load import read_list
from usdlr.review.records import AxillaRecord, ModelRecord

PATIENTS = 5


@cache
def small_cases(run_folder: Path) -> Path:
    """A table of a few patients, one of them with two images, with its files beside it; tests must not change it."""
    folder = Path(mkdtemp(prefix="usdlr-review-"))
    table = tables.CASES.read(run_folder / "cases.parquet")
    counts = table["patient_id"].value_counts(sort=False)
    chosen = [*counts.index[counts > 1][:1], *counts.index[counts == 1][: PATIENTS - 1]]
    return write_cases(table[table["patient_id"].isin(chosen)].reset_index(drop=True), run_folder, folder)


def write_cases(table: pd.DataFrame, source: Path, folder: Path) -> Path:
    """Write a table into another folder, and copy its files there."""
    for column in PATHS:
        for name in table[column.name].dropna().map(str):
            target = folder / name
            if not target.exists() and (source / name).exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, target)
    tables.CASES.write(table, folder / "cases.parquet", Provenance("test", {}, {}))
    return folder / "cases.parquet"


@cache
def reading_list(run_folder: Path) -> tuple[ModelRecord, list[AxillaRecord], pd.DataFrame]:
    """The records of :func:`small_cases`."""
    work = Path(mkdtemp(prefix="usdlr-work-"))
    return read_list(run_folder / "bundle", small_cases(run_folder), work=work, jobs=1)


@cache
def told(run_folder: Path) -> tuple[AxillaRecord, dict[str, Any], dict[str, bytes]]:
    """The axilla with two images, its explanation as JSON gives it back, and its maps."""
    record = two_images(run_folder)
    request = Request(What.EXPLAIN, record)
    plain, pictures = explained(load_bundle(run_folder / "bundle"), request, None, patch_mm=None)
    return record, json.loads(json.dumps(plain, allow_nan=False)), pictures


def two_images(run_folder: Path) -> AxillaRecord:
    """The axilla with two images."""
    return next(one for one in reading_list(run_folder)[1] if len(one.images) > 1)
