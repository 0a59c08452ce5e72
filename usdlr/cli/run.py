"""``usdlr run``: an experiment from one configuration file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

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
    options, config = read_experiment(parser, argv)
    return config, Path(options.out)


def read_experiment(parser: ArgumentParser, argv: Sequence[str]) -> tuple[Namespace, ExperimentConfig]:
    """What a command about an experiment was given, and the resolved configuration.

    Parameters
    ----------
    parser : ArgumentParser
        With the command's own options; those of an experiment and ``--out`` are added.
    argv : sequence of str
        Words after the command; the experiment's file may stand first.

    Raises
    ------
    ConfigError
        If a key or value is wrong.
    """
    parser.add_argument("--config", action="config", help="the experiment's file; may stand first without the option")
    parser.add_argument("--out", type=str, required=True, help="folder of the run; an interrupted run there continues")
    parser.add_class_arguments(ExperimentConfig, None, sub_configs=True)
    words = list(argv)
    if words and not words[0].startswith("-"):
        words.insert(0, "--config")
    options = parse(parser, words)
    return options, ExperimentConfig(**{field.name: options[field.name] for field in fields(ExperimentConfig)})
