"""From a page's context to its HTML, with the frame that stands around every page."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from usdlr.core.hashing import bytes_hash
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, SIMULATED
from usdlr.review.acts import Role
from usdlr.review.contexts.axilla import MOST_ASKED
from usdlr.review.contexts.frame import Frame
from usdlr.review.contexts.message import MessagePage
from usdlr.review.web.security import Visit
from usdlr.review.web.site import Site, site_of
from usdlr.review.words import role_words

HERE = Path(__file__).resolve().parent.parent
STATIC, TEMPLATES = HERE / "static", HERE / "templates"


def frame(site: Site, visit: Visit, title: str, section: str = "", digest: str = "") -> Frame:
    """The frame of a page.

    Parameters
    ----------
    site : Site
        The running page.
    visit : Visit
        For whom.
    title : str
        Without anything about a patient: browsers write it into their history.
    section : str
        Entry of the navigation.
    digest : str
        Of the model whose patients are shown; without it, what has to be said of any model of the list is said.
    """
    account = visit.account
    found = site.models(digest) if account is not None else []
    marks = tuple(
        dict.fromkeys(mark for one in found for mark in ((SIMULATED,) if one.simulated else ()) + one.proxies)
    )
    return Frame(
        title=title,
        section=section,
        name="" if account is None else account.display,
        role="" if account is None else role_words(account.role),
        administrator=account is not None and account.role.may(Role.ADMINISTRATOR),
        account=0 if account is None else account.id,
        csrf=visit.csrf,
        device=NOT_A_MEDICAL_DEVICE,
        cohort=" ".join(dict.fromkeys(one.cohort for one in found)),
        marks=marks,
        hidden=account is not None and site.hidden,
        demo=site.settings.demo,
    )


def render(template: str, context: Any) -> str:
    """A template with its context as text; equal contexts give equal text.

    Parameters
    ----------
    template : str
        Name without ``.html.j2``.
    context : dataclass
        Of :mod:`usdlr.review.contexts`.
    """
    return environment().get_template(f"{template}.html.j2").render(page=context)


def page(template: str, context: Any, *, status: int = 200) -> HTMLResponse:
    """A page as an answer; see :func:`render`."""
    return HTMLResponse(render(template, context), status_code=status)


def message(
    request: Request,
    visit: Visit,
    headline: str,
    sentence: str,
    *,
    status: int,
    back: str = "/",
    back_words: str = "To the worklist",
    reference: str = "",
    typed: str = "",
) -> HTMLResponse:
    """A calm page about something that did not work; see :class:`MessagePage` for the fields."""
    site = site_of(request)
    context = MessagePage(frame(site, visit, headline), headline, sentence, back, back_words, reference, typed)
    return page("message", context, status=status)


def with_csrf(context: Any, csrf: str) -> Any:
    """A context whose forms send another token back."""
    return replace(context, frame=replace(context.frame, csrf=csrf))


@cache
def environment() -> Environment:
    """Jinja with escaping for everything and errors for whatever a context lacks."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # an update of the package must not reach pages that are being served
    )
    found.globals["asset"] = asset
    found.globals["most_asked"] = MOST_ASKED
    parts: Any = found.get_template("parts.html.j2").module
    for name in ("csrf", "glyph", "group", "chip", "alert", "options", "pairs"):
        found.globals[name] = getattr(parts, name)
    return found


@cache
def asset(name: str) -> str:
    """The address of a file of the page; another content has another address, so browsers may keep it."""
    return f"/static/{name}?v={bytes_hash((STATIC / name).read_bytes())[:10]}"
