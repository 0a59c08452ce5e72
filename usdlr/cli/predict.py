"""``usdlr predict``: a bundle applied to a cohort, to a centre's raw export, or to a folder that is watched."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.cli.parsing import new_parser, parse
from usdlr.core import tables
from usdlr.core.errors import ConfigError
from usdlr.core.hashing import file_hash
from usdlr.core.pool import default_jobs
from usdlr.core.provenance import Provenance
from usdlr.core.types import OnUncertified
from usdlr.inference.bundle import TORCH, Bundle, load_bundle
from usdlr.inference.bundle_files import MANIFEST
from usdlr.inference.onnx_bundle import with_runtime
from usdlr.inference.predictor import Prediction
from usdlr.inference.service import notices
from usdlr.inference.stream import AUTOMATIC_CONTOURS, CHUNK, StreamSettings, predict_stream
from usdlr.inference.watch import Watch, ingest_settings
from usdlr.ingest.pipeline import ingest
from usdlr.radiomics.stability.redraw import ReaderDisagreement

MODES = ("cases", "source", "watch")
CHUNKS = ".chunks"


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("predict", "Apply a bundle to a table of cases, a centre's export, or a watched folder.")
    parser.add_argument("--bundle", type=str, required=True, help="folder that usdlr run wrote, or .usdlr file")
    parser.add_argument("--public_key", type=str | None, default=None, help="key that must have signed the bundle, PEM")
    parser.add_argument("--cases", type=str | None, default=None, help="cases.parquet")
    parser.add_argument("--source", type=str | None, default=None, help="folder of an export, ingested first")
    parser.add_argument(
        "--watch", type=str | None, default=None, help="folder in which studies appear, one folder each"
    )
    parser.add_argument("--centre", type=str | None, default=None, help="adapter that reads --source or --watch")
    parser.add_argument("--key", type=str | None, default=None, help="secret key of the pseudonyms (default: your own)")
    parser.add_argument("--out", type=str, required=True, help="target folder")
    parser.add_argument("--member", type=str | None, default=None, help="a fold's model instead of the one that ships")
    parser.add_argument(
        "--on_uncertified", type=str | None, default=None, help="defer or zero_miss, instead of the bundle's own choice"
    )
    parser.add_argument("--contours", type=int, default=0, help="redraw every contour so many times")
    parser.add_argument(
        "--automatic_contours",
        type=int,
        default=AUTOMATIC_CONTOURS,
        help="redraw contours by software at least so many times; 0: as the others",
    )
    parser.add_class_arguments(ReaderDisagreement, "contour")
    parser.add_argument("--chunk", type=int, default=CHUNK, help="patients in memory at once")
    parser.add_argument("--poll_s", type=float, default=10.0, help="seconds between two looks at --watch")
    parser.add_argument("--polls", type=int, default=0, help="looks at --watch; 0: until interrupted")
    parser.add_argument("--runtime", type=str, default=TORCH, help="torch, or onnx where the bundle holds its graphs")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes side by side")
    options = parse(parser, argv)
    answer = _checked(options)
    out = Path(options.out)
    key = None if options.public_key is None else Path(options.public_key)
    settings = StreamSettings(
        options.jobs, options.chunk, options.contours, options.automatic_contours, options.contour
    )
    bundle = with_runtime(load_bundle(Path(options.bundle), member=options.member, public_key=key), options.runtime)
    if options.watch is not None:
        _watch(options, bundle, out, settings, answer)
        return
    inputs, cases, root, exclusions = _cases(options, bundle, out)
    result = predict_stream(bundle, cases, root, folder=out / CHUNKS, settings=settings, on_uncertified=answer)
    if len(exclusions):
        exclusions = pd.concat([exclusions, result.exclusions], ignore_index=True)
        result = Prediction(
            result.predictions, result.decisions, exclusions, result.foreign_centres, result.seen, result.reliability
        )
    _write(bundle, result, out, _provenance(bundle, inputs, settings))
    shutil.rmtree(out / CHUNKS, ignore_errors=True)
    for line in notices(bundle, result):
        print(line)
    for group, count in result.decisions["risk_group"].value_counts().items():
        print(f"  {group}: {count}")
    print(f"{len(result.decisions)} axillae, {len(result.exclusions)} excluded, bundle {bundle.bundle_id}: {out}")


def _checked(options: Any) -> OnUncertified | None:
    """Refuse options that do not go together; what is answered without a certified contract."""
    given = [name for name in MODES if getattr(options, name) is not None]
    if len(given) != 1:
        found = " and ".join(f"--{name}" for name in given) or "none of them"
        raise ConfigError(f"found {found}, expected one of --cases, --source and --watch")
    if given != ["cases"] and options.centre is None:
        raise ConfigError(f"found --{given[0]} without --centre, expected the adapter that reads it; see usdlr ingest")
    if not (options.poll_s > 0 and options.polls >= 0):
        raise ConfigError(
            f"found --poll_s {options.poll_s} --polls {options.polls}, expected seconds above 0 and looks from 0 upward"
        )
    if options.on_uncertified not in (None, *map(str, OnUncertified)):
        raise ConfigError(
            f"found --on_uncertified {options.on_uncertified}, expected {' or '.join(map(str, OnUncertified))}"
        )
    return None if options.on_uncertified is None else OnUncertified(options.on_uncertified)


def _cases(options: Any, bundle: Bundle, out: Path) -> tuple[dict[str, str], pd.DataFrame, Path, pd.DataFrame]:
    """Hashes of the inputs, the cases, the folder of their files, and who was left out before."""
    if options.cases is not None:
        source = Path(options.cases)
        return {source.name: file_hash(source)}, tables.CASES.read(source), source.parent, tables.EXCLUSIONS.empty()
    root = out / "ingest"
    taken = ingest(
        Path(options.source),
        options.centre,
        root,
        jobs=options.jobs,
        settings=ingest_settings(bundle),
        key_file=None if options.key is None else Path(options.key),
    )
    return {"cases.parquet": file_hash(root / "cases.parquet")}, taken.cases, root, taken.exclusions


def _watch(options: Any, bundle: Bundle, out: Path, settings: StreamSettings, answer: OnUncertified | None) -> None:
    watch = Watch(
        Path(options.watch),
        options.centre,
        out,
        bundle,
        settings,
        answer,
        None if options.key is None else Path(options.key),
    )
    said: set[str] = set()

    def on_taken(result: Prediction) -> None:
        for line in notices(bundle, result):  # what was said once holds until there is more to say
            if line not in said:
                said.add(line)
                print(line, flush=True)
        _write(bundle, result, out, _provenance(bundle, {}, settings))
        print(f"{len(result.decisions)} axillae, {len(result.exclusions)} excluded: {out}", flush=True)

    watch.run(every_s=options.poll_s, polls=options.polls, on_taken=on_taken)


def _provenance(bundle: Bundle, inputs: dict[str, str], settings: StreamSettings) -> Provenance:
    redrawn = {"contours": settings.contours, **settings.disagreement.as_dict()} if settings.contours else None
    config = {"bundle": bundle.bundle_id, "signed_by": bundle.signed_by, "member": bundle.member.name}
    config |= {"runtime": bundle.runtime}
    return Provenance("usdlr predict", inputs | {MANIFEST: bundle.digest}, config | {"contour": redrawn})


def _write(bundle: Bundle, result: Prediction, out: Path, provenance: Provenance) -> None:
    tables.PREDICTIONS.write(result.predictions, out / "predictions.parquet", provenance)
    tables.EXCLUSIONS.write(result.exclusions, out / "exclusions.csv", provenance)
    tables.RELIABILITY.write(result.reliability, out / "reliability.parquet", provenance)
    tables.DECISIONS.write(result.decisions, out / "decisions.parquet", provenance)
