"""Masks that are pictures: PNG, BMP, TIFF, NIfTI, NRRD and Slicer's segmentations in NRRD.

Background is 0, black, or fully transparent. Every other value is a label: one value alone (1, 255, any) is the
lesion, several are several lesions, named by their value (``2``), in colour pictures by their colour (``#ff0000``) or
by the palette's index, in Slicer's segmentations by the segment's name, id or value. All pixels of one value are one
lesion, also where they do not touch.

What is not exactly a label mask is refused: more values than any label mask has, fractions (soft edges,
probabilities), JPEG, whose halo around the lesion is not zero.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from usdlr.core.types import ExclusionCode
from usdlr.imaging.image import require_same_grid
from usdlr.ingest.annotations.contour import Candidate, Drawn, Part, Shape, drawn_as, fixed, unreadable
from usdlr.ingest.annotations.slicer import Segment, read_layers, segments_of
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.readers.reading import read_frame

MAX_LABELS = 64
CHANNEL = 1 << 16
HALF = "threshold it at half of its range and save it as PNG"


def read_picture(path: Path, kind: str, frame: int | None, shape: Shape) -> list[Candidate]:
    """The contours of a mask picture, one per label value.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        Its format, as :func:`usdlr.ingest.readers.reading.sniff` names it.
    frame : int or None
        Page or slice, from 1.
    shape : tuple of int
        ``(rows, columns)`` of the image.
    """
    if kind == "JPEG":
        raise _lossy()
    segments = segments_of(path) if kind == "NRRD" else ()
    if any(segment.layer for segment in segments):
        layers = read_layers(path, frame)
        require_same_grid(shape, (layers.shape[0], layers.shape[1]), "mask")
        return [_segment(one, layers[..., one.layer]) for one in segments if one.layer < layers.shape[2]]
    source = read_frame(path, frame, missing=ExclusionCode.MASK_MISSING, unreadable=ExclusionCode.MASK_UNREADABLE)
    require_same_grid(shape, source.shape, "mask")
    if source.lossy:
        raise _lossy()
    if segments and source.pixels.ndim == 2:
        return [_segment(one, source.pixels) for one in segments]
    indices = _palette_indices(path, source)
    return _labels(source.pixels) if indices is None else _indexed(source.pixels, indices)


def _segment(segment: Segment, values: npt.NDArray[Any]) -> Candidate:
    pixels = values == segment.value
    aliases = {segment.identity, str(segment.value)} - {""}
    return Candidate((fixed(pixels),), segment.name, aliases=frozenset(aliases), empty=not pixels.any())


def _labels(pixels: npt.NDArray[Any]) -> list[Candidate]:
    """One contour per value of a grey picture, or per colour."""
    if pixels.ndim == 3:
        colours, opaque = pixels[..., :3], pixels[..., 3] > 0 if pixels.shape[2] == 4 else True
        if (colours == colours[..., :1]).all():
            return _labels(np.where(opaque, colours[..., 0], 0))
        red, green, blue = (colours[..., channel].astype(np.int64) for channel in range(3))
        codes = np.where(opaque, (red * CHANNEL + green) * CHANNEL + blue, 0)
        return [
            Candidate((_equal(codes, value),), _colour(value, pixels.dtype.itemsize)) for value in _values_of(codes)
        ]
    if pixels.dtype.kind == "f":
        if not (np.isfinite(pixels).all() and (pixels == np.rint(pixels)).all()):
            raise unreadable("a mask with fractions (probabilities, soft edges?)", "whole numbers, one per label", HALF)
        pixels = pixels.astype(np.float64)
    return [Candidate((_equal(pixels, value),), f"{value:.0f}") for value in _values_of(pixels)]


def _indexed(pixels: npt.NDArray[Any], indices: npt.NDArray[np.uint8]) -> list[Candidate]:
    """One contour per palette entry that is not black; colours decide what is background, indices may name labels."""
    found = []
    for one in _labels(pixels):
        drawn = one.parts[0]((pixels.shape[0], pixels.shape[1])).pixels
        entries = np.unique(indices[drawn])
        alias = frozenset({str(int(entries[0]))}) if len(entries) == 1 else frozenset[str]()
        # A colour keeps its own name; a grey level and an index would both be plain numbers.
        found.append(one if one.label is None or not one.label.startswith("#") else _with(one, alias))
    return found


def _with(one: Candidate, aliases: frozenset[str]) -> Candidate:
    return Candidate(one.parts, one.label, aliases=aliases)


def _palette_indices(path: Path, source: SourceFrame) -> npt.NDArray[np.uint8] | None:
    """Palette indices of a picture that has a palette of colours; the reader has checked its size already."""
    if source.format not in ("PNG", "BMP", "TIFF") or source.pixels.ndim == 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=[source.format]) as image:
            if image.mode != "P":
                return None
            image.seek(source.frame - 1)
            return np.asarray(image) if image.mode == "P" and (image.height, image.width) == source.shape else None


def _values_of(pixels: npt.NDArray[Any]) -> list[Any]:
    """Values other than background."""
    values = _distinct(pixels)
    labels = [value for value in values.tolist() if value != 0]
    if len(labels) > MAX_LABELS:
        raise unreadable(
            f"a mask with {len(labels)} values (soft edges, or a picture instead of a mask?)",
            f"background and at most {MAX_LABELS} labels",
            HALF,
        )
    return labels


def _distinct(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if pixels.dtype in (np.uint8, np.uint16):
        return np.flatnonzero(np.bincount(pixels.ravel()))
    return np.unique(pixels)


def _colour(code: int, bytes_per_channel: int) -> str:
    digits = 2 * bytes_per_channel
    channels = (code // CHANNEL**2, code // CHANNEL % CHANNEL, code % CHANNEL)
    return "#" + "".join(f"{channel:0{digits}x}" for channel in channels)


def _equal(values: npt.NDArray[Any], value: Any) -> Part:
    def draw(shape: Shape) -> Drawn:
        return drawn_as(np.asarray(values == value))

    return draw


def _lossy() -> Exception:
    return unreadable("a mask with lossy compression (JPEG?), whose edges are smeared", "a lossless mask", HALF)
