from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError, LeakError, TableError
from usdlr.core.provenance import Provenance
from usdlr.core.types import Split
from usdlr.ingest.splits import BUNDLE_FOLD, SplitSettings, check_splits, make_splits, read_splits, require_classes

NAN = float("nan")
# Stage labels of an axilla: negative, SLN only, both, positive with unknown NSLN status, unknown.
LABELS = {
    "negative": (0.0, 0.0),
    "sln": (1.0, 0.0),
    "both": (1.0, 1.0),
    "undissected": (1.0, NAN),
    "unknown": (NAN, NAN),
}


def cohort(
    counts: dict[str, int], centres: tuple[str, ...] = ("north", "south"), bilateral: int = 0, seed: int = 0
) -> pd.DataFrame:
    """Axillae: ``counts`` patients of each kind; the first ``bilateral`` have a second, negative side."""
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    rows: list[dict[str, Any]] = []
    for number, kind in enumerate(kinds):
        sln, nsln = LABELS[kind]
        patient = {"patient_id": f"p{number:03d}", "centre_id": centres[number % len(centres)]}
        rows.append({**patient, "side": "left", "sln": sln, "nsln": nsln})
        if number < bilateral:
            rows.append({**patient, "side": "right", "sln": 0.0, "nsln": 0.0})
    return pd.DataFrame(rows).sample(frac=1.0, random_state=seed).reset_index(drop=True)


USUAL = {"negative": 60, "sln": 24, "both": 20, "undissected": 6}


def by_patient(splits: pd.DataFrame, fold: str) -> dict[str, str]:
    part = splits[splits["fold"] == fold]
    return dict(zip(part["patient_id"], part["split"], strict=True))


def assert_partition(splits: pd.DataFrame, patients: set[str], folds: int) -> None:
    assert list(dict.fromkeys(splits["fold"])) == [*map(str, range(folds)), BUNDLE_FOLD]
    tested: Counter[str] = Counter()
    for fold in splits["fold"].unique():
        part = splits[splits["fold"] == fold]
        assert len(part) == len(patients)
        assert set(part["patient_id"]) == patients
        tested.update(part.loc[part["split"] == "test", "patient_id"])
    assert set(by_patient(splits, BUNDLE_FOLD).values()) == {"train", "tuning", "calibration"}
    assert tested == Counter(patients)  # every patient is tested exactly once


def test_every_patient_once_per_fold_and_tested_once() -> None:
    axillae = cohort(USUAL, bilateral=12)
    splits = make_splits(axillae, SplitSettings(), seed=0)
    assert_partition(splits, set(axillae["patient_id"]), 5)
    assert len(axillae) == len(set(axillae["patient_id"])) + 12  # both sides share the patient's one row


def test_the_bundle_has_no_test_part() -> None:
    splits = make_splits(cohort(USUAL), SplitSettings(), seed=0)
    assert "test" not in set(splits.loc[splits["fold"] == BUNDLE_FOLD, "split"])


def test_shares_are_kept() -> None:
    splits = make_splits(cohort(USUAL), SplitSettings(folds=5, tuning=0.25, calibration=0.15), seed=3)
    assert set(splits["split"]) == {"train", "tuning", "calibration", "test"}
    for fold in map(str, range(5)):
        counts = Counter(by_patient(splits, fold).values())
        assert counts["test"] == 22
        assert counts["tuning"] == pytest.approx(0.25 * 88, abs=1)
        assert counts["calibration"] == pytest.approx(0.15 * 88, abs=1)
    counts = Counter(by_patient(splits, BUNDLE_FOLD).values())
    assert counts["tuning"] == pytest.approx(0.25 * 110, abs=1)


def test_test_folds_are_stratified_to_one_patient() -> None:
    axillae = cohort(USUAL)
    splits = make_splits(axillae, SplitSettings(), seed=1)
    kind = axillae.set_index("patient_id")
    strata = kind["sln"].astype(str) + kind["nsln"].astype(str) + kind["centre_id"]
    for _, patients in strata.groupby(strata).groups.items():
        sizes = [sum(by_patient(splits, fold)[p] == "test" for p in patients) for fold in map(str, range(5))]
        assert max(sizes) - min(sizes) <= 1


def test_inner_parts_are_stratified_by_label() -> None:
    axillae = cohort(USUAL)
    splits = make_splits(axillae, SplitSettings(), seed=1)
    labels = axillae.set_index("patient_id")
    for fold in [*map(str, range(5)), BUNDLE_FOLD]:
        split = pd.Series(by_patient(splits, fold))
        rest = split[split != "test"]
        for stage in ("sln", "nsln"):
            positives = labels.loc[rest.index, stage] == 1
            for part, share in (("train", 0.6), ("tuning", 0.2), ("calibration", 0.2)):
                # One patient of rounding at either end of the stratum.
                assert positives[rest == part].sum() == pytest.approx(share * positives.sum(), abs=2)


def test_the_same_seed_gives_the_same_splits_whatever_the_order_of_rows() -> None:
    axillae = cohort(USUAL, bilateral=5)
    first = make_splits(axillae, SplitSettings(), seed=4)
    pd.testing.assert_frame_equal(make_splits(axillae, SplitSettings(), seed=4), first)
    shuffled = cohort(USUAL, bilateral=5, seed=9)
    pd.testing.assert_frame_equal(make_splits(shuffled, SplitSettings(), seed=4), first)
    assert not make_splits(axillae, SplitSettings(), seed=5).equals(first)


@pytest.mark.parametrize(
    ("centres", "bilateral", "plan", "seed", "digest"),
    [
        (
            ("north", "south"),
            12,
            SplitSettings(),
            7,
            "d3412cc2ed9d872a614f5d102bf74d2682b14d3d61d3b85b1c35ef6f6065e4e0",
        ),
        (
            ("a", "b", "c"),
            0,
            SplitSettings(3, 0.25, 0.25),
            2026,
            "25d50decd9b0369f32f1aca697c67e88938c8fc0920a433eb3b28d3a036a71c9",
        ),
    ],
)
def test_splits_of_earlier_releases_are_repeated(
    centres: tuple[str, ...], bilateral: int, plan: SplitSettings, seed: int, digest: str
) -> None:
    # The digests were taken before there was any other way to split: old experiments must stay repeatable.
    splits = make_splits(cohort(USUAL, centres, bilateral), plan, seed)
    assert hashlib.sha256(splits.to_csv(index=False).encode()).hexdigest() == digest


@settings(deadline=None, max_examples=40)
@given(
    counts=st.fixed_dictionaries(
        {
            "negative": st.integers(8, 40),
            "sln": st.integers(8, 20),
            "both": st.integers(8, 20),
            "undissected": st.integers(0, 8),
            "unknown": st.integers(0, 5),
        }
    ),
    folds=st.integers(2, 5),
    bilateral=st.integers(0, 8),
    centres=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_random_cohorts(counts: dict[str, int], folds: int, bilateral: int, centres: int, seed: int) -> None:
    axillae = cohort(counts, tuple("abc"[:centres]), bilateral, seed % 100)
    plan = SplitSettings(folds, 0.25, 0.25)
    # Eight patients per label fill every part of five folds only with luck: where they do not, it is refused.
    splits = None
    with suppress(DataError):
        splits = make_splits(axillae, plan, seed)
    assume(splits is not None)
    assert splits is not None
    assert_partition(splits, set(axillae["patient_id"]), folds)
    check_splits(splits, sorted(set(axillae["patient_id"])))
    labels = axillae.merge(splits, on="patient_id")
    for (fold, split), part in labels.groupby(["fold", "split"]):
        positive = part[part["sln"] == 1]
        assert len(positive), (fold, split)
        assert (positive["nsln"] == 1).any(), (fold, split)
        if split != "calibration":
            assert (part["sln"] == 0).any()
            assert (positive["nsln"] == 0).any()


@pytest.fixture
def splits() -> pd.DataFrame:
    return make_splits(cohort(USUAL), SplitSettings(), seed=0)


PATIENTS = [f"p{number:03d}" for number in range(sum(USUAL.values()))]


def test_a_planted_leak_is_refused(splits: pd.DataFrame) -> None:
    test_row = splits[(splits["fold"] == "2") & (splits["split"] == "test")].head(1)
    leaked = pd.concat([splits, test_row.assign(split="train")])
    with pytest.raises(LeakError, match=r"1 patients twice in fold 2 .*in test and train") as caught:
        check_splits(leaked, PATIENTS)
    assert test_row["patient_id"].item() not in str(caught.value)


def test_a_patient_twice_in_the_same_split_is_refused(splits: pd.DataFrame) -> None:
    with pytest.raises(LeakError, match="twice in fold 0"):
        check_splits(pd.concat([splits, splits.head(1)]), PATIENTS)


def test_a_lost_patient_is_refused(splits: pd.DataFrame) -> None:
    lost = splits[~((splits["fold"] == "1") & (splits["patient_id"] == "p003"))]
    with pytest.raises(DataError, match="fold 1 without 1 of the cohort's patients and with 0 unknown"):
        check_splits(lost, PATIENTS)


def test_an_unknown_patient_is_refused(splits: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="fold 0 without 0 of the cohort's patients and with 1 unknown"):
        check_splits(splits, PATIENTS[:-1])
    check_splits(splits, PATIENTS)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"negative": 60, "sln": 20, "both": 4}, r"no positive case of stage nsln in the \w+ part of fold \w+"),
        ({"negative": 60, "both": 30}, r"no negative case of stage nsln in the \w+ part of fold \w+"),
        ({"negative": 60}, r"no positive case of stage sln in the train part of fold 0"),
        ({"sln": 30, "both": 30}, r"no negative case of stage sln in the train part of fold 0"),
        ({"negative": 60, "undissected": 40}, r"no positive case of stage nsln in the train part of fold 0"),
        ({"unknown": 60}, r"no positive case of stage sln"),
    ],
)
def test_a_part_without_a_class_it_needs_is_refused(counts: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_splits(cohort(counts), SplitSettings(), seed=0)


def test_the_part_without_a_positive_is_named(splits: pd.DataFrame) -> None:
    axillae = cohort(USUAL)
    tuning = by_patient(splits, "3")
    emptied = axillae.assign(sln=np.where([tuning[p] == "tuning" for p in axillae["patient_id"]], 0.0, axillae["sln"]))
    only = splits[splits["fold"] == "3"]
    with pytest.raises(DataError, match="no positive case of stage sln in the tuning part of fold 3"):
        require_classes(only, emptied)


def test_a_negative_sentinel_node_is_no_negative_case_of_stage_two(splits: pd.DataFrame) -> None:
    axillae = cohort(USUAL)
    # Structurally negative NSLN status everywhere except among the positives, which are all NSLN positive.
    axillae["nsln"] = np.where(axillae["sln"] == 1, 1.0, 0.0)
    with pytest.raises(DataError, match="no negative case of stage nsln"):
        require_classes(splits, axillae)


def test_the_calibration_part_needs_positives_only() -> None:
    axillae = cohort(USUAL)
    splits = make_splits(axillae, SplitSettings(), seed=0)
    for fold in splits["fold"].unique():
        split = by_patient(splits, str(fold))
        positive_only = axillae.assign(
            sln=np.where([split[p] == "calibration" for p in axillae["patient_id"]], 1.0, axillae["sln"]),
            nsln=np.where([split[p] == "calibration" for p in axillae["patient_id"]], 1.0, axillae["nsln"]),
        )
        require_classes(splits[splits["fold"] == fold], positive_only)


def test_a_part_that_nobody_was_dealt_to_is_refused() -> None:
    with pytest.raises(DataError, match="no positive case of stage sln in the calibration part of fold 0"):
        make_splits(cohort(USUAL), SplitSettings(folds=2, calibration=0.001), seed=0)


def test_a_missing_test_part_is_refused(splits: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="in the test part of fold 0"):
        require_classes(splits[splits["split"] != "test"], cohort(USUAL))


def test_an_id_at_two_centres_is_refused() -> None:
    axillae = cohort(USUAL, bilateral=3)
    axillae.loc[(axillae["patient_id"] == "p001") & (axillae["side"] == "right"), "centre_id"] = "elsewhere"
    with pytest.raises(DataError, match="one patient_id at two centres"):
        make_splits(axillae, SplitSettings(), seed=0)


def test_too_few_patients_for_the_folds() -> None:
    with pytest.raises(DataError, match="found 9 patients, expected at least 10 for 5 folds"):
        make_splits(cohort({"negative": 5, "both": 4}), SplitSettings(), seed=0)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"folds": 1}, "splits.folds = 1, expected at least 2"),
        ({"tuning": 0.0}, "splits.tuning = 0.0, expected a share"),
        ({"calibration": 1.0}, "splits.calibration = 1.0, expected a share"),
        ({"calibration": NAN}, "splits.calibration = nan, expected a share"),
        ({"test_share": 1.5}, "splits.test_share = 1.5, expected a share"),
        ({"by": "patient"}, "splits.by = 'patient', expected patients, centre, date, table"),
        ({"by": "table"}, "splits.by = 'table' and splits.table = None"),
        ({"table": "folds.csv"}, "splits.by = 'patients' and splits.table = 'folds.csv'"),
        ({"tuning": 0.5, "calibration": 0.4}, "splits.tuning .* splits.calibration = 0.9, expected below 0.9"),
    ],
)
def test_impossible_settings_are_refused(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SplitSettings(**settings_)


def test_every_split_word_is_in_the_vocabulary(splits: pd.DataFrame) -> None:
    assert set(splits["split"]) <= {str(split) for split in Split}


@pytest.fixture
def written(splits: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "splits.csv"
    tables.SPLITS.write(splits, path, Provenance("test"))
    return path


def test_written_splits_come_back(splits: pd.DataFrame, written: Path) -> None:
    pd.testing.assert_frame_equal(read_splits(written, PATIENTS), splits)


def test_a_changed_file_is_refused(written: Path) -> None:
    lines = written.read_text().splitlines()
    # Two patients of one fold trade places: no patient is lost or doubled, only the checksum tells.
    test, train = (
        next(n for n, line in enumerate(lines) if line.startswith("0,") and line.endswith(word))
        for word in ("test", "train")
    )
    lines[test], lines[train] = lines[test].replace("test", "train"), lines[train].replace("train", "test")
    written.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="was changed after it was written"):
        read_splits(written, PATIENTS)


def test_a_file_without_its_checksum_is_refused(written: Path) -> None:
    tables.provenance_path(written).unlink()
    with pytest.raises(DataError, match=r"without splits\.provenance\.json, expected its checksum"):
        read_splits(written, PATIENTS)


def test_a_leak_in_the_file_is_named_as_one(written: Path) -> None:
    lines = written.read_text().splitlines()
    tested = next(line for line in lines if line.startswith("0,") and line.endswith("test"))
    written.write_text("\n".join([*lines, tested.replace("test", "train")]) + "\n")
    with pytest.raises(LeakError, match="1 patients twice in fold 0"):
        read_splits(written, PATIENTS)


def test_splits_of_another_cohort_are_refused(written: Path) -> None:
    with pytest.raises(DataError, match="without 1 of the cohort's patients"):
        read_splits(written, [*PATIENTS, "another"])


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"fold,patient_id\n0,p1\n", b'"', b"fold,fold,split\n1,2,3\n"]
)
def test_a_file_that_is_no_table_of_splits_is_refused(written: Path, content: bytes) -> None:
    written.write_bytes(content)
    with pytest.raises((DataError, TableError)):
        read_splits(written, PATIENTS)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the run's splits"):
        read_splits(tmp_path / "splits.csv", PATIENTS)
