"""One axilla's page from the store; while a reading is hidden, nothing of the model's answer enters the context."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from usdlr.core.errors import InputError
from usdlr.core.types import MaskSource
from usdlr.decision.wording import P_NSLN, P_SLN
from usdlr.decision.wording_review import AUTOMATIC_CONTOUR, BEGUN_BY_SOFTWARE, ON_EARLIER
from usdlr.review.acts import Account, Act, AxillaState, Event, ReaderVerdict, Role, Status
from usdlr.review.contexts.axilla import MOST_ASKED, ArchivePart, AxillaPage
from usdlr.review.contexts.frame import Choice
from usdlr.review.contexts.panels import HistoryLine, ImageView, ReviewPanel
from usdlr.review.plain import from_plain
from usdlr.review.records import Answered, AxillaRecord, ImageRecord
from usdlr.review.store.accounts import accounts, is_disabled
from usdlr.review.store.audit import events
from usdlr.review.store.reading import axilla, explanation, state
from usdlr.review.store.worklist import neighbours
from usdlr.review.web.pages import frame
from usdlr.review.web.security import NotFoundError, Visit
from usdlr.review.web.showing import (
    GROUP_KEYS,
    SIDES,
    answer_view,
    group_choices,
    image_words,
    opinion_words,
    scale_words,
    source_words,
    time_words,
)
from usdlr.review.web.showing_archive import archive_view
from usdlr.review.web.showing_made import explanation_view
from usdlr.review.web.showing_viewer import viewer_data, viewer_json
from usdlr.review.web.site import Site
from usdlr.review.words import act_words, mm_text, status_words

_LOG = logging.getLogger(__name__)
_ALL, _MOST_SHOWN = 1_000_000, 500
_COMING = (
    "What the answer is made of is being worked out and appears here by itself; heat maps come when the page is opened "
    "again."
)
_LONG = "What the answer is made of is not worked out yet, and this page has stopped asking for it."
CHANGED = "The case has changed since this page was opened; open it again to see what its answer is made of."
# The only warning that speaks of the picture; all others follow from what the model made of it.
_OF_THE_PICTURE = frozenset({AUTOMATIC_CONTOUR})
_FAILED = "What the answer is made of could not be worked out for this case; the answer itself stands."


def found_axilla(site: Site, token: str) -> tuple[AxillaRecord, AxillaState]:
    """An axilla and where it stands.

    Raises
    ------
    NotFoundError
        If there is none of that token.
    """
    record = axilla(site.store, token)
    if record is None:
        raise NotFoundError
    return record, state(site.store, token)


def is_covered(site: Site, found: AxillaState, account: Account) -> bool:
    """Whether the model's answer is withheld from a reader: hidden reading, and no own opinion yet."""
    return site.hidden and account.name not in found.opinions


def shapes(site: Site, record: AxillaRecord, found: AxillaState) -> tuple[ImageRecord, ...]:
    """An axilla's images with the outlines that count now.

    Rings and calipers of redrawn contours are worked out by the model's process and remembered; where it cannot be
    asked, the new contour is shown without them rather than with those of the earlier one.
    """
    if not found.outlines:
        return record.images
    key = record.token, record.digest, tuple(sorted(found.outlines.items()))

    def ask() -> tuple[ImageRecord, ...]:
        assert site.live is not None
        return site.live.predict(record, outlines=found.outlines, used=()).images

    if site.live is not None:
        try:
            return site.shapes.make(key, ask)
        except InputError as error:
            _LOG.warning(
                "case %d: the ring of a redrawn contour cannot be shown (%s)", record.number, type(error).__name__
            )
    return tuple(
        replace(image, contour=found.outlines[image.token], ring=(), calipers=())
        if image.token in found.outlines
        else image
        for image in record.images
    )


def keep_shapes(site: Site, record: AxillaRecord, found: AxillaState, images: tuple[ImageRecord, ...]) -> None:
    """Remember the outlines that a prediction came with."""
    if found.outlines and not found.used:  # of images that are left out, a prediction knows the loaded contour alone
        site.shapes.put((record.token, record.digest, tuple(sorted(found.outlines.items()))), images)


def axilla_page(site: Site, visit: Visit, token: str, *, said: str = "", asked: int = 0) -> AxillaPage:
    """Everything that the page of one axilla shows to its visitor.

    Parameters
    ----------
    site : Site
        The running page.
    visit : Visit
        Who looks at it.
    token : str
        Of the axilla.
    said : str
        What has just been recorded.
    asked : int
        How often an open page has asked for the explanation by itself.

    Raises
    ------
    NotFoundError
        If there is no such axilla.
    """
    record, found = found_axilla(site, token)
    reader = visit.reader
    covered = is_covered(site, found, reader)
    told = None if covered else explanation(site.store, token)
    coming, failed = False, False
    if told is None and not covered and site.ahead is not None:
        failed = site.ahead.failed(token)
        coming = not failed
        if coming:
            site.ahead.first(token)
    # Before the own opinion, what other readers drew and chose, and what came of it, is not told either.
    seen = replace(found, outlines={}, used=(), answer=record.answer, confirmed=()) if covered else found
    images = shapes(site, record, seen)
    before, after = neighbours(site.store, site.view(visit.token, reader), token)
    model, people = site.model(record.digest), accounts(site.store)
    names = {one.name: one.display for one in people}
    log = events(site.store, token=token, limit=_ALL)
    may = reader.role.may(Role.REVIEWER)
    history = [event for event in log if not covered or event.account == reader.name]
    status = _seen_status(found, reader, covered)
    return AxillaPage(
        frame=frame(site, visit, f"Case {record.number}", "worklist", record.digest),
        token=token,
        number=record.number,
        patient_id=record.patient_id,
        side=SIDES[record.side],
        centre_id=record.centre_id,
        status=str(status),
        status_words=status_words(status),
        assigned=names.get(found.assigned, found.assigned) if status is Status.DEFERRED else "",
        version=found.version,
        previous=before or "",
        following=after or "",
        said=said,
        covered=covered,
        warnings=tuple(one for one in seen.answer.warnings if not covered or one in _OF_THE_PICTURE),
        flags=seen.answer.flags,
        left_out=seen.answer.left_out,
        answer=None
        if covered
        else answer_view(found.answer, model.contract if model else (), changed=bool(found.outlines or found.used)),
        images=_images(images, record, seen, may=may),
        viewer=viewer_json(viewer_data(images, told, token, found.version)),
        chosen=may and not covered and site.live is not None and len(record.images) > 1,
        editable=may and not covered and site.live is not None,
        proposes=may and not covered and site.live is not None and site.proposing is not None,
        measures=_measures(seen.answer),
        clinical=record.clinical,
        comparators=() if covered else record.comparators,
        explanation=None if told is None else explanation_view(told),
        waiting=(_COMING if asked < MOST_ASKED else _LONG) if coming else _FAILED if failed else "",
        asks_again=coming,
        asked=asked,
        panel=_panel(site, found, reader, people, covered=covered) if may else None,
        verdicts=() if covered else _verdicts(found),
        history=tuple(_line(event, names, covered=covered) for event in reversed(history[-_MOST_SHOWN:])),
        bundle=f"{record.bundle_id} ({record.digest[:12]})",
        paper=not covered,
        archive=None if covered else archive_view(site, found, log, reader, names, seen=found.version),
    )


def archive_part(site: Site, visit: Visit, token: str, *, seen: int, asked: int) -> ArchivePart:
    """The part of an axilla's page that tells of the archive.

    Parameters
    ----------
    site : Site
        The running page.
    visit : Visit
        Who looks at it.
    token : str
        Of the axilla.
    seen : int
        Version that is on the screen.
    asked : int
        How often the page has asked.

    Raises
    ------
    NotFoundError
        If there is no such axilla.
    """
    record, found = found_axilla(site, token)
    names = {one.name: one.display for one in accounts(site.store)}
    log = events(site.store, token=token, limit=_ALL)
    view = None
    if not is_covered(site, found, visit.reader):
        view = archive_view(site, found, log, visit.reader, names, seen=seen)
    return ArchivePart(frame(site, visit, f"Case {record.number}", "worklist", record.digest), token, seen, view, asked)


def _seen_status(found: AxillaState, reader: Account, covered: bool) -> Status:
    """Where it stands; before the own opinion, what others did is not told."""
    if not covered or (found.status is Status.DEFERRED and found.assigned == reader.name):
        return found.status
    return Status.UNREAD


def _measures(answer: Answered) -> tuple[tuple[str, str], ...]:
    lengths = [("Longest diameter", answer.diameter_mm), ("Diameter across", answer.orthogonal_mm)]
    return (*((words, mm_text(value)) for words, value in lengths if value is not None), *answer.features)


def _images(
    images: Sequence[ImageRecord], record: AxillaRecord, found: AxillaState, *, may: bool
) -> tuple[ImageView, ...]:
    confirmed = found.confirmed
    loaded = {image.token: image.mask_source for image in record.images}
    return tuple(
        ImageView(
            token=image.token,
            number=image.number,
            words=image_words(image),
            source="contour confirmed"
            if image.token in confirmed and image.token not in found.outlines
            else source_words(image, redrawn=image.token in found.outlines),
            scale=scale_words(image),
            used=not found.used or image.token in found.used,
            redrawn=image.token in found.outlines,
            confirm=may
            and loaded[image.token] is MaskSource.AUTOMATIC
            and image.token not in confirmed
            and image.token not in found.outlines,
        )
        for image in images
    )


def _panel(site: Site, found: AxillaState, reader: Account, people: Sequence[Account], *, covered: bool) -> ReviewPanel:
    own = found.opinions.get(reader.name)
    verdict = next((one for one in found.verdicts if one.account == reader.name), None)
    decided = "" if verdict is None else f"{_verdict_words(verdict)}{f', {verdict.group}' if verdict.group else ''}"
    colleagues = [
        one
        for one in people
        if one.id != reader.id and one.role.may(Role.REVIEWER) and not is_disabled(site.store, one)
    ]
    return ReviewPanel(
        key=secrets.token_urlsafe(12),
        opinion=covered,
        own="" if own is None else opinion_words(own),
        verdict=decided,
        groups=group_choices(),
        colleagues=tuple(Choice(one.name, one.display) for one in colleagues),
        adjudicate=not covered and found.status is Status.DISAGREED and verdict is None,
        label_sln=P_SLN,
        label_nsln=P_NSLN,
    )


def _verdicts(found: AxillaState) -> tuple[HistoryLine, ...]:
    return tuple(
        HistoryLine(
            at=time_words(one.at),
            who=one.display,
            what=_verdict_words(one),
            detail="" if one.group is None else str(one.group),
            group_key="" if one.group is None else GROUP_KEYS[one.group],
            reason=one.reason,
        )
        for one in found.verdicts
    )


def _verdict_words(verdict: ReaderVerdict) -> str:
    return f"{act_words(verdict.act)}{f' ({ON_EARLIER})' if verdict.earlier else ''}"


def _line(event: Event, names: Mapping[str, str], *, covered: bool) -> HistoryLine:
    after: Mapping[str, Any] = event.after
    own = after.get("opinion") or {}
    group = str(after.get("group") or own.get("group") or "")
    colleague = str(after.get("colleague") or "")
    if not group and not covered and after.get("answer"):
        group = str(from_plain(Answered, after["answer"]).group)
    return HistoryLine(
        at=time_words(event.at),
        who=names.get(event.account, event.account),
        what=f"{event_words(event.kind)}{f', {BEGUN_BY_SOFTWARE}' if after.get('proposed') else ''}",
        detail=group or (f"to {names.get(colleague, colleague)}" if colleague else str(after.get("why") or "")),
        group_key=next((key for one, key in GROUP_KEYS.items() if str(one) == group), ""),
        reason=str(after.get("reason") or ""),
    )


_SYSTEM = {
    "loaded": "Reading list loaded",
    "sign_in": "Signed in",
    "sign_out": "Signed out",
    "sign_in_failed": "Sign-in failed",
    "sessions_ended": "Ended the other sessions",
    "account": "Account made or changed",
    "export": "Exported",
    "sending": "Asked to be sent to the archive",
    "sent": "Sent to the archive",
    "send_failed": "Not sent to the archive",
}


def event_words(kind: str) -> str:
    """What an entry of the log is about.

    Examples
    --------
    >>> event_words("accept"), event_words("sign_in")
    ('Accepted', 'Signed in')
    """
    return _SYSTEM[kind] if kind in _SYSTEM else act_words(Act(kind)) if kind in set(Act) else kind
