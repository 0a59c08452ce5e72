"""Ridge scores of a stage's radiomics and clinical columns, told by block: what a plain model makes of each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.baselines.ridge import EarlierQuestion, RidgeScore, varying
from usdlr.core.leak import Rows
from usdlr.core.modalities import MODALITIES
from usdlr.models.settings import NetworkSettings

Values = npt.NDArray[np.float64]
# The optional modalities that images have features of, in the order of the registry.
Pattern = tuple[str, ...]


class BlockScores:
    """One ridge model of all columns per target and pattern of optional modalities, its log-odds told by block.

    A row without a map is scored by a model that never saw one (a pattern submodel), not by one whose missing columns
    are filled in: what stands in for a map's features would speak through the weights of the others.

    Parameters
    ----------
    columns : mapping of str to sequence of str
        Columns of every scored block.
    models : mapping of tuple of str to sequence of RidgeScore
        Fitted models by pattern, one per target. A pattern without models has no column: its rows are scored 0.

    References
    ----------
    Fletcher Mercaldo and Blume, Missing data and prediction: the pattern submodel, Biostatistics 2020,
    10.1093/biostatistics/kxy040.
    """

    def __init__(self, columns: Mapping[str, Sequence[str]], models: Mapping[Pattern, Sequence[RidgeScore]]) -> None:
        self.columns = {block: tuple(names) for block, names in columns.items()}
        self.models = {pattern: tuple(each) for pattern, each in models.items()}

    @property
    def blocks(self) -> tuple[str, ...]:
        """The scored blocks, in the order of the scores."""
        return tuple(self.columns)

    @property
    def fitted_patients(self) -> frozenset[str]:
        """Who was seen; empty after :meth:`from_dict`."""
        return frozenset().union(*(model.fitted_patients_ for each in self.models.values() for model in each))

    @classmethod
    def fit(
        cls,
        settings: NetworkSettings,
        design: pd.DataFrame,
        labels: Values,
        *,
        rows: Rows,
        width: int,
        seed: int,
        earlier: Values | None = None,
    ) -> tuple[Self, npt.NDArray[np.float32]]:
        """Fit on training images.

        Parameters
        ----------
        settings : NetworkSettings
            Which blocks there are, and whether they are scored.
        design : DataFrame, (images, columns)
            Every column; the score chooses nothing.
        labels : float array, (images, targets)
            1 positive, 0 negative, not-a-number unknown; a target's model sees the images it is known for. Where
            there are several, those after the first lean on the first.
        rows : Rows
            Whose images they are: training patients.
        width : int
            How many targets are scored.
        seed : int
            Of the division of the training patients.
        earlier : float array, (images,), optional
            Labels of a question asked before, with answers of more patients, that the first target leans on.

        Returns
        -------
        BlockScores
            The models.
        float32 array, (images, blocks, width)
            Scores of the training images by models that did not see their patients.
        """
        found = cls(_scored_columns(settings, design, labels[:, :width]), {})
        own = np.zeros((len(design), len(found.blocks), width))
        names = [name for block in found.columns.values() for name in block]
        patterns = found._patterns(design)
        for pattern in _subsets(names):
            part = design[[name for name in names if _optional(name) in (None, *pattern)]]
            models = []
            for target in range(width):
                known, lean = np.isfinite(labels[:, target]), labels[:, 0] if target else earlier
                if not varying(part[known].to_numpy(np.float64)).any() and part.shape[1] < len(names):
                    continue
                before = None
                if lean is not None:
                    answered = np.isfinite(lean)
                    before = EarlierQuestion(part[answered], lean[answered], rows.take(answered))
                model = RidgeScore(seed).fit(
                    part[known],
                    labels[known, target],
                    rows=rows.take(known),
                    groups=found.columns,
                    earlier=before,
                )
                mine = patterns == _code(pattern)
                own[mine, :, target] = model.terms(part[mine], found.columns)
                own[mine & known, :, target] = model.cross_fitted_terms_[mine[known]]
                models.append(model)
            found.models[pattern] = tuple(models)
        return found, own.astype(np.float32)

    def score(self, design: pd.DataFrame, width: int) -> npt.NDArray[np.float32]:
        """Scores of other images, (images, blocks, width): log-odds above those of the mean training patient."""
        out = np.zeros((len(design), len(self.blocks), width))
        patterns = self._patterns(design)
        for pattern, models in self.models.items():
            mine = patterns == _code(pattern)
            if mine.any() and models:
                out[mine] = np.stack([model.terms(design[mine], self.columns) for model in models], axis=2)
        return out.astype(np.float32)

    def by_column(self, design: pd.DataFrame, target: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What every column adds to a target's scores of other images; summed over a block, it is :meth:`score`.

        Parameters
        ----------
        design : DataFrame, (images, columns)
            As for :meth:`score`.
        target : int
            Which of the scored targets.

        Returns
        -------
        tuple of DataFrame, (images, scored columns)
            Log-odds in nat, 0 where the image's pattern has no such column, and the training mean from which they
            count, in the column's own unit, null there.
        """
        names = list(dict.fromkeys(name for block in self.columns.values() for name in block))
        added = pd.DataFrame(0.0, index=range(len(design)), columns=names)
        usual = pd.DataFrame(np.nan, index=range(len(design)), columns=names)
        patterns = self._patterns(design)
        for pattern, models in self.models.items():
            mine = patterns == _code(pattern)
            if mine.any() and models:
                model = models[target]
                added.loc[mine, model.columns_] = model.terms(design[mine], {name: [name] for name in model.columns_})
                usual.loc[mine, model.columns_] = model.center_
        return added.set_axis(design.index), usual.set_axis(design.index)

    def _patterns(self, design: pd.DataFrame) -> npt.NDArray[np.str_]:
        """The pattern of every row, as text."""
        names = {name for block in self.columns.values() for name in block} & {str(name) for name in design}
        has = {
            modality: np.isfinite(design[of].to_numpy(np.float64)).any(axis=1)
            for modality, of in _by_modality(names).items()
        }
        return np.array([_code([name for name in has if has[name][row]]) for row in range(len(design))], dtype=np.str_)

    def to_dict(self) -> dict[str, Any]:
        """The fitted models as JSON types, without patients."""
        return {
            "columns": {block: list(names) for block, names in self.columns.items()},
            "patterns": [
                {"with": list(pattern), "models": [model.to_dict() for model in each]}
                for pattern, each in self.models.items()
            ],
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is damaged.
        """
        models = {
            tuple(str(name) for name in one["with"]): [RidgeScore.from_dict(model) for model in one["models"]]
            for one in state["patterns"]
        }
        return cls({block: [str(name) for name in names] for block, names in dict(state["columns"]).items()}, models)


def _scored_columns(settings: NetworkSettings, design: pd.DataFrame, labels: Values) -> dict[str, list[str]]:
    """Columns by block; a region that no training patient has a value of has no score."""
    names = [str(name) for name in design]
    blocks = settings.table_blocks(names) if settings.score else {}
    out = {block: [names[place] for place in places] for block, places in blocks.items()}
    if settings.tabular == "joint":
        return out
    taught = np.isfinite(labels).T
    return {
        block: own
        for block, own in out.items()
        if all(varying(design.loc[known, own].to_numpy(np.float64)).any() for known in taught)
    }


def _optional(column: str) -> str | None:
    """The optional modality that a column is measured in; None for any other."""
    first = column.split(".")[0]
    return first if first in MODALITIES and not MODALITIES[first].required else None


def _by_modality(names: Sequence[str] | set[str]) -> dict[str, list[str]]:
    """Columns of every optional modality that has any, in the order of the registry."""
    out = {modality: [name for name in names if _optional(name) == modality] for modality in MODALITIES}
    return {modality: of for modality, of in out.items() if of}


def _subsets(names: Sequence[str]) -> list[Pattern]:
    """Every pattern of the optional modalities among the columns, all of them first."""
    optional = list(_by_modality(names))
    return [chosen for size in range(len(optional), -1, -1) for chosen in combinations(optional, size)] if names else []


def _code(pattern: Sequence[str]) -> str:
    return "+".join(pattern)
