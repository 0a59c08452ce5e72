"""Locks: every change of plan, bundle, patients, images or outcomes is found, and amendments keep their chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.validation.test_validation_plan import made
from usdlr.core import tables
from usdlr.core.errors import DataError, LockError
from usdlr.core.files import read_json, write_json
from usdlr.core.journal import Journal
from usdlr.core.provenance import Provenance
from usdlr.validation.lock import (
    PENDING,
    Seal,
    changes,
    lock,
    open_outcomes,
    read_lock,
    record_adaptation,
    require_locked,
    seal,
)
from usdlr.validation.outcomes import read_outcomes, with_outcomes
from usdlr.validation.plan import Plan
from usdlr.validation.sources import read_sources

BUNDLE = "b" * 64


def cases(folder: Path) -> pd.DataFrame:
    rows = []
    for number in range(4):
        path = folder / f"{number}.png"
        if not path.exists():
            Image.fromarray(np.full((4, 4), number, dtype=np.uint8)).save(path)
        rows.append(
            {
                "centre_id": "east",
                "patient_id": f"p{number}",
                "side": "left",
                "lesion_id": "1",
                "image_id": f"i{number}-abc",
                "site": "tumour",
                "spacing_source": "manifest",
                "bmode_path": path.name,
                "age_years": 50.0 + number,
                "sln_positive": number % 2 == 0,
            }
        )
    return tables.CASES.conform(pd.DataFrame(rows))


def sealed(folder: Path, plan: Plan | None = None, table: pd.DataFrame | None = None, **rest: Any) -> Seal:
    options: dict[str, Any] = {
        "later": False,
        "outcomes": None,
        "bundle": BUNDLE,
        "left_out": tables.EXCLUSIONS.empty(),
    } | rest
    held = cases(folder) if table is None else table
    return seal(
        plan or made(),
        options["bundle"],
        [(folder, held, options["left_out"])],
        options["outcomes"],
        later=options["later"],
    )


def test_unchanged_passes_and_the_order_of_rows_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "plan.lock.json"
    lock(path, sealed(tmp_path))
    shuffled = cases(tmp_path).iloc[::-1].reset_index(drop=True)
    assert require_locked(path, sealed(tmp_path, table=shuffled))["locks"][0]["number"] == 1


@pytest.mark.parametrize("what", ["plan", "bundle", "patients", "added", "images", "outcomes"])
def test_every_change_is_found_and_named(tmp_path: Path, what: str) -> None:
    path = tmp_path / "plan.lock.json"
    lock(path, sealed(tmp_path))
    table = cases(tmp_path)
    plan, rest, words = made(), {}, what
    if what == "plan":
        plan, words = made(gallery=3), r"the plan \(gallery: 12 -> 3\)"
    elif what == "bundle":
        rest, words = {"bundle": "c" * 64}, "the bundle"
    elif what == "patients":
        table.loc[1, "age_years"] = 51.5
        words = "the patients"
    elif what == "added":
        table, words = table.iloc[:3], "the patients"
    elif what == "images":
        Image.fromarray(np.full((4, 4), 9, dtype=np.uint8)).save(tmp_path / "1.png")
        words = "the images"
    else:
        table.loc[1, "sln_positive"] = True
        words = "the outcomes"
    found = sealed(tmp_path, plan, table, **rest)
    with pytest.raises(LockError, match=words):
        require_locked(path, found)
    assert len(changes(read_lock(path)["locks"][0], found)) == 1 or what in ("added",)


def test_amendments_need_a_reason_and_keep_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "plan.lock.json"
    first = lock(path, sealed(tmp_path))
    with pytest.raises(LockError, match="--amend"):
        lock(path, sealed(tmp_path, made(gallery=3)))
    with pytest.raises(LockError, match="nothing to amend"):
        lock(path, sealed(tmp_path), reason="why not")
    second = lock(path, sealed(tmp_path, made(gallery=3)), reason="fewer pictures")
    assert (second["number"], second["previous"], second["after_outcomes"]) == (2, first["hash"], False)
    assert require_locked(path, sealed(tmp_path, made(gallery=3)))["locks"][0] == first
    with pytest.raises(LockError):
        require_locked(path, sealed(tmp_path))


def test_an_amendment_after_opening_says_so(tmp_path: Path) -> None:
    path = tmp_path / "plan.lock.json"
    lock(path, sealed(tmp_path))
    open_outcomes(path, sealed(tmp_path).outcomes)
    assert lock(path, sealed(tmp_path, made(gallery=3)), reason="later")["after_outcomes"] is True


@pytest.mark.parametrize("key", ["plan", "outcomes", "locked_at", "reason", "content"])
def test_an_altered_lock_is_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "plan.lock.json"
    lock(path, sealed(tmp_path))
    held = read_json(path)
    held["locks"][0][key] = "x" if key != "content" else {}
    write_json(path, held)
    with pytest.raises(LockError, match="altered"):
        read_lock(path)


def test_every_attempt_to_adapt_is_counted_and_none_can_be_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "plan.lock.json"
    lock(path, sealed(tmp_path))
    open_outcomes(path, sealed(tmp_path).outcomes)
    assert len(record_adaptation(path, {"seed": 0})) == 1
    assert len(record_adaptation(path, {"seed": 0})) == 1  # the same settings again tell nothing new
    assert len(record_adaptation(path, {"seed": 1})) == 2
    open_outcomes(path, sealed(tmp_path).outcomes)
    lock(path, sealed(tmp_path, made(gallery=3)), reason="fewer pictures")
    assert len(record_adaptation(path, {"seed": 0})) == 3  # an amendment does not begin anew
    held = read_json(path)
    for wrong in (held["adapted"][1:], [{**held["adapted"][0], "settings": {}}, *held["adapted"][1:]]):
        write_json(path, {**held, "adapted": wrong})
        with pytest.raises(LockError, match="adaptations in"):
            read_lock(path)


def test_a_dropped_first_lock_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.lock.json"
    lock(path, sealed(tmp_path))
    lock(path, sealed(tmp_path, made(gallery=3)), reason="fewer pictures")
    held = read_json(path)
    write_json(path, {**held, "locks": held["locks"][1:]})
    with pytest.raises(LockError, match="altered"):
        read_lock(path)


def test_files_that_are_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "plan.lock.json"
    with pytest.raises(LockError, match="usdlr validate lock"):
        require_locked(path, sealed(tmp_path))
    for content in ({}, {"schema": 1, "locks": []}, {"schema": 1, "locks": [3], "opened": []}):
        write_json(path, content)
        with pytest.raises(LockError, match="no lock file"):
            read_lock(path)


def test_outcomes_that_come_later_are_fixed_when_they_are_opened(tmp_path: Path) -> None:
    path, file = tmp_path / "plan.lock.json", tmp_path / "outcomes.csv"
    blind = cases(tmp_path).assign(sln_positive=pd.array([None] * 4, dtype="boolean"))
    assert lock(path, sealed(tmp_path, table=blind, later=True))["outcomes"] == PENDING
    file.write_text("patient_id,side,sln_positive\np0,left,1\np1,left,0\n", encoding="utf-8")
    first = sealed(tmp_path, table=blind, outcomes=file)
    require_locked(path, first)
    open_outcomes(path, first.outcomes)
    assert len(open_outcomes(path, first.outcomes)["opened"]) == 1
    file.write_text("patient_id,side,sln_positive\np0,left,1\np1,left,1\n", encoding="utf-8")
    with pytest.raises(LockError, match="other than those"):
        open_outcomes(path, sealed(tmp_path, table=blind, outcomes=file).outcomes)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    table = cases(tmp_path)
    (tmp_path / "2.png").unlink()
    with pytest.raises(DataError, match="found no file"):
        sealed(tmp_path, table=table)


def test_a_file_of_outcomes_joins_its_axillae(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    text = "\ufeffpatient_id;side;sln_positive;dfs_months\np0;left;yes;12,5\np1;left;negative;\nstranger;left;1;\n"
    file.write_text(text, encoding="utf-8")
    blind = cases(tmp_path).assign(sln_positive=pd.array([None] * 4, dtype="boolean"))
    joined, strangers = with_outcomes(blind, read_outcomes(file), {})
    joined = tables.CASES.conform(joined)
    assert joined["sln_positive"].tolist()[:2] == [True, False]
    assert joined["sln_positive"].isna().tolist() == [False, False, True, True]
    assert joined["dfs_months"].tolist()[0] == 12.5
    assert strangers == 1


@pytest.mark.parametrize(("itc_positive", "expected"), [(False, False), (True, True)])
def test_a_file_of_outcomes_follows_the_rules_of_endpoints(tmp_path: Path, itc_positive: bool, expected: bool) -> None:
    """Isolated tumour cells as the plan says; after a sentinel biopsy alone nobody knows the other nodes."""
    file = tmp_path / "outcomes.csv"
    file.write_text(
        "patient_id,side,sln_positive,nsln_positive,sln_deposit,axillary_surgery\n"
        "p0,left,,,itc,\np1,left,1,0,macro,slnb\np2,left,1,0,macro,alnd\n",
        encoding="utf-8",
    )
    blind = cases(tmp_path).assign(sln_positive=pd.array([None] * 4, dtype="boolean"))
    joined, _ = with_outcomes(blind, read_outcomes(file), {}, itc_positive=itc_positive)
    joined = tables.CASES.conform(joined)
    assert joined["sln_positive"].tolist()[:3] == [expected, True, True]
    assert joined["nsln_positive"].isna().tolist() == [expected, True, False, True]
    assert not joined["nsln_positive"][2]


@pytest.mark.parametrize("what", ["image", "age_years", "exclusions"])
def test_every_source_of_one_folder_is_sealed(tmp_path: Path, what: str) -> None:
    table = cases(tmp_path)
    halves, left_out = (table.iloc[:2], table.iloc[2:]), tables.EXCLUSIONS.empty()

    def both() -> Seal:
        nothing = tables.EXCLUSIONS.empty()
        sources = [(tmp_path, halves[0], left_out), (tmp_path, halves[1], nothing)]
        return seal(made(), BUNDLE, sources, None, later=False)

    entry = lock(tmp_path / "plan.lock.json", both())
    pictures = both().pictures
    assert (entry["axillae"], entry["image_sets"]) == (4, 4)
    if what == "image":
        Image.fromarray(np.full((4, 4), 9, dtype=np.uint8)).save(tmp_path / "1.png")
        assert both().pictures[0] != pictures[0]
        assert both().pictures[1] == pictures[1]
    elif what == "age_years":
        halves[0].loc[1, "age_years"] = 30.0
    else:
        row = dict.fromkeys(("centre_id", "source_id", "sentence"), "x") | {"step": "ingest", "code": "spacing_missing"}
        left_out = tables.EXCLUSIONS.conform(pd.DataFrame([row]))
    with pytest.raises(LockError, match="the images" if what == "image" else "the patients"):
        require_locked(tmp_path / "plan.lock.json", both())


def test_exclusions_of_a_folder_count_once(tmp_path: Path) -> None:
    table, provenance = cases(tmp_path), Provenance("test", {}, {})
    row = dict.fromkeys(("centre_id", "source_id", "sentence"), "east") | {"step": "ingest", "code": "spacing_missing"}
    tables.EXCLUSIONS.write(tables.EXCLUSIONS.conform(pd.DataFrame([row])), tmp_path / "exclusions.csv", provenance)
    paths = [tmp_path / name for name in ("a.parquet", "b.parquet")]
    for path, part in zip(paths, (table.iloc[:2], table.iloc[2:]), strict=True):
        tables.CASES.write(tables.CASES.conform(part.reset_index(drop=True)), path, provenance)
    found = read_sources(made(), paths, {}, tmp_path, journal=Journal(tmp_path, {}), jobs=1)
    assert [len(one.cases) for one in found] == [2, 2]
    assert [len(one.exclusions) for one in found] == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient_id,sln_positive\np0,1\n", "no columns patient_id and side"),
        ("patient_id,side,age_years\np0,left,50\n", "known before surgery"),
        ("patient_id,side,sln_positive\np0,links,1\n", "side = 'links' in row 2"),
        ("patient_id,side,sln_positive\np0,left,1\np0,left,0\n", "second time in row 3"),
        ("patient_id,side,sln_positive\np0,left\n", "2 cells in row 2"),
        ("patient_id,side,sln_positive,sln_positive\np0,left,1,0\n", "'sln_positive' more than once"),
        ("patient_id,side,sln_positive\n,left,1\n", "no patient_id in row 2"),
        ("patient_id,side,sln_positive,nsln_positive\np0,left,0,1\n", "row 2 .*positive non-sentinel node beside"),
        ("patient_id,side,sln_positive\np0,left,maybe\n", "'maybe'"),
        ("patient_id,side,sln_positive\np0,left,1\n", "both in the cases"),
    ],
)
def test_outcomes_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "outcomes.csv"
    file.write_text(text, encoding="utf-8")
    table = cases(tmp_path)
    if "both" not in message:
        table = table.assign(sln_positive=pd.array([None] * 4, dtype="boolean"))
    with pytest.raises(DataError, match=message):
        with_outcomes(table, read_outcomes(file), {})
