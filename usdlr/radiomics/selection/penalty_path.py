"""What a penalised regression learnt along its path, enough to draw it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class PenaltyPath:
    """What a penalised regression learnt along its path, enough to draw it.

    Parameters
    ----------
    penalties : tuple of float
        From strong to weak.
    deviance, error : tuple of float
        Cross-validated mean deviance per row at each penalty, and its standard error over folds.
    sizes : tuple of int
        Columns with a coefficient, in the fit on all training rows.
    best, chosen : int
        Positions of the smallest deviance and of the penalty taken.
    names : tuple of str
        Columns drawn: the largest coefficients of the path, and every column of the chosen model.
    coefficients : tuple of tuple of float
        Per drawn column, its coefficient at each penalty, per standard deviation of the column.
    folds : int
        Folds that were used, no more than asked for.
    l1_ratio : float
        Share of the L1 part.
    """

    penalties: tuple[float, ...]
    deviance: tuple[float, ...]
    error: tuple[float, ...]
    sizes: tuple[int, ...]
    best: int
    chosen: int
    names: tuple[str, ...]
    coefficients: tuple[tuple[float, ...], ...]
    folds: int
    l1_ratio: float

    @property
    def limit(self) -> float:
        """Smallest mean deviance plus its standard error."""
        return self.deviance[self.best] + self.error[self.best]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        state = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in state.items()} | {
            "coefficients": [list(line) for line in self.coefficients]
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave."""
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in state.items()}
        return cls(**fields | {"coefficients": tuple(tuple(line) for line in state["coefficients"])})
