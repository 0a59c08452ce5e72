"""How often the lymph nodes of a simulated axilla are imaged."""

from __future__ import annotations

from dataclasses import dataclass

from usdlr.core.errors import ConfigError
from usdlr.simulate.checks import require_numbers


@dataclass(frozen=True, slots=True)
class NodeModel:
    """Images of the axilla beside those of the tumour.

    Parameters
    ----------
    imaged_rate : float
        Share of the patients with an image of their most conspicuous lymph node; 0: no axilla is imaged, and nodes
        have no latents. Who is imaged depends on nothing else.
    second_view_rate : float
        Share of these with a second view of the node.

    Raises
    ------
    ConfigError
        If a share is not between 0 and 1.
    """

    imaged_rate: float = 0.0
    second_view_rate: float = 0.3

    def __post_init__(self) -> None:
        for name in ("imaged_rate", "second_view_rate"):
            value = getattr(self, name)
            require_numbers(f"nodes.{name}", value)
            if not 0 <= value <= 1:
                raise ConfigError(f"found nodes.{name} = {value}, expected a share from 0 to 1; correct the scenario")

    @property
    def imaged(self) -> bool:
        """Whether anybody's node is imaged."""
        return self.imaged_rate > 0
