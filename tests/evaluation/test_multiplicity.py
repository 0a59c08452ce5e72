from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

from usdlr.core.errors import InputError
from usdlr.evaluation.multiplicity import benjamini_hochberg, holm


@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_adjusted_values_are_those_of_statsmodels_and_scipy(count: int) -> None:
    random = np.random.default_rng(count)
    p = np.round(random.random(count) ** 2, 2)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))


def test_undefined_tests_do_not_count() -> None:
    p = [0.01, None, 0.04, float("nan"), 0.03]
    assert np.isnan(holm(p)[[1, 3]]).all()  # type: ignore[arg-type]  # None stands for an undefined test
    assert holm(p)[[0, 2, 4]] == pytest.approx([0.03, 0.06, 0.06])  # type: ignore[arg-type]  # as above
    assert benjamini_hochberg([np.nan, 0.2]).tolist()[1] == 0.2
    assert len(holm([])) == 0
    assert len(benjamini_hochberg([])) == 0


@pytest.mark.parametrize("p", [[-0.1], [1.1], [[0.1]]])
def test_refusals(p: list[float]) -> None:
    for adjust in (holm, benjamini_hochberg):
        with pytest.raises(InputError, match="p-values"):
            adjust(p)
