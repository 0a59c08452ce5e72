"""What of the design table a stage's selector may see."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import LeakError
from usdlr.core.leak import Rows
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.data_settings import DataSettings
from usdlr.experiment.table import fit_selector
from usdlr.models.settings import NetworkSettings

LABEL = np.arange(20) % 2.0
RADIOMICS = "bmode.intratumoral.original.glcm.Contrast"
# Radiomics that tells everything, and two clinical variables that tell little.
DESIGN = pd.DataFrame(
    {
        RADIOMICS: LABEL,
        "clinical.cn_stage": np.random.default_rng(1).integers(0, 3, 20).astype(float),
        "clinical.age_years": np.random.default_rng(2).normal(55, 9, 20),
    }
)


def config(tabular: str, clinical: list[str]) -> ExperimentConfig:
    model = NetworkSettings(tabular=tabular, score=False)
    return ExperimentConfig(
        "name", "question", DataSettings("simulated", clinical=clinical), model=model, baselines=["radiomics@bmode"]
    )


def rows(split: str) -> Rows:
    return Rows.of([f"p{place}" for place in range(20)], [split] * 20)


@pytest.mark.parametrize(
    ("tabular", "columns"),
    [
        ("joint", {RADIOMICS, "clinical.cn_stage", "clinical.age_years"}),
        ("clinical", {"clinical.cn_stage", "clinical.age_years"}),
        ("none", set()),
    ],
)
def test_the_columns_are_those_that_the_networks_read(tabular: str, columns: set[str]) -> None:
    found = fit_selector(config(tabular, ["cn_stage", "age_years"]), DESIGN, LABEL, rows=rows("train"))
    assert set(found.get_feature_names_out()) == columns
    assert found.transform(DESIGN).shape == (20, len(columns))
    assert found.transform(DESIGN).dtype == np.float32


@pytest.mark.parametrize("tabular", ["joint", "clinical"])
def test_whatever_is_fitted_is_fitted_on_training_rows(tabular: str) -> None:
    with pytest.raises(LeakError):
        fit_selector(config(tabular, ["cn_stage", "age_years"]), DESIGN, LABEL, rows=rows("tuning"))


def test_images_alone_see_nobody() -> None:
    found = fit_selector(config("none", []), DESIGN.iloc[:, :0], LABEL, rows=rows("train"))
    assert found.fitted_patients_ == frozenset()
    assert found.to_dict()["columns"] == []
