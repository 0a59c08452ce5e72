"""One training example: a window on a frame, its variation, and what a reader might have pointed at."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random

import cv2
import numpy as np

from usdlr.core.hashing import derive_seed
from usdlr.core.modalities import BMODE, MODALITIES
from usdlr.data.augment.augmenter import change_pixels, draw_changes
from usdlr.data.segmentation.frames import Frame
from usdlr.data.segmentation.settings import DrawSettings
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.imaging.prompt import BRUSH_PX
from usdlr.imaging.window import AROUND, Window, look

# What a window is taken to show across, in mm, where strengths of the augmentation are lengths.
SHOWN_MM = 40.0
# Tries to find a window without a lesion, and its sides as shares of the image's longer one.
TRIES, EMPTY_SIDES = 8, (0.35, 0.8)
# A close window is at most so much tighter or wider than the one that a box leads to, and so far from its middle.
CLOSE_ZOOM, CLOSE_SHIFT = (-0.25, 0.35), 0.15
# Nodes of a smooth displacement along each side of the window.
NODES = 4
# Arms of a drawn cross, in pixels of the window.
ARMS_PX = (2, 6)
# Chance that a window with a prompt has a box.
BOXED = 0.75


@dataclass(frozen=True, eq=False)
class Example:
    """One example.

    Parameters
    ----------
    image : float32 array, (size, size)
        Grey as a share of its range, 0..1.
    prompts : float32 array, (3, size, size)
        Box, inside, outside; 0 or 1.
    target : float32 array, (size, size)
        Share of a pixel that is lesion.
    distance : float32 array, (size, size)
        Signed distance to the boundary as a share of the side, negative inside; 0 without a lesion.
    """

    image: FloatArray
    prompts: FloatArray
    target: FloatArray
    distance: FloatArray


def draw_example(frame: Frame, size_px: int, settings: DrawSettings, seed: int, epoch: int) -> Example:
    """An example of a frame: the same arguments give the same one on every machine."""
    rng = np.random.default_rng(derive_seed(seed, "window", epoch, frame.image_id))
    kind = _kind(rng.random(), frame, settings)
    window, objects = _window(kind, frame, settings, rng)
    image = look(frame.grey, window, size_px) / np.float32(255)
    target = look(np.isin(frame.lesions, objects) if objects else frame.lesions > 0, window, size_px)
    if rng.random() < 0.5 and settings.bend > 0:
        image, target = _bent([image, target], settings.bend, rng)
    if rng.random() < settings.marks:
        _mark(image, rng)
    image = _varied(image, settings, derive_seed(seed, "echo", epoch, frame.image_id))
    inside = target >= 0.5
    prompts = np.zeros((3, size_px, size_px), dtype=np.float32)
    if kind in ("close", "pointed") and inside.any():
        prompts = _prompt(inside, kind == "close", settings, rng)
    return Example(image, prompts, target, signed_distance(inside))


def signed_distance(inside: BoolArray) -> FloatArray:
    """Distance to the boundary as a share of the side, negative inside; 0 where there is no boundary."""
    if not inside.any() or inside.all():
        return np.zeros(inside.shape, dtype=np.float32)
    out, into = (cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3) for mask in (~inside, inside))
    return np.asarray((out - into) / inside.shape[0], dtype=np.float32)


def _kind(drawn: float, frame: Frame, settings: DrawSettings) -> str:
    """``close``, ``pointed``, ``empty`` or ``whole``."""
    if not frame.lesions.any():
        return "empty" if drawn < settings.close + settings.pointed + settings.empty else "whole"
    for kind in ("close", "pointed", "empty"):
        share = getattr(settings, kind)
        if drawn < share:
            return kind
        drawn -= share
    return "whole"


def _window(
    kind: str, frame: Frame, settings: DrawSettings, rng: np.random.Generator
) -> tuple[Window, tuple[int, ...]]:
    """A window, and the lesions that are its target (none: all in it)."""
    turned = Window(
        row=0.0,
        col=0.0,
        side=1.0,
        aspect=frame.aspect,
        angle_deg=float(rng.uniform(-settings.rotate_deg, settings.rotate_deg)),
        stretch=math.exp(rng.uniform(-settings.stretch, settings.stretch)),
        flip=bool(rng.random() < settings.flip),
    )
    rows, cols = frame.shape
    longest = max(rows * frame.aspect, cols)
    if kind == "close":
        wanted = int(rng.choice(np.unique(frame.lesions[frame.lesions > 0])))
        top, left, height, width = _box(frame.lesions == wanted)
        side = max(height * frame.aspect, width)
        off = rng.uniform(-CLOSE_SHIFT, CLOSE_SHIFT, 2) * side
        wide = AROUND * math.exp(rng.uniform(*CLOSE_ZOOM))
        row, col = top + height / 2 + off[0] / frame.aspect, left + width / 2 + off[1]
        return replace(turned, row=float(row), col=float(col), side=side * wide), (wanted,)
    if kind == "empty":
        for _ in range(TRIES):
            side = longest * rng.uniform(*EMPTY_SIDES)
            window = replace(turned, row=rng.uniform(0, rows), col=rng.uniform(0, cols), side=side)
            # At a coarse size: this is a question, not a picture.
            if not look(frame.lesions > 0, window, 48).any():
                return window, ()
    zoom = math.exp(rng.uniform(-settings.zoom, 0.75 * settings.zoom))
    off = rng.uniform(-settings.shift, settings.shift, 2) * longest
    row, col = rows / 2, cols / 2
    if zoom < 1 and frame.lesions.any():  # closer to the lesion, so that it stays in sight
        top, left, height, width = _box(frame.lesions > 0)
        row += (top + height / 2 - row) * (1 - zoom)
        col += (left + width / 2 - col) * (1 - zoom)
    return replace(turned, row=row + float(off[0]) / frame.aspect, col=col + float(off[1]), side=longest * zoom), ()


def _box(mask: BoolArray) -> tuple[int, int, int, int]:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(cols[0]), int(rows[-1] - rows[0] + 1), int(cols[-1] - cols[0] + 1)


def _bent(maps: list[FloatArray], most: float, rng: np.random.Generator) -> list[FloatArray]:
    """Maps under one smooth displacement."""
    size = maps[0].shape[0]
    nodes = np.clip(rng.normal(0, 0.5, (NODES, NODES, 2)), -1, 1).astype(np.float32) * np.float32(most * size)
    moved = cv2.resize(nodes, (size, size), interpolation=cv2.INTER_CUBIC)
    down, right = np.mgrid[:size, :size].astype(np.float32)
    return [
        np.asarray(cv2.remap(one, right + moved[..., 0], down + moved[..., 1], cv2.INTER_LINEAR), dtype=np.float32)
        for one in maps
    ]


def _mark(image: FloatArray, rng: np.random.Generator) -> None:
    """Draw a pair or two of crosses, as calipers leave them."""
    size = len(image)
    arm, level = int(rng.integers(*ARMS_PX)), float(rng.uniform(0.6, 1.0))
    for _ in range(int(rng.choice([2, 4]))):
        row, col = (int(value) for value in rng.integers(0, size, 2))
        cv2.line(image, (col - arm, row), (col + arm, row), level, 1)
        cv2.line(image, (col, row - arm), (col, row + arm), level, 1)


def _varied(image: FloatArray, settings: DrawSettings, seed: int) -> FloatArray:
    modality = MODALITIES[BMODE]
    low, high = modality.value_range
    changes = draw_changes(modality, settings.echo, Random(seed))  # noqa: S311  # nothing here is a secret
    # What is black because nothing was recorded there stays black.
    shown = image > 0
    changed = change_pixels(image * (high - low) + low, SHOWN_MM / len(image), modality, changes)
    return np.where(shown, (changed - low) / (high - low), np.float32(0)).astype(np.float32)


def _prompt(inside: BoolArray, close: bool, settings: DrawSettings, rng: np.random.Generator) -> FloatArray:
    """What a reader might have pointed at, (3, size, size)."""
    size = inside.shape[0]
    maps = np.zeros((3, size, size), dtype=np.float32)
    boxed = close and rng.random() < BOXED
    if boxed:
        row, col, rows, cols = _box(inside)
        error = rng.normal(0, settings.box_error, 4)
        top, bottom = row + error[0] * rows, row + rows + error[1] * rows
        left, right = col + error[2] * cols, col + cols + error[3] * cols
        place = [min(max(round(value), 0), size) for value in (top, bottom, left, right)]
        maps[0, place[0] : max(place[1], place[0] + 1), place[2] : max(place[3], place[2] + 1)] = 1
    for channel, region in ((1, inside), (2, ~inside)):
        # Without a box, something must say which lesion is meant.
        if rng.random() < settings.strokes or (channel == 1 and not boxed):
            for _ in range(int(rng.integers(1, 4))):
                _scribble(maps[channel], region, rng)
            maps[channel] *= region
    return maps


def _scribble(target: FloatArray, region: BoolArray, rng: np.random.Generator) -> None:
    """A click or a short line that begins in a region; the caller cuts off what leaves it."""
    down, right = np.nonzero(region)
    if not len(down):
        return
    place = int(rng.integers(len(down)))
    start = int(right[place]), int(down[place])
    length = rng.uniform(0, 0.15) * region.shape[0] if rng.random() < 0.5 else 0.0
    turn = rng.uniform(0, 2 * math.pi)
    end = round(start[0] + length * math.cos(turn)), round(start[1] + length * math.sin(turn))
    cv2.line(target, start, end, 1.0, 2 * BRUSH_PX + 1)
    cv2.circle(target, start, BRUSH_PX, 1.0, -1)
