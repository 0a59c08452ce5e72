from __future__ import annotations

import math

import pytest

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import MM_PER_CM, Spacing


def test_rows_come_first() -> None:
    spacing = Spacing(0.1, 0.3)
    assert spacing.as_tuple() == (0.1, 0.3)
    assert spacing.pixel_area_mm2 == pytest.approx(0.03)


def test_ten_millimetres_are_a_centimetre() -> None:
    assert MM_PER_CM == 10
    # The calipers burned into a public DICOM file read 3.3 cm over 130.6 pixels of 0.0254767 cm.
    spacing = Spacing.from_cm(0.0254767, 0.0254767)
    across = math.hypot((435 - 319) * spacing.row_mm, (689 - 629) * spacing.col_mm)
    assert across == pytest.approx(33, rel=0.01)


@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("axis", ["row_mm", "col_mm"])
def test_only_positive_finite_millimetres(axis: str, bad: float) -> None:
    values = {"row_mm": 0.1, "col_mm": 0.1, axis: bad}
    with pytest.raises(CaseError, match=f"found {axis} = .*expected a positive number of millimetres") as caught:
        Spacing(**values)
    assert caught.value.code is ExclusionCode.SPACING_MISSING


def test_a_spacing_is_a_value() -> None:
    assert Spacing(0.1, 0.2) == Spacing(0.1, 0.2)
    assert len({Spacing(0.1, 0.2), Spacing(0.1, 0.2), Spacing(0.2, 0.1)}) == 2
