"""The benchmark's own parts: regions of the promised size, deviations as planted, lines as drawn."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
import pytest

from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.radiomics.benchmark import (
    Timing,
    deviation,
    full_settings,
    regions_of,
    simulated_samples,
    speckle,
    straight_line,
    time_patients,
    time_regions,
)
from usdlr.radiomics.benchmark_process import Task, memory, rate, starts
from usdlr.radiomics.engines import NATIVE, build_engine
from usdlr.radiomics.settings import RadiomicsSettings


class Fixed:
    """Gives the same numbers for everything, some of them moved."""

    def __init__(self, moved: Mapping[str, float] | None = None) -> None:
        self.settings = RadiomicsSettings()
        self.values = {"original.glcm.A": 2.0, "original.glcm.B": 0.0, "original.glcm.C": float("nan")} | dict(
            moved or {}
        )
        self.calls = 0

    def measure(
        self, pixels: FloatArray, rois: Mapping[str, BoolArray], spacing: Spacing, *, shape: Collection[str] = ()
    ) -> dict[str, dict[str, float]]:
        self.calls += 1
        return {name: dict(self.values) for name in rois}


def test_regions_have_the_pixels_that_were_asked_for() -> None:
    rois = regions_of((512, 640), 15000, 31000)
    assert [int(roi.sum()) for roi in rois.values()] == [15000, 31000]
    lesion, ring = rois.values()
    assert not (lesion & ring).any()
    # The ring touches the lesion all around.
    rim = np.pad(lesion, 1)
    grown = rim[:-2, 1:-1] | rim[2:, 1:-1] | rim[1:-1, :-2] | rim[1:-1, 2:]
    assert not (grown & ~lesion & ~ring).any()


def test_speckle_is_log_compressed_rayleigh() -> None:
    """20 log10 of a Rayleigh amplitude has a standard deviation of 5.57 dB, whatever its mean (Dutt and Greenleaf)."""
    small = speckle((256, 256), 1)
    assert small.min() >= 0
    assert small.max() <= 255
    assert (small == np.rint(small)).all()
    rows = small - np.array([row.mean() for row in small])[:, None]
    assert 0.8 * 4 * 5.57 < rows.std() < 1.3 * 4 * 5.57  # four grey levels per dB, and tissue varies a little
    assert (speckle((64, 64), 2) == speckle((64, 64), 2)).all()
    assert (speckle((64, 64), 2) != speckle((64, 64), 3)).any()


def test_the_full_set_has_939_features() -> None:
    sample = simulated_samples(1, (96, 96), (500, 900), ("bmode",))[0]
    found = build_engine(NATIVE, full_settings()).measure(
        sample.images["bmode"], sample.rois, sample.spacing, shape=["intratumoral"]
    )
    assert [len(features) for features in found.values()] == [939, 930]


@pytest.mark.parametrize(
    ("moved", "largest", "where"),
    [
        ({}, 0.0, "none"),
        ({"original.glcm.A": 2.0 * (1 + 1e-6)}, 1e-6, "original.glcm.A"),
        ({"original.glcm.B": 1e-13}, 0.0, "none"),
        ({"original.glcm.B": 1e-6}, 1e6, "original.glcm.B"),
        ({"original.glcm.C": 1.0}, math.inf, "original.glcm.C"),
        ({"original.glcm.D": 1.0}, math.inf, "original.glcm.D"),
    ],
)
def test_a_planted_deviation_is_found(moved: dict[str, float], largest: float, where: str) -> None:
    samples = simulated_samples(2, (32, 32), (60, 90), ("bmode", "elasto"))
    found = deviation(Fixed(moved), Fixed(), samples)
    assert found.largest == pytest.approx(largest)
    assert found.feature.endswith(where)
    assert found.compared == 2 * 2 * 2 * (4 if "original.glcm.D" in moved else 3)
    assert (found.within == 1.0) == (largest <= 1e-8)


def test_calls_are_counted() -> None:
    samples = simulated_samples(2, (32, 32), (60, 90), ("bmode", "elasto"))
    engine = Fixed()
    assert (time_regions(engine, samples, 3).calls, engine.calls) == (2 * 2 * 2 * 3, 25)  # and one to warm up
    timing = time_patients(Fixed(), samples, 3)
    assert (timing.calls, timing.features) == (6, 12)
    assert timing.best_ms <= timing.median_ms


def test_a_straight_line_is_found() -> None:
    times = {size: Timing(0.0, 3.0 * size / 1000 + 7.0, 1, 1) for size in (1000, 2000, 5000)}
    assert straight_line(times) == pytest.approx((3.0, 7.0, 1.0))


def test_processes_measure_and_report() -> None:
    task = Task((48, 48), (80, 160), ("bmode",))
    assert rate(NATIVE, task, jobs=1, patients=2) > 0
    _, warm = starts("pyradiomics", task)
    assert 0 < warm.second_s < warm.whole_s
    assert 0 < warm.first_s < warm.whole_s


def test_memory_of_the_engine_is_flat() -> None:
    """939 features of each region; what one region takes is given back before the next."""
    sizes = dict(memory(NATIVE, 200))
    assert list(sizes) == list(range(20, 220, 20))
    assert sizes[200] - sizes[60] < 8  # MiB
