"""One picture under two patients: found among many, judged by its outcomes, and never on both sides of a split."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from usdlr.core import tables
from usdlr.core.errors import DataError, LeakError
from usdlr.core.types import ExclusionCode, QualityFlag
from usdlr.ingest.duplicate_policy import OnDuplicate, Verdict, join_patients, judge_duplicates
from usdlr.ingest.duplicates import (
    DuplicateKind,
    DuplicatePair,
    find_duplicates,
    fingerprint_table,
    require_disjoint_pictures,
    same_picture,
)

Grey = npt.NDArray[np.uint8]


def cases_of(root: Path, *rows: dict[str, Any]) -> pd.DataFrame:
    """A ``cases`` table and its canonical images; ``picture`` is a real image or whatever is made of one."""
    filled = []
    for number, row in enumerate(rows):
        row = {"image_id": f"i{number}", "patient_id": f"p{number}", "proxy_malignant": False, **row}
        picture = row.pop("picture")
        if picture is not None:
            Image.fromarray(picture).save(root / f"{row['image_id']}.png")
        base = {
            "centre_id": "north", "side": "unknown", "lesion_id": "1", "site": "tumour", "spacing_source": "none",
            "bmode_path": f"{row['image_id']}.png",
        }  # fmt: skip
        filled.append({**base, **row})
    return tables.CASES.conform(pd.DataFrame(filled))


@pytest.fixture(scope="module")
def pictures(shared_data: Path) -> list[Grey]:
    files = sorted((shared_data / "bus_bra" / "Images").glob("*.png"))[::60]
    return [np.asarray(Image.open(file).convert("L")) for file in files]


def worse_copy(grey: Grey) -> Grey:
    """Brighter, smaller, compressed."""
    image = Image.fromarray(np.clip(grey * 1.1, 0, 255).astype(np.uint8))
    stream = io.BytesIO()
    image.resize((round(0.7 * image.width), round(0.7 * image.height))).save(stream, "JPEG", quality=75)
    return np.asarray(Image.open(stream))


def found(cases: pd.DataFrame, root: Path) -> list[DuplicatePair]:
    return find_duplicates(fingerprint_table(cases, root), same_picture(cases, root))


def judged(cases: pd.DataFrame, root: Path, on_duplicate: OnDuplicate = OnDuplicate.REFUSE) -> Verdict:
    prints = fingerprint_table(cases, root)
    return judge_duplicates(cases, prints, same_picture(cases, root), on_duplicate=on_duplicate)


# ---- Finding


def test_planted_copies_are_found_and_nothing_else(pictures: list[Grey], tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"picture": picture} for picture in pictures]
    rows += [
        {"picture": pictures[2]},
        {"picture": worse_copy(pictures[4])},
        {"picture": pictures[6][:, ::-1].copy()},
        {"picture": pictures[8], "patient_id": "p8"},  # the same patient twice: no business of the splits
    ]
    cases = cases_of(tmp_path, *rows)
    first = len(pictures)
    pairs = found(cases, tmp_path)
    assert [(pair.first, pair.second, pair.kind, pair.mirrored) for pair in pairs] == [
        ("i2", f"i{first}", DuplicateKind.EXACT, False),
        ("i4", f"i{first + 1}", DuplicateKind.NEAR, False),
        ("i6", f"i{first + 2}", DuplicateKind.NEAR, True),
    ]
    assert pairs[0].distance == 0


def test_without_a_look_at_the_pixels_only_equal_pixels_count(pictures: list[Grey], tmp_path: Path) -> None:
    rows = [{"picture": p} for p in (pictures[0], worse_copy(pictures[0]), pictures[1], pictures[1])]
    prints = fingerprint_table(cases_of(tmp_path, *rows), tmp_path)
    assert [(pair.first, pair.second) for pair in find_duplicates(prints)] == [("i2", "i3")]


def test_many_copies_are_connected_by_few_pairs(pictures: list[Grey], tmp_path: Path) -> None:
    worse = worse_copy(pictures[0])
    cases = cases_of(tmp_path, *({"picture": p} for p in (pictures[0], pictures[0], worse, worse, pictures[0])))
    pairs = found(cases, tmp_path)
    assert len(pairs) == 4
    assert {name for pair in pairs for name in (pair.first, pair.second)} == {f"i{n}" for n in range(5)}


def test_no_two_patients_of_the_public_data_share_a_picture(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "breast_lesions_usg" / "BrEaST-Lesions_USG-images_and_masks"
    files = sorted(path for path in folder.glob("case*.png") if "_" not in path.name)
    cases = cases_of(tmp_path, *({"picture": np.asarray(Image.open(file).convert("L"))} for file in files[::3]))
    assert len(cases) > 60
    assert found(cases, tmp_path) == []


def test_pictures_without_texture_or_file_match_nothing(tmp_path: Path) -> None:
    black, dark = np.zeros((40, 50), np.uint8), np.full((60, 50), 9, np.uint8)
    cases = cases_of(tmp_path, *({"picture": p} for p in (black, dark, None, None)))
    prints = fingerprint_table(cases, tmp_path)
    assert list(prints["pixel_hash"].isna()) == [False, False, True, True]
    assert find_duplicates(prints, lambda *_: True) == []


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), images=st.integers(2, 60), near=st.integers(0, 80))
def test_the_search_finds_what_comparing_all_pairs_finds(seed: int, images: int, near: int) -> None:
    rng = np.random.default_rng(seed)
    base = [int.from_bytes(rng.bytes(32), "big") for _ in range(3)]
    # Hashes of three pictures with up to forty bits turned, under a few patients.
    hashes = [
        base[rng.integers(3)] ^ sum(1 << int(bit) for bit in rng.choice(256, rng.integers(0, 41), replace=False))
        for _ in range(images)
    ]
    patients = [f"p{rng.integers(1 + images // 2)}" for _ in range(images)]
    prints = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(images)],
            "patient_id": patients,
            "pixel_hash": [f"x{n}" for n in range(images)],
            "perceptual_hash": [f"{value:064x}" for value in hashes],
        }
    )
    asked: set[tuple[str, str]] = set()

    def refuse(first: str, second: str, flipped: bool) -> bool:
        if not flipped:
            asked.add((first, second))
        return False

    assert find_duplicates(prints, refuse, near_bits=near) == []
    expected = {
        (f"i{a}", f"i{b}")
        for b in range(images)
        for a in range(b)
        if patients[a] != patients[b] and bin(hashes[a] ^ hashes[b]).count("1") <= near
    }
    assert asked == expected


def test_ten_thousand_pictures_are_searched_in_seconds() -> None:
    rng = np.random.default_rng(0)
    count = 10_000
    hashes = [rng.bytes(32).hex() for _ in range(count)]
    hashes[9_000] = hashes[17]
    prints = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(count)],
            "patient_id": [f"p{n}" for n in range(count)],
            "pixel_hash": [f"x{n}" for n in range(count)],
            "perceptual_hash": hashes,
        }
    )
    start = time.process_time()
    pairs = find_duplicates(prints, lambda *_: True)
    assert time.process_time() - start < 10
    assert [(pair.first, pair.second) for pair in pairs] == [("i17", "i9000")]


def test_frames_that_show_nothing_but_interface_are_refused_instead_of_compared_for_hours() -> None:
    count = 300
    prints = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(count)],
            "patient_id": [f"p{n}" for n in range(count)],
            "pixel_hash": [f"x{n}" for n in range(count)],
            "perceptual_hash": [f"{1 << 200 | n:064x}" for n in range(count)],
        }
    )
    with pytest.raises(DataError, match="mostly the scanner's interface"):
        find_duplicates(prints, lambda *_: False)


# ---- Judging


def test_one_image_under_two_opposite_labels_is_excluded_twice(pictures: list[Grey], tmp_path: Path) -> None:
    cases = cases_of(
        tmp_path,
        {"picture": pictures[0], "proxy_malignant": False},
        {"picture": pictures[1]},
        {"picture": pictures[0], "proxy_malignant": True},
    )
    for policy in OnDuplicate:
        verdict = judged(cases, tmp_path, policy)
        assert [position for position, _ in verdict.exclusions] == [0, 2]
        for _, error in verdict.exclusions:
            assert error.code is ExclusionCode.DUPLICATE_CONTRADICTORY
            assert "under 2 patients who differ in proxy_malignant" in error.sentence
            assert "p0" not in error.sentence
        assert verdict.joined == {}


def test_a_null_label_does_not_agree_with_a_known_one(pictures: list[Grey], tmp_path: Path) -> None:
    cases = cases_of(tmp_path, {"picture": pictures[0]}, {"picture": pictures[0], "proxy_malignant": None})
    assert len(judged(cases, tmp_path).exclusions) == 2


def test_all_images_of_contradicting_patients_go(pictures: list[Grey], tmp_path: Path) -> None:
    # Whether the two are one person is unknown: their other images could stand on both sides of a split.
    cases = cases_of(
        tmp_path,
        {"picture": pictures[0], "patient_id": "a", "side": "left", "sln_positive": True},
        {"picture": pictures[1], "patient_id": "a", "side": "left", "sln_positive": True},
        {"picture": worse_copy(pictures[0]), "patient_id": "b", "side": "left", "sln_positive": False},
        {"picture": pictures[2], "patient_id": "b", "side": "left", "sln_positive": False},
        {"picture": pictures[3], "patient_id": "c", "side": "left", "sln_positive": False},
    )
    verdict = judged(cases, tmp_path, OnDuplicate.JOIN)
    assert [position for position, _ in verdict.exclusions] == [0, 1, 2, 3]
    sentences = [error.sentence for _, error in verdict.exclusions]
    assert sentences[0].startswith("found this picture under 2 patients who differ in sln_positive")
    assert sentences[1].startswith("found another picture of this patient under 2 patients")


def test_patients_with_equal_labels_are_refused_with_a_way_out(pictures: list[Grey], tmp_path: Path) -> None:
    cases = cases_of(tmp_path, {"picture": pictures[0]}, {"picture": pictures[1]}, {"picture": worse_copy(pictures[0])})
    with pytest.raises(DataError, match=r"under two patients 1 times \(i0 and i2\)") as caught:
        judged(cases, tmp_path)
    assert "can be joined" in str(caught.value)


def test_patients_with_equal_labels_are_joined_on_request(pictures: list[Grey], tmp_path: Path) -> None:
    cases = cases_of(
        tmp_path,
        {"picture": pictures[0]},
        {"picture": pictures[1]},
        {"picture": worse_copy(pictures[0])},
        {"picture": pictures[0]},
    )
    verdict = judged(cases, tmp_path, OnDuplicate.JOIN)
    assert verdict.joined == {"p2": "p0", "p3": "p0"}
    assert [(position, note.code) for position, note in verdict.notes] == [
        (position, QualityFlag.DUPLICATE_IMAGE) for position in (0, 2, 3)
    ]
    joined = join_patients(cases, verdict.joined)
    assert list(joined["patient_id"]) == ["p0", "p1", "p0", "p0"]
    assert tables.CASES.conform(joined) is not None
    assert judged(joined, tmp_path).pairs == ()  # nothing is left to be parted


def test_joined_patients_may_not_contradict_each_other_elsewhere(pictures: list[Grey], tmp_path: Path) -> None:
    known = {"side": "right", "sln_positive": True}
    cases = cases_of(
        tmp_path,
        {"picture": pictures[0], "patient_id": "a", "side": "left", "sln_positive": False},
        {"picture": pictures[1], "patient_id": "a", **known},
        {"picture": pictures[0], "patient_id": "b", "side": "left", "sln_positive": False},
        {"picture": pictures[2], "patient_id": "b", **known, "sln_positive": False},
    )
    assert len(judged(cases, tmp_path, OnDuplicate.JOIN).exclusions) == 4


def test_patients_of_two_centres_cannot_be_joined(pictures: list[Grey], tmp_path: Path) -> None:
    cases = cases_of(tmp_path, {"picture": pictures[0]}, {"picture": pictures[0], "centre_id": "south"})
    with pytest.raises(DataError, match="i0 and i1"):
        judged(cases, tmp_path, OnDuplicate.JOIN)


def test_one_picture_on_both_sides_is_excluded(pictures: list[Grey], tmp_path: Path) -> None:
    left, right = {"side": "left"}, {"side": "right"}
    one = cases_of(
        tmp_path, *({"picture": pictures[0], "patient_id": "a", **side} for side in (left, right)),
        {"picture": pictures[1], "patient_id": "a", **left},
    )  # fmt: skip
    assert [position for position, _ in judged(one, tmp_path).exclusions] == [0, 1]
    two = cases_of(tmp_path, {"picture": pictures[0], **left}, {"picture": pictures[0][:, ::-1].copy(), **right})
    verdict = judged(two, tmp_path)
    assert ["differ in side" in error.sentence for _, error in verdict.exclusions] == [True, True]


def test_two_lesions_on_one_picture_are_no_duplicate(pictures: list[Grey], tmp_path: Path) -> None:
    rows = [{"picture": pictures[0], "patient_id": "a", "lesion_id": lesion} for lesion in ("1", "2")]
    assert judged(cases_of(tmp_path, *rows), tmp_path) == Verdict()
    verdict = judged(cases_of(tmp_path, *rows, rows[0]), tmp_path)
    assert {note.code for _, note in verdict.notes} == {QualityFlag.DUPLICATE_IMAGE}
    assert verdict.exclusions == ()


# ---- Splitting


def splits_of(**uses: str) -> pd.DataFrame:
    rows = [("bundle", patient, "train") for patient in uses] + [("0", patient, use) for patient, use in uses.items()]
    return pd.DataFrame(rows, columns=["fold", "patient_id", "split"])


@pytest.mark.parametrize("copy", [np.copy, worse_copy], ids=["exact", "near"])
def test_a_picture_on_both_sides_of_a_split_is_refused(
    pictures: list[Grey], tmp_path: Path, copy: Callable[[Grey], Grey]
) -> None:
    cases = cases_of(tmp_path, {"picture": pictures[0]}, {"picture": pictures[1]}, {"picture": copy(pictures[0])})
    prints, verify = fingerprint_table(cases, tmp_path), same_picture(cases, tmp_path)
    for use in ("test", "tuning", "calibration", "external"):
        with pytest.raises(LeakError, match=rf"both sides of fold 0, first i0 \(train\) and i2 \({use}\)"):
            require_disjoint_pictures(splits_of(p0="train", p1="test", p2=use), cases, prints, verify)
    require_disjoint_pictures(splits_of(p0="test", p1="train", p2="test"), cases, prints, verify)
    # Joined patients travel together: the fingerprints need not be taken again.
    joined = join_patients(cases, {"p2": "p0"})
    require_disjoint_pictures(splits_of(p0="train", p1="test"), joined, prints, verify)
