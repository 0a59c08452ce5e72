"""How a case is prepared for a model: the part of a bundle that says what its networks read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from usdlr.core.regions import Region
from usdlr.core.where import Condition, checked_conditions
from usdlr.imaging.crop import CropSettings
from usdlr.inference.variants import Variant, distinct_crops
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.settings import RadiomicsSettings

# Pixels of a crop's side; axillae per pass, threads, views. No model comes near, and nobody is believed beyond it.
LARGEST_CROP, MOST = 4096, 4096


@dataclass(frozen=True)
class Preparation:
    """How a case is prepared for the model, from files to tensors.

    Parameters
    ----------
    network : NetworkSettings
        Blocks and layers; of an ensemble over variants, what they have in common is read from here.
    crop : CropSettings
        Crop in mm and pixels; that of every network where there are no variants.
    radiomics : RadiomicsSettings
        What is measured; its margin is the ring's margin for the crops too.
    engine : str
        Radiomics engine.
    clinical : tuple of str
        Pre-operative variables.
    batch_size, threads : int
        Part of the model: another value may change a probability by up to 1e-6.
    views : int
        Views of every sample over which a prediction is averaged; 1 is the sample as it is.
    relative_diameter : float or None
        Units across every lesion where lengths are relative to it; ``None``: millimetres.
    variants : tuple of Variant
        What the networks of a stage are made of and which crop they read, where they differ in more than their seed.
    where : mapping of str to condition
        Whom the model is for, as :mod:`usdlr.core.where` says; nobody else gets an answer.
    measure : bool or None
        Whether radiomics is measured even if no network reads it, so that an image which cannot be measured is left out
        as it was in the run; ``None``: where a network reads it.
    """

    network: NetworkSettings
    crop: CropSettings
    radiomics: RadiomicsSettings
    engine: str
    clinical: tuple[str, ...]
    batch_size: int
    threads: int
    views: int = 1
    relative_diameter: float | None = None
    variants: tuple[Variant, ...] = ()
    where: Mapping[str, Condition] = field(default_factory=dict)
    measure: bool | None = None

    @property
    def measures(self) -> bool:
        """Whether radiomics is measured."""
        return self.network.reads_radiomics if self.measure is None else self.measure

    @property
    def ensemble(self) -> tuple[Variant, ...]:
        """Every variant, at least one."""
        return self.variants or (Variant("", self.network, self.crop),)

    @property
    def crops(self) -> tuple[CropSettings, ...]:
        """The crops of every image, each cut once: those that the networks read."""
        return distinct_crops(self.ensemble)

    @property
    def regions(self) -> list[Region]:
        """Regions that the crops are cut with."""
        return [Region.named(name) for name in self.network.rois]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        variants = [
            {"name": variant.name, "network": variant.network.as_dict(), "crop": asdict(variant.crop)}
            for variant in self.variants
        ]
        further: dict[str, Any] = {"variants": variants} if variants else {}
        further |= {"where": dict(self.where)} if self.where else {}
        return further | {
            "network": self.network.as_dict(),
            "crop": asdict(self.crop),
            "radiomics": self.radiomics.as_dict(),
            "engine": self.engine,
            "clinical": list(self.clinical),
            "batch_size": self.batch_size,
            "threads": self.threads,
            "views": self.views,
            "relative_diameter": self.relative_diameter,
            "measure": self.measure,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Preparation:
        """Restore what :meth:`as_dict` gave.

        Raises
        ------
        ConfigError, KeyError, TypeError, ValueError, AttributeError
            If a setting is missing, of another kind or impossible.
        """
        found = cls(
            network=NetworkSettings(**state["network"]),
            crop=CropSettings(**state["crop"]),
            radiomics=RadiomicsSettings(**state["radiomics"]),
            engine=str(state["engine"]),
            clinical=tuple(state["clinical"]),
            batch_size=_counted("batch_size", state["batch_size"]),
            threads=_counted("threads", state["threads"]),
            views=_counted("views", state["views"]),
            # A bundle from before there was another scale is one in millimetres.
            relative_diameter=None if state.get("relative_diameter") is None else float(state["relative_diameter"]),
            variants=tuple(
                Variant(str(one["name"]), NetworkSettings(**one["network"]), CropSettings(**one["crop"]))
                for one in state.get("variants", [])
            ),
            where=checked_conditions(state.get("where", {})),
            measure=state.get("measure"),
        )
        if found.relative_diameter is not None and not 0 < found.relative_diameter < math.inf:
            raise ValueError(f"relative_diameter {found.relative_diameter}")
        for variant in found.ensemble:
            if not isinstance(variant.crop.size_px, int) or variant.crop.size_px > LARGEST_CROP:
                raise ValueError(f"crops of {variant.crop.size_px} pixels, expected at most {LARGEST_CROP}")
        return found


def _counted(name: str, value: Any) -> int:
    """A setting that is a count of at least 1."""
    if type(value) is not int or not 1 <= value <= MOST:
        raise ValueError(f"{name} = {value!r}, expected a whole number from 1 to {MOST}")
    return value
