"""How fast engines measure, and how far their values part: same images, same regions, one thread, one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, gaussian_filter

from usdlr.core.hashing import derive_seed
from usdlr.core.modalities import BMODE
from usdlr.core.types import Roi
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.radiomics.engines import Engine
from usdlr.radiomics.settings import RadiomicsSettings, preset

LESION, RING = str(Roi.INTRATUMORAL), str(Roi.PERITUMORAL)
SPACING = Spacing(0.1, 0.1)

# Values this close to zero are compared absolutely.
NEAR_ZERO = 1e-12
SAME = 1e-8

Values = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Sample:
    """The images of one examination.

    Parameters
    ----------
    name : str
        For the report.
    images : mapping of str to float32 array, (rows, columns)
        By modality.
    rois : mapping of str to bool array, (rows, columns)
        Regions, the same on every modality.
    spacing : Spacing
        Of all arrays.
    """

    name: str
    images: Mapping[str, FloatArray]
    rois: Mapping[str, BoolArray]
    spacing: Spacing


@dataclass(frozen=True)
class Timing:
    """Times of one engine.

    Parameters
    ----------
    median_ms, best_ms : float
        Milliseconds of one call.
    calls : int
        Number of calls timed.
    features : int
        Values that one call gave.
    """

    median_ms: float
    best_ms: float
    calls: int
    features: int


@dataclass(frozen=True)
class Deviation:
    """How far two engines part.

    Parameters
    ----------
    compared : int
        Values both gave.
    largest : float
        Largest relative difference; below 1e-12 of absolute difference it is 0.
    feature : str
        Where it is: sample, modality, region and feature.
    within : float
        Share of values that agree within 1e-8.
    """

    compared: int
    largest: float
    feature: str
    within: float


def full_settings() -> RadiomicsSettings:
    """The set of 939 features on the image's own grid: original, wavelet, five widths of Laplacian of Gaussian."""
    return RadiomicsSettings(**{**preset("ultrasound").as_dict(), "pixel_mm": None, "min_pixels": 2})


def speckle(shape: tuple[int, int], seed: int) -> FloatArray:
    """Log-compressed Rayleigh speckle in 256 grey levels, float32 (rows, columns)."""
    rng = np.random.default_rng(seed)
    echo = gaussian_filter(rng.normal(size=(2, *shape)), (0, 1.0, 1.8))
    amplitude = np.hypot(*echo) / np.hypot(*echo).mean()
    tissue = 1 + 0.5 * gaussian_filter(rng.normal(size=shape), 24) * 24
    grey = 120 + 40 * np.log10(np.maximum(amplitude * np.maximum(tissue, 0.1), 1e-3) ** 2)
    return np.asarray(np.clip(np.rint(grey), 0, 255), dtype=np.float32)


def stiffness(shape: tuple[int, int], seed: int) -> FloatArray:
    """A smooth map in kPa in steps of 0.01, float32 (rows, columns)."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=shape), 9)
    kpa = 25 * np.exp(0.8 * field / field.std()) + rng.normal(0, 1.0, shape)
    return np.asarray(np.rint(np.clip(kpa, 0, 300) * 100) / 100, dtype=np.float32)


def regions_of(shape: tuple[int, int], lesion_pixels: int, ring_pixels: int) -> dict[str, BoolArray]:
    """An ellipse in the middle and the ring around it, each of exactly so many pixels where the image has room."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    rim = 1 + 0.12 * np.sin(5 * np.arctan2(rows - shape[0] / 2, cols - shape[1] / 2))
    radius = np.hypot((rows - shape[0] / 2 + 0.3) / 0.75, cols - shape[1] / 2 + 0.2) / rim
    lesion = _nearest(radius, lesion_pixels)
    away = np.where(lesion, np.inf, distance_transform_edt(~lesion) + radius * 1e-6)
    return {LESION: lesion, RING: _nearest(away, min(ring_pixels, int((~lesion).sum())))}


def _nearest(distance: npt.NDArray[np.float64], count: int) -> BoolArray:
    chosen = np.zeros(distance.size, dtype=bool)
    chosen[np.argsort(distance, axis=None, kind="stable")[:count]] = True
    return chosen.reshape(distance.shape)


def simulated_samples(
    count: int, shape: tuple[int, int], pixels: tuple[int, int], modalities: Sequence[str]
) -> list[Sample]:
    """Speckle and stiffness maps with a lesion and a ring of the given numbers of pixels."""
    rois = regions_of(shape, *pixels)
    samples = []
    for i in range(count):
        images = {
            name: (speckle if name == BMODE else stiffness)(shape, derive_seed("benchmark", name, i))
            for name in modalities
        }
        samples.append(Sample(f"simulated {i + 1}", images, rois, SPACING))
    return samples


def one_thread() -> None:
    """Hold every library to one thread, in this process and from now on."""
    import cv2
    import threadpoolctl  # type: ignore[import-untyped]  # publishes no types

    cv2.setNumThreads(1)
    threadpoolctl.threadpool_limits(1)
    try:
        import SimpleITK
    except ImportError:
        return
    process: Any = SimpleITK.ProcessObject
    process.SetGlobalDefaultNumberOfThreads(1)


def measure_patient(engine: Engine, sample: Sample) -> dict[str, Values]:
    """Every modality in every region, as extraction does it: one call per modality."""
    return {
        modality: engine.measure(pixels, sample.rois, sample.spacing, shape=[LESION] if modality == BMODE else [])
        for modality, pixels in sample.images.items()
    }


def time_regions(engine: Engine, samples: Sequence[Sample], repeat: int) -> Timing:
    """Times of single regions: each call has one image and one region, shape included."""
    calls = [
        (pixels, {name: roi}, sample.spacing, name)
        for sample in samples
        for pixels in sample.images.values()
        for name, roi in sample.rois.items()
    ]

    def call(one: tuple[Any, ...]) -> int:
        pixels, rois, spacing, name = one
        return len(engine.measure(pixels, rois, spacing, shape=[name])[name])

    return timed(call, calls, repeat)


def time_patients(engine: Engine, samples: Sequence[Sample], repeat: int) -> Timing:
    """Times of whole examinations: every modality in every region."""

    def call(sample: Sample) -> int:
        found = measure_patient(engine, sample)
        return sum(len(features) for regions in found.values() for features in regions.values())

    return timed(call, samples, repeat)


def timed(call: Callable[[Any], int], items: Sequence[Any], repeat: int) -> Timing:
    """Time ``call`` on every item ``repeat`` times, after one call that nobody times."""
    call(items[0])
    seconds: list[float] = []
    features = 0
    for _ in range(repeat):
        for item in items:
            start = time.perf_counter()
            found = call(item)
            seconds.append(time.perf_counter() - start)
            features = max(features, found)
    return Timing(1e3 * float(np.median(seconds)), 1e3 * min(seconds), len(seconds), features)


def deviation(ours: Engine, reference: Engine, samples: Sequence[Sample]) -> Deviation:
    """Compare two engines, feature by feature; one value against none counts as infinitely far."""
    largest, feature, compared, within = 0.0, "none", 0, 0
    for sample in samples:
        mine, theirs = measure_patient(ours, sample), measure_patient(reference, sample)
        for modality, regions in theirs.items():
            for region, features in regions.items():
                for name in sorted(set(features) | set(mine[modality][region])):
                    found = mine[modality][region].get(name, np.inf)
                    distance = _relative(found, features.get(name, np.inf))
                    compared += 1
                    within += distance <= SAME
                    if distance > largest:
                        largest, feature = distance, f"{sample.name}, {modality}.{region}.{name}"
    return Deviation(compared, largest, feature, within / max(compared, 1))


def _relative(found: float, expected: float) -> float:
    if (np.isnan(found) and np.isnan(expected)) or abs(found - expected) <= NEAR_ZERO:
        return 0.0
    if not (np.isfinite(found) and np.isfinite(expected)):
        return float("inf")
    return abs(found - expected) / max(abs(expected), NEAR_ZERO)


def time_sizes(engine: Engine, shape: tuple[int, int], sizes: Sequence[int], repeat: int) -> dict[int, Timing]:
    """Times of one B-mode image with lesions of growing size, by number of pixels."""
    pixels = speckle(shape, derive_seed("benchmark", BMODE, 0))
    out = {}
    for size in sizes:
        rois = {LESION: regions_of(shape, size, 1)[LESION]}
        out[size] = timed(lambda one: len(engine.measure(pixels, one, SPACING, shape=[])[LESION]), [rois], repeat)
    return out


def straight_line(times: Mapping[int, Timing]) -> tuple[float, float, float]:
    """Milliseconds per 1000 pixels, milliseconds at none, and the share of variance that the line explains."""
    x = np.array(list(times), dtype=np.float64) / 1000
    y = np.array([timing.best_ms for timing in times.values()])
    slope, offset = np.polyfit(x, y, 1)
    rest = y - (slope * x + offset)
    return float(slope), float(offset), float(1 - (rest**2).sum() / max(((y - y.mean()) ** 2).sum(), 1e-30))
