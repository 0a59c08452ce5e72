"""Where things lie: one affine change of all that a sample holds, done once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import albumentations.augmentations.geometric.functional as geometric
import cv2
import numpy as np
import numpy.typing as npt

from usdlr.data.augment.settings import AugmentSettings
from usdlr.data.samples import Sample
from usdlr.imaging.image import BoolArray, FloatArray

# How often an image is turned, zoomed and shifted at all.
CHANCE = 0.9
# Masks that travel as the bits of one image.
BITS = 16


@dataclass(frozen=True, slots=True)
class Geometry:
    """One affine change: the flip first, then zoom and rotation about the middle, then the shift.

    Parameters
    ----------
    flip : bool
        Left to right.
    rotate_deg : float
        Counter-clockwise as seen on the screen.
    zoom : float
        Above 1 things grow. The same along rows and columns: taller than wide is a sign of malignancy.
    shift_rows, shift_cols : float
        Downwards and to the right, as shares of the sides.
    """

    flip: bool = False
    rotate_deg: float = 0.0
    zoom: float = 1.0
    shift_rows: float = 0.0
    shift_cols: float = 0.0

    @property
    def keeps_pixels(self) -> bool:
        """Whether every pixel lands on a pixel: nothing but a flip."""
        return (self.rotate_deg, self.zoom, self.shift_rows, self.shift_cols) == (0.0, 1.0, 0.0, 0.0)


def draw_geometry(random: Random, settings: AugmentSettings) -> Geometry:
    """One draw within the settings' limits."""
    flip = random.random() < settings.flip
    still = random.random() >= CHANCE
    rotate = random.uniform(-settings.rotate_deg, settings.rotate_deg)
    zoom = random.uniform(1 - settings.scale, 1 + settings.scale)
    rows, cols = (random.uniform(-settings.shift, settings.shift) for _ in range(2))
    return Geometry(flip) if still else Geometry(flip, rotate, zoom, rows, cols)


def move(sample: Sample, geometry: Geometry) -> Sample:
    """A sample whose images, regions and lesion have all been moved alike.

    Images are interpolated between their pixels that have a value, regions keep the nearest pixel; what is turned in
    from outside has no value and belongs to no region. Millimetres per pixel follow the zoom.
    """
    if geometry == Geometry():
        return sample
    if geometry.keeps_pixels:
        return replace(
            sample,
            images={name: _mirrored(pixels) for name, pixels in sample.images.items()},
            rois={name: _mirrored(pixels) for name, pixels in sample.rois.items()},
            lesion=_mirrored(sample.lesion),
        )
    matrix = _matrix(geometry, sample.lesion.shape)
    lesion, *rois = _move_masks([sample.lesion, *sample.rois.values()], matrix)
    return replace(
        sample,
        images=_move_images(sample.images, matrix),
        rois=dict(zip(sample.rois, rois, strict=True)),
        lesion=lesion,
        pixel_mm=sample.pixel_mm / geometry.zoom,
    )


def _mirrored(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(pixels[:, ::-1])


def _matrix(geometry: Geometry, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    rows, cols = shape
    matrix = geometric.create_affine_transformation_matrix(
        translate={"x": geometry.shift_cols * cols, "y": geometry.shift_rows * rows},
        shear={"x": 0.0, "y": 0.0},
        scale={"x": geometry.zoom, "y": geometry.zoom},
        rotate=geometry.rotate_deg,
        shift=geometric.center((rows, cols)),
    )
    if geometry.flip:
        matrix = matrix @ np.array([[-1.0, 0.0, cols - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(matrix, dtype=np.float64)


def _warp(pixels: npt.NDArray[Any], matrix: npt.NDArray[np.float64], interpolation: int) -> npt.NDArray[Any]:
    moved = geometric.warp_affine(pixels, matrix, interpolation, 0, cv2.BORDER_CONSTANT, pixels.shape[:2])
    return np.asarray(moved)


def _move_images(images: Mapping[str, FloatArray], matrix: npt.NDArray[np.float64]) -> dict[str, FloatArray]:
    """Every image moved; all of them, and the weights of their pixels, are channels of one warp."""
    channels: list[FloatArray] = []
    places: dict[str, tuple[int, int]] = {}  # of each image's values and weights among the channels
    complete = None  # where the weights of all images without a hole are
    for name, pixels in images.items():
        known = np.isfinite(pixels)
        whole = bool(known.all())
        value_at = len(channels)
        # Only pixels with a value count: a hole in the map must not bleed into its rim.
        channels.append(pixels if whole else np.where(known, pixels, np.float32(0)))
        if whole and complete is not None:
            places[name] = value_at, complete
            continue
        channels.append(known.astype(np.float32))
        places[name] = value_at, value_at + 1
        if whole:
            complete = value_at + 1
    moved = cv2.split(_warp(cv2.merge(channels), matrix, cv2.INTER_LINEAR)) if channels else []
    results: dict[str, FloatArray] = {}
    for name, (value_at, weight_at) in places.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.asarray(moved[value_at] / moved[weight_at], dtype=np.float32)
        values[moved[weight_at] < 0.5] = np.nan
        results[name] = values
    return results


def _move_masks(masks: Iterable[BoolArray], matrix: npt.NDArray[np.float64]) -> list[BoolArray]:
    """Every mask moved, :data:`BITS` at a time: the nearest pixel brings all its bits."""
    left, moved = list(masks), []
    while left:
        group, left = left[:BITS], left[BITS:]
        packed = np.zeros(group[0].shape, dtype=np.uint16)
        for bit, mask in enumerate(group):
            packed |= mask.astype(np.uint16) << np.uint16(bit)
        packed = _warp(packed, matrix, cv2.INTER_NEAREST)
        moved += [(packed & np.uint16(1 << bit)) != 0 for bit in range(len(group))]
    return moved
