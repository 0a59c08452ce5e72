"""``usdlr fit_table``: plain learners on a table of ready-made features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from usdlr.cli.parsing import new_parser, parse
from usdlr.experiment.feature_table import FeatureTableConfig
from usdlr.experiment.feature_table_run import run_feature_table


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    config, out = read_config(argv)
    print(f"report: {run_feature_table(config, out)}")


def read_config(argv: Sequence[str]) -> tuple[FeatureTableConfig, Path]:
    """The resolved configuration and the target folder.

    Raises
    ------
    ConfigError
        If a key or value is wrong.
    """
    parser = new_parser(
        "fit_table",
        "Fit and judge plain learners on a table of features and outcomes: usdlr fit_table "
        "experiments/feature_table/table.yaml --table.file FILE --out DIR",
    )
    parser.add_argument("--config", action="config", help="the experiment's file; may stand first without the option")
    parser.add_argument("--out", type=str, required=True, help="target folder")
    parser.add_class_arguments(FeatureTableConfig, None, sub_configs=True)
    words = list(argv)
    if words and not words[0].startswith("-"):
        words.insert(0, "--config")
    options = parse(parser, words)
    found = FeatureTableConfig(**{one.name: options[one.name] for one in fields(FeatureTableConfig)})
    return found, Path(options.out)
