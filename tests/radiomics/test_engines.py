"""The engine against PyRadiomics called directly, and against shapes and images with known answers."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
import SimpleITK
from radiomics.featureextractor import RadiomicsFeatureExtractor

from usdlr.core.columns import FEATURE_PATTERN
from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import ExclusionCode, MaskSource
from usdlr.core.units import Spacing
from usdlr.imaging.image import UltrasoundImage
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.store import CaseImages
from usdlr.radiomics.engines import NATIVE, PYRADIOMICS, Engine, build_engine
from usdlr.radiomics.extract import measure_images
from usdlr.radiomics.settings import CLASSES, IMAGE_TYPES, RadiomicsSettings

# Rows and columns differ, so that a swap shows.
SPACING = Spacing(row_mm=0.05, col_mm=0.2)


class OneRoi:
    """An engine, asked about a single ROI."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def measure(
        self, pixels: npt.NDArray[Any], roi: npt.NDArray[np.bool_], spacing: Spacing, *, shape: bool
    ) -> dict[str, float]:
        return self.engine.measure(pixels, {"roi": roi}, spacing, shape=["roi"] if shape else [])["roi"]


Build = Callable[..., OneRoi]


@pytest.fixture(params=[NATIVE, PYRADIOMICS])
def engine(request: pytest.FixtureRequest) -> Build:
    """Both engines, built from settings."""
    return lambda **settings: OneRoi(build_engine(request.param, RadiomicsSettings(**settings)))


def millimetres(shape: tuple[int, int], spacing: Spacing) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Distance of every pixel's centre from the image's centre, along rows and along columns."""
    rows = (np.arange(shape[0]) + 0.5 - shape[0] / 2) * spacing.row_mm
    cols = (np.arange(shape[1]) + 0.5 - shape[1] / 2) * spacing.col_mm
    return rows[:, None] + 0 * cols[None], cols[None] + 0 * rows[:, None]


def noise(shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


@pytest.fixture
def breast_case(shared_data: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """A real B-mode image and its tumour mask."""
    folder = shared_data / "breast_lesions_usg" / "BrEaST-Lesions_USG-images_and_masks"
    image = cv2.imread(str(folder / "case002.png"), cv2.IMREAD_GRAYSCALE)
    mask = cv2.imread(str(folder / "case002_tumor.png"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    assert mask is not None
    return image.astype(np.float32), np.asarray(mask > 0)


def direct(pixels: npt.NDArray[Any], roi: npt.NDArray[np.bool_], spacing: Spacing, **types: Any) -> dict[str, float]:
    """PyRadiomics without usdlr."""
    extractor = RadiomicsFeatureExtractor(binCount=32, force2D=False)
    extractor.disableAllImageTypes()
    for name, options in types.items():
        extractor.enableImageTypeByName(name, customArgs=options)
    extractor.disableAllFeatures()
    for name in ("shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"):
        extractor.enableFeatureClassByName(name)
    image, mask = SimpleITK.GetImageFromArray(pixels.astype(float)), SimpleITK.GetImageFromArray(roi.astype(np.uint8))
    one: Any
    for one in (image, mask):
        one.SetSpacing([spacing.col_mm, spacing.row_mm])
    found = extractor.execute(image, mask)
    return {name: float(value) for name, value in found.items() if not name.startswith("diagnostics")}


def test_engine_equals_pyradiomics_on_a_real_image(breast_case: tuple[Any, Any], engine: Build) -> None:
    pixels, roi = breast_case
    spacing = Spacing(0.08, 0.11)
    sigma = [0.5, 1.0]
    truth = direct(pixels, roi, spacing, Original={}, Wavelet={}, LoG={"sigma": sigma})
    measured = engine(image_types=["Original", "Wavelet", "LoG"], log_sigma_mm=sigma).measure(
        pixels, roi, spacing, shape=True
    )
    assert len(measured) == len(truth) > 600
    for name, value in truth.items():
        assert measured[name.replace("_", ".")] == pytest.approx(value, rel=1e-8, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("kind", [NATIVE, PYRADIOMICS])
def test_a_case_equals_pyradiomics_on_the_whole_real_image(breast_case: tuple[Any, Any], kind: str) -> None:
    """On the image's own grid, cropping changes nothing; the ring's truth is SimpleITK's distance map."""
    pixels, roi = breast_case
    spacing = Spacing(0.08, 0.11)
    mask: Any = SimpleITK.GetImageFromArray(roi.astype(np.uint8))
    mask.SetSpacing([spacing.col_mm, spacing.row_mm])
    itk: Any = SimpleITK
    distance = itk.GetArrayFromImage(itk.DanielssonDistanceMap(mask, inputIsBinary=True, useImageSpacing=True))
    ring = ~roi & (distance <= 3.0)
    images = CaseImages(
        {"bmode": UltrasoundImage(pixels, spacing, "bmode")}, LesionMask(roi, spacing, MaskSource.READER), None
    )
    settings = RadiomicsSettings(pixel_mm=None, margin_mm=3.0)
    row = measure_images(images, "x", settings, build_engine(kind, settings))
    for name, truth in (
        ("intratumoral", direct(pixels, roi, spacing, Original={})),
        ("peritumoral", direct(pixels, ring, spacing, Original={})),
    ):
        for key, value in truth.items():
            column = f"bmode.{name}.{key.replace('_', '.')}"
            if name == "peritumoral" and "shape2D" in key:
                assert column not in row
            else:
                # Danielson's map is an approximation: a few ring pixels may differ.
                assert row[column] == pytest.approx(value, rel=1e-9 if name == "intratumoral" else 0.02, abs=1e-9), key


def test_disc_in_millimetres(engine: Build) -> None:
    radius = 8.0
    rows, cols = millimetres((480, 120), SPACING)
    disc = np.hypot(rows, cols) <= radius
    found = engine(classes=["shape2D"]).measure(noise(disc.shape), disc, SPACING, shape=True)

    def shape(name: str) -> float:
        return found[f"original.shape2D.{name}"]

    assert shape("PixelSurface") == pytest.approx(math.pi * radius**2, rel=0.005)
    assert shape("MeshSurface") == pytest.approx(math.pi * radius**2, rel=0.01)
    assert shape("MajorAxisLength") == pytest.approx(2 * radius, rel=0.005)
    assert shape("MinorAxisLength") == pytest.approx(2 * radius, rel=0.005)
    assert shape("MaximumDiameter") == pytest.approx(2 * radius, abs=0.25)
    # A mesh of pixels runs in few directions: longer than the circle, shorter than its steps (4 / pi).
    assert 2 * math.pi * radius < shape("Perimeter") < 8 * radius


def test_perimeter_of_a_disc_on_square_pixels(engine: Build) -> None:
    """In the eight directions of square pixels a circle is longer by 8 (sqrt 2 - 1) / pi, at any resolution."""
    rows, cols = millimetres((300, 300), Spacing(0.05, 0.05))
    found = engine(classes=["shape2D"]).measure(
        noise((300, 300)), np.hypot(rows, cols) <= 6, Spacing(0.05, 0.05), shape=True
    )
    longer = 8 * (math.sqrt(2) - 1) / math.pi
    assert found["original.shape2D.Perimeter"] == pytest.approx(longer * 2 * math.pi * 6, rel=0.01)
    assert found["original.shape2D.Sphericity"] == pytest.approx(1 / longer, rel=0.01)


def test_rectangle_tells_rows_from_columns(engine: Build) -> None:
    rows, cols = millimetres((400, 150), SPACING)
    box = (np.abs(rows) < 5) & (np.abs(cols) < 10)  # 10 mm deep, 20 mm wide
    found = engine(classes=["shape2D"]).measure(noise(box.shape), box, SPACING, shape=True)
    assert found["original.shape2D.PixelSurface"] == pytest.approx(200.0)
    assert found["original.shape2D.MajorAxisLength"] == pytest.approx(4 * 20 / math.sqrt(12), rel=0.001)
    assert found["original.shape2D.MinorAxisLength"] == pytest.approx(4 * 10 / math.sqrt(12), rel=0.001)
    assert found["original.shape2D.MaximumDiameter"] == pytest.approx(math.hypot(10, 20), abs=0.3)


def test_first_order_of_a_known_array(engine: Build) -> None:
    values = np.repeat(np.arange(32.0), 4)
    pixels = np.full((20, 20), 1000.0, np.float32)
    roi = np.zeros((20, 20), bool)
    roi[2:10, 2:18] = True
    pixels[roi] = np.random.default_rng(1).permutation(values)
    found = engine(classes=["firstorder"], bin_count=32).measure(pixels, roi, Spacing(0.1, 0.1), shape=False)
    truth = {
        "Mean": 15.5,
        "Median": 15.5,
        "Minimum": 0.0,
        "Maximum": 31.0,
        "Range": 31.0,
        "Variance": (32**2 - 1) / 12,
        "Energy": 4 * 31 * 32 * 63 / 6,
        "Entropy": 5.0,  # 32 grey levels, equally frequent: log2(32) bits
        "Uniformity": 1 / 32,
        "Skewness": 0.0,
        "Kurtosis": float(scipy.stats.kurtosis(values, fisher=False)),
        "10Percentile": float(np.percentile(values, 10)),
    }
    for name, value in truth.items():
        assert found[f"original.firstorder.{name}"] == pytest.approx(value, abs=1e-6), name


def test_shape_is_measured_on_request_only(engine: Build) -> None:
    roi = np.zeros((30, 30), bool)
    roi[5:25, 5:25] = True
    settings = {"classes": ["shape2D", "firstorder"]}
    with_shape = engine(**settings).measure(noise(roi.shape), roi, SPACING, shape=True)
    without = engine(**settings).measure(noise(roi.shape), roi, SPACING, shape=False)
    assert {name.split(".")[1] for name in with_shape} == {"shape2D", "firstorder"}
    assert {name.split(".")[1] for name in without} == {"firstorder"}


@pytest.mark.parametrize("image_type", IMAGE_TYPES)
def test_every_image_type_gives_columns_named_as_documented(image_type: str, engine: Build) -> None:
    roi = np.zeros((60, 60), bool)
    roi[10:40, 10:45] = True
    found = engine(image_types=[image_type], classes=["firstorder"]).measure(
        noise(roi.shape), roi, Spacing(0.1, 0.1), shape=False
    )
    kinds = {
        "Wavelet": {"wavelet-HL", "wavelet-LH", "wavelet-HH", "wavelet-LL"},  # two letters: two dimensions
        "LoG": {"log-sigma-0-5-mm-3D", "log-sigma-1-0-mm-3D", "log-sigma-2-0-mm-3D"},
        "LBP2D": {"lbp-2D"},
    }
    assert {name.split(".")[0] for name in found} == kinds.get(image_type, {image_type.lower()})
    assert len(found) == 18 * len({name.split(".")[0] for name in found})
    assert all(re.match(FEATURE_PATTERN, f"bmode.intratumoral.{name}") for name in found)
    assert all(math.isfinite(value) for value in found.values())


def test_wavelet_works_along_both_axes(engine: Build) -> None:
    """An image that varies along columns alone has detail along that axis alone."""
    roi = np.zeros((64, 64), bool)
    roi[16:48, 16:48] = True
    columns = np.tile(np.random.default_rng(2).uniform(0, 200, 64), (64, 1)).astype(np.float32)
    wavelet = engine(image_types=["Wavelet"], classes=["firstorder"])
    energy = []
    for pixels in (columns, columns.T.copy()):
        found = wavelet.measure(pixels, roi, Spacing(0.1, 0.1), shape=False)
        energy.append([found[f"wavelet-{band}.firstorder.Energy"] for band in ("HL", "LH", "HH")])
    for bands in energy:
        assert sorted(np.array(bands) > 1.0) == [False, False, True]
    assert (energy[0][0] > 1) != (energy[1][0] > 1)


def test_laplacian_of_gaussian_is_in_millimetres(engine: Build) -> None:
    """A Gaussian blob of height A and width s answers a scale-normalised LoG of width s with -A / 2 at its centre."""
    spacing = Spacing(0.1, 0.15)
    rows, cols = millimetres((240, 160), spacing)
    pixels = (100 * np.exp(-(rows**2 + cols**2) / (2 * 1.5**2))).astype(np.float32)
    found = engine(image_types=["LoG"], classes=["firstorder"], log_sigma_mm=[1.5]).measure(
        pixels, np.hypot(rows, cols) < 4, spacing, shape=False
    )
    assert found["log-sigma-1-5-mm-3D.firstorder.Minimum"] == pytest.approx(-50, rel=0.02)


def test_laplacian_wider_than_the_image_is_a_reason_not_a_gap(engine: Build) -> None:
    roi = np.zeros((30, 30), bool)
    roi[5:25, 5:25] = True
    with pytest.raises(CaseError, match=r"30 x 30 pixels .* Laplacian of Gaussian of 9.0 mm") as caught:
        engine(image_types=["LoG"], classes=["firstorder"], log_sigma_mm=[0.5, 9.0]).measure(
            noise(roi.shape), roi, Spacing(0.1, 0.1), shape=False
        )
    assert caught.value.code is ExclusionCode.FEATURES_FAILED


def test_values_outside_the_roi_do_not_count(engine: Build) -> None:
    roi = np.zeros((40, 40), bool)
    roi[10:30, 10:30] = True
    pixels = noise(roi.shape)
    garbage = np.where(roi, pixels, np.nan).astype(np.float32)
    one, other = (
        engine(classes=[c for c in CLASSES if c != "shape2D"]).measure(p, roi, SPACING, shape=False)
        for p in (pixels, garbage)
    )
    assert one == other


def test_smallest_roi_is_the_one_that_the_settings_name(engine: Build) -> None:
    roi = np.zeros((40, 40), bool)
    roi[10:18, 10:18] = True
    small = engine(classes=["firstorder"], min_pixels=64)
    assert small.measure(noise(roi.shape), roi, SPACING, shape=False)
    roi[10, 10] = False
    with pytest.raises(CaseError, match=r"ROI of 63 pixels") as caught:
        small.measure(noise(roi.shape), roi, SPACING, shape=False)
    assert caught.value.code is ExclusionCode.FEATURES_FAILED


def test_a_roi_may_fill_the_image(engine: Build) -> None:
    pixels = np.random.default_rng(3).permutation(np.repeat(np.arange(32.0, dtype=np.float32), 8)).reshape(16, 16)
    found = engine(classes=["firstorder", "shape2D"]).measure(
        pixels, np.ones((16, 16), bool), Spacing(0.1, 0.2), shape=True
    )
    assert found["original.firstorder.Mean"] == pytest.approx(15.5)
    assert found["original.shape2D.PixelSurface"] == pytest.approx(16 * 16 * 0.02)


def test_empty_roi_is_a_case_error(engine: Build) -> None:
    with pytest.raises(CaseError, match="0 pixels"):
        engine().measure(noise((40, 40)), np.zeros((40, 40), bool), SPACING, shape=False)


def test_unknown_engine() -> None:
    with pytest.raises(ConfigError, match="found engine 'matlab', expected one of native, pyradiomics"):
        build_engine("matlab", RadiomicsSettings())


def test_without_pyradiomics_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "radiomics", None)
    with pytest.raises(ConfigError, match=r"pip install usdlr\[reference\], or use the engine native"):
        OneRoi(build_engine(PYRADIOMICS, RadiomicsSettings(bin_count=7))).measure(
            noise((40, 40)), np.ones((40, 40), bool), SPACING, shape=False
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rois": []}, "radiomics.rois empty"),
        ({"rois": ["liver"]}, "radiomics.rois = 'liver', expected some of intratumoral"),
        ({"image_types": ["LBP3D"]}, "radiomics.image_types = 'LBP3D'"),
        ({"image_types": ["Original", "Original"]}, "expected each once"),
        ({"bin_width": 5.0}, "bin_count = 32 and radiomics.bin_width = 5.0, expected exactly one"),
        ({"bin_count": None}, "expected exactly one"),
        ({"bin_width_of": {"Original": 0.0}}, r"radiomics.bin_width_of.Original = 0, expected at least 1e-09"),
        ({"bin_width_of": {"Liver": 1.0}}, "radiomics.bin_width_of = 'Liver'"),
        (
            {"image_types": ["Wavelet"], "wavelet": "db99"},
            "radiomics.wavelet = 'db99', expected one of PyWavelets' bior1.1",
        ),
        ({"log_sigma_mm": [0.5, 0.5]}, "radiomics.log_sigma_mm = 0.5, 0.5, expected each once"),
        ({"log_sigma_mm": [1e-9]}, "radiomics.log_sigma_mm = 1e-09, expected at least 0.01"),
        ({"bin_count": None, "bin_width": 1e-320}, "radiomics.bin_width = .*, expected at least 1e-09"),
        ({"bin_count": 4096}, "radiomics.bin_count = 4096, expected at least 2 and at most 2048"),
        ({"margin_mm": 1e300}, "radiomics.margin_mm = 1e.300, expected more than 0 and at most 100"),
        ({"rois": ["peritumoral"], "classes": ["shape2D"]}, "shape2D without intratumoral"),
        ({"lbp_method": "uniformly"}, "radiomics.lbp_method = 'uniformly', expected one of default"),
        ({"features": ["glcm.Contrast"], "classes": ["firstorder"]}, "radiomics.features = 'glcm.Contrast'"),
        ({"classes": ["shape"]}, "radiomics.classes = 'shape'"),
        ({"margin_mm": 0.0}, "radiomics.margin_mm = 0, expected more than 0"),
        ({"margin_mm": math.nan}, "radiomics.margin_mm = nan"),
        ({"bin_count": 1}, "radiomics.bin_count = 1, expected at least 2"),
        ({"pixel_mm": 5.0}, "radiomics.pixel_mm = 5, expected at least 0.01 and at most 1"),
        ({"min_pixels": 1}, "radiomics.min_pixels = 1, expected at least 2"),
        ({"min_area_mm2": -1.0}, "radiomics.min_area_mm2 = -1"),
        ({"image_types": ["LoG"], "log_sigma_mm": []}, "radiomics.log_sigma_mm empty"),
        ({"image_types": ["LoG"], "log_sigma_mm": [1.0, 0.0]}, "radiomics.log_sigma_mm = 0, expected at least 0.01"),
    ],
)
def test_settings_refuse(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RadiomicsSettings(**change)


def test_settings_are_plain_data_and_come_back() -> None:
    settings = RadiomicsSettings(image_types=("Original", "LoG"), pixel_mm=None, bin_width_of={"LoG": 2.0})
    again = RadiomicsSettings(**json.loads(json.dumps(settings.as_dict())))
    assert again == settings
    assert hash(again) == hash(settings)
    assert again.digest == settings.digest != RadiomicsSettings().digest
