"""``usdlr fit``: one fit of one stage of one fold, from an experiment's file or from a prepared run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from usdlr.cli.parsing import new_parser
from usdlr.cli.run import read_experiment
from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import nearest
from usdlr.core.types import Stage
from usdlr.experiment.layout import Layout
from usdlr.experiment.single_fit import fit_stage, taken_over


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("fit", "Fit one stage of one fold: usdlr fit --config FILE [--key value ...] --out DIR")
    parser.add_argument("--fold", type=str, default="0", help="name of the fold; bundle: the model that would ship")
    parser.add_argument("--stage", type=str, default=str(Stage.SLN), help="sln or nsln")
    parser.add_argument(
        "--from", type=str | None, default=None, help="a run whose cases, features and crops are taken over"
    )
    prepared = _given(argv, "--from")
    words = list(argv)
    if prepared is not None and _given(argv, "--config") is None and (not words or words[0].startswith("-")):
        config = Layout(Path(prepared)).config
        if not config.is_file():
            raise ConfigError(
                f"found no {config.name} in {prepared}, expected the folder of a run; name one with --from, or give "
                "--config FILE"
            )
        words = ["--config", str(config), *words]  # what follows it overrides it
    options, experiment = read_experiment(parser, words)
    stages = list(map(str, Stage))
    if options.stage not in stages:
        raise ConfigError(
            f"found --stage {options.stage}, expected {' or '.join(stages)}{nearest(options.stage, stages)}"
        )
    if prepared is not None and Layout(Path(prepared)).config.is_file():
        print(taken_over(experiment, Path(options.out), Path(prepared)), flush=True)
    found = fit_stage(
        experiment,
        Path(options.out),
        options.fold,
        Stage(options.stage),
        prepared=None if prepared is None else Path(prepared),
    )
    print(f"stage {options.stage} of fold {options.fold}, {found.sentence}")
    print(f"course: {found.course}")
    print(f"fitted: {found.folder}")


def _given(argv: Sequence[str], option: str) -> str | None:
    """The value of an option, before the words are parsed: it says where the configuration lies."""
    for place, word in enumerate(argv):
        if word == option and place + 1 < len(argv):
            return argv[place + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None
