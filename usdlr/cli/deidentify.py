"""``usdlr deidentify``: DICOM files that can be given away."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.errors import ConfigError
from usdlr.core.pool import default_jobs
from usdlr.ingest.deidentify import DUPLICATE, EXPORTED, REPORT, Report, deidentify
from usdlr.ingest.pseudonyms import default_key_path, load_key


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("deidentify", "Write DICOM files without names, dates and burned-in text, and a report.")
    parser.add_argument("source", type=str, help="DICOM file, or folder of them")
    parser.add_argument("--out", type=str, required=True, help="target folder; a second run there reads only changes")
    parser.add_argument("--key", type=str, default=None, help="secret key of the pseudonyms (default: the user's own)")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes side by side")
    options = parse(parser, argv)
    source, out = Path(options.source), Path(options.out)
    key_file = None if options.key is None else Path(options.key)
    if out.resolve() in (key_file or default_key_path()).resolve().parents:
        raise ConfigError(
            "found the secret key inside --out, expected it elsewhere: whoever gets the files must not get the key"
        )
    _say(deidentify(source, out, load_key(key_file), jobs=options.jobs), out)


def _say(report: Report, out: Path) -> None:
    print(f"{report.count(EXPORTED)} of {len(report.rows)} files exported ({report.reused} unchanged): {out}")
    if duplicates := report.count(DUPLICATE):
        print(f"{duplicates} files repeat another's content and are exported once")
    refusals = report.refusals()
    print(f"{sum(refusals.values())} files refused: {out / REPORT}")
    for code, count in refusals.items():
        print(f"  {code}: {count}")
    if report.earlier_files:
        print(f"{report.earlier_files} more files in {out} come from earlier exports and are not in this report")
    # No program can promise this: handwriting, a scanned form, a face.
    print("look at the exported pictures before you give them away")
