from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from usdlr.core.columns import BOOLEAN, FLOAT, INTEGER, STRING, Column
from usdlr.core.errors import DataError, TableError
from usdlr.core.files import read_json
from usdlr.core.provenance import Provenance
from usdlr.core.tables import CASES, DECISIONS, EXCLUSIONS, FEATURES, NOTES, PREDICTIONS, SPLITS, Table, provenance_path

FEATURE = "bmode.peritumoral.wavelet-HL.glcm.Contrast"

# The least that a row of each table may say.
MINIMAL: dict[str, tuple[Table, dict[str, Any]]] = {
    "cases": (
        CASES,
        {
            "centre_id": "north",
            "patient_id": "north-1",
            "side": "left",
            "lesion_id": "1",
            "image_id": "img1-0123456789ab",
            "site": "tumour",
            "spacing_source": "none",
            "bmode_path": "images/a.png",
        },
    ),
    "features": (FEATURES, {"image_id": "img1-0123456789ab", "status": "ok"}),
    "predictions": (
        PREDICTIONS,
        {
            "patient_id": "north-1",
            "side": "left",
            "stage": "sln",
            "fold": "0",
            "split": "test",
            "logit": -0.5,
            "logit_low": -1.5,
            "logit_high": 0.25,
            "probability": 0.38,
            "model_id": "0123456789ab",
        },
    ),
    "decisions": (
        DECISIONS,
        {
            "patient_id": "north-1",
            "side": "left",
            "risk_group": "DEFER",
            "stage_reached": "sln",
            "p_sln": 0.2,
            "t_sln": 0.1,
            "p_nsln": 0.3,
            "t_nsln": 0.2,
            "contract": "not_certifiable",
            "reason": "Not certifiable: deferred.",
        },
    ),
    "splits": (SPLITS, {"fold": "0", "patient_id": "north-1", "split": "train"}),
    "exclusions": (
        EXCLUSIONS,
        {
            "centre_id": "north",
            "source_id": "img1",
            "step": "ingest",
            "code": "mask_empty",
            "sentence": "found no pixel, expected some; draw it",
        },
    ),
}
EACH = pytest.mark.parametrize("name", MINIMAL)


def frame(name: str, /, rows: Any = 1, **changes: Any) -> pd.DataFrame:
    """Rows that differ in their first key column; ``changes`` hold for the last of them."""
    table, row = MINIMAL[name]
    records = [dict(row, **{table.key[-1]: row[table.key[-1]]}) for _ in range(rows)]
    distinct = "patient_id" if "patient_id" in table.key else table.key[-1 if name != "exclusions" else 1]
    for number, record in enumerate(records):
        record[distinct] = f"{record[distinct]}-{number}"
    records[-1].update(changes)
    return pd.DataFrame(records)


def columns_where(condition: Callable[[Column], object]) -> list[Any]:
    return [
        pytest.param(name, column, id=f"{name}.{column.name}")
        for name, (table, _) in MINIMAL.items()
        for column in table.columns
        if not column.pattern and condition(column)
    ]


def refused(name: str, table: pd.DataFrame) -> str:
    with pytest.raises(TableError) as caught:
        MINIMAL[name][0].conform(table)
    return str(caught.value)


@EACH
def test_a_minimal_row_passes_in_canonical_form(name: str) -> None:
    table, row = MINIMAL[name]
    out = table.conform(frame(name))
    plain = [column for column in table.columns if not column.pattern]
    assert list(out) == [column.name for column in plain]
    assert [str(dtype) for dtype in out.dtypes] == [column.dtype for column in plain]
    for column in plain:
        assert out[column.name].isna().all() == (column.name not in row)


@EACH
def test_conform_changes_no_value_and_not_its_argument(name: str) -> None:
    table, _ = MINIMAL[name]
    given_table = frame(name, rows=3).set_axis([7, 8, 9])
    before = given_table.copy(deep=True)
    out = table.conform(given_table)
    pd.testing.assert_frame_equal(given_table, before)
    assert list(out.index) == [0, 1, 2]
    for column in given_table:
        assert out[column].tolist() == before[column].tolist()
    pd.testing.assert_frame_equal(table.conform(out), out)


@EACH
def test_an_empty_table_conforms(name: str) -> None:
    table, _ = MINIMAL[name]
    pd.testing.assert_frame_equal(table.conform(table.empty()), table.empty())


@pytest.mark.parametrize(("name", "column"), columns_where(lambda column: not column.nullable))
def test_a_missing_required_column_is_named(name: str, column: Column) -> None:
    message = refused(name, frame(name).drop(columns=column.name))
    assert f"{name}: found no column '{column.name}', expected one: {column.meaning}" == message


@pytest.mark.parametrize(("name", "column"), columns_where(lambda column: not column.nullable))
def test_null_where_there_must_be_a_value(name: str, column: Column) -> None:
    message = refused(name, frame(name, rows=3, **{column.name: None}))
    assert message.startswith(f"{name} row 2: found {column.name} = ")
    assert "not null" in message
    assert column.meaning in message


@pytest.mark.parametrize(("name", "column"), columns_where(lambda column: column.choices))
def test_a_word_outside_the_vocabulary(name: str, column: Column) -> None:
    message = refused(name, frame(name, rows=3, **{column.name: "Rubbish"}))
    assert message.startswith(f"{name} row 2: found {column.name} = 'Rubbish', expected ")
    assert " | ".join(column.choices) in message


@pytest.mark.parametrize(("name", "column"), columns_where(lambda column: column.low is not None))
def test_a_number_below_its_range(name: str, column: Column) -> None:
    assert column.low is not None
    message = refused(name, frame(name, rows=3, **{column.name: column.low - 1}))
    shown = int(column.low - 1) if column.dtype == INTEGER else column.low - 1
    assert message.startswith(f"{name} row 2: found {column.name} = {shown}, expected ")
    assert f"of at least {column.low:g}" in message


@pytest.mark.parametrize(("name", "column"), columns_where(lambda column: column.high is not None))
def test_a_number_above_its_range(name: str, column: Column) -> None:
    assert column.high is not None
    message = refused(name, frame(name, rows=3, **{column.name: column.high + 1}))
    assert message.startswith(f"{name} row 2: found {column.name} = ")
    assert f"of at most {column.high:g}" in message


@pytest.mark.parametrize(("name", "column"), columns_where(lambda column: column.dtype in (FLOAT, INTEGER, BOOLEAN)))
def test_a_word_where_a_number_or_truth_value_belongs(name: str, column: Column) -> None:
    kinds = {FLOAT: "a number", INTEGER: "a whole number", BOOLEAN: "true or false"}
    message = refused(name, frame(name, rows=3, **{column.name: "about 12"}))
    assert message.startswith(f"{name} row 2: found {column.name} = 'about 12', expected {kinds[column.dtype]}")


def test_a_fraction_where_a_whole_number_belongs() -> None:
    message = refused("cases", frame("cases", rows=2, positive_nodes=2.5))
    assert "cases row 1: found positive_nodes = 2.5, expected a whole number of at least 0 in nodes" in message


@EACH
def test_an_unknown_column_is_named(name: str) -> None:
    assert refused(name, frame(name).assign(tumor_size=1.0)) == (
        f"{name}: found an unknown column 'tumor_size'; remove it or use a documented name"
    )


@EACH
def test_a_repeated_row_is_named(name: str) -> None:
    table, _ = MINIMAL[name]
    once = frame(name, rows=2)
    message = refused(name, pd.concat([once, once.iloc[[1]]]))
    assert message.startswith(f"{name} row 2: found ")
    assert "a second time, expected it once" in message
    assert all(f"{key} = {once[key].iloc[1]}" in message for key in table.key)


@EACH
def test_a_repeated_column_is_named(name: str) -> None:
    column = MINIMAL[name][0].columns[0].name
    once = frame(name)
    assert f"{name}: found the column {column!r} twice" in refused(name, pd.concat([once, once[[column]]], axis=1))


def test_bounds_themselves_are_allowed() -> None:
    for probability in (0.0, 1.0):
        assert PREDICTIONS.conform(frame("predictions", probability=probability))["probability"].item() == probability


def test_pattern_columns_are_checked_as_well() -> None:
    out = FEATURES.conform(frame("features", **{FEATURE: "0.25"}))
    assert out[FEATURE].tolist() == [0.25]
    assert list(out)[-1] == FEATURE
    message = refused("features", frame("features", rows=2, **{FEATURE: "high"}))
    assert message.startswith(f"features row 1: found {FEATURE} = 'high', expected a number")
    assert CASES.conform(frame("cases", proxy_malignant="TRUE"))["proxy_malignant"].tolist() == [True]
    assert "unknown column 'proxy_Malignant'" in refused("cases", frame("cases", proxy_Malignant=True))
    assert PREDICTIONS.conform(frame("predictions", **{"contribution.size": None}))["contribution.size"].isna().all()


@pytest.mark.parametrize("word", ["true", "True", " TRUE ", True, np.True_])
def test_words_for_true(word: object) -> None:
    assert CASES.conform(frame("cases", sln_positive=word))["sln_positive"].tolist() == [True]


@pytest.mark.parametrize("word", ["yes", "positive", "0", 2])
def test_no_other_word_is_read_as_a_truth_value(word: object) -> None:
    assert "expected true or false" in refused("cases", frame("cases", sln_positive=word))


def provenance() -> Provenance:
    return Provenance("usdlr ingest", {"workbook": "00" * 32}, {"centre": "north"}, 3)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_null_truth_values_stay_null(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cases{suffix}"
    states: list[Any] = [True, False, None]
    nodes: list[Any] = [3, 0, None]
    rows = frame("cases", rows=3).assign(
        sln_positive=states,
        nsln_positive=states[::-1],
        positive_nodes=nodes,
        tumour_size_mm=[0.1, float("nan"), 1e-9],
    )
    written = CASES.write(rows, path, provenance())
    back = CASES.read(path)
    pd.testing.assert_frame_equal(back, written)
    assert [None if value is pd.NA else value for value in back["sln_positive"]] == states
    assert [None if value is pd.NA else value for value in back["nsln_positive"]] == states[::-1]
    assert [None if value is pd.NA else value for value in back["positive_nodes"]] == nodes


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    logit=st.floats(allow_nan=False, allow_infinity=False),
    probability=st.floats(0, 1),
    patient=st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1),
)
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_every_number_and_name_survives_the_disk(
    tmp_path: Path, suffix: str, logit: float, probability: float, patient: str
) -> None:
    path = tmp_path / f"predictions{suffix}"
    PREDICTIONS.write(
        frame("predictions", logit=logit, probability=probability, patient_id=patient), path, provenance()
    )
    back = PREDICTIONS.read(path).iloc[0]
    assert (back["logit"], back["probability"], back["patient_id"]) == (logit, probability, patient)


@pytest.mark.parametrize("patient", ["NA", "null", "None", "nan", "007", "1e5", "true"])
def test_a_patient_may_be_called_like_a_null(tmp_path: Path, patient: str) -> None:
    path = tmp_path / "splits.csv"
    SPLITS.write(frame("splits", patient_id=patient), path, provenance())
    assert SPLITS.read(path)["patient_id"].tolist() == [patient]


@EACH
def test_the_provenance_lies_beside_the_table(tmp_path: Path, name: str) -> None:
    table, _ = MINIMAL[name]
    path = tmp_path / "out" / f"{name}.parquet"
    table.write(frame(name, rows=2), path, provenance())
    record = read_json(provenance_path(path))
    assert provenance_path(path) == tmp_path / "out" / f"{name}.provenance.json"
    assert (record["table"], record["rows"], record["command"], record["seed"]) == (name, 2, "usdlr ingest", 3)
    assert len(record["content_hash"]) == 64
    pd.testing.assert_frame_equal(table.read(path), table.conform(frame(name, rows=2)))


def test_both_formats_have_the_same_content(tmp_path: Path) -> None:
    hashes = set()
    for suffix in (".csv", ".parquet"):
        CASES.write(frame("cases", rows=2, age_years=61.3), tmp_path / f"cases{suffix}", provenance())
        hashes.add(read_json(tmp_path / "cases.provenance.json")["content_hash"])
    assert len(hashes) == 1


def test_a_table_that_was_edited_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cases.parquet"
    written = CASES.write(frame("cases", rows=2, sln_positive=None), path, provenance())
    written.assign(sln_positive=pd.Series([None, False], dtype="boolean")).to_parquet(path, index=False)
    with pytest.raises(DataError, match=r"was changed after it was written .*write it again"):
        CASES.read(path)


def test_rows_that_were_swapped_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    SPLITS.write(frame("splits", rows=2), path, provenance())
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([header, *lines[::-1]]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="was changed"):
        SPLITS.read(path)


def test_a_table_without_provenance_is_read_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    SPLITS.write(frame("splits"), path, provenance())
    provenance_path(path).write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="was changed"):
        SPLITS.read(path)
    provenance_path(path).write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="not valid JSON"):
        SPLITS.read(path)
    provenance_path(path).unlink()
    assert len(SPLITS.read(path)) == 1


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00garbage"])
def test_a_file_that_is_no_table(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"cases{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not a readable cases table"):
        CASES.read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no file .*expected a cases table"):
        CASES.read(tmp_path / "cases.parquet")


def test_a_table_that_breaks_its_schema_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(TableError):
        SPLITS.write(frame("splits", split="validation"), tmp_path / "splits.csv", provenance())
    assert list(tmp_path.iterdir()) == []


def test_the_definition_of_a_column_decides_not_its_position() -> None:
    bounded = Table("t", (replace(CASES.columns[0], name="x", dtype=FLOAT, low=1.0, high=2.0, unit="mm"),), ("x",))
    with pytest.raises(
        TableError, match=r"t row 0: found x = .*3.*, expected a number of at least 1 of at most 2 in mm"
    ):
        bounded.conform(pd.DataFrame({"x": [3.0]}))


def test_a_table_of_an_older_version_is_read(tmp_path: Path) -> None:
    """Columns that were added since are null; a value that was changed in it is found all the same."""
    now = NOTES
    newer = Table(now.name, (*now.columns, Column("since", STRING, "Added later.", nullable=True)), now.key)
    rows = pd.DataFrame([{"image_id": "i1", "code": "mask_absent", "sentence": "none"}])
    path = tmp_path / "notes.parquet"
    now.write(rows, path, Provenance("test"))
    assert newer.read(path)["since"].isna().all()
    pd.read_parquet(path).assign(sentence="another").to_parquet(path, index=False)
    with pytest.raises(DataError, match="was changed after it was written"):
        newer.read(path)


def test_a_column_that_was_taken_out_is_found(tmp_path: Path) -> None:
    newer = Table(NOTES.name, (*NOTES.columns, Column("since", STRING, "Added later.", nullable=True)), ("image_id",))
    rows = pd.DataFrame([{"image_id": "i1", "code": "mask_absent", "sentence": "none", "since": "x"}])
    path = tmp_path / "notes.parquet"
    newer.write(rows, path, Provenance("test"))
    pd.read_parquet(path).drop(columns="since").to_parquet(path, index=False)
    with pytest.raises(DataError, match="was changed after it was written"):
        newer.read(path)
