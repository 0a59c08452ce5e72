"""The public BrEaST-Lesions-USG data, as far as they lie in the shared folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from usdlr.core.files import read_json
from usdlr.core.hashing import file_hash
from usdlr.imaging.mask import measure
from usdlr.imaging.store import read_case
from usdlr.ingest.pipeline import Ingested, ingest

IMAGES = "BrEaST-Lesions_USG-images_and_masks"
CARD = Path(__file__).resolve().parents[3] / "data_cards" / "breast_lesions_usg.md"


@pytest.fixture(scope="session")
def breast(shared_data: Path) -> Path:
    return shared_data / "breast_lesions_usg"


@pytest.fixture(scope="session")
def ingested(breast: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ingested, Path]:
    out = tmp_path_factory.mktemp("breast") / "out"
    return ingest(breast, "breast_lesions_usg", out), out


def test_every_row_is_a_case_or_an_exclusion(ingested: tuple[Ingested, Path]) -> None:
    result, _ = ingested
    assert len(result.cases) == 210
    assert result.exclusions["code"].value_counts().to_dict() == {"image_missing": 42, "no_lesion": 4}
    seen = [image_id[:7] for image_id in result.cases["image_id"]] + result.exclusions["source_id"].tolist()
    assert sorted(seen) == [f"case{number:03d}" for number in range(1, 257)]
    assert result.exclusions["sentence"].str.startswith("found ").all()


def test_the_card_states_the_hash_of_the_workbook(breast: Path) -> None:
    (workbook,) = breast.glob("*.xlsx")
    assert f"`{workbook.name}`:\n`{file_hash(workbook)}`" in CARD.read_text()


def test_labels(ingested: tuple[Ingested, Path]) -> None:
    cases = ingested[0].cases
    assert cases["proxy_malignant"].sum() == 84
    assert (~cases["proxy_malignant"]).sum() == 126
    assert cases["patient_id"].is_unique  # one image per patient
    assert (cases["proxy_malignant"] | ~cases["proxy_birads5"]).all()
    assert 0 < cases["proxy_birads5"].sum() < 84
    assert set(cases["birads"]) <= {"2", "3", "4a", "4b", "4c", "5"}


def test_the_pixel_size_is_in_centimetres(ingested: tuple[Ingested, Path]) -> None:
    result, out = ingested
    assert result.cases["row_mm"].between(0.043, 0.139).all()
    assert (result.cases["row_mm"] == result.cases["col_mm"]).all()
    sides = []
    for row in result.cases.to_dict("records"):
        images = read_case({str(name): value for name, value in row.items()}, out)
        size = measure(images.mask)
        sides.append(size.longest_side_mm)
        # A shape's diameter lies between its box's longer side and its box's diagonal.
        diameter = float(row["tumour_size_mm"])
        assert size.longest_side_mm <= diameter + 1e-9
        assert diameter <= np.hypot(size.box_height_mm, size.box_width_mm) + 1e-9
    assert 12 <= np.median(sides) <= 14.5
    assert min(sides) >= 3
    assert max(sides) <= 60


def test_transparent_pixels_are_outside_the_field_of_view(ingested: tuple[Ingested, Path]) -> None:
    cases = ingested[0].cases
    transparent = cases["fov_source"] == "transparency"
    assert transparent.sum() == 27
    assert cases.loc[transparent, "fov_path"].notna().all()


def test_outlines_of_other_findings_are_nobodys_contour(breast: Path, ingested: tuple[Ingested, Path]) -> None:
    assert len(list((breast / IMAGES).glob("*_other*.png"))) == 12
    contours = ingested[0].contours
    assert len(contours) == 210
    assert contours["primary"].all()


def small_copy(breast: Path, folder: Path, rows: int) -> Path:
    """The first rows of the dataset, in its official layout."""
    (folder / IMAGES).mkdir(parents=True)
    name = next(path.name for path in breast.glob("*.xlsx"))
    book = openpyxl.load_workbook(breast / name)
    sheet = book.active
    assert sheet is not None
    sheet.delete_rows(rows + 2, sheet.max_row)
    book.save(folder / name)
    for case in range(1, rows + 1):
        for path in (breast / IMAGES).glob(f"case{case:03d}*.png"):
            shutil.copy(path, folder / IMAGES)
    return folder


def test_the_same_export_gives_the_same_tables_and_images(breast: Path, tmp_path: Path) -> None:
    source = small_copy(breast, tmp_path / "source", 12)
    results = {
        name: ingest(source, "breast_lesions_usg", tmp_path / name, jobs=jobs)
        for name, jobs in (("one", 1), ("again", 1), ("two", 2))
    }
    assert len(results["one"].cases) + len(results["one"].exclusions) == 12
    assert len(results["one"].cases) >= 6
    for name in ("again", "two"):
        pd.testing.assert_frame_equal(results[name].cases, results["one"].cases)
        pd.testing.assert_frame_equal(results[name].exclusions, results["one"].exclusions)
        for table in ("cases", "exclusions"):
            hashes = {read_json(tmp_path / run / f"{table}.provenance.json")["content_hash"] for run in ("one", name)}
            assert len(hashes) == 1
        files = {
            run: {path.name: file_hash(path) for path in (tmp_path / run / "images").iterdir()} for run in ("one", name)
        }
        assert files[name] == files["one"]


def test_one_damaged_image_costs_one_case(breast: Path, tmp_path: Path) -> None:
    source = small_copy(breast, tmp_path / "source", 8)
    whole = ingest(source, "breast_lesions_usg", tmp_path / "whole")
    victim = str(whole.cases["image_id"].iloc[2])[:7]
    path = source / IMAGES / f"{victim}.png"
    path.write_bytes(path.read_bytes()[:5000])
    damaged = ingest(source, "breast_lesions_usg", tmp_path / "damaged")
    assert len(damaged.cases) == len(whole.cases) - 1
    assert damaged.exclusions.set_index("source_id")["code"][victim] == "image_unreadable"
