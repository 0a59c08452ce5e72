"""Ridge scores of a stage's radiomics and clinical blocks: what a plain model makes of each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.baselines.ridge import RidgeScore, varying
from usdlr.core.leak import Rows
from usdlr.models.settings import NetworkSettings

Values = npt.NDArray[np.float64]


class BlockScores:
    """One ridge score per block and target.

    Parameters
    ----------
    models : mapping of str to sequence of RidgeScore
        Fitted models by block, one per target.

    Attributes
    ----------
    blocks : tuple of str
        The scored blocks, in the order of the scores.
    """

    def __init__(self, models: Mapping[str, Sequence[RidgeScore]]) -> None:
        self.models = {block: tuple(each) for block, each in models.items()}

    @property
    def blocks(self) -> tuple[str, ...]:
        """The scored blocks, in the order of the scores."""
        return tuple(self.models)

    @property
    def fitted_patients(self) -> frozenset[str]:
        """Who was seen; empty after :meth:`from_dict`."""
        return frozenset().union(*(model.fitted_patients_ for each in self.models.values() for model in each))

    @classmethod
    def fit(
        cls, settings: NetworkSettings, design: pd.DataFrame, labels: Values, *, rows: Rows, width: int, seed: int
    ) -> tuple[Self, npt.NDArray[np.float32]]:
        """Fit on training images.

        Parameters
        ----------
        settings : NetworkSettings
            Which blocks there are, and whether they are scored.
        design : DataFrame, (images, columns)
            Every column; the score chooses nothing.
        labels : float array, (images, targets)
            1 positive, 0 negative, not-a-number unknown; a target's model sees the images it is known for.
        rows : Rows
            Whose images they are: training patients.
        width : int
            How many targets are scored.
        seed : int
            Of the division of the training patients.

        Returns
        -------
        BlockScores
            The models.
        float32 array, (images, blocks, width)
            Scores of the training images by models that did not see their patients.
        """
        models: dict[str, list[RidgeScore]] = {}
        scores: list[Values] = []
        blocks = settings.table_blocks([str(name) for name in design.columns]) if settings.score else {}
        for block, places in blocks.items():
            part = design.iloc[:, places]
            own, columns = [], []
            taught = [np.isfinite(labels[:, target]) for target in range(width)]
            if settings.tabular != "joint" and not all(
                varying(part[known].to_numpy(np.float64)).any() for known in taught
            ):
                continue  # a region that no training patient has a value of has no score
            for target, known in enumerate(taught):
                model = RidgeScore(seed).fit(part[known], labels[known, target], rows=rows.take(known))
                column = model.decision_function(part)
                column[known] = model.cross_fitted_
                own.append(model)
                columns.append(column)
            models[block] = own
            scores.append(np.stack(columns, axis=1))
        found = cls(models)
        return found, _stack(scores, len(design), width)

    def score(self, design: pd.DataFrame, width: int) -> npt.NDArray[np.float32]:
        """Scores of other images, (images, blocks, width)."""
        scores = [
            np.stack([model.decision_function(design) for model in each], axis=1) for each in self.models.values()
        ]
        return _stack(scores, len(design), width)

    def to_dict(self) -> dict[str, Any]:
        """The fitted models as JSON types, without patients."""
        return {block: [model.to_dict() for model in each] for block, each in self.models.items()}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is damaged.
        """
        return cls({block: [RidgeScore.from_dict(one) for one in each] for block, each in dict(state).items()})


def _stack(scores: Sequence[Values], images: int, width: int) -> npt.NDArray[np.float32]:
    stacked = np.stack(scores, axis=1) if scores else np.zeros((images, 0, width))
    return np.asarray(stacked, dtype=np.float32)
