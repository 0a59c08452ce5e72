"""``usdlr validate``: read, check the lock, predict, open outcomes, judge, report; each step done once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError
from usdlr.core.files import read_json, write_json, write_text
from usdlr.core.hashing import table_hash
from usdlr.core.journal import Journal
from usdlr.core.pool import one_thread
from usdlr.core.progress import say
from usdlr.core.provenance import Provenance, package_versions
from usdlr.inference.axillae import axilla_table, outcome_table, require_binary
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.validation.adapt_settings import AdaptSettings
from usdlr.validation.evaluate import validation_metrics, whole
from usdlr.validation.further import adapt_here, share_here
from usdlr.validation.lock import LOCK, Seal, lock, open_outcomes, require_locked, seal, short
from usdlr.validation.outcomes import read_outcomes, with_outcomes
from usdlr.validation.pictures import failure_gallery, failure_heat
from usdlr.validation.plan import Plan, read_plan
from usdlr.validation.predict import FOLDER as SOURCES
from usdlr.validation.predict import Predicted, predict_source
from usdlr.validation.shift import FOLDER as SHIFT
from usdlr.validation.shift import local_shift
from usdlr.validation.sources import Source, read_sources
from usdlr.validation.study import study_inputs, write_validation_report

RESULT, PAGE = "validation.json", "report.html"


@dataclass(frozen=True)
class Request:
    """What ``usdlr validate`` was asked.

    Parameters
    ----------
    bundle, plan, out : Path
        The frozen bundle, the plan, the folder of the results.
    cases : sequence of Path
        Tables of cases.
    data : mapping of str to Path
        Raw exports.
    outcomes : Path or None
        A file of outcomes.
    jobs : int
        Processes.
    lock : Path or None
        The lock file; beside the plan by default.
    adapt : AdaptSettings or None
        How to adapt the bundle to the centre; ``None``: not at all.
    share : Path or None
        Where to write a result without patients.
    ledger : Path or None
        Of the results that were shared before; the user's own by default.
    """

    bundle: Path
    plan: Path
    out: Path
    cases: Sequence[Path] = ()
    data: Mapping[str, Path] = field(default_factory=dict)
    outcomes: Path | None = None
    jobs: int = 1
    lock: Path | None = None
    adapt: AdaptSettings | None = None
    share: Path | None = None
    ledger: Path | None = None

    @property
    def lock_file(self) -> Path:
        """Where the lock lies."""
        return self.lock or self.plan.with_name(f"{self.plan.stem}{LOCK}")


@dataclass(frozen=True)
class Opened:
    """A bundle, a plan and the sources, before anything is predicted.

    Parameters
    ----------
    plan : Plan
        The plan.
    bundle : Bundle
        The bundle that it names.
    bundle_hash : str
        SHA-256 of its manifest.
    sources : list of Source
        The patients.
    journal : Journal
        Of the folder.
    """

    plan: Plan
    bundle: Bundle
    bundle_hash: str
    sources: list[Source]
    journal: Journal


def make_lock(request: Request, *, reason: str = "", later: bool = False) -> dict[str, Any]:
    """Lock plan, bundle, patients and outcomes, or amend an earlier lock.

    Parameters
    ----------
    request : Request
        What is to be locked; ``out`` is used where raw exports have to be read.
    reason : str
        Of an amendment.
    later : bool
        Whether outcomes are to come in a file of their own.

    Returns
    -------
    dict
        The entry.
    """
    opened = _open(request)
    return lock(request.lock_file, _seal(request, opened, later=later), reason=reason)


def validate(request: Request) -> Path:
    """Validate a bundle by a plan, or continue.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ConfigError
        If the plan is for another bundle, or what is asked cannot be.
    LockError
        If anything changed since the lock.
    LeakError
        If all patients made the model.
    DataError
        If data cannot be read.
    """
    with one_thread():
        opened = _open(request)
        held, sealed, apart = _locked(request, opened)
        entry = held["locks"][-1]
        key = [opened.plan.hash, opened.bundle_hash]
        provenance = Provenance(
            "usdlr validate",
            {"plan": opened.plan.hash, "bundle": opened.bundle_hash, "lock": str(entry["hash"])},
            {"bundle_id": opened.bundle.bundle_id},
        )
        parts = [
            predict_source(
                opened.plan,
                opened.bundle,
                source,
                request.out,
                journal=opened.journal,
                jobs=request.jobs,
                key=[*key, images],
                provenance=provenance,
            )
            for source, images in zip(opened.sources, sealed.pictures, strict=True)
        ]
        say("predictions are written; opening outcomes")
        held = open_outcomes(request.lock_file, sealed.outcomes)
        return _judge(request, opened, parts, held, provenance, apart=apart)


def _open(request: Request) -> Opened:
    plan, bundle = read_plan(request.plan), load_bundle(request.bundle)
    if plan.bundle != bundle.bundle_id:
        raise ConfigError(
            f"found the bundle {bundle.bundle_id}, expected {plan.bundle}, which the plan {request.plan} names; give "
            "that bundle, or write a plan for this one"
        )
    journal = Journal(request.out, package_versions())
    sources = read_sources(plan, request.cases, request.data, request.out, journal=journal, jobs=request.jobs)
    return Opened(plan, bundle, bundle.digest, sources, journal)


def _seal(request: Request, opened: Opened, *, later: bool = False) -> Seal:
    sources = [(source.root, source.cases, source.exclusions) for source in opened.sources]
    return seal(opened.plan, opened.bundle_hash, sources, request.outcomes, later=later)


def _locked(request: Request, opened: Opened) -> tuple[dict[str, Any], Seal, bool]:
    """The lock, what is there now, and whether it was locked by a command of its own."""
    path, mark = request.lock_file, request.out / ".locked_here"
    sealed = _seal(request, opened)
    if not path.exists():
        say(f"no lock yet: locking now, before outcomes are read ({path})")
        entry = lock(path, sealed)
        write_text(mark, str(entry["hash"]))
    held = require_locked(path, sealed)
    first = str(held["locks"][0]["hash"])
    apart = not (mark.is_file() and mark.read_text(encoding="utf-8") == first)
    return held, sealed, apart


def _judge(
    request: Request,
    opened: Opened,
    parts: Sequence[Predicted],
    held: Mapping[str, Any],
    provenance: Provenance,
    *,
    apart: bool,
) -> Path:
    plan, out = opened.plan, request.out
    cases, strangers = _with_outcomes(request, opened, parts)
    labels = outcome_table(cases, plan.columns)
    predictions = whole([part.predictions for part in parts])
    decisions = whole([part.decisions for part in parts])
    exclusions = whole([part.exclusions for part in parts])
    reliability = whole([part.reliability for part in parts])
    state = [
        plan.hash,
        opened.bundle_hash,
        held["locks"][-1]["images"],
        *map(table_hash, (cases, predictions, decisions, exclusions)),
    ]
    sworn = {name: held[name] for name in ("locks", "opened")}
    key = [*state, sworn, apart, repr(request.adapt)]
    page = out / PAGE
    if request.share is not None:
        share_here(plan, opened.bundle, parts, predictions, decisions, labels, request.share, request.ledger)
    if opened.journal.is_done("report", key):
        say(f"report: {page}")
        return page
    say("judging, writing the report")
    described = labels[AXILLA_KEY].merge(axilla_table(cases), on=AXILLA_KEY, how="left", validate="one_to_one")
    metrics = validation_metrics(
        plan,
        opened.bundle,
        cases=cases,
        labels=labels,
        predictions=predictions,
        decisions=decisions,
        exclusions=exclusions,
        axillae=described,
    )
    metrics["lock"] = {
        "hash": str(held["locks"][-1]["hash"]),
        "apart": apart,
        "locks": [{name: one[name] for name in one if name != "content"} for one in held["locks"]],
        "opened": list(held["opened"]),
        "outcomes_without_a_case": strangers,
    }
    metrics["plan"] = plan.as_dict() | {"hash": plan.hash}
    if request.adapt is not None:
        metrics["adaptation"] = adapt_here(
            plan,
            request.bundle,
            parts,
            labels,
            request.adapt,
            out,
            journal=opened.journal,
            key=state,
            lock=request.lock_file,
        )
    shift = local_shift(opened.bundle, [out / SOURCES / part.name / SHIFT for part in parts], rate=plan.shift_rate)
    metrics["shift"] = shift
    tables.CASES.write(cases, out / "cases.parquet", provenance)
    tables.PREDICTIONS.write(predictions, out / "predictions.parquet", provenance)
    tables.DECISIONS.write(decisions, out / "decisions.parquet", provenance)
    tables.RELIABILITY.write(reliability, out / "reliability.parquet", provenance)
    tables.EXCLUSIONS.write(exclusions, out / "exclusions.csv", provenance)
    write_json(out / RESULT, metrics)
    inputs = study_inputs(
        metrics=read_json(out / RESULT),
        predictions=predictions,
        decisions=decisions,
        labels=labels,
        exclusions=exclusions,
        axillae=described,
        gallery=failure_gallery(
            parts, decisions, labels, plan.gallery, margin_mm=opened.bundle.preparation.radiomics.margin_mm
        ),
        heat=failure_heat(opened.bundle, parts, decisions, labels) if plan.gallery else [],
        provenance=provenance.as_dict(),
        plan_yaml=yaml.safe_dump(plan.as_dict(), sort_keys=False, allow_unicode=True),
    )
    written = write_validation_report(inputs, out)
    outputs = [
        *written,
        *(out / name for name in (RESULT, "predictions.parquet", "decisions.parquet", "exclusions.csv")),
    ]
    opened.journal.mark_done("report", key, outputs)
    say(f"lock {short(held['locks'][-1])}; report: {page}")
    return page


def _with_outcomes(request: Request, opened: Opened, parts: Sequence[Predicted]) -> tuple[pd.DataFrame, int]:
    """Predicted cases with their outcomes again, of all sources."""
    found = []
    for source, part in zip(opened.sources, parts, strict=True):
        own = source.cases.set_index("image_id").loc[list(part.prepared.cases["image_id"])].reset_index()
        found.append(own)
    cases, strangers = tables.CASES.conform(whole(found)), 0
    if request.outcomes is not None:
        cases, strangers = with_outcomes(
            cases, read_outcomes(request.outcomes), {}, itc_positive=opened.plan.ingest.itc_positive
        )
        cases = tables.CASES.conform(cases)
    for stage, column in opened.plan.columns.items():
        require_binary(cases, column, f"endpoints.{stage}.column")
    return cases, strangers
