"""A model in millimetres and one relative to the lesion never read each other's cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usdlr.core import tables
from usdlr.core.errors import DataError
from usdlr.core.types import SpacingSource
from usdlr.inference.bundle import load_bundle
from usdlr.inference.predictor import predict
from usdlr.inference.preparation import Preparation
from usdlr.inference.scale import require_same_scale

SIDE = 40


def cases(folder: Path, source: SpacingSource, diameter: float = 20.0) -> pd.DataFrame:
    """One square lesion of 40 x 40 pixels, whose disc is 45.1 pixels across."""
    mask = np.zeros((100, 100), dtype=np.uint8)
    mask[20 : 20 + SIDE, 30 : 30 + SIDE] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    spacing = diameter / (2 * SIDE / np.pi**0.5)
    row = {"row_mm": spacing, "col_mm": spacing, "spacing_source": str(source), "mask_path": "mask.png"}
    return pd.DataFrame([row, {**row, "mask_path": None, "spacing_source": "none", "row_mm": None, "col_mm": None}])


def test_the_same_scale_passes(tmp_path: Path) -> None:
    require_same_scale(cases(tmp_path, SpacingSource.MANIFEST), tmp_path, None)
    require_same_scale(cases(tmp_path, SpacingSource.LESION_RELATIVE), tmp_path, 20.0)


def test_a_model_in_millimetres_refuses_relative_cases(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found 1 of 2 cases whose lengths are relative.*expected millimetres"):
        require_same_scale(cases(tmp_path, SpacingSource.LESION_RELATIVE), tmp_path, None)


@pytest.mark.parametrize("source", [SpacingSource.MANIFEST, SpacingSource.DICOM_REGION, SpacingSource.NONE])
def test_a_relative_model_refuses_all_others(tmp_path: Path, source: SpacingSource) -> None:
    with pytest.raises(DataError, match=f"found 1 of 2.*{source}.*relative_diameter = 20"):
        require_same_scale(cases(tmp_path, source), tmp_path, 20.0)


def test_a_relative_model_refuses_another_unit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found a case whose lesion is 30 units across, expected 20"):
        require_same_scale(cases(tmp_path, SpacingSource.LESION_RELATIVE, 30.0), tmp_path, 20.0)


def test_a_bundle_carries_its_scale_and_checks_it(run_folder: Path, tmp_path: Path) -> None:
    bundle = load_bundle(run_folder / "bundle")
    assert bundle.preparation.relative_diameter is None
    relative = replace(bundle.preparation, relative_diameter=20.0)
    assert Preparation.from_dict(relative.as_dict()) == relative
    before = {name: value for name, value in bundle.preparation.as_dict().items() if name != "relative_diameter"}
    assert Preparation.from_dict(before) == bundle.preparation
    known = tables.CASES.read(run_folder / "cases.parquet").head(3)
    for preparation, table in (
        (relative, known),
        (bundle.preparation, known.assign(spacing_source=str(SpacingSource.LESION_RELATIVE))),
    ):
        with pytest.raises(DataError, match="which the model was made with") as error:
            predict(
                replace(bundle, preparation=preparation), table, run_folder, jobs=1, ledger=tmp_path / "ledger",
                on_uncertified=None,
            )  # fmt: skip
        assert "\n" not in str(error.value)
