"""The reading list and the help page."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Form, Header, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from usdlr.core.types import RiskGroup
from usdlr.review.acts import Role, Status
from usdlr.review.store.worklist import WorklistQuery
from usdlr.review.web.pages import page, render
from usdlr.review.web.security import NotFoundError, VisitNow, read, write
from usdlr.review.web.showing_help import help_page
from usdlr.review.web.showing_worklist import SORTS, list_page, printed_list
from usdlr.review.web.site import site_of

router = APIRouter()
Word = Annotated[str, Form(max_length=40)]


@router.get("/", **read(Role.VIEWER))
def worklist_page(request: Request, visit: VisitNow) -> Response:
    """The list as this session last filtered it."""
    return page("worklist", list_page(site_of(request), visit))


@router.post("/worklist", **write(Role.VIEWER))
def filtered(
    request: Request,
    visit: VisitNow,
    text: Annotated[str, Form(max_length=200)] = "",
    status: Word = "",
    group: Word = "",
    flagged: Word = "",
    assigned: Word = "",
    order: Word = "",
    turn: Annotated[int, Form(ge=1, le=1_000_000)] = 1,
    clear: Word = "",
    hx_request: Annotated[str, Header(max_length=10)] = "",
) -> Response:
    """Another filter, order or page; sent in a body, since a search names patients."""
    site = site_of(request)
    before = site.view(visit.token, visit.reader)
    if clear:
        site.views.put(visit.token, WorklistQuery())
        return HTMLResponse("", headers={"HX-Redirect": "/"}) if hx_request else RedirectResponse("/", status_code=303)
    descending = before.sort == order and not before.descending if order else before.descending
    site.views.put(
        visit.token,
        replace(
            before,
            text=text.strip(),
            status=(Status(status),) if status in set(Status) else (),
            group=(RiskGroup(group),) if group in set(RiskGroup) and not site.hidden else (),
            flagged=bool(flagged),
            assigned=visit.reader.name if assigned else "",
            sort=order if order in SORTS and not site.hidden else before.sort,
            descending=descending if not site.hidden else False,
            page=turn,
        ),
    )
    if not hx_request:
        return RedirectResponse("/", status_code=303)
    return HTMLResponse(render("list", list_page(site, visit)))


@router.get("/worklist.pdf", **read(Role.VIEWER))
def worklist_printed(request: Request, visit: VisitNow) -> Response:
    """The list as this session last filtered it, on paper."""
    content = printed_list(site_of(request), visit)
    if content is None:
        raise NotFoundError
    named = {"Content-Disposition": 'inline; filename="usdlr-worklist.pdf"'}
    return Response(content, media_type="application/pdf", headers=named)


@router.get("/help", **read(Role.VIEWER))
def help_shown(request: Request, visit: VisitNow) -> Response:
    """What colours, numbers, states and keys mean."""
    return page("help", help_page(site_of(request), visit))
