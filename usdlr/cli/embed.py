"""``usdlr embed``: the networks' embeddings of a cohort, as a feature table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from usdlr.cli.parsing import new_parser, parse
from usdlr.core import tables
from usdlr.core.errors import ConfigError
from usdlr.core.hashing import file_hash
from usdlr.core.named_parts import nearest
from usdlr.core.pool import default_jobs
from usdlr.core.provenance import Provenance
from usdlr.core.types import Split, Stage
from usdlr.decision import wording
from usdlr.inference.bundle import load_bundle
from usdlr.inference.bundle_files import MANIFEST
from usdlr.inference.embeddings import BY, embed, embeddings_table


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("embed", "Write what a bundle's networks make of every block of a cohort.")
    parser.add_argument("--bundle", type=str, required=True, help="folder that usdlr run wrote, or .usdlr file")
    parser.add_argument("--cases", type=str, required=True, help="cases.parquet")
    parser.add_argument("--out", type=str, required=True, help="table to write, .parquet")
    parser.add_argument("--stage", type=str, default=str(Stage.SLN), help="sln or nsln: whose networks")
    parser.add_argument("--member", type=str | None, default=None, help="a fold's model instead of the one that ships")
    parser.add_argument("--by", type=str, default=BY[0], help="a row per axilla (pooled over its images) or per image")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes side by side")
    options = parse(parser, argv)
    stages = list(map(str, Stage))
    if options.stage not in stages:
        raise ConfigError(
            f"found --stage {options.stage}, expected {' or '.join(stages)}{nearest(options.stage, stages)}"
        )
    table = embeddings_table(options.by)
    source, out = Path(options.cases), Path(options.out)
    if out.suffix != ".parquet":
        raise ConfigError(f"found --out {out}, expected a name that ends in .parquet")
    bundle = load_bundle(Path(options.bundle), member=options.member)
    found = embed(
        bundle,
        tables.CASES.read(source),
        source.parent,
        stage=Stage(options.stage),
        by=options.by,
        jobs=options.jobs,
        ledger=out.with_name(f".{out.stem}.partial"),
    )
    provenance = Provenance(
        "usdlr embed",
        {source.name: file_hash(source), MANIFEST: bundle.digest},
        {"bundle": bundle.bundle_id, "member": bundle.member.name, "stage": options.stage, "by": options.by},
    )
    written = table.write(found.embeddings, out, provenance)
    exclusions = out.with_name(f"{out.stem}.exclusions.csv")
    tables.EXCLUSIONS.write(found.exclusions, exclusions, provenance)
    print(wording.NOT_A_MEDICAL_DEVICE)
    taught = int(written["split"].isin([str(Split.TRAIN), str(Split.TUNING)]).sum())
    if taught:
        print(f"{taught} of {len(written)} rows are of patients who taught these networks: too good to learn from")
    print(f"{len(written)} rows, {len(found.exclusions)} image sets excluded: {out}")
