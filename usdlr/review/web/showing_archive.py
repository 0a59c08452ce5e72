"""An axilla's way to the archive as its page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from usdlr.review.acts import Account, Act, AxillaState, Event, Role
from usdlr.review.contexts.panels import ArchiveView
from usdlr.review.sending import DELIVERIES, FAILED, SENDING, SENT, why_not
from usdlr.review.store.told import LOADED
from usdlr.review.web.showing import time_words
from usdlr.review.web.site import Site

CHANGED = "found a case that has changed since you opened it, expected the one you saw; open it again"
_COUNTED = frozenset({LOADED, *map(str, Act)})


def archive_view(
    site: Site, found: AxillaState, log: Sequence[Event], reader: Account, names: Mapping[str, str], *, seen: int
) -> ArchiveView | None:
    """What the page says of the archive, and whether its reader may send.

    Parameters
    ----------
    site : Site
        The running page.
    found : AxillaState
        Where the axilla stands.
    log : sequence of Event
        All of the axilla.
    reader : Account
        Who looks at it; the model's answer is not covered for them.
    names : mapping of str to str
        Shown names by account name.
    seen : int
        Version that is on the screen.

    Returns
    -------
    ArchiveView or None
        ``None`` where nothing can be sent and nothing ever was.
    """
    told = [event for event in log if event.kind in DELIVERIES]
    last = told[-1] if told else None
    if site.outbox is None and last is None:
        return None
    state = _state(site, last)
    refused = button = ""
    if site.outbox is not None and reader.role.may(Role.REVIEWER) and state != SENDING:
        refused = site.outbox.refusal or why_not(found, reader, site.settings.reading)
        refused = refused or ("" if found.version == seen else CHANGED)
        if not refused:
            button = "Send report to archive" if state == "none" else "Send again"
    words = "Not sent yet." if last is None else _words(state, last, names, _stale(last, log, found))
    return ArchiveView(
        state, words, f"Cannot be sent: {refused}." if refused else "", button, last.number if last else 0
    )


def _state(site: Site, last: Event | None) -> str:
    if last is None:
        return "none"
    if last.kind == SENDING:
        return SENDING if site.outbox is not None and site.outbox.holds(last.number) else "interrupted"
    return {SENT: "sent", FAILED: "failed"}[last.kind]


def _stale(last: Event, log: Sequence[Event], found: AxillaState) -> bool:
    """Whether the case has changed since; entries of the command line of earlier days do not tell their version."""
    before = sum(event.kind in _COUNTED for event in log if event.number < last.number)
    return int(last.after.get("version", before)) != found.version


def _words(state: str, last: Event, names: Mapping[str, str], stale: bool) -> str:
    where, who, at = last.after.get("to", "the archive"), names.get(last.account, last.account), time_words(last.at)
    if state == SENDING:
        return f"Being sent to {where} since {at}, asked for by {who}."
    if state == "interrupted":
        return (
            f"Sending to {where} was interrupted ({at}, asked for by {who}); whether all of it arrived is not known. "
            "Sent again, what is there already is stored once."
        )
    if state == "failed":
        return f"Not sent to {where} ({at}, asked for by {who}): {last.after.get('why', 'no reason was recorded')}."
    count = len(last.after.get("objects", ()))
    later = " The case has changed since: the archive has an earlier state of it." if stale else ""
    return f"Sent to {where} at {at} by {who}: {count} objects, all confirmed.{later}"
