"""What the user demands of the false-negative contract."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from usdlr.core.errors import ConfigError
from usdlr.core.types import OnUncertified, Stage

CERTIFIED, MARGINAL = "certified", "marginal"
KINDS = (CERTIFIED, MARGINAL)
CENTRE, TUMOUR_SIZE, ELASTOGRAPHY = "centre", "tumour_size", "elastography"
STRATA = (CENTRE, TUMOUR_SIZE, ELASTOGRAPHY)
PER_STRATUM, JOINT = "per_stratum", "joint"


@dataclass(frozen=True)
class ContractSettings:
    """What the user demands.

    Parameters
    ----------
    alpha_sln, alpha_nsln : float
        Largest tolerated false-negative rate per endpoint, between 0 and 1.
    delta : float
        Tolerated chance that the statement is wrong, between 0 and 1; joint over both endpoints.
    path_steps : int
        Number of steps from treat-all to treat-nobody.
    on_uncertified : str
        ``"defer"`` or ``"zero_miss"``: what a prediction answers when the target cannot be certified.
    kind : str
        ``"certified"``, or ``"marginal"``, the weaker promise without a stated confidence of
        :mod:`usdlr.decision.risk_control`.
    defer_near : bool
        Whether an axilla is deferred where the interval of a stage's log-odds crosses the stage's threshold.
    defer_at_most : float
        Largest share of tuning axillae that may be deferred for it; intervals are narrowed until it is kept.
    ood_share : float or None
        Share of patients like the tuning patients who are deferred at most for being unlike the training patients;
        ``None``: nobody is, and an alarm is told at 5 %.
    strata : str or None
        ``"centre"``, ``"tumour_size"`` or ``"elastography"``: a contract for each stratum.
    strata_edges_mm : list of float
        Largest tumour sizes of all strata but the last, rising; a size at an edge belongs to the smaller stratum, as
        20 mm is T1 and 50 mm is T2.
    strata_delta : str
        ``"per_stratum"``: each statement is wrong with chance ``delta`` at most. ``"joint"``: any of them is.

    Raises
    ------
    ConfigError
        If a value is impossible.
    """

    alpha_sln: float = 0.10
    alpha_nsln: float = 0.10
    delta: float = 0.05
    path_steps: int = 200
    on_uncertified: str = "defer"
    kind: str = CERTIFIED
    defer_near: bool = False
    defer_at_most: float = 0.20
    ood_share: float | None = None
    strata: str | None = None
    strata_edges_mm: list[float] = field(default_factory=lambda: [20.0, 50.0])
    strata_delta: str = JOINT

    def __post_init__(self) -> None:
        for name in ("alpha_sln", "alpha_nsln", "delta"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
                raise ConfigError(f"found {name} = {value!r}, expected a number between 0 and 1, e.g. 0.05 for 5 %")
        if isinstance(self.path_steps, bool) or not isinstance(self.path_steps, int) or self.path_steps < 1:
            raise ConfigError(f"found path_steps = {self.path_steps!r}, expected a whole number from 1 upward")
        _choice("on_uncertified", self.on_uncertified, list(map(str, OnUncertified)))
        _choice("kind", self.kind, KINDS)
        _choice("strata_delta", self.strata_delta, (PER_STRATUM, JOINT))
        if self.strata is not None:
            _choice("strata", self.strata, STRATA)
        if not isinstance(self.defer_near, bool):
            raise ConfigError(f"found defer_near = {self.defer_near!r}, expected true or false")
        share = self.defer_at_most
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ConfigError(f"found defer_at_most = {share!r}, expected a share from 0 to 1, e.g. 0.2 for 20 %")
        ood = self.ood_share
        if ood is not None and (isinstance(ood, bool) or not isinstance(ood, int | float) or not 0 < ood < 1):
            raise ConfigError(
                f"found ood_share = {ood!r}, expected a share between 0 and 1, e.g. 0.05 for 5 %, or null for nobody"
            )
        try:
            edges = [float(edge) for edge in self.strata_edges_mm]
        except (TypeError, ValueError) as error:
            raise ConfigError(f"found strata_edges_mm = {self.strata_edges_mm!r}, expected lengths in mm") from error
        if any(not math.isfinite(edge) or edge <= 0 for edge in edges) or list(edges) != sorted(set(edges)):
            raise ConfigError(f"found strata_edges_mm = {edges}, expected rising lengths in mm, e.g. [20, 50]")
        object.__setattr__(self, "strata_edges_mm", edges)

    @property
    def alpha(self) -> dict[str, float]:
        """Targets by stage."""
        return {str(Stage.SLN): float(self.alpha_sln), str(Stage.NSLN): float(self.alpha_nsln)}


def _choice(name: str, value: object, known: Collection[str]) -> None:
    if value not in known:
        raise ConfigError(f"found {name} = {value!r}, expected {' or '.join(known)}")
