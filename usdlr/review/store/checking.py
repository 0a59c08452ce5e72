"""Whether the store says what its log says: the chain, every list that repeats it, and the guards in the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select, text

from usdlr.review.records import Act
from usdlr.review.store import schema
from usdlr.review.store.acting import projected
from usdlr.review.store.audit import Anchor, ChainReport, events_of, verify_on
from usdlr.review.store.engine import Store
from usdlr.review.store.loading import content_hash, shown
from usdlr.review.store.reading import record_of, told_of
from usdlr.review.store.told import LOADED

_GUARDS = {
    "sqlite": {"event_kept", "event_stays", "event_next", "event_added", "head_stays", "head_follows"},
    "postgresql": {
        "event_kept",
        "event_stays",
        "event_next",
        "event_added",
        "head_stays",
        "head_whole",
        "head_follows",
    },
}


@dataclass(frozen=True)
class StoreReport:
    """What a check of the whole store found.

    Parameters
    ----------
    chain : ChainReport
        Of the audit log.
    axillae : int
        That were compared with it.
    wrong : tuple of str
        A sentence for everything that differs from what the log tells.
    """

    chain: ChainReport
    axillae: int
    wrong: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return self.chain.whole and not self.wrong


def check(store: Store, *, anchor: Anchor | None = None) -> StoreReport:
    """Compare everything with the audit log.

    Parameters
    ----------
    store : Store
        Which.
    anchor : Anchor, optional
        From an earlier export.
    """
    with store.reading() as connection:
        chain = verify_on(connection, anchor=anchor)
        tokens = connection.scalars(select(schema.axilla.c.token).order_by(schema.axilla.c.number)).all()
        wrong = [*_guards(connection), *_requests(connection)]
        for token in tokens:
            wrong += _axilla(connection, token)
    return StoreReport(chain, len(tokens), tuple(wrong))


def _guards(connection: Connection) -> Iterator[str]:
    dialect = connection.dialect.name
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if dialect == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"
    )
    found = set(connection.scalars(text(query)))
    for name in sorted(_GUARDS[dialect] - found):
        yield f"the guard {name} is missing: somebody could have changed the log"


def _requests(connection: Connection) -> Iterator[str]:
    """Every act of a reader has its request, and the other way round."""
    place, log = schema.request, schema.event
    named = set(connection.scalars(select(place.c.number)))
    acts = set(connection.scalars(select(log.c.number).where(log.c.kind.in_([str(act) for act in Act]))))
    for number in sorted(named ^ acts):
        yield f"event {number} and the requests do not agree"


def _axilla(connection: Connection, token: str) -> Iterator[str]:
    place = schema.axilla
    row = connection.execute(select(place).where(place.c.token == token)).one()
    record = record_of(connection, token)
    if record is None:
        yield f"axilla {row.number} has no prediction"
        return
    loads = [event for event in events_of(connection, token) if event.kind == LOADED]
    if not loads or loads[-1].number != row.loaded or loads[-1].after.get("record") != content_hash(record):
        yield f"axilla {row.number} is not as it was loaded"
        return
    found = told_of(connection, record)
    said = projected(found) | shown(found.answer)
    for name, value in said.items():
        if row._mapping[name] != value:
            yield f"axilla {row.number} has another {name} than the log tells"
    marks = defaultdict(set)
    for account in found.opinions:
        marks[account].add("opinion")
    for account in found.verdicts:
        marks[account].add("verdict")
    readers = {name: ("opinion" in mark, "verdict" in mark) for name, mark in marks.items()}
    mine = schema.reading
    kept = connection.execute(select(mine).where(mine.c.axilla == token))
    if {one.account: (bool(one.opinion), bool(one.verdict)) for one in kept} != readers:
        yield f"axilla {row.number} has other readers than the log tells"
