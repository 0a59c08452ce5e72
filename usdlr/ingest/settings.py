"""What ingest does beyond reading."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.types import BurnedIn

# A margin of a few units should be a sensible part of the lesion, whatever the unit.
RELATIVE_DIAMETERS = (1.0, 150.0)


@dataclass(frozen=True)
class IngestSettings:
    """Choices that change pixels, regions or endpoints; part of every case's cache key.

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
    adjacent_frames : bool
        Keep the frames before and after the one that is used, for networks that look at three frames. For files that
        are clips: in a stack of stills, the next picture is not the next moment, and the file does not tell them apart.
    relative_diameter : float or None
        Give every image the scale at which its lesion's equivalent diameter (of the disc of its area) is so many units,
        e.g. 20, and note it. What other tables call mm is then a share of the lesion's diameter: rings and crops grow
        with the lesion, and no size is known or used, not even where the source states it. For images without
        millimetres, and for others that a model of such images is to be compared on. ``None``: millimetres.
    itc_positive : bool
        Whether isolated tumour cells (a deposit of at most 0.2 mm or 200 cells, pN0(i+)) count as a positive sentinel
        node, where the source states the deposit. By default they count as negative, as staging has them;
        micrometastases always count as positive. The report prints which.
    """

    find_fov: bool = True
    burned_in: str = "inpaint"
    repair_masks: bool = True
    max_saturated: float = 0.1
    adjacent_frames: bool = False
    relative_diameter: float | None = None
    itc_positive: bool = False

    def __post_init__(self) -> None:
        if self.burned_in not in set(BurnedIn):
            raise ConfigError(
                f"found ingest.burned_in = {self.burned_in!r}, expected {', '.join(map(str, BurnedIn))}; choose one"
            )
        if not 0 <= self.max_saturated <= 1:
            raise ConfigError(
                f"found ingest.max_saturated = {self.max_saturated}, expected a share between 0 and 1; correct it"
            )
        low, high = RELATIVE_DIAMETERS
        if self.relative_diameter is not None and not low <= self.relative_diameter <= high:
            raise ConfigError(
                f"found ingest.relative_diameter = {self.relative_diameter}, expected {low:g} to {high:g} units across "
                "the lesion, e.g. 20, or null for millimetres"
            )

    @property
    def treatment(self) -> BurnedIn:
        """``burned_in`` as a word of the vocabulary."""
        return BurnedIn(self.burned_in)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
