"""Tumour size alone beside a bundle's answer."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from usdlr.baselines.size_alone import SizeCurve
from usdlr.core.tables import CASES
from usdlr.core.types import Stage
from usdlr.inference.bundle import load_bundle
from usdlr.inference.case_notes import comparators
from usdlr.inference.size_alone import bundle_size_curves, size_alone

CURVES = {Stage.SLN: SizeCurve(-4.0, 1.0, 210, 80, 5.0, 60.0), Stage.NSLN: SizeCurve(-5.0, 1.0, 70, 25, 9.0, 55.0)}


def test_a_bundle_carries_the_curves_of_its_training_axillae(run_folder: Path) -> None:
    bundle = load_bundle(run_folder / "bundle")
    curves = bundle_size_curves(bundle)
    cases = CASES.read(run_folder / "cases.parquet")
    splits = pd.read_csv(run_folder / "splits.csv")
    taught = splits[(splits["fold"] == "bundle") & (splits["split"] == "train")]["patient_id"]
    rows = cases[cases["patient_id"].isin(taught) & cases["sln_positive"].notna() & cases["tumour_size_mm"].notna()]
    axillae = rows.groupby(["patient_id", "side"])
    assert curves[Stage.SLN].axillae == len(axillae)
    assert curves[Stage.SLN].positives == int(axillae["sln_positive"].first().sum())
    assert curves[Stage.SLN].high_mm == pytest.approx(float(rows["tumour_size_mm"].max()))
    ((title, words), *_) = comparators(bundle, rows.iloc[0].to_dict())
    assert title == "Tumour size alone"
    assert re.match(rf"{rows.iloc[0]['tumour_size_mm']:.1f} mm: P\(SLN positive\) \d+\.\d %", words)


def test_words() -> None:
    # 1 / (1 + exp(4 - ln 21)) = 0.2778, 1 / (1 + exp(5 - ln 21)) = 0.1240
    (told,) = size_alone(CURVES, {"tumour_size_mm": 20.0})
    assert told[1] == (
        "20.0 mm: P(SLN positive) 27.8 % (logistic curve of 210 training axillae), "
        "P(NSLN positive | SLN positive) 12.4 % (logistic curve of 70 training axillae)"
    )
    (told,) = size_alone(CURVES, {"tumour_size_mm": 7.0})
    # Inside the sentinel curve's 5 to 60 mm, below the other's 9 mm.
    assert "(logistic curve of 210 training axillae), " in told[1]
    assert told[1].endswith("(logistic curve of 70 training axillae of other sizes)")


@pytest.mark.parametrize("size", [float("nan"), None, pd.NA, 0.0, "?"])
def test_an_unknown_size_says_nothing(size: object) -> None:
    assert size_alone(CURVES, {"tumour_size_mm": size}) == []
    assert size_alone({}, {"tumour_size_mm": 12.0}) == []
