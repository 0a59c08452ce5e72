"""The square crop around a lesion that a network sees."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import nearest
from usdlr.imaging.image import require_spacing
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.resample import Box, Grid

# Park 2024 calls them ASC, the adjustable-square crop, and FSC, the fixed-size crop.
ADJUSTABLE, FIXED = "adjustable", "fixed"
POLICIES = (ADJUSTABLE, FIXED)
# No ultrasound image of a breast is a metre wide; a longer crop is a wrong unit.
LONGEST_MM = 1000.0


@dataclass(frozen=True)
class CropSettings:
    """How the crop that a network sees is cut.

    Parameters
    ----------
    size_px : int
        Side of the square crop in pixels.
    context_mm : float
        Distance from the lesion's bounding box to the crop's nearest edge, in mm. Without meaning under ``fixed``.
    policy : str
        ``adjustable``: the lesion's box and ``context_mm`` on every side, whatever its size, so that every lesion
        fills its crop. ``fixed``: a square of ``side_mm`` around the box's centre, so that every crop has the same
        scale of ``side_mm / size_px`` mm per pixel; a lesion larger than the square is cut at its border, see
        :func:`crop_lost_fraction`.
    side_mm : float
        Side of the fixed crop in mm. Without meaning under ``adjustable``.

    References
    ----------
    .. [1] Park et al., Curr Oncol 31:2278, 2024 (both policies).
    .. [2] Lee et al., Comput Biol Med 130:104206, 2021 (one physical scale for all scanners).
    """

    size_px: int = 96
    context_mm: float = 6.0
    policy: str = ADJUSTABLE
    side_mm: float = 40.0

    def __post_init__(self) -> None:
        if self.size_px < 32:
            raise ConfigError(f"found crop.size_px = {self.size_px}, expected at least 32 pixels")
        if not 0 <= self.context_mm <= LONGEST_MM:
            raise ConfigError(
                f"found crop.context_mm = {self.context_mm}, expected at least 0 mm and at most {LONGEST_MM:g} mm"
            )
        if self.policy not in POLICIES:
            raise ConfigError(
                f"found crop.policy = {self.policy!r}, expected one of {', '.join(POLICIES)}"
                f"{nearest(str(self.policy), POLICIES)}"
            )
        if not 0 < self.side_mm <= LONGEST_MM:
            raise ConfigError(
                f"found crop.side_mm = {self.side_mm}, expected more than 0 mm and at most {LONGEST_MM:g} mm"
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def crop_side_mm(mask: LesionMask, settings: CropSettings) -> float:
    """Side of a lesion's crop in mm; divided by ``size_px``, the crop's mm per pixel.

    Raises
    ------
    CaseError
        If the mask has no spacing.
    """
    if settings.policy == FIXED:
        require_spacing(mask.spacing, f"a crop of {settings.side_mm:g} mm")
        return settings.side_mm
    spacing = require_spacing(mask.spacing, "a crop with context in mm")
    _, _, rows, cols = mask.bounding_box()
    return max(rows * spacing.row_mm, cols * spacing.col_mm) + 2 * settings.context_mm


def lesion_grid(mask: LesionMask, settings: CropSettings) -> Grid:
    """The square (in mm) around a lesion, centred on its bounding box; it may reach beyond the image.

    Its box is the square rounded to whole image pixels, so that either side is at most half an image pixel longer or
    shorter than :func:`crop_side_mm`.

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
    >>> mask = LesionMask(pixels, Spacing(0.1, 0.2))
    >>> grid = lesion_grid(mask, CropSettings(size_px=32, context_mm=1.0))
    >>> grid.box, grid.spacing
    (Box(row=30, col=40, rows=40, cols=20), Spacing(row_mm=0.125, col_mm=0.125))
    >>> grid = lesion_grid(mask, CropSettings(size_px=32, policy="fixed", side_mm=8.0))
    >>> grid.box, grid.spacing
    (Box(row=10, col=30, rows=80, cols=40), Spacing(row_mm=0.25, col_mm=0.25))
    """
    side_mm = crop_side_mm(mask, settings)
    spacing = require_spacing(mask.spacing, "a crop")
    row, col, rows, cols = mask.bounding_box()
    # A square smaller than one image pixel is that pixel.
    box_rows, box_cols = max(round(side_mm / spacing.row_mm), 1), max(round(side_mm / spacing.col_mm), 1)
    box = Box(row + (rows - box_rows) // 2, col + (cols - box_cols) // 2, box_rows, box_cols)
    return Grid.of(box, spacing, settings.size_px, settings.size_px)


def crop_lost_fraction(mask: LesionMask, settings: CropSettings) -> float:
    """Share of a lesion's area that lies outside its crop, 0 to 1; 0 under ``adjustable``.

    Raises
    ------
    CaseError
        If the mask has no spacing.

    Examples
    --------
    >>> import numpy as np
    >>> from usdlr.core.units import Spacing
    >>> mask = LesionMask(np.ones((40, 100), dtype=bool), Spacing(1.0, 1.0))
    >>> crop_lost_fraction(mask, CropSettings(policy="fixed", side_mm=60.0))
    0.4
    """
    box = lesion_grid(mask, settings).box
    top, left = max(box.row, 0), max(box.col, 0)
    inside = mask.pixels[top : box.row + box.rows, left : box.col + box.cols]
    whole = int(mask.pixels.sum())
    return (whole - int(inside.sum())) / whole
