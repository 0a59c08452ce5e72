"""Isolated tumour cells: what the setting makes of a row that states them, through to the case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usdlr.core.types import Side, SpacingSource
from usdlr.ingest.pipeline import ingest_row
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.source import MaskRef, SourceRow


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize(("deposit", "always"), [("itc", None), ("micro", True), ("none", False)])
def test_the_setting_reaches_the_case(tmp_path: Path, positive: bool, deposit: str, always: bool | None) -> None:
    lesion = np.hypot(*np.ogrid[-60:60, -70:70]) <= 30
    grey = np.random.default_rng(1).integers(60, 120, lesion.shape) - 40 * lesion
    Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "image.png")
    Image.fromarray(np.where(lesion, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    row = SourceRow(
        source_id="case1",
        patient_id="p1",
        centre_id="north",
        side=Side.LEFT,
        files={"bmode": tmp_path / "image.png"},
        masks=(MaskRef(tmp_path / "mask.png"),),
        spacing_mm=(0.1, 0.1),
        spacing_source=SpacingSource.MANIFEST,
        values={"sln_deposit": deposit, "sln_positive": None},
    )
    settings = IngestSettings(find_fov=False, burned_in="keep", itc_positive=positive)
    found = ingest_row(row, tmp_path / "out", settings, False, False).record
    assert found["sln_positive"] is (positive if always is None else always)


def test_by_default_they_count_as_negative() -> None:
    assert IngestSettings().itc_positive is False
    assert IngestSettings().as_dict()["itc_positive"] is False
