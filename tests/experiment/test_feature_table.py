"""A table of features: what is refused, what learners see, and a whole run at the smallest size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.tiny import ROOT
from usdlr.cli.fit_table import read_config
from usdlr.cli.main import main
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.experiment.feature_table import FeatureTableConfig, TableSettings, read_feature_table
from usdlr.experiment.feature_table_run import run_feature_table
from usdlr.ingest.splits import SplitSettings

YAML = ROOT / "experiments" / "feature_table" / "table.yaml"


def made(n: int, seed: int, name: str = "p") -> pd.DataFrame:
    """Patients of whom a third has two rows; one feature tells the first stage, one the second, the rest is noise."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 6))
    sln = (x[:, 0] + 0.4 * random.normal(size=n) > 0).astype(float)
    nsln = np.where(sln == 1, (x[:, 1] + 0.4 * random.normal(size=n) > 0).astype(float), np.nan)
    table = pd.DataFrame(x, columns=[f"bmode.intratumoral.original.glcm.F{k}" for k in range(6)])
    table.insert(0, "patient_id", [f"{name}{k:03d}" for k in range(n)])
    table.insert(1, "side", "left")
    table["sln_positive"], table["nsln_positive"] = sln, nsln
    twice = table.iloc[::3].copy()
    twice.iloc[:, 2:8] += 0.05
    return pd.concat([table, twice], ignore_index=True)


def config(path: Path, **changed: object) -> FeatureTableConfig:
    options: dict[str, object] = {
        "table": TableSettings(str(path), simulated=True),
        "learners": ["radiomics_ridge", "radiomics_lasso"],
        "splits": SplitSettings(folds=2, tuning=0.2, calibration=0.3),
    }
    return FeatureTableConfig("feature_table", "q", **{**options, **changed})  # type: ignore[arg-type]  # by name


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "dev.csv"
    made(160, 1).to_csv(path, index=False)
    return path


def test_the_experiments_file_is_a_configuration() -> None:
    found, _ = read_config([str(YAML), "--out", "x"])
    assert found.name == YAML.parent.name
    assert (YAML.parent / "README.md").is_file()


def test_rows_of_an_axilla_belong_together_and_outcomes_are_no_features(table: Path) -> None:
    rows = read_feature_table(table, TableSettings())
    assert len(rows.axillae) == 160
    assert len(rows.design) == len(pd.read_csv(table))
    assert not [name for name in rows.design if "sln" in str(name)]
    means = rows.by_axilla(rows.design.iloc[:, 0].to_numpy())
    expected = pd.read_csv(table).groupby("patient_id", sort=False)["bmode.intratumoral.original.glcm.F0"].mean()
    assert means == pytest.approx(expected.to_numpy())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="sln_positive"), "no column 'sln_positive'"),
        (lambda t: t.assign(sln_positive="perhaps"), "'perhaps' in row 2"),
        (lambda t: t.assign(patient_id=None), "without patient_id"),
        (lambda t: t.assign(sln_positive=np.nan), "known sln_positive"),
        (lambda t: t.assign(sln_positive=np.arange(len(t)) >= 160), "two values"),
        (lambda t: t.iloc[:0], "no row"),
        (lambda t: t.assign(**{"a.b": "word"}), "'word' in row 2"),
    ],
)
def test_mistakes_are_told(change: object, words: str, table: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.csv"
    change(pd.read_csv(table)).to_csv(path, index=False)  # type: ignore[operator]  # a function of the table
    with pytest.raises(DataError, match=words):
        read_feature_table(path, TableSettings())


def test_what_is_known_after_surgery_is_refused(table: Path, tmp_path: Path) -> None:
    path = tmp_path / "late.csv"
    pd.read_csv(table).assign(**{"clinical.positive_nodes": 1.0}).to_csv(path, index=False)
    with pytest.raises(ConfigError, match="positive_nodes"):
        read_feature_table(path, TableSettings())
    with pytest.raises(ConfigError, match="expected some"):
        read_feature_table(table, TableSettings(features=["nothing*"]))


def test_an_outcome_named_twice_is_no_feature(table: Path, tmp_path: Path) -> None:
    lines = table.read_text().splitlines()
    twice = tmp_path / "twice.csv"
    twice.write_text("\n".join([lines[0] + ",sln_positive", *(f"{line},{line.split(',')[-2]}" for line in lines[1:])]))
    with pytest.raises(DataError, match="'sln_positive' twice"):
        read_feature_table(twice, TableSettings())
    # What pandas made of such a file once, kept under the other name.
    renamed = tmp_path / "renamed.csv"
    found = pd.read_csv(table)
    found.assign(**{"sln_positive.1": found["sln_positive"]}).to_csv(renamed, index=False)
    with pytest.raises(ConfigError, match="an outcome"):
        read_feature_table(renamed, TableSettings())


def test_rows_without_a_status_are_counted(table: Path, tmp_path: Path) -> None:
    unknown = pd.read_csv(table)
    unknown.loc[unknown["patient_id"].isin(["p000", "p001"]), ["sln_positive", "nsln_positive"]] = np.nan
    unknown.to_csv(tmp_path / "unknown.csv", index=False)
    rows = read_feature_table(tmp_path / "unknown.csv", TableSettings())
    # p000 has two rows, p001 one; the table has its name in line 1.
    assert rows.exclusions["source_id"].tolist() == ["row 2", "row 3", "row 162"]
    assert set(rows.exclusions["code"]) == {"endpoint_missing"}
    assert len(rows.axillae) == 158
    assert len(rows.design) + len(rows.exclusions) == len(unknown)


@pytest.mark.parametrize("wrong", [{"learners": []}, {"learners": ["radiomics_rigde"]}, {"calibrator": "plat"}])
def test_settings_that_cannot_work(wrong: dict[str, object], table: Path) -> None:
    with pytest.raises(ConfigError):
        config(table, **wrong)


def test_patients_in_both_files_are_a_leak(table: Path, tmp_path: Path) -> None:
    with pytest.raises(LeakError, match="learners for elsewhere"):
        run_feature_table(config(table, external={"elsewhere": str(table)}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_whole_run(table: Path, tmp_path: Path) -> None:
    other = made(90, 2, name="q")
    nobody_knows = other.iloc[[1]].assign(patient_id="q999", sln_positive=np.nan, nsln_positive=np.nan)
    pd.concat([other, nobody_knows]).to_csv(tmp_path / "other.csv", index=False)
    more = made(160, 1)
    pd.concat([more, nobody_knows.assign(patient_id="p999")]).to_csv(table, index=False)
    out = tmp_path / "out"
    run_feature_table(config(table, external={"elsewhere": str(tmp_path / "other.csv")}), out)
    for name in (
        "report.html",
        "metrics.json",
        "predictions.parquet",
        "decisions.parquet",
        "splits.csv",
        "config.yaml",
    ):
        assert (out / name).is_file()
    metrics = json.loads((out / "metrics.json").read_text())
    predictions = pd.read_parquet(out / "predictions.parquet")
    for counted, name in (
        (metrics["cohort"], "exclusions.csv"),
        (metrics["external"]["elsewhere"]["cohort"], "exclusions_external.csv"),
    ):
        assert (counted["excluded"], counted["exclusions"]) == (1, {"endpoint_missing": 1})
        assert pd.read_csv(out / name)["code"].tolist() == ["endpoint_missing"]
    test = predictions[(predictions["split"] == "test") & (predictions["stage"] == "sln")]
    truth = pd.read_csv(table).drop_duplicates("patient_id").set_index("patient_id")["sln_positive"]
    area = roc_auc_score(truth.loc[list(test["patient_id"])], test["probability"])
    assert metrics["stages"]["sln"]["auc"]["value"] == pytest.approx(area)
    assert area > 0.85  # one feature says nearly everything, and was found
    # The other file is judged by learners that never saw it, and told apart on the page.
    scores = pd.read_parquet(out / "scores.parquet")
    away = scores[(scores["source"] == "elsewhere") & (scores["fold"] == "bundle") & (scores["stage"] == "sln")]
    theirs = other.drop_duplicates("patient_id").set_index("patient_id")["sln_positive"]
    ridge = away[away["name"] == "radiomics_ridge"]
    expected = roc_auc_score(theirs.loc[list(ridge["patient_id"])], ridge["score"])
    assert metrics["external"]["elsewhere"]["stages"]["sln"]["auc"]["value"] == pytest.approx(expected)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "elsewhere" in page
    assert "p001" not in page
    # Outcomes of test patients reach nothing that answers them.
    labels = more
    folds = pd.read_csv(out / "splits.csv", dtype=str)
    assert set(labels["patient_id"]) == set(folds["patient_id"])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit_table", str(YAML), "--out", str(tmp_path / "out")]) == 2
    assert "--table.file" in capsys.readouterr().err
    assert main(["fit_table", str(YAML), "--table.fiel", "x", "--out", str(tmp_path / "out")]) == 2
