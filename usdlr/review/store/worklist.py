"""The worklist: filter, search, sort, page; and the way from one axilla to the next in the same order.

In hidden reading the order is a reader's own, at random but always the same, and nothing of the model's answer is
shown, filtered or sorted by before the reader's own opinion is recorded; nor its warnings, nor what other readers did.
Quality flags speak of the image, and stay.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal, null, or_, select

from usdlr.core.errors import InputError
from usdlr.core.types import RiskGroup, Side
from usdlr.review.acts import Status
from usdlr.review.store import schema
from usdlr.review.store.engine import Store
from usdlr.review.store.loading import search_text

LARGEST_PAGE = 500
LONGEST_SEARCH = 200
_NO_FLAGS = "[]"
_STATUS_ORDER = {str(status): place for place, status in enumerate(Status)}
_GROUP_ORDER = {str(group): place for place, group in enumerate(RiskGroup)}


@dataclass(frozen=True)
class WorklistQuery:
    """What of the list, in which order.

    Parameters
    ----------
    text : str
        Part of a patient's identifier or a centre's name, or an axilla's number; capitals do not matter.
    status : tuple of Status
        Any of these; empty: all.
    group : tuple of RiskGroup
        Any of these groups of the model; empty: all.
    contract : str
        A :class:`~usdlr.core.types.ContractStatus`; empty: all.
    flagged : bool
        Only those with warnings or quality flags.
    assigned : str
        Name of the account that they were deferred to; empty: all.
    sort : str
        ``number patient centre group p_sln p_nsln status assigned verdicts``.
    descending : bool
        The largest first; what has no value is last either way.
    page, size : int
        1 for the first; at most 500 rows on each.
    reader : str
        Name of the account that asks.
    hidden : bool
        Hidden reading.
    seed : int
        Of the order in hidden reading.
    """

    text: str = ""
    status: tuple[Status, ...] = ()
    group: tuple[RiskGroup, ...] = ()
    contract: str = ""
    flagged: bool = False
    assigned: str = ""
    sort: str = "number"
    descending: bool = False
    page: int = 1
    size: int = 50
    reader: str = ""
    hidden: bool = False
    seed: int = 0


@dataclass(frozen=True)
class WorklistRow:
    """One axilla in the list.

    Parameters
    ----------
    token : str
        Names it in addresses.
    number : int
        What pages call it.
    patient_id : str
        Of the tables.
    side : Side
        Of the body.
    centre_id : str
        Of the tables.
    group : RiskGroup or None
        The model's answer that counts now; ``None`` while it is hidden.
    p_sln, p_nsln : float or None
        0 to 1; ``None`` while hidden or where there is none.
    flags : tuple of str
        Quality flags, in words.
    warnings : bool
        Whether the answer carries a warning; not said while hidden.
    status : Status
        Where it stands; in hidden reading without other readers' doings before the reader's own opinion.
    assigned : str
        Name of the account that it was deferred to; empty: anybody's.
    verdicts : int
        Number of readers with a verdict; 0 while hidden.
    mine : bool
        Whether this reader has given an opinion or a verdict.
    group_shown : bool
        Whether this reader may see the model's answer.
    contract : str
        Standing of the contract behind the group, a :class:`~usdlr.core.types.ContractStatus`; empty while the group
        is hidden.
    """

    token: str
    number: int
    patient_id: str
    side: Side
    centre_id: str
    group: RiskGroup | None
    p_sln: float | None
    p_nsln: float | None
    flags: tuple[str, ...]
    warnings: bool
    status: Status
    assigned: str
    verdicts: int
    mine: bool
    group_shown: bool
    contract: str = ""


@dataclass(frozen=True)
class WorklistPage:
    """A page of the list.

    Parameters
    ----------
    rows : tuple of WorklistRow
        Of this page.
    total : int
        Rows of all pages together.
    page, pages : int
        This one, and how many; at least 1. A page past the end shows the last.
    done, all : int
        Axillae with a verdict of this reader, and all in the store: progress through the whole list.
    next_token : str or None
        The first axilla of the filtered list, in its order, that waits for this reader: without a verdict of theirs,
        and not deferred to somebody else.
    """

    rows: tuple[WorklistRow, ...]
    total: int
    page: int
    pages: int
    done: int
    all: int
    next_token: str | None


def worklist(store: Store, query: WorklistQuery) -> WorklistPage:
    """One page of the list.

    Parameters
    ----------
    store : Store
        Where.
    query : WorklistQuery
        Which part, in which order.

    Returns
    -------
    WorklistPage
        All of it from one moment.

    Raises
    ------
    InputError
        If the order is unknown or a page's number or size cannot be.
    """
    if query.page < 1 or not 1 <= query.size <= LARGEST_PAGE:
        raise InputError(
            f"found page {query.page} of {query.size} rows, expected a page from 1 and at most {LARGEST_PAGE} rows"
        )
    parts = _Parts(query)
    place, mine = schema.axilla, schema.reading
    finished = select(func.count()).select_from(mine).where(mine.c.account == query.reader, mine.c.verdict)
    everything = select(func.count()).select_from(place)
    with store.reading() as connection:
        ordered = parts.ordered(connection, and_(*parts.wanted))
        pages = max(1, -(-len(ordered) // query.size))
        page = min(query.page, pages)
        shown = parts.rows(connection, ordered[(page - 1) * query.size : page * query.size])
        done, count = connection.execute(select(finished.scalar_subquery(), everything.scalar_subquery())).one()
    upcoming = next((token for token, waits in ordered if waits), None)
    return WorklistPage(shown, len(ordered), page, pages, done, count, upcoming)


def listed(store: Store, query: WorklistQuery, most: int) -> tuple[tuple[WorklistRow, ...], int]:
    """The list without pages, to be printed.

    Parameters
    ----------
    store : Store
        Where.
    query : WorklistQuery
        Filter and order; pages do not matter.
    most : int
        At most so many rows.

    Returns
    -------
    rows : tuple of WorklistRow
        The first of them, all from one moment.
    total : int
        How many the filters let through.
    """
    parts = _Parts(query)
    with store.reading() as connection:
        ordered = parts.ordered(connection, and_(*parts.wanted))
        return parts.rows(connection, ordered[:most]), len(ordered)


def neighbours(store: Store, query: WorklistQuery, token: str) -> tuple[str | None, str | None]:
    """The axillae before and after one in the list's order.

    Parameters
    ----------
    store : Store
        Where.
    query : WorklistQuery
        Filter and order; pages do not matter.
    token : str
        The axilla; it need not pass the filter (any more).

    Returns
    -------
    previous, next : str or None
        Tokens; ``None`` at an end, and for an unknown axilla.
    """
    parts = _Parts(query)
    with store.reading() as connection:
        ordered = parts.ordered(connection, or_(and_(*parts.wanted), schema.axilla.c.token == token))
    tokens = [None, *(found for found, _ in ordered), None]
    if token not in tokens:
        return None, None
    place = tokens.index(token)
    return tokens[place - 1], tokens[place + 1]


class _Parts:
    """The pieces of SQL that a query stands for."""

    def __init__(self, query: WorklistQuery) -> None:
        place, mine = schema.axilla, schema.reading
        self.joined = place.outerjoin(mine, and_(mine.c.axilla == place.c.token, mine.c.account == query.reader))
        heard = func.coalesce(mine.c.opinion, False)
        self.open: ColumnElement[bool] = heard if query.hidden else literal(True)
        status: ColumnElement[str] = place.c.status
        if query.hidden:
            deferred = and_(place.c.status == str(Status.DEFERRED), place.c.assigned == query.reader)
            status = case((or_(heard, deferred), place.c.status), else_=str(Status.UNREAD))
        self.status = status
        self.columns = (
            place.c.token,
            place.c.number,
            place.c.patient_id,
            place.c.side,
            place.c.centre_id,
            case((self.open, place.c.risk_group), else_=null()).label("group"),
            case((self.open, place.c.p_sln), else_=null()).label("p_sln"),
            case((self.open, place.c.p_nsln), else_=null()).label("p_nsln"),
            place.c.flags,
            case((self.open, place.c.warned), else_=False).label("warned"),
            status.label("status"),
            place.c.assigned,
            case((self.open, place.c.verdicts), else_=0).label("verdicts"),
            or_(heard, func.coalesce(mine.c.verdict, False)).label("mine"),
            self.open.label("shown"),
            case((self.open, place.c.contract), else_="").label("contract"),
        )
        self.query = query
        self.hidden = query.hidden
        self.waits = and_(~func.coalesce(mine.c.verdict, False), place.c.assigned.in_(("", query.reader)))
        self.wanted = self._wanted(query)
        self.order = self._order(query)

    def ordered(self, connection: Connection, wanted: ColumnElement[bool]) -> list[tuple[str, bool]]:
        """Tokens in the list's order, with whether the axilla waits for the reader.

        All of them at once: thousands of short rows are quicker than a second sort for what comes next.
        """
        found = connection.execute(
            select(schema.axilla.c.token, self.waits).select_from(self.joined).where(wanted).order_by(*self.order)
        )
        rows = [(str(token), bool(waits)) for token, waits in found]
        if self.hidden:
            start = f"{self.query.seed}\x1f{self.query.reader}\x1f"
            rows.sort(key=lambda row: sha256((start + row[0]).encode()).digest())
        return rows

    def rows(self, connection: Connection, ordered: Sequence[tuple[str, bool]]) -> tuple[WorklistRow, ...]:
        """What the list shows of these axillae, in their order."""
        tokens = [token for token, _ in ordered]
        query = select(*self.columns).select_from(self.joined).where(schema.axilla.c.token.in_(tokens))
        found = {row.token: _row(row) for row in connection.execute(query)}
        return tuple(found[token] for token in tokens)

    def _wanted(self, query: WorklistQuery) -> list[ColumnElement[bool]]:
        place = schema.axilla
        wanted: list[ColumnElement[bool]] = [literal(True)]
        if query.status:
            wanted.append(self.status.in_([str(status) for status in query.status]))
        if query.group:
            wanted += [self.open, place.c.risk_group.in_([str(group) for group in query.group])]
        if query.contract:
            wanted += [self.open, place.c.contract == query.contract]
        if query.flagged:
            wanted.append(case((self.open, place.c.flagged), else_=place.c.flags != _NO_FLAGS))
        if query.assigned:
            wanted.append(place.c.assigned == query.assigned)
        text = "".join(letter for letter in query.text[:LONGEST_SEARCH] if letter.isprintable()).strip()
        if text:
            found = place.c.search.contains(search_text(text), autoescape=True)
            # A number that no column can hold is nobody's.
            digits = text.removeprefix("#")
            number = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else None
            wanted.append(found if number is None else or_(found, place.c.number == number))
        return wanted

    def _order(self, query: WorklistQuery) -> list[ColumnElement[Any]]:
        place = schema.axilla
        if query.hidden:
            # Mixed in `ordered`, not by anything that a reader could read from it.
            return [place.c.number.asc()]
        keys: dict[str, ColumnElement[Any]] = {
            "number": place.c.number,
            "patient": place.c.search,
            "centre": place.c.centre_id,
            "group": case(_GROUP_ORDER, value=place.c.risk_group, else_=len(_GROUP_ORDER)),
            "p_sln": place.c.p_sln,
            "p_nsln": place.c.p_nsln,
            "status": case(_STATUS_ORDER, value=place.c.status, else_=len(_STATUS_ORDER)),
            "assigned": func.nullif(place.c.assigned, ""),
            "verdicts": place.c.verdicts,
        }
        key = keys.get(query.sort)
        if key is None:
            raise InputError(f"found the order {query.sort!r}, expected one of {', '.join(keys)}")
        if query.sort == "number":
            return [key.desc() if query.descending else key.asc()]
        return [(key.desc() if query.descending else key.asc()).nulls_last(), place.c.number.asc()]


def _row(row: Any) -> WorklistRow:
    return WorklistRow(
        token=row.token,
        number=row.number,
        patient_id=row.patient_id,
        side=Side(row.side),
        centre_id=row.centre_id,
        group=None if row.group is None else RiskGroup(row.group),
        p_sln=row.p_sln,
        p_nsln=row.p_nsln,
        flags=tuple(json.loads(row.flags)),
        warnings=bool(row.warned),
        status=Status(row.status),
        assigned=row.assigned,
        verdicts=row.verdicts,
        mine=bool(row.mine),
        group_shown=bool(row.shown),
        contract=row.contract,
    )
