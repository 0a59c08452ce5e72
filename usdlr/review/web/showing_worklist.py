"""The reading list as its page shows it."""

from __future__ import annotations

from dataclasses import replace

from usdlr.core.types import RiskGroup, Stage
from usdlr.decision.wording import standing_mark
from usdlr.review.acts import Status
from usdlr.review.contexts.frame import Choice
from usdlr.review.contexts.worklist import Column, ListPage, ListRow
from usdlr.review.paper import worklist_pdf
from usdlr.review.store.worklist import WorklistQuery, WorklistRow, listed, worklist
from usdlr.review.web.pages import frame
from usdlr.review.web.security import Visit
from usdlr.review.web.showing import GROUP_KEYS, LABELS, SIDES, time_words
from usdlr.review.web.site import Site
from usdlr.review.words import probability_text, status_words

_NEVER = "\N{EN DASH}"
COLUMNS = (
    ("number", "Case", "", True),
    ("patient", "Patient", "", False),
    ("", "Side", "", False),
    ("centre", "Centre", "", False),
    ("group", "Answer", "The model's risk group", False),
    ("p_sln", "SLN, %", LABELS[Stage.SLN], True),
    (
        "p_nsln",
        "NSLN if\nSLN positive, %",
        f"{LABELS[Stage.NSLN]}; a dash where the cascade gives no answer to it",
        True,
    ),
    ("", "Look out for", "Warnings and quality flags", False),
    ("status", "Status", "", False),
    ("assigned", "Deferred to", "", False),
    ("verdicts", "Verdicts", "Readers with a verdict; a tick where you are one of them or gave your opinion", True),
)
"""Key, heading, meaning and whether it is a number, of each column."""
MOST_PRINTED = 2000
SORTS = frozenset(key for key, _, _, _ in COLUMNS if key)


def list_page(site: Site, visit: Visit) -> ListPage:
    """The page of the list that a session last asked for.

    Parameters
    ----------
    site : Site
        The running page.
    visit : Visit
        Whose session.
    """
    query = site.view(visit.token, visit.reader)
    found = worklist(site.store, query)
    first = (found.page - 1) * query.size
    return ListPage(
        frame=frame(site, visit, "Worklist", "worklist"),
        text=query.text,
        statuses=tuple(Choice(str(one), status_words(one), one in query.status) for one in Status),
        groups=() if site.hidden else tuple(Choice(str(one), str(one), one in query.group) for one in RiskGroup),
        flagged=query.flagged,
        assigned=bool(query.assigned),
        filtered=bool(query.text or query.status or query.group or query.flagged or query.assigned),
        columns=tuple(_column(query, *column) for column in COLUMNS),
        rows=tuple(_row(one) for one in found.rows),
        total=found.total,
        page=found.page,
        pages=found.pages,
        first=first + 1 if found.rows else 0,
        last=first + len(found.rows),
        done=found.done,
        whole=found.all,
        next_token=found.next_token or "",
        hidden=site.hidden,
    )


def _column(query: WorklistQuery, key: str, words: str, explained: str, numeric: bool) -> Column:
    # In a hidden reading the order is the reader's own; sorting by an answer would tell it.
    key = "" if query.hidden else key
    order = "none"
    if key and query.sort == key:
        order = "descending" if query.descending else "ascending"
    return Column(key, words, explained, order, numeric)


def _row(row: WorklistRow) -> ListRow:
    group = row.group if row.group_shown else None
    stopped = group in (RiskGroup.LR_SLN, RiskGroup.DEFER)
    return ListRow(
        token=row.token,
        number=row.number,
        patient_id=row.patient_id,
        side=SIDES[row.side],
        centre_id=row.centre_id,
        group="" if group is None else str(group),
        group_key="hidden" if group is None else GROUP_KEYS[group],
        standing="" if group is None or not row.contract else standing_mark(row.contract),
        p_sln=_number(None if group is None else row.p_sln),
        p_nsln=_NEVER if stopped else _number(None if group is None else row.p_nsln),
        warned=row.warnings,
        flags="; ".join(row.flags),
        status=str(row.status),
        status_words=status_words(row.status),
        assigned=_assigned(row),
        verdicts=row.verdicts,
        mine=row.mine,
    )


def _assigned(row: WorklistRow) -> str:
    """Whom it was deferred to; who does not know the answer yet learns only that it is theirs."""
    return row.assigned if row.group_shown or row.status is Status.DEFERRED else ""


def printed_list(site: Site, visit: Visit) -> bytes | None:
    """The list as this session last filtered it, on paper; ``None`` before any model is loaded.

    Parameters
    ----------
    site : Site
        The running page.
    visit : Visit
        Whose session.
    """
    models = site.models()
    if not models:
        return None
    query = site.view(visit.token, visit.reader)
    rows, total = listed(site.store, query, MOST_PRINTED)
    lines = [f"Printed for {visit.reader.display}, {time_words(site.store.at())}. {_filter_words(query)}"]
    if total > len(rows):
        lines.append(f"Only the first {len(rows)} of {total} cases are printed: filter the list to print others.")
    return worklist_pdf(
        [replace(row, assigned=_assigned(row)) for row in rows],
        model=models[0],
        note="The worklist as its reader filtered it: the model's answer, and where the review stands.",
        lines=lines,
        others=models[1:],
    )


def _filter_words(query: WorklistQuery) -> str:
    """What the list shows, in which order."""
    found = [f"search \N{LEFT DOUBLE QUOTATION MARK}{query.text}\N{RIGHT DOUBLE QUOTATION MARK}"] if query.text else []
    found += [f"status {status_words(one).lower()}" for one in query.status]
    found += [f"answer {one}" for one in query.group]
    found += ["with flags or warnings"] if query.flagged else []
    found += [f"deferred to {query.assigned}"] if query.assigned else []
    shown = f"Cases with {'; '.join(found)}." if found else "All cases."
    if query.hidden:
        return f"{shown} In the reader's own order, drawn at random."
    heading = next(words for key, words, _, _ in COLUMNS if key == query.sort).replace("\n", " ")
    return f"{shown} Sorted by {heading.removesuffix(', %')}, {'descending' if query.descending else 'ascending'}."


def _number(value: float | None) -> str:
    """A probability without its unit, which the heading says."""
    return "" if value is None else probability_text(value).removesuffix(" %")
