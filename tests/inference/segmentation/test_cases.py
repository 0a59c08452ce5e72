"""Cases outlined by software: rows, files, sizes and scales, on simulated patients and on pictures made for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.discs import disc_grey, disc_mask, segmenter_of
from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask, measure
from usdlr.imaging.store import mask_to_png, read_case, read_mask, write_png
from usdlr.inference.segmentation import Segmenter, load_segmenter
from usdlr.inference.segmentation.cases import outline_cases

SHAPE = (96, 120)
MM = 0.25


@pytest.fixture(scope="module")
def segmenter(disc_bundle: Path) -> Segmenter:
    return segmenter_of(disc_bundle)


def case(root: Path, name: str, discs: list[tuple[float, float, float]], **values: object) -> dict[str, object]:
    """A row of ``cases`` with its files; ``drawn`` says which disc a reader outlined."""
    drawn = values.pop("drawn", None)
    write_png(root / f"images/{name}_bmode.png", disc_grey(SHAPE, discs, 99))
    mask = None
    if drawn is not None:
        mask = f"images/{name}_mask.png"
        write_png(root / mask, mask_to_png(disc_mask(SHAPE, drawn)))  # type: ignore[arg-type]  # a disc
    return {
        "centre_id": "made",
        "patient_id": f"p-{name}",
        "side": "left",
        "lesion_id": "1",
        "image_id": name,
        "site": "tumour",
        "mask_source": None if mask is None else "reader",
        "row_mm": MM,
        "col_mm": MM,
        "spacing_source": "manifest",
        "bmode_path": f"images/{name}_bmode.png",
        "mask_path": mask,
        "quality_flags": "mask_absent" if mask is None else None,
    } | values


def table(*rows: dict[str, object]) -> pd.DataFrame:
    return tables.CASES.conform(pd.DataFrame(list(rows)))


def test_a_case_without_an_outline_gets_one(segmenter: Segmenter, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    disc = (48.0, 60.0, 20.0)
    found = outline_cases(segmenter, table(case(root, "a", [disc])), root, out)
    row = found.cases.iloc[0]
    assert row["mask_source"] == "automatic"
    assert row["quality_flags"] == "mask_automatic"
    assert row["segmenter_id"] == segmenter.segmenter_id
    assert 0.7 <= row["mask_confidence"] <= 0.95  # between the ends of the bundle's table
    diameter = 2 * 20 * MM
    assert row["tumour_size_mm"] == pytest.approx(diameter, rel=0.08)
    assert 0.04 * diameter <= row["mask_error_mm"] <= 0.2 * diameter * 1.05
    images = read_case({str(name): value for name, value in row.items()}, out)
    assert images.mask.source == "automatic"
    overlap = (images.mask.pixels & disc_mask(SHAPE, disc)).sum() / (images.mask.pixels | disc_mask(SHAPE, disc)).sum()
    assert overlap > 0.9
    note = found.notes.iloc[0]
    assert note["code"] == "mask_automatic"
    assert note["sentence"].startswith("outlined by software, to be confirmed by a reader: outlines like this one")


def test_a_readers_outline_is_left_alone(segmenter: Segmenter, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    disc, wrong = (48.0, 60.0, 20.0), (48.0, 60.0, 10.0)
    cases = table(case(root, "a", [disc]), case(root, "b", [disc], drawn=wrong, tumour_size_mm=5.0, reader_id="r1"))
    found = outline_cases(segmenter, cases, root, out)
    kept = found.cases.set_index("image_id").loc["b"]
    assert (kept["mask_source"], kept["reader_id"], kept["tumour_size_mm"]) == ("reader", "r1", 5.0)
    assert np.isnan(kept["mask_confidence"])
    np.testing.assert_array_equal(read_mask(out / kept["mask_path"]), disc_mask(SHAPE, wrong))


def test_replacing_measures_the_size_anew(segmenter: Segmenter, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    disc, wrong = (48.0, 60.0, 20.0), (48.0, 60.0, 10.0)
    cases = table(case(root, "b", [disc], drawn=wrong, tumour_size_mm=5.0, reader_id="r1"))
    with pytest.raises(ConfigError, match="found an outline by a reader in each of 1 rows"):
        outline_cases(segmenter, cases, root, out)
    row = outline_cases(segmenter, cases, root, out, instead=True).cases.iloc[0]
    assert row["mask_source"] == "automatic"
    assert pd.isna(row["reader_id"])
    assert row["tumour_size_mm"] == pytest.approx(10.0, rel=0.08)
    # The reader's file is not among the new table's.
    assert not (out / "images/b_mask.png").exists()


def test_a_stated_size_stays_where_nobody_had_drawn(segmenter: Segmenter, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    cases = table(case(root, "a", [(48.0, 60.0, 20.0)], tumour_size_mm=33.0))
    assert outline_cases(segmenter, cases, root, out).cases.iloc[0]["tumour_size_mm"] == 33.0


def test_two_lesions_are_two_rows_of_one_axilla(segmenter: Segmenter, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    cases = table(case(root, "a", [(30.0, 30.0, 12.0), (65.0, 90.0, 16.0)]))
    found = outline_cases(segmenter, cases, root, out).cases
    assert sorted(found["image_id"]) == ["a", "a-lesion2"]
    assert found["patient_id"].nunique() == 1
    assert found["lesion_id"].nunique() == 2
    # Every row states the axilla's largest.
    assert found["tumour_size_mm"].nunique() == 1
    assert found["tumour_size_mm"].iloc[0] == pytest.approx(8.0, rel=0.1)
    assert len(outline_cases(segmenter, cases, root, tmp_path / "one", most=1).cases) == 1


def test_the_lesion_that_the_reader_outlined_keeps_the_rows_name(segmenter: Segmenter, tmp_path: Path) -> None:
    """Whichever of the lesions the software likes best."""
    lesions = [(30.0, 30.0, 12.0), (65.0, 90.0, 16.0)]
    for number, theirs in enumerate(lesions):
        root, out = tmp_path / f"in{number}", tmp_path / f"out{number}"
        cases = table(case(root, "a", lesions, drawn=theirs))
        found = outline_cases(segmenter, cases, root, out, instead=True).cases.set_index("image_id")
        assert sorted(found.index) == ["a", "a-lesion2"]
        own, truth = read_mask(out / str(found.loc["a", "mask_path"])), disc_mask(SHAPE, theirs)
        assert (own & truth).sum() > 0.8 * (own | truth).sum()


def test_nothing_found_is_an_exclusion(segmenter: Segmenter, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    found = outline_cases(segmenter, table(case(root, "a", [(48.0, 60.0, 20.0)]), case(root, "empty", [])), root, out)
    assert list(found.cases["image_id"]) == ["a"]
    row = found.exclusions.iloc[0]
    assert (row["source_id"], row["step"], row["code"]) == ("empty", "outline", "lesion_not_found")
    assert row["sentence"] == (
        "found no lesion by software (no part of the picture scores 0.5 or more), expected one; draw its outline by "
        "hand, or leave the image out"
    )


def test_nothing_found_anywhere_is_an_empty_table(segmenter: Segmenter, tmp_path: Path) -> None:
    root = tmp_path / "in"
    found = outline_cases(segmenter, table(case(root, "empty", [])), root, tmp_path / "out")
    assert found.cases.empty
    assert len(found.exclusions) == 1


def test_a_missing_file_is_an_exclusion(segmenter: Segmenter, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    cases = table(case(root, "a", [(48.0, 60.0, 20.0)]), case(root, "gone", [(48.0, 60.0, 20.0)]))
    (root / "images/gone_bmode.png").unlink()
    found = outline_cases(segmenter, cases, root, out)
    assert list(found.exclusions["code"]) == ["image_missing"]
    assert list(found.cases["image_id"]) == ["a"]


def test_what_was_outlined_is_not_outlined_again(segmenter: Segmenter, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    cases = table(case(root, "a", [(48.0, 60.0, 20.0)]), case(root, "b", [(40.0, 40.0, 14.0)]))
    first = outline_cases(segmenter, cases, root, out)
    again = outline_cases(segmenter, cases, root, out)
    assert (first.reused, again.reused) == (0, 2)
    pd.testing.assert_frame_equal(first.cases, again.cases)
    # Other rules, another answer; a file that was touched, again.
    stricter = replace(segmenter, rules=replace(segmenter.rules, least_score=0.99))
    assert outline_cases(stricter, cases, root, out).reused == 0
    write_png(out / str(first.cases["mask_path"].iloc[0]), np.zeros(SHAPE, dtype=np.uint8))
    assert outline_cases(segmenter, cases, root, out).reused == 1


def test_a_scale_relative_to_the_lesion_follows_the_new_outline(segmenter: Segmenter, tmp_path: Path) -> None:
    """The reader drew half the diameter: the unit must double with the outline."""
    root, out = tmp_path / "in", tmp_path / "out"
    disc, drawn = (48.0, 60.0, 20.0), (48.0, 60.0, 10.0)
    unit = 20.0 / (2 * 10.0)  # 20 units across the reader's disc of 20 pixels
    cases = table(case(root, "a", [disc], drawn=drawn, row_mm=unit, col_mm=unit, spacing_source="lesion_relative"))
    row = outline_cases(segmenter, cases, root, out, instead=True).cases.iloc[0]
    assert row["row_mm"] == row["col_mm"] == pytest.approx(20.0 / 40.0, rel=0.05)
    assert row["spacing_source"] == "lesion_relative"
    assert pd.isna(row["mask_error_mm"])
    assert pd.isna(row["tumour_size_mm"])
    bare = table(case(root, "b", [disc], row_mm=None, col_mm=None, spacing_source="none"))
    row = outline_cases(segmenter, bare, root, out, relative_diameter=20.0).cases.iloc[0]
    assert row["row_mm"] == pytest.approx(0.5, rel=0.05)


def test_the_tables_own_folder_is_refused(segmenter: Segmenter, tmp_path: Path) -> None:
    cases = table(case(tmp_path, "a", [(48.0, 60.0, 20.0)]))
    with pytest.raises(DataError, match="the folder of the cases themselves; choose another --out"):
        outline_cases(segmenter, cases, tmp_path, tmp_path)


ONE, TWO = (30.0, 30.0, 12.0), (65.0, 90.0, 16.0)
PAIR = {"patient_id": "p-pair", "side": "left"}


def test_a_lymph_nodes_row_does_not_keep_the_size_of_the_outline_that_goes(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    tumour = case(root, "b", [(48.0, 60.0, 20.0)], drawn=(48.0, 60.0, 30.0), tumour_size_mm=15.0, **PAIR)
    node = case(root, "n", [(48.0, 60.0, 9.0)], drawn=(48.0, 60.0, 9.0), tumour_size_mm=15.0, site="axilla", **PAIR)
    cases = table(tumour, node)
    found = outline_cases(segmenter, cases, root, out, instead=True).cases.set_index("image_id")
    assert found["mask_source"].to_dict() == {"b": "automatic", "n": "reader"}
    assert found["tumour_size_mm"].to_list() == pytest.approx([10.0, 10.0], rel=0.08)
    # Nothing found: the axilla's size is nobody's, rather than that of the outline that went.
    blank = table(case(root, "e", [], drawn=(48.0, 60.0, 30.0), tumour_size_mm=15.0, **PAIR), node)
    left = outline_cases(segmenter, blank, root, tmp_path / "other", instead=True).cases
    assert list(left["image_id"]) == ["n"]
    assert left["tumour_size_mm"].isna().all()


def test_a_size_measured_on_another_image_is_not_taken_for_stated(segmenter: Segmenter, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    small = disc_mask(SHAPE, (48.0, 60.0, 10.0))
    size = measure(LesionMask(small, Spacing(MM, MM))).longest_diameter_mm
    drawn = case(root, "a", [(48.0, 60.0, 10.0)], drawn=(48.0, 60.0, 10.0), tumour_size_mm=size, **PAIR)
    larger = case(root, "b", [(48.0, 60.0, 20.0)], tumour_size_mm=size, **PAIR)
    found = outline_cases(segmenter, table(drawn, larger), root, out).cases
    assert found["tumour_size_mm"].to_list() == pytest.approx([10.0, 10.0], rel=0.08)
    stated = [row | {"tumour_size_mm": 7.5} for row in (drawn, larger)]
    found = outline_cases(segmenter, table(*stated), root, tmp_path / "stated").cases
    assert found["tumour_size_mm"].to_list() == [7.5, 7.5]


def _pair(root: Path, on_picture: list[tuple[float, float, float]], drawn: Sequence[object]) -> pd.DataFrame:
    """Two rows of one picture."""
    return table(
        *(
            case(root, name, on_picture, drawn=outline, lesion_id=str(number), **PAIR)
            for number, (name, outline) in enumerate(zip("xy", drawn, strict=True), start=1)
        )
    )


def test_rows_of_one_picture_get_the_lesion_that_was_theirs(segmenter: Segmenter, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    for drawn in ([ONE, TWO], [TWO, ONE]):
        found = outline_cases(segmenter, _pair(root, [ONE, TWO], drawn), root, out, instead=True).cases
        assert len(found) == 2
        for (_, row), theirs in zip(found.sort_values("image_id").iterrows(), drawn, strict=True):
            own = read_mask(out / str(row["mask_path"]))
            truth = disc_mask(SHAPE, theirs)
            assert (own & truth).sum() > 0.8 * (own | truth).sum()


def test_a_lesion_of_a_picture_that_is_missed_is_an_exclusion(segmenter: Segmenter, tmp_path: Path) -> None:
    """The software finds one of two lesions: the other row is not dropped silently."""
    root = tmp_path / "in"
    found = outline_cases(segmenter, _pair(root, [TWO], [ONE, TWO]), root, tmp_path / "out", instead=True)
    assert list(found.cases["image_id"]) == ["y"]
    row = found.exclusions.iloc[0]
    assert (row["source_id"], row["code"]) == ("x", "lesion_not_found")
    assert row["sentence"] == "found 1 of 2 lesions of this picture, expected all; outline the other one by hand"


def test_a_lesion_that_a_reader_has_drawn_is_not_outlined_once_more(segmenter: Segmenter, tmp_path: Path) -> None:
    root = tmp_path / "in"
    found = outline_cases(segmenter, _pair(root, [ONE, TWO], [ONE, None]), root, tmp_path / "out").cases
    assert found.set_index("image_id")["mask_source"].to_dict() == {"x": "reader", "y": "automatic"}
    own = read_mask(tmp_path / "out" / str(found.set_index("image_id").loc["y", "mask_path"]))
    truth = disc_mask(SHAPE, TWO)
    assert (own & truth).sum() > 0.8 * (own | truth).sum()
    # The lesion without an outline is not to be seen: what is found is the one that has a reader's.
    missed = outline_cases(segmenter, _pair(root / "other", [ONE], [ONE, None]), root / "other", tmp_path / "missed")
    assert list(missed.cases["image_id"]) == ["x"]
    assert (
        missed.exclusions["sentence"]
        .iloc[0]
        .startswith("found no lesion by software (what was found has a reader's outline already)")
    )


def test_other_networks_and_ways_of_looking_outline_again(
    segmenter: Segmenter, disc_bundle: Path, tmp_path: Path
) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    cases = table(case(root, "a", [(48.0, 60.0, 20.0)]))
    outline_cases(segmenter, cases, root, out)
    one = load_segmenter(disc_bundle, member=sorted((disc_bundle / "members").iterdir())[0].stem)
    assert one.segmenter_id.startswith(f"{load_segmenter(disc_bundle).segmenter_id}-")
    for other in (one, replace(segmenter, closer=False), replace(segmenter, mirrored=not segmenter.mirrored)):
        assert outline_cases(other, cases, root, out).reused == 0
    assert outline_cases(replace(segmenter, segmenter_id=""), cases, root, out).reused == 0
    assert outline_cases(replace(segmenter, segmenter_id=""), cases, root, out).reused == 0


def test_a_picture_that_was_ingested_anew_is_copied_anew(segmenter: Segmenter, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    outline_cases(segmenter, table(case(root, "a", [(48.0, 60.0, 20.0)])), root, out)
    again = table(case(root, "a", [(40.0, 70.0, 18.0)]))
    outline_cases(segmenter, again, root, out)
    assert (out / "images/a_bmode.png").read_bytes() == (root / "images/a_bmode.png").read_bytes()
