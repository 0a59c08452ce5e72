"""Stiffness back from the colours that a scanner drew over the grey image."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.imaging.colour_bar import locate_colour_bar
from usdlr.imaging.colour_fit import GREY_MEAN, OFF_PALETTE, Blend, estimate_opacity, estimate_tint, locate, neutral
from usdlr.imaging.image import BoolArray
from usdlr.imaging.palettes import Floats, Palette, to_ycc
from usdlr.imaging.stiffness import FULL_RELATIVE, MAX_KPA, StiffnessMap, check_unit, to_kpa

# Chroma magnitude, in levels, that no grey pixel reaches and most of a palette does at an opacity of 0.3.
_SURE_CHROMA = 8.0
_MIN_CHROMA, _MAX_CHROMA = 4.0, 25.0
# JPEG halves the resolution of chroma: this near to uncoloured pixels, colours are mixtures.
_RIM = 2
_REACH = 4
_SAMPLE = 3000
_MIN_COLOURED = 200
_MAX_DOUBT = 0.03
_MAX_TWOFOLD = 0.2
_MAX_PALE = 0.05
_MAX_OFF = 0.1
_MIN_OPACITY = 0.25


def recover(
    overlay: npt.NDArray[np.uint8],
    palette: Palette,
    scale: tuple[float, float],
    *,
    unit: str,
    twin: npt.NDArray[np.uint8] | None = None,
    opacity: float | None = None,
    inside: BoolArray | None = None,
) -> StiffnessMap:
    """The stiffness that colours over a grey image stand for.

    Every colour is taken as ``a * palette(v) + (1 - a) * grey`` with one opacity ``a`` for the whole map. With the grey
    twin, ``v`` is the place on the palette nearest to what is left after the grey is taken away; without it, chroma
    decides, and luma only weighs in. Colours are averaged over 3 x 3 pixels, places filtered by a 5 x 5 median. A rim
    of two pixels, where compression mixes colour with grey, takes the value of the nearest pixel inside.

    A palette of other colours than the map's is refused. One that runs through the same colours at other places cannot
    be told from the right one; the frame's own colour bar is therefore the better source.

    Without a value (NaN) are: pixels without colour, colours that lie off the palette or that two places of the
    scale share, and saturated pixels, whose true value lies beyond the scale: its upper end always, its lower end
    where the scale does not start at zero or the unit is ``relative``.

    Parameters
    ----------
    overlay : uint8 array, (rows, columns, 3)
        Red, green, blue: the pane that holds the map.
    palette : Palette
        Named or read from the frame's colour bar; place 0 belongs to ``scale[0]``.
    scale : tuple of float
        Values at the palette's first and last colour, in ``unit``. Descending where the bar is drawn with its high end
        at the palette's first colour. For ``relative`` only the direction counts.
    unit : str
        ``kPa``, ``m/s`` (becomes kPa) or ``relative`` (becomes percent, 0 soft to 100 stiff).
    twin : uint8 array, (rows, columns), or None
        Luma of the same image without colours, on the same grid. A tinted grey image is recognised and allowed for.
    opacity : float or None
        Share of colour, where it is known; ``None``: estimated.
    inside : bool array, (rows, columns), or None
        Where the map can be; ``None``: everywhere. A colour bar within the picture is never part of the map.

    Raises
    ------
    CaseError
        With the code ``elastography_unreadable``: no colour, colours of another palette, an impossible scale, or an
        opacity that the colours leave open.
    ConfigError
        For an unknown unit.
    """
    _check(overlay, scale, unit, twin, opacity, inside)
    bar = locate_colour_bar(overlay)
    if bar is not None:
        outside = bar.outside((overlay.shape[0], overlay.shape[1]))
        inside = outside if inside is None else inside & outside
    ycc = to_ycc(overlay)
    tint = estimate_tint(ycc)
    ycc = neutral(ycc, tint)
    grey = None if twin is None else twin.astype(np.float32)
    sure = _open(_chroma(ycc) > _SURE_CHROMA)
    if inside is not None:
        sure &= inside
    if sure.sum() < _MIN_COLOURED:
        raise _unreadable(
            f"found {int(sure.sum())} coloured pixels, expected a map of at least {_MIN_COLOURED}",
            "check the pane, or remove the map from the row",
        )
    blend = _blend(ycc, grey, sure, palette, opacity, tint)
    coloured = _coloured(ycc, blend)
    if inside is not None:
        coloured &= inside
    _check_palette(blend)
    places, trusted = _places(ycc, grey, coloured, blend)
    return _to_map(places, trusted, coloured, blend, scale, unit)


def _check(
    overlay: npt.NDArray[np.uint8],
    scale: tuple[float, float],
    unit: str,
    twin: npt.NDArray[np.uint8] | None,
    opacity: float | None,
    inside: BoolArray | None,
) -> None:
    check_unit(unit)
    if overlay.ndim != 3 or overlay.shape[2] != 3 or overlay.dtype != np.uint8 or min(overlay.shape[:2]) < 8:
        raise _unreadable(
            f"found an overlay of {overlay.dtype} with shape {overlay.shape}, expected 8-bit red, green and blue of at "
            "least 8 x 8 pixels",
            "a map of numbers is another layout: map",
        )
    for name, array in (("grey twin", twin), ("area of the map", inside)):
        if array is not None and array.shape != overlay.shape[:2]:
            raise _unreadable(
                f"found a {name} of {array.shape} pixels with an overlay of {overlay.shape[:2]}, expected one size",
                "cut both from the same pane",
            )
    if not all(math.isfinite(end) for end in scale) or scale[0] == scale[1]:
        raise _unreadable(f"found a scale from {scale[0]} to {scale[1]}, expected two different numbers", "correct it")
    if unit != "relative":
        top = float(to_kpa(max(scale), unit))
        if min(scale) < 0 or top > MAX_KPA:
            raise _unreadable(
                f"found a scale from {scale[0]:g} to {scale[1]:g} {unit}, expected one within 0 to {MAX_KPA:g} kPa",
                "check its unit",
            )
    if opacity is not None and not 0.1 <= opacity <= 1:
        raise _unreadable(f"found an opacity of {opacity}, expected 0.1 to 1", "correct it or leave it out")


def _chroma(ycc: Floats) -> Floats:
    return np.asarray(np.hypot(ycc[..., 1], ycc[..., 2]), dtype=np.float32)


def _square(size: int) -> npt.NDArray[np.uint8]:
    return np.ones((size, size), dtype=np.uint8)


def _dilate(mask: BoolArray, radius: int) -> BoolArray:
    return cv2.dilate(mask.astype(np.uint8), _square(2 * radius + 1)) > 0


def _erode(mask: BoolArray, radius: int) -> BoolArray:
    return cv2.erode(mask.astype(np.uint8), _square(2 * radius + 1)) > 0


def _open(mask: BoolArray) -> BoolArray:
    # Lines, ticks and letters are thinner than any part of a map.
    return mask & _dilate(_erode(mask, 2), 2)


def _smooth(field: Floats, weight: Floats) -> Floats:
    """Mean over 3 x 3 pixels of those that count."""
    total = cv2.blur(weight, (3, 3))
    mean = cv2.blur(field * weight, (3, 3)) / np.maximum(total, 1e-6)
    return np.where(total > 0, mean, field).astype(np.float32)


def _sampled(
    ycc: Floats, grey: Floats | None, coloured: BoolArray, limit: int | None = None
) -> tuple[Floats, Floats | None]:
    """Smoothed colours, and grey, of the coloured pixels, (pixels, 3) and (pixels,)."""
    weight = coloured.astype(np.float32)
    rows, cols = np.nonzero(coloured)
    if limit is not None and rows.size > limit:
        chosen = np.linspace(0, rows.size - 1, limit).astype(int)
        rows, cols = rows[chosen], cols[chosen]
    colours = np.stack([_smooth(np.ascontiguousarray(ycc[..., i]), weight)[rows, cols] for i in range(3)], axis=1)
    return colours, None if grey is None else _smooth(grey, weight)[rows, cols]


def _blend(
    ycc: Floats,
    grey: Floats | None,
    sure: BoolArray,
    palette: Palette,
    opacity: float | None,
    tint: tuple[float, float],
) -> Blend:
    inner = _erode(sure, 3)
    colours, under = _sampled(ycc, grey, inner if inner.sum() >= _MIN_COLOURED else sure, _SAMPLE)
    doubt = 0.0
    if opacity is None:
        found = estimate_opacity(colours, under, palette, tint)
        opacity, doubt = found.value, found.doubt
        if opacity < _MIN_OPACITY:
            raise _unreadable(
                f"found colours as weak as an opacity of {opacity:.2f} with the palette {palette.name!r}, expected at "
                f"least {_MIN_OPACITY}",
                "name the palette that the scanner used, or export the map with stronger colours",
            )
    blend = Blend(palette, opacity, grey is not None, tint=tint)
    places, distances = locate(blend.features(colours, under), blend.table())
    off = float((distances > OFF_PALETTE).mean())
    if off > _MAX_OFF:
        raise _unreadable(
            f"found {off:.0%} of the colours off the palette {palette.name!r}"
            f"{' blended with the grey twin' if grey is not None else ''}, expected at most {_MAX_OFF:.0%}",
            "name the palette that the scanner used, and a twin that shows the same moment",
        )
    if doubt > _MAX_DOUBT:
        raise _unreadable(
            f"found colours that several opacities explain, with values {doubt:.0%} of the scale apart, expected one",
            "state the opacity or give the grey image without colours",
        )
    if grey is not None or opacity > 0.95:
        return blend
    # The grey that is left under the colours says what to expect of it.
    luma = blend.colours(1024)[np.rint(places * 1023).astype(int), 0]
    mean = float(np.median((colours[:, 0] - opacity * luma) / (1 - opacity)))
    return replace(blend, grey_mean=float(np.clip(mean, 10, 2 * GREY_MEAN)))


def _check_palette(blend: Blend) -> None:
    """Refuse a palette that cannot be read at this opacity."""
    pale = float((blend.chroma() < _MIN_CHROMA).mean())
    twofold = float(blend.twofold().mean())
    if pale > _MAX_PALE or twofold > _MAX_TWOFOLD:
        raise _unreadable(
            f"found {pale:.0%} of the palette {blend.palette.name!r} too pale to be told from grey and {twofold:.0%} "
            f"that stands for two values at an opacity of {blend.opacity:.2f}, expected at most {_MAX_PALE:.0%} and "
            f"{_MAX_TWOFOLD:.0%}",
            "export the map as numbers" if blend.twin else "give the grey image without colours",
        )


def _coloured(ycc: Floats, blend: Blend) -> BoolArray:
    """Where the scanner drew colour."""
    chroma = cv2.blur(_chroma(ycc), (3, 3))
    threshold = float(np.clip(0.5 * blend.chroma().min(), _MIN_CHROMA, _MAX_CHROMA))
    above = chroma > threshold
    # Blurred chroma crosses half of the colour's own strength at the true border, whatever that strength is.
    strongest = cv2.dilate(chroma, _square(2 * 3 + 1))
    border = _dilate(~above, 3)
    return _main_parts(_open(above & (~border | (chroma > 0.5 * strongest))))


def _main_parts(mask: BoolArray) -> BoolArray:
    """Without islands below a hundredth of the largest part: words and marks in colour that stand beside the map."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = np.asarray(stats)[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return np.asarray((areas >= max(areas.max() / 100, 1))[labels])


def _places(ycc: Floats, grey: Floats | None, coloured: BoolArray, blend: Blend) -> tuple[Floats, BoolArray]:
    """Place on the palette, and whether it is known, of every pixel."""
    inner = _erode(coloured, _RIM)
    # Parts of the map too thin to have an inside keep their own colours.
    source = inner | (coloured & ~_dilate(inner, _REACH))
    colours, under = _sampled(ycc, grey, source)
    found, distances = locate(blend.features(colours, under), blend.table())
    places = np.zeros(coloured.shape, dtype=np.float32)
    good = np.zeros(coloured.shape, dtype=bool)
    places[source] = found
    good[source] = distances <= OFF_PALETTE
    twofold = np.zeros(coloured.shape, dtype=bool)
    twofold[source] = blend.twofold()[np.rint(found * 255).astype(int)]
    good &= ~twofold
    if not good.any():
        return places, good
    filled, near = _nearest(places, good)
    filtered: Floats = np.asarray(cv2.medianBlur(filled, 5), dtype=np.float32)
    return filtered, coloured & (good | near) & ~twofold


def _nearest(places: Floats, good: BoolArray) -> tuple[Floats, BoolArray]:
    """Every pixel's nearest good value, and whether it lies within reach."""
    distance, labels = cv2.distanceTransformWithLabels(
        (~good).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.zeros(int(labels.max()) + 1, dtype=np.float32)
    values[labels[good]] = places[good]
    return values[labels], np.asarray(distance <= _REACH)


def _to_map(
    places: Floats, trusted: BoolArray, coloured: BoolArray, blend: Blend, scale: tuple[float, float], unit: str
) -> StiffnessMap:
    first, last = (float(end) for end in scale)
    ends = {1} if last > first else {0}
    if unit == "relative" or min(first, last) > 0:
        ends = {0, 1}
    saturated = np.zeros_like(trusted)
    for end in ends:
        zone = max(blend.end_zone(end), blend.palette.end_width)
        saturated |= places >= 1 - zone if end == 1 else places <= zone
    # A plateau is one: noise within it makes no values.
    saturated = (cv2.medianBlur(saturated.astype(np.uint8), 5) > 0) & trusted
    if unit == "relative":
        values = FULL_RELATIVE * (places if last > first else 1 - places)
        kind = "relative"
    else:
        values, kind = to_kpa(first + places.astype(np.float64) * (last - first), unit), "kPa"
    return StiffnessMap.of(
        np.where(trusted, values, np.nan),
        "relative" if kind == "relative" else "kPa",
        coloured,
        saturated,
        blend.opacity,
    )


def _unreadable(found: str, mend: str) -> CaseError:
    return CaseError(ExclusionCode.ELASTOGRAPHY_UNREADABLE, f"{found}; {mend}")
