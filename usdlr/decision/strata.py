"""Which stratum an axilla belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        Tumour sizes that begin a new stratum; each belongs to the larger one.
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
        >>> StratumRule("tumour_size", (20.0, 50.0)).labels([19.9, 20.0, 71, None])
        ['below 20 mm', '20 to below 50 mm', '50 mm or more', None]
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
                found.append(names[int(np.searchsorted(self.edges_mm, size, side="right"))])
        return found

    def _bins(self) -> list[str]:
        edges = [f"{edge:g}" for edge in self.edges_mm]
        if not edges:
            return ["any size"]
        between = [f"{low} to below {high} mm" for low, high in pairwise(edges)]
        return [f"below {edges[0]} mm", *between, f"{edges[-1]} mm or more"]

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
