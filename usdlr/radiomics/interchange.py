"""Settings from and to PyRadiomics' parameter file, nothing lost on the way.

A parameter file of PyRadiomics 3.0.1 and :class:`~usdlr.radiomics.settings.RadiomicsSettings` say the same in other
words. What a file says and usdlr cannot do is refused by name; what has no effect on a value is in :data:`NO_EFFECT`;
what usdlr does in a way of its own is told by :func:`remarks`. The other way round, ``modalities``, ``rois``,
``margin_mm`` and ``min_area_mm2`` have no counterpart, since PyRadiomics is handed an image and a region and never
makes one: :func:`from_pyradiomics` takes them from ``base``, :func:`write_yaml` leaves them as a comment. Parameters
and bin widths of image types that are not measured, and classes of which no feature is measured, have no effect and are
left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from usdlr.core.errors import ConfigError
from usdlr.core.files import write_text
from usdlr.radiomics.extract import PAD_MM
from usdlr.radiomics.interchange_read import IMAGE_KEYS, Section, read_bins, read_classes, read_spacing, sections
from usdlr.radiomics.settings import CLASSES, RadiomicsSettings

# What PyRadiomics' own schema takes as `lbp2DMethod`.
_LBP_METHODS = ("default", "ror", "uniform", "var")


def to_pyradiomics(settings: RadiomicsSettings) -> dict[str, Any]:
    """Parameters for ``RadiomicsFeatureExtractor``, to be run on two-dimensional images and masks of label 1.

    Parameters
    ----------
    settings : RadiomicsSettings
        What to measure.

    Returns
    -------
    dict
        ``imageType``, ``featureClass`` and ``setting``: lists, numbers and strings alone.

    Raises
    ------
    ConfigError
        If PyRadiomics has no word for a setting.

    Examples
    --------
    >>> to_pyradiomics(RadiomicsSettings(classes=("glcm",)))["featureClass"]
    {'glcm': []}
    """
    if "LBP2D" in settings.image_types and settings.lbp_method not in _LBP_METHODS:
        raise ConfigError(
            f"found radiomics.lbp_method = {settings.lbp_method!r}, which PyRadiomics' parameter files do not know; "
            f"expected one of {', '.join(_LBP_METHODS)}"
        )
    setting: dict[str, Any] = {"label": 1, "force2D": False, "distances": [1], "minimumROIDimensions": 1}
    setting["minimumROISize"] = settings.min_pixels - 1  # PyRadiomics refuses a region of exactly this size
    if settings.bin_width is None:
        setting["binCount"] = settings.bin_count
    else:
        setting["binWidth"] = settings.bin_width
    setting["normalize"] = settings.normalize
    setting["normalizeScale"] = settings.normalize_scale
    if settings.energy_shift:
        setting["voxelArrayShift"] = settings.energy_shift
    if settings.remove_outliers is not None:
        setting["removeOutliers"] = settings.remove_outliers
    if settings.pixel_mm is not None:
        setting["resampledPixelSpacing"] = [settings.pixel_mm, settings.pixel_mm]
        setting["interpolator"] = "sitkLinear"
        setting["padDistance"] = math.ceil(PAD_MM / settings.pixel_mm)  # as much for the filters as usdlr keeps
    return {
        "imageType": {name: _image_options(settings, name) for name in settings.image_types},
        "featureClass": _classes(settings),
        "setting": setting,
    }


def from_pyradiomics(source: Mapping[str, Any] | Path, *, base: RadiomicsSettings | None = None) -> RadiomicsSettings:
    """Settings that measure what PyRadiomics measures with these parameters.

    Parameters
    ----------
    source : mapping or Path
        Parameters as ``RadiomicsFeatureExtractor`` takes them, or a file of them. What they leave open has PyRadiomics'
        default, which is a bin width of 25 where neither width nor count is given. ``force2D`` along the first axis
        means what usdlr always does; it is for volumes of slices.
    base : RadiomicsSettings, optional
        Where what PyRadiomics has no word for comes from: ``modalities``, ``rois``, ``margin_mm``, ``min_area_mm2`` and
        the parameters of image types that are not measured; usdlr's defaults otherwise.

    Raises
    ------
    ConfigError
        If usdlr cannot do what is asked; one line that names the setting, what was found and what is supported.

    Examples
    --------
    >>> settings = from_pyradiomics({"imageType": {"LoG": {"sigma": [1.0]}}})
    >>> settings.bin_width, settings.log_sigma_mm, settings.pixel_mm
    (25.0, (1.0,), None)
    """
    where = "the parameters"
    if isinstance(source, Path):
        where, source = str(source), _load(source)
    try:
        return _settings(source, base or RadiomicsSettings())
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def remarks(source: Mapping[str, Any] | Path) -> tuple[str, ...]:
    """What usdlr does in a way of its own with parameters that it takes: sentences for the user, none if nothing.

    Raises
    ------
    ConfigError
        As :func:`from_pyradiomics`.
    """
    settings = from_pyradiomics(source)
    out = []
    if settings.pixel_mm is not None:
        out.append(
            f"resampledPixelSpacing: usdlr resamples to {settings.pixel_mm:g} mm, {PAD_MM:g} mm around the region, by "
            "area averages where pixels grow and linearly where they shrink; interpolator and padDistance do not count"
        )
    if settings.normalize:
        out.append("normalize: mean and standard deviation are those of the field of view, not of the whole image")
    return tuple(out)


def write_yaml(settings: RadiomicsSettings, path: Path) -> None:
    """Write a parameter file that PyRadiomics reads; what it has no word for stands in comments above.

    Raises
    ------
    ConfigError
        If PyRadiomics has no word for a setting.
    """
    parameters = to_pyradiomics(settings)
    comment = (
        "# Parameters for PyRadiomics 3.0.1, on two-dimensional images and masks of label 1.\n"
        f"# Regions, which PyRadiomics does not make: {', '.join(settings.rois)}; ring of {settings.margin_mm:g} mm; "
        f"at least {settings.min_area_mm2:g} mm2. Of the modalities {', '.join(settings.modalities)}.\n"
    )
    write_text(path, comment + yaml.safe_dump(parameters, sort_keys=False))


def read_yaml(path: Path, *, base: RadiomicsSettings | None = None) -> RadiomicsSettings:
    """Settings from PyRadiomics' parameter file, in YAML or JSON; see :func:`from_pyradiomics`.

    Raises
    ------
    ConfigError
        If the file is missing, is no YAML, or asks for what usdlr cannot do.
    """
    return from_pyradiomics(path, base=base)


def _classes(settings: RadiomicsSettings) -> dict[str, list[str]]:
    if not settings.features:
        return {name: [] for name in settings.classes}
    listed: dict[str, list[str]] = {}
    for name in settings.classes:
        chosen = [key.partition(".")[2] for key in settings.features if key.startswith(f"{name}.")]
        if chosen:
            listed[name] = chosen
    return listed


def _image_options(settings: RadiomicsSettings, image_type: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key, field in IMAGE_KEYS.get(image_type, {}).items():
        value = getattr(settings, field)
        options[key] = list(value) if isinstance(value, tuple) else value
    width = (settings.bin_width_of or {}).get(image_type)
    if width is not None:
        # A width rules only where no count stands: the count of `setting` must be taken away again.
        options |= {"binWidth": width, "binCount": None}
    return options


def _load(path: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"found no file {path} that can be read, expected PyRadiomics' parameters there") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"found {path} is not valid YAML ({reason}); mend the file") from error
    if not isinstance(found, dict):
        raise ConfigError(
            f"found {type(found).__name__} in {path}, expected a mapping of imageType, featureClass and setting"
        )
    return found


def _settings(source: Mapping[str, Any], base: RadiomicsSettings) -> RadiomicsSettings:
    image_types, feature_classes, setting = sections(source)
    classes, features = read_classes(feature_classes)
    bins = read_bins(setting, image_types)
    fields: dict[str, Any] = {
        "modalities": base.modalities,
        "rois": base.rois,
        "margin_mm": base.margin_mm,
        "min_area_mm2": base.min_area_mm2,
        "image_types": tuple(image_types),
        "classes": classes or CLASSES,
        "features": features,
        **bins,
        "normalize": setting.flag("normalize", False),
        "normalize_scale": setting.number("normalizeScale", 1.0),
        "remove_outliers": setting.number_or_none("removeOutliers"),
        "energy_shift": setting.number("voxelArrayShift", 0.0),
        "pixel_mm": read_spacing(setting),
        # PyRadiomics refuses a region of exactly `minimumROISize`, and always one of a single pixel.
        "min_pixels": (setting.whole_or_none("minimumROISize") or 1) + 1,
    }
    for image_type, keys in IMAGE_KEYS.items():
        options = image_types.get(image_type)
        for key, field in keys.items():
            fields[field] = _option(setting if options is None else options.over(setting), key, field, base, options)
    return RadiomicsSettings(**fields)


# PyRadiomics' defaults of what image types read.
_DEFAULTS: dict[str, Any] = {
    "sigma": (),
    "wavelet": "coif1",
    "level": 1,
    "start_level": 0,
    "gradientUseSpacing": True,
    "lbp2DRadius": 1.0,
    "lbp2DSamples": 8,
    "lbp2DMethod": "uniform",
}


def _option(section: Section, key: str, field: str, base: RadiomicsSettings, measured: Section | None) -> Any:
    usual = _DEFAULTS[key]
    if key not in section.values:
        if key == "sigma" and measured is not None:
            raise ConfigError(
                "found imageType.LoG without sigma, of which PyRadiomics makes no image; give sigma in mm"
            )
        return getattr(base, field) if measured is None else usual
    if key == "sigma":
        return section.numbers(key)  # as they are written: the names of the features say `1` or `1-0`
    if isinstance(usual, bool):
        return section.flag(key, usual)
    if isinstance(usual, int):
        return section.whole(key)
    return section.number(key, usual) if isinstance(usual, float) else section.word(key)
