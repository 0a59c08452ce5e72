"""What one examination of one lesion in one plane yields, before it is exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usdlr.core.types import ElastographyKind
from usdlr.core.units import Spacing

Grey = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Acquired:
    """The pictures of one image set, all on one grid of shape (rows, cols).

    Parameters
    ----------
    bmode : uint8 array, (rows, cols)
        Nothing but tissue.
    elastogram : float32 array, (rows, cols), or None
        Stiffness in kPa, or for strain elastography a relative stiffness from 0 (soft) to 1 (stiff); NaN where there
        is no value. ``None``: no elastography.
    elasto_kind : ElastographyKind or None
        What ``elastogram`` is.
    contours : mapping of str to bool array, (rows, cols)
        What each reader drew; the first is the one that is used.
    lesion : bool array, (rows, cols)
        The true lesion; for the truth tables alone.
    spacing : Spacing
        Millimetres per pixel.
    """

    bmode: Grey
    elastogram: Map | None
    elasto_kind: ElastographyKind | None
    contours: Mapping[str, Flags]
    lesion: Flags
    spacing: Spacing
