"""A whole run: what it writes, that it repeats, that it resumes, and that it refuses leaks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from tests.tiny import tiny_config
from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import file_hash, table_hash
from usdlr.core.journal import Journal
from usdlr.core.types import ContractStatus, RiskGroup
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE
from usdlr.experiment.run import compare_baselines, run_experiment
from usdlr.experiment.runs import runs_table
from usdlr.experiment.sweep.share import start_from_others
from usdlr.inference.bundle import load_bundle

TABLES = {
    "cases.parquet": tables.CASES,
    "features.parquet": tables.FEATURES,
    "predictions.parquet": tables.PREDICTIONS,
    "decisions.parquet": tables.DECISIONS,
    "exclusions.csv": tables.EXCLUSIONS,
    "splits.csv": tables.SPLITS,
}


def hashes(out: Path) -> dict[str, str]:
    """Content hash of every table and of the metrics."""
    found = {name: table_hash(table.read(out / name)) for name, table in TABLES.items()}
    return found | {"metrics.json": (out / "metrics.json").read_text()}


def test_run_writes_what_the_design_names(run_folder: Path) -> None:
    for name in (*TABLES, "config.yaml", "metrics.json", "report.html", "provenance.json", "bundle/bundle.json"):
        assert (run_folder / name).is_file(), name
    assert list((run_folder / "figures").glob("*.svg"))
    for name in TABLES:
        beside = json.loads((run_folder / f"{name.split('.')[0]}.provenance.json").read_text())
        assert beside["seed"] == 0
        assert beside["config_hash"]


def test_every_axilla_is_tested_once_per_stage_and_in_one_split_per_fold(run_folder: Path) -> None:
    cases = tables.CASES.read(run_folder / "cases.parquet")
    predictions = tables.PREDICTIONS.read(run_folder / "predictions.parquet")
    decisions = tables.DECISIONS.read(run_folder / "decisions.parquet")
    axillae = cases.groupby(["patient_id", "side"]).ngroups
    test = predictions[predictions["split"] == "test"]
    assert len(test) == 2 * axillae
    assert not test.duplicated(["patient_id", "side", "stage"]).any()
    assert len(decisions) == axillae
    assert (predictions.groupby(["fold", "patient_id"])["split"].nunique() == 1).all()
    assert set(predictions.loc[predictions["fold"] == "bundle", "split"]) == {"train", "tuning", "calibration"}


def test_nobody_is_lost_between_source_and_cohort(run_folder: Path, cohort: Path) -> None:
    manifest = pd.read_csv(cohort / "manifest.csv", dtype="str")
    cases = tables.CASES.read(run_folder / "cases.parquet")
    exclusions = tables.EXCLUSIONS.read(run_folder / "exclusions.csv")
    assert len(cases) + len(exclusions) == len(manifest)
    assert set(cases["patient_id"]) | set(exclusions["patient_id"]) == set(
        manifest["centre_id"] + "-" + manifest["patient_id"]
    )


def test_contributions_add_up_to_the_logit(run_folder: Path) -> None:
    predictions = tables.PREDICTIONS.read(run_folder / "predictions.parquet")
    shares = predictions.filter(like="contribution.")
    assert set(shares) == {
        "contribution.bmode.intratumoral", "contribution.bmode.peritumoral", "contribution.elasto.intratumoral",
        "contribution.elasto.peritumoral", "contribution.radiomics", "contribution.base",
    }  # fmt: skip
    np.testing.assert_allclose(shares.sum(axis=1), predictions["logit"], atol=1e-12)
    np.testing.assert_allclose(expit(predictions["logit"]), predictions["probability"], atol=1e-12)


def test_absent_elastography_contributes_nothing(run_folder: Path) -> None:
    cases = tables.CASES.read(run_folder / "cases.parquet")
    predictions = tables.PREDICTIONS.read(run_folder / "predictions.parquet")
    without = set(cases.loc[cases["elasto_path"].isna(), "patient_id"])
    assert without, "the cohort must hold patients without elastography"
    rows = predictions["patient_id"].isin(without)
    assert predictions.loc[rows, "contribution.elasto.intratumoral"].isna().all()
    assert predictions.loc[~rows, "contribution.elasto.intratumoral"].notna().all()


def test_a_patient_without_elastography_gets_a_valid_prediction_and_a_wider_interval(run_folder: Path) -> None:
    cases = tables.CASES.read(run_folder / "cases.parquet")
    predictions = tables.PREDICTIONS.read(run_folder / "predictions.parquet")
    assert (predictions["logit_low"] <= predictions["logit"]).all()
    assert (predictions["logit"] <= predictions["logit_high"]).all()
    with_map = set(cases.loc[cases["elasto_path"].notna(), "patient_id"])
    for _, part in predictions.groupby(["fold", "stage"]):
        width = part["logit_high"] - part["logit_low"]
        missing = ~part["patient_id"].isin(with_map)
        at, without = part.loc[~missing, "logit"], part.loc[missing, "logit"]
        assert len(without) > 0
        # Of one network the variance is that of the calibrator's two numbers: a square in the log-odds, exactly.
        curve = np.polynomial.Polynomial.fit(at, width[~missing] ** 2, 2)
        np.testing.assert_allclose(curve(at), width[~missing] ** 2, rtol=1e-6)
        # What a map might have moved comes on top of what an axilla with the same log-odds has.
        assert (width[missing] ** 2 > curve(without) * (1 + 1e-6)).all()


def test_metrics_agree_with_scikit_learn_on_the_written_tables(run_folder: Path) -> None:
    metrics = json.loads((run_folder / "metrics.json").read_text())
    cases = tables.CASES.read(run_folder / "cases.parquet")
    test = tables.PREDICTIONS.read(run_folder / "predictions.parquet").query("split == 'test' and stage == 'sln'")
    outcomes = cases.drop_duplicates(["patient_id", "side"])[["patient_id", "side", "sln_positive", "nsln_positive"]]
    joined = test.merge(outcomes, on=["patient_id", "side"], validate="one_to_one")
    auc = roc_auc_score(joined["sln_positive"].astype(int), joined["probability"])
    assert metrics["stages"]["sln"]["auc"]["value"] == pytest.approx(auc)
    decisions = tables.DECISIONS.read(run_folder / "decisions.parquet")
    truth = decisions.merge(outcomes, on=["patient_id", "side"], validate="one_to_one")
    positive = truth[truth["sln_positive"].fillna(False).astype(bool)]
    missed = int((positive["risk_group"] == str(RiskGroup.LR_SLN)).sum())
    assert metrics["cascade"]["fnr_sln"]["events"] == missed
    assert metrics["cascade"]["fnr_sln"]["n"] == len(positive)
    for path in (
        "stages.sln.auc", "stages.nsln.auc", "stages.nsln.calibration_slope", "cascade.fnr_nsln", "cascade.defer_rate",
        "baselines.size.auc", "baselines.radiomics.auc",
    ):  # fmt: skip
        value: Any = metrics
        for key in path.split("."):
            value = value[key]
        assert {"value", "low", "high", "n", "method"} <= set(value), path
    assert {"alpha", "delta", "status", "required_positives"} <= set(metrics["cascade"]["contract"])


def test_oracle_and_limit_stand_beside_the_model(run_folder: Path, cohort: Path) -> None:
    metrics = json.loads((run_folder / "metrics.json").read_text())
    cases = tables.CASES.read(run_folder / "cases.parquet").drop_duplicates(["patient_id", "side"])
    truth = pd.read_parquet(cohort / "truth.parquet")[["patient_id", "side", "p_sln", "p_nsln"]]
    joined = cases.merge(truth, on=["patient_id", "side"], validate="one_to_one")
    positive = joined[joined["sln_positive"].astype(bool) & joined["nsln_positive"].notna()]
    for stage, rows in (("sln", joined), ("nsln", positive)):
        oracle = metrics["oracle"]["stages"][stage]["auc"]
        expected = roc_auc_score(rows[f"{stage}_positive"].astype(int), rows[f"p_{stage}"])
        assert oracle["value"] == pytest.approx(expected)
        model, limit = metrics["stages"][stage]["auc"], metrics["limit"]["stages"][stage]["auc"]
        assert oracle["n"] == limit["n"] == model["n"] == len(rows)
        share = metrics["stages"][stage]["share_of_limit"]
        if share["value"] is not None:
            assert share["value"] == pytest.approx((model["value"] - 0.5) / (limit["value"] - 0.5))
    assert metrics["oracle"]["auc"] == metrics["oracle"]["stages"]["sln"]["auc"]
    assert metrics["limit"]["auc"] == metrics["limit"]["stages"]["sln"]["auc"]
    # Ninety patients: enough to see that measured latents tell far more than nothing.
    assert metrics["limit"]["auc"]["value"] > 0.65
    page = (run_folder / "report.html").read_text(encoding="utf-8")
    assert page.count("Limit: the true form, measured on these images") >= 2


def test_run_prints_how_near_it_comes(run_copy: Path, cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_experiment(tiny_config(cohort), run_copy)
    said = capsys.readouterr().err.splitlines()
    auc = json.loads((run_copy / "metrics.json").read_text())["stages"]["sln"]["auc"]
    assert said[-3].startswith(f"SLN: AUC {auc['value']:.2f} ({auc['low']:.2f}-{auc['high']:.2f}) of a limit of 0.")
    assert said[-2].startswith("NSLN: AUC ")
    assert all(line.endswith("; simulated") for line in said[-3:-1])


def test_other_truth_repeats_the_results_alone(
    run_copy: Path, cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = json.loads((run_copy / "metrics.json").read_text())
    fits = {path: path.stat().st_mtime_ns for path in (run_copy / "work" / "fits").rglob("axillae.parquet")}
    changed = Path(shutil.copytree(cohort, tmp_path / "changed"))
    truth = pd.read_parquet(changed / "truth.parquet")
    truth.assign(p_sln=1 - truth["p_sln"]).to_parquet(changed / "truth.parquet")
    stated = read_json(changed / "cohort.json")
    stated["truth"]["truth.parquet"] = file_hash(changed / "truth.parquet")
    write_json(changed / "cohort.json", stated)
    run_experiment(tiny_config(changed), run_copy)
    after = json.loads((run_copy / "metrics.json").read_text())
    assert after["oracle"]["auc"]["value"] == pytest.approx(1 - before["oracle"]["auc"]["value"])
    assert {key: after[key] for key in before if key != "oracle"} == {k: v for k, v in before.items() if k != "oracle"}
    # Without a truth, a run is as on real patients.
    (changed / "truth.parquet").unlink()
    capsys.readouterr()
    run_experiment(tiny_config(changed), run_copy)
    plain = json.loads((run_copy / "metrics.json").read_text())
    assert not {"oracle", "limit"} & set(plain)
    assert "share_of_limit" not in plain["stages"]["sln"]
    assert plain["stages"]["sln"]["auc"] == before["stages"]["sln"]["auc"]
    said = capsys.readouterr().err
    assert "neither oracle nor limit" in said
    assert "of a limit of" not in said
    assert "(the limit)" not in (run_copy / "report.html").read_text(encoding="utf-8")
    assert {path: path.stat().st_mtime_ns for path in fits} == fits


def test_half_a_truth_is_refused_before_any_work(cohort: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(cohort, tmp_path / "changed"))
    (changed / "truth_images.parquet").unlink()
    with pytest.raises(DataError, match=r"without truth_images\.parquet"):
        run_experiment(tiny_config(changed), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_thresholds_of_the_bundle_come_from_its_own_calibration_part(run_folder: Path) -> None:
    bundle = load_bundle(run_folder / "bundle")
    predictions = tables.PREDICTIONS.read(run_folder / "predictions.parquet")
    cases = tables.CASES.read(run_folder / "cases.parquet")
    part = predictions.query("fold == 'bundle' and split == 'calibration' and stage == 'sln'")
    outcomes = cases.drop_duplicates(["patient_id", "side"])[["patient_id", "side", "sln_positive"]]
    truth = part.merge(outcomes, on=["patient_id", "side"], validate="one_to_one")
    positive = truth[truth["sln_positive"].fillna(False).astype(bool)]
    assert bundle.member.contract.positives["sln"] == len(positive)
    assert bundle.member.contract.status is ContractStatus.NOT_CERTIFIABLE
    assert bundle.member.contract.t_sln == positive["probability"].min()


def test_report_says_what_it_must(run_folder: Path) -> None:
    page = (run_folder / "report.html").read_text(encoding="utf-8")
    assert NOT_A_MEDICAL_DEVICE in page
    assert "simulated" in page.lower()
    assert "Scenario default: both stages depend on" in page
    assert "ncertified" in page
    cases = tables.CASES.read(run_folder / "cases.parquet")
    assert not [name for name in cases["patient_id"] if name in page]
    assert not [name for name in cases["patient_id"] if name in (run_folder / "metrics.json").read_text()]
    assert not [name for name in cases["patient_id"] if name in (run_folder / "bundle" / "bundle.json").read_text()]


def test_the_report_shows_which_features_the_folds_chose(run_folder: Path) -> None:
    """The figure's numbers are those of the members' own files."""
    for stage in ("sln", "nsln"):
        chosen = [
            set(json.loads(path.read_text(encoding="utf-8"))["columns"])
            for path in sorted(run_folder.glob(f"work/fits/[0-9]*/{stage}/selector.json"))
        ]
        figure = (run_folder / "figures" / f"selection_{stage}.svg").read_text(encoding="utf-8")
        assert len(chosen) == 2
        assert "2 folds" in figure
        assert "2 bootstraps" in figure
        # Tumour size is always kept.
        assert all("clinical.tumour_size_mm" in columns for columns in chosen)
    assert 'id="selection"' in (run_folder / "report.html").read_text(encoding="utf-8")


def test_same_command_twice_gives_identical_tables(run_folder: Path, cohort: Path, tmp_path: Path) -> None:
    run_experiment(tiny_config(cohort, "--jobs", "2"), tmp_path / "run")
    assert hashes(tmp_path / "run") == hashes(run_folder)
    weights = "bundle/folds/1/nsln/network_0.safetensors"
    assert (tmp_path / "run" / weights).read_bytes() == (run_folder / weights).read_bytes()
    assert (tmp_path / "run" / "report.html").stat().st_size == (run_folder / "report.html").stat().st_size


class Interrupter:
    """Raises KeyboardInterrupt when the journal is about to record its n-th finished step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.left = after
        original = Journal.mark_done

        def mark_done(journal: Journal, name: str, key: Any, outputs: Any, time_s: Any = None) -> None:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            original(journal, name, key, outputs, time_s)

        monkeypatch.setattr(Journal, "mark_done", mark_done)


def test_interrupted_at_every_step_it_ends_as_if_never_interrupted(
    run_folder: Path, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    config = tiny_config(cohort)
    interrupted = 0
    while True:
        # Each attempt gets one step further: the work of a step is done, its record is not.
        with monkeypatch.context() as patch:
            Interrupter(patch, after=1)
            try:
                run_experiment(config, out)
            except KeyboardInterrupt:
                interrupted += 1
                assert interrupted < 20
                continue
        break
    assert interrupted >= 6  # ingest, features, cohort, six fits, baselines, results in steps of one
    assert hashes(out) == hashes(run_folder)


def test_finished_run_is_not_repeated(run_copy: Path, cohort: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_copy.rglob("*.parquet")}
    run_experiment(tiny_config(cohort), run_copy)
    assert {path: path.stat().st_mtime_ns for path in run_copy.rglob("*.parquet")} == before


def test_how_long_every_step_took_is_told(run_folder: Path) -> None:
    row = runs_table([run_folder]).iloc[0]
    seconds = {str(name): row[name] for name in row.index if str(name).startswith("step_s.")}
    steps = ("ingest", "fingerprints", "features", "cohort", "fits-sln", "fits-nsln", "baselines", "results")
    assert list(seconds) == [f"step_s.{step}" for step in steps]
    assert all(value >= 0 for value in seconds.values())
    assert seconds["step_s.fits-sln"] > 0
    assert row["wall_s"] <= sum(seconds.values()) + 0.1


def test_a_point_of_a_sweep_with_another_network_takes_cohort_and_baselines(
    run_folder: Path, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    config = tiny_config(cohort, "--model.fusion", "late", "--model.dropout", "0.4", "--fit.epochs", "1")
    assert start_from_others(config.as_dict(), target, [run_folder]) == run_folder

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("found a step that was done again")

    with monkeypatch.context() as patch:
        for name in (
            "prepared_run.ingest_source",
            "prepared_run.extract",
            "prepared_run.fingerprint_table",
            "run.run_baselines",
        ):
            patch.setattr(f"usdlr.experiment.{name}", never)
        patch.setattr("usdlr.data.samples.cut_sample", never)
        scores = compare_baselines(config, target)
    pd.testing.assert_frame_equal(scores, pd.read_parquet(run_folder / "work" / "baselines.parquet"))
    origin = read_json(target / "cases.provenance.json")
    assert "fusion" not in origin["config"]["model"], "what does not matter to the cohort is not told of it"
    assert origin["config"]["crop"] == config.as_dict()["crop"]
    # Another seed divides the patients differently: the features are taken, the cohort is not.
    other = tmp_path / "other"
    reseeded = tiny_config(cohort, "--seed", "5")
    assert start_from_others(reseeded.as_dict(), other, [run_folder]) == run_folder
    assert not (other / "splits.csv").exists()
    assert (other / "features.parquet").exists()


def test_damaged_result_is_made_again(run_copy: Path, run_folder: Path, cohort: Path) -> None:
    (run_copy / "decisions.parquet").unlink()
    run_experiment(tiny_config(cohort), run_copy)
    assert hashes(run_copy) == hashes(run_folder)


def test_replaced_source_image_is_noticed(run_copy: Path, cohort: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(cohort, tmp_path / "changed"))
    first = pd.read_csv(changed / "manifest.csv", dtype="str").iloc[0]
    picture = changed / first["bmode_file"]
    pixels = np.asarray(Image.open(picture))
    Image.fromarray(np.where(pixels < 128, pixels + 1, pixels).astype(np.uint8)).save(picture)
    before = set(tables.CASES.read(run_copy / "cases.parquet")["image_id"])
    run_experiment(tiny_config(changed), run_copy)
    after = set(tables.CASES.read(run_copy / "cases.parquet")["image_id"])
    assert [name.rsplit("-", 1)[0] for name in before - after] == [first["image_id"]]  # the hash differs, the id not
    assert [name.rsplit("-", 1)[0] for name in after - before] == [first["image_id"]]


def test_other_configuration_in_the_same_folder_is_refused(run_copy: Path, cohort: Path) -> None:
    with pytest.raises(ConfigError, match=r"fit\.epochs = 2 .* asked for 3"):
        run_experiment(tiny_config(cohort, "--fit.epochs", "3"), run_copy)


def test_folder_with_other_files_is_refused(tmp_path: Path, cohort: Path) -> None:
    (tmp_path / "thesis.docx").write_text("mine")
    with pytest.raises(ConfigError, match="other files"):
        run_experiment(tiny_config(cohort), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_planted_patient_in_two_splits_is_refused(run_copy: Path, cohort: Path) -> None:
    splits = pd.read_csv(run_copy / "splits.csv", dtype="str")
    test_row = splits[(splits["fold"] == "0") & (splits["split"] == "test")].iloc[[0]].assign(split="train")
    pd.concat([splits, test_row]).to_csv(run_copy / "splits.csv", index=False)
    # The journal would notice the changed file and make it again; a user who edits records too must still be caught.
    record = run_copy / ".journal" / "cohort.json"
    content = json.loads(record.read_text())
    from usdlr.core.hashing import file_hash

    content["outputs"]["splits.csv"] = file_hash(run_copy / "splits.csv")
    record.write_text(json.dumps(content))
    shutil.rmtree(run_copy / "work" / "fits")
    with pytest.raises(LeakError, match="twice in fold 0"):
        run_experiment(tiny_config(cohort), run_copy)


def test_planted_threshold_from_test_patients_is_refused(
    run_copy: Path, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from usdlr.core.types import Split
    from usdlr.experiment import decide

    class Planted:
        TRAIN, TUNING, CALIBRATION, TEST = Split.TRAIN, Split.TUNING, Split.TEST, Split.TEST

    monkeypatch.setattr(decide, "Split", Planted)
    (run_copy / "decisions.parquet").unlink()
    with pytest.raises(LeakError, match="expected only calibration"):
        run_experiment(tiny_config(cohort), run_copy)


def test_planted_scaler_fitted_on_all_rows_is_refused(
    cohort: Path, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from usdlr.core.leak import Rows
    from usdlr.core.types import Stage
    from usdlr.experiment import fit
    from usdlr.radiomics.selection.selector import FeatureSelector

    original = FeatureSelector.fit

    def fit_on_all(self: FeatureSelector, X: pd.DataFrame, y: Any, *, rows: Rows) -> FeatureSelector:
        design = pd.read_parquet(run_copy / "work" / "design.parquet")
        cases = tables.CASES.read(run_copy / "cases.parquet")
        splits = pd.read_csv(run_copy / "splits.csv", dtype="str").query("fold == '0'").set_index("patient_id")["split"]
        everybody = Rows.of(cases["patient_id"], splits.loc[list(cases["patient_id"])])
        return original(self, design, np.zeros(len(design)), rows=everybody)

    monkeypatch.setattr(FeatureSelector, "fit", fit_on_all)
    with pytest.raises(LeakError, match="feature selector"):
        fit.run_fit(fit.FitJob(tiny_config(cohort), run_copy, "0", Stage.SLN))


def test_checkpoint_of_other_patients_is_not_continued(
    run_folder: Path, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from usdlr.experiment.fit import run_fit

    # A fit of a cohort with one patient less is killed in its first stage; then the patient is added.
    fewer = Path(shutil.copytree(cohort, tmp_path / "fewer"))
    whole = pd.read_csv(fewer / "manifest.csv", dtype="str", keep_default_na=False)
    kept = whole[whole["sln_positive"] != "true"].index[0]
    whole.drop(index=kept).to_csv(fewer / "manifest.csv", index=False)

    def killed(job: Any) -> None:
        if job.fold == "1":
            raise KeyboardInterrupt
        run_fit(job)
        # What a kill in the middle of fold 0 would have left behind.
        (job.folder / "checkpoints").mkdir(exist_ok=True)
        (job.folder / "checkpoints" / "last.ckpt").write_bytes(b"weights that have seen other patients")
        (job.folder / "network_0.safetensors").unlink()

    with monkeypatch.context() as patch:
        patch.setattr("usdlr.experiment.run.run_fit", killed)
        with pytest.raises((KeyboardInterrupt, FileNotFoundError)):
            run_experiment(tiny_config(fewer), tmp_path / "run")
    assert (tmp_path / "run" / "work" / "fits" / "0" / "sln" / "checkpoints" / "last.ckpt").exists()
    whole.to_csv(fewer / "manifest.csv", index=False)
    run_experiment(tiny_config(fewer), tmp_path / "run")
    assert hashes(tmp_path / "run") == hashes(run_folder)


def test_every_row_of_every_table_carries_the_word_simulated(run_folder: Path) -> None:
    found = {}
    for path in sorted([*run_folder.glob("*.parquet"), *run_folder.glob("*.csv")]):
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        ids = [name for name in ("patient_id", "image_id", "centre_id", "source_id") if name in table]
        found[path.name] = table[ids].astype(str).apply(lambda c: c.str.startswith("simulated-")).any(axis=1).all()
    assert set(found) >= {
        "cases.parquet", "features.parquet", "predictions.parquet", "decisions.parquet", "splits.csv", "exclusions.csv",
    }  # fmt: skip
    assert all(found.values()), found
    assert json.loads((run_folder / "metrics.json").read_text())["simulated"] is True
    card = json.loads((run_folder / "bundle" / "bundle.json").read_text())
    assert card["card"]["simulated"] is True
