"""What can be measured of a lesion's latents on its rendered images, given the true outline.

Every estimate undoes what :mod:`usdlr.simulate.tissue` and the scanner did to one latent, as far as an image lets it:
depth, shadow, layers and speckle are compensated. It knows what the device states (dynamic range, gain) and the laws
of the simulation, but no latent, and nothing that the operator did: overall gain and time-gain compensation show only
in the tissue beside the lesion. A model fitted on these estimates is the limit of what the images can tell.

All levels are in dB relative to gland.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from usdlr.core.units import MM_PER_CM, Spacing
from usdlr.imaging.mask import LesionMask, measure
from usdlr.simulate.acquired import Flags, Grey
from usdlr.simulate.centres import Centre
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.layers import ECHO_DB
from usdlr.simulate.noise import Map
from usdlr.simulate.scene import BEYOND_MM, CELL_MM, FEWEST_CELLS, Scene, beside, cells, scene_of, without_bands

Values = npt.NDArray[np.float64]


# The background is a mixture of gland, at 0 dB, and of fat and muscle; each is spread by its texture.
FAT_DB = ECHO_DB["fat"] - ECHO_DB["gland"]
FAT_SHIFTS_DB = np.arange(-2.25, 2.26, 0.75)  # fat differs between patients by 1.5 dB
GLAND_SHARES = np.linspace(0.05, 0.95, 10)
TEXTURE_DB = (3.0, 2.5)  # spread of gland and of the rest
STRAY = 0.01  # density of cells that are neither
PATCH_MM2 = 20.0  # tissue that counts as one observation
BAND_MM = 5.0
LEVEL_BINS = np.arange(-45.0, 25.1, 1.0)
# The skin looks alike in everybody: its level tells the gain, but not the time-gain compensation farther down.
SKIN_SEEN_MM = (0.3, 0.9)
SKIN_TRUST, SKIN_OFFSET_DB, SKIN_ERROR_DB = 0.83, -0.3, 1.9


SHADOW_DB = (-16.0, 8.0)  # no lesion takes or gives more
SHADOW_STEPS = np.arange(-15.0, 8.01, 0.25)
BEHIND_ERROR_DB = 2.2  # of the level behind a lesion against that beside it

RIM_ECHO_MM = (0.5, 1.1)
RIM_HIDES = 0.3  # share of the layers' contrast that is gone in the rim
RIM_STIFFNESS_MM = (1.0, 2.3)
SOFT_BACKGROUND_MM = 3.8
STIFFNESS_BLUR_MM = 0.65  # of the scanner's map

CORE_MM = -0.6
FEWEST_PATCHES = 6
LUMP_CELLS = 150
LUMPS = ((0.56, 0.8, 1.2), (0.44, 0.3, 0.6))  # share of the variance; standard deviations of the kernel, rows first, mm
LUMP_RATIOS = np.geomspace(0.02, 60.0, 80)  # variance of the lumps over that of the speckle in one patch

SPICULE_WAVES = (10, 40)  # per turn: finer than lobes, coarser than pixels
SPICULE_SCALE = 2.7

SPECK_DB = 9.5


def measure_latents(
    bmode: Grey, stiffness_kpa: Map | None, lesion: Flags, spacing: Spacing, centre: Centre
) -> dict[str, float]:
    """An estimate of every latent, NaN where it cannot be measured.

    Parameters
    ----------
    bmode : uint8 array, shape (rows, cols)
        Tissue alone, as the scanner shows it.
    stiffness_kpa : float32 array, shape (rows, cols), or None
        Shear-wave map, NaN where there is no value; ``None`` without one. Strain elastography gives none. The factor
        by which the scanner misreads is not known here and stays in the estimates.
    lesion : bool array, shape (rows, cols)
        The true lesion.
    spacing : Spacing
        Millimetres per pixel.
    centre : Centre
        Its stated dynamic range and gain turn grey into dB.

    Returns
    -------
    dict of str to float
        A value for each of :data:`usdlr.simulate.latents.LATENTS`, in its unit. Latents that are logarithmic are
        positive: their estimates end at the latent's lowest value.

    Raises
    ------
    CaseError
        If the lesion is empty.
    ValueError
        If the arrays differ in shape.
    """
    for name, values in (("B-mode image", bmode), ("shear-wave map", stiffness_kpa)):
        if values is not None and values.shape != lesion.shape:
            raise ValueError(f"found a {name} of shape {values.shape}, expected the lesion's, {lesion.shape}")
    size = measure(LesionMask(lesion, spacing))
    scene = without_bands(scene_of(bmode, lesion, spacing, centre))
    aspect, spiculation = _outline(lesion, spacing)
    gland = _gland(scene)
    known, error = _behind(scene)
    echo, heterogeneity, posterior = _inside(scene, known, error)
    blind = math.isnan(heterogeneity) and error >= LATENTS["posterior_db_per_cm"].spread
    stiffness, rim = (math.nan, math.nan) if stiffness_kpa is None else _stiffness(stiffness_kpa, scene, spacing)
    found = {
        "size_mm": size.longest_diameter_mm,
        "stiffness_kpa": stiffness,
        "rim_kpa": rim,
        "halo_db": _halo(scene, posterior, gland),
        "heterogeneity_db": heterogeneity,
        "spiculation": spiculation,
        "echogenicity_db": echo - gland,
        "posterior_db_per_cm": math.nan if blind else posterior,
        "aspect_ratio": aspect,
        "calcifications_per_cm2": _specks(scene, size.area_mm2),
    }
    return {
        name: max(value, LATENTS[name].low) if LATENTS[name].log and math.isfinite(value) else float(value)
        for name, value in found.items()
    }


def _behind(scene: Scene) -> tuple[float, float]:
    """Change of level per centimetre of lesion, from what lies behind it, and its standard error.

    Compared with tissue of the same depth beside it, and drawn towards the usual lesion the more the shorter the path.
    """
    usual = LATENTS["posterior_db_per_cm"]
    behind = scene.below & (scene.distance > 1.5)
    if int(behind.sum()) < FEWEST_CELLS or not scene.background.any():
        return usual.middle, usual.spread
    expected = beside(scene.smooth, scene.background, (0.7, 6.0))
    step = int(behind.sum()) // 2000 + 1  # neighbours say the same
    change, path = (scene.smooth - expected)[behind][::step], scene.path[behind][::step]
    misfit = np.abs(change - np.clip(SHADOW_STEPS[:, None] * path, *SHADOW_DB)).mean(axis=1)
    error = BEHIND_ERROR_DB / float(path.mean())
    trust = usual.spread**2 / (usual.spread**2 + error**2)
    found = float(SHADOW_STEPS[int(misfit.argmin())])
    return usual.middle + trust * (found - usual.middle), usual.spread * math.sqrt(1 - trust)


def _gland(scene: Scene) -> float:
    """Level of gland at the lesion's depth, in dB at the stated gain: what the operator's hand added.

    The mean of its distribution given the level of the skin, and those of the background near that depth: a mixture
    of gland and of fatter tissue in unknown shares.
    """
    first = (scene.depth[:, 0] > SKIN_SEEN_MM[0]) & (scene.depth[:, 0] < SKIN_SEEN_MM[1])
    expected = SKIN_OFFSET_DB + SKIN_TRUST * float(np.median(scene.level[first]))
    rows = np.flatnonzero(scene.lesion.any(axis=1))
    depth = np.broadcast_to(scene.depth, scene.level.shape)[scene.background]
    middle, spread = float(scene.depth[rows].mean()), float(np.ptp(scene.depth[rows])) / math.sqrt(12)
    weight = np.exp(-0.5 * ((depth - middle) / (BAND_MM + spread)) ** 2)
    found, edges = np.histogram(scene.smooth[scene.background], LEVEL_BINS, weights=weight)
    observed = found * (CELL_MM**2 / PATCH_MM2)
    level = (edges[1:] + edges[:-1]) / 2
    added = np.arange(-8.0, 8.01, 0.5)
    above = level - (expected + added)[:, None]
    gland = np.exp(-0.5 * (above / TEXTURE_DB[0]) ** 2) / TEXTURE_DB[0]
    shifted = above - (FAT_DB + FAT_SHIFTS_DB)[:, None, None]
    rest = np.exp(-0.5 * (shifted / TEXTURE_DB[1]) ** 2) / TEXTURE_DB[1]
    share = GLAND_SHARES[:, None, None, None]
    fit = np.log(share * gland + (1 - share) * rest + STRAY) @ observed  # (shares, shifts, gains)
    fit = fit - 0.5 * ((FAT_SHIFTS_DB / 1.5) ** 2)[:, None] - 0.5 * (added / SKIN_ERROR_DB) ** 2
    chance = np.exp(fit - fit.max()).sum(axis=(0, 1))
    return expected + float((chance @ added) / chance.sum())


def _halo(scene: Scene, posterior: float, gland: float) -> float:
    """Excess level of the rim over what it leaves to see of the background."""
    low, high = RIM_ECHO_MM
    rim = (scene.distance > low) & (scene.distance < high)
    if int(rim.sum()) < FEWEST_CELLS:
        return math.nan
    around = beside(scene.smooth, scene.background, (1.0, 2.0))
    shadow = np.clip(posterior * scene.path, *SHADOW_DB)
    excess = (scene.level - shadow - (1 - RIM_HIDES) * around)[rim] - RIM_HIDES * gland
    # Behind the lesion the shadow's own error counts, 2.5 dB per centimetre beside some 2 dB of patchiness.
    return float(np.average(excess, weights=1 / (1 + (1.2 * scene.path[rim]) ** 2)))


def _inside(scene: Scene, slope: float, error: float) -> tuple[float, float, float]:
    """Level where sound enters, standard deviation of the lumps, and change of level per centimetre of lesion.

    The lesion is cut into patches. Lumps are correlated from patch to patch as their sizes say, speckle is not:
    restricted maximum likelihood tells the two apart, whatever the number of looks, and allows for the few lumps of a
    small lesion. ``slope`` and its standard ``error`` are what is known of the change from elsewhere.
    """
    level = scene.level - np.clip(slope * scene.path, *SHADOW_DB)
    core = next(
        (part for limit in (CORE_MM, CORE_MM / 2, 0.0) if (part := scene.distance < limit).sum() * CELL_MM**2 >= 6),
        scene.lesion,
    )
    rows, cols = np.nonzero(core)
    side = max(2, math.ceil(math.sqrt(len(rows) / LUMP_CELLS)))
    _, patch, count = np.unique(rows // side * core.shape[1] + cols // side, return_inverse=True, return_counts=True)
    values = (level[core], scene.path[core], rows * CELL_MM, cols * CELL_MM)
    whole = count >= side**2 / 3
    if int(whole.sum()) < FEWEST_PATCHES:
        return float(np.mean(level[core])), math.nan, slope
    mean, path, row, col = ((np.bincount(patch, part) / count)[whole] for part in values)
    weight = np.sqrt(count[whole]) / side  # small patches hold more speckle
    covariance = _lump_covariance(row, col, side) * np.outer(weight, weight)
    orthogonal, _ = np.linalg.qr(weight[:, None], mode="complete")
    contrasts = orthogonal[:, 1:]
    variance, axes = np.linalg.eigh(contrasts.T @ covariance @ contrasts)
    seen = axes.T @ (contrasts.T @ (mean * weight))
    spread = 1 + LUMP_RATIOS[:, None] * np.maximum(variance, 0)
    speckle = (seen**2 / spread).mean(axis=1)
    best = int((np.log(spread).sum(axis=1) + len(seen) * np.log(np.maximum(speckle, 1e-12))).argmin())
    # Level and slope by generalised least squares, the slope held by what is known of it.
    design = np.column_stack([weight, weight * path])
    noise = max(float(speckle[best]), 1e-6) * (LUMP_RATIOS[best] * covariance + np.eye(len(weight)))
    solved = np.linalg.solve(noise, np.column_stack([design, mean * weight]))
    information = design.T @ solved + np.array([[0, 0, 0], [0, error**-2, 0]])
    start, change = np.linalg.solve(information[:, :2], information[:, 2])
    return float(start), math.sqrt(LUMP_RATIOS[best] * speckle[best]), slope + float(change)


def _lump_covariance(row_mm: Values, col_mm: Values, side: int) -> Values:
    """Covariance between patches of ``side`` cells, of lumps with unit variance."""
    within = (side * CELL_MM) ** 2 / 12  # variance of a place within a patch, along each axis
    total = np.zeros((len(row_mm), len(row_mm)))
    for share, *scales in LUMPS:
        part = np.full_like(total, share)
        for place, scale in zip((row_mm, col_mm), scales, strict=True):
            wide = 2 * scale**2 + 2 * within
            part *= math.sqrt(2 * scale**2 / wide) * np.exp(-((place[:, None] - place) ** 2) / (2 * wide))
        total += part
    return total


def _stiffness(kpa: Map, scene: Scene, spacing: Spacing) -> tuple[float, float]:
    """Stiffness of the lesion, and what the rim adds to the background around it."""
    known = np.isfinite(kpa)
    share = cells(known, spacing)
    if not (share > 0.5).any():
        return math.nan, math.nan
    left, top, width, height = cv2.boundingRect((share > 0.5).astype(np.uint8))
    box = slice(top, top + height), slice(left, left + width)
    total = cells(np.where(known, kpa, 0), spacing)[box]
    values = np.asarray(total / np.maximum(share[box], np.float32(1e-6)), dtype=np.float32)
    distance, good = scene.distance[box], (share[box] > 0.5) & (values > 0)
    around, near = good & (distance > SOFT_BACKGROUND_MM), good & (distance < BEYOND_MM)
    core = near & (distance < max(-1.0, 0.5 * float(scene.distance.min())))
    if min(int(core.sum()), int(around.sum())) < FEWEST_CELLS:
        return (float(np.median(values[core])) if core.any() else math.nan), math.nan
    background = beside(values, around, (1.5, 2.5))
    # The scanner smooths across the outline: each cell is a mixture of lesion, rim and background.
    inside = ndtr(-distance / STIFFNESS_BLUR_MM)
    rim = ndtr(distance / STIFFNESS_BLUR_MM) * ndtr((3.0 - distance) / STIFFNESS_BLUR_MM)
    excess = values - (1 - inside) * background
    parts = np.column_stack([inside[near], rim[near]]) / values[near][:, None]  # the noise is proportional
    lesion, _ = np.linalg.lstsq(parts, excess[near] / values[near], rcond=None)[0]
    low, high = RIM_STIFFNESS_MM
    ring = good & (distance > low) & (distance < high)
    if int(ring.sum()) < FEWEST_CELLS:
        return float(lesion), math.nan
    added = np.sort(((excess - lesion * inside) / np.maximum(rim, 0.1))[ring])
    trim = len(added) // 20
    return float(lesion), float(added[trim : len(added) - trim].mean())


def _outline(lesion: Flags, spacing: Spacing) -> tuple[float, float]:
    """Height over width of the lesion, and the irregularity of its outline."""
    scale = np.array(spacing.as_tuple())
    rows, cols = np.nonzero(lesion)
    places = np.stack([rows, cols]) * scale[:, None]
    centre = places.mean(axis=1)
    variance, axes = np.linalg.eigh(np.cov(places, ddof=0) + np.diag(scale**2 / 12))
    upright = int(np.abs(axes[0]).argmax())
    aspect = math.sqrt(variance[upright] / variance[1 - upright])
    contours, _ = cv2.findContours(lesion.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    away = max(contours, key=len)[:, 0, ::-1] * scale - centre
    angle, radius = np.arctan2(away[:, 0], away[:, 1]), np.maximum(np.hypot(*away.T), 0.5 * scale.min())
    order = np.argsort(angle)
    turn = np.linspace(-np.pi, np.pi, 360, endpoint=False)
    waves = np.abs(np.fft.rfft(np.interp(turn, angle[order], np.log(radius[order]), period=2 * np.pi))) / 180
    low, high = SPICULE_WAVES
    rough = math.sqrt(float((waves[low:high] ** 2 * np.arange(low, high)).sum()))
    # Number and height of spicules both grow with spiculation, their power therefore with its cube.
    return aspect, SPICULE_SCALE * rough ** (2 / 3)


def _specks(scene: Scene, area_mm2: float) -> float:
    """Bright specks per square centimetre of lesion: peaks that stand out of what is around them."""
    peak = scene.level >= cv2.dilate(scene.level, np.ones((3, 3), np.uint8))
    count = int((peak & (scene.distance < -CELL_MM) & (scene.level - scene.smooth > SPECK_DB)).sum())
    return count / (area_mm2 / MM_PER_CM**2)
