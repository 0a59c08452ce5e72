"""``usdlr sweep``: many runs from one file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from usdlr.cli.parsing import new_parser, parse
from usdlr.cli.run import read_config
from usdlr.cli.runs import aligned
from usdlr.core.errors import ConfigError, DataError
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.run import run_experiment
from usdlr.experiment.sweep.engine import run_sweep
from usdlr.experiment.sweep.report import write_results
from usdlr.experiment.sweep.settings import SweepSettings, read_sweep

_HELP = (
    "Run an ablation grid or a search: usdlr sweep configs/sweep/NAME.yaml --out DIR [--data.root FOLDER] "
    "[--key value ...]; every further --key goes to the experiment of all points. The same command continues."
)


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    settings, build, out = read_command(argv)
    result = run_sweep(settings, build, out, run=run_experiment)
    written = write_results(settings, build({}), result, out)
    print(aligned(written.summary))
    for line in written.lines:
        print(line)
    if not written.finished:
        raise DataError(f"found no point that could be finished; the first: {result.outcomes[0].reason}")


def read_command(
    argv: Sequence[str],
) -> tuple[SweepSettings, Callable[[Mapping[str, Any]], ExperimentConfig], Path]:
    """The sweep, what builds a point's configuration from its settings, and the target folder.

    Raises
    ------
    ConfigError
        If a word, key or value is wrong.
    """
    own, overrides = _divided(argv)
    parser = new_parser("sweep", _HELP)
    parser.add_argument("sweep", type=str, help="the sweep's file: experiment, method, grid or search")
    parser.add_argument(
        "--out", type=str, required=True, help="folder of the sweep; an interrupted one there continues"
    )
    options = parse(parser, own)
    path = Path(options.sweep)
    settings = read_sweep(path)
    return settings, builder(settings, path, overrides), Path(options.out)


def builder(
    settings: SweepSettings, path: Path, overrides: Sequence[str]
) -> Callable[[Mapping[str, Any]], ExperimentConfig]:
    """What builds the configuration of a point.

    Parameters
    ----------
    settings : SweepSettings
        The sweep.
    path : Path
        Its file, for messages.
    overrides : sequence of str
        Words of the command line that go to every point.

    Raises
    ------
    ConfigError
        If the command line sets a key that the sweep varies.
    """
    keys = [*settings.keys, *(["seed"] if settings.seeds else [])]
    for word in overrides:
        key = word.split("=")[0].removeprefix("--")
        if word.startswith("--") and key in keys:
            raise ConfigError(f"found --{key} on the command line, which {path} varies, expected one of the two")

    def build(own: Mapping[str, Any]) -> ExperimentConfig:
        words = [f"--{key}={_word(value)}" for key, value in own.items()]
        try:
            return read_config([settings.experiment, *overrides, *words, "--out", "unused"])[0]
        except ConfigError as error:
            raise ConfigError(_placed(str(error), own, path)) from error

    return build


def _placed(message: str, own: Mapping[str, Any], path: Path) -> str:
    """A message about a key that the sweep varies, with the sweep's file as the place of the mistake."""
    for key in own:
        place = re.compile(rf"({re.escape(repr(key))}) (?:in \S+?|on the command line)(?=[,:;]|$)")
        message = place.sub(lambda found: f"{found[1]} in {path}", message)
    return message


def _divided(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command's own words, and those for the experiment."""
    own: list[str] = []
    rest = list(argv)
    if rest and not rest[0].startswith("-"):
        own.append(rest.pop(0))
    overrides: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--out" and rest:
            own += [word, rest.pop(0)]
        elif word.startswith("--out=") or word in ("-h", "--help", "--out"):
            own.append(word)
        else:
            overrides.append(word)
    return own, overrides


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
