"""What the patients behind a model look like, as aggregates that travel with it; nobody's row is among them.

The unit is the patient: images and axillae of a patient are averaged before anything is counted, and words are those of
the first. Levels and steps that fewer than five patients share are never told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import DataError
from usdlr.core.types import Stage
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.kernel_shift import KernelSummary
from usdlr.evaluation.levels import Variable, levels
from usdlr.evaluation.marginals import FEWEST, Marginals, finite

NUMBERS = ("age_years", "tumour_size_mm")
WORDS = ("birads", "cn_stage")
WHERE = ("centre_id", "vendor", "device")
RARE = "levels of fewer than five patients"
CLINICAL = "clinical."
COMPONENTS = 20
SMALLEST, LARGEST = -4.0, 4.0
_KERNELS = ("features", "looks")


@dataclass(frozen=True, eq=False)
class PatientRows:
    """Patients of one group, a row each, in the same order everywhere.

    Parameters
    ----------
    design : DataFrame, (patients, columns)
        Radiomics; null where nothing was measured.
    case : DataFrame
        Clinical and technical columns, as far as there are any of :data:`NUMBERS`, :data:`WORDS` and :data:`WHERE`.
    looks : (patients, places) float64 array
        What the networks make of the images; not-a-number where a block is absent.
    log_odds : DataFrame, (patients, stages)
        Calibrated log-odds.
    axillae : int
        How many there are.
    """

    design: pd.DataFrame
    case: pd.DataFrame
    looks: FloatArray
    log_odds: pd.DataFrame
    axillae: int

    @classmethod
    def of(
        cls,
        keys: pd.DataFrame,
        design: pd.DataFrame,
        case: pd.DataFrame,
        looks: npt.ArrayLike,
        log_odds: pd.DataFrame,
    ) -> Self:
        """From axillae, in the order of ``keys``.

        Parameters
        ----------
        keys : DataFrame
            ``patient_id side``.
        design, case, log_odds : DataFrame
            A row per axilla; of ``design``, clinical columns are left out, which ``case`` holds.
        looks : (axillae, places) array_like
            Embeddings side by side.
        """
        patient = keys["patient_id"].astype(str).to_numpy()
        numeric = [name for name in design.columns if not str(name).startswith(CLINICAL)]

        def mean(table: pd.DataFrame) -> pd.DataFrame:
            return table.reset_index(drop=True).astype("float64").groupby(patient, sort=True).mean()

        by_patient = case.reset_index(drop=True).groupby(patient, sort=True)
        told = {name: by_patient[name].max() if name == "tumour_size_mm" else by_patient[name].first()
                for name in (*NUMBERS, *WORDS, *WHERE) if name in case}  # fmt: skip
        places = np.asarray(looks, dtype=np.float64).reshape(len(keys), -1)
        return cls(
            mean(design[numeric]).reset_index(drop=True),
            pd.DataFrame(told, index=sorted(set(patient))).reset_index(drop=True),
            mean(pd.DataFrame(places)).to_numpy(np.float64),
            mean(log_odds[[str(stage) for stage in Stage]]).reset_index(drop=True),
            len(keys),
        )

    def __len__(self) -> int:
        return len(self.design)

    def take(self, use: npt.NDArray[np.bool_]) -> PatientRows:
        """The chosen patients; their axillae are counted as one each."""
        design, case, log_odds = (one[use].reset_index(drop=True) for one in (self.design, self.case, self.log_odds))
        return PatientRows(design, case, self.looks[use], log_odds, int(use.sum()))


@dataclass(frozen=True, eq=False)
class Reference:
    """Aggregates of the patients behind a model.

    Parameters
    ----------
    counts : dict
        ``patients axillae`` of those who fitted and tuned the model, ``held`` of those who tuned it alone: networks
        answer otherwise to whom they were fitted on, so what they say is summarised of these.
    words : dict of str to dict of str to int
        Patients by level of every column of words.
    endpoints : dict of str to dict
        By stage, axillae of known status and positive ones: ``n positive``, and ``held_n held_positive`` of those who
        the calibrator was fitted on.
    numbers : Marginals
        Age and size.
    features : Marginals
        Every radiomics column.
    groups : dict of str to (int, int)
        By modality and region, patients with any value and without one.
    read : tuple of str
        Radiomics columns that the networks read.
    correlation : (r, r) float64 array
        Of the normal scores of the columns read.
    log_odds : Marginals
        By stage, of the held patients.
    kernels : dict of str to KernelSummary
        ``features``: of the columns read; ``looks``: of what networks make of images. A kind without any is absent.
    projection : dict of str to array
        ``mean`` (places,) and ``directions`` (k, places): the main directions of what networks make of images.
    """

    counts: dict[str, int]
    words: dict[str, dict[str, int]]
    endpoints: dict[str, dict[str, int]]
    numbers: Marginals
    features: Marginals
    groups: dict[str, tuple[int, int]]
    read: tuple[str, ...]
    correlation: FloatArray
    log_odds: Marginals
    kernels: dict[str, KernelSummary]
    projection: dict[str, FloatArray]

    @classmethod
    def of(
        cls,
        made: PatientRows,
        held: PatientRows,
        *,
        read: Sequence[str],
        endpoints: Mapping[str, Mapping[str, int]],
    ) -> Self:
        """Summarise patients.

        Parameters
        ----------
        made : PatientRows
            Everybody whom the model was fitted or tuned on.
        held : PatientRows
            Those of them on whom no network was fitted.
        read : sequence of str
            Radiomics columns that the networks read.
        endpoints : mapping
            As :attr:`endpoints`.

        Raises
        ------
        DataError
            If there are no patients.
        """
        if not len(made):
            raise DataError("found no patients to summarise, expected those whom the model was made with")
        names = [str(name) for name in made.design.columns]
        features = Marginals.of(made.design.to_numpy(np.float64).reshape(len(made), len(names)), names)
        known = {name for name, varies in zip(names, features.varies, strict=True) if varies}
        chosen = tuple(name for name in read if name in known)
        numbers = [name for name in NUMBERS if name in made.case]
        scores = bounded(features.take(chosen).scores(made.design[list(chosen)]))
        projection = _directions(made.looks)
        kernels = {"features": KernelSummary.of(scores)} if chosen else {}
        if len(held) and len(projection["directions"]):
            kernels["looks"] = KernelSummary.of(projected(projection, held.looks))
        stages = [str(stage) for stage in Stage]
        return cls(
            counts={"patients": len(made), "axillae": made.axillae, "held": len(held)},
            words={name: told_levels(made.case[name], name) for name in (*WORDS, *WHERE) if name in made.case},
            endpoints={stage: dict(one) for stage, one in endpoints.items()},
            numbers=Marginals.of(made.case[numbers].to_numpy(np.float64, na_value=np.nan), numbers),
            features=features,
            groups={name: counted(made.design, own) for name, own in groups_of(names).items()},
            read=chosen,
            correlation=_correlation(scores),
            log_odds=Marginals.of(held.log_odds[stages].to_numpy(np.float64), stages, most_steps=10),
            kernels=kernels,
            projection=projection,
        )

    def to_dict(self) -> dict[str, Any]:
        """What goes into JSON."""
        return {
            "counts": self.counts,
            "words": self.words,
            "endpoints": self.endpoints,
            "numbers": list(self.numbers.columns),
            "features": list(self.features.columns),
            "groups": {name: list(pair) for name, pair in self.groups.items()},
            "read": list(self.read),
            "kernels": list(self.kernels),
        }

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What goes into safetensors."""
        tables = {"numbers": self.numbers, "features": self.features, "log_odds": self.log_odds}
        found = {f"{name}.{key}": one for name, table in tables.items() for key, one in table.to_arrays().items()}
        for name, kernel in self.kernels.items():
            found |= {f"kernel.{name}.{key}": one for key, one in kernel.to_arrays().items()}
        found |= {f"projection.{key}": one.astype(np.float32) for key, one in self.projection.items()}
        return found | {"correlation": self.correlation.astype(np.float32)}

    @classmethod
    def from_files(cls, state: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Restore what :meth:`to_dict` and :meth:`to_arrays` gave.

        Raises
        ------
        DataError
            If either is damaged.
        """

        def below(prefix: str) -> dict[str, npt.NDArray[Any]]:
            return {name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)}

        try:
            words = {str(k): {str(a): int(b) for a, b in v.items()} for k, v in state["words"].items()}
            return cls(
                counts={str(k): int(v) for k, v in state["counts"].items()},
                words=words,
                endpoints={str(k): {str(a): int(b) for a, b in v.items()} for k, v in state["endpoints"].items()},
                numbers=Marginals.from_arrays(tuple(map(str, state["numbers"])), below("numbers.")),
                features=Marginals.from_arrays(tuple(map(str, state["features"])), below("features.")),
                groups={str(k): (int(v[0]), int(v[1])) for k, v in state["groups"].items()},
                read=tuple(map(str, state["read"])),
                correlation=np.asarray(arrays["correlation"], dtype=np.float64),
                log_odds=Marginals.from_arrays([str(stage) for stage in Stage], below("log_odds.")),
                kernels={
                    name: KernelSummary.from_arrays(below(f"kernel.{name}.")) for name in map(str, state["kernels"])
                },
                projection={key: one.astype(np.float64) for key, one in below("projection.").items()},
            )
        except DataError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise DataError(
                f"found a damaged summary of the training patients ({error!r}), expected what a run wrote; export the "
                "bundle again"
            ) from error


def told_levels(values: pd.Series, name: str) -> dict[str, int]:
    """Patients by level; rare levels are taken together, and what is still rare is not told.

    Examples
    --------
    >>> told_levels(pd.Series(["a"] * 6 + ["b", "c"] * 3), "kind")
    {'a': 6, 'levels of fewer than five patients': 6}
    """
    named, _ = levels(values, Variable(name, name))
    counts = named.value_counts()
    told = {str(level): int(count) for level, count in sorted(counts.items()) if count >= FEWEST}
    rare = int(counts.sum()) - sum(told.values())
    return told | ({RARE: rare} if rare >= FEWEST else {})


def groups_of(columns: Sequence[str]) -> dict[str, list[str]]:
    """Radiomics columns by modality and region."""
    out: dict[str, list[str]] = {}
    for name in columns:
        out.setdefault(".".join(name.split(".")[:2]), []).append(name)
    return out


def counted(design: pd.DataFrame, columns: Sequence[str]) -> tuple[int, int]:
    """Patients with any value in the columns, and without one."""
    has = int(np.isfinite(design.reindex(columns=list(columns)).to_numpy(np.float64)).any(axis=1).sum())
    return has, len(design) - has


def bounded(scores: FloatArray) -> FloatArray:
    """Normal scores without gaps: the usual value stands for one that is not known, and none is farther than 4."""
    return np.clip(np.nan_to_num(scores, nan=0.0), SMALLEST, LARGEST)


def projected(projection: Mapping[str, FloatArray], looks: FloatArray) -> FloatArray:
    """Looks along the main directions, (n, k); an absent block counts as the usual one.

    Raises
    ------
    DataError
        If they have another number of places.
    """
    if looks.shape[1:] != projection["mean"].shape:
        raise DataError(
            f"found {looks.shape[1:]} places of embeddings, expected {projection['mean'].shape}; use its networks"
        )
    centred = np.nan_to_num(finite(looks) - projection["mean"], nan=0.0)
    return np.asarray(centred @ projection["directions"].T, dtype=np.float64)


def _directions(looks: FloatArray) -> dict[str, FloatArray]:
    """Mean and main directions, each scaled to unit variance."""
    table = finite(looks)
    empty = np.isnan(table).all(axis=0)
    mean = np.where(empty, 0.0, np.nanmean(np.where(empty, 0.0, table), axis=0)) if len(table) else np.zeros(0)
    centred = np.nan_to_num(table - mean, nan=0.0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    sd = singular / np.sqrt(max(len(table) - 1, 1))
    kept = min(COMPONENTS, int((sd > 1e-6 * max(float(sd.max(initial=0.0)), 1e-12)).sum()), max(len(table) // 3, 0))
    scaled = directions[:kept] / sd[:kept, None]
    return {
        "mean": mean.astype(np.float32).astype(np.float64),
        "directions": scaled.astype(np.float32).astype(np.float64),
    }


def _correlation(scores: FloatArray) -> FloatArray:
    if scores.shape[1] < 2 or len(scores) < 2:
        return np.eye(scores.shape[1])
    spread = scores.std(axis=0)
    found = np.corrcoef(scores + 0.0, rowvar=False) if (spread > 0).all() else np.eye(scores.shape[1])
    return np.asarray(found, dtype=np.float64)
