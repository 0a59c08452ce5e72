"""Every feature in plain words: what it measures, in which unit, what changes it, and its place in the standard.

The 102 features are those of PyRadiomics 3.0.1's two-dimensional classes that are not deprecated
(doi 10.1158/0008-5472.CAN-17-0339). The names of the standard are those of IBSI's reference manual
(doi 10.1148/radiol.2020191145, arXiv 1612.07003).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from usdlr.core.errors import ConfigError
from usdlr.core.modalities import MODALITIES
from usdlr.core.types import Roi
from usdlr.radiomics.catalogue.entries import FIRSTORDER, GLCM, NGTDM, SHAPE2D
from usdlr.radiomics.catalogue.sizes import GLDM, GLRLM, GLSZM
from usdlr.radiomics.catalogue.terms import FAMILIES, Family, Feature, ImageType, Invariances
from usdlr.radiomics.naming import log_name
from usdlr.radiomics.settings import CLASSES, SHAPE, RadiomicsSettings

__all__ = [
    "FAMILIES",
    "FEATURES",
    "Family",
    "Feature",
    "ImageType",
    "Invariances",
    "by_ibsi",
    "describe",
    "feature",
    "image_type",
    "image_type_names",
    "names",
    "parse",
]

FEATURES: dict[str, Feature] = {
    # PyRadiomics sorts the features of a class by the names of its methods.
    one.key: one
    for group in (SHAPE2D, FIRSTORDER, GLCM, GLRLM, GLSZM, GLDM, NGTDM)
    for one in sorted(group, key=lambda item: f"{item.name}FeatureValue")
}

_PLAIN_IMAGES: dict[str, ImageType] = {
    image.name: image
    for image in (
        ImageType("original", "Original", "", "intensity"),
        ImageType("square", "Square", "bright parts stressed (square)", "intensity"),
        ImageType("squareroot", "SquareRoot", "dark parts stressed (square root)", "intensity"),
        ImageType("logarithm", "Logarithm", "dark parts strongly stressed (logarithm)", "intensity"),
        ImageType("exponential", "Exponential", "bright parts strongly stressed (exponential)", "intensity"),
        ImageType("gradient", "Gradient", "steepness of edges (gradient)", "intensity/mm"),
        ImageType("lbp-2D", "LBP2D", "pattern of a pixel and those around it (local binary pattern)", "1"),
    )
}
# PyRadiomics filters along columns first: the first letter is the pass from left to right, the second from top down.
_DETAILS = {
    "LL": "smoothed image",
    "LH": "detail from top to bottom",
    "HL": "detail from left to right",
    "HH": "diagonal detail",
}
_WAVELET = re.compile(r"wavelet([2-9]|[1-9][0-9]+)?-(LL|LH|HL|HH)")
_LOG = re.compile(r"log-sigma-(\d+)(?:-(\d+))?-mm-3D")

_ROI_WORDS = {
    Roi.INTRATUMORAL: "inside the lesion",
    Roi.PERITUMORAL: "ring around the lesion",
    Roi.COMBINED: "lesion and ring",
}
# What the unit of the image is, where a column's name is all that is known.
_INTENSITY = {"bmode": "grey value", "elasto": "kPa"}
# The catalogue speaks of brightness; what is bright on a map of stiffness is stiff.
_STIFFNESS = {
    "brightness": "stiffness",
    "brightest": "stiffest",
    "bright": "stiff",
    "darkest": "softest",
    "dark": "soft",
    "grey level": "level",
}
_WORDS = {"elasto": _STIFFNESS}


def feature(family: str, name: str) -> Feature:
    """A feature by its class and its name.

    Raises
    ------
    ConfigError
        If there is none; the message names the nearest.

    Examples
    --------
    >>> feature("glcm", "Contrast").ibsi
    'ACUI'
    """
    _require(family, tuple(FAMILIES), "the feature class")
    _require(f"{family}.{name}", tuple(names([family])), "the feature")
    return FEATURES[f"{family}.{name}"]


def names(classes: Iterable[str] = CLASSES) -> tuple[str, ...]:
    """``{class}.{feature}`` of some classes in PyRadiomics' order: shape first, its own order within a class.

    Raises
    ------
    ConfigError
        If a class is unknown.

    Examples
    --------
    >>> names(["ngtdm"])[:2]
    ('ngtdm.Busyness', 'ngtdm.Coarseness')
    """
    asked = tuple(classes)
    for name in asked:
        _require(name, tuple(FAMILIES), "the feature class")
    ordered = sorted(asked, key=lambda name: name != SHAPE)
    return tuple(one.key for name in ordered for one in FEATURES.values() if one.family == name)


def by_ibsi(code: str) -> Feature:
    """The feature that IBSI's manual calls ``code``.

    Raises
    ------
    ConfigError
        If no feature here has the code.
    """
    codes = {one.ibsi: one for one in FEATURES.values() if one.ibsi}
    _require(code, tuple(codes), "the IBSI code")
    return codes[code]


def image_type(name: str) -> ImageType:
    """An image type by its name in a column.

    Raises
    ------
    ConfigError
        If there is none; the message names the nearest.

    Examples
    --------
    >>> image_type("log-sigma-1-5-mm-3D").title
    'blobs and edges of about 1.5 mm (Laplacian of Gaussian)'
    """
    if found := _WAVELET.fullmatch(name):
        level, band = found.groups()
        scale = "" if level is None else f", level {level}"
        return ImageType(name, "Wavelet", f"{_DETAILS[band]} (wavelet {band}{scale})", "intensity")
    if found := _LOG.fullmatch(name):
        sigma = ".".join(part for part in found.groups() if part is not None)
        title = f"blobs and edges of about {float(sigma):g} mm (Laplacian of Gaussian)"
        return ImageType(name, "LoG", title, "intensity")
    examples = (*_PLAIN_IMAGES, *(f"wavelet-{band}" for band in _DETAILS), "log-sigma-1-0-mm-3D")
    _require(name, examples, "the image type", name in _PLAIN_IMAGES)
    return _PLAIN_IMAGES[name]


def image_type_names(settings: RadiomicsSettings) -> tuple[str, ...]:
    """Names of all images that the settings measure, in PyRadiomics' order.

    Examples
    --------
    >>> image_type_names(RadiomicsSettings(image_types=("Original", "Wavelet"), wavelet_level=2))[-3:]
    ('wavelet2-HL', 'wavelet2-HH', 'wavelet2-LL')
    """
    plain = {image.setting: image.name for image in _PLAIN_IMAGES.values()}
    out: list[str] = []
    for setting in settings.image_types:
        if setting == "Wavelet":
            # Levels count from where the decomposition starts; the smoothed image is given once, of the last level.
            prefixes = ["wavelet", *(f"wavelet{level}" for level in range(2, settings.wavelet_level + 1))]
            out += [f"{prefix}-{band}" for prefix in prefixes for band in ("LH", "HL", "HH")]
            out.append(f"{prefixes[-1]}-LL")
        elif setting == "LoG":
            out += [log_name(sigma) for sigma in settings.log_sigma_mm]
        else:
            out.append(plain[setting])
    return tuple(out)


def parse(column: str) -> tuple[str, str, ImageType, Feature]:
    """Modality, region, image type and feature of a column ``{modality}.{roi}.{image_type}.{class}.{feature}``.

    Raises
    ------
    ConfigError
        If a part is unknown; the message names the nearest.
    """
    parts = column.split(".")
    if len(parts) != 5:
        raise ConfigError(
            f"found the feature column {column!r}, expected {{modality}}.{{roi}}.{{image_type}}.{{class}}.{{feature}}"
        )
    modality, roi, image, family, name = parts
    _require(modality, tuple(MODALITIES), "the modality")
    _require(roi, tuple(map(str, Roi)), "the region")
    return modality, roi, image_type(image), feature(family, name)


def describe(column: str, settings: RadiomicsSettings | None = None, *, intensity: str | None = None) -> str:
    """A column of ``features`` in plain words with its unit, for the report and the web page.

    Parameters
    ----------
    column : str
        ``{modality}.{roi}.{image_type}.{class}.{feature}``.
    settings : RadiomicsSettings, optional
        With them, the ring's width is named.
    intensity : str, optional
        Unit of the image's intensities, e.g. ``%`` for relative stiffness; otherwise the modality's usual one.

    Raises
    ------
    ConfigError
        If a part of the name is unknown; the message names the nearest.

    Examples
    --------
    >>> describe("bmode.peritumoral.original.glcm.Contrast", RadiomicsSettings(margin_mm=5.0))
    'B-mode, 5 mm ring around the lesion: contrast between neighbouring pixels (grey level²)'
    """
    modality, roi, image, measured = parse(column)
    where = _ROI_WORDS[Roi(roi)]
    if settings is not None and roi == Roi.PERITUMORAL:
        where = f"{settings.margin_mm:g} mm {where}"
    if settings is not None and roi == Roi.COMBINED:
        where = f"lesion and {settings.margin_mm:g} mm ring"
    if measured.family == SHAPE:
        image = _PLAIN_IMAGES["original"]
    context = ", ".join(text for text in (MODALITIES[modality].title, where, image.title) if text)
    unit = _unit(measured, image, intensity or _INTENSITY.get(modality, "intensity"), settings)
    sentence = f"{context}: {measured.title}{f' ({unit})' if unit else ''}"
    for word, other in _WORDS.get(modality, {}).items():
        sentence = sentence.replace(word, other)
    return sentence


def _unit(measured: Feature, image: ImageType, intensity: str, settings: RadiomicsSettings | None) -> str:
    """The unit as it is printed; empty for a pure number."""
    if measured.unit == "1" or ("intensity" in measured.unit and image.unit == "1"):
        return ""
    pixel = image.unit
    if image.setting == "Gradient" and settings is not None and not settings.gradient_in_mm:
        pixel = "intensity/pixel"
    # An image in a compound unit is put in brackets before it is raised to a power.
    inner = pixel.replace("intensity", intensity)
    if "/" in pixel and "^" in measured.unit:
        inner = f"({inner})"
    text = measured.unit.replace("intensity", inner).replace("level", "grey level")
    return text.replace("^2", "²").replace("^3", "³").replace("^4", "⁴")


def _require(found: str, known: tuple[str, ...], what: str, valid: bool | None = None) -> None:
    if valid if valid is not None else found in known:
        return
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(found.casefold(), folded, 1, cutoff=0.4)
    hint = f"the nearest is {folded[near[0]]}" if near else f"expected one of {', '.join(known)}"
    raise ConfigError(f"found {what} {found!r}, which does not exist; {hint}")
