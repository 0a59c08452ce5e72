"""What a fitted part reads of patients who do not have everything it was fitted with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import DataError
from usdlr.radiomics.design import with_columns

READ = [
    "bmode.intratumoral.original.glcm.Contrast",
    "elasto.intratumoral.original.firstorder.Mean",
    "elasto.peritumoral.original.firstorder.Mean",
    "elasto.peritumoral.original.firstorder.Range",
    "clinical.tumour_size_mm",
]


def table(*columns: str) -> pd.DataFrame:
    return pd.DataFrame({name: [float(place)] for place, name in enumerate(columns)})


def test_a_region_or_modality_that_nobody_has_is_null() -> None:
    without_ring = with_columns(table(*READ[:2], READ[4], "bmode.extra.x.y.Z"), READ, "the model")
    assert list(without_ring) == READ
    np.testing.assert_array_equal(without_ring.iloc[0], [0.0, 1.0, np.nan, np.nan, 2.0])
    without_map = with_columns(table(READ[0], READ[4]), READ, "the model")
    assert without_map.isna().iloc[0].tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("gone", [READ[0], READ[3], READ[4]])
def test_one_feature_less_than_its_neighbours_was_measured_otherwise(gone: str) -> None:
    with pytest.raises(DataError, match=rf"found no feature '{gone}' \(and 0 more\), expected the features the model"):
        with_columns(table(*(name for name in READ if name != gone)), READ, "the model")
