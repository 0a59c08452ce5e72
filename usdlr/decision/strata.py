"""Which stratum an axilla belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import pandas as pd

from usdlr.core.errors import BundleError, InputError
from usdlr.decision.settings import CENTRE, ELASTOGRAPHY, PER_STRATUM, STRATA, TUMOUR_SIZE, ContractSettings

WITH, WITHOUT = "with elastography", "without elastography"


@dataclass(frozen=True)
class StratumRule:
    """How axillae are told apart.

    Parameters
    ----------
    by : str
        ``centre``, ``tumour_size`` (largest lesion, mm) or ``elastography`` (whether there is any).
    edges_mm : tuple of float
        Largest tumour sizes of all strata but the last, as T stages are told apart: 20 mm is T1, 50 mm is T2.
    joint : bool
        Whether ``delta`` is joint over the strata.
    """

    by: str
    edges_mm: tuple[float, ...] = ()
    joint: bool = True

    @classmethod
    def of(cls, settings: ContractSettings) -> Self | None:
        """What the settings ask for, if they do."""
        if settings.strata is None:
            return None
        edges = tuple(settings.strata_edges_mm) if settings.strata == TUMOUR_SIZE else ()
        return cls(settings.strata, edges, settings.strata_delta != PER_STRATUM)

    def labels(self, values: Sequence[object] | pd.Series) -> list[str | None]:
        """Name of the stratum of every axilla; ``None`` where the value is unknown.

        Parameters
        ----------
        values : (n,) sequence
            Centre, tumour size in mm, or whether there is elastography.

        Raises
        ------
        InputError
            If a tumour size is no positive number.

        Examples
        --------
        >>> StratumRule("tumour_size", (20.0, 50.0)).labels([20.0, 20.1, 50.0, 71, None])
        ['up to 20 mm', 'over 20 to 50 mm', 'over 20 to 50 mm', 'over 50 mm', None]
        """
        found: list[str | None] = []
        names = self._bins()
        for value in values:
            if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
                found.append(None)
            elif self.by == CENTRE:
                found.append(str(value))
            elif self.by == ELASTOGRAPHY:
                found.append(WITH if bool(value) else WITHOUT)
            else:
                size = float(str(value))
                if not np.isfinite(size) or size <= 0:
                    raise InputError(f"found a tumour size of {value} mm, expected a positive length; mend the table")
                found.append(names[int(np.searchsorted(self.edges_mm, size, side="left"))])
        return found

    def names(self, given: Iterable[str] = ()) -> set[str]:
        """Every name that :meth:`labels` can give; of centres, which nobody knows beforehand, those ``given``."""
        if self.by == CENTRE:
            return set(given)
        return {WITH, WITHOUT} if self.by == ELASTOGRAPHY else set(self._bins())

    def _bins(self) -> list[str]:
        edges = [f"{edge:g}" for edge in self.edges_mm]
        if not edges:
            return ["any size"]
        between = [f"over {low} to {high} mm" for low, high in pairwise(edges)]
        return [f"up to {edges[0]} mm", *between, f"over {edges[-1]} mm"]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"by": self.by, "edges_mm": list(self.edges_mm), "joint": self.joint}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` wrote.

        Raises
        ------
        BundleError
            If it is not one.
        """
        try:
            rule = cls(str(values["by"]), tuple(float(edge) for edge in values["edges_mm"]), values["joint"] is True)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"found strata that cannot be read ({error!r}); export the bundle again") from error
        if rule.by not in STRATA:
            raise BundleError(f"found strata by {rule.by!r}, expected one of {', '.join(STRATA)}; update usdlr")
        return rule
