"""What is known of a contour by software stands beside such a contour alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from usdlr.core.errors import TableError
from usdlr.core.provenance import Provenance
from usdlr.core.tables import CASES
from usdlr.core.types import MaskSource

ROW = {
    "centre_id": "north",
    "patient_id": "north-1",
    "side": "left",
    "lesion_id": "1",
    "site": "tumour",
    "spacing_source": "none",
    "bmode_path": "images/a.png",
}


def cases(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([{**ROW, "image_id": f"i{number}", **row} for number, row in enumerate(rows)])


@pytest.mark.parametrize(
    ("name", "value"), [("mask_confidence", 0.0), ("mask_error_mm", 0.0), ("segmenter_id", "0123456789ab")]
)
@pytest.mark.parametrize("source", [MaskSource.READER, None])
def test_a_contour_that_software_did_not_draw_has_none(name: str, value: object, source: MaskSource | None) -> None:
    whose = None if source is None else str(source)
    drawn = {"mask_source": "automatic", name: value}
    with pytest.raises(TableError) as told:
        CASES.conform(cases(drawn, {"mask_source": whose, name: value}))
    assert str(told.value) == (
        f"cases row 1: found {name} = {value} beside mask_source = {whose or 'null'}, expected null: only a contour by "
        "software has one; empty it, or state mask_source = automatic"
    )
    assert CASES.conform(cases(drawn, {"mask_source": whose}))[name].isna().tolist() == [False, True]


def test_a_contour_by_software_need_not_have_them() -> None:
    found = CASES.conform(cases({"mask_source": "automatic"}, {"mask_source": "reader"}, {}))
    assert found[["mask_confidence", "mask_error_mm", "segmenter_id"]].isna().all(axis=None)


def test_such_a_table_is_neither_written_nor_read(tmp_path: Path) -> None:
    wrong = cases({"mask_source": "reader", "mask_confidence": 0.9})
    with pytest.raises(TableError, match="only a contour by software has one"):
        CASES.write(wrong, tmp_path / "cases.parquet", Provenance("test"))
    assert list(tmp_path.iterdir()) == []
    wrong.to_parquet(tmp_path / "cases.parquet")
    with pytest.raises(TableError, match="only a contour by software has one"):
        CASES.read(tmp_path / "cases.parquet")
