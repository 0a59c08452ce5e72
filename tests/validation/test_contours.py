"""The same model on readers' contours and on others: equal contours change nothing, larger ones do."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.errors import DataError
from usdlr.core.provenance import Provenance
from usdlr.core.types import MaskSource
from usdlr.inference.bundle import load_bundle
from usdlr.report.contour_page import write_contour_page
from usdlr.validation.contours import ContourComparison, compare_contours


@pytest.fixture(scope="module")
def cases(run_folder: Path) -> pd.DataFrame:
    """Of the first twelve patients."""
    table = tables.CASES.read(run_folder / "cases.parquet")
    first = table["patient_id"].drop_duplicates().head(12)
    return table[table["patient_id"].isin(first)].reset_index(drop=True)


def _by_software(cases: pd.DataFrame, root: Path, folder: Path, grown: int) -> tuple[pd.DataFrame, Path]:
    """The table as if software had drawn its contours, each larger by some pixels."""
    for name in [column for column in cases if str(column).endswith("_path")]:
        for path in cases[name].dropna().map(str):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, folder / path)
    kernel = np.ones((2 * grown + 1, 2 * grown + 1), np.uint8)
    for path in cases["mask_path"].map(str):
        mask = cv2.imread(str(folder / path), cv2.IMREAD_UNCHANGED)
        assert mask is not None
        cv2.imwrite(str(folder / path), cv2.dilate(mask, kernel))
    return cases.assign(mask_source=str(MaskSource.AUTOMATIC)), folder


def _compared(run_folder: Path, cases: pd.DataFrame, folder: Path, grown: int) -> ContourComparison:
    software = _by_software(cases, run_folder, folder / "software", grown)
    bundle = load_bundle(run_folder / "bundle")
    return compare_contours(bundle, (cases, run_folder), software, folder / "work", jobs=1, replicates=200)


def test_equal_contours_change_no_answer(run_folder: Path, cases: pd.DataFrame, tmp_path: Path) -> None:
    found = _compared(run_folder, cases, tmp_path, 0)
    for stage in found.effect["stages"].values():
        assert stage["change"]["size"]["value"] == 0
    assert found.effect["groups"]["same"]["value"] == 1
    assert found.effect["axillae"]["without_software"] == 0
    # Simulated patients who made this very model: the page has to say both.
    assert {kind for kind, _ in found.notices} == {"simulated", "conflict"}


def test_larger_contours_do(run_folder: Path, cases: pd.DataFrame, tmp_path: Path) -> None:
    found = _compared(run_folder, cases, tmp_path, 6)
    assert found.effect["stages"]["sln"]["change"]["size"]["value"] > 0
    page = write_contour_page(
        found.effect, found.decisions, found.labels, {"model": "m"}, tmp_path, notices=found.notices
    )
    told = page.read_text(encoding="utf-8")
    assert "computer-made images" in told
    assert "were used to make this model" in told
    assert "sensitivity at the model&#39;s threshold" in told or "sensitivity at the model's threshold" in told
    assert (tmp_path / "figures" / "contour_effect.svg").is_file()


def test_the_page_says_where_answers_change(run_folder: Path, cases: pd.DataFrame, tmp_path: Path) -> None:
    found = _compared(run_folder, cases, tmp_path, 6)
    groups = found.effect["likeness"]["overlap"]
    assert sum(row["n"] for row in groups) == int(found.labels["sln"].notna().sum())
    page = write_contour_page(found.effect, found.decisions, found.labels, {"model": "m"}, tmp_path)
    told = page.read_text(encoding="utf-8")
    assert "By overlap of both contours" in told
    assert "How round the contours are" in told


def test_without_a_readers_contour_there_is_nothing_to_compare(
    run_folder: Path, cases: pd.DataFrame, tmp_path: Path
) -> None:
    drawn = cases.assign(mask_source=str(MaskSource.AUTOMATIC))
    bundle = load_bundle(run_folder / "bundle")
    with pytest.raises(DataError, match="no contour by a reader"):
        compare_contours(bundle, (drawn, run_folder), (drawn, run_folder), tmp_path, jobs=1)


def test_contours_of_what_the_software_learned_from_are_called_so(
    run_folder: Path, cases: pd.DataFrame, tmp_path: Path
) -> None:
    software = _by_software(cases, run_folder, tmp_path / "software", 0)
    bundle = load_bundle(run_folder / "bundle")
    found = compare_contours(
        bundle, (cases, run_folder), software, tmp_path / "work", jobs=1, replicates=200, learned=len(cases)
    )
    told = [text for kind, text in found.notices if kind == "conflict"]
    assert any(f"learned from {len(cases)} of the {len(cases)} image sets" in text for text in told)


def test_pictures_that_no_reader_outlined_are_no_change_of_contours(
    run_folder: Path, cases: pd.DataFrame, tmp_path: Path
) -> None:
    """The software outlines a second picture of every axilla too: with equal contours on the first, nothing changes."""
    table, folder = _by_software(cases, run_folder, tmp_path / "software", 0)
    second = table.assign(image_id=table["image_id"] + "-b", lesion_id="b")
    of_picture = [str(name) for name in table if str(name).endswith("_path") or name in ("row_mm", "col_mm")]
    second[of_picture] = table[of_picture].iloc[np.roll(np.arange(len(table)), 1)].to_numpy()  # the next patient's
    for path in second["bmode_path"]:
        shutil.copyfile(folder / path, folder / f"{path}.png")
    second["bmode_path"] += ".png"
    software = tables.CASES.conform(pd.concat([table, second], ignore_index=True))
    none = second.assign(mask_source=None, mask_path=None, reader_id=None)
    reader = tables.CASES.conform(pd.concat([cases, none], ignore_index=True))
    found = compare_contours(
        load_bundle(run_folder / "bundle"), (reader, run_folder), (software, folder), tmp_path, jobs=1, replicates=200
    )
    for stage in found.effect["stages"].values():
        assert stage["change"]["size"]["value"] == 0


def test_software_that_finds_nothing_is_said(run_folder: Path, cases: pd.DataFrame, tmp_path: Path) -> None:
    bundle = load_bundle(run_folder / "bundle")
    with pytest.raises(DataError, match=r"found no outline by software of any of \d+ images"):
        compare_contours(bundle, (cases, run_folder), (tables.CASES.empty(), tmp_path), tmp_path / "work", jobs=1)


def test_from_the_command_line(
    run_folder: Path, disc_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outlined, predicted and judged in one command; a model alone is a mistake."""
    table = tables.CASES.read(run_folder / "cases.parquet")
    few = table[table["patient_id"].isin(table["patient_id"].drop_duplicates().head(6))]
    before, _ = _by_software(few, run_folder, tmp_path / "tables", 0)
    tables.CASES.write(
        before.assign(mask_source=str(MaskSource.READER)),
        tmp_path / "tables" / "cases.parquet",
        Provenance("test", {}, {}),
    )
    words = ["segment", "--bundle", str(disc_bundle), "--cases", str(tmp_path / "tables" / "cases.parquet")]
    words += ["--out", str(tmp_path / "out"), "--model", str(run_folder / "bundle"), "--jobs", "1"]
    assert main(words) == 2
    assert "--model without --replace" in capsys.readouterr().err
    assert main([*words, "--replace"]) == 0
    assert "effect.html" in capsys.readouterr().out
    assert (tmp_path / "out" / "effect.json").is_file()
