"""A scale relative to the lesion: discs and ellipses, whose areas are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from usdlr.core.errors import CaseError
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.relative import equivalent_diameter, relative_spacing


def ellipse(rows: float, cols: float) -> npt.NDArray[np.bool_]:
    """Half axes in pixels."""
    y, x = np.ogrid[:260, :260]
    return np.asarray(((y - 130) / rows) ** 2 + ((x - 130) / cols) ** 2 <= 1)


def test_a_discs_equivalent_diameter_is_its_diameter() -> None:
    found = equivalent_diameter(LesionMask(ellipse(100, 100), Spacing(0.05, 0.05)))
    assert found == pytest.approx(10.0, rel=2e-3)  # radius 100 pixels of 0.05 mm


def test_an_ellipses_equivalent_diameter_is_the_geometric_mean_of_its_axes() -> None:
    found = equivalent_diameter(LesionMask(ellipse(40, 90), Spacing(0.1, 0.1)))
    assert found == pytest.approx(2 * 0.1 * (40 * 90) ** 0.5, rel=2e-3)


@pytest.mark.parametrize("known", [None, Spacing(0.1, 0.1), Spacing(0.03, 0.03)])
def test_square_pixels_get_one_scale_whatever_their_size(known: Spacing | None) -> None:
    found = relative_spacing(LesionMask(ellipse(50, 50), known), 20.0)
    # 100 pixels across are 20 units.
    assert found.row_mm == pytest.approx(0.2, rel=2e-3)
    assert found.col_mm == pytest.approx(found.row_mm, rel=1e-12)


def test_known_proportions_of_pixels_are_kept() -> None:
    # In tissue this is a disc of 8 mm: 80 rows of 0.1 mm, 40 columns of 0.2 mm.
    found = relative_spacing(LesionMask(ellipse(40, 20), Spacing(0.1, 0.2)), 20.0)
    assert found.row_mm == pytest.approx(20 / 80, rel=4e-3)
    assert found.col_mm == pytest.approx(20 / 40, rel=4e-3)


def test_without_spacing_there_is_no_diameter() -> None:
    with pytest.raises(CaseError, match="found no"):
        equivalent_diameter(LesionMask(ellipse(10, 10), None))
