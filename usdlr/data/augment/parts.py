"""The intensity changes by name: how each is drawn and done, and the albumentations pipeline of every modality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import albumentations as A
from albumentations.core.transforms_interface import BaseTransformInitSchema

from usdlr.core.named_parts import option_names
from usdlr.data.augment import echo
from usdlr.data.augment.settings import AugmentSettings
from usdlr.imaging.image import FloatArray

# What one change was: JSON types only.
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of change.

    Parameters
    ----------
    strength : str
        Its field of :class:`AugmentSettings`.
    chance : float
        How often it happens.
    draw : callable
        (random, strength) to the values of one change. It takes the same number of random numbers at every strength,
        so that another strength of one part leaves the others' draws alone.
    change : callable
        (pixels as a share of the modality's range, millimetres per pixel, the values by keyword) to new pixels.
    """

    strength: str
    chance: float
    draw: Callable[[Random, float], Values]
    change: Callable[..., FloatArray]

    @property
    def example(self) -> Values:
        """The values of one change: their names, and which of them are lists or whole numbers."""
        return self.draw(Random(0), 1.0)  # noqa: S311  # nothing here is a secret


def _gain(random: Random, strength: float) -> Values:
    return {"db": random.uniform(-strength, strength)}


def _dynamic_range(random: Random, strength: float) -> Values:
    return {"contrast": random.uniform(1 - strength, 1 + strength)}


def _gamma(random: Random, strength: float) -> Values:
    return {"exponent": (1 + strength) ** random.uniform(-1, 1)}


def _tgc(random: Random, strength: float) -> Values:
    return {"db": [random.uniform(-strength, strength) for _ in range(echo.SLIDERS)]}


def _speckle(random: Random, strength: float) -> Values:
    # Pulses between those of a 15 MHz and an 8 MHz transducer near its focus.
    return {
        "db": random.uniform(0, strength),
        "axial_mm": random.uniform(0.08, 0.16),
        "lateral_mm": random.uniform(0.12, 0.30),
        "seed": random.getrandbits(32),
    }


def _shadow(random: Random, strength: float) -> Values:
    return {
        "row": random.uniform(-0.2, 0.7),
        "col": random.uniform(0, 1),
        "width_mm": random.uniform(1, 5),
        "spread_deg": random.uniform(0, 6),
        "db": random.uniform(strength / 3, strength),
    }


def _depth(random: Random, strength: float) -> Values:
    return {"factor": random.uniform(1, 1 + strength)}


def _stiffness(random: Random, strength: float) -> Values:
    return {"factor": random.uniform(1 - strength, 1 + strength)}


def stiffness(pixels: FloatArray, pixel_mm: float, *, factor: float) -> FloatArray:
    """A stiffness map with an error of measurement that is common to its pixels."""
    return pixels * factor


# By Modality.augmentation: the changes in the order in which they happen to an image on its way to the screen.
PARTS: dict[str, dict[str, Part]] = {
    "echo": {
        "shadow": Part("shadow_db", 0.15, _shadow, echo.shadow),
        "tgc": Part("tgc_db", 0.3, _tgc, echo.tgc),
        "speckle": Part("speckle_db", 0.3, _speckle, echo.speckle),
        "depth": Part("depth", 0.2, _depth, echo.depth),
        "gain": Part("gain_db", 0.7, _gain, echo.gain),
        "dynamic_range": Part("dynamic_range", 0.7, _dynamic_range, echo.dynamic_range),
        "gamma": Part("gamma", 0.5, _gamma, echo.gamma),
    },
    "stiffness": {"stiffness": Part("stiffness", 0.5, _stiffness, stiffness)},
}


# albumentations states no types.
class PartTransform(A.ImageOnlyTransform):  # type: ignore[misc]
    """A part as an albumentations transform; a pipeline of such needs ``pixel_mm`` beside ``image``.

    Parameters
    ----------
    group, name : str
        Where in :data:`PARTS`.
    strength : float
        In the part's own unit.
    p : float
        Chance.
    """

    class InitSchema(BaseTransformInitSchema):  # type: ignore[misc]  # as above
        """What albumentations checks."""

        group: str
        name: str
        strength: float

    def __init__(self, group: str, name: str, strength: float, p: float) -> None:
        super().__init__(p=p)
        self.group, self.name, self.strength = group, name, strength
        self.part = PARTS[group][name]

    @property
    def targets_as_params(self) -> list[str]:
        """Lengths are in mm: the pixels' size belongs to the data."""
        return ["pixel_mm"]

    def get_params(self) -> Values:
        """One draw."""
        return self.part.draw(self.py_random, self.strength)

    def get_params_dependent_on_data(self, params: Values, data: Mapping[str, Any]) -> Values:
        """The pixels' size."""
        return {"pixel_mm": data["pixel_mm"]}

    def apply(self, img: FloatArray, pixel_mm: float, **params: Any) -> FloatArray:
        """The changed image."""
        return self.part.change(img, pixel_mm, **{name: params[name] for name in option_names(self.part.change)})


@cache
def pipeline(group: str, settings: AugmentSettings) -> A.Compose:
    """The albumentations pipeline of a modality, as ``pipeline(...)(image=share of the range, pixel_mm=0.2)``.

    Parameters
    ----------
    group : str
        :attr:`usdlr.core.modalities.Modality.augmentation`.
    settings : AugmentSettings
        Strengths; a part of strength 0 is there and never happens.
    """
    return A.Compose(
        [
            PartTransform(group, name, strength, part.chance if strength > 0 else 0.0)
            for name, part in PARTS[group].items()
            for strength in [settings.strength(part.strength)]
        ]
    )
