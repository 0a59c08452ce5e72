"""Several readers, several cases, two or more ways of reading: whether readers see more with usdlr than without.

The analysis of variance of Obuchowski and Rockette with the degrees of freedom of Hillis; with the jackknife its F
equals that of Dorfman, Berbaum and Metz. Every reader scores every axilla in every modality; the cases' covariances are
DeLong's or, where a patient has two axillae, a jackknife over patients.
The analysis itself: :mod:`usdlr.evaluation.obuchowski_rockette`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.errors import ConfigError, DataError
from usdlr.decision.arrays import FloatArray, labels
from usdlr.evaluation.delong import placements
from usdlr.evaluation.intervals import Estimate
from usdlr.evaluation.obuchowski_rockette import (
    Generality,
    ModalityTest,
    auc_difference,
    components,
    jackknife_covariance,
    modality_auc,
    modality_test,
)

COLUMNS = ("reader", "patient_id", "side", "modality", "score")


class Covariance(StrEnum):
    """How the covariances of AUCs over the same cases are estimated."""

    DELONG = "delong"
    JACKKNIFE = "jackknife"


@dataclass(frozen=True, eq=False)
class ReaderStudy:
    """A multi-reader multi-case study.

    Parameters
    ----------
    auc : DataFrame
        One row per reader, one column per modality, the reference first.
    components : dict of str to float
        ``ms_modality ms_reader ms_interaction`` and ``variance cov1 cov2 cov3``: error variance, and covariances of
        AUCs of the same reader in different modalities, of different readers in the same modality, and of different
        readers in different modalities.
    modalities : dict of str to Estimate
        Reader-averaged AUC, random readers and cases, each from its own scores alone.
    tests : dict of Generality to ModalityTest
        One per generality.
    per_reader : dict of str to dict of str to Estimate
        By reader and modality: the difference to the reference.
    n, positives : int
        Axillae of known status, and positives among them.
    unknown : int
        Axillae left out because their status is not known.
    covariance : Covariance
        How the covariances were estimated.
    """

    auc: pd.DataFrame
    components: dict[str, float]
    modalities: dict[str, Estimate]
    tests: dict[Generality, ModalityTest]
    per_reader: dict[str, dict[str, Estimate]]
    n: int
    positives: int
    unknown: int
    covariance: Covariance

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "auc": {str(name): {str(k): float(v) for k, v in row.items()} for name, row in self.auc.iterrows()},
            "components": dict(self.components),
            "modalities": {name: found.as_dict() for name, found in self.modalities.items()},
            "tests": {str(name): test.as_dict() for name, test in self.tests.items()},
            "per_reader": {
                reader: {name: found.as_dict() for name, found in row.items()}
                for reader, row in self.per_reader.items()
            },
            "n": self.n,
            "positives": self.positives,
            "unknown": self.unknown,
            "covariance": str(self.covariance),
        }


def reader_study(
    scores: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    label: str = "sln",
    reference: str | None = None,
    covariance: Covariance | None = None,
) -> ReaderStudy:
    """Compare modalities over readers and cases.

    Parameters
    ----------
    scores : DataFrame
        ``reader patient_id side modality score``, one row per reader, axilla and modality, none missing.
    truth : DataFrame
        ``patient_id side`` and the column ``label``: 1 positive, 0 negative, NaN unknown.
    label : str
        Column of ``truth``.
    reference : str or None
        Modality that the others are compared with, e.g. reading without usdlr; None for the first by name.
    covariance : Covariance or None
        None for DeLong's, and for the jackknife over patients where a patient has several axillae: DeLong's takes them
        as independent and is refused then.

    Raises
    ------
    DataError
        If a reading is missing, given twice or not a number, an axilla has no row in ``truth``, or a class is absent.
    ConfigError
        If there are not two modalities, the reference is none of them, or DeLong's covariance does not apply.
    """
    table, modalities, readers = _table(scores, reference)
    cases = _truth(table.index, truth, label)
    known = cases.notna().to_numpy()
    y = cases.to_numpy(dtype=np.float64)[known]
    values = table.to_numpy(dtype=np.float64)[known].T
    positives = int((y == 1).sum())
    if min(positives, len(y) - positives) < 2:
        raise DataError(
            f"found {positives} positive and {len(y) - positives} negative axillae, expected at least two of each; an "
            "AUC has no variance without them"
        )
    patient = table.index.get_level_values("patient_id").to_numpy()[known]
    several = len(np.unique(patient)) < len(patient)
    how = covariance or (Covariance.JACKKNIFE if several else Covariance.DELONG)
    if how is Covariance.DELONG and several:
        raise ConfigError(
            "found DeLong's covariance and patients with several axillae, expected the jackknife for them"
        )
    parts = placements(y, values)
    matrix = parts.covariance if how is Covariance.DELONG else jackknife_covariance(y, values, patient)
    shape = (len(modalities), len(readers))
    return _analyse(
        parts.auc.reshape(shape),
        matrix.reshape(*shape, *shape),
        (modalities, readers),
        {"n": len(y), "positives": positives, "unknown": int((~known).sum()), "covariance": how},
    )


def _table(scores: pd.DataFrame, reference: str | None) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Readings by axilla: one column per modality and reader, modality slowest."""
    missing = [name for name in COLUMNS if name not in scores.columns]
    if missing:
        raise DataError(f"found no column {missing[0]!r} in the readings, expected one; add it")
    rows = scores.loc[:, list(COLUMNS)].astype(dict.fromkeys(COLUMNS[:4], "str"))
    keys = list(COLUMNS[:4])
    if rows.duplicated(keys).any():
        raise DataError(f"found {int(rows.duplicated(keys).sum())} readings twice, expected each once; remove them")
    modalities, readers = sorted(rows["modality"].unique()), sorted(rows["reader"].unique())
    if len(modalities) < 2:
        raise ConfigError(f"found {len(modalities)} modalities in the readings, expected at least two to compare")
    first = modalities[0] if reference is None else reference
    if first not in modalities:
        raise ConfigError(f"found the reference {first!r}, expected one of {', '.join(modalities)}")
    modalities = [first, *(name for name in modalities if name != first)]
    values = pd.to_numeric(rows["score"], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wide = rows.assign(score=values).set_index(keys)["score"].unstack(["modality", "reader"])
    wide = wide.reindex(columns=pd.MultiIndex.from_product([modalities, readers])).reorder_levels(
        ["patient_id", "side"]
    )
    gaps = int((~np.isfinite(wide.to_numpy(dtype=np.float64))).sum())
    if gaps:
        raise DataError(
            f"found {gaps} of {wide.size} readings missing or not a number, expected every reader's score of every "
            "axilla in every modality; leave the axilla out for all, and say so"
        )
    return wide.sort_index(), modalities, readers


def _truth(axillae: pd.Index, truth: pd.DataFrame, label: str) -> pd.Series:
    missing = [name for name in ("patient_id", "side", label) if name not in truth.columns]
    if missing:
        raise DataError(f"found no column {missing[0]!r} in the labels, expected one; add it")
    keyed = truth.astype({"patient_id": "str", "side": "str"}).set_index(["patient_id", "side"])
    if keyed.index.has_duplicates:
        raise DataError("found axillae more than once in the labels, expected each once; remove the duplicates")
    absent = len(axillae.difference(keyed.index))
    if absent:
        raise DataError(f"found {absent} axillae that were read but have no row in the labels, expected one; add them")
    return pd.Series(labels(keyed[label], label), index=keyed.index).reindex(axillae)


def _analyse(
    auc: FloatArray, covariance: FloatArray, names: tuple[Sequence[str], Sequence[str]], counts: dict[str, Any]
) -> ReaderStudy:
    modalities, readers = names
    k, r = auc.shape
    n = counts["n"]
    of_modality, of_reader, mean = auc.mean(axis=1), auc.mean(axis=0), auc.mean()
    rest = auc - of_modality[:, None] - of_reader[None, :] + mean
    parts = {
        "ms_modality": float(r * ((of_modality - mean) ** 2).sum() / (k - 1)),
        "ms_reader": float(k * ((of_reader - mean) ** 2).sum() / (r - 1)) if r > 1 else float("nan"),
        "ms_interaction": float((rest**2).sum() / ((k - 1) * (r - 1))) if r > 1 else float("nan"),
        **components(covariance),
    }
    study = {name: value for name, value in parts.items() if np.isfinite(value)}
    gaps = {name: float(gap) for name, gap in zip(modalities[1:], of_modality[1:] - of_modality[0], strict=True)}
    return ReaderStudy(
        auc=pd.DataFrame(auc.T, index=list(readers), columns=list(modalities)),
        components=study,
        modalities={name: modality_auc(auc[i], covariance[i, :, i, :], n) for i, name in enumerate(modalities)},
        tests={whom: modality_test(whom, parts, gaps, (k, r), n) for whom in Generality},
        per_reader={
            reader: {
                name: auc_difference(
                    float(auc[i, j] - auc[0, j]),
                    float(covariance[i, j, i, j] + covariance[0, j, 0, j] - 2 * covariance[i, j, 0, j]),
                    float("inf"),
                    n,
                    "AUC difference of one reader, random cases",
                )
                for i, name in enumerate(modalities)
                if i
            }
            for j, reader in enumerate(readers)
        },
        **counts,
    )
