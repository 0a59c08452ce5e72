"""``usdlr benchmark training`` and ``usdlr benchmark loading``."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.errors import ConfigError
from usdlr.core.files import write_json
from usdlr.models.encoders import require_encoders
from usdlr.models.settings import NetworkSettings
from usdlr.tasks.benchmark import Load, bare_loop, fitted, loaded
from usdlr.tasks.settings import FitSettings


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("benchmark", "Measure how fast networks are fitted here, and how fast batches are prepared.")
    parser.add_argument("name", type=str, help="training or loading")
    parser.add_class_arguments(NetworkSettings, "model", sub_configs=True)
    parser.add_class_arguments(FitSettings, "fit", sub_configs=True)
    parser.add_argument("--size_px", type=int, default=96, help="side of the crops in pixels")
    parser.add_argument("--axillae", type=int, default=64, help="axillae per epoch, two images each")
    parser.add_argument("--repeat", type=int, default=3, help="times of every measurement, in turn")
    parser.add_argument("--threads", type=int, default=1, help="threads of the measured process")
    parser.add_argument("--out", type=str, default=None, help="write the figures to this .json too")
    options = parse(parser, argv)
    for name, low in (("axillae", 4), ("repeat", 1), ("threads", 1), ("size_px", 32)):
        if getattr(options, name) < low:
            raise ConfigError(f"found --{name} {getattr(options, name)}, expected at least {low}")
    network, fit = NetworkSettings(**vars(options.model)), FitSettings(**vars(options.fit))
    require_encoders(network, options.size_px)
    torch.set_num_threads(options.threads)
    load = Load(network, fit, options.size_px, options.axillae)
    device = torch.cuda.get_device_name() if fit.accelerator in ("gpu", "cuda") else "CPU"
    print(
        f"{device}, {options.threads} thread, {network.backbone} at {options.size_px} px, "
        f"{len(network.image_blocks)} branches, batches of {fit.batch_size} axillae with two images each, "
        f"precision {fit.precision}, {fit.workers} loader workers, {options.repeat} repeats"
    )
    measured: dict[str, Callable[[Load], float]] = {"bare loop": bare_loop}
    measured |= {"loader": loaded} if options.name == "loading" else {"fit": fitted}
    speeds: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(options.repeat):  # in turn: what else the machine does falls on both alike
        for name, measure in measured.items():
            speeds[name].append(measure(load))
    for name, values in speeds.items():
        each = ", ".join(f"{value:.1f}" for value in values)
        print(f"{name}: {statistics.median(values):.1f} image sets per second (median of {each})")
    other = next(name for name in measured if name != "bare loop")
    ratios = [value / bare for value, bare in zip(speeds[other], speeds["bare loop"], strict=True)]
    each = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"{other} to bare loop: {statistics.median(ratios):.3f} (median of {each})")
    if options.out is not None:
        result: dict[str, Any] = {"device": device, "speeds": speeds, "ratios": ratios}
        write_json(Path(options.out), result)
