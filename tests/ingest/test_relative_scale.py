"""Images without millimetres: what ingest states about them, and what it keeps silent about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

from usdlr.core import tables
from usdlr.core.errors import ConfigError
from usdlr.core.types import Side, Site, SpacingSource
from usdlr.ingest.case import convert
from usdlr.ingest.pipeline import ingest
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.source import MaskRef, SourceRow

RELATIVE = IngestSettings(relative_diameter=20.0, find_fov=False, burned_in="keep")


def write(folder: Path, radius: float) -> tuple[Path, MaskRef]:
    """A disc of that radius in pixels on speckle."""
    rows, cols = np.ogrid[:300, :320]
    mask = np.hypot(rows - 150, cols - 160) <= radius
    grey = np.random.default_rng(1).integers(60, 120, mask.shape) - 40 * mask
    Image.fromarray(grey.astype(np.uint8)).save(folder / "image.png")
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(folder / "mask.png")
    return folder / "image.png", MaskRef(folder / "mask.png")


def record(folder: Path, settings: IngestSettings = RELATIVE, radius: float = 50, **changes: Any) -> dict[str, Any]:
    image, mask = write(folder, radius)
    row = SourceRow(
        source_id="case1",
        patient_id="p1",
        centre_id="north",
        files={"bmode": image},
        **{
            "spacing_mm": None, "spacing_source": SpacingSource.NONE, "side": Side.LEFT, "masks": (mask,), **changes,
        },
    )  # fmt: skip
    result = convert(row, dict(changes.get("values", {})), folder / "out", settings)
    return {**result.record, "notes": {note["code"]: note["sentence"] for note in result.notes}}


def test_an_uncalibrated_image_gets_the_scale_of_its_lesion(tmp_path: Path) -> None:
    found = record(tmp_path)
    # A disc 100 pixels across counts as 20 units.
    assert found["row_mm"] == found["col_mm"] == pytest.approx(0.2, rel=2e-3)
    assert found["spacing_source"] == "lesion_relative"
    assert found["tumour_size_mm"] is None
    assert "scale_relative" in found["quality_flags"].split()
    said = found["notes"]["scale_relative"]
    for words in ("1/20", "no millimetre", "count as square"):
        assert words in said


def test_a_calibrated_image_keeps_its_proportions_and_loses_its_size(tmp_path: Path) -> None:
    stated: dict[str, Any] = {"spacing_mm": (0.05, 0.1), "spacing_source": SpacingSource.MANIFEST}
    true = record(tmp_path, IngestSettings(find_fov=False, burned_in="keep"), **stated)
    assert true["tumour_size_mm"] == pytest.approx(10.1, abs=0.1)  # 101 columns of 0.1 mm
    found = record(tmp_path, **stated)
    assert found["col_mm"] / found["row_mm"] == pytest.approx(2.0, rel=1e-12)
    # An ellipse of 5 x 10 mm: its disc measures 7.07 mm, which is 20 units.
    assert found["row_mm"] == pytest.approx(0.05 * 20 / 50**0.5, rel=2e-3)
    assert (found["spacing_source"], found["tumour_size_mm"]) == ("lesion_relative", None)
    assert "proportions" in found["notes"]["scale_relative"]


def test_a_stated_size_is_not_used_either(tmp_path: Path) -> None:
    values = {"tumour_size_mm": 17.0, "age_years": 50.0}
    found = record(tmp_path, values=values)
    assert (found["tumour_size_mm"], found["age_years"]) == (None, 50.0)
    assert record(tmp_path, IngestSettings(find_fov=False), values=values)["tumour_size_mm"] == 17.0


def test_an_impossible_size_is_refused_where_it_is_known(tmp_path: Path) -> None:
    from usdlr.core.errors import CaseError

    with pytest.raises(CaseError, match=r"found a lesion 0.5\d mm long"):  # centimetres taken for mm
        record(tmp_path, spacing_mm=(0.005, 0.005), spacing_source=SpacingSource.MANIFEST)


def test_without_a_contour_there_is_no_scale_at_all(tmp_path: Path) -> None:
    stated: dict[str, Any] = {"spacing_mm": (0.1, 0.1), "spacing_source": SpacingSource.MANIFEST}
    stated |= {"masks": (), "mask_required": False}
    found = record(tmp_path, site=Site.TUMOUR, **stated)
    assert (found["row_mm"], found["spacing_source"]) == (None, "none")
    assert "scale_relative" not in found["quality_flags"]


@pytest.mark.parametrize("wrong", [0.0, -20.0, 0.5, 1000.0, float("nan")])
def test_impossible_diameters_are_refused(wrong: float) -> None:
    with pytest.raises(ConfigError, match="relative_diameter"):
        IngestSettings(relative_diameter=wrong)


def areas(cases: pd.DataFrame, root: Path) -> npt.NDArray[np.float64]:
    """Area of every lesion in squared units, by another reader of pictures."""
    pixels = [np.count_nonzero(np.asarray(Image.open(root / name))) for name in cases["mask_path"]]
    return np.asarray(pixels * cases["row_mm"] * cases["col_mm"], dtype=np.float64)


@pytest.fixture(scope="module")
def small_bus_bra(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve rows of the real table with their real files."""
    source, folder = shared_data / "bus_bra", tmp_path_factory.mktemp("bus_bra")
    head, *lines = (source / "bus_data.csv").read_text().splitlines()
    here = [line for line in lines if (source / "Images" / f"{line.split(',')[0]}.png").is_file()][:12]
    (folder / "bus_data.csv").write_text("\n".join([head, *here]) + "\n")
    for name in ("Images", "Masks"):
        (folder / name).symlink_to(source / name)
    return folder


def test_bus_bra_becomes_measurable(small_bus_bra: Path, tmp_path: Path) -> None:
    cases = ingest(small_bus_bra, "bus_bra", tmp_path, settings=IngestSettings(relative_diameter=20.0)).cases
    assert len(cases) == 12
    assert set(cases["spacing_source"]) == {"lesion_relative"}
    assert cases["tumour_size_mm"].isna().all()
    np.testing.assert_allclose(areas(cases, tmp_path), np.pi * 100, rtol=1e-9)
    notes = tables.NOTES.read(tmp_path / "notes.csv")
    assert (notes["code"] == "scale_relative").sum() == 12
    stated = json.loads((tmp_path / "cases.provenance.json").read_text())["config"]["settings"]
    assert stated["relative_diameter"] == 20.0
    # Read again in millimetres, of which there are none.
    plain = ingest(small_bus_bra, "bus_bra", tmp_path).cases
    assert set(plain["spacing_source"]) == {"none"}
