"""``usdlr ingest``: a centre's export becomes tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.errors import ConfigError
from usdlr.core.pool import default_jobs
from usdlr.ingest.manifest import write_template
from usdlr.ingest.pipeline import Ingested, ingest
from usdlr.ingest.settings import IngestSettings


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("ingest", "Read a centre's export into cases.parquet, exclusions.csv and canonical images.")
    parser.add_argument("source", type=str, nargs="?", help="folder of the export")
    parser.add_argument("--centre", type=str, default=None, help="name of the centre's adapter")
    parser.add_argument("--out", type=str, default=None, help="target folder; a second ingest there reads only changes")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes side by side")
    parser.add_argument("--key", type=str, default=None, help="secret key of the pseudonyms (default: the user's own)")
    parser.add_argument("--preview", type=int, default=0, help="draw contact sheets of that many cases")
    parser.add_argument(
        "--template", type=str, default=None, help="write an example manifest into this folder and stop"
    )
    parser.add_class_arguments(IngestSettings, "settings")
    options = parse(parser, argv)
    if options.template is not None:
        written = write_template(Path(options.template))
        print("\n".join(f"wrote {path}" for path in written))
        return
    for name in ("source", "centre", "out"):
        if options[name] is None:
            word = "the folder of the export" if name == "source" else f"--{name}"
            raise ConfigError(f"found no {name}, expected {word}; see usdlr ingest --help")
    if options.preview < 0:
        raise ConfigError(f"found --preview {options.preview}, expected a number of cases of at least 0")
    out = Path(options.out)
    result = ingest(
        Path(options.source),
        options.centre,
        out,
        jobs=options.jobs,
        settings=options.settings,
        key_file=None if options.key is None else Path(options.key),
    )
    _say(result, out)
    if options.preview:
        # matplotlib is an extra and slow to import: only who asks for pictures needs it.
        from usdlr.report.contact_sheet import write_contact_sheets

        for sheet in write_contact_sheets(result.cases, out, out / "preview", count=options.preview):
            print(f"contact sheet: {sheet}")


def _say(result: Ingested, out: Path) -> None:
    print(f"{len(result.cases)} cases ({result.reused} unchanged since an earlier ingest): {out / 'cases.parquet'}")
    for source, count in result.cases["spacing_source"].value_counts().sort_index().items():
        print(f"  spacing from {source}: {count}")
    print(f"{len(result.exclusions)} exclusions: {out / 'exclusions.csv'}")
    for code, count in result.exclusions["code"].value_counts().sort_index().items():
        print(f"  {code}: {count}")
    print(f"{len(result.notes)} quality notes: {out / 'notes.csv'}")
    for code, count in result.notes["code"].value_counts().sort_index().items():
        print(f"  {code}: {count}")
