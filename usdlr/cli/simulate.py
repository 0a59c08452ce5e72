"""``usdlr simulate``: a cohort with known truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.errors import ConfigError
from usdlr.core.files import write_text
from usdlr.core.pool import default_jobs
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.export import DEFAULT_CENTRES, simulate
from usdlr.simulate.plan import ExportFormat
from usdlr.simulate.scenario import SCENARIOS
from usdlr.simulate.scenario_file import find_scenario, scenario_yaml


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("simulate", "Draw patients of simulated centres and render their ultrasound images.")
    parser.add_argument("--out", type=str, default=None, help="folder of the cohort")
    parser.add_argument("--patients", type=int, default=None, help="number of patients")
    parser.add_argument("--seed", type=int, default=None, help="the same seed gives the same bytes")
    parser.add_argument(
        "--centres", type=str, nargs="+", default=list(DEFAULT_CENTRES), help=f"names out of {', '.join(CENTRES)}"
    )
    parser.add_argument("--scenario", type=str, default="default", help=f"{', '.join(SCENARIOS)}, or a YAML file")
    parser.add_argument(
        "--format", type=Literal["png", "dicom"], default="png", help="png: tissue alone; dicom: a scanner's screens"
    )
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes side by side")
    parser.add_argument(
        "--template", type=str, default=None, help="write the scenario with all its coefficients to this file"
    )
    options = parse(parser, argv)
    scenario = find_scenario(options.scenario)
    if options.template is not None:
        path = Path(options.template)
        if path.exists():
            raise ConfigError(f"found the file {path}, expected a new one; choose another name")
        write_text(path, scenario_yaml(scenario))
        print(f"scenario {scenario.name}: {path}; change it and give it to --scenario")
        return
    for name in ("out", "patients", "seed"):
        if getattr(options, name) in (None, ""):
            raise ConfigError(f"found no --{name}, expected one; e.g. usdlr simulate --out DIR --patients 100 --seed 1")
    if options.jobs < 1:
        raise ConfigError(f"found jobs = {options.jobs}, expected at least 1")
    simulate(
        Path(options.out),
        patients=options.patients,
        seed=options.seed,
        centres=options.centres,
        scenario=scenario,
        export=ExportFormat(options.format),
        jobs=options.jobs,
    )
    print(f"simulated cohort: {options.out}")
