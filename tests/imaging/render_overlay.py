"""Elastography frames drawn independently of the code that reads them: speckle, known stiffness, colours, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Byte = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]
Stops = list[tuple[float, tuple[float, float, float]]]


@dataclass(frozen=True)
class Scene:
    """``place`` is the truth on the scale, 0 to 1 and beyond (clipped when drawn); NaN-free; ``signal`` where drawn."""

    grey: Byte
    place: Float
    signal: Bool
    box: tuple[int, int, int, int]


def bilinear_noise(rng: np.random.Generator, shape: tuple[int, int], cell: int) -> Float:
    coarse = rng.normal(size=(shape[0] // cell + 3, shape[1] // cell + 3))
    grown = cv2.resize(coarse, (shape[1] + 2 * cell, shape[0] + 2 * cell), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown[cell : cell + shape[0], cell : cell + shape[1]], dtype=np.float64)


def speckle(rng: np.random.Generator, shape: tuple[int, int]) -> Byte:
    """Log-compressed Rayleigh speckle over a slowly changing echo level, with a dark lesion."""
    field = rng.normal(size=(2, *shape))
    field = np.stack([cv2.GaussianBlur(part, (0, 0), sigmaX=1.6, sigmaY=0.9) for part in field])
    amplitude = np.hypot(field[0], field[1])
    decibels = 20 * np.log10(amplitude / amplitude.mean() + 1e-3) + 5 * bilinear_noise(rng, shape, 60)
    rows, cols = np.indices(shape)
    lesion = ((rows - shape[0] * 0.5) / (shape[0] * 0.2)) ** 2 + ((cols - shape[1] * 0.5) / (shape[1] * 0.18)) ** 2 < 1
    decibels[lesion] -= 14
    return np.asarray(np.clip(95 + 255 / 60 * decibels, 0, 255), dtype=np.uint8)


def scene(
    seed: int,
    shape: tuple[int, int] = (360, 400),
    grey: Byte | None = None,
    background: float = 0.25,
    lesion: float = 0.75,
    spread: float = 0.12,
) -> Scene:
    rng = np.random.default_rng(seed)
    if grey is None:
        grey = speckle(rng, shape)
    shape = (grey.shape[0], grey.shape[1])
    rows, cols = np.indices(shape)
    place = background + spread * bilinear_noise(rng, shape, 40)
    radius = np.hypot((rows - shape[0] * 0.5) / (shape[0] * 0.17), (cols - shape[1] * 0.47) / (shape[1] * 0.17))
    place += (lesion - background) / (1 + np.exp((radius - 1) * 12))
    top, left = round(shape[0] * 0.12), round(shape[1] * 0.10)
    box = (top, left, round(shape[0] * 0.75), round(shape[1] * 0.78))
    signal = np.zeros(shape, dtype=bool)
    signal[box[0] : box[0] + box[2], box[1] : box[1] + box[3]] = True
    holes = bilinear_noise(rng, shape, 30) > 1.15
    holes |= (np.hypot(rows - shape[0] * 0.72, cols - shape[1] * 0.3)) < shape[0] * 0.07
    return Scene(grey, np.clip(place, 0.0, None), signal & ~holes, box)


def colours(stops: Stops, place: Float) -> Float:
    xs = [stop for stop, _ in stops]
    return np.stack([np.interp(place, xs, [rgb[i] for _, rgb in stops]) for i in range(3)], axis=-1)


def draw(item: Scene, stops: Stops, opacity: float) -> Byte:
    """The overlay before compression."""
    grey = np.repeat(item.grey[..., None].astype(np.float64), 3, axis=2)
    blended = opacity * colours(stops, np.clip(item.place, 0, 1)) + (1 - opacity) * grey
    return np.rint(np.where(item.signal[..., None], blended, grey)).astype(np.uint8)


def jpeg(pixels: Byte, quality: int = 80) -> Byte:
    """Through JPEG with chroma at half resolution (4:2:0) and back."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x221111]
    colour = pixels.ndim == 3
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]) if colour else pixels, options)
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1] if colour else decoded)


def draw_bar(frame: Byte, stops: Stops, box: tuple[int, int, int, int]) -> None:
    """A colour bar into a frame: high end at the top, or at the right when it lies flat."""
    row, col, rows, cols = box
    if rows >= cols:
        line = colours(stops, 1 - (np.arange(rows) + 0.5) / rows)[:, None]
    else:
        line = colours(stops, (np.arange(cols) + 0.5) / cols)[None]
    frame[row : row + rows, col : col + cols] = np.rint(line).astype(np.uint8)
