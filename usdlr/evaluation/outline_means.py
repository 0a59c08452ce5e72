"""Numbers of a column over images whose patients may have several: means, medians, shares, differences, sizes.

An image is what is counted, a patient is what is drawn: a patient's images resemble each other, and the same image
given twice says nothing new.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.errors import DataError
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.agreement import measurement_agreement
from usdlr.evaluation.clustered_rate import clustered_rate
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.resampling import REPLICATES, patient_bootstrap, patients


def mean_of(images: pd.DataFrame, name: str, *, replicates: int = REPLICATES, seed: int = 0) -> Estimate:
    """Mean over images of a column, with an interval that draws patients; rows without a value are left out."""
    known = images.dropna(subset=[name])
    if known.empty:
        return undefined(0, f"{name}: no image has one")
    values = known[name].to_numpy(dtype=np.float64)
    what = f"mean {name} over images"

    def statistic(weights: FloatArray) -> FloatArray:
        return np.asarray(weights @ values / weights.sum(axis=1), dtype=np.float64)

    return patient_bootstrap(statistic, patients(known["patient_id"]), what, replicates=replicates, seed=seed)


def median_of(images: pd.DataFrame, name: str, *, replicates: int = REPLICATES, seed: int = 0) -> Estimate:
    """Median over images of a column, with an interval that draws patients; rows without a value are left out."""
    known = images.dropna(subset=[name]).sort_values(name, kind="stable")
    if known.empty:
        return undefined(0, f"median {name}: no image has one")
    values = known[name].to_numpy(dtype=np.float64)

    def statistic(weights: FloatArray) -> FloatArray:
        # The weighted median: where half of the weight lies below.
        below = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
        low, high = (below >= 0.5 - 1e-12).argmax(axis=1), (below > 0.5 + 1e-12).argmax(axis=1)
        return np.asarray((values[low] + values[high]) / 2, dtype=np.float64)

    who = patients(known["patient_id"])
    return patient_bootstrap(statistic, who, f"median {name} over images", replicates=replicates, seed=seed)


def paired_difference(
    first: pd.DataFrame, second: pd.DataFrame, name: str, *, replicates: int = REPLICATES, seed: int = 0
) -> Estimate:
    """Mean of first minus second over the images that have a value in both tables.

    Returns
    -------
    Estimate
        ``method`` says how many images were left out because a table has no value for them.

    Raises
    ------
    DataError
        If a table has an image twice.
    """
    key = ["patient_id", "image_id"]
    for table in (first, second):
        if table.duplicated(key).any():
            raise DataError(
                f"found {int(table.duplicated(key).sum())} images more than once, expected each once; remove them"
            )
    every = first[[*key, name]].merge(second[[*key, name]], on=key, how="outer", suffixes=("", "_2"))
    both = every.assign(difference=every[name] - every[f"{name}_2"])
    alone = int(both["difference"].isna().sum())
    found = mean_of(both, "difference", replicates=replicates, seed=seed)
    method = found.method.replace("difference", f"difference of {name}")
    return replace(found, method=f"{method}; {alone} images without a value in both left out" if alone else method)


def share_of(images: pd.DataFrame, hit: pd.Series[bool]) -> Estimate:
    """A share of images; those of one patient count as alike, so that with one each the interval is the exact one."""
    if images.empty:
        return undefined(0, "no such image")
    who = patients(images["patient_id"])
    return clustered_rate(hit.to_numpy(dtype=bool), np.ones(len(images), dtype=bool), who)


def sizes_of(images: pd.DataFrame, reader: str, software: str, *, replicates: int, seed: int) -> dict[str, Any] | None:
    """Bland and Altman's limits and intraclass correlations, software minus reader; None without a pair in mm."""
    sized = images.dropna(subset=[reader, software])
    if sized.empty:
        return None
    found = measurement_agreement(
        sized[software], sized[reader], patient=sized["patient_id"], replicates=replicates, seed=seed
    )
    return found.as_dict() | {"n": len(sized)}
