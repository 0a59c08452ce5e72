"""Parameter files against PyRadiomics' own validator and the values of the extractor built from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import radiomics
import SimpleITK
import yaml
from radiomics.featureextractor import RadiomicsFeatureExtractor

from usdlr.core.errors import ConfigError
from usdlr.core.units import Spacing
from usdlr.radiomics.engines import PYRADIOMICS, build_engine
from usdlr.radiomics.interchange import from_pyradiomics, read_yaml, remarks, to_pyradiomics, write_yaml
from usdlr.radiomics.interchange_read import NO_EFFECT
from usdlr.radiomics.settings import IMAGE_TYPES, PRESETS, RadiomicsSettings, preset
from usdlr.radiomics.standardise import standardise

SPACING = Spacing(row_mm=0.1, col_mm=0.1)
Case = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]


@pytest.fixture(scope="module")
def case(shared_data: Path) -> Case:
    """A real B-mode image around its tumour, and the tumour."""
    folder = shared_data / "breast_lesions_usg" / "BrEaST-Lesions_USG-images_and_masks"
    image = cv2.imread(str(folder / "case002.png"), cv2.IMREAD_GRAYSCALE)
    mask = cv2.imread(str(folder / "case002_tumor.png"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    assert mask is not None
    rows, cols = np.nonzero(mask)
    box = np.s_[rows.min() - 20 : rows.max() + 20, cols.min() - 20 : cols.max() + 20]
    return image[box].astype(np.float32), np.asarray(mask[box] > 0)


def extracted(extractor: RadiomicsFeatureExtractor, case: Case, volume: bool = False) -> dict[str, float]:
    """Values of an extractor as it was built, by ``{image_type}.{class}.{feature}``."""
    pixels, region = (part[None] if volume else part for part in case)
    image = SimpleITK.GetImageFromArray(pixels.astype(np.float64))
    mask = SimpleITK.GetImageFromArray(region.astype(np.uint8))
    one: Any
    for one in (image, mask):
        one.SetSpacing((SPACING.col_mm, SPACING.row_mm, 1.0)[: pixels.ndim])
    found = extractor.execute(image, mask)
    return {key.replace("_", "."): float(value) for key, value in found.items() if not key.startswith("diagnostics")}


def measured(settings: RadiomicsSettings, case: Case) -> dict[str, float]:
    pixels, region = case
    engine = build_engine(PYRADIOMICS, settings)
    return engine.measure(pixels, {"lesion": region}, SPACING, shape=("lesion",))["lesion"]


def assert_same(found: dict[str, float], truth: dict[str, float], rel: float = 1e-12) -> None:
    assert set(found) == set(truth)
    for key, value in truth.items():
        assert found[key] == pytest.approx(value, rel=rel, abs=1e-12, nan_ok=True), key


SETTINGS = {
    "default": {"pixel_mm": None},
    "every image type": {
        "pixel_mm": None,
        "image_types": IMAGE_TYPES,
        "classes": ("firstorder", "glcm"),
        "bin_width_of": {"LBP2D": 1.0, "LoG": 2.5},
        "wavelet": "db2",
        "wavelet_level": 2,
        "wavelet_start_level": 1,
        "log_sigma_mm": (0.4, 1, 1.5),
        "gradient_in_mm": False,
        "lbp_radius": 2.0,
        "lbp_samples": 6,
        "lbp_method": "ror",
    },
    "width": {
        "pixel_mm": None,
        "bin_count": None,
        "bin_width": 7.5,
        "bin_width_of": {"Gradient": 40.0},
        "image_types": ("Original", "Gradient"),
    },
    "few features": {
        "pixel_mm": None,
        "classes": ("shape2D", "glcm", "ngtdm"),
        "features": ("shape2D.Perimeter", "glcm.Contrast", "glcm.Id", "ngtdm.Busyness"),
    },
    "on a grid that is there": {"pixel_mm": 0.1, "image_types": ("Original",)},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_extractor_of_the_file_gives_the_engine_s_values(name: str, case: Case, tmp_path: Path) -> None:
    settings = RadiomicsSettings(**SETTINGS[name])  # type: ignore[arg-type]  # values of many fields in one dict
    path = tmp_path / "parameters.yaml"
    write_yaml(settings, path)
    truth = measured(settings, case)
    assert len(truth) >= 4
    assert_same(extracted(RadiomicsFeatureExtractor(str(path)), case), truth)
    assert_same(extracted(RadiomicsFeatureExtractor(to_pyradiomics(settings)), case), truth)
    assert read_yaml(path) == settings
    assert read_yaml(path).digest == settings.digest


def test_normalised_intensities_are_pyradiomics_own(case: Case) -> None:
    settings = RadiomicsSettings(
        pixel_mm=None, normalize=True, normalize_scale=100.0, remove_outliers=1.5, bin_count=None, bin_width=5.0
    )
    pixels, region = case
    found = standardise(pixels, None, scale=settings.normalize_scale, outliers=settings.remove_outliers)
    truth = extracted(RadiomicsFeatureExtractor(to_pyradiomics(settings)), case)
    assert_same(measured(settings, (found, region)), truth, rel=1e-5)  # usdlr keeps intensities in float32
    assert from_pyradiomics(to_pyradiomics(settings)) == settings


def test_smallest_region_is_the_same_pixel(case: Case) -> None:
    """PyRadiomics refuses a region of exactly minimumROISize."""
    pixels, _ = case
    region = np.zeros(pixels.shape, bool)
    region[10:18, 10:18] = True
    parameters = to_pyradiomics(RadiomicsSettings(pixel_mm=None, min_pixels=64, classes=("firstorder",)))
    assert parameters["setting"]["minimumROISize"] == 63
    assert extracted(RadiomicsFeatureExtractor(parameters), (pixels, region))
    region[10, 10] = False
    with pytest.raises(ValueError, match="too small"):
        extracted(RadiomicsFeatureExtractor(parameters), (pixels, region))
    assert from_pyradiomics(parameters).min_pixels == 64
    assert from_pyradiomics({}).min_pixels == 2


@pytest.mark.parametrize("name", PRESETS)
def test_presets_come_back(name: str, tmp_path: Path) -> None:
    settings = preset(name)
    write_yaml(settings, tmp_path / "parameters.yaml")
    RadiomicsFeatureExtractor(str(tmp_path / "parameters.yaml"))
    assert read_yaml(tmp_path / "parameters.yaml") == settings


def test_what_has_no_counterpart_comes_from_the_base(tmp_path: Path) -> None:
    settings = RadiomicsSettings(
        modalities=("elasto",),
        rois=("combined",),
        margin_mm=3.5,
        min_area_mm2=2.0,
        lbp_radius=3.0,
        wavelet="haar",
        log_sigma_mm=(4.0,),
    )
    path = tmp_path / "parameters.yaml"
    write_yaml(settings, path)
    assert "combined; ring of 3.5 mm; at least 2 mm2. Of the modalities elasto." in path.read_text(encoding="utf-8")
    assert read_yaml(path, base=settings) == settings
    usual = read_yaml(path)
    assert (usual.rois, usual.margin_mm) == (RadiomicsSettings().rois, RadiomicsSettings().margin_mm)


# A file as users have it, with PyRadiomics' names and defaults.
USUAL = """
imageType:
  Original: {}
  LoG:
    sigma: [1, 2.0]
    binWidth: 2
  Wavelet: {}
  LBP2D: {binWidth: 1}
featureClass:
  shape2D:
  firstorder: []
  glcm: ['Contrast', 'Idm']
setting:
  binWidth: 10
  normalize: true
  normalizeScale: 100
  interpolator: 'sitkBSpline'
  padDistance: 10
  resampledPixelSpacing: [0.2, 0.2, 0]
  geometryTolerance: 0.0001
  correctMask: true
  additionalInfo: false
  voxelArrayShift: 300
  label: 1
"""


def test_a_usual_file(tmp_path: Path) -> None:
    path = tmp_path / "parameters.yaml"
    path.write_text(USUAL, encoding="utf-8")
    RadiomicsFeatureExtractor(str(path))  # PyRadiomics takes it
    found = read_yaml(path)
    assert found.image_types == ("Original", "LoG", "Wavelet", "LBP2D")
    assert list(map(str, found.log_sigma_mm)) == ["1", "2.0"]
    assert found.bin_count is None
    assert found.bin_width == 10.0
    assert found.bin_width_of == {"LoG": 2.0, "LBP2D": 1.0}
    assert found.normalize
    assert found.normalize_scale == 100.0
    assert found.remove_outliers is None
    assert (found.pixel_mm, found.wavelet, found.wavelet_level) == (0.2, "coif1", 1)
    assert found.classes == ("shape2D", "firstorder", "glcm")
    assert len(found.features) == 9 + 18 + 2
    assert found.features[-2:] == ("glcm.Contrast", "glcm.Idm")
    path.with_suffix(".json").write_text(json.dumps(yaml.safe_load(USUAL)), encoding="utf-8")
    assert read_yaml(path.with_suffix(".json")) == found
    told = remarks(path)
    assert len(told) == 2
    assert "interpolator and padDistance do not count" in told[0]
    assert "field of view" in told[1]
    assert remarks(to_pyradiomics(RadiomicsSettings(pixel_mm=None))) == ()


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"setting": {"binCount": 16}},
        {"setting": {"binCount": 16, "binWidth": 3.0}},
        {"setting": {"binWidth": 3.0, "binCount": None}},
        {"imageType": {"Original": {"binWidth": 8.0}, "Square": {}}},
        {"imageType": {"Original": {"binCount": 8}, "Square": {"binWidth": 4.0}}},
        {"imageType": {"Original": {}, "Square": {"binWidth": 4.0}}, "setting": {"binCount": 8}},
        {"imageType": {"Original": {}, "Square": {"binCount": None}}, "setting": {"binCount": 8, "binWidth": 4.0}},
        {"imageType": {"Original": {"binCount": 8}, "Square": {}}, "setting": {"binWidth": 4.0}},
        {"imageType": {"LBP2D": {}, "Wavelet": {}, "Gradient": {}}},
        {"imageType": {"Wavelet": {"level": 2}, "LoG": {}}, "setting": {"sigma": [1.0], "level": 1, "wavelet": "haar"}},
    ],
    ids=str,
)
def test_what_is_left_open_is_pyradiomics_default(parameters: dict[str, Any], case: Case) -> None:
    """Each of them as PyRadiomics reads it against the settings as the engine reads them."""
    parameters = {"featureClass": {"firstorder": ["Mean", "Entropy"], "glszm": ["ZoneEntropy"]}, **parameters}
    settings = from_pyradiomics(parameters)
    assert_same(measured(settings, case), extracted(RadiomicsFeatureExtractor(parameters), case))


def test_without_classes_all_are_meant(case: Case) -> None:
    truth = extracted(RadiomicsFeatureExtractor({"setting": {"binCount": 8}}), case)
    assert_same(measured(from_pyradiomics({"setting": {"binCount": 8}}), case), truth)
    assert len(truth) == 102


def test_slices_of_a_volume_are_what_usdlr_measures(case: Case) -> None:
    """force2D on a volume of one slice: the wavelet stays in the plane."""
    parameters = {
        "imageType": {"Original": {}, "Wavelet": {}, "Square": {}},
        "featureClass": {"firstorder": None, "glcm": None, "glrlm": None},
        "setting": {"force2D": True, "force2Ddimension": 0, "binCount": 32},
    }
    truth = extracted(RadiomicsFeatureExtractor(parameters), case, volume=True)
    assert_same(measured(from_pyradiomics(parameters), case), truth)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"imageType": {"LBP3D": {}}}, "imageType.LBP3D, expected some of Original"),
        ({"imageType": {"Original": None}}, r"imageType.Original = None, expected a mapping; write \{\}"),
        ({"imageType": ["Original"]}, r"imageType = \['Original'\], expected a mapping"),
        ({"imageType": {"LoG": {}}}, "LoG without sigma"),
        ({"imageType": {"LoG": {"sigma": 1.0}}}, "imageType.LoG.sigma = 1.0, expected a list of numbers"),
        ({"imageType": {"LoG": {"sigma": [0.0]}}}, "log_sigma_mm = 0, expected at least 0.01"),
        ({"imageType": {"Original": {"sigma": [1.0]}}}, "'sigma' in imageType.Original"),
        ({"imageType": {"Original": {"normalize": True}}}, "'normalize' in imageType.Original"),
        ({"imageType": {"Original": {"distances": [2]}}}, r"imageType.Original.distances = \[2\], expected \[1\]"),
        ({"imageType": {"Original": {"binCount": 8}, "Square": {"binCount": 9}}}, "Original: 8, Square: 9"),
        ({"imageType": {"Wavelet": {"wavelet": "morl"}}}, "wavelet = 'morl'"),
        ({"imageType": {"Wavelet": {"level": 1.5}}}, "imageType.Wavelet.level = 1.5, expected a whole number"),
        ({"imageType": {"LBP2D": {"lbp2DMethod": "cube"}}}, "lbp_method = 'cube'"),
        ({"imageType": {"Gradient": {"gradientUseSpacing": 1}}}, "gradientUseSpacing = 1, expected true or false"),
        ({"featureClass": {"shape": []}}, "featureClass.shape, expected .*; use shape2D"),
        ({"featureClass": {"glcm": "Contrast"}}, "featureClass.glcm = 'Contrast', expected a list"),
        ({"featureClass": {"glcm": ["Dissimilarity"]}}, "'glcm.Dissimilarity', which does not exist"),
        ({"featureClass": {"firstorder": ["Kurtosi"]}}, "the nearest is firstorder.Kurtosis"),
        ({"setting": {"binWith": 5}}, "'binWith' in setting, .* the nearest is binWidth"),
        ({"setting": {"binWidth": "5"}}, "setting.binWidth = '5', expected a number"),
        ({"setting": {"binWidth": 0}}, "bin_width = 0, expected at least 1e-09"),
        ({"setting": {"binCount": 8.5}}, "setting.binCount = 8.5, expected a whole number"),
        ({"setting": {"binCount": 1}}, "bin_count = 1, expected at least 2"),
        ({"setting": {"distances": [1, 2]}}, r"setting.distances = \[1, 2\], expected \[1\]"),
        ({"setting": {"weightingNorm": "euclidean"}}, "weightingNorm = 'euclidean', expected None"),
        ({"setting": {"symmetricalGLCM": False}}, "symmetricalGLCM = False, expected True"),
        ({"setting": {"gldm_a": 1}}, "gldm_a = 1, expected 0"),
        ({"setting": {"voxelArrayShift": "300"}}, "voxelArrayShift = '300', expected a number"),
        ({"setting": {"resegmentRange": [-3, 3]}}, r"resegmentRange = \[-3, 3\], expected None"),
        ({"setting": {"preCrop": True}}, "preCrop = True, expected False"),
        ({"setting": {"label": 2}}, "label = 2, expected 1"),
        ({"setting": {"label_channel": 1}}, "label_channel = 1, expected 0"),
        ({"setting": {"force2D": True, "force2Ddimension": 1}}, "force2Ddimension = 1, expected 0"),
        ({"imageType": {"LoG": {"sigma": [1]}}, "setting": {"force2D": True}}, "force2D = True with imageType.LoG"),
        (
            {"setting": {"resampledPixelSpacing": [0.1, 0.2]}},
            r"resampledPixelSpacing = \[0.1, 0.2\], expected two equal",
        ),
        ({"setting": {"resampledPixelSpacing": [0.1]}}, "resampledPixelSpacing"),
        ({"setting": {"resampledPixelSpacing": [5, 5, 5]}}, "pixel_mm = 5, expected at least 0.01 and at most 1"),
        (
            {"setting": {"resampledPixelSpacing": [0.1, 0.1], "interpolator": "sitkNearestNeighbor"}},
            "interpolator = 'sitkNearestNeighbor', expected sitkLinear or sitkBSpline",
        ),
        ({"setting": {"resampledPixelSpacing": [0.1, 0.1], "padDistance": -1}}, "padDistance = -1"),
        ({"setting": {"normalize": "yes"}}, "normalize = 'yes', expected true or false"),
        ({"setting": {"normalizeScale": float("nan")}}, "normalizeScale = nan, expected a number"),
        ({"setting": {"removeOutliers": 0}}, "remove_outliers = 0"),
        ({"setting": {"minimumROISize": -4}}, "min_pixels = -3"),
        ({"voxelSetting": {"kernelRadius": 1}}, "voxelSetting, expected none"),
        ({"settings": {}}, "'settings' in the parameters, .* the nearest is setting"),
    ],
    ids=str,
)
def test_what_cannot_be_represented_is_refused_by_name(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        from_pyradiomics(parameters)
    assert "\n" not in str(caught.value)


def answer(parameters: dict[str, Any]) -> str:
    """The refusal, empty where there is none."""
    try:
        from_pyradiomics(parameters)
    except ConfigError as error:
        return str(error)
    return ""


def test_every_setting_of_pyradiomics_schema_is_answered() -> None:
    """None is unknown to usdlr: each is read, fixed, or on the list of those without effect."""
    schema = yaml.safe_load(Path(radiomics.getParameterValidationFiles()[0]).read_text(encoding="utf-8"))
    for key in schema["mapping"]["setting"]["mapping"]:
        for value in (None, 0, True, "x", [3, 4]):
            assert "is not supported" not in answer({"setting": {key: value}}), key


@pytest.mark.parametrize("key", NO_EFFECT)
def test_settings_without_effect_have_none(key: str, case: Case) -> None:
    value = {
        "geometryTolerance": 1e-3,
        "minimumROIDimensions": 1,
        "resegmentMode": "sigma",
        "force2Ddimension": 1,
        "lbp3DLevels": 5,
        "lbp3DIcosphereRadius": 2,
        "lbp3DIcosphereSubdivision": 2,
    }.get(key, True)
    classes = {"featureClass": {"shape2D": None, "firstorder": None, "glcm": ["Contrast"]}}
    plain = extracted(RadiomicsFeatureExtractor(classes), case)
    assert_same(extracted(RadiomicsFeatureExtractor({**classes, "setting": {key: value}}), case), plain, rel=0)
    assert from_pyradiomics({**classes, "setting": {key: value}}) == from_pyradiomics(classes)


def test_pyradiomics_has_no_word_for_one_pattern() -> None:
    settings = RadiomicsSettings(image_types=("LBP2D",), lbp_method="nri_uniform")
    with pytest.raises(ConfigError, match="lbp_method = 'nri_uniform', which PyRadiomics' parameter files do not know"):
        to_pyradiomics(settings)
    assert to_pyradiomics(RadiomicsSettings(lbp_method="nri_uniform"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("setting: {binWidth: 5", "not valid YAML"),
        ("setting:\n\t- 5", "not valid YAML"),
        ("- setting", "found list in"),
        ("", "found NoneType in"),
        ("setting:\n", "setting = None, expected a mapping"),
        ("setting: {binWidth: !!python/object:os.system 5}", "not valid YAML"),
        ("setting: {label: 2}", "parameters.yaml: found setting.label = 2"),
    ],
)
def test_a_malformed_file_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "parameters.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_or_binary_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found no file"):
        read_yaml(tmp_path / "nothing.yaml")
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_yaml(tmp_path / "image.yaml")
