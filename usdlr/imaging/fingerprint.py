"""Fingerprints of a picture: equal for copies, whatever file format, compression, brightness, size or border they have.

Three steps, each stricter and slower than the one before: equal hashes of the pixels find exact copies, close
perceptual hashes find candidates among millions of pairs, and :func:`likeness` decides about a candidate on its
speckle, which two examinations of the same anatomy do not share.

References
----------
C. Zauner, Implementation and benchmarking of perceptual image hash functions, 2010 (hashes of cosine coefficients).
G. D. Evangelidis and E. Z. Psarakis, Parametric image alignment using enhanced correlation coefficient maximization,
2008, doi 10.1109/TPAMI.2008.113.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.core.hashing import bytes_hash
from usdlr.imaging.image import BoolArray, FloatArray, require_same_grid

HASH_BITS = 256
# Copies of real breast images (compressed, resized, brightened, bordered, with drawn calipers) differ by at most 60
# bits; of 478,000 pairs of different patients none differs by fewer than 73.
NEAR_BITS = 72
# Such copies agree to at least 0.87; neighbouring frames of one loop to 0.65, pictures of one simulated anatomy with
# independent speckle to 0.66, two views of one lesion to 0.31, images of different patients to 0.04.
SAME_PICTURE = 0.75

_FREQUENCIES = 16
_HASH_GRID, _DETAIL_GRID, _TILE = 64, 192, 14
# Share of the picture's edges that is cut off at each end: it moves with the picture, a black border has none.
_TRIM = 0.005


def pixel_hash(grey: npt.NDArray[np.uint8]) -> str:
    """SHA-256 of a picture's size and grey levels: equal for the same pixels in any lossless file format.

    Parameters
    ----------
    grey : uint8 array, (rows, columns)
        The decoded picture.
    """
    _require_grey(grey)
    return bytes_hash(repr(grey.shape).encode(), np.ascontiguousarray(grey).tobytes())


def perceptual_hash(grey: npt.NDArray[np.uint8], fov: BoolArray | None = None) -> int:
    """256 bits that stay nearly the same when a picture is compressed, resized, brightened or given a border.

    The bits are the signs of the 16 x 16 lowest cosine coefficients of the trimmed picture on a grid of 64 x 64.

    Parameters
    ----------
    grey : uint8 array, (rows, columns)
        The decoded picture.
    fov : bool array, (rows, columns), optional
        Field of view; rulers and text outside it do not count.

    Returns
    -------
    int
        0 for a picture without any texture, which is like no other.
    """
    trimmed = _trimmed(grey, fov)
    if trimmed is None:
        return 0
    small = _resized(trimmed, _HASH_GRID)
    coefficients = cv2.dct(small)[:_FREQUENCIES, :_FREQUENCIES]
    return int.from_bytes(np.packbits(coefficients > 0).tobytes(), "big")


def mirrored(print_: int) -> int:
    """The perceptual hash of the same picture with left and right exchanged.

    Mirroring turns the sign of every cosine coefficient of odd horizontal frequency.
    """
    return 0 if print_ == 0 else print_ ^ _ODD


def hamming(first: int, second: int) -> int:
    """The number of bits in which two perceptual hashes differ.

    Examples
    --------
    >>> hamming(0b1100, 0b1010)
    2
    """
    return (first ^ second).bit_count()


def detail(grey: npt.NDArray[np.uint8], fov: BoolArray | None = None) -> FloatArray:
    """The trimmed picture on a grid of 192 x 192, as :func:`likeness` compares it.

    Returns
    -------
    float32 array, (192, 192)
        Grey levels; all zero for a picture without texture.
    """
    trimmed = _trimmed(grey, fov)
    if trimmed is None:
        return np.zeros((_DETAIL_GRID, _DETAIL_GRID), dtype=np.float32)
    return _resized(trimmed, _DETAIL_GRID)


def likeness(first: FloatArray, second: FloatArray) -> float:
    """How far two pictures agree in their finest detail, from -1 to 1; copies reach :data:`SAME_PICTURE`.

    The second is aligned with the first (an affine map, a few pixels), both lose everything coarser than speckle, and
    tiles are correlated one by one. Black tiles have no say, and the answer is a low quantile of the others: neither
    drawn calipers, which spoil a few tiles, nor fasciae, which any two pictures of one anatomy share, decide it.

    Parameters
    ----------
    first, second : float32 array, (192, 192)
        From :func:`detail`.
    """
    aligned = _aligned(first, second)
    a, b = _speckle_tiles(first), _speckle_tiles(aligned)
    spread_a, spread_b = (np.sqrt((tiles**2).sum(axis=1)) for tiles in (a, b))
    if not (spread_a.any() and spread_b.any()):
        return 0.0
    agreement = (a * b).sum(axis=1) / np.maximum(spread_a * spread_b, np.finfo(np.float32).tiny)
    texture = np.minimum(spread_a / spread_a.mean(), spread_b / spread_b.mean())
    return float(np.quantile(agreement[texture >= np.quantile(texture, 1 / 3)], 0.4))


def _odd_frequencies() -> int:
    odd = np.zeros((_FREQUENCIES, _FREQUENCIES), dtype=bool)
    odd[:, 1::2] = True
    return int.from_bytes(np.packbits(odd).tobytes(), "big")


_ODD = _odd_frequencies()


def _require_grey(grey: npt.NDArray[np.uint8]) -> None:
    if grey.ndim != 2 or grey.dtype != np.uint8 or grey.size == 0:
        raise ValueError(f"found an array of {grey.dtype} with shape {grey.shape}, expected 8-bit grey")


def _trimmed(grey: npt.NDArray[np.uint8], fov: BoolArray | None) -> FloatArray | None:
    """The picture without its borders; ``None`` when nothing is drawn on it."""
    _require_grey(grey)
    if fov is not None:
        require_same_grid((grey.shape[0], grey.shape[1]), (fov.shape[0], fov.shape[1]), "field of view")
        grey = np.where(fov, grey, np.uint8(0))
    pixels = grey.astype(np.float32)
    smooth = cv2.GaussianBlur(pixels, (0, 0), 1.0)
    rows = _span(np.abs(np.diff(smooth, axis=1)).sum(axis=1))
    cols = _span(np.abs(np.diff(smooth, axis=0)).sum(axis=0))
    return None if rows is None or cols is None else pixels[rows, cols]


def _span(edges: FloatArray) -> slice | None:
    """Where a profile of edge strength lies, without the first and last half per cent of it.

    A quantile moves with the picture: thresholds on dark rows would jump when noise or size change a little.
    """
    total = np.concatenate([[0.0], np.cumsum(edges, dtype=np.float64)])
    if not total[-1] > 0:
        return None
    ends = np.interp([_TRIM, 1 - _TRIM], total / total[-1], np.arange(len(total)))
    start, stop = (int(end) for end in np.rint(ends))
    start = min(start, len(edges) - 1)
    return slice(start, max(stop, start + 1))


def _resized(pixels: FloatArray, size: int) -> FloatArray:
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _aligned(first: FloatArray, second: FloatArray) -> FloatArray:
    warp = np.eye(2, 3, dtype=np.float32)
    everywhere = np.full(first.shape, 255, dtype=np.uint8)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-4)
    try:
        _, found = cv2.findTransformECC(_evened(first), _evened(second), warp, cv2.MOTION_AFFINE, stop, everywhere, 3)
    except cv2.error:  # pictures that have nothing in common cannot be aligned
        return second
    warp = np.asarray(found, dtype=np.float32)
    if not np.isfinite(warp).all():
        return second
    moved = cv2.warpAffine(
        second,
        warp,
        (_DETAIL_GRID, _DETAIL_GRID),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(moved, dtype=np.float32)


def _evened(picture: FloatArray) -> FloatArray:
    """The picture with equal contrast everywhere: a caliper in the dark must not pull the alignment."""
    centred = picture - cv2.GaussianBlur(picture, (0, 0), 12.0)
    spread = np.sqrt(cv2.GaussianBlur(centred**2, (0, 0), 12.0)) + 2.0
    return np.asarray(np.clip(centred / spread, -2.0, 2.0), dtype=np.float32)


def _speckle_tiles(picture: FloatArray) -> FloatArray:
    """What is finer than two pixels, in tiles of mean zero, (tiles, pixels)."""
    margin = _DETAIL_GRID // 16  # what the alignment moved in from outside
    fine = (picture - cv2.GaussianBlur(picture, (0, 0), 2.0))[margin:-margin, margin:-margin]
    count = fine.shape[0] // _TILE
    tiles = fine[: count * _TILE, : count * _TILE].reshape(count, _TILE, count, _TILE)
    flat = tiles.transpose(0, 2, 1, 3).reshape(count * count, _TILE * _TILE)
    return np.asarray(flat - flat.mean(axis=1, keepdims=True), dtype=np.float32)
