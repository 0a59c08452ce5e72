"""A whole validation of a tiny bundle at a far centre: what is written, what is refused, what is never read."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from usdlr.core import tables
from usdlr.core.errors import ConfigError, LeakError, LockError
from usdlr.core.files import read_json
from usdlr.core.provenance import Provenance
from usdlr.core.types import ExclusionCode, OnUncertified, RiskGroup
from usdlr.inference.bundle import load_bundle
from usdlr.inference.predictor import predict
from usdlr.ingest.pipeline import ingest
from usdlr.simulate.export import simulate
from usdlr.validation.adapt_settings import AdaptSettings
from usdlr.validation.lock import is_outcome
from usdlr.validation.plan import read_plan
from usdlr.validation.predict import _reaching, select, without_outcomes
from usdlr.validation.run import Request, make_lock, validate
from usdlr.validation.template import template, template_text

PATIENTS = 36


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ingested far-off centre. Tests must not change it."""
    folder = tmp_path_factory.mktemp("far")
    simulate(folder / "export", patients=PATIENTS, seed=77, jobs=1, centres=["overseas"])
    ingest(folder / "export", "simulated", folder / "tables", jobs=1)
    return folder / "tables"


@pytest.fixture(scope="module")
def request_(run_folder: Path, far: Path, tmp_path_factory: pytest.TempPathFactory) -> Request:
    """A locked plan."""
    folder = tmp_path_factory.mktemp("plan")
    plan = folder / "plan.yaml"
    plan.write_text(template_text(template(load_bundle(run_folder / "bundle"))), encoding="utf-8")
    asked = Request(run_folder / "bundle", plan, folder / "out", cases=(far / "cases.parquet",))
    make_lock(asked)
    return asked


@pytest.fixture(scope="module")
def done(request_: Request) -> Path:
    """The folder of a finished validation. Tests must not change it."""
    validate(request_)
    return request_.out


def test_numbers_are_those_of_the_tables(done: Path, request_: Request, far: Path) -> None:
    found = read_json(done / "validation.json")
    decisions = tables.DECISIONS.read(done / "decisions.parquet")
    cases = tables.CASES.read(far / "cases.parquet")
    positive = cases.loc[cases["sln_positive"].fillna(False).astype(bool), ["patient_id", "side"]].drop_duplicates()
    judged = decisions.merge(positive, on=["patient_id", "side"])
    rate = found["verdicts"]["sln"]["rate"]
    assert rate["n"] == len(judged)
    assert rate["events"] == int((judged["risk_group"] == str(RiskGroup.LR_SLN)).sum())
    assert found["centres"].keys() == {"simulated-overseas"}
    assert found["meta"] == {}
    assert found["shift"]["alarm"] is True, "another scanner, larger tumours: the far centre must be told apart"
    assert found["lock"]["apart"] is True
    kept = len(decisions) + cases.loc[cases["neoadjuvant"].fillna(False).astype(bool), "patient_id"].nunique()
    assert kept == PATIENTS


def test_predictions_are_those_of_the_bundle_and_know_no_outcome(done: Path, request_: Request, far: Path) -> None:
    cases = tables.CASES.read(far / "cases.parquet")
    bundle = load_bundle(request_.bundle)
    kept, _ = select(read_plan(request_.plan), bundle, without_outcomes(cases))
    plain = predict(bundle, kept, far, jobs=1, ledger=done / ".again", on_uncertified=OnUncertified.ZERO_MISS)
    ours = tables.PREDICTIONS.read(done / "predictions.parquet")
    key = ["patient_id", "side", "stage"]
    both = ours.merge(plain.predictions, on=key, validate="one_to_one", suffixes=("", "_plain"))
    assert len(both) == len(ours)
    assert (both["probability"] - both["probability_plain"]).abs().max() <= 1e-9
    blind = tables.CASES.read(done / "sources" / "cases-1" / "cases.parquet")
    late = [name for name in blind if is_outcome(str(name))]
    assert late
    assert blind[late].isna().all().all()


def test_the_page_names_no_patient_and_speaks_of_no_fold(done: Path) -> None:
    text = (done / "report.html").read_text(encoding="utf-8")
    markdown = (done / "report.md").read_text(encoding="utf-8")
    for patient in tables.DECISIONS.read(done / "decisions.parquet")["patient_id"]:
        assert str(patient) not in text
        assert str(patient) not in markdown
    words = markdown.lower().replace("unfold", "").replace("folder", "")
    assert "fold" not in words
    assert "tuning axillae" not in words
    lock = read_json(done / "validation.json")["lock"]["hash"]
    assert lock in markdown
    assert "No certified contract" in markdown
    assert "Shift alarm" in markdown
    assert (done / "report.pdf").read_bytes()[:5] == b"%PDF-"


def test_a_second_call_does_nothing_again(done: Path, request_: Request) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in done.rglob("*") if path.is_file() and ".journal" not in path.parts
    }
    validate(request_)
    after = {path: path.stat().st_mtime_ns for path in before}
    assert before == after


def test_edited_outcomes_are_refused_after_the_lock(done: Path, request_: Request, far: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tables"
    shutil.copytree(far, copy)
    cases = tables.CASES.read(copy / "cases.parquet")
    cases.loc[0, "sln_positive"] = not bool(cases.loc[0, "sln_positive"])
    tables.CASES.write(cases, copy / "cases.parquet", Provenance("test"))
    edited = Request(request_.bundle, request_.plan, tmp_path / "out", cases=(copy / "cases.parquet",))
    with pytest.raises(LockError, match="the outcomes"):
        validate(edited)
    assert not (tmp_path / "out" / "sources").exists(), "it stops before anything is predicted"


def test_development_patients_are_refused_or_left_out(run_folder: Path, far: Path, request_: Request) -> None:
    bundle, plan = load_bundle(run_folder / "bundle"), read_plan(request_.plan)
    own = tables.CASES.read(run_folder / "cases.parquet")
    with pytest.raises(LeakError, match="made the model"):
        select(plan, bundle, own)
    mixed = pd.concat([own.iloc[:3], tables.CASES.read(far / "cases.parquet")], ignore_index=True)
    kept, excluded = select(plan, bundle, tables.CASES.conform(mixed))
    seen = excluded[excluded["code"] == str(ExclusionCode.DEVELOPMENT_PATIENT)]
    assert set(seen["patient_id"]) == set(own["patient_id"].iloc[:3])
    assert not set(kept["patient_id"]) & set(seen["patient_id"])


def test_a_centre_that_has_the_name_alone_keeps_no_contract(run_folder: Path, request_: Request) -> None:
    bundle, plan = load_bundle(run_folder / "bundle"), read_plan(request_.plan)
    assert bundle.card["cohort"]["centres"]
    assert _reaching(plan, bundle).card["cohort"]["centres"] == []


def test_another_bundle_than_the_plans_is_refused(request_: Request, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    text = request_.plan.read_text(encoding="utf-8")
    plan.write_text(text.replace(read_plan(request_.plan).bundle, "f" * 12), encoding="utf-8")
    with pytest.raises(ConfigError, match="expected ffffffffffff"):
        validate(Request(request_.bundle, plan, tmp_path / "out", cases=request_.cases))
    with pytest.raises(ConfigError, match="found no patients"):
        validate(Request(request_.bundle, request_.plan, tmp_path / "out"))


def test_predictions_of_other_images_are_not_taken_up_again(
    request_: Request, far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed mask under an amended lock: the step has another key, so what it left before is stale."""
    shutil.copytree(far, tmp_path / "far")
    plan = tmp_path / "plan.yaml"
    shutil.copy(request_.plan, plan)
    asked = Request(request_.bundle, plan, tmp_path / "out", cases=(tmp_path / "far" / "cases.parquet",))
    make_lock(asked)
    keys: list[Any] = []

    def stop(*_: Any, key: Any, **__: Any) -> None:
        keys.append(key)
        raise ConfigError("stop")

    monkeypatch.setattr("usdlr.validation.run.predict_source", stop)
    for changed in (False, False, True):
        if changed:
            path = tmp_path / "far" / str(tables.CASES.read(far / "cases.parquet")["bmode_path"].iloc[0])
            path.write_bytes(path.read_bytes() + b"x")
            make_lock(asked, reason="another image")
        with pytest.raises(ConfigError, match="stop"):
            validate(asked)
    assert keys[0] == keys[1]
    assert keys[1] != keys[2]


def test_the_page_counts_the_adaptations_that_were_tried(request_: Request, done: Path, tmp_path: Path) -> None:
    copy, locked = tmp_path / "out", tmp_path / "plan.lock.json"
    shutil.copytree(done, copy)
    shutil.copyfile(request_.lock_file, locked)
    wide = AdaptSettings(recalibrate="none", adaptation=0.3, calibration=0.4)
    asked = replace(request_, out=copy, lock=locked, adapt=wide)
    validate(asked)
    assert "only adaptation that was tried" in (copy / "report.html").read_text(encoding="utf-8")
    validate(asked)
    assert len(read_json(locked)["adapted"]) == 1
    validate(replace(asked, adapt=replace(wide, seed=1)))
    assert "2 different settings were tried" in (copy / "report.html").read_text(encoding="utf-8")
    assert read_json(copy / "validation.json")["adaptation"]["attempts"] == 2
