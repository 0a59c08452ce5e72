"""Features of three made-up centres, and neuroCombat as the outside truth."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.leak import Rows
from usdlr.radiomics.harmonise.transformer import ComBat

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Centres:
    """One row per patient, in the order of the centres."""

    X: Floats
    centre: list[str]
    covariates: pd.DataFrame

    @property
    def rows(self) -> Rows:
        return train(len(self.X))

    def take(self, chosen: npt.NDArray[Any]) -> Centres:
        names = np.array(self.centre)[chosen].tolist()
        return Centres(self.X[chosen], names, self.covariates.iloc[chosen].reset_index(drop=True))


def train(count: int, split: str = "train") -> Rows:
    return Rows.of([f"patient-{i}" for i in range(count)], [split] * count)


def centres(
    sizes: tuple[int, ...] = (23, 31, 17), features: int = 30, seed: int = 0, names: tuple[str, ...] = ("A", "B", "C")
) -> Centres:
    """Skewed sizes, features over many orders of magnitude, shifts and spreads by centre, effects of two covariates."""
    rng = np.random.default_rng(seed)
    kind = np.random.default_rng(2024)  # what a feature measures is the same for every seed
    level, size = kind.normal(0, 5, features), np.exp(kind.normal(0, 4, features))
    per_year, per_stage = kind.normal(0, 0.03, features), kind.normal(0, 0.4, features)
    count = sum(sizes)
    batch = np.repeat(np.arange(len(sizes)), sizes)
    # neuroCombat holds continuous covariates in single precision: values that it does not round.
    age = np.round(rng.normal(55 + 4 * batch, 9, count) * 8) / 8
    stage = rng.choice(["cN0", "cN1", "cN2"], count, p=[0.5, 0.3, 0.2])
    noise = rng.normal(size=(count, features)) * rng.uniform(0.6, 1.5, (len(sizes), features))[batch]
    shift = rng.normal(0, 1, len(sizes))[:, None] + rng.normal(0, 0.5, (len(sizes), features))
    effect = age[:, None] * per_year + (stage == "cN2")[:, None] * per_stage
    X = (noise + shift[batch] + effect + level) * size
    table = pd.DataFrame({"age_years": age, "cn_stage": stage})
    return Centres(X, [names[b] for b in batch], table)


def neurocombat(data: Centres, *, covariates: bool = False, categorical: bool = True, **options: Any) -> dict[str, Any]:
    """Its whole answer; ``data`` is (features, rows) there."""
    # Version 0.2.12 spells int as numpy once did.
    if not hasattr(np, "int"):
        np.int = int  # type: ignore[attr-defined]  # the name is put back for the outside program alone
    module: Any = importlib.import_module("neuroCombat")
    table = data.covariates.assign(centre=data.centre)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer: dict[str, Any] = module.neuroCombat(
            data.X.T.copy(),
            table,
            "centre",
            categorical_cols=["cn_stage"] if covariates and categorical else [],
            continuous_cols=["age_years"] if covariates else [],
            **options,
        )
    return answer


def from_training(X: Floats, centre: list[str], answer: dict[str, Any]) -> Floats:
    """What neuroCombat makes of new rows of known centres, (rows, features)."""
    module: Any = importlib.import_module("neuroCombat.neuroCombat")
    # It makes an int of an array of one number, which numpy no longer does: its own int, in its own module.
    module.int = lambda found: int(np.asarray(found).item())
    # It numbers the batches where one is the reference and keeps their names where none is.
    words = [str(word) for word in answer["estimates"]["batches"]]
    batch = np.array([words["ABC".index(name)] for name in centre])
    with contextlib.redirect_stdout(io.StringIO()):
        new = module.neuroCombatFromTraining(X.T.copy(), batch, answer["estimates"])
    return np.asarray(new["data"], dtype=np.float64).T


def deviation(found: Floats, expected: Floats, X: Floats) -> float:
    """Largest difference in standard deviations of the feature."""
    return float(np.max(np.abs(found - expected) / np.nanstd(X, axis=0)))


def fitted(data: Centres, rows: Rows | None = None, **options: Any) -> ComBat:
    """ComBat on all of ``data``."""
    return ComBat(**options).fit(data.X, rows=rows or data.rows, centre=data.centre, covariates=data.covariates)


def transformed(model: ComBat, data: Centres) -> Floats:
    return np.asarray(model.transform(data.X, centre=data.centre, covariates=data.covariates), dtype=np.float64)


def where(data: Centres, *names: str) -> npt.NDArray[np.bool_]:
    return np.isin(data.centre, names)


def sample_of(X: Floats, split: str = "external") -> Rows:
    """Whose rows a local sample holds."""
    return Rows.of([f"local-{i}" for i in range(len(X))], [split] * len(X))
