"""Who is there, what the least role of a route is, and whether a form was sent by one of our pages."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Form, Header, Request
from starlette.responses import Response

from usdlr.review.acts import Account, Role
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.accounts import session
from usdlr.review.web.site import Site, site_of

LEAST = "x-usdlr-least-role"
"""Where a route's description says its least role; ``anybody`` for those before sign-in."""
GUARD = "x-usdlr-guard"
"""Where it says how a changing request proves that it comes from our pages: ``form`` or ``header``."""
ANYBODY = "anybody"


class NotSignedInError(Exception):
    """Nobody is signed in, or the session is over."""


class NotFoundError(Exception):
    """There is no such page, or not for this account: both look the same."""


class ForgedError(Exception):
    """A form without the token of this session."""


@dataclass(frozen=True)
class Visit:
    """One request's visitor.

    Parameters
    ----------
    account : Account or None
        Who is signed in.
    token : str
        Of the session; before sign-in, of the browser. Empty without either.
    csrf : str
        What forms must send back.
    """

    account: Account | None
    token: str
    csrf: str

    @property
    def reader(self) -> Account:
        """Who is signed in.

        Raises
        ------
        NotSignedInError
            If nobody is.
        """
        if self.account is None:
            raise NotSignedInError
        return self.account


def cookie_name(settings: ReviewSettings, name: str = "usdlr_session") -> str:
    """The cookie's name; with HTTPS one that browsers take from this very host alone.

    Examples
    --------
    >>> cookie_name(ReviewSettings(secure_cookies=True))
    '__Host-usdlr_session'
    """
    return f"__Host-{name}" if settings.secure_cookies else name


def set_cookie(response: Response, settings: ReviewSettings, value: str, name: str = "usdlr_session") -> None:
    """Give the browser a cookie that no script reads, no other page sends, and that ends with the browser."""
    response.set_cookie(
        cookie_name(settings, name), value, path="/", httponly=True, samesite="strict", secure=settings.secure_cookies
    )


def drop_cookie(response: Response, settings: ReviewSettings, name: str = "usdlr_session") -> None:
    """Take a cookie back."""
    response.delete_cookie(
        cookie_name(settings, name), path="/", httponly=True, samesite="strict", secure=settings.secure_cookies
    )


def is_background(request: Request) -> bool:
    """Whether an open page asks by itself: such a request keeps no session awake. No page can gain by claiming it."""
    return request.headers.get("x-usdlr-background") == "1"


def browser_token() -> str:
    """Names a browser before anybody has signed in, so that sign-in forms have a token too."""
    return secrets.token_urlsafe(24)


def browser_csrf(site: Site, token: str) -> str:
    """What a form sends back before sign-in."""
    return hmac.new(site.secret, b"before" + token.encode(), hashlib.sha256).hexdigest() if token else ""


def client_of(request: Request) -> str:
    """The address that a request came from; behind a trusted proxy, the one that the proxy saw."""
    site = site_of(request)
    address = request.client.host if request.client else ""
    if address in site.settings.trusted_proxies:
        # The last entry is the trusted proxy's own; earlier ones are what the client claims.
        lines = request.headers.getlist("x-forwarded-for")
        return lines[-1].rsplit(",", 1)[-1].strip()[:100] if lines else address
    return address


def proxy_subject(request: Request) -> str:
    """Whom the hospital's sign-on names; empty without one, or from an address that is not trusted."""
    site = site_of(request)
    header, address = site.settings.proxy_header, request.client.host if request.client else ""
    if not header or address not in site.settings.trusted_proxies:
        return ""
    # A second line may be the client's own, which the proxy has left standing.
    named = request.headers.getlist(header)
    return named[0].strip() if len(named) == 1 else ""


def visit_of(request: Request) -> Visit:
    """Who sent a request."""
    site = site_of(request)
    settings = site.settings
    token = request.cookies.get(cookie_name(settings), "")
    found = (
        session(
            site.store,
            token,
            idle_minutes=settings.idle_minutes,
            absolute_hours=settings.absolute_hours,
            touch=not is_background(request),
        )
        if token
        else None
    )
    named = proxy_subject(request)
    if found is not None and (not named or found.account.name == f"proxy:{named}"):
        return Visit(found.account, token, found.csrf)
    before = request.cookies.get(cookie_name(settings, "usdlr_browser"), "")[:200]
    before = before if before.isascii() else ""
    return Visit(None, before, browser_csrf(site, before))


VisitNow = Annotated[Visit, Depends(visit_of)]


class _Least:
    """Lets pass whoever has at least a role."""

    def __init__(self, role: Role | None) -> None:
        self.role = role

    def __call__(self, visit: VisitNow) -> None:
        if self.role is None:
            return
        if visit.account is None:
            raise NotSignedInError
        if not visit.account.role.may(self.role):
            raise NotFoundError


def _form_guard(visit: VisitNow, csrf: Annotated[str, Form(max_length=200)] = "") -> None:
    _same(visit, csrf)


def _header_guard(visit: VisitNow, x_csrf_token: Annotated[str, Header(max_length=200)] = "") -> None:
    _same(visit, x_csrf_token)


def _same(visit: Visit, given: str) -> None:
    if not visit.csrf or not hmac.compare_digest(visit.csrf.encode(), given.encode("utf-8", "replace")):
        raise ForgedError


def read(role: Role | None) -> dict[str, Any]:
    """Keywords of a route that changes nothing.

    Parameters
    ----------
    role : Role or None
        The least; ``None`` for anybody.

    Examples
    --------
    >>> read(Role.VIEWER)["openapi_extra"]
    {'x-usdlr-least-role': 'viewer'}
    """
    return {"dependencies": [Depends(_Least(role))], "openapi_extra": {LEAST: str(role) if role else ANYBODY}}


def write(role: Role | None, *, guard: str = "form") -> dict[str, Any]:
    """Keywords of a route that changes something; it wants the token of the session.

    Parameters
    ----------
    role : Role or None
        The least; ``None`` for anybody.
    guard : str
        ``form`` for a field of a form, ``header`` for requests of our scripts.

    Examples
    --------
    >>> write(Role.REVIEWER)["openapi_extra"]
    {'x-usdlr-least-role': 'reviewer', 'x-usdlr-guard': 'form'}
    """
    found = read(role)
    found["dependencies"].append(Depends(_form_guard if guard == "form" else _header_guard))
    return found | {"openapi_extra": found["openapi_extra"] | {GUARD: guard}}
