"""Features at a scale relative to the lesion: the same lesion at two sizes, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from usdlr.core.types import SpacingSource
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.relative import relative_spacing
from usdlr.radiomics.extract import extract, measure_case
from usdlr.radiomics.feature_cache import content_key
from usdlr.radiomics.settings import RadiomicsSettings

SETTINGS = RadiomicsSettings(pixel_mm=0.25, margin_mm=5.0)
PLAIN = {"elasto_path": None, "fov_path": None, "mask_source": "reader", "elasto_unit": None}
SHAPE = "bmode.intratumoral.original.shape2D."


def case(folder: Path, zoom: int, *, relative: bool) -> dict[str, Any]:
    """A smooth picture with a dark ellipse, magnified: the pixels of a lesion ``zoom`` times as large."""
    rows, cols = np.mgrid[:120, :160].astype(np.float32)
    mask = ((rows - 60) / 18) ** 2 + ((cols - 80) / 30) ** 2 <= 1
    grey = 120 + 40 * np.sin(rows / 6) * np.cos(cols / 9) - 50 * mask
    size = (160 * zoom, 120 * zoom)
    large = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    name = f"{zoom}"
    cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8))
    cv2.imwrite(str(folder / f"{name}_mask.png"), np.where(large, 255, 0).astype(np.uint8))
    spacing = relative_spacing(LesionMask(large, None), 20.0) if relative else Spacing(0.2, 0.2)
    source = SpacingSource.LESION_RELATIVE if relative else SpacingSource.MANIFEST
    return {
        **PLAIN,
        "image_id": name,
        "bmode_path": f"{name}.png",
        "mask_path": f"{name}_mask.png",
        "row_mm": spacing.row_mm,
        "col_mm": spacing.col_mm,
        "spacing_source": str(source),
    }


def measured(folder: Path, zoom: int, *, relative: bool) -> dict[str, Any]:
    return measure_case(case(folder, zoom, relative=relative), folder, SETTINGS, "native")


def test_a_lesion_three_times_as_large_has_the_same_features(tmp_path: Path) -> None:
    once, thrice = (measured(tmp_path, zoom, relative=True) for zoom in (1, 3))
    # What is left is how coarse outline and grey levels were drawn; sums over pixels would be nine times as large.
    for ends, within in (
        (("firstorder.Energy", "firstorder.TotalEnergy", "shape2D.Perimeter", "MaximumDiameter"), 0.12),
        ((".GrayLevelNonUniformity", ".RunLengthNonUniformity", ".SizeZoneNonUniformity"), 0.5),
    ):
        checked = [name for name in once if name.startswith("bmode.") and name.endswith(ends)]
        assert len(checked) >= 6
        for name in checked:
            assert thrice[name] == pytest.approx(once[name], rel=within), name
    near, far = (measured(tmp_path, zoom, relative=False) for zoom in (1, 3))
    assert far[SHAPE + "PixelSurface"] == pytest.approx(9 * near[SHAPE + "PixelSurface"], rel=0.02)
    assert (
        far["bmode.intratumoral.original.firstorder.Energy"] > 5 * near["bmode.intratumoral.original.firstorder.Energy"]
    )


def test_what_the_scale_fixes_is_left_out_with_its_reason(tmp_path: Path) -> None:
    relative, plain = (measured(tmp_path, 1, relative=kind) for kind in (True, False))
    assert set(plain) - set(relative) == {SHAPE + "MeshSurface", SHAPE + "PixelSurface"}
    assert "PixelSurface left out: the scale is relative" in relative["reason"]
    assert "left out" not in plain["reason"]
    # The features' table agrees, and Sphericity, which knows no size, is the same on both scales.
    table = extract(
        pd.DataFrame([case(tmp_path, 1, relative=True)]), tmp_path, SETTINGS, engine="native", jobs=1,
        ledger=tmp_path / "ledger",
    )  # fmt: skip
    assert SHAPE + "PixelSurface" not in table.columns
    assert relative[SHAPE + "Sphericity"] == pytest.approx(plain[SHAPE + "Sphericity"], rel=0.03)


def test_kept_rows_of_one_scale_never_serve_the_other(tmp_path: Path) -> None:
    row = case(tmp_path, 1, relative=True)
    other = {**row, "spacing_source": "manifest"}
    assert content_key(row, tmp_path, SETTINGS, "native") != content_key(other, tmp_path, SETTINGS, "native")
