"""A breast in millimetres: layers, a lesion with its rim, echo levels and stiffness on the image grid.

Depth grows with the row, lateral position with the column; the transducer lies along row 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from usdlr.core.units import MM_PER_CM, Spacing
from usdlr.simulate.acquired import Flags
from usdlr.simulate.layers import Layers
from usdlr.simulate.lesion import (
    RIM_MM,
    calcifications,
    capsule,
    edge_shadows,
    halo_profile,
    inner_echo,
    inside_share,
    spokes,
)
from usdlr.simulate.noise import Map, blur, ramp, smooth_noise
from usdlr.simulate.outline import Points, fill_outline, signed_distance, star_outline

BOX_MARGIN_MM = 4.0  # the rim ends before
RIM_DB = -4.0  # echo level of the tissue next to a lesion, halfway between fat and gland, without halo
ASIDE, BESIDE_MM = 0.55, 1.0  # spread of lesions about the middle, in shares of the room; least room left beside them
FLUID_RATE = 0.25  # share of the patients with a cyst or duct in the picture, unless it would meet the lesion
DUCT_SHARE = 0.5  # ducts among them
FLUID_MM, DUCT_MM = (1.2, 4.0), (0.7, 1.6)  # height and width of a cyst, height of a duct
FLUID_DB, FLUID_DEPTH_MM = -18.0, 4.0  # echo level, and least depth of the middle
LIGAMENT_SHADOW_DB = (0.0, 7.0)  # from patient to patient


@dataclass(frozen=True)
class Phantom:
    """What the scanner looks at; every map has the shape of the image.

    Parameters
    ----------
    spacing : Spacing
        Millimetres per pixel.
    echo_db : ndarray, shape (rows, cols)
        Mean backscattered power in dB relative to fibroglandular tissue, without attenuation; what ribs, ligaments,
        calcifications and a smooth lesion's flanks hide from the transducer is taken off.
    specular : ndarray, shape (rows, cols)
        Amplitude of coherent reflectors (skin, septa, fasciae, specks), on the scale of the speckle's amplitude.
    shadow_db : ndarray, shape (rows, cols)
        Two-way gain or loss behind the lesion, cumulated along depth.
    stiffness_kpa : ndarray, shape (rows, cols)
        Young's modulus.
    outline_mm : ndarray, shape (points, 2)
        True outline of the lesion, (depth, lateral) in mm.
    distance_mm : ndarray, shape (rows, cols)
        Signed Euclidean distance to the outline, negative inside.
    """

    spacing: Spacing
    echo_db: Map
    specular: Map
    shadow_db: Map
    stiffness_kpa: Map
    outline_mm: Points
    distance_mm: Map

    @property
    def lesion(self) -> Flags:
        """The true lesion, shape (rows, cols)."""
        return self.distance_mm < 0


def build_phantom(
    latents: Mapping[str, float], shape: tuple[int, int], spacing: Spacing, rng: np.random.Generator
) -> Phantom:
    """The breast of one patient in one plane.

    Parameters
    ----------
    latents : mapping
        One value per entry of :data:`usdlr.simulate.latents.LATENTS`, in physical units.
    shape : tuple of int
        (rows, cols) of the image.
    spacing : Spacing
        Millimetres per pixel.
    rng : Generator
        Source of everything the latents leave open; another one gives another view of the same lesion.
    """
    outline = placed(
        star_outline(rng, latents["size_mm"], latents["aspect_ratio"], latents["spiculation"]),
        (shape[0] * spacing.row_mm, shape[1] * spacing.col_mm),
        rng,
    )
    distance = signed_distance(fill_outline(outline, shape, spacing), spacing)
    layers = Layers.draw(
        rng, shape, spacing, lesion_bottom_mm=outline[:, 0].max(), bulge_mm=bulge(outline, distance, spacing)
    )
    echo, specular = layers.echo_and_reflectors(rng)
    stiffness = layers.stiffness_kpa(rng)
    _add_fluid(echo, specular, distance, spacing, rng)
    # The lesion and its rim change nothing beyond a box around them; within it, in place.
    box = _box_around(outline, shape, spacing)
    near = np.ascontiguousarray(distance[box])
    _add_lesion(echo[box], specular[box], latents, near, spacing, rng)
    _add_stiffness(stiffness[box], latents, near, spacing, rng)
    hidden = edge_shadows(latents, outline, distance, spacing)
    specks, speck_shadows = calcifications(latents, rng, distance, spacing)
    hidden += speck_shadows
    hidden += _ligament_shadows(outline, shape, spacing, rng)
    echo += hidden
    specular *= np.exp(hidden * np.float32(np.log(10) / 20))
    specular += specks
    return Phantom(
        spacing=spacing,
        echo_db=echo,
        specular=specular,
        shadow_db=shadow_behind(latents, distance, spacing),
        stiffness_kpa=stiffness,
        outline_mm=outline,
        distance_mm=distance,
    )


def _add_lesion(
    echo: Map, specular: Map, latents: Mapping[str, float], distance: Map, spacing: Spacing, rng: np.random.Generator
) -> None:
    """Put the lesion and its halo into the background's echo level and reflectors, in place."""
    inside = inside_share(latents, rng, distance, spacing)
    halo, covered = halo_profile(latents, rng, distance, inside, spacing)
    # The rim is fibrous whether it lies in fat or in gland: half of the layers' contrast is gone there.
    covered *= np.float32(0.5)
    echo *= 1 - covered
    echo += np.float32(RIM_DB) * covered
    echo += np.float32(latents["halo_db"]) * halo
    echo += spokes(latents, rng, distance, spacing)
    lesion = inner_echo(rng, (distance.shape[0], distance.shape[1]), spacing)
    lesion *= np.float32(latents["heterogeneity_db"])
    lesion += np.float32(latents["echogenicity_db"])
    lesion *= inside
    echo *= 1 - inside
    echo += lesion
    specular *= ramp(distance, -0.1, 0.8)
    specular += capsule(latents, distance, spacing)


def _add_fluid(echo: Map, specular: Map, distance: Map, spacing: Spacing, rng: np.random.Generator) -> None:
    """Put a small cyst or a piece of a duct beside the lesion of some patients, in place."""
    own = np.random.default_rng(rng.integers(2**63))  # with it or without, nothing else changes
    if own.random() > FLUID_RATE:
        return
    half_height, half_width = own.uniform(*FLUID_MM) / 2, own.uniform(*FLUID_MM) / 2
    if own.random() < DUCT_SHARE:
        half_height, half_width = own.uniform(*DUCT_MM) / 2, 2 * half_width + DUCT_MM[1]
    clear = BOX_MARGIN_MM + max(half_height, half_width)
    rows, cols = distance.shape
    row, col = own.uniform(FLUID_DEPTH_MM / spacing.row_mm, rows), own.uniform(0, cols)
    if distance[min(int(row), rows - 1), int(col)] < clear:
        return
    slope = min(max(own.normal(0, 0.3), -0.7), 0.7)
    reach = [math.ceil((half_height + half_width) / pixel) for pixel in spacing.as_tuple()]
    box = tuple(slice(max(int(at) - by, 0), int(at) + by) for at, by in zip((row, col), reach, strict=True))
    down = (np.arange(rows, dtype=np.float32)[box[0], None] - np.float32(row)) * np.float32(spacing.row_mm)
    across = (np.arange(cols, dtype=np.float32)[box[1]] - np.float32(col)) * np.float32(spacing.col_mm)
    off = ((down - np.float32(slope) * across) / np.float32(half_height)) ** 2 + (across / np.float32(half_width)) ** 2
    inside = ramp(off, 1.7, 0.4)
    echo[box] += inside * (np.float32(FLUID_DB) - echo[box])
    specular[box] *= 1 - inside


def _add_stiffness(
    stiffness: Map, latents: Mapping[str, float], distance: Map, spacing: Spacing, rng: np.random.Generator
) -> None:
    """Put the lesion and its stiff rim into the background's stiffness, in place."""
    shape = (distance.shape[0], distance.shape[1])
    lesion = np.exp(np.float32(0.15) * smooth_noise(rng, shape, spacing, (2.5, 2.5)))
    lesion *= np.float32(latents["stiffness_kpa"])
    rim = np.exp(np.float32(0.2) * smooth_noise(rng, shape, spacing, (3.0, 3.0)) - np.float32(0.02))
    rim *= np.float32(latents["rim_kpa"])
    rim *= ramp(distance, RIM_MM + 0.5, RIM_MM - 0.5)
    stiffness += rim
    inside = ramp(distance, 0.3, -0.3)
    stiffness *= 1 - inside
    stiffness += lesion * inside


def shadow_behind(latents: Mapping[str, float], distance: Map, spacing: Spacing) -> Map:
    """Gain or loss behind the lesion, with edges that are soft across."""
    shadow = np.cumsum(distance < 0, axis=0, dtype=np.float32)
    shadow *= np.float32(latents["posterior_db_per_cm"] * spacing.row_mm / MM_PER_CM)
    np.clip(shadow, -16, 8, out=shadow)
    rows, cols = shadow.shape
    # Nothing in it is finer than a few pixels: blurred on a quarter of the columns.
    coarse = cv2.resize(shadow, (max(cols // 4, 1), rows), interpolation=cv2.INTER_AREA)
    narrow = np.asarray(coarse, dtype=np.float32)
    narrow = blur(narrow, (0.4 / spacing.row_mm, 0.9 / (spacing.col_mm * cols / narrow.shape[1])))
    return np.asarray(cv2.resize(narrow, (cols, rows), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _ligament_shadows(outline: Points, shape: tuple[int, int], spacing: Spacing, rng: np.random.Generator) -> Map:
    """Loss in dB behind ligaments that run along the beam: dark bands beside the lesion, shape (rows, cols).

    None crosses the lesion or its rim: their echo level is what the latents say.
    """
    depth = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(spacing.row_mm)
    lateral = np.arange(shape[1], dtype=np.float32) * np.float32(spacing.col_mm)
    left, right = outline[:, 1].min(), outline[:, 1].max()
    beside = ramp(left - lateral, RIM_MM, RIM_MM + 1.5) + ramp(lateral - right, RIM_MM, RIM_MM + 1.5)
    bands = ramp(smooth_noise(rng, (1, shape[1]), spacing, (1.0, 1.1)), 0.2, 2.0) * beside
    start = np.float32(4.0) + np.float32(2.5) * smooth_noise(rng, (1, shape[1]), spacing, (1.0, 3.0))
    growing = np.clip((depth - start) * np.float32(1 / 8.0), 0, 1)
    return np.asarray(growing * bands * np.float32(-rng.uniform(*LIGAMENT_SHADOW_DB)), dtype=np.float32)


def _box_around(outline: Points, shape: tuple[int, int], spacing: Spacing) -> tuple[slice, slice]:
    """The rows and columns that hold everything nearer than 4 mm to the lesion."""
    low = np.floor((outline.min(axis=0) - BOX_MARGIN_MM) / spacing.as_tuple()).astype(int)
    high = np.ceil((outline.max(axis=0) + BOX_MARGIN_MM) / spacing.as_tuple()).astype(int)
    rows, cols = (slice(max(int(a), 0), min(int(b) + 1, n)) for a, b, n in zip(low, high, shape, strict=True))
    return rows, cols


def placed(outline: Points, image_mm: tuple[float, float], rng: np.random.Generator) -> Points:
    """The outline moved to where the operator would show it: below the skin, not too deep, near the middle."""
    top, bottom = outline[:, 0].min(), outline[:, 0].max()
    highest, lowest = 3.5 - top, max(image_mm[0] - 6.0 - bottom, 3.5 - top)
    depth = highest + (lowest - highest) * rng.beta(1.5, 2.4)
    room = max(0.5 * (image_mm[1] - np.ptp(outline[:, 1])) - BESIDE_MM, 0.0)
    lateral = 0.5 * image_mm[1] - outline[:, 1].mean() + np.clip(rng.normal(0, ASIDE), -1, 1) * room
    return np.asarray(outline + np.array((depth, lateral)))


def bulge(outline: Points, distance: Map, spacing: Spacing) -> Map:
    """By how many mm the strata give way to the lesion: upwards above it, downwards below it."""
    top, bottom = np.float32(outline[:, 0].min()), np.float32(outline[:, 0].max())
    depth = np.arange(distance.shape[0], dtype=np.float32)[:, None] * np.float32(spacing.row_mm)
    push = np.clip((depth - 0.5 * (top + bottom)) / (0.5 * (bottom - top)), -1, 1)
    push *= -np.float32(0.12) * (bottom - top)
    near = np.maximum(distance, 0)
    near *= np.float32(-1 / 4.0)
    return np.asarray(push * np.exp(near, out=near), dtype=np.float32)
