"""``usdlr simulate``: a cohort with known truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.pool import default_jobs
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.export import simulate


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("simulate", "Draw patients of simulated centres and render their ultrasound images.")
    parser.add_argument("--out", type=str, required=True, help="folder of the cohort")
    parser.add_argument("--patients", type=int, required=True, help="number of patients")
    parser.add_argument("--seed", type=int, required=True, help="the same seed gives the same bytes")
    parser.add_argument("--centres", type=str, nargs="+", default=list(CENTRES), help="names of simulated centres")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes side by side")
    options = parse(parser, argv)
    simulate(
        Path(options.out), patients=options.patients, seed=options.seed, centres=options.centres, jobs=options.jobs
    )
    print(f"simulated cohort: {options.out}")
