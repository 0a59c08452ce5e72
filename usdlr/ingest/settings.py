"""What ingest does beyond reading."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.types import BurnedIn


@dataclass(frozen=True)
class IngestSettings:
    """Choices that change pixels or regions; part of every case's cache key.

    Parameters
    ----------
    find_fov : bool
        Look for the scan sector where neither the source nor transparency tells it.
    burned_in : str
        Calipers, text and body marks inside the field of view: ``inpaint`` (filled from around, in lesion and ring),
        ``mask`` (cut out of the field of view, hence of the ring; the lesion keeps them) or ``keep``.
    repair_masks : bool
        Fill small holes and remove small islands of contours.
    max_saturated : float
        A stiffness map with a larger share of saturated pixels is noted.
    """

    find_fov: bool = True
    burned_in: str = "inpaint"
    repair_masks: bool = True
    max_saturated: float = 0.1

    def __post_init__(self) -> None:
        if self.burned_in not in set(BurnedIn):
            raise ConfigError(
                f"found ingest.burned_in = {self.burned_in!r}, expected {', '.join(map(str, BurnedIn))}; choose one"
            )
        if not 0 <= self.max_saturated <= 1:
            raise ConfigError(
                f"found ingest.max_saturated = {self.max_saturated}, expected a share between 0 and 1; correct it"
            )

    @property
    def treatment(self) -> BurnedIn:
        """``burned_in`` as a word of the vocabulary."""
        return BurnedIn(self.burned_in)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
