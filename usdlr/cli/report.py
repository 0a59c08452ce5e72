"""``usdlr report``: the report of a finished run, written again from its tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.journal import Journal
from usdlr.experiment.layout import Layout
from usdlr.experiment.runs import FINISHED, run_state
from usdlr.report.kept import read_kept
from usdlr.report.study import write_report

# The step of a run that writes its report; it is the last one.
RESULTS = "results"


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser(
        "report",
        "Write report.html, report.pdf and figures/ of a finished run again, from its tables alone: "
        "usdlr report RUN [--out DIR]",
    )
    parser.add_argument("run", type=str, help="folder that `usdlr run --out` wrote")
    parser.add_argument("--out", type=str, default=None, help="write there; by default into the run itself")
    options = parse(parser, argv)
    run = Path(options.run)
    out = run if options.out is None else Path(options.out)
    require_finished(run)
    _require_free(out, run)
    page, *others = write_report(read_kept(run), out)
    print(f"report: {page}")
    print(f"beside it: {', '.join(path.name for path in others if path.parent == out)} and figures/")


def require_finished(run: Path) -> None:
    """Refuse a folder that is not a run, and a run that is not finished or was taken up again since.

    Raises
    ------
    DataError
        With what it lacks.
    """
    layout = Layout(run)
    if not layout.config.is_file():
        raise DataError(f"found no run in {run}, expected a folder that `usdlr run --out` wrote; check the path")
    state, _ = run_state(run)
    journal = Journal(run)
    if state != FINISHED or not (journal.records / f"{RESULTS}.json").is_file():
        raise DataError(
            f"found {run} {state if state != FINISHED else 'without a record of its results'}, expected a finished "
            f"run; finish it with the command that began it, usdlr run ... --out {run}"
        )
    times = journal.times()
    done = times.get(RESULTS)
    later = [step for step, (_, ended) in times.items() if done is not None and ended > done[1]]
    if later:
        raise DataError(
            f"found {run} in progress: its step {later[0]} ended after its report was written, expected a finished "
            f"run; finish it with the command that began it, usdlr run ... --out {run}"
        )


def _require_free(out: Path, run: Path) -> None:
    if out.resolve() != run.resolve() and Layout(out).config.exists():
        raise ConfigError(f"found another run in {out}, whose report would be lost; choose another --out")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"found the file {out}, expected a folder for the report; choose another --out")
