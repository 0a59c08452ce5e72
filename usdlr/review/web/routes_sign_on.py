"""Signing in at the hospital's own sign-on."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from usdlr.core.errors import InputError
from usdlr.review.contexts.account import SignedOnPage
from usdlr.review.sign_on import FLOW_S, SignOnError
from usdlr.review.store.accounts import external_account, start_session
from usdlr.review.web.pages import frame, message, page
from usdlr.review.web.routes_account import safe_target
from usdlr.review.web.security import VisitNow, cookie_name, drop_cookie, read, set_cookie
from usdlr.review.web.site import Site, site_of

router = APIRouter()
BACK, COOKIE = "/sign-in/hospital/back", "usdlr_sign_on"
Given = Annotated[str, Query(max_length=4096)]


@router.get("/sign-in/hospital", **read(None))
def sign_on(
    request: Request, visit: VisitNow, target: Annotated[str, Query(max_length=200)] = "/", anew: bool = False
) -> Response:
    """Send the browser to the hospital's sign-on; after a sign-out, to be asked there who it is."""
    site = site_of(request)
    if site.sign_on is None:
        return RedirectResponse(f"/sign-in?target={safe_target(target)}", status_code=303)
    if visit.account is not None:
        return RedirectResponse(safe_target(target), status_code=303)
    # The host was compared with those that this page has before any route.
    scheme = "https" if site.settings.secure_cookies else "http"
    redirect = f"{scheme}://{request.headers['host']}{BACK}"
    try:
        address, kept = site.sign_on.begin(redirect, safe_target(target), anew=anew)
    except SignOnError as error:
        return _refused(request, visit, error, 502)
    answer = RedirectResponse(address, status_code=303)
    # Lax, since the way back comes from another site; it holds this one attempt and nobody's name.
    answer.set_cookie(
        cookie_name(site.settings, COOKIE),
        kept,
        max_age=int(FLOW_S),
        path="/",
        httponly=True,
        samesite="lax",
        secure=site.settings.secure_cookies,
    )
    return answer


@router.get(BACK, **read(None))
def signed_on(
    request: Request, visit: VisitNow, code: Given = "", state: Given = "", iss: Given = "", error: Given = ""
) -> Response:
    """Take the hospital's answer, and begin a session."""
    site = site_of(request)
    if site.sign_on is None:
        return RedirectResponse("/sign-in", status_code=303)
    kept = request.cookies.get(cookie_name(site.settings, COOKIE), "")
    try:
        if error or not code:
            raise SignOnError("found no sign-on at the hospital, expected one; sign in again")
        person, target = site.sign_on.finish(state=state, kept=kept, code=code, issuer=iss)
        account = external_account(
            site.store, person.subject, person.display, site.sign_on.settings.role, provider=site.sign_on.provider
        )
        begun = start_session(site.store, account)
    except (SignOnError, InputError) as refused:
        return _forget(site, _refused(request, visit, refused, 403))
    # A redirect would still count as coming from the provider, and browsers would keep the strict cookie back: a page
    # of our own goes on to what was wanted.
    answer = page("signed_on", SignedOnPage(frame(site, visit, "Signed in"), safe_target(target)))
    set_cookie(answer, site.settings, begun.session)
    drop_cookie(answer, site.settings, "usdlr_browser")
    return _forget(site, answer)


def _forget(site: Site, answer: Response) -> Response:
    answer.delete_cookie(
        cookie_name(site.settings, COOKIE),
        path="/",
        httponly=True,
        samesite="lax",
        secure=site.settings.secure_cookies,
    )
    return answer


def _refused(request: Request, visit: VisitNow, error: Exception, status: int) -> Response:
    words = f"{error}."
    return message(
        request, visit, "Not signed in", words, status=status, back="/sign-in", back_words="To the sign-in page"
    )
