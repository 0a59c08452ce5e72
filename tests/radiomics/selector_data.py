"""Tables for the tests of the column selectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.leak import Rows

Labels = npt.NDArray[np.float64]


def column(kind: str, modality: str = "bmode") -> str:
    return f"{modality}.intratumoral.original.firstorder.{kind}"


def people(count: int, split: str = "train", images: int = 1) -> Rows:
    return Rows.of([f"person-{i // images}" for i in range(count)], [split] * count)


def planted(count: int = 120, noise: int = 12, strong: int = 3, seed: int = 0) -> tuple[pd.DataFrame, Labels]:
    """Independent noise, and strong columns whose classes lie 1.5 standard deviations apart."""
    rng = np.random.default_rng(seed)
    y = np.tile([0.0, 1.0], count // 2)
    columns = {column(f"Noise{i}"): rng.normal(size=count) for i in range(noise)}
    columns |= {column(f"Strong{i}"): 1.5 * y + rng.normal(size=count) for i in range(strong)}
    return pd.DataFrame(columns), y


def correlated(count: int = 150, columns: int = 25, seed: int = 0, shared: float = 1.2) -> tuple[pd.DataFrame, Labels]:
    """Columns that all share something, so that no two are without correlation, and labels that follow some."""
    rng = np.random.default_rng(seed)
    common, parts = rng.normal(size=(count, 1)), rng.normal(size=(count, 6))
    values = shared * common + parts @ rng.normal(size=(6, columns)) + rng.normal(size=(count, columns))
    y = (parts[:, 0] + parts[:, 1] + 0.7 * rng.normal(size=count) > 0).astype(np.float64)
    return pd.DataFrame(values, columns=[column(f"F{i}") for i in range(columns)]), y


def fitted(selector: Any, X: pd.DataFrame, y: npt.ArrayLike, images: int = 1) -> Any:
    return selector.fit(X, y, rows=people(len(X), images=images))
