"""The square crop around a lesion that a network sees."""

from __future__ import annotations

from dataclasses import dataclass

from usdlr.core.errors import ConfigError
from usdlr.imaging.image import require_spacing
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.resample import Box, Grid


@dataclass(frozen=True)
class CropSettings:
    """How the crop that a network sees is cut.

    Parameters
    ----------
    size_px : int
        Side of the square crop in pixels.
    context_mm : float
        Distance from the lesion's bounding box to the crop's nearest edge, in mm.
    """

    size_px: int = 96
    context_mm: float = 6.0

    def __post_init__(self) -> None:
        if self.size_px < 32:
            raise ConfigError(f"found crop.size_px = {self.size_px}, expected at least 32 pixels")
        if not self.context_mm >= 0:
            raise ConfigError(f"found crop.context_mm = {self.context_mm}, expected at least 0 mm")


def lesion_grid(mask: LesionMask, settings: CropSettings) -> Grid:
    """The square (in mm) around a lesion, centred on its bounding box; it may reach beyond the image.

    Raises
    ------
    CaseError
        If the mask has no spacing.

    Examples
    --------
    >>> import numpy as np
    >>> from usdlr.core.units import Spacing
    >>> pixels = np.zeros((100, 100), dtype=bool)
    >>> pixels[40:60, 45:55] = True
    >>> grid = lesion_grid(LesionMask(pixels, Spacing(0.1, 0.2)), CropSettings(size_px=32, context_mm=1.0))
    >>> grid.box, grid.spacing
    (Box(row=30, col=40, rows=40, cols=20), Spacing(row_mm=0.125, col_mm=0.125))
    """
    spacing = require_spacing(mask.spacing, "a crop with context in mm")
    row, col, rows, cols = mask.bounding_box()
    side_mm = max(rows * spacing.row_mm, cols * spacing.col_mm) + 2 * settings.context_mm
    box_rows, box_cols = round(side_mm / spacing.row_mm), round(side_mm / spacing.col_mm)
    box = Box(row + (rows - box_rows) // 2, col + (cols - box_cols) // 2, box_rows, box_cols)
    return Grid.of(box, spacing, settings.size_px, settings.size_px)
