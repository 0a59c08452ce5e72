"""``usdlr predict``: a bundle applied to a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from usdlr.cli.parsing import new_parser, parse
from usdlr.core import tables
from usdlr.core.errors import ConfigError
from usdlr.core.hashing import file_hash
from usdlr.core.pool import default_jobs
from usdlr.core.provenance import Provenance
from usdlr.core.types import OnUncertified, Stage
from usdlr.decision import wording
from usdlr.inference.bundle import MANIFEST, Bundle, load_bundle
from usdlr.inference.predictor import Prediction, predict


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("predict", "Apply a bundle to the cases of a table.")
    parser.add_argument("--bundle", type=str, required=True, help="folder that usdlr run wrote")
    parser.add_argument("--cases", type=str, required=True, help="cases.parquet")
    parser.add_argument("--out", type=str, required=True, help="target folder")
    parser.add_argument("--member", type=str | None, default=None, help="a fold's model instead of the one that ships")
    parser.add_argument(
        "--on_uncertified", type=str | None, default=None, help="defer or zero_miss, instead of the bundle's own choice"
    )
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes side by side")
    options = parse(parser, argv)
    if options.on_uncertified not in (None, *map(str, OnUncertified)):
        raise ConfigError(
            f"found --on_uncertified {options.on_uncertified}, expected {' or '.join(map(str, OnUncertified))}"
        )
    source, out = Path(options.cases), Path(options.out)
    bundle = load_bundle(Path(options.bundle), member=options.member)
    cases = tables.CASES.read(source)
    result = predict(
        bundle,
        cases,
        source.parent,
        jobs=options.jobs,
        ledger=out / ".features",
        on_uncertified=None if options.on_uncertified is None else OnUncertified(options.on_uncertified),
    )
    provenance = Provenance(
        "usdlr predict",
        {source.name: file_hash(source), MANIFEST: file_hash(Path(options.bundle) / MANIFEST)},
        {"member": bundle.member.name},
    )
    tables.PREDICTIONS.write(result.predictions, out / "predictions.parquet", provenance)
    tables.EXCLUSIONS.write(result.exclusions, out / "exclusions.csv", provenance)
    decisions = tables.DECISIONS.write(result.decisions, out / "decisions.parquet", provenance)
    for line in _notices(bundle, result):
        print(line)
    for group, count in decisions["risk_group"].value_counts().items():
        print(f"  {group}: {count}")
    print(f"{len(decisions)} axillae, {len(result.exclusions)} excluded: {out}")


def _notices(bundle: Bundle, result: Prediction) -> list[str]:
    """What a reader must know before the first number."""
    card, lines = bundle.card, [wording.NOT_A_MEDICAL_DEVICE]
    if card["simulated"]:
        lines.append(wording.SIMULATED)
    proxies = {Stage(name): text for name, text in card["proxies"].items() if text}
    lines += [wording.proxy_notice(stage, text) for stage, text in proxies.items()]
    lines.append(wording.cohort_line(card["cohort"]))
    known = wording.known_nsln(proxy=Stage.NSLN in proxies)
    lines += wording.contract_lines(bundle.member.contract, known_nsln=known)
    if result.foreign_centres:
        lines.append(wording.void_sentence(result.foreign_centres))
    if result.seen:
        lines.append(wording.seen_sentence(result.seen, len(result.decisions)))
    return lines
