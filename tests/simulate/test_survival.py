"""Disease-free survival against the stated rate, a Cox model of another library, and the rules of censoring."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight

from usdlr.core.errors import ConfigError
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.cohort import Streams, draw_cohort
from usdlr.simulate.survival import SurvivalModel


def observed(model: SurvivalModel, patients: int = 60_000, hazard: float = 0.0) -> pd.DataFrame:
    return model.observe(np.full(patients, hazard), Streams(8, "north", patients).uniform)


def test_the_reference_patient_has_the_stated_five_year_rate() -> None:
    table = observed(SurvivalModel())
    curve = SurvfuncRight(table["dfs_months"], table["dfs_event"].astype(int))
    at_five_years = float(curve.surv_prob[np.searchsorted(curve.surv_times, 60.0) - 1])
    assert at_five_years == pytest.approx(0.93, abs=0.005)
    assert (table["dfs_true_months"] > 60).mean() == pytest.approx(0.93, abs=0.004)


def test_hazards_are_proportional_with_the_stated_ratios() -> None:
    table = draw_cohort(CENTRES["north"], 40_000, 6)
    design = pd.DataFrame(
        {
            "sln": table["sln_true"].astype(float),
            "nsln": table["nsln_true"].astype(float),
            "size": np.log(table["size_mm"] / 18.0) / 0.42,
            "aggressiveness": table["aggressiveness"],
        }
    )
    fit = PHReg(table["dfs_months"], design, status=table["dfs_event"].astype(int)).fit()
    stated = np.array([0.30, 0.35, 0.20, 0.20])
    assert np.abs((fit.params - stated) / fit.bse).max() < 3


def test_ten_years_after_a_positive_sentinel_node_73_percent_are_free_of_disease() -> None:
    tables = [draw_cohort(CENTRES[name], 40_000, 6) for name in ("north", "south")]
    positive = pd.concat(tables).query("sln_true")
    assert (positive["dfs_true_months"] > 120).mean() == pytest.approx(0.73, abs=0.01)


def test_follow_up_ends_with_the_study_or_before() -> None:
    table = observed(SurvivalModel(follow_up_months=(30.0, 40.0), lost_per_year=0.0))
    assert table["dfs_months"].max() <= 40.0
    assert table.loc[~table["dfs_event"].astype(bool), "dfs_months"].min() >= 30.0
    assert table["dfs_months"].min() > 0
    held = table["dfs_event"].astype(bool)
    np.testing.assert_allclose(table["dfs_months"][held], table["dfs_true_months"][held], atol=0.11)


def test_a_tenth_is_lost_every_year() -> None:
    never_ill = SurvivalModel(five_year_rate=1 - 1e-12, follow_up_months=(120.0, 120.0), lost_per_year=0.1)
    table = observed(never_ill)
    assert not table["dfs_event"].any()
    for year in (1, 3, 6):
        assert (table["dfs_months"] > 12 * year).mean() == pytest.approx(0.9**year, abs=0.006)


@pytest.mark.parametrize(
    "wrong",
    [
        {"five_year_rate": 1.0},
        {"shape": 0.0},
        {"lost_per_year": 1.0},
        {"follow_up_months": (50.0, 40.0)},
        {"log_hazard_sln": float("nan")},
    ],
)
def test_impossible_models_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"survival model|log_hazard_sln = nan"):
        SurvivalModel(**wrong)  # type: ignore[arg-type]  # wrong on purpose
