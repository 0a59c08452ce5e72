"""Patients of an experiment on outlines, dealt to folds."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.hashing import derive_seed
from usdlr.core.named_parts import nearest
from usdlr.core.types import Split
from usdlr.ingest.split_schemes import deal_folds


def outline_splits(cases: pd.DataFrame, groups: Sequence[str], folds: int, seed: int) -> pd.DataFrame:
    """Train and test patients of every fold; a fold has no other part, for nothing is tuned.

    Patients are spread over the folds so that each holds its share of every group, whatever the sizes of groups are.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    groups : sequence of str
        Columns that patients are spread by; a patient counts by the first image.
    folds : int
        How many.
    seed : int
        Of the shuffle.

    Returns
    -------
    DataFrame
        The ``splits`` table: ``fold patient_id split``.

    Raises
    ------
    ConfigError
        If there is no such column.
    DataError
        If there are fewer patients than folds.
    """
    for name in groups:
        if name not in cases:
            known = [str(column) for column in cases]
            raise ConfigError(f"found data.groups with {name!r}, which is no column of cases{nearest(name, known)}")
    patients = cases.sort_values("image_id").drop_duplicates("patient_id")
    if len(patients) < folds:
        raise DataError(f"found {len(patients)} patients, expected at least one for each of {folds} folds; use fewer")
    strata = patients[["centre_id", *groups]].astype("string").fillna("unknown").agg("/".join, axis=1)
    order = pd.DataFrame({"patient_id": patients["patient_id"].astype(str), "stratum": strata})
    order["draw"] = [derive_seed(seed, "outline fold", name) for name in order["patient_id"]]
    order = order.sort_values(["stratum", "draw", "patient_id"])
    test = deal_folds(order["patient_id"].tolist(), folds)
    rows = [
        {"fold": str(fold), "patient_id": patient, "split": str(Split.TEST if own == str(fold) else Split.TRAIN)}
        for fold in range(folds)
        for patient, own in test.items()
    ]
    return tables.SPLITS.conform(pd.DataFrame(rows))
