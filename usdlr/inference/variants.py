"""The variants of an ensemble: networks of one stage that differ in their crop or in what they are made of.

All variants read the same blocks, answer the same targets and learn from the same axillae; what a stage says is the
mean of all its networks' log-odds, whichever variant they belong to. Networks stand in one order everywhere: for every
cross-fitting fold of a readout (one fold without), for every variant in the order of the configuration, its members.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import nearest
from usdlr.imaging.crop import CropSettings
from usdlr.models.settings import NetworkSettings

# What a variant may lay over the experiment's settings.
CROP, MODEL = "crop", "model"
# Blocks and targets are the stage's: contributions of networks that differ in them cannot be averaged.
COMMON = ("modalities", "rois", "sites", "tabular", "head")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", list: "a list", dict: "a table"}

Settings = TypeVar("Settings", CropSettings, NetworkSettings)


@dataclass(frozen=True)
class Variant:
    """What some of a stage's networks are made of, and the crop that they read.

    Parameters
    ----------
    name : str
        Its name in the configuration; empty where an experiment has no variants.
    network : NetworkSettings
        Blocks and layers.
    crop : CropSettings
        Crop in mm and pixels.
    """

    name: str
    network: NetworkSettings
    crop: CropSettings


def ensemble_of(
    network: NetworkSettings, crop: CropSettings, variants: Mapping[str, Mapping[str, Any] | None]
) -> tuple[Variant, ...]:
    """Every variant with all of its settings; without variants, the one that has the experiment's own.

    Parameters
    ----------
    network, crop
        The experiment's.
    variants : mapping of str to mapping
        By name, what a variant changes: ``{crop: {...}, model: {...}}``, both optional. One that changes nothing is
        the experiment's own network, which is otherwise no part of the ensemble.

    Raises
    ------
    ConfigError
        If a name, key or value is unknown or impossible, or a variant would have other blocks or targets.

    Examples
    --------
    >>> fixed = {"crop": {"policy": "fixed"}, "model": {"backbone": "resnet50"}}
    >>> found = ensemble_of(NetworkSettings(), CropSettings(), {"own": {}, "fixed": fixed})
    >>> [(one.name, one.network.backbone, one.crop.policy) for one in found]
    [('fixed', 'resnet50', 'fixed'), ('own', 'mobilenetv4_conv_small', 'adjustable')]
    """
    if not variants:
        return (Variant("", network, crop),)
    # By name: the order in a file says nothing, and equal tables must mean equal crops in equal places.
    return tuple(_variant(str(name), network, crop, variants[name]) for name in sorted(variants, key=str))


def distinct_crops(ensemble: Sequence[Variant]) -> tuple[CropSettings, ...]:
    """The crops that an ensemble reads, each once, in the order of its variants."""
    return tuple(dict.fromkeys(variant.crop for variant in ensemble))


def _variant(name: str, network: NetworkSettings, crop: CropSettings, given: object) -> Variant:
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"found the variant {name!r}, expected a name of letters, digits, - and _ that begins with a letter or "
            "digit; rename it"
        )
    over = {} if given is None else given
    if not isinstance(over, Mapping):
        raise ConfigError(f"found variants.{name} = {given!r}, expected a table with {CROP} and {MODEL}")
    for key in over:
        if "." in str(key):  # the rest of the variant is gone by now
            raise ConfigError(
                f"found variants.{name}.{key} as one key, expected the whole table of a variant, which is replaced as "
                f"one; give variants.{name} = {{{str(key).partition('.')[0]}: {{...}}}}"
            )
        if key not in (CROP, MODEL):
            raise ConfigError(
                f"found variants.{name}.{key}, expected {CROP} or {MODEL}, in which variants may differ"
                f"{nearest(str(key), (CROP, MODEL))}"
            )
    model = over.get(MODEL)
    for key in model if isinstance(model, Mapping) else ():
        if key in COMMON:
            raise ConfigError(
                f"found variants.{name}.{MODEL}.{key}, expected the same {', '.join(COMMON)} in every variant, whose "
                f"contributions are averaged block by block; set {MODEL}.{key} for all of them"
            )
    return Variant(
        name,
        _laid_over(network, over.get(MODEL), f"variants.{name}.{MODEL}"),
        _laid_over(crop, over.get(CROP), f"variants.{name}.{CROP}"),
    )


def _laid_over(settings: Settings, given: object, where: str) -> Settings:
    """Settings with some of them replaced, each of its own type."""
    if given is None:
        return settings
    if not isinstance(given, Mapping):
        raise ConfigError(f"found {where} = {given!r}, expected a table of settings")
    known = [field.name for field in fields(settings)]
    hints = get_type_hints(type(settings))
    changed: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            raise ConfigError(
                f"found the unknown key {where}.{key}, expected one of {', '.join(known)}{nearest(str(key), known)}"
            )
        kinds = _kinds(hints[key])
        if not any(_is(value, kind) for kind in kinds):
            words = ["null" if kind is None else WORDS[get_origin(kind) or kind] for kind in kinds]
            raise ConfigError(f"found {where}.{key} = {value!r}, expected {' or '.join(words)}")
        changed[key] = float(value) if kinds == (float,) else value
    try:
        return replace(settings, **changed)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The types of a setting; ``None`` stands for null."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(None if kind is type(None) else kind for kind in kinds)


def _is(value: object, kind: Any) -> bool:
    if kind is None:
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(isinstance(one, get_args(kind)) for one in value)
    return isinstance(value, get_origin(kind) or kind)
