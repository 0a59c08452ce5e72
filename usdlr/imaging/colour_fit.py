"""Where on its palette a blended colour lies, and how strongly colour was blended with grey.

The model is ``colour = a * palette(v) + (1 - a) * grey`` in the display's own levels. Grey has no chroma, so chroma is
``a`` times the palette's, and luma tells the palette's luma from the grey. Distances are therefore taken in luma and
both chroma differences, each in units of its noise; where the grey under the colour is not known, its spread is part
of the noise of luma.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usdlr.imaging.palettes import Floats, Palette, to_ycc

ENTRIES = 256
# Levels of noise that JPEG at quality 80 leaves after averaging over 3 x 3 pixels; luma is the noisier, since it
# carries the speckle. Measured on rendered overlays.
CHROMA_NOISE = 1.5
LUMA_NOISE = 3.0
# B-mode grey where no twin tells it: dark with a long tail.
GREY_MEAN, GREY_SPREAD = 60.0, 50.0
# Beyond this many units of noise a colour does not lie on the palette.
OFF_PALETTE = 6.0
# A chunk's distances to all entries stay in the processor's cache: several times as fast as out of it.
_CHUNK = 512
_OPACITIES = np.round(np.arange(0.15, 1.001, 0.05), 2)


@dataclass(frozen=True)
class Blend:
    """How a palette was laid over grey.

    Parameters
    ----------
    palette : Palette
        The colours.
    opacity : float
        Share of colour, ``a``, 0 to 1.
    twin : bool
        Whether the grey under the colour is known pixel by pixel.
    grey_mean : float
        Expected grey where it is not.
    tint : tuple of float
        Chroma of the grey image per level of luma, which :func:`neutral` takes out.
    """

    palette: Palette
    opacity: float
    twin: bool
    grey_mean: float = GREY_MEAN
    tint: tuple[float, float] = (0.0, 0.0)

    def noise(self) -> Floats:
        """Noise of luma and of both chroma differences in grey levels, (3,)."""
        under = (1 - self.opacity) * (LUMA_NOISE if self.twin else GREY_SPREAD)
        return np.array([math.hypot(LUMA_NOISE, under), CHROMA_NOISE, CHROMA_NOISE], dtype=np.float32)

    def table(self, entries: int = ENTRIES) -> Floats:
        """The palette's share of the colour in units of noise, (entries, 3)."""
        return np.asarray(self.opacity * self.colours(entries) / self.noise(), dtype=np.float32)

    def colours(self, entries: int = ENTRIES) -> Floats:
        """Luma and chroma of the palette, without the tint, (entries, 3)."""
        return neutral(to_ycc(self.palette.colours(entries)), self.tint)

    def features(self, ycc: Floats, grey: Floats | None) -> Floats:
        """What the palette has to explain, in units of noise, (pixels, 3)."""
        under = np.float32(self.grey_mean) if grey is None else grey
        rest = ycc.copy()
        rest[:, 0] -= np.float32(1 - self.opacity) * under
        return np.asarray(rest / self.noise(), dtype=np.float32)

    def chroma(self) -> Floats:
        """Chroma of the blended palette in grey levels, (entries,)."""
        ycc = self.colours()
        return np.asarray(self.opacity * np.hypot(ycc[:, 1], ycc[:, 2]), dtype=np.float32)

    def twofold(self, apart: float = 0.08, clear: float = 1.5) -> npt.NDArray[np.bool_]:
        """Entries whose colour another one, more than ``apart`` away on the scale, shares within noise, (entries,)."""
        table = self.table()
        places = np.linspace(0, 1, ENTRIES)
        gaps = np.linalg.norm(table[:, None] - table[None], axis=2)
        gaps[np.abs(places[:, None] - places[None]) <= apart] = np.inf
        return np.asarray(gaps.min(axis=1) < clear)

    def end_zone(self, end: int, clear: float = 1.5) -> float:
        """Width of the zone at an end of the scale (0 or 1) whose colours cannot be told from the end's."""
        clear = math.hypot(clear, self.opacity * self.palette.end_levels / CHROMA_NOISE)
        table = self.table(1001)
        if end == 1:
            table = table[::-1]
        apart = np.linalg.norm(table - table[0], axis=1) >= clear
        return float(apart.argmax()) / 1000.0 if apart.any() else 1.0


def estimate_tint(ycc: Floats) -> tuple[float, float]:
    """Blue and red chroma of the grey image per level of luma; zeros where it is grey or too little of it is seen.

    Grey tissue, however bright, has one ratio of chroma to luma; colours over grey have many.

    Parameters
    ----------
    ycc : float32 array, (rows, columns, 3)
        Luma and chroma of a pane.
    """
    luma = ycc[..., 0]
    bright = (luma > 48) & (luma < 230)
    if bright.sum() < 500:
        return 0.0, 0.0
    ratio = ycc[bright][:, 1:] / luma[bright][:, None]
    counts, edges, _ = np.histogram2d(ratio[:, 0], ratio[:, 1], bins=40, range=((-0.2, 0.2), (-0.2, 0.2)))
    peak = np.unravel_index(int(counts.argmax()), counts.shape)
    centre = np.array([(edges[i] + edges[i + 1]) / 2 for i in peak])
    near = (np.abs(ratio - centre) < 0.02).all(axis=1)
    blue, red = (float(value) for value in np.median(ratio[near], axis=0)) if near.any() else (0.0, 0.0)
    # Below three levels of chroma at full white, it is compression; a rare peak is no tissue.
    return (blue, red) if near.mean() > 0.1 and math.hypot(blue, red) > 0.012 else (0.0, 0.0)


def neutral(ycc: Floats, tint: tuple[float, float]) -> Floats:
    """Colours as they are over untinted grey: blending is linear, and so is taking the tint out, (..., 3)."""
    out = ycc.copy()
    for channel, share in enumerate(tint, start=1):
        out[..., channel] -= np.float32(share) * ycc[..., 0]
    return out


def locate(features: Floats, table: Floats) -> tuple[Floats, Floats]:
    """The place on a palette nearest to every colour.

    Parameters
    ----------
    features : float32 array, (pixels, 3)
        Colours in units of noise.
    table : float32 array, (entries, 3)
        The palette at evenly spaced places, in the same units.

    Returns
    -------
    places : float32 array, (pixels,)
        0 to 1, between the table's entries.
    distances : float32 array, (pixels,)
        From the palette, in units of noise.
    """
    nearest = np.empty(len(features), dtype=np.intp)
    squares = (table * table).sum(axis=1)
    room = np.empty((_CHUNK, len(table)), dtype=np.float32)
    for start in range(0, len(features), _CHUNK):
        part = features[start : start + _CHUNK]
        gaps = np.matmul(part, table.T, out=room[: len(part)])
        gaps *= -2
        gaps += squares
        nearest[start : start + _CHUNK] = gaps.argmin(axis=1)
    return _project(features, table, nearest)


def _project(part: Floats, table: Floats, nearest: npt.NDArray[np.intp]) -> tuple[Floats, Floats]:
    """The nearest point of the two pieces of the polyline that meet in the nearest entry."""
    last = len(table) - 1
    best_place = nearest.astype(np.float32)
    best = np.full(len(part), np.inf, dtype=np.float32)
    # Channel by channel: numpy sums three numbers at a time slowly.
    colours = np.ascontiguousarray(part.T)
    starts = np.ascontiguousarray(table.T)
    steps = starts[:, 1:] - starts[:, :-1]
    lengths = np.maximum(_sum_of_squares(steps), np.float32(1e-12))
    for first in (np.maximum(nearest - 1, 0), np.minimum(nearest, last - 1)):
        step = steps[:, first]
        rest = colours - starts[:, first]
        along = rest[0] * step[0] + rest[1] * step[1] + rest[2] * step[2]
        along = np.clip(along / lengths[first], 0, 1)
        rest -= along * step
        distance = np.sqrt(_sum_of_squares(rest))
        closer = distance < best
        best_place = np.where(closer, first + along, best_place)
        best = np.where(closer, distance, best)
    return (best_place / last).astype(np.float32), best.astype(np.float32)


def _sum_of_squares(channels: Floats) -> Floats:
    found: Floats = channels[0] * channels[0] + channels[1] * channels[1] + channels[2] * channels[2]
    return found


@dataclass(frozen=True)
class Opacity:
    """How strongly colour was blended.

    Parameters
    ----------
    value : float
        Share of colour, 0 to 1.
    doubt : float
        Largest change of the median place, 0 to 1, among opacities that explain the colours as well.
    """

    value: float
    doubt: float


def estimate_opacity(
    ycc: Floats, grey: Floats | None, palette: Palette, tint: tuple[float, float] = (0.0, 0.0)
) -> Opacity:
    """The opacity under which colours lie closest to their palette.

    Parameters
    ----------
    ycc : float32 array, (pixels, 3)
        Luma and chroma of some thousand pixels that surely are coloured.
    grey : float32 array, (pixels,), or None
        Grey under them.
    palette : Palette
        The colours.
    tint : tuple of float
        Taken out of ``ycc``.
    """

    def cost(a: float) -> tuple[float, Floats]:
        return _cost(ycc, grey, Blend(palette, a, grey is not None, tint=tint))

    coarse = {float(a): cost(float(a)) for a in _OPACITIES}
    best = min(coarse, key=lambda a: coarse[a][0])
    steps = (round(best + 0.01 * step, 2) for step in range(-5, 6))
    fine = {a: cost(a) for a in steps if a <= 1}
    every = coarse | fine
    best = min(every, key=lambda a: every[a][0])
    lowest, places = every[best]
    as_good = [other for value, other in every.values() if value < lowest + 0.05]
    return Opacity(best, max(float(np.median(np.abs(other - places))) for other in as_good))


def _cost(ycc: Floats, grey: Floats | None, blend: Blend) -> tuple[float, Floats]:
    """Mean negative log-likelihood per pixel, up to a constant, and the places."""
    places, distances = locate(blend.features(ycc, grey), blend.table())
    misfit = np.minimum(distances, OFF_PALETTE) ** 2 / 2
    return float(misfit.mean() + math.log(blend.noise()[0])), places
