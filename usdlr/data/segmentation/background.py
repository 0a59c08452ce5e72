"""Tissue beside a lesion, as a picture of its own: on it, nothing should be found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from usdlr.data.segmentation.frames import Frame

# How far a cut stays away from the lesion's box, and how long its shorter side must be, as shares of the image's
# shorter side.
AWAY, LEAST = 0.05, 0.35


def background_of(frame: Frame) -> Frame | None:
    """The largest of the four strips above, below and beside the box that holds all lesions.

    Returns
    -------
    Frame or None
        Without a lesion; ``None`` where every strip is too narrow to be a picture, or shows nothing.
    """
    if not frame.lesions.any():
        return frame
    rows, cols = frame.shape
    hit_rows, hit_cols = np.flatnonzero(frame.lesions.any(axis=1)), np.flatnonzero(frame.lesions.any(axis=0))
    away = round(AWAY * min(rows, cols))
    strips = [
        (slice(0, max(hit_rows[0] - away, 0)), slice(0, cols)),
        (slice(min(hit_rows[-1] + 1 + away, rows), rows), slice(0, cols)),
        (slice(0, rows), slice(0, max(hit_cols[0] - away, 0))),
        (slice(0, rows), slice(min(hit_cols[-1] + 1 + away, cols), cols)),
    ]
    sides = [(strip[0].stop - strip[0].start, strip[1].stop - strip[1].start) for strip in strips]
    best = max(range(len(strips)), key=lambda place: sides[place][0] * sides[place][1])
    grey = frame.grey[strips[best]]
    if min(sides[best]) < LEAST * min(rows, cols) or not grey.any():
        return None
    return replace(
        frame,
        image_id=f"{frame.image_id}#background",
        grey=np.ascontiguousarray(grey),
        lesions=np.zeros(grey.shape, dtype=np.uint8),
    )
