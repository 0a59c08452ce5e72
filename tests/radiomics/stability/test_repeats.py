"""Agreement over readers, views and perturbations: who counts, who is left out, and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.radiomics.repeated import case, cohort, name, planted
from usdlr.core.errors import DataError
from usdlr.core.tables import CASES, CONTOURS, FEATURES
from usdlr.radiomics.engines import PYRADIOMICS
from usdlr.radiomics.extract import extract
from usdlr.radiomics.settings import RadiomicsSettings
from usdlr.radiomics.stability import repeats as module
from usdlr.radiomics.stability.repeats import STABILITY, Source

JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)


def judged() -> dict[str, pd.DataFrame]:
    """The judges of Shrout and Fleiss 1979 as readers of one feature."""
    return {
        f"judge{j}": FEATURES.conform(
            pd.DataFrame({"image_id": list("abcdef"), "status": "ok", name("Score"): JUDGES[:, j]})
        )
        for j in range(4)
    }


def test_readers_of_the_published_example() -> None:
    table = module.agreement_of_readers(judged())
    assert list(table.columns) == [column.name for column in STABILITY.columns]
    row = table.iloc[0]
    assert (row["feature"], row["source"]) == (name("Score"), "reader")
    assert (round(row["icc21"], 2), round(row["icc31"], 2)) == (0.29, 0.71)
    assert (round(row["icc21_low"], 3), round(row["icc21_high"], 2)) == (0.019, 0.76)
    assert (round(row["icc31_low"], 3), round(row["icc31_high"], 2)) == (0.342, 0.95)
    assert (row["n_cases"], row["n_left_out"], row["n_raters"]) == (6, 0, 4)
    assert pd.isna(row["reason"])
    # Root of the mean of the six variances of four scores.
    assert row["within_sd"] == pytest.approx(np.sqrt(np.var(JUDGES, axis=1, ddof=1).mean()))


def test_an_image_that_one_reader_did_not_draw_is_counted_and_listed() -> None:
    readers = judged()
    readers["judge2"] = readers["judge2"].drop(index=1)
    repeats = module.reader_repeats(readers)
    assert len(repeats) == 24
    table = module.agreement_table(repeats, Source.READER)
    assert (table["n_cases"][0], table["n_left_out"][0]) == (5, 1)
    listed = module.failures(repeats)
    assert listed["image_id"].tolist() == ["b"]
    assert listed["rater"].tolist() == ["judge2"]
    assert "found no contour by judge2" in listed["reason"][0]


def test_one_reader_alone_and_readers_of_different_images() -> None:
    readers = judged()
    with pytest.raises(DataError, match="found the features of 1 readers"):
        module.agreement_of_readers({"judge0": readers["judge0"]})
    apart = {"a": readers["judge0"].iloc[:3], "b": readers["judge1"].iloc[3:]}
    table = module.agreement_of_readers(apart)
    assert table["icc21"].isna().all()
    assert "found 0 subjects that every rater measured" in str(table["reason"][0])
    assert table["n_left_out"].tolist() == [6]


def test_each_readers_contours_become_cases_of_their_own(tmp_path: Path) -> None:
    # What is known of a contour by software is not carried over to a reader's.
    cases = cohort(tmp_path, [3.0, 2.5, 2.0]).assign(mask_source="automatic", mask_confidence=0.9)
    # The second reader drew larger, and only the first two; case2's contour is of another lesion of the image.
    contours = CONTOURS.conform(
        pd.DataFrame(
            [
                {"image_id": f"case{i}", "lesion_id": "1", "reader_id": "n1", "mask_path": f"{i}_mask.png"}
                for i in range(3)
            ]
            + [
                {"image_id": f"case{i}", "lesion_id": "1", "reader_id": "n2", "mask_path": f"{1 - i}_mask.png"}
                for i in range(2)
            ]
            + [{"image_id": "case2", "lesion_id": "2", "reader_id": "n2", "mask_path": "0_mask.png"}]
        ).assign(mask_source="reader", primary=False)
    )
    split = module.cases_by_reader(cases, contours)
    assert {reader: list(part["image_id"]) for reader, part in split.items()} == {
        "n1": ["case0", "case1", "case2"],
        "n2": ["case0", "case1"],
    }
    assert split["n2"]["mask_path"].tolist() == ["1_mask.png", "0_mask.png"]
    assert split["n2"]["reader_id"].tolist() == ["n2", "n2"]
    settings = RadiomicsSettings(classes=("shape2D",), rois=("intratumoral",), pixel_mm=None, margin_mm=1.0)
    features = {
        reader: extract(CASES.conform(part), tmp_path, settings, engine=PYRADIOMICS, jobs=1, ledger=tmp_path / reader)
        for reader, part in split.items()
    }
    table = module.agreement_of_readers(features).set_index("feature")
    area = table.loc["bmode.intratumoral.original.shape2D.PixelSurface"]
    # The two swapped two discs: as large a disagreement as there can be.
    assert area["icc31"] == pytest.approx(-1.0)
    assert (area["n_cases"], area["n_left_out"]) == (2, 1)


def views(*rows: dict[str, object]) -> pd.DataFrame:
    return CASES.conform(pd.DataFrame([case(0, **row) for row in rows]))


def features_of(cases: pd.DataFrame) -> pd.DataFrame:
    return FEATURES.conform(
        pd.DataFrame({"image_id": cases["image_id"], "status": "ok", name("Score"): np.arange(len(cases), dtype=float)})
    )


def test_two_views_of_a_lesion_are_paired_in_the_order_of_the_view() -> None:
    cases = views(
        {"patient_id": "p1", "image_id": "x2", "view": "radial"},
        {"patient_id": "p1", "image_id": "x1", "view": "antiradial"},
        {"patient_id": "p2", "image_id": "y1", "view": "antiradial"},
        {"patient_id": "p2", "image_id": "y2", "view": "radial"},
        {"patient_id": "p3", "image_id": "z1", "view": "radial"},  # seen once
    )
    repeats = module.view_repeats(features_of(cases), cases)
    pairs = {(row["image_id"], row["rater"]): row[name("Score")] for row in repeats.to_dict("records")}
    assert pairs == {("x1", "view-1"): 1, ("x1", "view-2"): 0, ("y1", "view-1"): 2, ("y1", "view-2"): 3}
    table = module.agreement_of_views(features_of(cases), cases)
    assert table["source"].tolist() == ["view"]
    assert (table["n_cases"][0], table["n_raters"][0]) == (2, 2)
    # Scores 1, 0 and 2, 3: mean squares 4 between lesions, 0 between views, 1 left: (4 - 1) / (4 + 1).
    assert table["icc31"][0] == pytest.approx(0.6)


@pytest.mark.parametrize(
    "other",
    [
        {"side": "right"},
        {"lesion_id": "2"},
        {"patient_id": "p2"},
        {"centre_id": "b"},
        {"exam_day": 90},
        {"site": "axilla"},
    ],
)
def test_images_of_something_else_are_no_pair(other: dict[str, object]) -> None:
    cases = views({"image_id": "x1", "exam_day": 3}, {"image_id": "x2", "exam_day": 3, **other})
    assert len(module.view_repeats(features_of(cases), cases)) == 0
    same = views({"image_id": "x1", "exam_day": 3}, {"image_id": "x2", "exam_day": 3})
    assert len(module.view_repeats(features_of(same), same)) == 2


def test_of_three_views_the_first_two_count() -> None:
    cases = views({"image_id": "x3", "view": None}, {"image_id": "x1", "view": "b"}, {"image_id": "x2", "view": "b"})
    repeats = module.view_repeats(features_of(cases), cases)
    assert repeats[name("Score")].tolist() == [1, 2]
    assert repeats["image_id"].tolist() == ["x1", "x1"]


def test_a_view_without_features_is_an_error_and_one_that_failed_is_listed() -> None:
    cases = views({"image_id": "x1"}, {"image_id": "x2"})
    features = features_of(cases)
    with pytest.raises(DataError, match="found 1 views without features, first x2"):
        module.view_repeats(features.iloc[:1], cases)
    features.loc[1, "status"] = "failed"
    assert module.failures(module.view_repeats(features, cases))["rater"].tolist() == ["view-2"]


def test_planted_agreement_is_found_and_nothing_is_silently_missing() -> None:
    table = module.agreement_table(planted(), Source.PERTURBATION).set_index("feature")
    for percent in (98, 90, 50, 10):
        row = table.loc[name(f"Share{percent}")]
        assert row["icc21_low"] < percent / 100 < row["icc21_high"]
        assert row["icc31_low"] < percent / 100 < row["icc31_high"]
        assert pd.isna(row["reason"])
    assert table.loc[name("Constant"), "reason"] == "found the same value in all 40 subjects, expected some difference"
    absent = table.loc[name("Absent", "elasto")]
    assert "found 0 subjects" in str(absent["reason"])
    assert (absent["n_cases"], absent["n_left_out"]) == (0, 40)
    silent = table["reason"].isna() & table[["icc21", "icc31"]].isna().any(axis=1)
    assert not silent.any()


def test_order_of_the_rows_does_not_matter() -> None:
    repeats = planted()
    shuffled = repeats.sample(frac=1.0, random_state=0)
    first, second = (module.agreement_table(table, Source.VIEW) for table in (repeats, shuffled))
    for column in ("icc21", "icc31_high", "within_sd"):
        np.testing.assert_allclose(first[column], second[column], rtol=1e-9)


def test_a_case_measured_twice_by_one_rater_is_refused() -> None:
    repeats = planted()
    with pytest.raises(DataError, match="found a case measured twice by one rater"):
        module.agreement_table(pd.concat([repeats, repeats.iloc[:1]]), Source.READER)
