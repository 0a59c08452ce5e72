"""A finished bundle adapted to a simulated far-off centre."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import usdlr.validation.adapt as module
from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import BundleError, LeakError
from usdlr.core.hashing import file_hash
from usdlr.core.types import OnUncertified, Split, Stage
from usdlr.decision.settings import ContractSettings
from usdlr.inference.bundle import load_bundle
from usdlr.inference.predictor import Prepared, predict_prepared, prepare_cases
from usdlr.ingest.pipeline import ingest
from usdlr.report.document import Document
from usdlr.report.html import render
from usdlr.simulate.export import simulate
from usdlr.validation.adapt import Adapted, adapt
from usdlr.validation.adapt_page import adaptation_section
from usdlr.validation.adapt_settings import AdaptSettings

# Wide targets, so that the few positives of a small centre can certify them.
SETTINGS = AdaptSettings(
    recalibrate="intercept",
    harmonise=True,
    adaptation=0.4,
    calibration=0.4,
    contract=ContractSettings(alpha_sln=0.4, alpha_nsln=0.5, delta=0.2),
)


@pytest.fixture(scope="module")
def local(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("far")
    simulate(folder / "export", patients=80, seed=8, centres=["overseas"], jobs=1)
    ingest(folder / "export", "simulated", folder / "tables", jobs=1)
    cases = tables.CASES.read(folder / "tables" / "cases.parquet")
    bundle = load_bundle(run_folder / "bundle")
    return prepare_cases(bundle.preparation, cases, folder / "tables", jobs=1, ledger=folder / "ledger")


def truth(prepared: Prepared) -> pd.DataFrame:
    found = prepared.cases.groupby(AXILLA_KEY, sort=False)[["sln_positive", "nsln_positive"]].first().reset_index()
    found.columns = pd.Index([*AXILLA_KEY, "sln", "nsln"])
    return found.astype({"sln": "Float64", "nsln": "Float64"}).astype({"sln": "float64", "nsln": "float64"})


@pytest.fixture(scope="module")
def adapted(run_folder: Path, local: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    return adapt(run_folder / "bundle", local, truth(local), SETTINGS, tmp_path_factory.mktemp("adapted"))


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): file_hash(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_new_bundle_with_its_own_contract_and_its_parents_name(run_folder: Path, adapted: Adapted) -> None:
    parent, new = load_bundle(run_folder / "bundle"), load_bundle(adapted.bundle)
    assert new.card["adapted"]["parent"] == parent.bundle_id != new.bundle_id == adapted.record["bundle"]
    assert new.member.contract == adapted.contract != parent.member.contract
    assert new.card["cohort"]["centres"] == ["simulated-overseas"]
    assert new.card["developed_on"]["centres"] == parent.card["cohort"]["centres"]
    assert adapted.contract.certified
    # Nothing is left of the folds, which were made for the old centre, and nothing else lies in the folder.
    assert not (adapted.bundle / "folds").exists()
    assert {path.name for path in adapted.bundle.parent.iterdir()} == {
        "adaptation.json",
        "bundle",
        "splits.csv",
        "splits.provenance.json",
    }


def test_it_says_of_untouched_patients_what_the_record_counts(adapted: Adapted, local: Prepared) -> None:
    found = predict_prepared(load_bundle(adapted.bundle), local, on_uncertified=OnUncertified.ZERO_MISS)
    assert not found.foreign_centres  # the contract speaks of this centre now
    splits = adapted.splits.set_index("patient_id")["split"]
    told = found.predictions.drop_duplicates("patient_id").set_index("patient_id")["split"]
    assert (told == splits.loc[list(told.index)].to_numpy()).all()
    labels = truth(local)
    test = labels[labels["patient_id"].map(splits).eq(str(Split.TEST)) & labels["sln"].notna()]
    rows = found.predictions[found.predictions["stage"] == "sln"].merge(test, on=AXILLA_KEY)
    after = adapted.record["untouched"]["stages"]["sln"]["after"]["brier"]
    assert after["n"] == len(rows)
    assert after["value"] == pytest.approx(float(((rows["probability"] - rows["sln"]) ** 2).mean()), abs=1e-12)
    missed = found.decisions.merge(test[test["sln"] == 1], on=AXILLA_KEY)["risk_group"].eq("LR-SLN")
    rate = adapted.record["untouched"]["cascade"]["after"]["fnr_sln"]
    assert (rate["events"], rate["n"]) == (int(missed.sum()), len(missed))


def test_the_parent_stays_and_the_same_call_gives_the_same_bundle(
    run_folder: Path, local: Prepared, adapted: Adapted, tmp_path: Path
) -> None:
    before = contents(run_folder / "bundle")
    again = adapt(run_folder / "bundle", local, truth(local), SETTINGS, tmp_path / "again")
    assert contents(run_folder / "bundle") == before
    assert contents(again.bundle) == contents(adapted.bundle)
    assert again.record == adapted.record


@pytest.mark.parametrize(("part", "moves"), [("test", False), ("calibration", True)])
def test_outcomes_of_a_part_reach_its_own_step_alone(
    part: str,
    moves: bool,
    run_folder: Path,
    local: Prepared,
    adapted: Adapted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = truth(local)
    mine = labels["patient_id"].map(adapted.splits.set_index("patient_id")["split"]).eq(part)
    labels.loc[mine, "sln"] = 1 - labels.loc[mine, "sln"]
    labels.loc[mine, "nsln"] = np.nan
    monkeypatch.setattr(module, "local_splits", lambda *_: adapted.splits)  # the division itself looks at outcomes
    other = adapt(run_folder / "bundle", local, labels, SETTINGS, tmp_path / "other")
    changed = {name for name, digest in contents(other.bundle).items() if contents(adapted.bundle)[name] != digest}
    assert ("contract.json" in changed) is moves
    assert changed <= {"contract.json", "bundle.json"}


def test_whatever_is_changed_afterwards_voids_the_contract(adapted: Adapted, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(adapted.bundle, tmp_path / "copy"))
    path = copy / str(Stage.SLN) / "calibrator.json"
    state = json.loads(path.read_text())
    state["after"]["intercept"] += 0.5
    path.write_text(json.dumps(state))
    manifest = json.loads((copy / "bundle.json").read_text())
    manifest["files"]["sln/calibrator.json"] = file_hash(path)  # somebody who mends the sums, too
    (copy / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="certify anew"):
        load_bundle(copy)


def test_development_patients_are_refused(run_folder: Path, tmp_path: Path) -> None:
    bundle = load_bundle(run_folder / "bundle")
    cases = tables.CASES.read(run_folder / "cases.parquet")
    prepared = prepare_cases(bundle.preparation, cases.head(12), run_folder, jobs=1, ledger=tmp_path / "ledger")
    with pytest.raises(LeakError, match="among those who made the model"):
        adapt(run_folder / "bundle", prepared, truth(prepared), SETTINGS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_missing_for_a_certificate_is_counted_and_told(
    run_folder: Path, local: Prepared, tmp_path: Path
) -> None:
    found = adapt(run_folder / "bundle", local, truth(local), AdaptSettings(recalibrate="none"), tmp_path / "strict")
    need = found.record["needed"]
    assert not found.contract.certified
    assert need["nsln"]["missing"] == 29 - need["nsln"]["have"] > 0
    section = adaptation_section(found.record, known_nsln="among dissected axillae")
    page = render(Document("Report", "t", "q", "s", (), (), (), (section,), "f"))
    assert f"{need['nsln']['have']} positives, and 29 are needed" in page
    assert not [name for name in local.cases["patient_id"].unique() if name in page]
    assert not [name for name in local.cases["patient_id"].unique() if name in json.dumps(found.record)]
