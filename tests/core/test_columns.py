from __future__ import annotations

import re

import pytest

from usdlr.core import columns, tables
from usdlr.core.columns import CASES, FEATURE_PATTERN, known_too_late, model_variables
from usdlr.core.modalities import MODALITIES

TABLES = (tables.CASES, tables.FEATURES, tables.PREDICTIONS, tables.DECISIONS, tables.SPLITS, tables.EXCLUSIONS)


def test_every_modality_has_its_path_column() -> None:
    by_name = {column.name: column for column in CASES}
    for name, modality in MODALITIES.items():
        assert modality.name == name
        assert modality.path_column == f"{name}_path"
        assert by_name[modality.path_column].nullable is not modality.required
        low, high = modality.value_range
        assert low < high


def test_b_mode_is_required_and_elastography_is_not() -> None:
    assert {name: modality.required for name, modality in MODALITIES.items()} == {"bmode": True, "elasto": False}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_is_documented_once(table: tables.Table) -> None:
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert set(table.key) <= set(names)
    for column in table.columns:
        assert column.meaning, column.name
        assert column.dtype in ("str", "float64", "Int64", "boolean")
        assert not (column.name.endswith("_mm") and column.unit != "mm"), column.name


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_schema_carries_unit_and_meaning(table: tables.Table) -> None:
    for column in table.columns:
        described = table.schema.columns[column.name]
        assert described.description == column.meaning
        assert described.metadata == {"unit": column.unit, "preoperative": column.preoperative}


def test_what_surgery_tells_is_no_input() -> None:
    # Known after surgery, or only after follow-up.
    after = {
        "grade_surgical",
        "lymphovascular_invasion",
        "sln_positive",
        "nsln_positive",
        "positive_nodes",
        "removed_nodes",
        "sln_positive_count",
        "sln_removed_count",
        "sln_reference",
        "sln_deposit",
        "axillary_surgery",
        "dfs_months",
        "dfs_event",
    }
    marked = {column.name for column in CASES if not column.preoperative and not column.pattern}
    assert marked == after
    assert not after & set(model_variables())
    for name in (*after, "n_positive", "burden_ge3", "proxy_malignant"):
        assert known_too_late(name) is not None
    assert known_too_late("age_years") is None


def test_no_endpoint_counts_as_negative_when_unknown() -> None:
    assert all(column.nullable for column in CASES if column.endpoint)


def test_variables_of_a_model_are_pre_operative_numbers_and_words_in_an_order() -> None:
    numbers = {"tumour_size_mm", "age_years", "days_us_to_surgery", "grade_core_biopsy"}
    assert set(model_variables()) == numbers | {"birads", "cn_stage"}


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("bmode.peritumoral.wavelet-HL.glcm.Contrast", True),
        ("elasto.intratumoral.original.firstorder.Mean", True),
        ("bmode.combined.log-sigma-3-0-mm.glszm.ZoneEntropy", True),
        ("bmode.peritumoral.glcm.Contrast", False),
        ("bmode.peritumoral.original.glcm.Contrast.extra", False),
        ("Bmode.peritumoral.original.glcm.Contrast", False),
        ("bmode peritumoral.original.glcm.Contrast", False),
    ],
)
def test_feature_names_have_five_parts(name: str, valid: bool) -> None:
    assert bool(re.match(FEATURE_PATTERN, name)) is valid
    assert (tables.FEATURES.expected(name) is not None) is valid


def test_words_are_the_values_of_an_enumeration() -> None:
    from usdlr.core.types import Side

    assert columns.words(Side) == ("left", "right", "unknown")
