"""An axilla's report on its way to the hospital's archive: asked for on its page, sent in the background."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from usdlr.core.errors import InputError
from usdlr.review.acts import Role
from usdlr.review.contexts.axilla import MOST_ASKED
from usdlr.review.store.engine import StoreAwayError
from usdlr.review.web.pages import message, page
from usdlr.review.web.routes_axilla import Seen, Token
from usdlr.review.web.security import VisitNow, read, write
from usdlr.review.web.showing_axilla import archive_part, found_axilla
from usdlr.review.web.site import site_of

NO_ARCHIVE = "found no archive to send to, expected one; start usdlr review with --web or --peer"
router = APIRouter()


@router.post("/axillae/{token}/archive", **write(Role.REVIEWER))
def sent(
    request: Request, visit: VisitNow, token: Token, seen: Seen, after: Annotated[int, Form(ge=0, le=2**31)]
) -> Response:
    """Begin to send an axilla, unless somebody asked for that already."""
    site = site_of(request)
    record, _ = found_axilla(site, token)
    try:
        if site.outbox is None:
            raise InputError(NO_ARCHIVE)
        explains = site.ahead is not None and not site.ahead.failed(token)
        site.outbox.ask(token, visit.reader, seen=seen, after=after, reading=site.settings.reading, explains=explains)
    except StoreAwayError:  # it may be recorded: the page that asks to try again says so
        raise
    except InputError as error:
        back = {"back": f"/axillae/{token}", "back_words": f"Back to case {record.number}"}
        return message(request, visit, "Not sent", f"{error}.", status=422, **back)
    return RedirectResponse(f"/axillae/{token}#archive", status_code=303)


@router.get("/axillae/{token}/archive", **read(Role.VIEWER))
def archive_shown(
    request: Request,
    visit: VisitNow,
    token: Token,
    seen: int = 0,
    asked: Annotated[int, Query(ge=0, le=10 * MOST_ASKED)] = 0,
) -> Response:
    """The part of a page that tells how far the sending is."""
    return page("axilla_archive", archive_part(site_of(request), visit, token, seen=seen, asked=asked))
