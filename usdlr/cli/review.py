"""``usdlr review``: the clinicians' web page over a bundle and a cohort, and the keeping of its record."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from usdlr.cli.parsing import new_parser, parse
from usdlr.cli.review_dicom import archive_options, fetch_studies, pacs_settings, receive_images, send_reviews
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.pool import default_jobs
from usdlr.core.progress import say
from usdlr.core.types import OnUncertified
from usdlr.decision import wording
from usdlr.review.acts import Reading, Role
from usdlr.review.ahead import Ahead
from usdlr.review.live import Live
from usdlr.review.load import read_list
from usdlr.review.proposing import Proposing
from usdlr.review.settings import ReviewSettings
from usdlr.review.sign_on_settings import SignOnSettings, secret_of
from usdlr.review.store.accounts import first_administrator
from usdlr.review.store.backup import backup, restore
from usdlr.review.store.checking import check
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.exports import write_exports
from usdlr.review.store.loading import load_axillae, load_model
from usdlr.review.store.people import create_account
from usdlr.review.web.app import create_app

DATABASE = "review.db"
FROM_ENVIRONMENT = "USDLR_OIDC_SECRET"
STEPS = {
    "account": "make an account that signs in with a password",
    "check": "verify the audit log and all that follows from it",
    "backup": "copy the record into a folder, verified",
    "restore": "bring such a copy into an empty database, verified",
    "export": "write reviews, the log and readers' scores as CSV and Parquet",
    "send": "send finished reviews to an archive as DICOM objects",
    "fetch": "fetch ultrasound studies from an archive by DICOMweb",
    "receive": "receive ultrasound images by C-STORE",
}


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    if argv and argv[0] in STEPS:
        _STEPS[argv[0]](argv[1:])
    else:
        _serve(argv)


def _serve(argv: Sequence[str]) -> None:
    steps = "; ".join(f"usdlr review {name}: {words}" for name, words in STEPS.items())
    parser = new_parser("review", f"Serve the review page of a bundle's predictions. Also: {steps}.")
    add = parser.add_argument
    add("--bundle", type=str, required=True, help="folder or .usdlr file")
    add("--public_key", type=str | None, default=None, help="key that must have signed the bundle, PEM")
    add(
        "--segmenter", type=str | None, default=None, help="bundle of usdlr fit_segmenter: outlines where readers point"
    )
    add("--segmenter_key", type=str | None, default=None, help="key that must have signed that bundle, PEM")
    add("--cases", type=str, required=True, help="cases.parquet of the patients to review")
    add("--out", type=str, default="review", help="folder of the review: its database, and predictions to continue")
    _database(parser)
    add("--host", type=str, default="127.0.0.1", help="address to listen on; by default this machine alone")
    add("--port", type=int, default=8040, help="port to listen on")
    add("--reading", type=str, default=str(Reading.OPEN), help="open, or hidden: until the reader's own opinion is in")
    add("--seed", type=int, default=0, help="of the order of hidden reading, which differs between readers")
    add("--hosts", type=list[str], default=[], help="further names under which browsers may ask for the page")
    add("--secure_cookies", type=bool, default=False, help="true behind TLS: cookies are sent over HTTPS alone")
    add("--idle_minutes", type=float, default=30.0, help="without a request, after which a session ends")
    add("--absolute_hours", type=float, default=12.0, help="after which a session ends in any case")
    add("--proxy_header", type=str | None, default=None, help="header in which the hospital's sign-on names who asks")
    add("--trusted_proxies", type=list[str], default=[], help="addresses from which that header is believed")
    add("--proxy_role", type=str, default=str(Role.VIEWER), help="role of accounts that the header makes")
    add("--oidc_issuer", type=str | None, default=None, help="address of a sign-on by OpenID Connect")
    add("--oidc_client", type=str, default="usdlr", help="what this page is called there")
    add(
        "--oidc_secret_file",
        type=str | None,
        default=None,
        help=f"file that holds its secret there, closed to others (default: {FROM_ENVIRONMENT} of the environment)",
    )
    add("--oidc_role", type=str, default=str(Role.VIEWER), help="role of accounts at their first sign-on")
    add("--oidc_label", type=str, default="hospital sign-on", help="what the button on the sign-in page says")
    archive_options(parser, page=True)
    add("--demo", type=bool, default=False, help="every page says that reviews are worth nothing")
    add(
        "--on_uncertified", type=str | None, default=None, help="defer or zero_miss, instead of the bundle's own choice"
    )
    add("--explain", type=bool, default=True, help="explain all axillae in the background")
    add("--jobs", type=int, default=default_jobs(), help="processes side by side, for the first predictions")
    options = parse(parser, argv)
    if options.reading not in set(map(str, Reading)):
        raise ConfigError(f"found --reading {options.reading}, expected {' or '.join(map(str, Reading))}")
    if options.on_uncertified not in (None, *map(str, OnUncertified)):
        raise ConfigError(
            f"found --on_uncertified {options.on_uncertified}, expected {' or '.join(map(str, OnUncertified))}"
        )
    if options.segmenter_key is not None and options.segmenter is None:
        raise ConfigError("found --segmenter_key without --segmenter, expected both; name the bundle that it signed")
    out, bundle = Path(options.out), Path(options.bundle)
    answer = None if options.on_uncertified is None else OnUncertified(options.on_uncertified)
    key = None if options.public_key is None else Path(options.public_key)
    settings = ReviewSettings(
        host=options.host,
        port=options.port,
        reading=Reading(options.reading),
        seed=options.seed,
        secure_cookies=options.secure_cookies,
        hosts=tuple(options.hosts),
        idle_minutes=options.idle_minutes,
        absolute_hours=options.absolute_hours,
        proxy_header=options.proxy_header,
        trusted_proxies=tuple(options.trusted_proxies),
        proxy_role=_role(options.proxy_role, "--proxy_role"),
        demo=options.demo,
        oidc=_sign_on(options),
        pacs=pacs_settings(options) if options.web or options.peer or options.sources else None,
    )
    # First: whoever gave a wrong bundle learns it before all predictions are made.
    proposing = None
    if options.segmenter is not None:
        signer = None if options.segmenter_key is None else Path(options.segmenter_key)
        proposing = Proposing(Path(options.segmenter), public_key=signer)
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    model, axillae, exclusions = read_list(
        bundle,
        Path(options.cases),
        work=out / ".predictions",
        jobs=options.jobs,
        on_uncertified=answer,
        public_key=key,
    )
    store = _open(options, out)
    load_model(store, model)
    report = load_axillae(store, axillae)
    print(wording.NOT_A_MEDICAL_DEVICE)
    print(model.cohort)
    say(
        f"{len(axillae)} axillae, {len(exclusions)} image sets excluded; {report.new} new, {report.kept} as before, "
        f"{report.renewed} with another prediction, {report.reopened} of these to be read anew"
    )
    _run(store, settings, bundle, answer, key, proposing, explain=options.explain)


def _run(
    store: Store,
    settings: ReviewSettings,
    bundle: Path,
    answer: OnUncertified | None,
    key: Path | None,
    proposing: Proposing | None,
    *,
    explain: bool,
) -> None:
    # The web server is imported last: --help and mistakes in the options need none.
    import uvicorn

    live = Live(bundle, on_uncertified=answer, public_key=key)
    ahead = Ahead(store, live) if explain else None
    address = f"http://{'localhost' if settings.host in ('127.0.0.1', '::1') else settings.host}:{settings.port}"
    try:
        app = create_app(store, settings=settings, live=live, ahead=ahead, proposing=proposing)
        if ahead is not None:
            ahead.start()
        if proposing is not None:
            proposing.start()
        code = first_administrator(store)
        if code is not None:
            print(f"first administrator: open {address}/first and give the code {code} (valid once)", flush=True)
        print(f"review page: {address}  (Ctrl-C ends it)", flush=True)
        served = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            # Longer than browsers and proxies hold a quiet connection: whoever closes first loses no request.
            timeout_keep_alive=75,
        )
        uvicorn.Server(served).run()
    finally:
        if ahead is not None:
            ahead.stop()
        live.close()
        if proposing is not None:
            proposing.close()
        store.close()


def _sign_on(options: Namespace) -> SignOnSettings | None:
    if options.oidc_issuer is None:
        if options.oidc_secret_file is not None:
            raise ConfigError("found --oidc_secret_file without --oidc_issuer, expected both; name the issuer")
        return None
    # Never from the command line, which everybody on the machine sees.
    held = os.environ.get(FROM_ENVIRONMENT, "").strip() or None
    return SignOnSettings(
        options.oidc_issuer,
        options.oidc_client,
        held if options.oidc_secret_file is None else secret_of(Path(options.oidc_secret_file)),
        _role(options.oidc_role, "--oidc_role"),
        options.oidc_label,
    )


def _account(argv: Sequence[str]) -> None:
    parser = new_parser("review account", f"{STEPS['account'].capitalize()}; the password is asked for.")
    parser.add_argument("--name", type=str, required=True, help="what is typed to sign in")
    parser.add_argument("--display", type=str, required=True, help="what pages and exports show")
    parser.add_argument("--role", type=str, default=str(Role.REVIEWER), help=", ".join(Role))
    _place(parser)
    options = parse(parser, argv)
    role = _role(options.role, "--role")
    with closing(_open(options, Path(options.out))) as store:
        made = create_account(store, options.name, options.display, role, _password(), by=None)
    print(f"account {made.name}, {made.role}")


def _role(word: str, option: str) -> Role:
    if word not in set(map(str, Role)):
        raise ConfigError(f"found {option} {word}, expected {', '.join(Role)}")
    return Role(word)


def _password() -> str:
    """From the terminal without an echo, twice; from a pipe, the first line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("password (at least 12 characters): ")
    if getpass.getpass("again: ") != first:
        raise ConfigError("found two different passwords, expected the same twice; give the command again")
    return first


def _check(argv: Sequence[str]) -> None:
    parser = new_parser("review check", f"{STEPS['check'].capitalize()}.")
    _place(parser)
    options = parse(parser, argv)
    with closing(_open(options, Path(options.out))) as store:
        report = check(store)
    if not report.whole:
        why = "; ".join([*([] if report.chain.whole else [report.chain.why]), *report.wrong[:3]])
        raise DataError(f"found the record damaged ({why}), expected it whole; keep it as it is and restore a backup")
    for note in report.notes:
        print(f"note: {note}; set it anew to have it checked")
    print(f"whole: {report.chain.entries} entries of the log, {report.axillae} axillae; last hash {report.chain.head}")


def _backup(argv: Sequence[str]) -> None:
    parser = new_parser("review backup", f"{STEPS['backup'].capitalize()}; the page may go on meanwhile.")
    parser.add_argument("--target", type=str, required=True, help="the copy, not there yet")
    _place(parser)
    options = parse(parser, argv)
    with closing(_open(options, Path(options.out))) as store:
        anchor = backup(store, Path(options.target))
    print(f"backup: {options.target}, {anchor.number} entries, the last one {anchor.hash}")


def _restore(argv: Sequence[str]) -> None:
    parser = new_parser("review restore", f"{STEPS['restore'].capitalize()}.")
    parser.add_argument("--source", type=str, required=True, help="what usdlr review backup wrote")
    _place(parser)
    options = parse(parser, argv)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    anchor = restore(Path(options.source), _url(options, out))
    print(f"restored: {anchor.number} entries, the last one {anchor.hash}")


def _export(argv: Sequence[str]) -> None:
    parser = new_parser("review export", f"{STEPS['export'].capitalize()}; an entry of the log says so.")
    parser.add_argument("--target", type=str, required=True, help="folder of the tables")
    _place(parser)
    options = parse(parser, argv)
    with closing(_open(options, Path(options.out))) as store:
        written = write_exports(store, Path(options.target))
    for path in written:
        print(path)


def _place(parser: Any) -> None:
    parser.add_argument("--out", type=str, default="review", help="folder of the review")
    _database(parser)


def _database(parser: Any) -> None:
    parser.add_argument(
        "--database",
        type=str | None,
        default=None,
        help=f"postgresql+psycopg://USER@HOST/DATABASE, or sqlite:///PATH (default: {DATABASE} in the folder --out)",
    )


def _url(options: Any, out: Path) -> str:
    return str(options.database or f"sqlite:///{out / DATABASE}")


def _open(options: Any, out: Path) -> Store:
    if options.database is None and not out.is_dir():
        raise DataError(f"found no folder {out}, expected that of a review; give it with --out")
    return open_store(_url(options, out))


def _send(argv: Sequence[str]) -> None:
    send_reviews(argv, _place, lambda options: _open(options, Path(options.out)))


_STEPS = {
    "account": _account,
    "check": _check,
    "backup": _backup,
    "restore": _restore,
    "export": _export,
    "send": _send,
    "fetch": fetch_studies,
    "receive": receive_images,
}
