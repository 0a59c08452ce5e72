"""``usdlr evaluate``: scores and outcomes from a plain CSV, whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.errors import ConfigError
from usdlr.core.hashing import file_hash
from usdlr.core.types import Stage
from usdlr.ingest.manifest_csv import read_csv_table
from usdlr.validation.scores_page import write_evaluation
from usdlr.validation.scores_read import DEFAULTS, PROBABILITY, SCALES, ScoreColumns, StageColumns, read_scores


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    options = parse(_parser(), argv)
    source = Path(options.predictions)
    if not source.is_file():
        raise ConfigError(f"found no file {source}, expected a CSV of ids, scores and outcomes; check --predictions")
    columns = _columns(options, set(read_csv_table(source, bool).header))
    table = read_scores(source, columns)
    title = options.title or source.stem
    written = write_evaluation(table, Path(options.out), title=title, source={source.name: file_hash(source)})
    print(f"report: {written[0]}")


def _parser() -> Any:
    parser = new_parser(
        "evaluate",
        "Judge scores from a CSV: discrimination, calibration, decision curves, operating points, comparisons. "
        "Outcomes: 1/0, yes/no, positive/negative, empty where unknown. Any separator, decimal point or comma.",
    )
    add = parser.add_argument
    add("--predictions", type=str, required=True, help="the CSV")
    add("--out", type=str, required=True, help="target folder")
    add("--title", type=str, default="", help="heading of the page; by default the file's name")
    add("--patient", type=str, default="patient_id", help="column of the patient: rows of one are a cluster")
    add("--side", type=str, default="side", help="column of the side, if there is one")
    add("--scale", type=str, default=PROBABILITY, help=f"of all scores: {', '.join(SCALES)}")
    add("--subgroups", type=str, default=[], nargs="+", help="columns to divide by")
    for stage, words in ((Stage.SLN, "sentinel nodes"), (Stage.NSLN, "non-sentinel nodes, among SLN-positive rows")):
        outcome, scores = DEFAULTS[stage]
        add(f"--{stage}_outcome", type=str | None, default=None, help=f"column of the outcome, {words} ({outcome})")
        told = f"columns of scores, the model in question first ({', '.join(scores)})"
        add(f"--{stage}_scores", type=str, default=[], nargs="+", help=told)
        add(f"--{stage}_threshold", type=float | None, default=None, help="positive at or above, on the scale given")
        add(f"--{stage}_alpha", type=float | None, default=None, help="tolerated false-negative rate, for a verdict")
    return parser


def _columns(options: Any, header: set[str]) -> ScoreColumns:
    """What was asked, or what the file's own names say."""
    stages = {}
    for stage in Stage:
        outcome, scores = DEFAULTS[stage]
        given = {key: getattr(options, f"{stage}_{key}") for key in ("outcome", "scores", "threshold", "alpha")}
        asked = any(value not in (None, []) for value in given.values())
        if not asked and not {outcome, *scores} <= header:
            continue
        stages[stage] = StageColumns(
            given["outcome"] or outcome, tuple(given["scores"] or scores), given["threshold"], given["alpha"]
        )
    if not stages:
        raise ConfigError(
            "found no columns sln and p_sln in the file, expected the outcome and the scores; name them with "
            "--sln_outcome and --sln_scores"
        )
    return ScoreColumns(stages, options.patient, options.side, tuple(options.subgroups), options.scale)
