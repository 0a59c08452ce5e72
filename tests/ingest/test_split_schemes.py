"""Splits by centre, by date and by a published table: who is tested where, for any cohort."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from usdlr.core.errors import DataError, LeakError
from usdlr.ingest.split_schemes import from_table, natural_order, require_fold_names
from usdlr.ingest.splits import BUNDLE_FOLD, SplitSettings, make_splits

NAN = float("nan")


def cohort(patients: int, centres: tuple[str, ...] = ("north", "south", "west"), seed: int = 0) -> pd.DataFrame:
    """Axillae with every kind of label in every centre; every fifth patient has a second, negative side."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number in range(patients):
        sln = float(number % 3 != 0)
        nsln = float(number % 2) if sln else 0.0
        patient = {"patient_id": f"p{number:03d}", "centre_id": centres[rng.integers(len(centres))]}
        rows.append({**patient, "side": "left", "sln": sln, "nsln": nsln, "exam_day": float(rng.integers(0, 400))})
        if number % 5 == 0:
            rows.append({**patient, "side": "right", "sln": 0.0, "nsln": 0.0, "exam_day": float(rng.integers(0, 400))})
    return pd.DataFrame(rows).sample(frac=1.0, random_state=seed).reset_index(drop=True)


def split_of(splits: pd.DataFrame, fold: str) -> pd.Series:
    return splits[splits["fold"] == fold].set_index("patient_id")["split"]


def assert_whole(splits: pd.DataFrame, axillae: pd.DataFrame) -> None:
    """Each patient exactly once per fold; nobody is tested by the model that ships."""
    patients = Counter(set(axillae["patient_id"]))
    for fold in splits["fold"].unique():
        assert Counter(splits.loc[splits["fold"] == fold, "patient_id"]) == patients, fold
    assert "test" not in set(split_of(splits, BUNDLE_FOLD))
    assert list(splits["fold"].unique())[-1] == BUNDLE_FOLD


def made(axillae: pd.DataFrame, plan: SplitSettings, seed: int, fixed: dict[str, str] | None = None) -> pd.DataFrame:
    """Splits of a cohort that has every class in every part; others are refused, and none of this test's business."""
    splits = None
    with suppress(DataError):
        splits = make_splits(axillae, plan, seed, fixed=fixed)
    assume(splits is not None)
    assert splits is not None
    return splits


@settings(deadline=None, max_examples=30)
@given(patients=st.integers(60, 150), centres=st.integers(2, 4), seed=st.integers(0, 2**31))
def test_every_centre_is_tested_once_by_models_that_have_not_seen_it(patients: int, centres: int, seed: int) -> None:
    names = ("north", "south", "west", "Klinik 4")[:centres]
    axillae = cohort(patients, names, seed % 1000)
    splits = made(axillae, SplitSettings(by="centre", tuning=0.25, calibration=0.25), seed)
    assert_whole(splits, axillae)
    assert set(splits["fold"]) == {*names, BUNDLE_FOLD}
    centre_of = axillae.drop_duplicates("patient_id").set_index("patient_id")["centre_id"]
    for name in names:
        split = split_of(splits, name)
        assert set(centre_of[split.index[split == "test"]]) == {name}
        assert name not in set(centre_of[split.index[split != "test"]])


@settings(deadline=None, max_examples=30)
@given(
    patients=st.integers(60, 150),
    centres=st.integers(1, 3),
    share=st.sampled_from([0.15, 0.25, 0.4]),
    days=st.sampled_from([400, 12]),
    seed=st.integers(0, 2**31),
)
def test_who_is_tested_came_after_everybody_else_of_the_centre(
    patients: int, centres: int, share: float, days: int, seed: int
) -> None:
    axillae = cohort(patients, ("north", "south", "west")[:centres], seed % 1000)
    axillae["exam_day"] %= days  # 12 days: many patients share one
    # Every centre counts from another day: later at one centre may be a smaller number than earlier at another.
    axillae["exam_day"] += axillae["centre_id"].map({"north": 0, "south": -5000, "west": 90000})
    splits = made(axillae, SplitSettings(by="date", test_share=share, tuning=0.25, calibration=0.25), seed)
    assert_whole(splits, axillae)
    assert list(splits["fold"].unique()) == ["later", BUNDLE_FOLD]
    first_day = axillae.groupby("patient_id")["exam_day"].min()
    centre_of = axillae.drop_duplicates("patient_id").set_index("patient_id")["centre_id"]
    split = split_of(splits, "later")
    for centre in set(centre_of):
        here = [patient for patient in split.index if centre_of[patient] == centre]
        later = [patient for patient in here if split[patient] == "test"]
        earlier = [patient for patient in here if split[patient] != "test"]
        assert later
        assert earlier
        assert first_day[later].min() > first_day[earlier].max()  # strictly: ties are kept together
        largest_day = int(first_day[here].value_counts().max())
        assert abs(len(later) - share * len(here)) <= max(largest_day, 1)


def test_the_first_examination_decides() -> None:
    axillae = cohort(60, ("north",))
    axillae["exam_day"] = axillae["patient_id"].str[1:].astype(float)
    # Seen early on one side and last of all on the other: an early patient.
    axillae.loc[(axillae["patient_id"] == "p005") & (axillae["side"] == "right"), "exam_day"] = 999.0
    splits = make_splits(axillae, SplitSettings(by="date"), seed=0)
    tested = split_of(splits, "later")
    assert set(tested.index[tested == "test"]) == {f"p{number:03d}" for number in range(48, 60)}


def test_the_nearest_share_wins_where_a_day_cannot_be_cut() -> None:
    axillae = cohort(60, ("north",))
    number = axillae["patient_id"].str[1:].astype(float)
    axillae["exam_day"] = np.select([number < 30, number < 45], [1.0, 2.0], 3.0)
    splits = make_splits(axillae, SplitSettings(by="date", test_share=0.3), seed=0)
    assert (split_of(splits, "later") == "test").sum() == 15  # 0.25 is nearer to 0.3 than 0.5


def test_one_centre_cannot_be_left_out() -> None:
    with pytest.raises(DataError, match="found 1 centre, expected at least 2 to leave one out"):
        make_splits(cohort(60, ("north",)), SplitSettings(by="centre"), seed=0)


@pytest.mark.parametrize("name", ["bundle", "../elsewhere", "", "a/b", ".hidden", "Bundle"])
def test_a_centre_that_cannot_name_a_folder_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="as the name of a fold"):
        make_splits(cohort(60, ("north", name)), SplitSettings(by="centre"), seed=0)


def test_names_that_differ_only_in_case_are_refused() -> None:
    with pytest.raises(DataError, match="differs only in case"):
        require_fold_names(["North", "north"], "centre_id")


def test_unknown_days_are_refused() -> None:
    axillae = cohort(60)
    with pytest.raises(DataError, match="60 of 60 patients with an image set without exam_day"):
        make_splits(axillae.drop(columns="exam_day"), SplitSettings(by="date"), seed=0)
    # One side without a day: it might have been the first.
    axillae.loc[(axillae["patient_id"] == "p005") & (axillae["side"] == "right"), "exam_day"] = NAN
    with pytest.raises(DataError, match="1 of 60 patients"):
        make_splits(axillae, SplitSettings(by="date"), seed=0)


def test_a_centre_with_a_single_day_is_refused() -> None:
    axillae = cohort(60, ("north", "south"))
    axillae.loc[axillae["centre_id"] == "south", "exam_day"] = 7.0
    with pytest.raises(DataError, match=r"saw all its .* patients on one exam_day"):
        make_splits(axillae, SplitSettings(by="date"), seed=0)


# ---- Published folds


def cases_of(patients: dict[str, list[str]]) -> pd.DataFrame:
    """``cases`` with image ids as ingest makes them."""
    rows = [(p, f"{image}-0123456789ab") for p, images in patients.items() for image in images]
    return pd.DataFrame(rows, columns=["patient_id", "image_id"])


CASES = cases_of({"one": ["a-l", "a-r"], "two": ["b-l"], "three": ["c-l", "c-r"]})


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "folds.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "patient_id,fold\none,3\ntwo,1\nthree,3\nsomebody else,2\n",
        "ID,Pathology,kFold,valid_1\na-l,benign,3,1\na-r,benign,3,0\nb-l,malignant,1,1\nc-l,benign,3,\nc-r,benign,3,\n",
        "image_id,fold\n" + "".join(f"{name}-0123456789ab,{fold}\n" for name, fold in
                                  [("a-l", 3), ("a-r", 3), ("b-l", 1), ("c-l", 3), ("c-r", 3)]),
    ],
    ids=["patients", "source ids", "image ids"],
)  # fmt: skip
def test_folds_are_read_whatever_the_ids_are(tmp_path: Path, text: str) -> None:
    assert from_table(table(tmp_path, text), CASES) == {"one": "3", "two": "1", "three": "3"}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("ID,fold\na-l,1\na-r,2\nb-l,1\nc-l,1\nc-r,1\n", LeakError, "found 1 patients in two folds of folds.csv"),
        ("ID,fold\na-l,1\na-l,2\n", LeakError, "found one id in two folds"),
        ("patient_id,fold\none,1\ntwo,2\n", DataError, "2 of 5 image sets without a fold"),
        ("patient_id,fold\none,1\ntwo,1\nthree,1\n", DataError, "found 1 fold in folds.csv"),
        ("patient_id,fold\none,1\ntwo,bundle\nthree,1\n", DataError, "'bundle' in folds.csv as the name of a fold"),
        ("patient_id,fold\none,1\ntwo,\nthree,1\n", DataError, "row 2 of folds.csv without an id or a fold"),
        ("patient_id,part\none,1\n", DataError, "no column fold or kfold in folds.csv"),
        ("", DataError, "not a readable CSV table"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(
    tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        from_table(table(tmp_path, text), CASES)


def test_a_table_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no file folds\.csv"):
        from_table(tmp_path / "folds.csv", CASES)
    (tmp_path / "folds.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="not a readable CSV table"):
        from_table(tmp_path / "folds.csv", CASES)


def test_fixed_folds_are_followed() -> None:
    axillae = cohort(90)
    fixed = {patient: str(9 + number // 6 % 3) for number, patient in enumerate(sorted(set(axillae["patient_id"])))}
    splits = make_splits(axillae, SplitSettings(by="table", table="folds.csv"), seed=0, fixed=fixed)
    assert_whole(splits, axillae)
    assert list(splits["fold"].unique()) == ["9", "10", "11", BUNDLE_FOLD]
    for fold in ("9", "10", "11"):
        split = split_of(splits, fold)
        assert set(split.index[split == "test"]) == {patient for patient, name in fixed.items() if name == fold}
    with pytest.raises(DataError, match="patients without a fold"):
        make_splits(axillae, SplitSettings(by="table", table="folds.csv"), seed=0)


def test_the_folds_that_bus_bra_was_published_with(shared_data: Path) -> None:
    source = shared_data / "bus_bra"
    listed = pd.read_csv(source / "bus_data.csv", dtype=str)
    here = listed[[(source / "Images" / f"{name}.png").is_file() for name in listed["ID"]]]
    cases = pd.DataFrame({"patient_id": here["Case"].to_numpy(), "image_id": here["ID"].to_numpy() + "-0123456789ab"})
    folds = from_table(source / "5-fold-cv.csv", cases)
    # The images of folds 1 and 2, and four others whose size the table misstates.
    assert Counter(cases["patient_id"].map(folds)) == {"1": 376, "2": 385, "3": 3, "5": 1}
    assert len(folds) == 429


def test_numbers_are_ordered_by_value() -> None:
    assert natural_order(["10", "b", "9", "a", "9"]) == ["9", "10", "a", "b"]
