"""The catalogue against PyRadiomics' own lists and values, and against IBSI's reference manual."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import radiomics
import SimpleITK
from radiomics.featureextractor import RadiomicsFeatureExtractor

from tests.radiomics.ibsi_reference import phantom_values, printed_digits, read_phantom, read_reference
from usdlr.core.columns import FEATURE_PATTERN
from usdlr.core.errors import ConfigError
from usdlr.radiomics.catalogue.features import (
    FAMILIES,
    FEATURES,
    by_ibsi,
    describe,
    feature,
    image_type,
    image_type_names,
    names,
    parse,
)
from usdlr.radiomics.settings import CLASSES, IMAGE_TYPES, RadiomicsSettings

Pixels = npt.NDArray[np.float64]
Region = npt.NDArray[np.bool_]
COUNT: dict[str, Any] = {"binCount": 32}
WIDTH: dict[str, Any] = {"binWidth": 5.0}
COUNTS = {"shape2D": 9, "firstorder": 18, "glcm": 24, "glrlm": 16, "glszm": 16, "gldm": 14, "ngtdm": 5}


def measure(pixels: Pixels, region: Region, spacing_mm: float = 0.1, **options: Any) -> dict[str, float]:
    """PyRadiomics without usdlr, by ``{class}.{feature}``."""
    extractor = RadiomicsFeatureExtractor(additionalInfo=False, **options)
    extractor.disableAllFeatures()
    for name in CLASSES:
        extractor.enableFeatureClassByName(name)
    image = SimpleITK.GetImageFromArray(pixels)
    mask = SimpleITK.GetImageFromArray(region.astype(np.uint8))
    one: Any
    for one in (image, mask):
        one.SetSpacing((spacing_mm, spacing_mm))
    found = extractor.execute(image, mask)
    return {key.removeprefix("original_").replace("_", "."): float(value) for key, value in found.items()}


def smooth(seed: int) -> tuple[Pixels, Region]:
    """Patches on a slope, in an oblique ellipse with a hole."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(70, 90)), (0, 0), 1.5)
    rows, cols = np.mgrid[:70, :90]
    region = ((rows - 33) / 25) ** 2 + ((cols - 47 + 0.3 * rows) / 22) ** 2 < 1
    region &= ~((rows - 40) ** 2 + (cols - 33) ** 2 < 25)
    return 100 + 30 * noise / noise.std() + cols / 3, region


def whiskered() -> tuple[Pixels, Region]:
    """An even half and a noisy half, and a bright whisker one pixel wide."""
    rng = np.random.default_rng(5)
    pixels = rng.uniform(0, 255, (60, 80))
    pixels[:, :25] = 40 + rng.uniform(0, 2, (60, 25))
    region = np.zeros(pixels.shape, bool)
    region[5:25, 10:40] = True
    region[15, 40:78] = True
    pixels[15, 40:78] = 255.5 + rng.uniform(0, 1, 38)
    return pixels, region


@pytest.fixture(scope="module")
def images(shared_data: Path) -> list[tuple[Pixels, Region]]:
    folder = shared_data / "breast_lesions_usg" / "BrEaST-Lesions_USG-images_and_masks"
    image = cv2.imread(str(folder / "case002.png"), cv2.IMREAD_GRAYSCALE)
    mask = cv2.imread(str(folder / "case002_tumor.png"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    assert mask is not None
    return [smooth(1), smooth(2), whiskered(), (image.astype(np.float64), np.asarray(mask > 0))]


@cache
def _pyradiomics_classes() -> Mapping[str, Any]:
    classes: Mapping[str, Any] = radiomics.getFeatureClasses()
    return classes


def test_names_are_pyradiomics_own_without_the_deprecated() -> None:
    for name, number in COUNTS.items():
        own = [key for key, deprecated in _pyradiomics_classes()[name].getFeatureNames().items() if not deprecated]
        assert names([name]) == tuple(f"{name}.{key}" for key in own)
        assert len(own) == number
    assert len(FEATURES) == len(names()) == 102
    assert set(FAMILIES) == set(CLASSES)


def test_order_is_that_of_an_extraction() -> None:
    pixels, region = smooth(1)
    assert tuple(measure(pixels, region, **COUNT)) == names()
    assert names(["glcm", "shape2D"])[0] == "shape2D.Elongation"


def test_every_entry_says_everything_once() -> None:
    for key, one in FEATURES.items():
        assert key == f"{one.family}.{one.name}"
        assert one.title
        assert not one.title.endswith(".")
        assert one.meaning.endswith(".")
        assert one.definition
        assert one.ibsi is not None or one.departure
    for kind in ("title", "ibsi"):
        values = [getattr(one, kind) for one in FEATURES.values() if getattr(one, kind)]
        assert len(set(values)) == len(values), kind


# IBSI's names of what PyRadiomics names otherwise; all others must be told by their words.
IBSI_NAMES = {
    "firstorder.Energy": "Intensity-based energy",
    "firstorder.Entropy": "Discretised intensity entropy",
    "firstorder.Uniformity": "Discretised intensity uniformity",
    "firstorder.RootMeanSquared": "Root mean square intensity",
    "firstorder.MeanAbsoluteDeviation": "Intensity-based mean absolute deviation",
    "firstorder.RobustMeanAbsoluteDeviation": "Intensity-based robust mean absolute deviation",
    "firstorder.Kurtosis": "(Excess) intensity kurtosis",
    "glcm.ClusterTendency": "Cluster tendency",
    "glcm.Id": "Inverse difference",
    "glcm.Idm": "Inverse difference moment",
    "glcm.Idmn": "Normalised inverse difference moment",
    "glcm.Idn": "Normalised inverse difference",
    "glcm.Imc1": "Information correlation 1",
    "glcm.Imc2": "Information correlation 2",
    "glcm.JointEnergy": "Angular second moment",
    "glcm.MaximumProbability": "Joint maximum",
    "glcm.SumSquares": "Joint variance",
    "glszm.ZoneEntropy": "Zone size entropy",
    "glszm.ZoneVariance": "Zone size variance",
    "glrlm.RunVariance": "Run length variance",
}


def _plain(family: str, name: str) -> str:
    text = " ".join(re.findall(r"\d+|[A-Z][a-z]*", name)).lower()
    text = text.replace("gray", "grey").replace("area", "zone").replace("normalized", "normalised")
    text = text.replace("size zone", "zone size").replace("non uniformity", "non-uniformity")
    text = re.sub(r"^(short|long) run\b", r"\1 runs" if text.endswith("run emphasis") else r"\1 run", text)
    if text in ("short run emphasis", "long run emphasis"):
        text = text.replace("run", "runs")
    if text.endswith(" normalised"):
        text = f"normalised {text.removesuffix(' normalised')}"
    if family == "gldm":
        text = text.replace("small dependence", "low dependence").replace("large dependence", "high dependence")
        text = re.sub(r"^(low|high) grey level emphasis", r"\1 grey level count emphasis", text)
        text = re.sub(r"dependence (entropy|variance|non-uniformity)", r"dependence count \1", text)
    if family == "firstorder":
        text = re.sub(r"^(10|90) percentile", r"\1\\ :sup:`th` intensity percentile", text)
        if "percentile" not in text:
            order = "{0} intensity" if text in ("mean", "median", "minimum", "maximum") else "intensity {0}"
            text = order.format(text)
    return text


def test_ibsi_codes_and_names_are_the_manual_s(shared_data: Path) -> None:
    manual = read_reference(shared_data / "ibsi")
    order = list(dict.fromkeys((one.code, one.feature) for one in manual))
    titles = dict(order)
    # Families follow each other in the manual; the first of each marks where it begins.
    marks = {"firstorder": "Q4LE", "glcm": "GYBY", "glrlm": "22OV", "glszm": "9SAK", "gldzm": "0GBI", "ngtdm": "QCDE"}
    starts = {family: [code for code, _ in order].index(code) for family, code in {**marks, "gldm": "SODN"}.items()}
    found = 0
    for key, one in FEATURES.items():
        if one.ibsi is None:
            assert one.family == "shape2D" or one.key in ("firstorder.TotalEnergy", "glcm.MCC")
            continue
        assert titles[one.ibsi].lower() == IBSI_NAMES.get(key, _plain(one.family, one.name)).lower(), key
        place = [code for code, _ in order].index(one.ibsi)
        assert max((start, family) for family, start in starts.items() if start <= place)[1] == one.family, key
        assert by_ibsi(one.ibsi) is one
        found += 1
    assert found == 91
    for other in (code for one in FEATURES.values() for code in re.findall(r"\(([A-Z0-9]{4})\)", one.note)):
        assert other in titles


@pytest.mark.parametrize("family", [name for name in CLASSES if name != "shape2D"])
def test_departures_are_those_of_the_phantom(shared_data: Path, family: str) -> None:
    """Each slice alone, then averaged: what is listed as kept agrees, what is listed as departing does not."""
    pixels, mask, spacing = read_phantom(shared_data / "ibsi")
    truth = phantom_values(shared_data / "ibsi")
    measured = []
    slices = [(pixels, mask)] if family == "firstorder" else list(zip(pixels, mask, strict=True))
    for image, region in slices:
        pair: Any = SimpleITK.GetImageFromArray(image), SimpleITK.GetImageFromArray(region.astype(np.uint8))
        for one in pair:
            one.SetSpacing(spacing[: image.ndim])
        measured.append(_pyradiomics_classes()[family](*pair, binWidth=1).execute())
    aggregation = {"firstorder": "", "glcm": "2D, averaged", "glrlm": "2D, averaged"}.get(family, "2D")
    departing = []
    for one in (item for item in FEATURES.values() if item.family == family and item.ibsi):
        reference = truth[str(one.ibsi), aggregation]
        if not reference.agrees(float(np.mean([values[one.name] for values in measured]))):
            departing.append(one.name)
    assert departing == (["Kurtosis"] if family == "firstorder" else [])
    if family == "firstorder":
        excess = measured[0]["Kurtosis"] - 3
        assert truth["IPH6", ""].agrees(float(excess))
        assert "kurtosis + 3" in feature("firstorder", "Kurtosis").departure


def test_edges_of_a_fixed_width_are_counted_from_zero() -> None:
    """The departure that all grey levels share: levels of 7 and 12 at width 10 are two here and one in IBSI."""
    edges = radiomics.imageoperations.getBinEdges(np.array([7.0, 12.0]), binWidth=10)
    assert list(np.digitize([7.0, 12.0], edges)) == [1, 2]
    assert [math.floor((x - 7.0) / 10) + 1 for x in (7.0, 12.0)] == [1, 1]
    readers = {one.key for one in FEATURES.values() if "multiples of the width" in one.departure}
    assert readers == set(names()) - set(names(["shape2D", "firstorder"])) | {
        "firstorder.Entropy",
        "firstorder.Uniformity",
    }


def _changes(pixels: Pixels, region: Region) -> Iterator[tuple[str, dict[str, float], dict[str, float], float]]:
    """Field of Invariances, values before and after, tolerance."""
    for mode, options in (("count", COUNT), ("width", WIDTH)):
        before = measure(pixels, region, **options)
        for turns in (1, 3):
            turned = np.ascontiguousarray(np.rot90(pixels, turns)), np.ascontiguousarray(np.rot90(region, turns))
            yield "rotation", before, measure(*turned, **options), 1e-9
        yield "spacing", before, measure(pixels, region, 0.2, **options), 1e-9
        split = np.ones((2, 2))
        finer, finer_region = np.asarray(np.kron(pixels, split), np.float64), np.kron(region, split) > 0
        yield "resolution", before, measure(finer, finer_region, 0.05, **options), 1e-2
        yield f"gain_{mode}", before, measure(pixels * 2, region, **options), 1e-9
        yield f"offset_{mode}", before, measure(pixels + 16, region, **options), 1e-9


def _differs(a: float, b: float, tolerance: float) -> bool:
    return abs(a - b) > tolerance * max(abs(a), 1e-9)


def test_invariances_are_what_pyradiomics_does(images: list[tuple[Pixels, Region]]) -> None:
    """A claim holds on every image; what is not claimed is broken by at least one."""
    broken: set[tuple[str, str]] = set()
    seen: set[str] = set()
    for pixels, region in images:
        for field, before, after, tolerance in _changes(pixels, region):
            seen.add(field)
            broken |= {(key, field) for key in before if _differs(before[key], after[key], tolerance)}
    assert seen == {"rotation", "spacing", "resolution", "gain_count", "gain_width", "offset_count", "offset_width"}
    for key, field in itertools.product(FEATURES, seen):
        assert getattr(FEATURES[key].invariances, field) == ((key, field) not in broken), (key, field)


def test_an_offset_by_whole_bins_leaves_grey_levels_alone(images: list[tuple[Pixels, Region]]) -> None:
    pixels, region = images[-1]
    before, after = measure(pixels, region, **WIDTH), measure(pixels + 15, region, **WIDTH)
    for key in set(names()) - set(names(["firstorder"])):
        assert not _differs(before[key], after[key], 1e-9), key


def test_units_scale_as_they_say() -> None:
    """Twice the intensity, twice the millimetres: each value grows by the powers of its unit."""
    pixels, region = smooth(3)
    before = measure(pixels, region, **COUNT)
    for what, after in (
        ("intensity", measure(pixels * 2, region, **COUNT)),
        ("mm", measure(pixels, region, 0.2, **COUNT)),
    ):
        for key, one in FEATURES.items():
            found = re.search(rf"(1/)?\b{what}(?:\^(\d))?", one.unit)
            power = 0 if found is None else int(found[2] or 1) * (-1 if found[1] else 1)
            assert after[key] == pytest.approx(before[key] * 2.0**power, rel=1e-9), key


def test_image_type_names_are_pyradiomics_own() -> None:
    pixels, region = smooth(4)
    settings = RadiomicsSettings(image_types=IMAGE_TYPES, wavelet_level=2, log_sigma_mm=(0.5, 1, 2.25))
    extractor = RadiomicsFeatureExtractor(additionalInfo=False, **COUNT)
    extractor.disableAllFeatures()
    extractor.enableFeaturesByName(firstorder=["Mean"])
    extractor.disableAllImageTypes()
    extra = {"Wavelet": {"level": 2}, "LoG": {"sigma": list(settings.log_sigma_mm)}}
    for name in IMAGE_TYPES:
        extractor.enableImageTypeByName(name, customArgs=extra.get(name, {}))
    image: Any = SimpleITK.GetImageFromArray(np.round(pixels))
    mask: Any = SimpleITK.GetImageFromArray(region.astype(np.uint8))
    for one in (image, mask):
        one.SetSpacing((0.1, 0.1))
    found = [key.split("_")[0] for key in extractor.execute(image, mask)]
    assert list(image_type_names(settings)) == found
    assert {image_type(name).setting for name in found} == set(IMAGE_TYPES)


@pytest.mark.parametrize(("axis", "band"), [(0, "LH"), (1, "HL")])
def test_wavelet_words_tell_the_direction(axis: int, band: str) -> None:
    """An image that changes only from row to row has detail in one band alone."""
    wave = np.where(np.arange(64) % 4 < 2, 100.0, 0.0)
    pixels = np.broadcast_to(np.expand_dims(wave, 1 - axis), (64, 64)).copy()
    image = SimpleITK.GetImageFromArray(pixels)
    bands = {
        name: float(SimpleITK.GetArrayFromImage(one).std())
        for one, name, _ in radiomics.imageoperations.getWaveletImage(image, image)
    }
    details = {name: spread for name, spread in bands.items() if name != "wavelet-LL"}
    assert max(details, key=lambda name: details[name]) == f"wavelet-{band}"
    assert sum(details.values()) == pytest.approx(details[f"wavelet-{band}"])
    words = "from top to bottom" if axis == 0 else "from left to right"
    assert words in image_type(f"wavelet-{band}").title


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (
            "bmode.peritumoral.wavelet-HL.glcm.Contrast",
            "B-mode, 5 mm ring around the lesion, detail from left to right (wavelet HL): "
            "contrast between neighbouring pixels (grey level²)",
        ),
        ("bmode.intratumoral.original.shape2D.MeshSurface", "B-mode, inside the lesion: area inside the outline (mm²)"),
        ("elasto.combined.original.firstorder.Mean", "elastography, lesion and 5 mm ring: mean stiffness (kPa)"),
        (
            "elasto.intratumoral.gradient.firstorder.Variance",
            "elastography, inside the lesion, steepness of edges (gradient): variance of the stiffness ((kPa/mm)²)",
        ),
        (
            "bmode.intratumoral.wavelet3-LL.glszm.ZoneEntropy",
            "B-mode, inside the lesion, smoothed image (wavelet LL, level 3): disorder of patches (bit)",
        ),
        (
            "bmode.intratumoral.log-sigma-0-5-mm-3D.firstorder.Skewness",
            "B-mode, inside the lesion, blobs and edges of about 0.5 mm (Laplacian of Gaussian): "
            "imbalance between dark and bright pixels",
        ),
    ],
)
def test_a_column_in_plain_words(column: str, sentence: str) -> None:
    assert describe(column, RadiomicsSettings(margin_mm=5.0)) == sentence


def test_every_column_that_can_be_measured_has_words() -> None:
    settings = RadiomicsSettings(image_types=IMAGE_TYPES, wavelet_level=3)
    sentences = set()
    for image, key in itertools.product(image_type_names(settings), names(CLASSES[1:])):
        column = f"bmode.intratumoral.{image}.{key}"
        assert re.fullmatch(FEATURE_PATTERN, column)
        sentences.add(describe(column, settings))
        assert parse(column)[3].key == key
    assert len(sentences) == len(image_type_names(settings)) * 93


def test_units_follow_the_image() -> None:
    column = "bmode.intratumoral.gradient.firstorder.Mean"
    assert describe(column).endswith("(grey value/mm)")
    assert describe(column, RadiomicsSettings(gradient_in_mm=False)).endswith("(grey value/pixel)")
    assert describe("elasto.intratumoral.original.firstorder.Mean", intensity="%").endswith("mean stiffness (%)")
    assert describe("bmode.intratumoral.lbp-2D.firstorder.Mean").endswith("mean brightness")
    assert describe("bmode.peritumoral.original.firstorder.Mean").startswith("B-mode, ring around the lesion: ")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (
            "bmode.intratumoral.original.glcm.Constrast",
            "'glcm.Constrast', which does not exist; the nearest is glcm.Contrast",
        ),
        ("bmode.intratumoral.original.glcm.Homogeneity1", "feature 'glcm.Homogeneity1', which does not exist"),
        (
            "bmode.intratumoral.original.glcmm.Contrast",
            "feature class 'glcmm', which does not exist; the nearest is glcm",
        ),
        (
            "bmode.intratumoral.wavelet-LLH.glcm.Contrast",
            "'wavelet-LLH', which does not exist; the nearest is wavelet-LL",
        ),
        ("bmode.intratumoral.wavelet1-LL.glcm.Contrast", "image type 'wavelet1-LL'"),
        ("bmode.tumour.original.glcm.Contrast", "the region 'tumour'"),
        ("mode.intratumoral.original.glcm.Contrast", "the modality 'mode', which does not exist; the nearest is bmode"),
        ("bmode.original.glcm.Contrast", r"expected \{modality\}"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(column: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        describe(column)


def test_the_manual_s_tolerance_by_printed_digits(shared_data: Path) -> None:
    assert printed_digits("-0.355") == 0.0005
    assert printed_digits("281") == 0.5
    assert printed_digits("358000.0") == 0.05
    values = phantom_values(shared_data / "ibsi")
    assert values["RNU0", ""].tolerance == 4
    assert values["ACUI", "2D, averaged"].agrees(5.284)
    assert not values["ACUI", "2D, averaged"].agrees(5.29)
    pixels, mask, spacing = read_phantom(shared_data / "ibsi")
    assert (pixels.shape, int(mask.sum()), spacing) == ((4, 4, 5), 74, (2.0, 2.0, 2.0))
    assert list(pixels[0, 0]) == [1, 4, 4, 1, 1]
