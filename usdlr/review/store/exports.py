"""What leaves the store for analysis: reviews, the log, readers' scores; CSV for spreadsheets, Parquet for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Connection, select

from usdlr.core.files import write_together
from usdlr.core.types import Stage
from usdlr.evaluation.readers import COLUMNS
from usdlr.review.acts import Account, Act, Event, Opinion, Reading
from usdlr.review.plain import from_plain
from usdlr.review.records import Answered, AxillaRecord
from usdlr.review.store import schema
from usdlr.review.store.audit import SYSTEM, anchor_of, append, events_of
from usdlr.review.store.engine import Store
from usdlr.review.store.plain import canonical
from usdlr.review.store.reading import displays_of
from usdlr.review.store.told import LOADED, Told

ALONE, WITH, MODEL = "reader", "reader with usdlr", "usdlr"
"""The ways of reading, as :func:`reader_scores` names them."""

_REVIEWS: dict[str, str] = {
    "number": "int64",
    "patient_id": "str",
    "side": "str",
    "centre_id": "str",
    "digest": "str",
    "current": "bool",
    "status": "str",
    "assigned": "str",
    "risk_group": "str",
    "contract": "str",
    "p_sln": "float64",
    "t_sln": "float64",
    "p_nsln": "float64",
    "t_nsln": "float64",
    "reader": "str",
    "verdict": "str",
    "verdict_group": "str",
    "stands": "bool",
    "reason": "str",
    "at": "str",
    "event": "Int64",
    "own_group": "str",
    "own_p_sln": "float64",
    "own_p_nsln": "float64",
    "redrawn": "int64",
}
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n")


def reviews_table(store: Store) -> pd.DataFrame:
    """What readers said of each axilla.

    Returns
    -------
    DataFrame
        One row per axilla, prediction and reader with a verdict, and one for each axilla whose present prediction has
        none: ``number patient_id side centre_id`` of the axilla; ``digest`` of the bundle; ``current``, whether the
        prediction is the present one (verdicts on earlier ones stay); ``status assigned`` where it stands (for earlier
        predictions: stood); ``risk_group contract p_sln t_sln p_nsln t_nsln`` of the model's last answer, ``p_nsln``
        given a positive sentinel node; ``reader verdict verdict_group reason at event`` of the verdict, empty without
        one; ``stands``, whether the model's group is still the one that it was about; ``own_group own_p_sln
        own_p_nsln``, the reader's last opinion; ``redrawn``, images with a redrawn contour.
    """
    rows: list[dict[str, Any]] = []
    with store.reading() as connection:
        for one in _readings(connection):
            rows += _review_rows(one)
    table = pd.DataFrame(rows, columns=list(_REVIEWS))
    return table.astype(_REVIEWS)


def events_table(store: Store) -> pd.DataFrame:
    """The audit log.

    Returns
    -------
    DataFrame
        One row per event: ``number at account kind token digest before after hash previous``, ``before`` and ``after``
        as canonical JSON, so that everybody can recompute the hashes; and ``axilla``, the number of the axilla in the
        list, null where the event is about none.
    """
    log, place = schema.event, schema.axilla
    query = (
        select(log, place.c.number.label("axilla"))
        .outerjoin(place, place.c.token == log.c.token)
        .order_by(log.c.number)
    )
    names = [*log.c.keys(), "axilla"]
    with store.reading() as connection:
        table = pd.DataFrame([tuple(row) for row in connection.execute(query)], columns=names)
    kinds = dict.fromkeys(names, "str") | {"number": "int64", "axilla": "Int64"}
    return table.astype(kinds)


def reader_scores(
    store: Store, *, stage: Stage = Stage.SLN, complete: bool = True, any_reading: bool = False
) -> pd.DataFrame:
    """Readers' probabilities for :func:`usdlr.evaluation.readers.reader_study`.

    ``reader``: the reader's first opinion, given before any verdict and, unless ``any_reading``, in hidden reading.
    ``reader with usdlr``: the probability that stands after the reader saw the model's: one given with the verdict or
    after it; else, accepting, the model's; rejecting, the reader's own. ``usdlr``: the model's at the reader's verdict.

    Parameters
    ----------
    store : Store
        Where.
    stage : Stage
        Which probability.
    complete : bool
        Only axillae that every reader scored in every way, as a study needs it; ``attrs["left_out"]`` counts the
        others.
    any_reading : bool
        Opinions count as a reader's own although the model's answer was on the screen.

    Returns
    -------
    DataFrame
        ``reader patient_id side modality score``, a score 0 to 1. Readers are the accounts with any score.
    """
    rows: list[tuple[str, str, str, str, float]] = []
    axillae: set[tuple[str, str]] = set()
    with store.reading() as connection:
        for one in _readings(connection):
            if one.current:
                key = (one.record.patient_id, str(one.record.side))
                axillae.add(key)
                found = _scores(one, stage, any_reading)
                rows += [(reader, *key, how, score) for (reader, how), score in found.items()]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({**dict.fromkeys(COLUMNS[:4], "str"), "score": "float64"})
    if complete:
        wanted = 3 * table["reader"].nunique()
        counts = table.groupby(["patient_id", "side"])["score"].transform("size")
        table = table[counts == wanted].reset_index(drop=True)
    kept = table[["patient_id", "side"]].drop_duplicates()
    table.attrs["left_out"] = len(axillae) - len(kept)
    return table


def write_exports(store: Store, folder: Path, *, account: Account | None = None) -> list[Path]:
    """Write all exports, and the end of the log that later checks are held against.

    In CSV, texts that a spreadsheet would take for a formula get an apostrophe in front; Parquet has them as they are.

    Parameters
    ----------
    store : Store
        Which.
    folder : Path
        Made if absent.
    account : Account, optional
        Who asked, for the log.

    Returns
    -------
    list of Path
        ``reviews events reader_scores`` as ``.csv`` and ``.parquet``, ``anchor.json``: all of them are written, or
        none.
    """
    with store.reading() as connection:
        end = anchor_of(connection)
    log = events_table(store)
    tables = {
        "reviews": reviews_table(store),
        "events": log[log["number"] <= end.number],
        "reader_scores": reader_scores(store),
    }
    contents: dict[str, bytes] = {}
    for name, table in tables.items():
        held = io.BytesIO()
        table.to_parquet(held, index=False)
        contents[f"{name}.parquet"] = held.getvalue()
        contents[f"{name}.csv"] = harmless(table).to_csv(index=False).encode()
    contents["anchor.json"] = (canonical({"number": end.number, "hash": end.hash}) + "\n").encode()
    written = write_together(folder, contents)
    with store.writing() as connection:
        append(
            connection,
            account=account.name if account is not None else SYSTEM,
            kind="export",
            after={"files": sorted(contents), "anchor": end.hash},
            at=store.at(),
        )
    return written


def harmless(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts no spreadsheet takes for a formula.

    Examples
    --------
    >>> harmless(pd.DataFrame({"reason": ["=1+1", "fine"], "x": [-1, 2]}))["reason"].tolist()
    ["'=1+1", 'fine']
    """

    def safe(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value.startswith(_RISKY) else value

    columns = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    return table.assign(**{name: table[name].map(safe) for name in columns})


@dataclass(frozen=True)
class _Reading:
    """An axilla's time with one prediction."""

    record: AxillaRecord
    events: tuple[Event, ...]
    displays: dict[str, str]
    current: bool

    def told(self) -> Told:
        found = Told(self.record.answer, self.displays)
        for event in self.events:
            found.take(event)
        return found


def _readings(connection: Connection) -> Iterator[_Reading]:
    """Every prediction of every axilla with what readers did while it counted, the oldest first."""
    place, said = schema.axilla, schema.prediction
    displays = displays_of(connection)
    for token, loaded, number in connection.execute(
        select(place.c.token, place.c.loaded, place.c.number).order_by(place.c.number)
    ).all():
        query = select(said.c.loaded, said.c.record).where(said.c.token == token).order_by(said.c.loaded)
        records = {row.loaded: row.record for row in connection.execute(query)}
        log = events_of(connection, token)
        starts = [place for place, event in enumerate(log) if event.kind == LOADED]
        for start, end in zip(starts, [*starts[1:], len(log)], strict=True):
            event = log[start]
            record = replace(from_plain(AxillaRecord, json.loads(records[event.number])), number=number)
            yield _Reading(record, tuple(log[start + 1 : end]), displays, event.number == loaded)


def _review_rows(one: _Reading) -> list[dict[str, Any]]:
    found, record = one.told(), one.record
    steps = {step.stage: step for step in found.answer.stages}
    sln, nsln = steps.get(Stage.SLN), steps.get(Stage.NSLN)
    base: dict[str, Any] = {
        "number": record.number,
        "patient_id": record.patient_id,
        "side": str(record.side),
        "centre_id": record.centre_id,
        "digest": record.digest,
        "current": one.current,
        "status": str(found.status),
        "assigned": found.assigned,
        "risk_group": str(found.answer.group),
        "contract": found.answer.contract,
        "p_sln": sln and sln.probability,
        "t_sln": sln and sln.threshold,
        "p_nsln": nsln and nsln.probability,
        "t_nsln": nsln and nsln.threshold,
        "redrawn": len(found.outlines),
    }
    nothing = {"reader": "", "verdict": "", "verdict_group": "", "stands": False, "reason": "", "at": "", "event": None}
    rows = []
    for verdict in sorted(found.verdicts.values(), key=lambda verdict: verdict.number):
        own = found.opinions.get(verdict.account)
        rows.append(
            base
            | {
                "reader": verdict.account,
                "verdict": str(verdict.act),
                "verdict_group": "" if verdict.group is None else str(verdict.group),
                "stands": verdict in found.standing,
                "reason": verdict.reason,
                "at": verdict.at,
                "event": verdict.number,
            }
            | _own(own)
        )
    return rows or ([base | nothing | _own(None)] if one.current else [])


def _own(opinion: Opinion | None) -> dict[str, Any]:
    if opinion is None:
        return {"own_group": "", "own_p_sln": None, "own_p_nsln": None}
    return {"own_group": str(opinion.group), "own_p_sln": opinion.p_sln, "own_p_nsln": opinion.p_nsln}


def _scores(one: _Reading, stage: Stage, any_reading: bool) -> dict[tuple[str, str], float]:
    """Scores by reader and way of reading."""
    found = Told(one.record.answer)
    scores: dict[tuple[str, str], float] = {}
    for event in one.events:
        who = event.account
        before = found.opinions.get(who)
        decided = who in found.verdicts
        found.take(event)
        given = _probability(from_plain(Opinion, event.after["opinion"]), stage) if event.after.get("opinion") else None
        if event.kind == Act.OPINION:
            if decided:
                _set(scores, (who, WITH), given)
            elif before is None and (any_reading or event.after.get("reading") == Reading.HIDDEN):
                scores.setdefault((who, ALONE), float("nan") if given is None else given)
        elif event.kind in (Act.ACCEPT, Act.REJECT, Act.MODIFY, Act.ADJUDICATE):
            model = _models(found.answer, stage)
            own = None if before is None else _probability(before, stage)
            default = {Act.ACCEPT: model, Act.REJECT: own}.get(Act(event.kind))
            _set(scores, (who, WITH), default if given is None else given)
            _set(scores, (who, MODEL), model)
    return {key: score for key, score in scores.items() if score == score}


def _set(scores: dict[tuple[str, str], float], key: tuple[str, str], score: float | None) -> None:
    """The last one counts, also where it is none: an older score must not stand for it."""
    scores[key] = float("nan") if score is None else score


def _probability(opinion: Opinion, stage: Stage) -> float | None:
    return opinion.p_sln if stage is Stage.SLN else opinion.p_nsln


def _models(answer: Answered, stage: Stage) -> float | None:
    return next((step.probability for step in answer.stages if step.stage is stage), None)
