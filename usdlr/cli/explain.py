"""``usdlr explain``: a page per axilla that says what a bundle's answer is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.cli.parsing import new_parser, parse
from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import write_atomic, write_bytes, write_text
from usdlr.core.hashing import SHORT, data_hash, file_hash
from usdlr.core.journal import Journal
from usdlr.core.pool import default_jobs
from usdlr.core.progress import Progress
from usdlr.core.provenance import Provenance
from usdlr.core.types import OnUncertified
from usdlr.decision import wording
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.bundle_files import MANIFEST
from usdlr.inference.case_notes import Key, axilla_rows, axilla_warnings, comparators
from usdlr.inference.explain import explain
from usdlr.inference.explain_occlusion import PATCH_MM
from usdlr.inference.explain_table import EXPLANATIONS, explanations_table
from usdlr.inference.member import image_key
from usdlr.inference.predictor import Prediction, Prepared, predict_prepared, prepare_cases
from usdlr.inference.sites import tumours
from usdlr.report.case import CaseInputs, case_page
from usdlr.report.case_inputs import case_inputs
from usdlr.report.example_cases import gallery_cases
from usdlr.report.html import render
from usdlr.report.pdf import pdf_or_say

PAGES = "pages"


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser("explain", "Say what a bundle's answers about single axillae are made of, a page each.")
    parser.add_argument("--bundle", type=str, required=True, help="folder that usdlr run wrote, or .usdlr file")
    parser.add_argument("--public_key", type=str | None, default=None, help="key that must have signed the bundle, PEM")
    parser.add_argument("--cases", type=str, required=True, help="cases.parquet")
    parser.add_argument("--out", type=str, required=True, help="target folder")
    parser.add_argument("--patient", type=str | None, default=None, help="one patient's id, as in the table")
    parser.add_argument("--side", type=str | None, default=None, help="left, right or unknown; by default every side")
    parser.add_argument("--all", action="store_true", help="every axilla of the table")
    parser.add_argument("--member", type=str | None, default=None, help="a fold's model instead of the one that ships")
    parser.add_argument(
        "--on_uncertified", type=str | None, default=None, help="defer or zero_miss, instead of the bundle's own choice"
    )
    parser.add_argument("--maps", type=bool, default=True, help="draw maps and compare them with occlusion")
    parser.add_argument("--patch_mm", type=float, default=PATCH_MM, help="side of an occluded patch in mm")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes side by side, for features")
    options = parse(parser, argv)
    if options.all == (options.patient is not None):
        raise ConfigError("found neither or both of --patient and --all, expected one of them; say whom to explain")
    if options.side is not None and options.patient is None:
        raise ConfigError("found --side without --patient, expected both; say whose side")
    if options.on_uncertified not in (None, *map(str, OnUncertified)):
        raise ConfigError(
            f"found --on_uncertified {options.on_uncertified}, expected {' or '.join(map(str, OnUncertified))}"
        )
    answer = None if options.on_uncertified is None else OnUncertified(options.on_uncertified)
    source, out = Path(options.cases), Path(options.out)
    key = None if options.public_key is None else Path(options.public_key)
    bundle = load_bundle(Path(options.bundle), member=options.member, public_key=key)
    cases = _chosen(tables.CASES.read(source), options.patient, options.side)
    prepared = prepare_cases(bundle.preparation, cases, source.parent, jobs=options.jobs, ledger=out / ".features")
    prediction = predict_prepared(bundle, prepared, on_uncertified=answer)
    keys = [(str(p), str(s)) for p, s in prediction.decisions[AXILLA_KEY].itertuples(index=False, name=None)]
    patch = options.patch_mm if options.maps else None
    journal = Journal(out, {"bundle": bundle.digest, "member": bundle.member.name, "patch_mm": patch})
    parts = []
    with Progress("pages", len(keys)) as progress:
        for number, one in enumerate(keys, start=1):
            parts.append(_page(journal, bundle, prepared, prediction, one, number, source.parent, patch))
            progress.advance()
    provenance = Provenance(
        "usdlr explain",
        {source.name: file_hash(source), MANIFEST: bundle.digest},
        {"bundle": bundle.bundle_id, "member": bundle.member.name, "patch_mm": patch},
    )
    found = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
    EXPLANATIONS.write(found, out / "explanations.parquet", provenance)
    tables.PREDICTIONS.write(prediction.predictions, out / "predictions.parquet", provenance)
    tables.DECISIONS.write(prediction.decisions, out / "decisions.parquet", provenance)
    tables.EXCLUSIONS.write(prediction.exclusions, out / "exclusions.csv", provenance)
    print(wording.NOT_A_MEDICAL_DEVICE)
    print(wording.cohort_line(bundle.card["cohort"]))
    print(f"{len(keys)} pages, {len(prediction.exclusions)} excluded, bundle {bundle.bundle_id}: {out / PAGES}")


def _chosen(cases: pd.DataFrame, patient: str | None, side: str | None) -> pd.DataFrame:
    if patient is None:
        return cases
    mine = cases[cases["patient_id"] == patient]
    if mine.empty:
        raise DataError(
            f"found no patient {patient!r} in the table, expected one of its {len(cases)} rows; check the id"
        )
    chosen = mine if side is None else mine[mine["side"] == side]
    if chosen.empty:
        sides = ", ".join(sorted(mine["side"].unique()))
        raise DataError(f"found no side {side!r} of this patient, expected {sides}")
    return chosen.reset_index(drop=True)


def _page(
    journal: Journal,
    bundle: Bundle,
    prepared: Prepared,
    prediction: Prediction,
    key: Key,
    number: int,
    root: Path,
    patch_mm: float | None,
) -> Path:
    """Write one axilla's page, unless it is there; returns the file with its rows of the table."""
    rows = axilla_rows(prepared.cases, key)
    # An image id ends in the hash of its content: nobody who does not have the image can tell whose page it is.
    named = data_hash([image_key(name) for name in rows["image_id"]])
    stem = f"case_{number:04d}_{named[:8]}"
    html, pdf, part = (
        journal.folder / PAGES / f"{stem}.html",
        journal.folder / PAGES / f"{stem}.pdf",
        _part(journal, stem),
    )
    predicted = axilla_rows(prediction.predictions, key).drop(columns=AXILLA_KEY).to_json(double_precision=15)
    asked = [named, data_hash([predicted, str(axilla_rows(prediction.decisions, key)["reason"].iloc[0])])]
    if journal.is_done(stem, asked):
        return part
    explained = explain(bundle, prepared, prediction, key, maps=patch_mm is not None, patch_mm=patch_mm)
    inputs = _inputs(bundle, prepared, prediction, explained, number, root)
    write_text(html, render(case_page(inputs)))
    content = pdf_or_say(case_page(inputs, full=False))
    table = explanations_table([(key, number, explained.explanation)])
    write_atomic(part, lambda target: table.to_parquet(target, index=False))
    if content is not None:
        write_bytes(pdf, content)
    journal.mark_done(stem, asked, [html, part, *([pdf] if content is not None else [])])
    return part


def _part(journal: Journal, stem: str) -> Path:
    return journal.folder / ".explained" / f"{stem}.parquet"


def _inputs(
    bundle: Bundle, prepared: Prepared, prediction: Prediction, explained: Any, number: int, root: Path
) -> CaseInputs:
    key, rows, margin_mm = explained.key, explained.cases, bundle.preparation.radiomics.margin_mm
    decisions = axilla_rows(prediction.decisions, key).reset_index(drop=True)
    nobody = decisions[AXILLA_KEY].assign(sln=float("nan"), nsln=float("nan"))
    (image,) = gallery_cases(tumours(rows), root, decisions, nobody, [0], margin_mm=margin_mm)
    foreign = str(rows["centre_id"].iloc[0])
    away = foreign in prediction.foreign_centres
    contract = bundle.member.contract
    return case_inputs(
        number,
        explained,
        store=prepared.store,
        image=image,
        card=bundle.card,
        contract=contract.void() if away else contract,
        bundle_id=bundle.bundle_id[:SHORT],
        margin_mm=margin_mm,
        modalities=bundle.preparation.network.modalities,
        warnings=axilla_warnings(prediction, key, foreign if away else None),
        comparators=comparators(bundle, tumours(rows).iloc[0].to_dict()),
    )
