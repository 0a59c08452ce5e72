"""How strongly training samples are varied, and how many views of a sample are averaged at test time."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from usdlr.core.errors import ConfigError

MAX_INTENSITY = 4.0
# Beyond this, a sample could end up lying on its side; depth has a direction.
MAX_ROTATE_DEG = 45.0
# The largest product of a strength and ``intensity``: beyond, an image would be black, white or its own negative.
LARGEST = {
    "gain_db": 60.0,
    "dynamic_range": 0.9,
    "gamma": 4.0,
    "tgc_db": 30.0,
    "speckle_db": 10.0,
    "shadow_db": 60.0,
    "depth": 4.0,
    "stiffness": 0.9,
}
# How many views :func:`usdlr.data.augment.views.views` knows; stated here so that a configuration is checked early.
MOST_VIEWS = 8


@dataclass(frozen=True)
class AugmentSettings:
    """How strongly training samples are varied.

    Levels in dB refer to a B-mode image whose 256 grey levels span 60 dB, a usual setting; files do not state theirs.

    Parameters
    ----------
    flip : float
        Chance of a left-right flip. Never up-down: depth has a direction.
    rotate_deg : float
        Largest rotation in degrees, at most 45.
    scale : float
        Largest relative zoom; small, since size carries meaning. Millimetres per pixel follow it.
    shift : float
        Largest shift as a share of the crop's side.
    intensity : float
        Common factor of all strengths below: 0 none, 1 as they stand, at most 4.
    gain_db : float
        Largest change of the overall gain, in dB either way.
    dynamic_range : float
        Largest relative change of contrast, which follows from the dynamic range that a scanner is set to.
    gamma : float
        The grey map's exponent lies between 1 / (1 + gamma) and 1 + gamma.
    tgc_db : float
        Largest change of each slider of the time-gain compensation, in dB either way.
    speckle_db : float
        Largest standard deviation of added speckle, in dB.
    shadow_db : float
        Largest loss in an acoustic shadow, in dB.
    depth : float
        How much larger, at most, the scanner's pixels are when it is set to a greater depth: 0.5 for half as large
        again. Only detail is lost; the lesion keeps its size, since crops are cut in millimetres.
    stiffness : float
        Largest relative error of a stiffness map, common to its pixels.
    """

    flip: float = 0.5
    rotate_deg: float = 12.0
    scale: float = 0.1
    shift: float = 0.05
    intensity: float = 1.0
    gain_db: float = 9.0
    dynamic_range: float = 0.15
    gamma: float = 0.25
    tgc_db: float = 2.0
    speckle_db: float = 1.5
    shadow_db: float = 6.0
    depth: float = 0.5
    stiffness: float = 0.1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < math.inf:
                raise ConfigError(f"found augment.{name} = {value}, expected at least 0 and finite")
        if self.flip > 1 or self.scale >= 1 or self.shift >= 1:
            raise ConfigError("found augment.flip, scale or shift above 1, expected shares")
        if self.rotate_deg > MAX_ROTATE_DEG:
            raise ConfigError(f"found augment.rotate_deg = {self.rotate_deg}, expected at most {MAX_ROTATE_DEG:g}")
        if self.intensity > MAX_INTENSITY:
            raise ConfigError(f"found augment.intensity = {self.intensity}, expected at most {MAX_INTENSITY:g}")
        for name, largest in LARGEST.items():
            if self.strength(name) > largest:
                raise ConfigError(
                    f"found augment.{name} = {getattr(self, name)} at augment.intensity = {self.intensity}, expected a "
                    f"product of at most {largest:g}; lower one of them"
                )

    def strength(self, name: str) -> float:
        """A part's strength, ``intensity`` included.

        Examples
        --------
        >>> AugmentSettings(intensity=2.0).strength("gain_db")
        18.0
        """
        return float(getattr(self, name)) * self.intensity


@dataclass(frozen=True)
class ViewSettings:
    """How many views of a sample are averaged at test time.

    Parameters
    ----------
    count : int
        1: the sample as it is; at most 8: with its mirror image, small rotations and zooms.
    """

    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_VIEWS:
            raise ConfigError(f"found views.count = {self.count}, expected 1 to {MOST_VIEWS}")
