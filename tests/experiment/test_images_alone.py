"""A whole run of images alone in a chosen cohort: nothing is measured in vain, and its bundle answers nobody else."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.tiny import tiny_config
from usdlr.core import tables
from usdlr.core.errors import DataError
from usdlr.core.types import OnUncertified
from usdlr.experiment.run import run_experiment
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.predictor import predict
from usdlr.radiomics import extract as extraction

pytestmark = pytest.mark.slow
WORDS = (
    *(
        "--model.tabular",
        "none",
        "--model.score",
        "false",
        "--model.modalities",
        "[bmode]",
        "--model.rois",
        "[context]",
    ),
    *("--data.where", "{cn_stage: [cN0], age_years: {min: 40}}", "--baselines", "[size]"),
)


@pytest.fixture(scope="module")
def run(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "measure_case", None)  # whoever measures, fails
        run_experiment(tiny_config(cohort, *WORDS), out)
    return out


def manifest(cohort: Path) -> pd.DataFrame:
    rows = pd.read_csv(cohort / "manifest.csv", dtype={"patient_id": "str"})
    return rows.assign(patient_id=rows["centre_id"] + "-" + rows["patient_id"])


def test_everybody_outside_is_counted_with_a_code_of_their_own(run: Path, cohort: Path) -> None:
    rows = manifest(cohort)
    inside = (rows["cn_stage"] == "cN0") & (rows["age_years"] >= 40)
    # One of an axilla's images says it for all of them.
    axilla_inside = inside.groupby([rows["patient_id"], rows["side"]]).transform("all")
    excluded = tables.EXCLUSIONS.read(run / "exclusions.csv")
    assert (~axilla_inside).sum() > 5
    assert (excluded["code"] == "outside_cohort").sum() == (~axilla_inside).sum()
    cases = tables.CASES.read(run / "cases.parquet")
    assert set(cases["patient_id"]) <= set(rows.loc[axilla_inside, "patient_id"])
    assert len(cases) + len(excluded) == len(rows)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["cohort"]["exclusions"]["outside_cohort"] == (~axilla_inside).sum()
    assert metrics["cohort"]["where"] == "cn_stage one of cN0, age_years at least 40"
    page = (run / "report.html").read_text()
    assert "Only patients with cn_stage one of cN0, age_years at least 40." in page
    assert "Outside the cohort" in page


def test_nothing_is_measured_and_no_table_is_in_the_stages(run: Path) -> None:
    features = tables.FEATURES.read(run / "features.parquet")
    assert not [name for name in features if "." in str(name)]
    assert set(features["reason"]) == {"radiomics not measured: nothing reads it"}
    for path in (run / "bundle").rglob("selector.json"):
        assert json.loads(path.read_text())["columns"] == []
    for path in (run / "bundle").rglob("scores.json"):
        assert json.loads(path.read_text()) == {"columns": {}, "patterns": []}
    predictions = tables.PREDICTIONS.read(run / "predictions.parquet")
    shares = [name for name in predictions if str(name).startswith("contribution.")]
    assert shares == ["contribution.bmode.context", "contribution.base"]


@pytest.fixture(scope="module")
def bundle(run: Path) -> Bundle:
    return load_bundle(run / "bundle")


def test_the_bundle_answers_its_cohort_alone_and_as_the_run_did(bundle: Bundle, run: Path, tmp_path: Path) -> None:
    cases = tables.CASES.read(run / "cases.parquet").drop_duplicates("patient_id").head(8).reset_index(drop=True)
    cases.loc[0, "cn_stage"] = "cN1"
    cases.loc[1, "cn_stage"] = None
    cases.loc[2, "age_years"] = 39.0
    found = predict(bundle, cases, run, jobs=1, ledger=tmp_path / "l", on_uncertified=OnUncertified.ZERO_MISS)
    codes = dict(zip(found.exclusions["source_id"], found.exclusions["code"], strict=True))
    out = cases["patient_id"].head(3)
    for place, code in enumerate(["outside_cohort", "cohort_unknown", "outside_cohort"]):
        assert codes[cases.loc[place, "image_id"]] == code
    answered = found.predictions
    assert not set(answered["patient_id"]) & set(out)
    written = tables.PREDICTIONS.read(run / "predictions.parquet").query("fold == 'bundle'")
    both = answered.merge(written, on=["patient_id", "side", "stage"], suffixes=("", "_run"), validate="one_to_one")
    assert len(both) >= 2
    assert (both["probability"] - both["probability_run"]).abs().max() < 1e-6


def test_a_source_of_others_alone_is_refused_in_words(bundle: Bundle, run: Path, tmp_path: Path) -> None:
    others = tables.CASES.read(run / "cases.parquet").head(4).assign(cn_stage="cN1")
    with pytest.raises(DataError, match="none of 4 image sets in the cohort that the model is for, expected some with"):
        predict(bundle, others, run, jobs=1, ledger=tmp_path / "l", on_uncertified=None)
