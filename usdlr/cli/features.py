"""``usdlr features``: radiomics of every case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from usdlr.cli.parsing import new_parser, parse
from usdlr.core import tables
from usdlr.core.errors import ConfigError
from usdlr.core.hashing import file_hash
from usdlr.core.pool import default_jobs
from usdlr.core.provenance import Provenance
from usdlr.radiomics.engines import ENGINES, PYRADIOMICS
from usdlr.radiomics.extract import extract
from usdlr.radiomics.settings import RadiomicsSettings

FIXED = [column for column in tables.FEATURES.columns if not column.pattern]


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser(
        "features", "Measure radiomics of every case, in parallel; a failed case is a row with a reason."
    )
    parser.add_argument("cases", type=str, help="cases.parquet")
    parser.add_argument("--out", type=str, required=True, help="features table to write, .parquet")
    parser.add_argument("--engine", type=str, default=PYRADIOMICS, help=f"one of {', '.join(ENGINES)}")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes side by side")
    parser.add_class_arguments(RadiomicsSettings, "radiomics")
    options = parse(parser, argv)
    source, out = Path(options.cases), Path(options.out)
    if out.suffix != ".parquet":
        raise ConfigError(f"found --out {out}, expected a name that ends in .parquet")
    cases = tables.CASES.read(source)
    settings: RadiomicsSettings = options.radiomics
    table = extract(
        cases,
        source.parent,
        settings,
        engine=options.engine,
        jobs=options.jobs,
        ledger=out.with_name(f".{out.stem}.partial"),
    )
    provenance = Provenance(
        "usdlr features", {source.name: file_hash(source)}, {"radiomics": settings.as_dict(), "engine": options.engine}
    )
    table = tables.FEATURES.write(table, out, provenance)
    failed = table[table["status"] == "failed"]
    print(f"{len(table) - len(failed)} of {len(table)} cases measured, {table.shape[1] - len(FIXED)} features: {out}")
    for code, count in failed["code"].value_counts().sort_index().items():
        print(f"  {count} failed with {code}: see the column reason")
