"""Pictures of image sets and of explanations; what a browser holds already is not sent again."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request
from fastapi.responses import Response

from usdlr.core.errors import CaseError, DataError
from usdlr.review.acts import Role
from usdlr.review.pictures import bmode_png, elasto_png, picture_hash, thumbnail
from usdlr.review.records import ImageRecord
from usdlr.review.store.reading import image as image_of
from usdlr.review.store.reading import picture
from usdlr.review.web.routes_axilla import Token
from usdlr.review.web.security import NotFoundError, VisitNow, read
from usdlr.review.web.showing_axilla import found_axilla, is_covered
from usdlr.review.web.site import site_of

router = APIRouter()
Tag = Annotated[str, Header(max_length=200)]


class Kind(StrEnum):
    """Pictures of an image set."""

    BMODE = "bmode"
    ELASTO = "elasto"
    THUMBNAIL = "thumbnail"


_MAKERS: dict[Kind, Callable[[ImageRecord], bytes | None]] = {
    Kind.BMODE: bmode_png,
    Kind.ELASTO: elasto_png,
    Kind.THUMBNAIL: thumbnail,
}


@router.get("/pictures/{token}/{kind}", **read(Role.VIEWER))
def picture_shown(request: Request, token: Token, kind: Kind, if_none_match: Tag = "") -> Response:
    """One picture of an image set."""
    site = site_of(request)
    found = image_of(site.store, token)
    if found is None:
        raise NotFoundError
    record, _ = found

    def make() -> tuple[bytes, str]:
        try:
            content = _MAKERS[kind](record)
        except (CaseError, DataError) as error:
            # What is wrong with the file names its path; the reader needs to know only that there is no picture.
            raise NotFoundError from error
        if content is None:
            raise NotFoundError
        return content, picture_hash(content)

    return _png(*site.pictures.make((token, kind, record.image_id), make), if_none_match)


@router.get("/axillae/{token}/maps/{name}", **read(Role.VIEWER))
def map_shown(
    request: Request,
    visit: VisitNow,
    token: Token,
    name: Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,100}$")],
    if_none_match: Tag = "",
) -> Response:
    """A picture of an axilla's explanation, once its visitor may see the model's answer."""
    site = site_of(request)
    _, found = found_axilla(site, token)
    content = None if is_covered(site, found, visit.reader) else picture(site.store, token, name)
    if content is None:
        raise NotFoundError
    return _png(content, picture_hash(content), if_none_match)


def _png(content: bytes, name: str, known: str) -> Response:
    headers = {"ETag": f'"{name}"', "Cache-Control": "private, no-cache"}
    if f'"{name}"' in (one.strip().removeprefix("W/") for one in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="image/png", headers=headers)
