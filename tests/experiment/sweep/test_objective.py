"""The objective of a search: tuning rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.experiment.sweep.made import made_config, made_run
from usdlr.core import tables
from usdlr.core.errors import DataError
from usdlr.core.provenance import Provenance
from usdlr.experiment.sweep.objective import fold_values, objective_value, tuning_aucs


def test_the_mean_over_folds_of_scikit_learns_auc(tmp_path: Path) -> None:
    config = made_config()
    made_run(config, tmp_path)
    predictions = tables.PREDICTIONS.read(tmp_path / "predictions.parquet")
    cases = tables.CASES.read(tmp_path / "cases.parquet").set_index("patient_id")
    found = tuning_aucs(config, tmp_path)
    for stage in ("sln", "nsln"):
        areas = []
        for fold in ("0", "1", "2", "3"):
            rows = predictions[(predictions["fold"] == fold) & (predictions["stage"] == stage)]
            rows = rows[rows["split"] == "tuning"]
            if stage == "nsln":
                rows = rows[cases.loc[rows["patient_id"], "sln_positive"].to_numpy(bool)]
            truth = cases.loc[rows["patient_id"], f"{stage}_positive"].to_numpy(bool)
            areas.append(roc_auc_score(truth, rows["probability"]))
        assert list(found[stage].values()) == pytest.approx(areas)
        assert objective_value(found, f"tuning.{stage}.auc") == pytest.approx(np.mean(areas))
    both = [objective_value(found, f"tuning.{stage}.auc") for stage in ("sln", "nsln")]
    assert objective_value(found, "tuning.mean.auc") == pytest.approx(np.mean(both))


def test_test_rows_and_the_bundles_fold_do_not_count(tmp_path: Path) -> None:
    config = made_config()
    made_run(config, tmp_path)
    before = tuning_aucs(config, tmp_path)
    predictions = tables.PREDICTIONS.read(tmp_path / "predictions.parquet")
    other = (predictions["split"] != "tuning") | (predictions["fold"] == "bundle")
    predictions.loc[other, "probability"] = np.random.default_rng(0).random(int(other.sum()))
    tables.PREDICTIONS.write(predictions, tmp_path / "predictions.parquet", Provenance("changed"))
    assert tuning_aucs(config, tmp_path) == before
    predictions.loc[~other, "probability"] = 0.5
    tables.PREDICTIONS.write(predictions, tmp_path / "predictions.parquet", Provenance("constant"))
    assert set(tuning_aucs(config, tmp_path)["sln"].values()) == {0.5}


def test_a_fold_of_one_class_has_no_value() -> None:
    with pytest.raises(DataError, match="found no fold with both classes among its tuning axillae"):
        objective_value({"sln": {}, "nsln": {}}, "tuning.sln.auc")
    assert fold_values({"sln": {"0": 0.7}, "nsln": {}}, "tuning.mean.auc") == {}
