"""The native engine against PyRadiomics 3.0.1 called on a 2-D image with ``force2D=False``, value by value."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK
from scipy.ndimage import distance_transform_edt

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.radiomics.engines import NATIVE, PYRADIOMICS, build_engine
from usdlr.radiomics.native.laplacian import equals_itk, itk_log, recursive_log
from usdlr.radiomics.settings import IMAGE_TYPES, RadiomicsSettings

Pixels = npt.NDArray[np.float32]
Rois = dict[str, npt.NDArray[np.bool_]]

SPACING = Spacing(0.0931, 0.0871)
COUNT: dict[str, Any] = {"bin_count": 32}
WIDTH: dict[str, Any] = {"bin_count": None, "bin_width": 5.0}


def deviations(pixels: Pixels, rois: Rois, spacing: Spacing = SPACING, **settings: Any) -> tuple[int, list[str]]:
    """Number of values, and those beyond 1e-8 of PyRadiomics' (1e-12 near zero)."""
    chosen = RadiomicsSettings(min_pixels=2, **settings)
    found, truth = (
        build_engine(name, chosen).measure(pixels, rois, spacing, shape=list(rois)) for name in (NATIVE, PYRADIOMICS)
    )
    out = []
    number = 0
    for roi, values in truth.items():
        assert list(found[roi]) == list(values)  # the same names in the same order
        for name, value in values.items():
            number += 1
            own = found[roi][name]
            both_undefined = np.isnan(own) and np.isnan(value)
            if not both_undefined and not abs(own - value) <= max(1e-8 * abs(value), 1e-12):
                out.append(f"{roi} {name}: found {own}, PyRadiomics {value}")
    return number, out


def speckle(shape: tuple[int, int], seed: int = 0) -> Pixels:
    rough = np.random.default_rng(seed).rayleigh(60, shape)
    return np.clip(np.round(cv2.GaussianBlur(rough, (0, 0), 1.0)), 0, 255).astype(np.float32)


def box(shape: tuple[int, int], top: int, bottom: int, left: int, right: int) -> npt.NDArray[np.bool_]:
    roi = np.zeros(shape, bool)
    roi[top:bottom, left:right] = True
    return roi


def lesion_and_ring(roi: npt.NDArray[np.bool_], width_px: float) -> Rois:
    away = distance_transform_edt(~roi)
    return {"lesion": roi, "ring": (away > 0) & (away <= width_px)}


@pytest.mark.parametrize("bins", [COUNT, WIDTH], ids=["count", "width"])
@pytest.mark.parametrize("case", ["case002", "case171"])
def test_all_image_types_and_classes_on_real_lesions_and_rings(
    shared_data: Path, case: str, bins: dict[str, Any]
) -> None:
    folder = shared_data / "breast_lesions_usg" / "BrEaST-Lesions_USG-images_and_masks"
    pixels = cv2.imread(str(folder / f"{case}.png"), cv2.IMREAD_GRAYSCALE)
    mask = cv2.imread(str(folder / f"{case}_tumor.png"), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    assert mask is not None
    number, beyond = deviations(
        pixels.astype(np.float32), lesion_and_ring(mask > 0, 40), image_types=IMAGE_TYPES, **bins
    )
    assert number > 2500
    assert not beyond


@pytest.mark.parametrize(
    "settings",
    [
        {"image_types": ("Wavelet",), "wavelet": "haar", "wavelet_level": 3},
        {"image_types": ("Wavelet",), "wavelet": "bior3.9", "wavelet_level": 2, "wavelet_start_level": 1},
        {"image_types": ("Wavelet",), "wavelet": "dmey"},
        {"image_types": ("Gradient",), "gradient_in_mm": False},
        {
            "image_types": ("LBP2D",), "lbp_radius": 2.5, "lbp_samples": 12, "lbp_method": "ror",
            "bin_width_of": {"LBP2D": 1.0},
        },
        {"image_types": ("LoG",), "log_sigma_mm": (0.09, 3.3), "features": ("glcm.MCC", "firstorder.Mean")},
        {"image_types": ("Original",), "bin_count": 128, "energy_shift": 300.0},
        {"image_types": ("Original",), "bin_count": None, "bin_width": 0.25},
    ],
    ids=str,
)  # fmt: skip
def test_options_of_the_filters_and_bins(settings: dict[str, Any]) -> None:
    pixels = speckle((97, 128))
    rois = {"middle": box((97, 128), 30, 70, 40, 90), "corner": box((97, 128), 0, 21, 100, 128)}
    number, beyond = deviations(pixels, rois, **settings)
    assert number
    assert not beyond


def odd_regions() -> dict[str, npt.NDArray[np.bool_]]:
    shape = (61, 64)
    diagonal, apart, checkers = (np.zeros(shape, bool) for _ in range(3))
    diagonal[range(10, 30), range(20, 40)] = True
    apart[5, 5] = apart[40, 50] = True
    checkers[::2, ::2] = True
    return {
        "one row": box(shape, 30, 31, 20, 40),
        "one column": box(shape, 10, 40, 20, 21),
        "one diagonal": diagonal,
        "two pixels apart": apart,
        "two pixels": box(shape, 5, 6, 5, 7),
        "two at borders": box(shape, 0, 20, 0, 15) | box(shape, 50, 61, 60, 64),
        "no two touch": checkers,
    }


@pytest.mark.parametrize("name", odd_regions())
@pytest.mark.parametrize("bins", [COUNT, WIDTH], ids=["count", "width"])
def test_odd_regions(name: str, bins: dict[str, Any]) -> None:
    number, beyond = deviations(
        speckle((61, 64)),
        {name: odd_regions()[name]},
        image_types=("Original", "Wavelet", "LoG"),
        log_sigma_mm=(0.3,),
        **bins,
    )
    assert number == 9 + 93 * 6
    assert not beyond


IMAGES: dict[str, Pixels] = {
    "constant": np.full((61, 64), 7.0, np.float32),
    "two levels": np.where(speckle((61, 64)) > 60, 20.0, 10.0).astype(np.float32),
    "halves": np.where(np.arange(64)[None] > 25, 20.0, 10.0).repeat(61, axis=0).astype(np.float32),
    "one bright pixel": speckle((61, 64)) + 60000 * box((61, 64), 25, 26, 25, 26).astype(np.float32),
    "sixteen bits": (speckle((61, 64)) * 257 + 3).astype(np.float32),
    "negative": speckle((61, 64)) - 128,
    "tiny values": speckle((61, 64)) * np.float32(1e-6),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("mode", ["count", "width"])
def test_odd_images(name: str, mode: str) -> None:
    # PyRadiomics' matrices grow with the highest level, occurring or not: a width that suits the range.
    width = max(float(np.ptp(IMAGES[name])) / 60, 1e-9)
    number, beyond = deviations(
        IMAGES[name],
        {"roi": box((61, 64), 10, 40, 10, 40)},
        image_types=("Original", "Wavelet", "Gradient", "SquareRoot"),
        **({"bin_count": 32} if mode == "count" else {"bin_count": None, "bin_width": width}),
    )
    assert number > 500
    assert not beyond


@pytest.mark.parametrize("image_type", ["Square", "Logarithm", "Exponential"])
def test_a_blank_image_is_a_reason(image_type: str) -> None:
    engine = build_engine(NATIVE, RadiomicsSettings(image_types=("Original", image_type)))
    with pytest.raises(CaseError, match="found a blank image") as caught:
        engine.measure(np.zeros((40, 40), np.float32), {"roi": box((40, 40), 10, 30, 10, 30)}, SPACING)
    assert caught.value.code is ExclusionCode.FEATURES_FAILED


def test_a_single_pixel_and_an_empty_roi_are_reasons() -> None:
    engine = build_engine(NATIVE, RadiomicsSettings(min_pixels=2))
    for pixels in (0, 1):
        with pytest.raises(CaseError, match=rf"found a ROI of {pixels} pixels, expected at least 2"):
            engine.measure(speckle((40, 40)), {"roi": box((40, 40), 10, 10 + pixels, 10, 11)}, SPACING)


def test_a_width_in_the_wrong_unit_is_a_reason() -> None:
    engine = build_engine(NATIVE, RadiomicsSettings(bin_count=None, bin_width=1e-9))
    with pytest.raises(CaseError, match=r"grey levels in the ROI with radiomics.bin_width = 1e-09, expected at most"):
        engine.measure(speckle((40, 40)), {"roi": box((40, 40), 10, 30, 10, 30)}, SPACING)


@pytest.mark.parametrize(
    ("value", "words"), [(np.inf, "found 1 infinite intensities"), (60 + 3e-14, "32 grey levels cannot part")]
)
def test_infinite_and_indistinguishable_intensities_are_reasons(value: float, words: str) -> None:
    pixels = np.full((40, 40), 60.0)
    pixels[20, 20] = value
    engine: Any = build_engine(NATIVE, RadiomicsSettings())  # double precision, which canonical images do not have
    with pytest.raises(CaseError, match=words):
        engine.measure(pixels, {"roi": box((40, 40), 10, 30, 10, 30)}, SPACING)


def test_regions_are_measured_as_if_alone() -> None:
    """Filters are cut to the box around all regions: a second region elsewhere must change nothing."""
    pixels = speckle((120, 150))
    engine = build_engine(NATIVE, RadiomicsSettings(image_types=IMAGE_TYPES))
    rois = {"a": box((120, 150), 3, 30, 5, 40), "b": box((120, 150), 80, 119, 100, 149)}
    together = engine.measure(pixels, rois, SPACING, shape=["a"])
    for name, roi in rois.items():
        assert together[name] == engine.measure(pixels, {name: roi}, SPACING, shape=["a"])[name]


def test_a_big_image() -> None:
    """4,000 x 4,000 pixels with a ROI of a million."""
    pixels = np.tile(speckle((500, 500)), (8, 8))
    roi = box(pixels.shape, 1500, 2500, 1200, 2200)
    found = build_engine(NATIVE, RadiomicsSettings()).measure(pixels, {"roi": roi}, SPACING, shape=["roi"])["roi"]
    assert found["original.shape2D.PixelSurface"] == pytest.approx(1e6 * SPACING.pixel_area_mm2)
    assert np.isfinite(list(found.values())).all()


def test_laplacian_of_gaussian_has_simpleitks_bits() -> None:
    """Shapes, spacings and widths from far below a pixel to wider than the image."""
    rng = np.random.default_rng(1)
    for _ in range(30):
        rows, cols = (int(size) for size in rng.integers(5, 200, 2))
        pixels = rng.integers(0, 256, (rows, cols)).astype(np.float64) * rng.choice([1.0, 1000.0])
        spacing, sigma = Spacing(*rng.uniform(0.02, 1.5, 2)), float(rng.uniform(0.02, 5))
        own = recursive_log(pixels, np.ascontiguousarray(pixels.T), sigma, spacing, (0, rows, 0, cols))
        np.testing.assert_array_equal(own, itk_log(pixels, sigma, spacing))
    assert equals_itk()


def test_simpleitk_is_used_where_the_bits_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine's SimpleITK may round otherwise: then its values are taken, and parity stays."""
    monkeypatch.setattr("usdlr.radiomics.native.laplacian.equals_itk", lambda: False)
    monkeypatch.setattr("usdlr.radiomics.native.laplacian.recursive_log", None)
    number, beyond = deviations(speckle((61, 64)), {"roi": box((61, 64), 20, 50, 9, 40)}, image_types=("LoG",))
    assert number > 250
    assert not beyond


def test_works_without_pyradiomics() -> None:
    """In a process in which PyRadiomics cannot be imported, and with no other engine's module."""
    code = """
        import sys
        sys.modules["radiomics"] = None
        import numpy as np
        from usdlr.core.units import Spacing
        from usdlr.radiomics.engines import build_engine
        from usdlr.radiomics.settings import IMAGE_TYPES, RadiomicsSettings
        roi = np.zeros((60, 60), bool)
        roi[10:50, 10:50] = True
        pixels = np.random.default_rng(0).integers(0, 256, (60, 60)).astype(np.float32)
        engine = build_engine("native", RadiomicsSettings(image_types=IMAGE_TYPES))
        print(len(engine.measure(pixels, {"roi": roi}, Spacing(0.1, 0.1), shape=["roi"])["roi"]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 9 + 93 * 14  # nine of shape; original, 4 wavelet, 3 LoG, 5 pointwise or gradient, LBP


def test_not_a_number_outside_the_region_reads_as_zero() -> None:
    pixels, roi = speckle((61, 64)), box((61, 64), 20, 50, 9, 40)
    holes = np.where(roi, pixels, np.nan).astype(np.float32)
    zeros = np.where(roi, pixels, 0.0).astype(np.float32)
    engine = build_engine(NATIVE, RadiomicsSettings(image_types=("Original", "LoG", "Wavelet")))
    assert engine.measure(holes, {"roi": roi}, SPACING) == engine.measure(zeros, {"roi": roi}, SPACING)


def test_simpleitk_gradient_is_local() -> None:
    """The gradient is taken on the box and one pixel around: SimpleITK on the whole image gives the same bits."""
    itk: Any = SimpleITK
    pixels = speckle((61, 64))
    image = itk.GetImageFromArray(pixels.astype(np.float64))
    image.SetSpacing((SPACING.col_mm, SPACING.row_mm))
    whole = itk.GetArrayFromImage(itk.GradientMagnitudeImageFilter().Execute(image))
    roi = box((61, 64), 0, 20, 44, 64)
    engine = build_engine(NATIVE, RadiomicsSettings(image_types=("Gradient",), classes=("firstorder",)))
    found = engine.measure(pixels, {"roi": roi}, SPACING)["roi"]
    assert found["gradient.firstorder.Maximum"] == whole[roi].max()
    assert found["gradient.firstorder.Median"] == np.median(whole[roi].astype(np.float64))
