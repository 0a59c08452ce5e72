"""What a least score does, counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import DataError
from usdlr.evaluation.outline_scores import by_least_score

IMAGES = pd.DataFrame(
    {
        "patient_id": list("abcdefgh"),
        "image_id": list("abcdefgh"),
        "kind": ["lesion"] * 4 + ["background"] * 3 + ["lesion_free"],
        "lesions": [1, 1, 2, 1, 0, 0, 0, 0],
        "score": [0.9, 0.7, 0.4, np.nan, 0.7, 0.2, np.nan, 0.5],
        "dice": [0.8, 0.6, 0.4, 0.0, np.nan, np.nan, np.nan, np.nan],
    }
)


def test_counted_by_hand() -> None:
    rows = by_least_score(IMAGES, (0.0, 0.5, 0.7, 0.8), replicates=100)
    assert [row["kept"]["value"] for row in rows] == [0.75, 0.5, 0.5, 0.25]
    assert [row["dice"]["value"] for row in rows] == pytest.approx([0.45, 0.35, 0.35, 0.2])
    assert [row["without_a_lesion"]["background"]["value"] for row in rows] == pytest.approx([2 / 3, 1 / 3, 1 / 3, 0])
    assert [row["without_a_lesion"]["lesion_free"]["value"] for row in rows] == [1, 1, 0, 0]
    assert rows[0]["kept"]["n"] == 4


def test_without_images_of_a_kind_nothing_is_invented() -> None:
    (row,) = by_least_score(IMAGES[IMAGES["lesions"] > 0], (0.5,), replicates=100)
    assert row["without_a_lesion"] == {}


def test_a_score_is_a_share() -> None:
    with pytest.raises(DataError, match="expected shares from 0 to 1"):
        by_least_score(IMAGES, (0.5, 70))
