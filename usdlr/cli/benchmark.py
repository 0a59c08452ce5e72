"""``usdlr benchmark``: how fast, and at what deviation. Each benchmark is a module of its own, imported lazily."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import nearest

BENCHMARKS = {
    "radiomics": "time per region and patient of both radiomics engines and of installed peers",
    "training": "images per second of a fit beside a bare PyTorch loop with the same model, batch and precision",
    "loading": "images per second of the loader beside what the network takes",
    "inference": "one patient from DICOM files to a decision, redrawn contours, and a stream of patients",
}


def execute(argv: Sequence[str]) -> None:
    """Run one benchmark.

    Raises
    ------
    ConfigError
        If there is none of that name, or an option is wrong.
    """
    name = argv[0] if argv else ""
    if name in ("-h", "--help"):
        print("usage: usdlr benchmark NAME ...\n")
        print("\n".join(f"  {known:<10} {text}" for known, text in BENCHMARKS.items()))
        return
    if name not in BENCHMARKS:
        raise ConfigError(
            f"found the benchmark {name!r}, expected one of {', '.join(BENCHMARKS)}{nearest(name, BENCHMARKS)}"
        )
    module = "fits" if name in ("training", "loading") else name
    importlib.import_module(f"usdlr.cli.benchmark_{module}").execute(argv)
