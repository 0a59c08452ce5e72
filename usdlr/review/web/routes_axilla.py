"""One axilla: its page, what readers record, redrawn contours, the choice of images, its sheet of paper."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from usdlr.core.errors import InputError
from usdlr.review.acts import Act, Action, AxillaState, Role
from usdlr.review.contexts.axilla import MOST_ASKED
from usdlr.review.contexts.message import ConflictPage
from usdlr.review.paper import axilla_pdf
from usdlr.review.records import Answered, AxillaRecord, ImageRecord, Point
from usdlr.review.store.acting import Conflict, Done, act
from usdlr.review.store.engine import StoreAwayError
from usdlr.review.store.reading import explained_pictures, explanation
from usdlr.review.web.forms import FIELDS, action_of
from usdlr.review.web.pages import frame, message, page, render
from usdlr.review.web.security import NotFoundError, Visit, VisitNow, read, write
from usdlr.review.web.showing import time_words
from usdlr.review.web.showing_axilla import (
    CHANGED,
    axilla_page,
    event_words,
    found_axilla,
    is_covered,
    keep_shapes,
)
from usdlr.review.web.site import Predicts, Site, site_of
from usdlr.review.words import act_words

OPINION_FIRST = "found no opinion of yours yet, expected it before the model is asked; give your own reading first"
router = APIRouter()
Token = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Key = Annotated[str, Form(max_length=128)]
Seen = Annotated[int, Form(ge=0, le=2**31)]
Word = Annotated[str, Form(max_length=320)]
Coordinate = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]


class Redrawing(BaseModel):
    """A contour that was redrawn.

    Parameters
    ----------
    seen : int
        Version of the axilla that was on the screen.
    key : str
        Name of this one request.
    outlines : list of list of (float, float)
        Closed lines of row and column in pixels.
    proposed : bool
        Whether they began as a proposal by software.
    """

    model_config = ConfigDict(extra="forbid")
    seen: int = Field(ge=0, le=2**31)
    key: str = Field(max_length=128)
    outlines: list[Annotated[list[tuple[Coordinate, Coordinate]], Field(max_length=5000)]] = Field(max_length=64)
    proposed: bool = False


@router.get("/axillae/{token}", **read(Role.VIEWER))
def axilla_shown(
    request: Request, visit: VisitNow, token: Token, said: Annotated[str, Query(max_length=20)] = ""
) -> Response:
    """One axilla, as its visitor may see it."""
    words = f"Recorded: {act_words(Act(said))}." if said in set(Act) else ""
    return page("axilla", axilla_page(site_of(request), visit, token, said=words))


@router.post("/axillae/{token}/acts", **write(Role.REVIEWER))
def acted(
    request: Request,
    visit: VisitNow,
    token: Token,
    asked: Annotated[str, Form(alias="act", max_length=20)],
    seen: Seen,
    key: Key,
    reason: Annotated[str, Form(max_length=20_000)] = "",
    group: Word = "",
    p_sln: Word = "",
    p_nsln: Word = "",
    colleague: Word = "",
    image: Word = "",
) -> Response:
    """Record an opinion, a verdict, a deferral, a comment or a confirmation."""
    site = site_of(request)
    sent = {"act": asked, "group": group, "p_sln": p_sln, "p_nsln": p_nsln, "colleague": colleague, "image": image}
    record, _ = found_axilla(site, token)
    try:
        action = action_of(token, seen, key, reason, sent)
        return _recorded(request, visit, action, {name: value for name, value in sent.items() if value})
    except StoreAwayError:
        raise
    except InputError as error:
        return message(
            request,
            visit,
            "Not recorded",
            str(error),
            status=422,
            back=f"/axillae/{token}",
            back_words=f"Back to case {record.number}",
            typed=reason,
        )


@router.post("/axillae/{token}/images", **write(Role.REVIEWER))
def chosen(
    request: Request,
    visit: VisitNow,
    token: Token,
    seen: Seen,
    key: Key,
    used: Annotated[list[str] | None, Form(max_length=200)] = None,
) -> Response:
    """Predict with the ticked images only, and record it."""
    site = site_of(request)
    record, found = found_axilla(site, token)
    picked = tuple(used or ())
    covered = is_covered(site, found, visit.reader)
    back = {"back": f"/axillae/{token}", "back_words": f"Back to case {record.number}"}
    try:
        if covered:
            raise InputError(OPINION_FIRST)
        if not picked:
            raise InputError("found no image chosen, expected at least one; tick those that count")
        if not set(picked) <= {image.token for image in record.images}:
            raise InputError("found images of another axilla, expected those of this; open the page again")
        answer, _ = _asked(site, record, found, seen, outlines=found.outlines, used=picked)
        action = Action(Act.IMAGES, token, seen, key, used=picked, answer=answer)
        return _recorded(request, visit, action, {})
    except StoreAwayError:
        raise
    except InputError as error:
        return message(request, visit, "Not recorded", str(error), status=422, **back)


@router.post("/axillae/{token}/contours/{image}", **write(Role.REVIEWER, guard="header"))
def redrawn(request: Request, visit: VisitNow, token: Token, image: Token, sent: Redrawing) -> JSONResponse:
    """Predict with a redrawn contour, record it, and send the parts of the page that change."""
    site, reader = site_of(request), visit.reader
    record, found = found_axilla(site, token)
    if image not in {one.token for one in record.images}:
        raise NotFoundError
    drawn = tuple(tuple(points) for points in sent.outlines)
    try:
        if is_covered(site, found, reader):
            raise InputError(OPINION_FIRST)
        outlines = {**found.outlines, image: drawn}
        answer, images = _asked(site, record, found, sent.seen, outlines=outlines, used=found.used)
        by = site.proposing.segmenter_id if sent.proposed and site.proposing is not None else ""
        action = Action(
            Act.CONTOUR, token, sent.seen, sent.key, image=image, outlines=drawn, answer=answer, proposed=by
        )
        done = act(site.store, action, reader, reading=site.settings.reading)
    except StoreAwayError:
        raise
    except InputError as error:
        return JSONResponse({"message": f"Not recorded: {error}."}, status_code=422)
    if isinstance(done, Conflict):
        who, what = _who(site, visit, token, done)
        told = f"{who} was quicker: {what}, {time_words(done.at)}. Your contour is not recorded, and still here."
        return JSONResponse({"message": told, "version": done.version}, status_code=409)
    if isinstance(done, Done):
        keep_shapes(site, record, done.state, images)
        if site.ahead is not None:
            site.ahead.first(token)
    return JSONResponse(_parts(site, visit, token))


@router.get("/axillae/{token}/below", **read(Role.VIEWER))
def below(
    request: Request,
    visit: VisitNow,
    token: Token,
    seen: int = 0,
    asked: Annotated[int, Query(ge=0, le=10 * MOST_ASKED)] = 0,
) -> Response:
    """The lower part of a page that waits for its explanation, as long as the rest of that page still counts."""
    context = axilla_page(site_of(request), visit, token, asked=asked)
    if context.version != seen:
        context = replace(context, explanation=None, waiting=CHANGED, asks_again=False)
    return page("axilla_below", context)


@router.get("/axillae/{token}/sheet.pdf", **read(Role.VIEWER))
def sheet(request: Request, visit: VisitNow, token: Token) -> Response:
    """The axilla on one sheet of paper."""
    site = site_of(request)
    record, found = found_axilla(site, token)
    if is_covered(site, found, visit.reader):
        raise NotFoundError
    model = site.model(record.digest)
    if model is None:
        raise NotFoundError
    told = explanation(site.store, token)
    maps = explained_pictures(site.store, token, told)
    content = axilla_pdf(model, record, found, told, verdicts=found.verdicts, pictures=maps)
    named = {"Content-Disposition": f'inline; filename="usdlr-case-{record.number}.pdf"'}
    return Response(content, media_type="application/pdf", headers=named)


def _asked(
    site: Site,
    record: AxillaRecord,
    found: AxillaState,
    seen: int,
    *,
    outlines: Mapping[str, tuple[tuple[Point, ...], ...]],
    used: Sequence[str],
) -> tuple[Answered, tuple[ImageRecord, ...]]:
    """What the model says then, and the images with their rings.

    Of an axilla that has changed meanwhile the model is not asked: such a request is a conflict, or was recorded
    before, whatever the answer, and must not keep others waiting.
    """
    if seen != found.version:
        return found.answer, record.images
    anew = _model(site).predict(record, outlines=outlines, used=used)
    return anew.answer, anew.images


def _model(site: Site) -> Predicts:
    if site.live is None:
        raise InputError("found no model to ask, expected one; start usdlr review with its bundle")
    return site.live


def _recorded(request: Request, visit: Visit, action: Action, sent: dict[str, str]) -> Response:
    site = site_of(request)
    done = act(site.store, action, visit.reader, reading=site.settings.reading)
    if not isinstance(done, Conflict):
        return RedirectResponse(f"/axillae/{action.token}?said={action.act}", status_code=303)
    record, _ = found_axilla(site, action.token)
    who, what = _who(site, visit, action.token, done)
    if action.act in (Act.ACCEPT, Act.REJECT) and done.kind in (str(Act.CONTOUR), str(Act.IMAGES), "loaded"):
        # A verdict is about the answer that was on the screen, and there is another one now.
        return message(
            request,
            visit,
            f"The answer to case {record.number} may have changed since you opened it",
            f"{who} was quicker: {what}, {time_words(done.at)}. Nothing of yours is recorded: a verdict is about the "
            "answer that was seen.",
            status=409,
            back=f"/axillae/{action.token}",
            back_words=f"Open case {record.number} as it is now",
            typed=action.reason,
        )
    if action.act is Act.IMAGES:
        return message(
            request,
            visit,
            f"Case {record.number} has changed since you opened it",
            f"{who} was quicker: {what}, {time_words(done.at)}. Your choice of images is not recorded.",
            status=409,
            back=f"/axillae/{action.token}",
            back_words=f"Open case {record.number} as it is now",
        )
    context = ConflictPage(
        frame=frame(site, visit, f"Case {record.number} has changed", "worklist"),
        number=record.number,
        token=action.token,
        who=who,
        at=time_words(done.at),
        what=what,
        act_words=act_words(action.act),
        fields=tuple((name, value) for name, value in sent.items() if name in FIELDS),
        shown=_shown(action),
        typed=action.reason,
        version=done.version,
        key=secrets.token_urlsafe(12),
    )
    return page("conflict", context, status=409)


def _shown(action: Action) -> str:
    if action.opinion is not None:
        return str(action.opinion.group)
    return f"to {action.colleague}" if action.colleague else ""


def _who(site: Site, visit: Visit, token: str, found: Conflict) -> tuple[str, str]:
    """Who did what; in a hidden reading before the own opinion, only that somebody did something."""
    _, now = found_axilla(site, token)
    if is_covered(site, now, visit.reader):
        return "Another reader", "the case was worked on"
    return found.by, event_words(found.kind)


def _parts(site: Site, visit: Visit, token: str) -> dict[str, Any]:
    context = axilla_page(site, visit, token)
    return {
        "message": "Recorded. The answer is for the new contour."
        if not context.covered
        else "Recorded. The model has read the new contour.",
        "version": context.version,
        "viewer": context.viewer,
        "status": render("axilla_status", context),
        "alerts": render("axilla_alerts", context),
        "side": render("axilla_side", context),
        "below": render("axilla_below", context),
        "strip": render("axilla_images", context),
    }
