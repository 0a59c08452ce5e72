from __future__ import annotations

import pytest

from usdlr.core.errors import LeakError
from usdlr.core.leak import Rows, require_disjoint, require_split
from usdlr.core.types import Split


def test_rows_of_the_allowed_splits_pass() -> None:
    rows = Rows.of(["a", "a", "b"], ["train", "train", "tuning"])
    require_split(rows, [Split.TRAIN, Split.TUNING], "selector")
    assert len(rows) == 3
    assert rows.patients == {"a", "b"}


@pytest.mark.parametrize("planted", [Split.TUNING, Split.CALIBRATION, Split.TEST, Split.EXTERNAL])
def test_one_planted_row_of_another_split_is_refused(planted: Split) -> None:
    rows = Rows.of([f"p{i}" for i in range(50)], [Split.TRAIN] * 49 + [planted])
    with pytest.raises(LeakError, match=rf"found 1 {planted} rows in the fit of the scaler, expected only train"):
        require_split(rows, [Split.TRAIN], "scaler")


def test_every_wrong_split_is_counted() -> None:
    rows = Rows.of("abcd", ["test", "train", "test", "calibration"])
    with pytest.raises(LeakError, match="found 1 calibration, 2 test rows"):
        require_split(rows, [Split.TRAIN], "threshold")


def test_a_patient_in_two_allowed_splits_is_refused() -> None:
    rows = Rows.of(["anna", "berta", "anna"], ["train", "train", "tuning"])
    with pytest.raises(LeakError, match="a patient in the splits train and tuning") as caught:
        require_split(rows, [Split.TRAIN, Split.TUNING], "calibrator")
    assert "anna" not in str(caught.value)  # messages reach logs, patients must not


def test_an_unknown_word_is_no_allowed_split() -> None:
    with pytest.raises(LeakError, match="1 Train rows"):
        require_split(Rows.of(["a"], ["Train"]), [Split.TRAIN], "scaler")


def test_columns_of_different_length_are_a_defect() -> None:
    with pytest.raises(ValueError, match="2 patient ids but 1 splits"):
        Rows.of(["a", "b"], ["train"])


def test_judging_on_fitted_patients_is_refused() -> None:
    require_disjoint({"a", "b"}, {"c"}, "model")
    with pytest.raises(LeakError, match="found 1 of 2 patients both in the fit of the model"):
        require_disjoint({"a", "b"}, ["b", "c", "c"], "model")
