"""Outlines that software proposes where a reader points; nothing is recorded here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from usdlr.core.errors import InputError
from usdlr.decision.wording_review import PROPOSED
from usdlr.review.acts import Role
from usdlr.review.proposing import Pointed
from usdlr.review.web.routes_axilla import OPINION_FIRST, Coordinate, Token
from usdlr.review.web.security import NotFoundError, VisitNow, write
from usdlr.review.web.showing_axilla import found_axilla, is_covered
from usdlr.review.web.site import site_of

MOST_LINES = 200
router = APIRouter()
Place = tuple[Coordinate, Coordinate]
Lines = Annotated[list[Annotated[list[Place], Field(min_length=1, max_length=5000)]], Field(max_length=MOST_LINES)]


class Pointing(BaseModel):
    """What a reader points at; see :class:`usdlr.review.proposing.Pointed`.

    Parameters
    ----------
    box : pair of (float, float), optional
        Two opposite corners, row and column in pixels.
    inside, outside : list of list of (float, float)
        Lines on what belongs to the lesion, and on what does not.
    """

    model_config = ConfigDict(extra="forbid")
    box: tuple[Place, Place] | None = None
    inside: Lines = Field(default_factory=list)
    outside: Lines = Field(default_factory=list)


@router.post("/axillae/{token}/proposals/{image}", **write(Role.REVIEWER, guard="header"))
def proposed(request: Request, visit: VisitNow, token: Token, image: Token, sent: Pointing) -> JSONResponse:
    """The outline of what the reader points at, as a draft."""
    site = site_of(request)
    record, found = found_axilla(site, token)
    asked = next((one for one in record.images if one.token == image), None)
    if asked is None or site.proposing is None:
        raise NotFoundError
    try:
        if is_covered(site, found, visit.reader):
            raise InputError(OPINION_FIRST)
        inside, outside = (tuple(tuple(line) for line in lines) for lines in (sent.inside, sent.outside))
        drawn = site.proposing.propose(asked, Pointed(sent.box, inside, outside))
    except InputError as error:
        return JSONResponse({"message": f"No outline: {error}."}, status_code=422)
    return JSONResponse({"outlines": drawn, "message": PROPOSED})
