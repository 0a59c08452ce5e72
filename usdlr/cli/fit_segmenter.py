"""``usdlr fit_segmenter``: networks that outline lesions, judged by patients they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from usdlr.cli.parsing import new_parser, parse
from usdlr.experiment.segmentation.config import SegmentationConfig
from usdlr.experiment.segmentation.run import run_segmentation


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    config, out = read_config(argv)
    print(f"report: {run_segmentation(config, out)}")


def read_config(argv: Sequence[str]) -> tuple[SegmentationConfig, Path]:
    """The resolved configuration and the target folder.

    Raises
    ------
    ConfigError
        If a key or value is wrong.
    """
    parser = new_parser(
        "fit_segmenter",
        "Fit networks that outline lesions, fold by fold, judge them and write a bundle for `usdlr segment`: usdlr "
        "fit_segmenter experiments/segmentation_busbra/outlines.yaml --data.root FOLDER --out DIR",
    )
    parser.add_argument("--config", action="config", help="the experiment's file; may stand first without the option")
    parser.add_argument("--out", type=str, required=True, help="target folder; an interrupted run there continues")
    parser.add_class_arguments(SegmentationConfig, None, sub_configs=True)
    words = list(argv)
    if words and not words[0].startswith("-"):
        words.insert(0, "--config")
    options = parse(parser, words)
    found = SegmentationConfig(**{one.name: options[one.name] for one in fields(SegmentationConfig)})
    return found, Path(options.out)
