"""``usdlr benchmark inference``: one JSON line per figure."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.errors import ConfigError
from usdlr.core.files import write_json
from usdlr.inference.benchmark import CLOCKS, Setting, make, one_patient, redrawn, stream
from usdlr.models.encoders import require_encoders
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.settings import RadiomicsSettings


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("benchmark", "Measure how fast a bundle answers here: random weights, simulated DICOM files.")
    parser.add_argument("name", type=str, help="inference")
    parser.add_argument("--backbone", type=str, default="resnet18", help="of every image branch")
    parser.add_argument("--size_px", type=int, default=224, help="side of the crops in pixels")
    parser.add_argument("--pixel_mm", type=float | None, default=0.15, help="of the radiomics, as in experiments/demo")
    parser.add_argument("--networks", type=int, default=1, help="networks per stage")
    parser.add_argument("--threads", type=int, default=1, help="of the networks, as in a run")
    parser.add_argument("--repeat", type=int, default=5, help="times of every measurement")
    parser.add_argument("--contours", type=int, nargs="*", default=[12, 50], help="how often contours are redrawn")
    parser.add_argument("--patients", type=int, default=0, help="stream so many patients too")
    parser.add_argument("--jobs", type=int, default=1, help="processes of the stream")
    parser.add_argument(
        "--clock", type=str, default="wall", help="wall, or cpu: this process's share of a busy machine"
    )
    parser.add_argument("--out", type=str, default=None, help="write the figures to this .json too")
    options = parse(parser, argv)
    lows = {"size_px": 32, "networks": 1, "threads": 1, "repeat": 1, "patients": 0, "jobs": 1}
    for name, low in lows.items():
        if getattr(options, name) < low:
            raise ConfigError(f"found --{name} {getattr(options, name)}, expected at least {low}")
    if min(options.contours, default=1) < 1:
        raise ConfigError(f"found --contours {min(options.contours)}, expected at least 1, or none at all")
    if options.clock not in CLOCKS:
        raise ConfigError(f"found --clock {options.clock}, expected {' or '.join(CLOCKS)}")
    clock = CLOCKS[options.clock]
    network = NetworkSettings(backbone=options.backbone)
    require_encoders(network, options.size_px)
    radiomics = RadiomicsSettings(pixel_mm=options.pixel_mm)
    setting = Setting(network, options.size_px, radiomics, options.threads, options.networks)
    said: list[dict[str, Any]] = []

    def say(figure: str, **values: Any) -> None:
        said.append({"figure": figure, **values})
        print(json.dumps(said[-1]), flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        made = make(Path(scratch), setting)
        branches = len(network.image_blocks)
        say(
            "setting",
            backbone=options.backbone,
            size_px=options.size_px,
            branches=branches,
            stages=2,
            networks=options.networks,
            threads=options.threads,
            processors=os.cpu_count(),
            clock=options.clock,
        )
        say("one_patient", **one_patient(made, options.repeat, clock))
        if options.contours:
            say("contours", **redrawn(made, options.contours, max(options.repeat // 2, 1), clock))
        if options.patients:
            found = stream(made, options.patients, Path(scratch) / "stream", jobs=options.jobs, clock=clock)
            say("stream", **found)
    if options.out is not None:
        write_json(Path(options.out), said)
