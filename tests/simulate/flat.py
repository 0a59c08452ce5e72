"""Phantoms simple enough to know by heart: a round lesion in the middle of a world without structure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usdlr.core.units import Spacing
from usdlr.simulate.tissue import Phantom

SHAPE = (300, 320)


def disc(radius_mm: float, spacing: Spacing, **maps: float | npt.NDArray[np.floating]) -> Phantom:
    """A disc about pixel (150, 160); ``maps`` fills the named maps, which are zero otherwise."""
    rows, cols = np.indices(SHAPE)
    distance = np.hypot((rows - 150) * spacing.row_mm, (cols - 160) * spacing.col_mm) - radius_mm
    flat = {
        name: np.array(np.broadcast_to(maps.get(name, 0.0), SHAPE), dtype=np.float32)
        for name in ("echo_db", "specular", "shadow_db", "stiffness_kpa")
    }
    return Phantom(spacing=spacing, outline_mm=np.zeros((0, 2)), distance_mm=distance.astype(np.float32), **flat)
