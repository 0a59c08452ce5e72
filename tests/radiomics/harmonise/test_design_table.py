"""The design table: features harmonised by the cases' centre, clinical variables untouched, the selector behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.radiomics.combat_data import Centres, centres, fitted, transformed
from usdlr.core.errors import DataError, LeakError
from usdlr.core.leak import Rows
from usdlr.radiomics.design import design_table
from usdlr.radiomics.harmonise.design_table import fit_design, harmonise_design, harmonised_columns
from usdlr.radiomics.harmonise.transformer import ComBat
from usdlr.radiomics.selection.selector import FeatureSelector

COLUMNS = [
    f"{modality}.{roi}.original.firstorder.{name}"
    for modality in ("bmode", "elasto")
    for roi in ("intratumoral", "peritumoral")
    for name in ("Mean", "Energy", "Entropy")
]


def tables(seed: int = 0) -> tuple[Centres, pd.DataFrame, pd.DataFrame]:
    """The numbers, the design table, and its cases in another order."""
    data = centres(features=len(COLUMNS), seed=seed)
    ids = [f"image-{i}" for i in range(len(data.X))]
    features = pd.DataFrame(data.X, columns=COLUMNS).assign(image_id=ids, status="ok")
    cases = pd.DataFrame(
        {
            "image_id": ids,
            "patient_id": data.rows.patient_id,
            "centre_id": data.centre,
            "age_years": data.covariates["age_years"],
            "tumour_size_mm": np.linspace(8, 40, len(ids)),
        }
    )
    return data, design_table(features, cases, ["tumour_size_mm"]), cases.sample(frac=1, random_state=1)


def test_features_are_harmonised_by_centre_id_and_clinical_variables_are_not() -> None:
    data, design, cases = tables()
    assert harmonised_columns([*design.columns, "image_id", "present.elasto", "ct.a.b.c.d"]) == COLUMNS
    combat = fit_design(ComBat(continuous=("age_years",)), design, cases, rows=data.rows)
    found = harmonise_design(combat, design, cases)
    assert list(found.columns) == list(design.columns)
    assert list(found.index) == list(design.index)
    np.testing.assert_array_equal(found["clinical.tumour_size_mm"], design["clinical.tumour_size_mm"])
    expected = transformed(fitted(data, continuous=("age_years",)), data)
    np.testing.assert_array_equal(found[COLUMNS].to_numpy(), expected)
    np.testing.assert_array_equal(design[COLUMNS].to_numpy(), data.X)  # the input stays
    some = design.iloc[[50, 3, 20]]
    np.testing.assert_array_equal(harmonise_design(combat, some, cases), found.iloc[[50, 3, 20]])


def test_an_optional_modality_may_be_absent() -> None:
    data, design, cases = tables()
    combat = fit_design(ComBat(), design, cases, rows=data.rows)
    bare = design[[name for name in design.columns if not name.startswith("elasto")]]
    found = harmonise_design(combat, bare, cases)
    assert list(found.columns) == list(bare.columns)
    pd.testing.assert_frame_equal(found, harmonise_design(combat, design, cases)[list(bare.columns)])
    with pytest.raises(DataError, match=r"found no feature 'bmode.intratumoral.original.firstorder.Mean'"):
        harmonise_design(combat, design.drop(columns=COLUMNS[0]), cases)
    with pytest.raises(DataError, match=r"found no feature 'elasto.intratumoral.original.firstorder.Mean'"):
        harmonise_design(combat, design.drop(columns=COLUMNS[6]), cases)


def test_rows_whose_elastography_is_missing_keep_it_missing() -> None:
    data, design, cases = tables()
    design.iloc[::3, 6:12] = np.nan
    combat = fit_design(ComBat(), design, cases, rows=data.rows)
    found = harmonise_design(combat, design, cases)
    np.testing.assert_array_equal(found.isna(), design.isna())
    assert not combat.passed_through_


def test_what_does_not_fit_together_is_refused() -> None:
    data, design, cases = tables()
    combat = fit_design(ComBat(), design, cases, rows=data.rows)
    with pytest.raises(DataError, match=r"found 1 features that harmonisation was not fitted with, first bmode.c"):
        harmonise_design(combat, design.assign(**{"bmode.combined.original.glcm.Contrast": 1.0}), cases)
    with pytest.raises(DataError, match="found 1 rows of the design table without a case"):
        harmonise_design(combat, design, cases[cases["image_id"] != "image-7"])
    with pytest.raises(DataError, match="found no column 'centre_id'"):
        harmonise_design(combat, design, cases.drop(columns="centre_id"))
    with pytest.raises(DataError, match="found other patients in rows than in the cases"):
        fit_design(ComBat(), design, cases, rows=Rows.of(data.rows.patient_id[::-1], data.rows.split))
    splits = ["train"] * (len(design) - 1) + ["test"]
    with pytest.raises(LeakError, match="found 1 test rows in the fit of the harmonisation"):
        fit_design(ComBat(), design, cases, rows=Rows.of(data.rows.patient_id, splits))


def test_the_selector_behind_it_no_longer_reads_the_scanner() -> None:
    """Positive patients are commoner at C, whose scanner is brighter: brightness looks like them until harmonised."""
    rng = np.random.default_rng(5)
    count = 600
    batch = np.repeat([0, 1], count // 2)
    y = (rng.random(count) < np.where(batch == 1, 0.7, 0.3)).astype(float)
    X = rng.normal(size=(count, len(COLUMNS))) + 3.0 * batch[:, None] * (np.arange(len(COLUMNS)) % 2)
    X[:, 4] += 0.5 * y  # the only one that knows the patient
    ids = [f"image-{i}" for i in range(count)]
    design = pd.DataFrame(X, columns=COLUMNS, index=ids)
    cases = pd.DataFrame({"image_id": ids, "patient_id": ids, "centre_id": ["AC"[b] for b in batch]})
    rows = Rows.of(ids, ["train"] * count)

    def best(table: pd.DataFrame) -> Any:
        return FeatureSelector(max_features=1).fit(table, y, rows=rows).columns_

    assert best(design) != [COLUMNS[4]]
    combat = fit_design(ComBat(), design, cases, rows=rows)
    assert best(harmonise_design(combat, design, cases)) == [COLUMNS[4]]
