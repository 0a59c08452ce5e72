"""PyRadiomics' parameters, key by key: what usdlr can do, and a refusal by name of what it cannot."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.radiomics.catalogue.features import feature, names
from usdlr.radiomics.settings import CLASSES, IMAGE_TYPES

# What an image type reads, and the field of the settings that says the same.
IMAGE_KEYS: dict[str, dict[str, str]] = {
    "Wavelet": {"wavelet": "wavelet", "level": "wavelet_level", "start_level": "wavelet_start_level"},
    "LoG": {"sigma": "log_sigma_mm"},
    "Gradient": {"gradientUseSpacing": "gradient_in_mm"},
    "LBP2D": {"lbp2DRadius": "lbp_radius", "lbp2DSamples": "lbp_samples", "lbp2DMethod": "lbp_method"},
}
_FILTER_KEYS = tuple(key for keys in IMAGE_KEYS.values() for key in keys)

NO_EFFECT: dict[str, str] = {
    "additionalInfo": "adds diagnostics beside the features",
    "geometryTolerance": "usdlr's image and mask share one grid",
    "correctMask": "usdlr's image and mask share one grid",
    "minimumROIDimensions": "refuses lines of one pixel; minimumROISize is what usdlr goes by",
    "resegmentMode": "read with resegmentRange alone, which is refused",
    "resegmentShape": "read with resegmentRange alone, which is refused",
    "force2Ddimension": "read with force2D alone, where it must be 0",
    "lbp3DLevels": "read by LBP3D alone, which is refused",
    "lbp3DIcosphereRadius": "read by LBP3D alone, which is refused",
    "lbp3DIcosphereSubdivision": "read by LBP3D alone, which is refused",
}
"""Settings that are taken whatever they say, and why they change no value of a two-dimensional image."""

# Settings that usdlr has at one value alone: PyRadiomics' default.
_FIXED: dict[str, Any] = {
    "distances": [1],
    "weightingNorm": None,
    "symmetricalGLCM": True,
    "gldm_a": 0,
    "resegmentRange": None,
    "preCrop": False,
    "label": 1,
    "label_channel": 0,
}
_READ = (
    "binWidth",
    "binCount",
    "normalize",
    "normalizeScale",
    "removeOutliers",
    "resampledPixelSpacing",
    "interpolator",
    "padDistance",
    "minimumROISize",
    "voxelArrayShift",
    "force2D",
)
_SETTING_KEYS = (*_READ, *_FIXED, *NO_EFFECT, *_FILTER_KEYS)
# SimpleITK numbers them 2 and 3.
_INTERPOLATORS = ("sitkLinear", "sitkBSpline", 2, 3)
_DEFAULT_BIN_WIDTH = 25.0


@dataclass(frozen=True)
class Section:
    """One mapping of the parameters, with values of the right type or a refusal.

    Parameters
    ----------
    name : str
        Where it stands, for messages.
    values : mapping
        By key.
    origin : mapping of str to str
        Where a value stands that was taken from another section.
    """

    name: str
    values: Mapping[str, Any]
    origin: Mapping[str, str] = field(default_factory=dict)

    def over(self, other: Section) -> Section:
        """The same section with what it leaves open taken from another."""
        origin = {key: other.name for key in other.values if key not in self.values}
        return Section(self.name, {**other.values, **self.values}, origin)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.refusal(key, "true or false")
        return value

    def number(self, key: str, default: float) -> float:
        """A finite number."""
        value = self.values.get(key, default)
        if not _is_number(value):
            raise self.refusal(key, "a number")
        return float(value)

    def number_or_none(self, key: str) -> float | None:
        """A finite number, or nothing."""
        return None if self.values.get(key) is None else self.number(key, 0.0)

    def numbers(self, key: str) -> tuple[float, ...]:
        """Finite numbers, as they are written."""
        value = self.values.get(key)
        if not isinstance(value, list | tuple) or not value or not all(_is_number(one) for one in value):
            raise self.refusal(key, "a list of numbers")
        return tuple(value)

    def whole(self, key: str) -> int:
        """A whole number."""
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refusal(key, "a whole number")
        return value

    def whole_or_none(self, key: str) -> int | None:
        """A whole number, or nothing."""
        return None if self.values.get(key) is None else self.whole(key)

    def word(self, key: str) -> str:
        """A word."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.refusal(key, "a word")
        return value

    def refusal(self, key: str, expected: str) -> ConfigError:
        """The error that names a value and what is supported."""
        return ConfigError(
            f"found {self.origin.get(key, self.name)}.{key} = {self.values.get(key)!r}, expected {expected}"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def sections(source: Mapping[str, Any]) -> tuple[dict[str, Section], Mapping[str, Any], Section]:
    """Image types, feature classes and settings, each key known and possible.

    Raises
    ------
    ConfigError
        If a key is unknown, or says what usdlr cannot do.
    """
    _require_keys("the parameters", source, ("imageType", "featureClass", "setting", "voxelSetting"))
    if source.get("voxelSetting"):
        raise ConfigError("found voxelSetting, expected none: usdlr measures regions, and makes no map of every pixel")
    setting = Section("setting", _mapping("setting", source.get("setting", {})))
    _require_keys("setting", setting.values, _SETTING_KEYS)
    _require_possible(setting)
    image_types = {}
    for name, options in (_mapping("imageType", source.get("imageType", {})) or {"Original": {}}).items():
        if name not in IMAGE_TYPES:
            raise ConfigError(f"found imageType.{name}, expected some of {', '.join(IMAGE_TYPES)}")
        section = Section(f"imageType.{name}", _mapping(f"imageType.{name}", options))
        known = ("binWidth", "binCount", *_FIXED, *NO_EFFECT, *IMAGE_KEYS.get(name, {}))
        _require_keys(section.name, section.values, known)
        _require_possible(section)
        image_types[str(name)] = section
    if setting.flag("force2D", False):
        if setting.values.get("force2Ddimension", 0) != 0:
            raise setting.refusal("force2Ddimension", "0, for slices along the first axis")
        if "LoG" in image_types:
            raise ConfigError(
                "found setting.force2D = True with imageType.LoG, expected False: PyRadiomics filters the volume in "
                "three dimensions then, and a single slice not at all"
            )
    return image_types, _mapping("featureClass", source.get("featureClass", {})), setting


def read_classes(feature_classes: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Classes and features; both empty where all are meant.

    Raises
    ------
    ConfigError
        If one is unknown, deprecated or three-dimensional.
    """
    whole: list[str] = []
    listed: dict[str, list[str]] = {}
    for name, chosen in feature_classes.items():
        if name not in CLASSES:
            hint = "; use shape2D" if name == "shape" else ""
            raise ConfigError(f"found featureClass.{name}, expected some of {', '.join(CLASSES)}{hint}")
        if chosen is not None and not isinstance(chosen, list | tuple):
            raise ConfigError(f"found featureClass.{name} = {chosen!r}, expected a list of features, or [] for all")
        if chosen:
            listed[name] = [feature(name, str(one)).key for one in chosen]
        else:
            whole.append(name)
    if not listed:
        return tuple(whole), ()
    features = [key for name in feature_classes for key in listed.get(name, names([name]))]
    return tuple(map(str, feature_classes)), tuple(features)


def read_bins(setting: Section, image_types: Mapping[str, Section]) -> dict[str, Any]:
    """``bin_count``, ``bin_width`` and ``bin_width_of``.

    Raises
    ------
    ConfigError
        If image types have different numbers of bins.
    """
    counts: dict[str, int] = {}
    widths: dict[str, float] = {}
    for name, options in image_types.items():
        section = options.over(setting)
        # A count rules wherever one stands, as in PyRadiomics, and a null takes it away.
        count = section.whole_or_none("binCount")
        if count is not None:
            counts[name] = count
        elif "binWidth" in section.values:
            widths[name] = section.number("binWidth", _DEFAULT_BIN_WIDTH)
        else:
            widths[name] = _DEFAULT_BIN_WIDTH
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise ConfigError(
            f"found binCount of {told}, expected one number for all image types that have one; "
            "use binWidth for the others"
        )
    if counts:
        return {"bin_count": next(iter(counts.values())), "bin_width": None, "bin_width_of": widths or None}
    own = setting.values.get("binWidth")
    common = _DEFAULT_BIN_WIDTH if own is None else setting.number("binWidth", _DEFAULT_BIN_WIDTH)
    if setting.values.get("binCount") is not None or (own is None and common not in widths.values()):
        common = next(iter(widths.values()))
    others = {name: width for name, width in widths.items() if width != common}
    return {"bin_count": None, "bin_width": common, "bin_width_of": others or None}


def read_spacing(setting: Section) -> float | None:
    """Side of the square pixel in mm, ``None`` where nothing is resampled.

    Raises
    ------
    ConfigError
        If pixels are not square, or the interpolator is none that usdlr's own can stand for.
    """
    key = "resampledPixelSpacing"
    if setting.values.get(key) is None:
        return None
    sides = setting.numbers(key)
    if len(sides) not in (2, 3) or sides[0] != sides[1] or min(sides) < 0:
        raise setting.refusal(key, "two equal sides in mm within the plane, and a third for the slice at will")
    if sides[0] == 0:
        return None  # PyRadiomics keeps the image's own
    interpolator = setting.values.get("interpolator", "sitkBSpline")
    if interpolator is None:
        return None  # PyRadiomics resamples with an interpolator alone
    if interpolator not in _INTERPOLATORS or isinstance(interpolator, bool):
        raise setting.refusal("interpolator", "sitkLinear or sitkBSpline")
    if setting.values.get("padDistance", 0) != 0 and setting.whole("padDistance") < 0:
        raise setting.refusal("padDistance", "0 or more pixels")
    return float(sides[0])


def _require_possible(section: Section) -> None:
    for key, only in _FIXED.items():
        found = section.values.get(key, only)
        if found != only or isinstance(found, bool) != isinstance(only, bool):
            raise section.refusal(key, f"{only!r}, the only one that usdlr has")


def _require_keys(where: str, found: Mapping[str, Any], known: Iterable[str]) -> None:
    known = tuple(dict.fromkeys(known))
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"the nearest is {near[0]}" if near else f"expected some of {', '.join(known)}"
            raise ConfigError(f"found {key!r} in {where}, which is not supported there; {hint}")


def _mapping(where: str, found: object) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise ConfigError(f"found {where} = {found!r}, expected a mapping; write {{}} for an empty one")
    return found
