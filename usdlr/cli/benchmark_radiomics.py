"""``usdlr benchmark radiomics``: how fast the radiomics engines are, and how far they part."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from usdlr.cli.benchmark_peers import PEERS, time_peer
from usdlr.cli.parsing import new_parser, parse
from usdlr.core import tables
from usdlr.core.errors import CaseError, ConfigError, DataError
from usdlr.core.files import write_json
from usdlr.core.modalities import MODALITIES
from usdlr.core.pool import default_jobs
from usdlr.core.units import Spacing
from usdlr.imaging.rings import peritumoral_ring
from usdlr.imaging.store import read_case
from usdlr.radiomics.benchmark import (
    LESION,
    RING,
    Deviation,
    Sample,
    Timing,
    deviation,
    full_settings,
    one_thread,
    simulated_samples,
    straight_line,
    time_patients,
    time_regions,
    time_sizes,
)
from usdlr.radiomics.benchmark_process import Task, memory, rate, starts
from usdlr.radiomics.engines import ENGINES, NATIVE, PYRADIOMICS, Engine, build_engine

SIZES = (2000, 4000, 8000, 16000, 32000)
SMALLEST = 300
LARGEST_SHARE = 0.6  # of an image, for both regions


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("benchmark", "Measure how fast usdlr is on this machine, and how far engines part.")
    parser.add_argument("name", type=str, help="radiomics")
    parser.add_argument("--images", type=int, default=3, help="examinations to measure")
    parser.add_argument("--rows", type=int, default=512, help="of a simulated image")
    parser.add_argument("--cols", type=int, default=640, help="of a simulated image")
    parser.add_argument("--pixels", type=str, default="15000,31000", help="of the simulated lesion and of its ring")
    parser.add_argument(
        "--engines", type=str, nargs="+", default=[NATIVE, PYRADIOMICS], help="the last is the reference"
    )
    parser.add_argument("--modalities", type=str, nargs="+", default=list(MODALITIES), help="images of an examination")
    parser.add_argument("--repeat", type=int, default=3, help="times of every measurement")
    parser.add_argument("--cases", type=str, default=None, help="cases.parquet: real images instead of simulated ones")
    parser.add_argument("--memory", type=int, default=0, help="look at the memory over this many regions too")
    parser.add_argument("--quick", type=bool, default=False, help="leave out what starts processes")
    parser.add_argument("--out", type=str, default=None, help="write the figures to this .json too")
    options = parse(parser, argv)
    for name, low in (("images", 1), ("repeat", 1), ("rows", 64), ("cols", 64), ("memory", 0)):
        if getattr(options, name) < low:
            raise ConfigError(f"found --{name} {getattr(options, name)}, expected at least {low}")
    task = Task((options.rows, options.cols), _two_sizes(options.pixels), _modalities(options.modalities))
    if options.cases is None and sum(task.pixels) > LARGEST_SHARE * options.rows * options.cols:
        raise ConfigError(
            f"found --pixels {options.pixels} on an image of {options.rows} x {options.cols}, expected at most "
            f"{int(LARGEST_SHARE * options.rows * options.cols)} together; give larger --rows and --cols"
        )
    if not options.quick and min(options.rows, options.cols) < 256:
        raise ConfigError(
            f"found --rows {options.rows} --cols {options.cols}, expected at least 256 each to see times grow with the "
            "region; add --quick true for smaller images"
        )
    result = _radiomics(options, task)
    if options.out is not None:
        write_json(Path(options.out), result)


def _two_sizes(text: str) -> tuple[int, int]:
    try:
        lesion, ring = (int(word) for word in text.split(","))
    except ValueError as error:
        raise ConfigError(f"found --pixels {text!r}, expected two numbers such as 15000,31000") from error
    if min(lesion, ring) < SMALLEST:
        raise ConfigError(f"found --pixels {text!r}, expected at least {SMALLEST} pixels each")
    return lesion, ring


def _modalities(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in MODALITIES:
            raise ConfigError(f"found the modality {name!r}, expected some of {', '.join(MODALITIES)}")
    return tuple(dict.fromkeys(names))


def _radiomics(options: Any, task: Task) -> dict[str, Any]:
    one_thread()
    engines = _engines(options.engines)
    samples = (
        simulated_samples(options.images, task.shape, task.pixels, task.modalities)
        if options.cases is None
        else _real(Path(options.cases), options.images, task.modalities)
    )
    sizes = sorted({int(roi.sum()) for sample in samples for roi in sample.rois.values()})
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} processors, one thread per process")
    print(f"images: {len(samples)} examinations, regions of {sizes[0]} to {sizes[-1]} pixels, {options.repeat} repeats")
    result: dict[str, Any] = {"options": {key: getattr(options, key) for key in vars(options) if key != "out"}}
    result["regions"] = _section("one region of one image", engines, samples, options.repeat, time_regions)
    title = f"one patient ({len(task.modalities)} images x {len(samples[0].rois)} regions)"
    result["patients"] = _section(title, engines, samples, options.repeat, time_patients)
    result["peers"] = _peers(samples, options.repeat)
    names = list(engines)
    if len(names) > 1:
        found = deviation(engines[names[0]], engines[names[-1]], samples)
        result["deviation"] = asdict(found)
        print(f"values: {_deviation_text(found, names[0], names[-1])}")
    if not options.quick:
        result |= _processes(names[0], engines[names[0]], task, options)
    if options.memory:
        result["memory_mib"] = memory(names[0], options.memory)
        (first, low), (last, high) = result["memory_mib"][0], result["memory_mib"][-1]
        print(f"memory of {names[0]}: {low:.0f} MiB after {first} regions, {high:.0f} MiB after {last}")
    return result


def _engines(names: Sequence[str]) -> dict[str, Engine]:
    """Those that can be built; an engine whose library is absent is said to be."""
    engines = {}
    for name in dict.fromkeys(names):
        if name not in ENGINES:
            build_engine(name, full_settings())
        try:
            engine = build_engine(name, full_settings())
            engine.measure(*_smallest())
            engines[name] = engine
        except ConfigError as error:
            print(f"{name}: absent ({error})")
    if not engines:
        raise ConfigError(f"found none of the engines {', '.join(names)} installed, expected one")
    return engines


def _smallest() -> tuple[Any, Any, Spacing]:
    sample = simulated_samples(1, (64, 64), (300, 300), ("bmode",))[0]
    return sample.images["bmode"], sample.rois, sample.spacing


def _section(
    title: str, engines: dict[str, Engine], samples: list[Sample], repeat: int, measure: Any
) -> dict[str, Any]:
    print(f"{title}:")
    times: dict[str, Timing] = {name: measure(engine, samples, repeat) for name, engine in engines.items()}
    slowest = list(times.values())[-1]
    for name, timing in times.items():
        ratio = (
            ""
            if timing is slowest
            else f", {slowest.median_ms / timing.median_ms:.1f} times as fast as {list(times)[-1]}"
        )
        print(f"  {name:<12} {_timing_text(timing)}{ratio}")
    return {name: asdict(timing) for name, timing in times.items()}


def _timing_text(timing: Timing) -> str:
    return f"median {timing.median_ms:.1f} ms, best {timing.best_ms:.1f} ms, {timing.features} features"


def _peers(samples: list[Sample], repeat: int) -> dict[str, Any]:
    print("other packages, original image alone:")
    out: dict[str, Any] = {}
    for name in PEERS:
        found = time_peer(name, samples, repeat)
        print(f"  {name:<12} {found if isinstance(found, str) else _timing_text(found)}")
        out[name] = found if isinstance(found, str) else asdict(found)
    return out


def _deviation_text(found: Deviation, ours: str, reference: str) -> str:
    return (
        f"{ours} against {reference}, {found.compared} values, {100 * found.within:.4f} % within 1e-8; "
        f"largest relative difference {found.largest:.2g} at {found.feature}"
    )


def _processes(name: str, engine: Engine, task: Task, options: Any) -> dict[str, Any]:
    sizes = [size for size in SIZES if size < 0.5 * task.shape[0] * task.shape[1]]
    times = time_sizes(engine, task.shape, sizes, options.repeat)
    slope, offset, explained = straight_line(times)
    print(f"growth with the region, {name}, on simulated images as all below:")
    for size, timing in times.items():
        print(f"  {size:>7} pixels {timing.best_ms:8.1f} ms")
    print(
        f"  {slope:.2f} ms per 1000 pixels + {offset:.1f} ms; the line explains {100 * explained:.2f} % of the variance"
    )
    cold, warm = starts(name, task)
    for title, start in (("first start, nothing compiled", cold), ("next start, kernels on disk", warm)):
        print(f"{title}: first patient after {start.first_s:.1f} s, whole process {start.whole_s:.1f} s")
    rates = {jobs: rate(name, task, jobs=jobs, patients=4 * options.repeat * jobs) for jobs in (1, 2)}
    cores = "" if default_jobs() > 1 else " (this process may use one processor only)"
    print(f"two processes measure {rates[2] / rates[1]:.2f} times as many patients as one{cores}")
    return {
        "sizes": {str(size): asdict(timing) for size, timing in times.items()},
        "line": {"ms_per_1000_pixels": slope, "offset_ms": offset, "explained": explained},
        "cold_start": asdict(cold),
        "warm_start": asdict(warm),
        "patients_per_s": {str(jobs): value for jobs, value in rates.items()},
        "speed_up": rates[2] / rates[1],
    }


def _real(path: Path, count: int, modalities: Sequence[str]) -> list[Sample]:
    """The first cases that have every image and a spacing, on their own grid."""
    cases = tables.CASES.read(path)
    complete = cases["row_mm"].notna() & cases["mask_path"].notna()
    for name in modalities:
        complete &= cases[MODALITIES[name].path_column].notna()
    samples = []
    for number, row in enumerate(cases[complete].head(count).to_dict("records")):
        try:
            images = read_case({str(key): value for key, value in row.items()}, path.parent)
        except CaseError as error:
            print(f"case {number + 1}: left out ({error.sentence})")
            continue
        assert images.mask.spacing is not None
        ring = peritumoral_ring(images.mask, full_settings().margin_mm, images.fov)
        rois = {LESION: images.mask.pixels, RING: ring.pixels}
        arrays = {name: images.images[name].pixels for name in modalities}
        samples.append(Sample(f"case {number + 1}", arrays, rois, images.mask.spacing))
    if not samples:
        raise DataError(f"found no case with {' and '.join(modalities)} in {path.name}; name fewer --modalities")
    return samples
