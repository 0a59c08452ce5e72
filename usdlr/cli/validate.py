"""``usdlr validate``: a frozen bundle at a new centre, by a plan that was locked before outcomes were read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.errors import ConfigError
from usdlr.core.files import write_text
from usdlr.core.pool import default_jobs
from usdlr.inference.bundle import load_bundle
from usdlr.validation.adapt_settings import AdaptSettings
from usdlr.validation.lock import short
from usdlr.validation.run import Request, make_lock, validate
from usdlr.validation.share_page import write_combined
from usdlr.validation.template import template, template_text

PLAN, LOCK = "plan", "lock"


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    step = argv[0] if argv and argv[0] in (PLAN, LOCK) else ""
    if "--combine" in argv:
        _combine(argv)
    elif step == PLAN:
        _plan(argv[1:])
    elif step == LOCK:
        _lock(argv[1:])
    else:
        _validate(argv)


def _plan(argv: Sequence[str]) -> None:
    parser = new_parser("validate plan", "Write a plan for a bundle, with comments, to be completed and locked.")
    parser.add_argument("--bundle", type=str, required=True, help="folder or .usdlr file")
    parser.add_argument("--out", type=str, required=True, help="the plan, a .yaml file that is not there yet")
    options = parse(parser, argv)
    out = Path(options.out)
    if out.exists():
        raise ConfigError(f"found {out} already, expected a new file; choose another name or remove it")
    write_text(out, template_text(template(load_bundle(Path(options.bundle)))))
    print(f"plan: {out}")
    print(f"next: complete it, then  usdlr validate lock --bundle {options.bundle} --plan {out} --cases FILE")


def _lock(argv: Sequence[str]) -> None:
    parser = new_parser("validate lock", "Fix plan, bundle, patients and outcomes by their hashes, before any is read.")
    _add_request(parser)
    parser.add_argument(
        "--out", type=str | None, default=None, help="where raw exports are read to; needed with --data"
    )
    parser.add_argument(
        "--outcomes_later", type=bool, default=False, help="outcomes are to come in a file of their own"
    )
    parser.add_argument("--amend", type=str, default="", help="reason why an earlier lock is amended")
    options = parse(parser, argv)
    if options.data and options.out is None:
        raise ConfigError("found --data without --out, expected the folder that raw exports are read to; add it")
    if options.outcomes is not None and options.outcomes_later:
        raise ConfigError("found --outcomes together with --outcomes_later, expected one of them; leave one out")
    request = _request(options, Path(options.out or "."))
    entry = make_lock(request, reason=options.amend, later=options.outcomes_later)
    print(f"lock {entry['number']} of {entry['axillae']} axillae: {request.lock_file}")
    print(f"SHA-256 {entry['hash']}")
    print(f"keep the first digits where others can see them ({short(entry)}): the page prints them")


def _validate(argv: Sequence[str]) -> None:
    parser = new_parser(
        "validate",
        "Judge a frozen bundle on new patients by a plan: ingest, predict, evaluate, report. Before: usdlr validate "
        "plan, usdlr validate lock.",
    )
    _add_request(parser)
    parser.add_argument("--out", type=str, required=True, help="target folder; the same command continues there")
    parser.add_argument(
        "--adapt",
        type=bool,
        default=False,
        help="adapt the bundle on a part of the patients, as --adaptation.* says, and compare on untouched ones",
    )
    parser.add_class_arguments(AdaptSettings, "adaptation")
    parser.add_argument("--share", type=str | None, default=None, help="write the result without patients to this file")
    parser.add_argument(
        "--ledger",
        type=str | None,
        default=None,
        help="private file that remembers what --share has handed out, one for all results of the centre (default: "
        "$USDLR_SHARE_LEDGER, else usdlr/shared.private.json in the user's data folder)",
    )
    options = parse(parser, argv)
    if options.ledger is not None and options.share is None:
        raise ConfigError("found --ledger without --share, expected both or neither; add it")
    if options.adaptation != AdaptSettings() and not options.adapt:
        raise ConfigError("found --adaptation settings without --adapt true, expected both or neither; add it")
    asked = replace(
        _request(options, Path(options.out)),
        adapt=options.adaptation if options.adapt else None,
        share=None if options.share is None else Path(options.share),
        ledger=None if options.ledger is None else Path(options.ledger),
    )
    validate(asked)


def _combine(argv: Sequence[str]) -> None:
    parser = new_parser("validate", "Pool results of several centres that were shared without patients.")
    parser.add_argument("--combine", type=str, nargs="+", required=True, help="files that --share wrote")
    parser.add_argument("--out", type=str, required=True, help="target folder")
    options = parse(parser, argv)
    out = Path(options.out)
    for path in write_combined([Path(name) for name in options.combine], out)[:1]:
        print(f"combined: {path}")


def _add_request(parser: Any) -> None:
    add = parser.add_argument
    add("--bundle", type=str, required=True, help="folder or .usdlr file")
    add("--plan", type=str, required=True, help="the plan")
    add("--cases", type=str, default=[], nargs="+", help="cases.parquet of one or several sources")
    add("--data", type=dict[str, str], default={}, help="--data.CENTRE FOLDER: raw exports, by adapter or plan's name")
    add("--outcomes", type=str | None, default=None, help="CSV: patient_id, side and outcomes, where not in the cases")
    add("--lock_file", type=str | None, default=None, help="the lock (default: beside the plan)")
    add("--jobs", type=int, default=default_jobs(), help="processes side by side")


def _request(options: Any, out: Path) -> Request:
    return Request(
        bundle=Path(options.bundle),
        plan=Path(options.plan),
        out=out,
        cases=tuple(Path(name) for name in options.cases),
        data={str(name): Path(folder) for name, folder in options.data.items()},
        outcomes=None if options.outcomes is None else Path(options.outcomes),
        jobs=options.jobs,
        lock=None if options.lock_file is None else Path(options.lock_file),
    )
