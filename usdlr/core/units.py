"""Physical spacing. Rows first, millimetres per pixel, never a silent 1.0."""

from __future__ import annotations

import math
from dataclasses import dataclass

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode

MM_PER_CM = 10.0


@dataclass(frozen=True, slots=True)
class Spacing:
    """Distance between the centres of neighbouring pixels.

    Parameters
    ----------
    row_mm : float
        Millimetres between neighbouring rows (vertical, usually depth).
    col_mm : float
        Millimetres between neighbouring columns (horizontal, usually lateral).

    Raises
    ------
    CaseError
        If a value is not finite or not positive.

    Examples
    --------
    >>> Spacing.from_cm(0.0078125, 0.0078125)
    Spacing(row_mm=0.078125, col_mm=0.078125)
    >>> Spacing(0.1, 0.2).pixel_area_mm2
    0.020000000000000004
    """

    row_mm: float
    col_mm: float

    def __post_init__(self) -> None:
        for name, value in (("row_mm", self.row_mm), ("col_mm", self.col_mm)):
            if not (math.isfinite(value) and value > 0):
                raise CaseError(
                    ExclusionCode.SPACING_MISSING,
                    f"found {name} = {value}, expected a positive number of millimetres per pixel; "
                    "state the spacing in the source's table",
                )

    @classmethod
    def from_cm(cls, row_cm: float, col_cm: float) -> Spacing:
        """Spacing from centimetres per pixel."""
        return cls(row_cm * MM_PER_CM, col_cm * MM_PER_CM)

    @property
    def pixel_area_mm2(self) -> float:
        """Area of one pixel in mm²."""
        return self.row_mm * self.col_mm

    def as_tuple(self) -> tuple[float, float]:
        """``(row_mm, col_mm)``, the order that scipy's ``sampling`` expects."""
        return self.row_mm, self.col_mm
