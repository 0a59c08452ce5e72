"""Paired differences of two runs, against their definition and against scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.experiment.sweep.made import judged, made_config, made_run
from usdlr.core import tables
from usdlr.core.errors import DataError
from usdlr.core.provenance import Provenance
from usdlr.core.types import Stage
from usdlr.experiment.paired import Judged, paired_difference, with_differences
from usdlr.experiment.runs import runs_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one cohort, and others that cannot be compared with them."""
    place = tmp_path_factory.mktemp("paired")
    made_run(made_config("--model.dropout=0.3"), place / "good")
    made_run(made_config("--model.dropout=0.05"), place / "poor")
    made_run(made_config("--seed=1"), place / "other_splits")
    made_run(made_config(), place / "fewer", patients=60)
    made_run(made_config(), place / "other_outcomes", flip=2)
    return place


def by_definition(
    truth: npt.NDArray[np.bool_], first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]
) -> float:
    """Standard error of the difference of two AUCs, from all pairs (DeLong 1988, equations 3 to 6)."""
    components = []
    for score in (first, second):
        kernel = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in score[~truth]] for x in score[truth]])
        components.append((kernel.mean(axis=1), kernel.mean(axis=0)))
    between_positives = np.cov(components[0][0], components[1][0]) / truth.sum()
    between_negatives = np.cov(components[0][1], components[1][1]) / (~truth).sum()
    covariance = between_positives + between_negatives
    return float(np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]))


@pytest.mark.parametrize("stage", list(Stage))
def test_the_difference_and_its_interval(folder: Path, stage: Stage) -> None:
    cases = tables.CASES.read(folder / "good" / "cases.parquet").sort_values("patient_id").reset_index(drop=True)
    known = cases["sln_positive"].notna() if stage is Stage.SLN else cases["sln_positive"]
    truth = cases[f"{stage}_positive"][known].to_numpy(bool)
    score = {
        name: judged(tables.PREDICTIONS.read(folder / name / "predictions.parquet"), str(stage))["probability"][known]
        for name in ("good", "poor")
    }
    found = paired_difference(Judged.read(folder / "good"), Judged.read(folder / "poor"), stage)
    expected = float(roc_auc_score(truth, score["good"]) - roc_auc_score(truth, score["poor"]))
    half = 1.959963985 * by_definition(truth, score["good"].to_numpy(), score["poor"].to_numpy())
    assert found.n == len(truth)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.low == pytest.approx(expected - half)
    assert found.high == pytest.approx(expected + half)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("fewer", "found 60 test axillae in .* and 64 in .*4 absent, 0 extra.*expected the same ones"),
        ("other_outcomes", "found other sln outcomes of the same test axillae"),
        ("other_splits", "found other splits in .*equal splits and seed"),
    ],
)
def test_unequal_runs_are_refused_without_naming_a_patient(folder: Path, name: str, sentence: str) -> None:
    run, good = Judged.read(folder / name), Judged.read(folder / "good")
    with pytest.raises(DataError, match=sentence) as caught:
        paired_difference(run, good, Stage.SLN)
    assert "secret" not in str(caught.value)


def test_an_unfinished_run_is_refused(folder: Path, tmp_path: Path) -> None:
    made_run(made_config(), tmp_path / "run")
    (tmp_path / "run" / "provenance.json").unlink()
    with pytest.raises(DataError, match="is unfinished, 4 steps done, expected a finished run"):
        Judged.read(tmp_path / "run")


def test_the_order_of_the_rows_does_not_matter(folder: Path, tmp_path: Path) -> None:
    made_run(made_config("--model.dropout=0.05"), tmp_path / "run")
    for table, name in ((tables.CASES, "cases.parquet"), (tables.SPLITS, "splits.csv")):
        shuffled = table.read(tmp_path / "run" / name).sample(frac=1, random_state=1)
        table.write(shuffled, tmp_path / "run" / name, Provenance("shuffled"))
    good, shuffled_run, poor = (Judged.read(run) for run in (folder / "good", tmp_path / "run", folder / "poor"))
    assert paired_difference(good, shuffled_run, Stage.SLN) == paired_difference(good, poor, Stage.SLN)


def test_the_column_says_why_a_run_has_no_difference(folder: Path) -> None:
    table = with_differences(runs_table([folder]), folder / "good").set_index(
        pd.Index(path.name for path in sorted(folder.iterdir()))
    )
    assert table.loc["good", "not_compared"] == "the run itself"
    assert table["sln_difference"].notna().to_dict() == {
        "fewer": False,
        "good": False,
        "other_outcomes": False,
        "other_splits": False,
        "poor": True,
    }
    assert table["sln_difference_low"]["poor"] < table["sln_difference"]["poor"] < 0
    assert "other splits" in str(table.loc["other_splits", "not_compared"])


def test_nothing_to_compare_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="60 test axillae"):
        with_differences(runs_table([folder / "fewer", folder / "good"]), folder / "good")
    with pytest.raises(DataError, match="found several runs below"):
        with_differences(runs_table([folder]), folder)
