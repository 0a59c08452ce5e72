"""The points of a sweep: settings that differ from the experiment's, each with a readable name that stays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import PurePath
from typing import Any

from usdlr.core.hashing import data_hash
from usdlr.experiment.runs import setting_text, short_keys
from usdlr.experiment.sweep.settings import SweepSettings, is_component

_LONGEST = 100
_DIGITS = 6


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Parameters
    ----------
    name : str
        Folder name of the run.
    settings : mapping of str to plain data
        By dotted key, what differs from the experiment.
    seed : int or None
        The experiment's seed; ``None``: as the experiment has it.
    """

    name: str
    settings: Mapping[str, Any]
    seed: int | None = None

    @property
    def overrides(self) -> dict[str, Any]:
        """Everything that differs from the experiment, the seed too."""
        return dict(self.settings) | ({} if self.seed is None else {"seed": self.seed})


def grid_points(settings: SweepSettings) -> list[Point]:
    """Every combination of the grid's values, the last key changing first, each with every seed."""
    keys = settings.keys
    every = [dict(zip(keys, values, strict=True)) for values in product(*(settings.grid[key] for key in keys))]
    names = readable_names(every)
    return [point for name, own in zip(names, every, strict=True) for point in with_seeds(name, own, settings.seeds)]


def with_seeds(name: str, settings: Mapping[str, Any], seeds: Sequence[int]) -> list[Point]:
    """One point per seed, or the point itself where no seeds are named."""
    return [Point(f"{name},seed={seed}", settings, seed) for seed in seeds] or [Point(name, settings)]


def readable_names(every: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each of several settings, fit for a folder and different for each; what is equal in all is left out.

    Examples
    --------
    >>> readable_names([{"model.fusion": "late", "radiomics.margin_mm": 3.0}])
    ['fusion=late,margin_mm=3']
    """
    every_key = list(dict.fromkeys(key for settings in every for key in settings))
    varied = [key for key in every_key if any(settings.get(key) != every[0].get(key) for settings in every)]
    labels = short_keys(varied or every_key)
    names = [",".join(f"{labels[key]}={_value(own[key])}" for key in labels if key in own) for own in every]
    names = [_shortened(re.sub(r"[^A-Za-z0-9_.,=+-]", "_", name)) for name in names]
    count = Counter(name.lower() for name in names)  # folders may not tell capitals apart
    return [
        name if count[name.lower()] == 1 else f"{name}-{data_hash(dict(settings))[:_DIGITS]}"
        for name, settings in zip(names, every, strict=True)
    ]


def _value(value: Any) -> str:
    text = setting_text(PurePath(value).stem if is_component(value) else value)
    return re.sub(r"[(]", "-", text).replace(")", "").replace(", ", "-")


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - _DIGITS - 1]}-{data_hash(name)[:_DIGITS]}"
