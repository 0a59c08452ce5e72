"""Run-length encoded masks of COCO and CVAT.

Both count runs of background and lesion in turn, background first. COCO goes down the columns of the whole image,
CVAT along the rows of a box. COCO's compressed form writes each count as a difference to the last but one, in groups
of five bits, as printable characters.

References
----------
COCO API, ``maskApi.c`` (rleToString, rleFrString); CVAT documentation, "XML annotation format" and "Run-length
encoding".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.imaging.image import BoolArray, require_same_grid
from usdlr.imaging.store import MAX_PIXELS
from usdlr.ingest.annotations.contour import Shape, unreadable

CHARACTER_OF_ZERO = 48
BITS = 5
MORE = 1 << BITS
SIGN = 1 << (BITS - 1)
# Counts of a mask of MAX_PIXELS need 27 bits and a sign.
MAX_GROUPS = 7


def decode_runs(counts: npt.NDArray[np.int64], rows: int, cols: int, *, by_column: bool) -> BoolArray:
    """A mask from its runs.

    Parameters
    ----------
    counts : int array
        Pixels of background, of lesion, of background ...
    rows, cols : int
        Size of the mask.
    by_column : bool
        Whether runs go down the columns (COCO) or along the rows (CVAT).

    Raises
    ------
    CaseError
        If the size is absurd, a count is negative, or they do not add up to the size.

    Examples
    --------
    >>> decode_runs(np.array([1, 2, 1]), 2, 2, by_column=True).astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    if rows < 1 or cols < 1 or rows * cols > MAX_PIXELS:
        raise unreadable(f"a run-length mask of {rows} x {cols} pixels", f"1 to {MAX_PIXELS} pixels", "export it again")
    # A count is compared with the size before it is added up, so that nothing can overflow.
    if counts.size == 0 or counts.min() < 0 or counts.max() > rows * cols or int(counts.sum()) != rows * cols:
        raise unreadable(
            f"run lengths that do not add up to {rows} x {cols} pixels (rows x columns)",
            "one for every pixel",
            "export the mask again",
        )
    flat = np.repeat(np.arange(counts.size) % 2 == 1, counts)
    return np.ascontiguousarray(flat.reshape(cols, rows).T if by_column else flat.reshape(rows, cols))


def decode_coco(segmentation: dict[str, Any], shape: Shape) -> BoolArray:
    """The mask of a COCO run-length segmentation, compressed or not.

    Parameters
    ----------
    segmentation : dict
        ``{"size": [rows, columns], "counts": [...] or "..."}``.
    shape : tuple of int
        ``(rows, columns)`` of the image.

    Raises
    ------
    CaseError
        If it is of another size than the image, or damaged.
    """
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise unreadable("a run-length mask without its size", "rows and columns", "export the mask again")
    require_same_grid(shape, (size[0], size[1]), "mask")
    if isinstance(counts, str):
        runs = uncompress(counts, most=shape[0] * shape[1] + 1)
    elif isinstance(counts, list):
        runs = whole_numbers(counts, most=shape[0] * shape[1] + 1)
    else:
        raise unreadable("a run-length mask without counts", "a list or a string of them", "export the mask again")
    return decode_runs(runs, *shape, by_column=True)


def uncompress(text: str, most: int) -> npt.NDArray[np.int64]:
    """The counts of COCO's compressed form.

    Parameters
    ----------
    text : str
        Characters ``0`` to ``o``.
    most : int
        Refuse more counts than this.

    Raises
    ------
    CaseError
        If the text is not of that form.

    Examples
    --------
    >>> uncompress("52203", 9).tolist()
    [5, 2, 2, 2, 5]
    """
    damaged = unreadable("damaged compressed run lengths", "what the COCO tools write", "export the mask again")
    if not text or len(text) > MAX_GROUPS * most or not text.isascii():
        raise damaged
    groups = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - CHARACTER_OF_ZERO
    if groups.min() < 0 or groups.max() >= 2 * MORE or groups[-1] & MORE:
        raise damaged
    last = np.flatnonzero((groups & MORE) == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    length = last - first + 1
    if length.max() > MAX_GROUPS or len(last) > most:
        raise damaged
    place = np.arange(len(groups)) - np.repeat(first, length)
    counts = np.add.reduceat((groups & (MORE - 1)) << (BITS * place), first)
    counts -= np.where(groups[last] & SIGN, np.int64(1) << (BITS * length), 0)
    # The first three counts stand as they are; each later one is a difference to the last but one.
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts


def whole_numbers(values: Sequence[Any], most: int) -> npt.NDArray[np.int64]:
    """Counts from a list of whole numbers.

    Raises
    ------
    CaseError
        If there are more than ``most``, or one is no whole number from 0 to the largest image.
    """
    if len(values) > most or not all(type(value) is int and 0 <= value <= MAX_PIXELS for value in values):
        raise unreadable("run lengths that are no counts", f"at most {most} whole numbers", "export the mask again")
    return np.array(values, dtype=np.int64)
