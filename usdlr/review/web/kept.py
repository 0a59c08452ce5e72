"""What a reader sent while the session was over or the database was away: shown again, to be sent once more.

A tab that was left open for days sends its form with the token of a session that is none any more. Nothing is recorded
then, and nothing that was typed is lost: the answer holds all of it in a form of its own. Whoever has signed in anew,
in another tab and in whatever way, sends it again, sees whose name it will have, and records it. The version that was
on the screen goes along, so that what others did meanwhile is not overwritten unseen; and the request's own name, so
that it is recorded once, whether or not it had arrived.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from usdlr.core.errors import DataError
from usdlr.review.acts import Act
from usdlr.review.contexts.message import KeptPage
from usdlr.review.store.engine import StoreAwayError
from usdlr.review.web.forms import FIELDS
from usdlr.review.web.pages import frame, page, with_csrf
from usdlr.review.web.security import ForgedError, NotSignedInError, Visit, visit_of
from usdlr.review.web.site import site_of
from usdlr.review.words import act_words

_PATH = re.compile(r"/axillae/([A-Za-z0-9_-]{1,64})/(acts|images)")
_LONGEST, _LONGEST_TEXT, _MOST = 320, 20_000, 200
_KEPT = ("seen", "key", "used", *FIELDS)


def keep_what_was_sent(app: FastAPI) -> None:
    """Let forms of an axilla's page be sent again after signing in, and after the database was away.

    Parameters
    ----------
    app : FastAPI
        With its other answers to the same errors, which stay for all else.
    """
    for kind in (NotSignedInError, ForgedError, StoreAwayError):
        earlier: Any = app.exception_handlers[DataError if kind is StoreAwayError else kind]
        app.add_exception_handler(kind, _keeping(earlier))


def _keeping(earlier: Callable[[Request, Exception], Response]) -> Any:
    async def answer(request: Request, error: Exception) -> Response:
        found = _PATH.fullmatch(request.url.path) if request.method == "POST" else None
        if found is None:
            return await run_in_threadpool(earlier, request, error)
        # Read already, or nobody would have missed the token in it.
        sent = [(name, value) for name, value in (await request.form()).multi_items() if isinstance(value, str)]
        context = _context(request, found[1], found[2], sent)
        if isinstance(error, StoreAwayError):
            return _unable(context, dict(sent))
        try:
            return await run_in_threadpool(_over, request, context)
        except StoreAwayError:
            return _unable(context, dict(sent))

    return answer


def _context(request: Request, token: str, what: str, sent: Sequence[tuple[str, str]]) -> KeptPage:
    """As long as nothing is known of who is there."""
    fields = tuple((name, value[:_LONGEST]) for name, value in sent if name in _KEPT)[:_MOST]
    named: Mapping[str, str] = dict(fields)
    act = Act(named["act"]) if named.get("act") in set(Act) else Act.IMAGES
    words = dict(sent).get("reason")
    return KeptPage(
        frame=frame(site_of(request), Visit(None, "", ""), "Not recorded yet"),
        headline="Not recorded yet",
        sentence="Your session is over, so nothing was recorded. What you sent is all here.",
        signs_in=True,
        signed_in=False,
        button="I have signed in: go on",
        path=f"/axillae/{token}/{what}",
        token=token,
        act_words=act_words(act),
        shown=named.get("group", "") or named.get("colleague", ""),
        fields=fields,
        typed=(words or "")[:_LONGEST_TEXT],
        asks_words=words is not None,
    )


def _over(request: Request, context: KeptPage) -> Response:
    """The session was over; perhaps somebody has signed in anew meanwhile."""
    site, visit = site_of(request), visit_of(request)
    if visit.account is None:
        return page("kept", context, status=401)
    again = replace(
        context,
        frame=frame(site, visit, "Not recorded yet"),
        sentence="The page was open for too long, or in another session. What you sent is all here.",
        signs_in=False,
        signed_in=True,
        button="Record it",
    )
    return page("kept", again, status=403)


def _unable(context: KeptPage, sent: Mapping[str, str]) -> Response:
    """The database does not answer, so it is not asked who is there; the same form holds when it does."""
    waits = replace(
        context,
        headline="The database does not answer",
        sentence="It is not known whether what you sent was recorded. It is all here: wait a moment and send it again; "
        "it is recorded once.",
        signs_in=False,
        button="Send it again",
    )
    return page("kept", with_csrf(waits, sent.get("csrf", "")[:200]), status=503)
