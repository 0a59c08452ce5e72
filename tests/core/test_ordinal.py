"""Words in an order become ranks in one place."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from usdlr.core.columns import CASES
from usdlr.core.errors import DataError
from usdlr.core.ordinal import RANKS, UNRANKED, ranks


def test_clinical_stage_rises_from_cn0_to_cn3_and_cnx_is_unknown() -> None:
    column = pd.Series(["cN3", "cN0", None, "cNX", "cN1", "cN2"], dtype="str")
    np.testing.assert_array_equal(ranks("cn_stage", column), [3, 0, np.nan, np.nan, 1, 2])


@pytest.mark.parametrize("name", RANKS)
def test_every_word_of_the_column_is_ranked_or_unranked(name: str) -> None:
    (column,) = (column for column in CASES if column.name == name)
    assert set(column.choices) == {*RANKS[name], *UNRANKED[name]}
    assert not set(RANKS[name]) & set(UNRANKED[name])
    # The table lists its words in their order.
    values = [RANKS[name][word] for word in column.choices if word in RANKS[name]]
    assert sorted(set(values)) == list(range(len(set(values))))


@pytest.mark.parametrize("word", ["cN4", "N0", "cn0", 0, ""])
def test_another_word_is_refused_with_its_row(word: object) -> None:
    with pytest.raises(
        DataError, match=r"found cn_stage = .* in row 1, expected one of cN0, cN1, cN2, cN3, cNX or null"
    ):
        ranks("cn_stage", ["cN0", word])
