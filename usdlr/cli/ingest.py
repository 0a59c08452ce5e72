"""``usdlr ingest``: a centre's export becomes tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.pool import default_jobs
from usdlr.ingest.pipeline import ingest


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("ingest", "Read a centre's export into cases.parquet, exclusions.csv and canonical images.")
    parser.add_argument("source", type=str, help="folder of the export")
    parser.add_argument("--centre", type=str, required=True, help="name of the centre's adapter")
    parser.add_argument("--out", type=str, required=True, help="target folder")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes side by side")
    options = parse(parser, argv)
    result = ingest(Path(options.source), options.centre, Path(options.out), jobs=options.jobs)
    print(f"{len(result.cases)} cases: {Path(options.out) / 'cases.parquet'}")
    print(f"{len(result.exclusions)} exclusions: {Path(options.out) / 'exclusions.csv'}")
    for code, count in result.exclusions["code"].value_counts().sort_index().items():
        print(f"  {code}: {count}")
