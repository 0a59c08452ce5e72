"""``usdlr run``: an experiment from one configuration file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from usdlr.cli.parsing import new_parser, parse
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.run import run_experiment


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    config, out = read_config(argv)
    report = run_experiment(config, out)
    print(f"report: {report}")


def read_config(argv: Sequence[str]) -> tuple[ExperimentConfig, Path]:
    """The resolved configuration and the target folder.

    Raises
    ------
    ConfigError
        If a key or value is wrong.
    """
    parser = new_parser(
        "run", "Run an experiment: usdlr run experiments/NAME/experiment.yaml [--key value ...] --out DIR"
    )
    parser.add_argument("--config", action="config", help="the experiment's file; may stand first without the option")
    parser.add_argument("--out", type=str, required=True, help="folder of the run; an interrupted run there continues")
    parser.add_class_arguments(ExperimentConfig, None, sub_configs=True)
    words = list(argv)
    if words and not words[0].startswith("-"):
        words.insert(0, "--config")
    options = parse(parser, words)
    values = {field.name: options[field.name] for field in fields(ExperimentConfig)}
    return ExperimentConfig(**values), Path(options.out)
