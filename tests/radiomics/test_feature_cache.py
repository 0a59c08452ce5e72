"""Rows that outlive their table: found again by content, under any name and id, and never when damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.radiomics.test_extract import SETTINGS, SHAPE, Spy, cohort, disc, interrupt, run
from usdlr.core.hashing import table_hash
from usdlr.imaging.store import mask_to_png, write_png
from usdlr.radiomics import feature_cache
from usdlr.radiomics.feature_cache import code_version
from usdlr.radiomics.settings import RadiomicsSettings


@pytest.fixture
def cases(tmp_path: Path) -> pd.DataFrame:
    return cohort(tmp_path, [3.0, 2.0, 0.2, 2.5], elasto={0, 3})  # the third is too small


@pytest.fixture
def measured(cases: pd.DataFrame, tmp_path: Path) -> pd.DataFrame:
    return run(cases, tmp_path, cache=tmp_path / "cache")


def again(cases: pd.DataFrame, folder: Path, **rest: Any) -> tuple[pd.DataFrame, list[str]]:
    """The table, and the cases that had to be measured for it."""
    with pytest.MonkeyPatch.context() as patch:
        spy = Spy(patch)
        return run(cases, folder, cache=folder / "cache", **rest), spy.seen


def test_a_second_run_measures_only_what_failed(cases: pd.DataFrame, measured: pd.DataFrame, tmp_path: Path) -> None:
    table, seen = again(cases, tmp_path)
    assert seen == ["case2"]
    assert table_hash(table) == table_hash(measured) == table_hash(run(cases, tmp_path))


def test_files_may_be_renamed_and_the_table_reordered_and_extended(
    cases: pd.DataFrame, measured: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "0_bmode.png").rename(tmp_path / "new name.png")
    cases.loc[0, "bmode_path"] = "new name.png"
    rng = np.random.default_rng(9)
    write_png(tmp_path / "9_bmode.png", rng.integers(20, 220, SHAPE).astype(np.uint8))
    added = cases.iloc[[1]].assign(image_id="added", bmode_path="9_bmode.png")
    table, seen = again(pd.concat([cases.iloc[[3, 0]], added, cases.iloc[[1]]], ignore_index=True), tmp_path)
    assert seen == ["added"]
    assert table["image_id"].tolist() == ["case3", "case0", "added", "case1"]
    known = measured.set_index("image_id").loc[["case3", "case0", "case1"]]
    pd.testing.assert_frame_equal(table.set_index("image_id").loc[known.index, known.columns], known)


def test_the_same_image_under_another_id_comes_out_under_that_id(
    cases: pd.DataFrame, measured: pd.DataFrame, tmp_path: Path
) -> None:
    twins = pd.concat([cases.iloc[[0]], cases.iloc[[0]].assign(image_id="twin")], ignore_index=True)
    table, seen = again(twins, tmp_path)
    assert seen == []
    assert table["image_id"].tolist() == ["case0", "twin"]
    features = list(table.columns[5:])
    assert (table.loc[0, features] == table.loc[1, features]).all()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    for word in (b"case0", b"twin", b"p0"):
        assert word not in kept


def change_mask(cases: pd.DataFrame, folder: Path) -> None:
    write_png(folder / "0_mask.png", mask_to_png(disc(2.9)))


def change_image(cases: pd.DataFrame, folder: Path) -> None:
    write_png(folder / "0_bmode.png", np.random.default_rng(7).integers(20, 220, SHAPE).astype(np.uint8))


def change_spacing(cases: pd.DataFrame, folder: Path) -> None:
    cases.loc[0, "col_mm"] = 0.21


def change_fov(cases: pd.DataFrame, folder: Path) -> None:
    write_png(folder / "fov.png", mask_to_png(np.arange(SHAPE[0])[:, None] + np.zeros(SHAPE) > 1))
    cases.loc[0, "fov_path"] = "fov.png"


def drop_elastography(cases: pd.DataFrame, folder: Path) -> None:
    cases.loc[0, "elasto_path"] = None


def drop_reader(cases: pd.DataFrame, folder: Path) -> None:
    cases.loc[0, "mask_source"] = None


@pytest.mark.parametrize(
    "change", [change_mask, change_image, change_spacing, change_fov, drop_elastography, drop_reader]
)
@pytest.mark.usefixtures("measured")
def test_whatever_decides_a_row_is_in_its_key(cases: pd.DataFrame, tmp_path: Path, change: Any) -> None:
    change(cases, tmp_path)
    table, seen = again(cases, tmp_path)
    assert seen == ["case0", "case2"]
    pd.testing.assert_frame_equal(table, run(cases, tmp_path))


@pytest.mark.parametrize(
    "change",
    [{"bin_count": 16}, {"margin_mm": 1.5}, {"min_pixels": 65}, {"normalize": True}, {"modalities": ["bmode"]}],
)
@pytest.mark.usefixtures("measured")
def test_other_settings_are_other_rows(cases: pd.DataFrame, tmp_path: Path, change: dict[str, Any]) -> None:
    _, seen = again(cases, tmp_path, settings=RadiomicsSettings(**{**SETTINGS.as_dict(), **change}))
    assert len(seen) == 4


@pytest.mark.usefixtures("measured")
def test_other_code_measures_again(cases: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "code_version", lambda: "other")
    assert len(again(cases, tmp_path)[1]) == 4


def test_the_version_of_the_code_knows_every_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "_installed", lambda name: "9" if name == "simpleitk" else "1")
    assert code_version.__wrapped__() != code_version()
    assert code_version() == code_version.__wrapped__.__globals__["code_version"]()


def flip_a_number(folder: Path) -> None:
    path = next(iter(sorted((folder / "values").rglob("*.npy"))))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def cut_a_file(folder: Path) -> None:
    path = next(iter(sorted((folder / "values").rglob("*.npy"))))
    path.write_bytes(path.read_bytes()[:-8])


def alter_a_word(folder: Path) -> None:
    path = next(path for path in (folder / "records").rglob("*.json") if "no elastography" in path.read_text())
    path.write_text(path.read_text().replace("no elastography image", "no elastography picture"))


def empty_a_record(folder: Path) -> None:
    next((folder / "records").rglob("*.json")).write_text("")


@pytest.mark.parametrize("damage", [flip_a_number, cut_a_file, alter_a_word, empty_a_record])
def test_a_damaged_entry_is_measured_again(
    cases: pd.DataFrame, measured: pd.DataFrame, tmp_path: Path, damage: Any
) -> None:
    damage(tmp_path / "cache")
    table, seen = again(cases, tmp_path)
    assert len(seen) == 2
    assert "case2" in seen
    assert table_hash(table) == table_hash(measured)
    assert again(cases, tmp_path)[1] == ["case2"]  # and mended


@pytest.mark.usefixtures("measured")
def test_altered_names_condemn_what_they_name(cases: pd.DataFrame, tmp_path: Path) -> None:
    for path in (tmp_path / "cache" / "names").iterdir():
        path.write_text(path.read_text().replace("firstorder.Mean", "firstorder.Moan"))
    table, seen = again(cases, tmp_path)
    assert len(seen) == 4
    assert not any("Moan" in name for name in table.columns)
    mended, seen = again(cases, tmp_path)
    assert seen == ["case2"]
    assert table_hash(mended) == table_hash(table)


def test_an_interrupted_run_continues_from_the_cache(cases: pd.DataFrame, tmp_path: Path) -> None:
    whole = run(cases, tmp_path)
    interrupt(cases, tmp_path, after=2, cache=tmp_path / "cache")
    table, seen = again(cases, tmp_path)
    assert seen == ["case2", "case3"]
    assert table_hash(table) == table_hash(whole)


def test_a_run_that_began_without_a_cache_continues_with_one(cases: pd.DataFrame, tmp_path: Path) -> None:
    interrupt(cases, tmp_path, after=2)
    _, seen = again(cases, tmp_path)
    assert seen == ["case2", "case3"]
