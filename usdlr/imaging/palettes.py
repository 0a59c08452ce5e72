"""Colour maps of elastography: what colour stands for which place on the scale.

The named palettes follow the styles that scanners offer; they are drawn here from a few control points and are no
vendor's own table. Where a frame shows its colour bar, the bar is the better source
(:func:`usdlr.imaging.colour_bar.locate_colour_bar`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import ConfigError
from usdlr.imaging.image import LUMA

# What JPEG at quality 80 makes of the end of a bar on black, measured on drawn bars.
_BAR_END_LEVELS = 5.0

Floats = npt.NDArray[np.float32]
Rgb = tuple[float, float, float]

# Full-range luma and chroma of JPEG (ITU-T T.871): grey has no chroma, so blending with grey only shrinks it.
TO_YCC: Floats = np.array(
    [LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)],
    dtype=np.float32,
).T


@dataclass(frozen=True)
class Palette:
    """Colours from the soft end of a scale (place 0) to the stiff end (place 1).

    Parameters
    ----------
    name : str
        What configurations call it.
    points : tuple
        Control points ``(place, (red, green, blue))``; places ascend from 0 to 1, colours are 0 to 255. Between two
        points the colour changes linearly.
    style : str
        Where one meets it, and which colour is stiff.
    end_width : float
        Share of the scale at either end whose places are not told from the end's.
    end_levels : float
        How far the end's colours may be from the true ones, in levels of chroma.

    Raises
    ------
    ConfigError
        If the points do not describe a scale.

    Examples
    --------
    >>> PALETTES["red_to_blue"].colours(3).tolist()
    [[255.0, 0.0, 0.0], [0.0, 255.0, 0.0], [0.0, 0.0, 255.0]]
    """

    name: str
    points: tuple[tuple[float, Rgb], ...]
    style: str = ""
    end_width: float = 0.01
    end_levels: float = 0.0

    def __post_init__(self) -> None:
        places = np.array([place for place, _ in self.points], dtype=float)
        levels = np.array([colour for _, colour in self.points], dtype=float)
        ascends = places.size >= 2 and places[0] == 0 and places[-1] == 1 and bool((np.diff(places) > 0).all())
        if not ascends or levels.shape != (places.size, 3) or not ((levels >= 0) & (levels <= 255)).all():
            raise ConfigError(
                f"found palette {self.name!r} with {places.size} control points, expected places that ascend from 0 "
                "to 1 and colours of three levels from 0 to 255; correct the points"
            )

    def colours(self, count: int) -> Floats:
        """Colours at ``count`` evenly spaced places from 0 to 1, (count, 3), red, green, blue, 0 to 255."""
        wanted = np.linspace(0.0, 1.0, count)
        places = [place for place, _ in self.points]
        levels = np.array([colour for _, colour in self.points], dtype=float)
        channels = [np.interp(wanted, places, levels[:, channel]) for channel in range(3)]
        return np.stack(channels, axis=1).astype(np.float32)

    def mismatch(self, other: Palette) -> float:
        """Mean distance between the colours of two palettes at the same places, in levels from 0 to 442.

        Examples
        --------
        >>> jet = PALETTES["jet"]
        >>> jet.mismatch(jet), round(jet.mismatch(jet.reversed()))
        (0.0, 293)
        """
        return float(np.linalg.norm(self.colours(256) - other.colours(256), axis=1).mean())

    def reversed(self) -> Palette:
        """The same colours with the ends exchanged."""
        points = tuple((1 - place, colour) for place, colour in reversed(self.points))
        return Palette(f"{self.name}_reversed", points, self.style, self.end_width, self.end_levels)

    @classmethod
    def from_bar(cls, strip: npt.NDArray[np.floating | np.integer], name: str = "colour bar") -> Palette:
        """The palette that a colour bar shows.

        Parameters
        ----------
        strip : array, (pixels, 3)
            Red, green, blue from the low end to the high end; the bar's ends are the outer edges of the first and
            the last pixel. At least 16 pixels.

        Raises
        ------
        ConfigError
            If there are too few pixels to read a scale from.
        """
        if strip.ndim != 2 or strip.shape[1] != 3 or strip.shape[0] < 16:
            raise ConfigError(
                f"found a colour bar of shape {strip.shape}, expected at least 16 pixels of red, green and blue; "
                "name the palette instead"
            )
        levels = strip.astype(float)
        places = (np.arange(len(levels)) + 0.5) / len(levels)
        # Half a pixel is missing at either end.
        first, last = levels[0] - (levels[1] - levels[0]) / 2, levels[-1] + (levels[-1] - levels[-2]) / 2
        places = np.concatenate([[0.0], places, [1.0]])
        levels = np.clip(np.vstack([first, levels, last]), 0, 255)
        points = tuple((float(p), (float(r), float(g), float(b))) for p, (r, g, b) in zip(places, levels, strict=True))
        # The outermost pixels are continued from inside, and the border is known to the pixel.
        return cls(name, points, "read from the frame", min(2.5 / len(strip), 0.05), _BAR_END_LEVELS)


def to_ycc(rgb: npt.NDArray[np.floating | np.integer]) -> Floats:
    """Luma and both chroma differences of colours, (..., 3): luma 0 to 255, blue and red difference -127.5 to 127.5.

    Examples
    --------
    >>> np.rint(to_ycc(np.array([[80, 80, 80], [255, 0, 0]]))).tolist()
    [[80.0, 0.0, 0.0], [76.0, -43.0, 128.0]]
    """
    values: Floats = rgb.astype(np.float32) @ TO_YCC + np.float32(0)
    return values


def find_palette(name: str) -> Palette:
    """The palette of that name.

    Raises
    ------
    ConfigError
        With the names that exist.
    """
    if name not in PALETTES:
        raise ConfigError(
            f"found palette {name!r}, expected one of {', '.join(PALETTES)}; name one, or leave the palette out where "
            "the frame shows its colour bar"
        )
    return PALETTES[name]


_ALL = (
    Palette(
        "jet",
        (
            (0.0, (0, 0, 128)),
            (0.125, (0, 0, 255)),
            (0.375, (0, 255, 255)),
            (0.625, (255, 255, 0)),
            (0.875, (255, 0, 0)),
            (1.0, (128, 0, 0)),
        ),
        "shear-wave maps with dark ends: dark blue, blue, cyan, yellow, red, dark red; dark red is stiff",
    ),
    Palette(
        "blue_to_red",
        ((0.0, (0, 0, 255)), (1 / 3, (0, 255, 255)), (2 / 3, (255, 255, 0)), (1.0, (255, 0, 0))),
        "shear-wave maps of the SuperSonic style: blue, cyan, yellow, red; red is stiff",
    ),
    Palette(
        "blue_green_red",
        ((0.0, (0, 0, 255)), (0.5, (0, 255, 0)), (1.0, (255, 0, 0))),
        "shear-wave speed maps of the Siemens and GE style, blended through dim mixtures; red is stiff",
    ),
    Palette(
        "red_to_blue",
        (
            (0.0, (255, 0, 0)),
            (0.25, (255, 255, 0)),
            (0.5, (0, 255, 0)),
            (0.75, (0, 255, 255)),
            (1.0, (0, 0, 255)),
        ),
        "strain maps of the Hitachi style: red, yellow, green, cyan, blue; blue is stiff",
    ),
    Palette(
        "rainbow",
        (
            (0.0, (110, 0, 190)),
            (0.2, (0, 0, 255)),
            (0.4, (0, 255, 255)),
            (0.6, (0, 255, 0)),
            (0.8, (255, 255, 0)),
            (1.0, (255, 0, 0)),
        ),
        "the full rainbow with a purple start; red is stiff",
    ),
    Palette(
        "heat",
        (
            (0.0, (96, 0, 0)),
            (0.4, (255, 0, 0)),
            (0.75, (255, 170, 0)),
            (1.0, (255, 255, 80)),
        ),
        "hot metal without its black and white ends: dark red, red, orange, pale yellow; pale yellow is stiff",
    ),
    Palette(
        "viridis_like",
        (
            (0.0, (70, 5, 90)),
            (0.25, (60, 80, 140)),
            (0.5, (35, 145, 140)),
            (0.75, (95, 200, 95)),
            (1.0, (250, 230, 40)),
        ),
        "evenly brightening maps of newer scanners: purple, blue, teal, green, yellow; yellow is stiff",
    ),
)
PALETTES: dict[str, Palette] = {palette.name: palette for palette in _ALL}
