from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import InputError
from usdlr.decision import arrays


def test_unknown_stays_unknown_in_every_spelling() -> None:
    spelled = pd.Series([True, False, None], dtype="boolean")
    np.testing.assert_array_equal(arrays.labels(spelled, "sln"), [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(arrays.labels(pd.Series([1, None], dtype="Int64"), "sln"), [1.0, np.nan])


@pytest.mark.parametrize("wrong", [[0.5], [2], [-1], ["yes"], [[0, 1]]])
def test_labels_refuse_what_is_not_a_status(wrong: list[object]) -> None:
    with pytest.raises(InputError, match="found"):
        arrays.labels(wrong, "sln")  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize(
    ("wrong", "probability"), [([np.nan], False), ([np.inf], False), ([1.2], True), ([-0.1], True)]
)
def test_scores_name_row_and_value(wrong: list[float], probability: bool) -> None:
    with pytest.raises(InputError, match=r"found p_sln = .* in row 1"):
        arrays.scores([0.5, *wrong], "p_sln", probability=probability)


def test_arrays_must_be_aligned() -> None:
    with pytest.raises(InputError, match="found 2 values of p for 3 rows"):
        arrays.same_length(3, p=np.zeros(2))
