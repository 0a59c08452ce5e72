"""The bin-sensitivity report against images whose levels are known, and against PyRadiomics called directly."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK
from radiomics.featureextractor import RadiomicsFeatureExtractor
from scipy.ndimage import gaussian_filter

from usdlr.core.errors import DataError
from usdlr.core.types import MaskSource
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray, UltrasoundImage
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.store import CaseImages
from usdlr.radiomics.binning_advice import advice, steady_count
from usdlr.radiomics.binning_report import BinningReport, binning_report
from usdlr.radiomics.engines import PYRADIOMICS
from usdlr.radiomics.settings import RadiomicsSettings
from usdlr.report.figures_binning import binning_figure

SPACING = Spacing(0.2, 0.2)
SETTINGS = RadiomicsSettings(pixel_mm=None, margin_mm=1.0, classes=("firstorder", "glcm"))


def square() -> BoolArray:
    mask = np.zeros((48, 48), dtype=bool)
    mask[16:32, 16:32] = True  # 256 pixels
    return mask


def case(pixels: FloatArray, **others: Any) -> CaseImages:
    images = {"bmode": pixels, **others}
    return CaseImages(
        {name: UltrasoundImage(array.astype(np.float32), SPACING, name) for name, array in images.items()},
        LesionMask(square(), SPACING, MaskSource.READER),
        None,
    )


def tissue(seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=(48, 48)), 0.4 + 0.25 * seed)
    return np.asarray(np.rint(120 + 25 * field / field.std()), dtype=np.float32)


@pytest.fixture(scope="module")
def report() -> BinningReport:
    return binning_report([case(tissue(i)) for i in range(7)], SETTINGS, engine=PYRADIOMICS)


def test_levels_of_a_ramp_are_counted() -> None:
    """Each of 256 grey levels once in the lesion: every level of every setting occurs."""
    ramp = np.zeros((48, 48), np.float32)
    ramp[square()] = np.arange(256)
    found = binning_report([case(ramp)] * 5, SETTINGS, engine=PYRADIOMICS).levels
    lesion = found[found["roi"] == "intratumoral"].set_index(["mode", "setting"])["levels_median"]
    assert [lesion["count", float(n)] for n in (8, 16, 32, 64, 128)] == [8, 16, 32, 64, 128]
    assert [lesion["width", float(w)] for w in (2, 4, 8, 16, 32)] == [128, 64, 32, 16, 8]


def test_gain_and_offset_leave_a_fixed_count_alone_and_move_a_fixed_width(report: BinningReport) -> None:
    moved = report.disturbances
    assert set(moved["disturbance"]) == {"x0.8", "x1.25", "+25.5"}
    assert set(moved["class"]) == {"firstorder", "glcm"}
    assert set(moved.loc[moved["class"] == "firstorder", "feature"]) == {"Entropy", "Uniformity"}
    assert moved.loc[moved["mode"] == "count", "relative_change"].max() < 0.01
    width = moved[(moved["mode"] == "width") & (moved["feature"] == "Contrast") & (moved["disturbance"] != "+25.5")]
    # Contrast is a mean square of level differences: levels of fixed width stretch with the gain.
    for _, row in width.iterrows():
        assert row["relative_change"] == pytest.approx(
            abs({"x0.8": 0.8, "x1.25": 1.25}[row["disturbance"]] ** 2 - 1), abs=0.1
        )


RANKED = ("Contrast", "MaximumProbability", "Imc1")


def direct(pixels: FloatArray, count: int) -> dict[str, float]:
    """PyRadiomics' co-occurrence features of the lesion, without usdlr."""
    logging.getLogger("radiomics").setLevel(logging.ERROR)
    extractor = RadiomicsFeatureExtractor(binCount=count, force2D=False)
    extractor.disableAllFeatures()
    extractor.enableFeaturesByName(glcm=list(RANKED))
    image, mask = (SimpleITK.GetImageFromArray(array) for array in (pixels.astype(float), square().astype(np.uint8)))
    found = extractor.execute(image, mask)
    return {name: float(found[f"original_glcm_{name}"]) for name in RANKED}


def test_rank_correlation_of_neighbouring_counts(report: BinningReport) -> None:
    few, more = (pd.DataFrame([direct(tissue(i), count) for i in range(7)]).rank() for count in (8, 16))
    rows = report.neighbours
    rows = rows[(rows["roi"] == "intratumoral") & (rows["mode"] == "count") & (rows["class"] == "glcm")]
    found = rows[rows["setting"] == 8].set_index("feature")["rank_correlation"]
    expected = {name: float(np.corrcoef(few[name], more[name])[0, 1]) for name in RANKED}
    assert min(expected.values()) < 0.99  # the choice of levels does change the order of cases
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9)
    pairs = zip(rows["setting"], rows["against"], strict=True)
    assert list(dict.fromkeys(pairs)) == [(8, 16), (16, 32), (32, 64), (64, 128)]


def test_too_few_cases_are_refused() -> None:
    with pytest.raises(DataError, match="found 4 cases that can be measured out of 4, expected at least 5"):
        binning_report([case(tissue(i)) for i in range(4)], SETTINGS, engine=PYRADIOMICS)


def test_a_case_that_cannot_be_measured_is_left_out(report: BinningReport) -> None:
    blind = case(np.full((48, 48), np.nan, np.float32))
    found = binning_report([blind, *(case(tissue(i)) for i in range(7))], SETTINGS, engine=PYRADIOMICS)
    assert found.cases == report.cases == 7
    pd.testing.assert_frame_equal(found.neighbours, report.neighbours)


def test_every_modality_of_the_sample_is_in_the_report_and_gets_its_own_advice() -> None:
    few = RadiomicsSettings(pixel_mm=None, margin_mm=1.0, classes=("firstorder",), rois=("intratumoral",))
    found = binning_report(
        [case(tissue(i), elasto=tissue(i + 7) / np.float32(3)) for i in range(5)], few, engine=PYRADIOMICS
    )
    assert list(dict.fromkeys(found.levels["modality"])) == ["bmode", "elasto"]
    text = advice(found)
    assert "B-mode: recommended radiomics.bin_count = 32, bin_width = null." in text
    assert "Elastography: a fixed width, e.g. radiomics.bin_width = 5 (kPa), may be right" in text


def test_the_advice_gives_the_numbers_of_its_tables(report: BinningReport) -> None:
    text = advice(report)
    assert text.startswith("Grey levels of radiomics: what 7 cases say\n")
    assert "Elastography" not in text
    counts = report.neighbours[(report.neighbours["mode"] == "count") & (report.neighbours["setting"] == 32)]
    assert f"the median rank correlation is {counts['rank_correlation'].median():.3f}" in text
    steady = steady_count(report, "bmode")
    medians = report.neighbours[report.neighbours["mode"] == "count"].groupby("setting")["rank_correlation"].median()
    assert steady == next((int(n) for n, value in medians.items() if value >= 0.95), None)  # type: ignore[call-overload]  # a float


def test_the_figure_is_the_same_each_time_and_names_its_panels(report: BinningReport) -> None:
    tables = (report.levels, report.neighbours, report.disturbances)
    one, other = (binning_figure(*tables, report.cases, {"bmode": "grey levels"}) for _ in range(2))
    assert one.svg == other.svg
    for words in ("B-mode: levels in use", "B-mode: count doubled", "B-mode: gain, offset", "width 8 grey levels"):
        assert words in one.svg
    assert one.caption.startswith("7 cases")
