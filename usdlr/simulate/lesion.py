"""What a lesion adds to the picture: its margin, inner echoes, echogenic halo, calcifications and edge shadows."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from usdlr.core.units import Spacing
from usdlr.simulate.noise import Map, blur, facing, ramp, smooth_noise
from usdlr.simulate.outline import Points

RIM_MM = 3.0
HALO_MEASURED_MM = (0.6, 1.2)  # where the halo's mean excess is what the latent says
MM2_PER_CM2 = 100.0
SOFTNESS_SPREAD = 0.85  # of the logarithm of the margin's half-width, along the outline
SOFTEST_MM, SOFTEST_SHARE = 1.4, 0.13  # no half-width is larger, nor a larger share of the lesion's size
FRAYED_MM = (0.12, 0.28)  # how far the border wavers about a smooth outline, and what the most irregular adds
HALO_SECTOR_MM = (2.6, 3.4)  # size of the sectors with and without a halo
HALO_STRANDS = 0.2  # how much they stand out, as a share of the halo
HALO_BEHIND = 0.45  # share of the halo that is left behind a lesion which takes 4 dB per cm or more
SPOKE_DB = 4.0  # spread of the echo level across tissue drawn towards the most irregular lesion
SPOKE_DEGREES = 2.5  # standard deviation of the smoothing across a spoke
SPOKE_BEND = 0.06  # spread of their bend, radians per mm
SPOKE_REACH_MM = (0.8, 3.8)  # full to there, gone from there on


def inside_share(latents: Mapping[str, float], rng: np.random.Generator, distance: Map, spacing: Spacing) -> Map:
    """1 inside, 0 outside, over a margin that is sharp in places and indistinct in others, shape (rows, cols).

    A spiculated lesion has the less distinct margin; nothing is changed farther than 2.2 mm from the outline.
    """
    shape = (distance.shape[0], distance.shape[1])
    softness = np.exp(np.float32(SOFTNESS_SPREAD) * smooth_noise(rng, shape, spacing, (2.2, 2.2)))
    softness *= np.float32(0.42 + 0.68 * latents["spiculation"])
    np.minimum(softness, np.float32(min(SOFTEST_MM, SOFTEST_SHARE * latents["size_mm"])), out=softness)
    # Tissue and tumour interdigitate: the border wavers about the outline on a scale that no reader would follow.
    frayed = smooth_noise(rng, shape, spacing, (0.45, 0.7))
    np.clip(frayed, -2, 2, out=frayed)
    frayed *= np.float32(FRAYED_MM[0] + FRAYED_MM[1] * latents["spiculation"])
    frayed += distance
    frayed /= softness
    return ramp(frayed, 1.0, -1.0)


def inner_echo(rng: np.random.Generator, shape: tuple[int, int], spacing: Spacing) -> Map:
    """Unit-variance echo structure inside a lesion: coarse and fine lumps, wider than high."""
    lumps = smooth_noise(rng, shape, spacing, (0.8, 1.2))
    lumps *= np.float32(0.75)
    lumps += np.float32(0.66) * smooth_noise(rng, shape, spacing, (0.3, 0.6))
    return lumps


def halo_profile(
    latents: Mapping[str, float], rng: np.random.Generator, distance: Map, inside: Map, spacing: Spacing
) -> tuple[Map, Map]:
    """Where the echogenic rim is, and how much of the tissue's own contrast it leaves; each of shape (rows, cols).

    The rim is interrupted along the outline, differs in width and is weaker where the lesion's shadow lies, but its
    mean from 0.6 to 1.2 mm outside is 1, and nothing of it lies farther out than 3.1 mm.
    """
    shape = (distance.shape[0], distance.shape[1])
    patches = smooth_noise(rng, shape, spacing, HALO_SECTOR_MM)
    patches += np.float32(0.35) * smooth_noise(rng, shape, spacing, (0.5, 1.0))
    width = ramp(patches, -1.3, 1.7)
    outer = np.float32(1.8) + np.float32(1.3) * width  # from 1.8 to 3.1 mm
    profile = ramp(distance, -0.1, 0.3) * (1 - inside)
    profile *= ramp(distance / outer, 1.0, 0.1)
    covered = profile * (np.float32(0.3) + np.float32(0.7) * width)
    profile *= np.float32(0.45) + np.float32(1.1) * width
    # Within it, strands: fibres and fat lie side by side.
    profile *= np.float32(1.0) + np.float32(HALO_STRANDS) * np.clip(
        smooth_noise(rng, shape, spacing, (0.22, 0.6)), -2, 2
    )
    hidden = (1 - HALO_BEHIND) * min(max(-latents["posterior_db_per_cm"] / 4.0, 0.0), 1.0)
    profile *= 1 - np.float32(hidden) * (np.cumsum(distance < 0, axis=0, dtype=np.float32) > 0)
    low, high = HALO_MEASURED_MM
    mean = profile[(distance > low) & (distance < high)].mean(dtype=np.float64)
    profile *= np.float32(1 / max(mean, 0.1))
    return profile, covered


def spokes(latents: Mapping[str, float], rng: np.random.Generator, distance: Map, spacing: Spacing) -> Map:
    """Change in dB of the tissue that an irregular lesion draws towards itself, shape (rows, cols).

    Thin bent lines, brighter and darker, run away from the lesion; around it their mean is zero, and they end 3.8 mm
    outside.
    """
    bend, turn = rng.normal(0, SPOKE_BEND), 720
    white = rng.standard_normal((1, turn), dtype=np.float32)
    reach = turn // 4
    around = np.concatenate([white[:, -reach:], white, white[:, :reach]], axis=1)
    profile = blur(around, (0.01, SPOKE_DEGREES * turn / 360))[0, reach:-reach]
    profile -= profile.mean()
    profile *= np.float32(SPOKE_DB * latents["spiculation"]) / profile.std()
    rows, cols = np.nonzero(distance < 0)
    if not rows.size:
        return np.zeros_like(distance)
    near = (distance > -0.2) & (distance < SPOKE_REACH_MM[1])
    down, across = np.nonzero(near)
    angle = np.arctan2((down - rows.mean()) * spacing.row_mm, (across - cols.mean()) * spacing.col_mm)
    away = distance[near]
    place = np.rint((angle + bend * away) * (turn / (2 * np.pi))).astype(np.intp) % turn
    change = np.zeros_like(distance)
    change[near] = profile[place] * ramp(away, *SPOKE_REACH_MM[::-1]) * ramp(away, -0.2, 0.6)
    return change


def capsule(latents: Mapping[str, float], distance: Map, spacing: Spacing) -> Map:
    """Amplitude of the thin bright line where a smooth lesion's surface faces the transducer, shape (rows, cols)."""
    _, square_on = facing(distance, spacing)
    off = (distance - np.float32(0.1)) * np.float32(1 / 0.14)
    line = np.exp(-off * off)
    line *= square_on
    line *= square_on
    return np.asarray(line * np.float32(0.7 * (1 - latents["spiculation"]) ** 2), dtype=np.float32)


def calcifications(
    latents: Mapping[str, float], rng: np.random.Generator, distance: Map, spacing: Spacing
) -> tuple[Map, Map]:
    """Bright specks inside the lesion: their amplitude and the faint shadows behind some, in dB; (rows, cols) each.

    Their number follows the lesion's area; they lie in one or two clusters.
    """
    shape = (distance.shape[0], distance.shape[1])
    amplitude, loss = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    rows, cols = np.nonzero(distance < -0.3)
    area_cm2 = float((distance < 0).sum()) * spacing.pixel_area_mm2 / MM2_PER_CM2
    # One stream of its own: how many there are must not change anything else.
    own = np.random.default_rng(rng.integers(2**63))
    count = round(max(latents["calcifications_per_cm2"], 0.0) * area_cm2 + own.uniform(-0.5, 0.5)) if rows.size else 0
    if count <= 0:
        return amplitude, loss
    # Nearer to one of two places, more likely.
    weight = np.full(rows.size, 0.02)
    for seed in own.integers(rows.size, size=2):
        away = np.hypot((rows - rows[seed]) * spacing.row_mm, (cols - cols[seed]) * spacing.col_mm)
        weight += np.exp(-0.5 * (away / 2.5) ** 2)
    for number in own.choice(rows.size, size=min(count, rows.size), replace=False, p=weight / weight.sum()):
        row, col = int(rows[number]), int(cols[number])
        tall, wide = own.uniform(0.06, 0.12), own.uniform(0.06, 0.2)
        _stamp(amplitude, (row, col), (tall, wide), own.uniform(0.8, 2.0), spacing)
        if own.random() < 0.3:
            down = min(shape[0], row + round(own.uniform(3, 8) / spacing.row_mm))
            half = max(1, round(0.25 / spacing.col_mm))
            fading = np.linspace(own.uniform(-5, -2), 0, max(down - row - 1, 1), dtype=np.float32)[:, None]
            loss[row + 1 : down, max(col - half, 0) : col + half + 1] += fading[: max(down - row - 1, 0)]
    return amplitude, np.asarray(cv2.blur(loss, (2 * max(1, round(0.2 / spacing.col_mm)) + 1, 1)), dtype=np.float32)


def _stamp(target: Map, at: tuple[int, int], sigma_mm: tuple[float, float], amplitude: float, spacing: Spacing) -> None:
    reach = [int(np.ceil(3 * sigma / pixel)) for sigma, pixel in zip(sigma_mm, spacing.as_tuple(), strict=True)]
    box = tuple(slice(max(a - r, 0), a + r + 1) for a, r in zip(at, reach, strict=True))
    profiles = [
        np.exp(-0.5 * ((np.arange(n)[part] - a) * pixel / sigma) ** 2)
        for n, part, a, pixel, sigma in zip(target.shape, box, at, spacing.as_tuple(), sigma_mm, strict=True)
    ]
    target[box] = np.maximum(target[box], amplitude * np.outer(*profiles))


def edge_shadows(latents: Mapping[str, float], outline: Points, distance: Map, spacing: Spacing) -> Map:
    """Loss in dB behind both flanks of a smooth, round lesion, where the beam is refracted away; (rows, cols)."""
    shape = (distance.shape[0], distance.shape[1])
    loss = np.zeros(shape, np.float32)
    strength = 7.0 * max(1 - 2 * latents["spiculation"], 0.0)
    if strength == 0:
        return loss
    depth = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(spacing.row_mm)
    lateral = np.arange(shape[1], dtype=np.float32) * np.float32(spacing.col_mm)
    for flank in (outline[:, 1].argmin(), outline[:, 1].argmax()):
        row, col = outline[flank]
        behind = ramp(depth, row, row + 2.0) * np.exp(-np.maximum(depth - np.float32(row), 0) / np.float32(18.0))
        loss -= np.float32(strength) * behind * np.exp(-(((lateral - np.float32(col)) / np.float32(0.7)) ** 2))
    loss *= distance > 0
    return loss
