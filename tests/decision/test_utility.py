from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from usdlr.core.errors import ConfigError, LeakError
from usdlr.core.leak import Rows
from usdlr.decision.utility import Costs, fit_utility
from usdlr.decision.wording import utility_sentence

COSTS = Costs(missed_sln=19, needless_sln=1, missed_nsln=9, needless_nsln=1)


def rows(n: int, split: str = "tuning") -> Rows:
    return Rows.of([f"p{place}" for place in range(n)], [split] * n)


def test_exact_probabilities_are_cut_where_both_mistakes_cost_the_same() -> None:
    random = np.random.default_rng(0)
    p = random.random(200_000)
    y = (random.random(len(p)) < p).astype(float)
    found = fit_utility(
        p, y, p, np.where(y == 1, (random.random(len(p)) < p).astype(float), np.nan), rows=rows(len(p)), costs=COSTS
    )
    assert COSTS.break_even == (0.05, 0.1)
    assert found.t_sln == pytest.approx(0.05, abs=0.02)
    assert found.t_nsln == pytest.approx(0.1, abs=0.03)
    assert found.cost_sln < found.treat_all_sln


def test_no_other_threshold_costs_less() -> None:
    random = np.random.default_rng(1)
    y = (random.random(80) < 0.4).astype(float)
    p = np.round(expit(random.normal(2 * y - 1)), 1)
    found = fit_utility(p, y, p, np.full(80, np.nan), rows=rows(80), costs=COSTS)
    for t in np.linspace(0, 1, 201):
        cost = 19 * ((p < t) & (y == 1)).sum() + ((p >= t) & (y == 0)).sum()
        assert cost / 80 >= found.cost_sln - 1e-12
    own = 19 * ((p < found.t_sln) & (y == 1)).sum() + ((p >= found.t_sln) & (y == 0)).sum()
    assert own / 80 == pytest.approx(found.cost_sln)
    assert (found.t_nsln, found.n_nsln) == (0.0, 0)


@pytest.mark.parametrize(("y", "t"), [([1, 1, 1], 0.0), ([0, 0, 0], 1.0), ([np.nan] * 3, 0.0)])
def test_one_class_treats_all_or_nobody(y: list[float], t: float) -> None:
    assert fit_utility([0.2, 0.2, 0.9], y, [0.5] * 3, [np.nan] * 3, rows=rows(3), costs=COSTS).t_sln == t


def test_it_is_called_utility_and_promises_nothing() -> None:
    found = fit_utility([0.2, 0.8], [0, 1], [0.1, 0.2], [np.nan, 1], rows=rows(2), costs=COSTS)
    said = utility_sentence(found)
    assert said.startswith("Utility thresholds, without any promise")
    assert "19 times" in said
    assert "ertified" not in said
    assert found.to_dict()["kind"] == "utility"
    assert "p0" not in str(found.to_dict())


def test_other_rows_and_costs_are_refused() -> None:
    with pytest.raises(LeakError, match="utility thresholds"):
        fit_utility([0.2], [0], [0.1], [0], rows=rows(1, "calibration"), costs=COSTS)
    with pytest.raises(ConfigError, match="needless_sln"):
        Costs(1, 0, 1, 1)
