"""The nested estimate: no fold's choice depends on its own test rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.experiment.sweep.made import made_config, made_run
from usdlr.core import tables
from usdlr.core.errors import DataError
from usdlr.core.provenance import Provenance
from usdlr.experiment.sweep.nested import Candidate, nested_estimate
from usdlr.experiment.sweep.objective import tuning_aucs

DROPOUTS = (0.25, 0.28, 0.3, 0.33)


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> list[Candidate]:
    """Four points on one cohort."""
    folder, found = tmp_path_factory.mktemp("points"), []
    for dropout in DROPOUTS:
        config = made_config(f"--model.dropout={dropout}")
        out = made_run(config, folder / f"{dropout}")
        found.append(Candidate(f"{dropout}", out, tuning_aucs(config, out)))
    return found


def test_every_fold_takes_its_own_best_and_is_judged_on_it(points: list[Candidate]) -> None:
    found = nested_estimate(points, "tuning.sln.auc")
    cases = tables.CASES.read(points[0].folder / "cases.parquet").set_index("patient_id")
    truth, scores, areas = [], [], []
    for fold in ("0", "1", "2", "3"):
        best = max(points, key=lambda point: point.tuning["sln"][fold])
        assert found["chosen"][fold] == best.name
        rows = tables.PREDICTIONS.read(best.folder / "predictions.parquet")
        rows = rows[(rows["fold"] == fold) & (rows["split"] == "test") & (rows["stage"] == "sln")]
        truth.append(cases.loc[rows["patient_id"], "sln_positive"].to_numpy(bool))
        scores.append(rows["probability"].to_numpy())
        areas.append(roc_auc_score(truth[-1], scores[-1]))
    assert len(set(found["chosen"].values())) > 1
    assert found["stages"]["sln"]["auc"]["value"] == pytest.approx(
        roc_auc_score(np.concatenate(truth), np.concatenate(scores))
    )
    assert found["stages"]["sln"]["auc_mean_over_folds"]["value"] == pytest.approx(np.mean(areas))
    assert (found["points"], found["stages"]["sln"]["auc"]["n"]) == (4, 64)


def test_no_test_row_moves_a_choice(points: list[Candidate], tmp_path: Path) -> None:
    points = [Candidate(one.name, Path(shutil.copytree(one.folder, tmp_path / one.name)), one.tuning) for one in points]
    before = nested_estimate(points, "tuning.sln.auc")
    cases = tables.CASES.read(points[0].folder / "cases.parquet").set_index("patient_id")
    for point in points:  # a perfect test result for the worst point, the reverse for the others
        path = point.folder / "predictions.parquet"
        rows = tables.PREDICTIONS.read(path)
        test = rows["split"] == "test"
        truth = cases.loc[rows.loc[test, "patient_id"], "sln_positive"].to_numpy(float)
        rows.loc[test, "probability"] = truth if point.name == "0.25" else 1 - truth
        tables.PREDICTIONS.write(rows, path, Provenance("changed"))
    configs = [made_config(f"--model.dropout={dropout}") for dropout in DROPOUTS]
    again = [
        Candidate(point.name, point.folder, tuning_aucs(config, point.folder))
        for point, config in zip(points, configs, strict=True)
    ]
    after = nested_estimate(again, "tuning.sln.auc")
    assert after["chosen"] == before["chosen"]
    assert after["stages"] != before["stages"]


def test_equal_points_give_the_first(points: list[Candidate]) -> None:
    point = points[0]
    twins = [point, Candidate("twin", point.folder, point.tuning)]
    assert set(nested_estimate(twins, "tuning.mean.auc")["chosen"].values()) == {point.name}


def test_points_that_cannot_be_chosen_among(points: list[Candidate], tmp_path: Path) -> None:
    point = points[0]

    def beside(**changes: object) -> Candidate:
        config = made_config("--seed=1") if "seed" in changes else made_config()
        options = {key: int(str(value)) for key, value in changes.items() if key != "seed"}
        out = made_run(config, tmp_path / "other", **options)
        return Candidate("other", out, tuning_aucs(config, out))

    with pytest.raises(DataError, match="found no finished point"):
        nested_estimate([], "tuning.sln.auc")
    with pytest.raises(DataError, match=r"found other splits in .*other than in"):
        nested_estimate([point, beside(seed=1)], "tuning.sln.auc")
    with pytest.raises(DataError, match="found other sln outcomes of the same test axillae"):
        nested_estimate([point, beside(flip=2)], "tuning.sln.auc")
    missing = Candidate("missing", point.folder, {"sln": {"0": 0.5}, "nsln": {}})
    with pytest.raises(DataError, match=r"found 1 of 2 points with tuning\.sln\.auc in fold 1"):
        nested_estimate([point, missing], "tuning.sln.auc")
