"""Signing in and out, the first administrator, one's own password."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from usdlr.core.errors import InputError
from usdlr.review.acts import Role
from usdlr.review.contexts.account import AccountPage, FirstPage, SignInPage
from usdlr.review.store.accounts import (
    SignedIn,
    accounts,
    change_password,
    count_sessions,
    end_other_sessions,
    external_account,
    redeem,
    sign_in,
    sign_out,
    start_session,
)
from usdlr.review.web.pages import frame, page, with_csrf
from usdlr.review.web.security import (
    Visit,
    VisitNow,
    browser_csrf,
    browser_token,
    client_of,
    drop_cookie,
    proxy_subject,
    read,
    set_cookie,
    write,
)
from usdlr.review.web.site import Site, site_of

router = APIRouter()
_TARGET = re.compile(r"/(axillae/[A-Za-z0-9_-]{1,64}|admin/[a-z]{1,20}|help|account)?")
_SAID = {
    "out": "You are signed out.",
    "over": "Your session is over. Sign in again.",
    "changed": "Your password is changed. Sign in with the new one.",
}
_SAID_OF_ONESELF = {"ended": "Your other sessions are ended."}
Text = Annotated[str, Form(max_length=320)]
Secret = Annotated[str, Form(max_length=1024)]


@router.get("/sign-in", **read(None))
def sign_in_page(request: Request, visit: VisitNow, target: str = "/", said: str = "") -> Response:
    """The page where one signs in; whom the hospital's sign-on names is signed in at once."""
    site = site_of(request)
    if visit.account is not None:
        return RedirectResponse(safe_target(target), status_code=303)
    named = proxy_subject(request)
    if named:
        try:
            account = external_account(site.store, named, named, site.settings.proxy_role, provider="proxy")
            return _let_in(site, start_session(site.store, account), target)
        except InputError as error:
            return _sign_in(site, visit, target=target, refused=str(error), status=403)
    return _sign_in(site, visit, target=target, said=_SAID.get(said, ""))


@router.post("/sign-in", **write(None))
def sign_in_done(
    request: Request, visit: VisitNow, name: Text = "", password: Secret = "", target: Text = "/"
) -> Response:
    """Check a name and a password."""
    site = site_of(request)
    found = sign_in(site.store, name, password, client=client_of(request))
    if isinstance(found, SignedIn):
        return _let_in(site, found, target)
    refused = found.why
    if found.wait_s > 60:
        refused = f"{found.why} The next attempt counts in {-(-found.wait_s // 60)} minutes."
    return _sign_in(site, visit, target=target, refused=refused, name=name, status=429 if found.wait_s else 401)


@router.post("/sign-out", **write(Role.VIEWER))
def signed_out(request: Request, visit: VisitNow) -> Response:
    """End the session."""
    site = site_of(request)
    sign_out(site.store, visit.token)
    answer = RedirectResponse("/sign-in?said=out", status_code=303)
    drop_cookie(answer, site.settings)
    return answer


@router.get("/first", **read(None))
def first_page(request: Request, visit: VisitNow) -> Response:
    """The page that makes the first administrator."""
    site = site_of(request)
    return _closed() if _ready(site) else _first(site, visit)


@router.post("/first", **write(None))
def first_done(
    request: Request,
    visit: VisitNow,
    code: Text = "",
    name: Text = "",
    display: Text = "",
    password: Secret = "",
) -> Response:
    """Make the first administrator and sign in."""
    site = site_of(request)
    if _ready(site):
        return _closed()
    try:
        account = redeem(site.store, code, name, display, password)
    except InputError as error:
        return _first(site, visit, refused=str(error), name=name, display=display)
    return _let_in(site, start_session(site.store, account), "/")


@router.get("/account", **read(Role.VIEWER))
def account_page(request: Request, visit: VisitNow, said: str = "") -> Response:
    """One's own account."""
    return _account(site_of(request), visit, said=_SAID_OF_ONESELF.get(said, ""))


@router.post("/account/sessions", **write(Role.VIEWER))
def sessions_ended(request: Request, visit: VisitNow) -> Response:
    """End one's own sessions elsewhere; this one goes on."""
    site = site_of(request)
    end_other_sessions(
        site.store,
        visit.reader,
        visit.token,
        idle_minutes=site.settings.idle_minutes,
        absolute_hours=site.settings.absolute_hours,
    )
    return RedirectResponse("/account?said=ended", status_code=303)


@router.post("/account/password", **write(Role.VIEWER))
def password_done(
    request: Request, visit: VisitNow, old: Secret = "", password: Secret = "", again: Secret = ""
) -> Response:
    """Change one's own password; all sessions end."""
    site = site_of(request)
    if password != again:
        return _account(site, visit, "The new password was not typed the same twice.")
    try:
        change_password(site.store, visit.reader, password, old=old, by=visit.reader)
    except InputError as error:
        return _account(site, visit, str(error))
    answer = RedirectResponse("/sign-in?said=changed", status_code=303)
    drop_cookie(answer, site.settings)
    return answer


def _ready(site: Site) -> bool:
    return any(one.role is Role.ADMINISTRATOR for one in accounts(site.store))


def _closed() -> Response:
    return RedirectResponse("/sign-in", status_code=303)


def safe_target(target: str) -> str:
    """A path of this page that is no action; anything else leads to the list."""
    return target if _TARGET.fullmatch(target) else "/"


def _let_in(site: Site, found: SignedIn, target: str) -> Response:
    answer = RedirectResponse(safe_target(target), status_code=303)
    set_cookie(answer, site.settings, found.session)
    drop_cookie(answer, site.settings, "usdlr_browser")
    return answer


def _sign_in(
    site: Site, visit: Visit, *, target: str, refused: str = "", said: str = "", name: str = "", status: int = 200
) -> Response:
    sign_on = site.sign_on.settings.label if site.sign_on is not None else ""
    context = SignInPage(
        frame(site, visit, "Sign in"),
        refused,
        said,
        safe_target(target),
        name,
        not _ready(site),
        sign_on,
        said == _SAID["out"],
    )
    return _before(site, visit, "sign_in", context, status)


def _first(site: Site, visit: Visit, *, refused: str = "", name: str = "", display: str = "") -> Response:
    context = FirstPage(frame(site, visit, "The first administrator"), refused, name, display)
    return _before(site, visit, "first", context, 422 if refused else 200)


def _before(site: Site, visit: Visit, template: str, context: SignInPage | FirstPage, status: int) -> Response:
    """A page before sign-in: its form needs a token too, or another page could sign somebody in as somebody else."""
    if visit.csrf:
        return page(template, context, status=status)
    token = browser_token()
    answer = page(template, with_csrf(context, browser_csrf(site, token)), status=status)
    set_cookie(answer, site.settings, token, "usdlr_browser")
    return answer


def _account(site: Site, visit: Visit, refused: str = "", said: str = "") -> Response:
    name, settings = visit.reader.name, site.settings
    found = count_sessions(
        site.store, visit.reader, idle_minutes=settings.idle_minutes, absolute_hours=settings.absolute_hours
    )
    # This one may just have been ended from elsewhere.
    others = max(0, found - 1)
    context = AccountPage(
        frame=frame(site, visit, "Your account", "account"),
        name=name,
        refused=refused,
        external=":" in name,
        others=others,
        said=said,
    )
    return page("account", context, status=422 if refused else 200)
