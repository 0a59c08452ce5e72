"""The review page as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import Scope

from usdlr import __version__
from usdlr.core.errors import DataError, InputError
from usdlr.review.contexts.message import MessagePage
from usdlr.review.outbox import Outbox
from usdlr.review.settings import ReviewSettings
from usdlr.review.sign_on import SignOn
from usdlr.review.store.engine import Store
from usdlr.review.web import (
    routes_account,
    routes_admin,
    routes_archive,
    routes_axilla,
    routes_exports,
    routes_pictures,
    routes_proposals,
    routes_sign_on,
    routes_worklist,
)
from usdlr.review.web.gate import Gate
from usdlr.review.web.kept import keep_what_was_sent
from usdlr.review.web.pages import STATIC, frame, message, page, render
from usdlr.review.web.security import (
    ForgedError,
    NotFoundError,
    NotSignedInError,
    Visit,
    drop_cookie,
    is_background,
    read,
    visit_of,
)
from usdlr.review.web.site import Hurries, Predicts, Proposes, Site, site_of

_YEAR_S = 31_536_000


def create_app(
    store: Store,
    *,
    settings: ReviewSettings,
    live: Predicts | None,
    ahead: Hurries | None = None,
    proposing: Proposes | None = None,
) -> FastAPI:
    """The review page.

    Parameters
    ----------
    store : Store
        An open store; whoever opened it closes it.
    settings : ReviewSettings
        How the page is run.
    live : Live or None
        The model, for redrawn contours; without it contours and images cannot be changed.
    ahead : Ahead or None
        Who explains axillae in the background; opened ones are asked for first.
    proposing : Proposing or None
        Who outlines lesions where a reader points; without it readers draw by hand.

    Returns
    -------
    FastAPI
        For uvicorn, with ``access_log=False`` (the page writes its own, without paths) and ``server_header=False``.

    Examples
    --------
    >>> import tempfile
    >>> from usdlr.review.store.engine import open_store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     held = open_store(f"sqlite:///{folder}/review.db")
    ...     app = create_app(held, settings=ReviewSettings(), live=None)
    ...     held.close()
    >>> app.title
    'usdlr review'
    """
    closed: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}
    app = FastAPI(title="usdlr review", version=__version__, lifespan=_lifespan, **closed)
    outbox = None if settings.pacs is None else Outbox(store, settings.pacs)
    sign_on = None if settings.oidc is None else SignOn(settings.oidc)
    app.state.site = Site(store, settings, live, ahead, outbox, sign_on, proposing)
    for routes in (
        routes_account,
        routes_sign_on,
        routes_worklist,
        routes_axilla,
        routes_archive,
        routes_proposals,
        routes_pictures,
        routes_exports,
        routes_admin,
    ):
        app.include_router(routes.router)
    app.add_api_route("/health", _health, methods=["GET"], response_class=PlainTextResponse, **read(None))
    app.mount("/static", _Kept(directory=STATIC), name="static")
    _answers(app)
    keep_what_was_sent(app)

    async def broken(scope: Scope, reference: str) -> Response:
        return _broken(app.state.site, scope, reference)

    app.add_middleware(Gate, settings=settings, broken=broken)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The outbox ends with the server, and before whoever opened the store closes it."""
    yield
    if app.state.site.outbox is not None:
        await run_in_threadpool(app.state.site.outbox.close)


def _health() -> str:
    """Whether the page answers; says nothing else."""
    return "ok\n"


class _Kept(StaticFiles):
    """Files of the page; their address holds their hash, so browsers may keep them."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """A file, kept by browsers for a year."""
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = f"public, max-age={_YEAR_S}, immutable"
        return answer


def _answers(app: FastAPI) -> None:
    """What visitors see when something does not work."""
    told: dict[Any, Any] = {
        NotSignedInError: _not_signed_in,
        NotFoundError: _not_found,
        ForgedError: _forged,
        HTTPException: _http,
        RequestValidationError: _invalid,
        DataError: _unable,
        InputError: _refused,
    }
    for kind, how in told.items():
        app.add_exception_handler(kind, how)


def _wants_json(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/json")


def _say(request: Request, status: int, headline: str, sentence: str) -> Response:
    if _wants_json(request):
        return JSONResponse({"message": f"{headline}. {sentence}"}, status_code=status)
    return message(request, visit_of(request), headline, sentence, status=status)


def _not_signed_in(request: Request, error: Exception) -> Response:
    if is_background(request):
        # Whatever stands on the open page stays there: somebody may be typing.
        headers = {"HX-Retarget": "this", "HX-Reswap": "outerHTML"}
        return HTMLResponse(render("signed_out", None), status_code=401, headers=headers)
    if request.method != "GET" or _wants_json(request):
        sentence = "Your session is over. Open the page in another tab, sign in, and send this again."
        return _say(request, 401, "Not recorded", sentence)
    if request.url.path.startswith("/pictures/") or "/maps/" in request.url.path:
        return PlainTextResponse("Sign in first.\n", status_code=401)
    over = "&said=over" if request.cookies.get("usdlr_session") or request.cookies.get("__Host-usdlr_session") else ""
    # Paths hold random names only; what a path may be is checked again after sign-in.
    answer = RedirectResponse(f"/sign-in?target={request.url.path}{over}", status_code=303)
    drop_cookie(answer, site_of(request).settings)
    return answer


def _not_found(request: Request, error: Exception) -> Response:
    if visit_of(request).account is None:
        return _not_signed_in(request, error)
    return _say(request, 404, "There is no such page", "It may have been moved, or your account may not open it.")


def _forged(request: Request, error: Exception) -> Response:
    visit = visit_of(request)
    if visit.account is None and request.url.path not in ("/sign-in", "/first"):
        return _not_signed_in(request, error)
    sentence = "The page was open for too long, or in another session. Open it again and repeat what you did."
    return _say(request, 403, "This form no longer holds", sentence)


def _http(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:
        return _not_found(request, error)
    if error.status_code == 405:
        return _say(request, 405, "That does not work", "Nothing can be sent there. Use the page's own buttons.")
    return _say(
        request, error.status_code, "That does not work", "The request was not understood. Open the page again."
    )


def _invalid(request: Request, error: RequestValidationError) -> Response:
    # Names of fields only: values may name somebody.
    names = ", ".join(sorted({str(one["loc"][-1]) for one in error.errors()}))[:200]
    return _say(request, 422, "Not recorded", f"Something that was sent cannot be read ({names}). Open the page again.")


def _unable(request: Request, error: Exception) -> Response:
    return _say_plainly(request, 503, "The database does not answer", str(error))


def _refused(request: Request, error: Exception) -> Response:
    return _say(request, 422, "Not recorded", f"{error}.")


def _say_plainly(request: Request, status: int, headline: str, sentence: str) -> Response:
    """Without asking the store who is there: it is the store that does not answer."""
    if _wants_json(request):
        return JSONResponse({"message": f"{headline}. {sentence}"}, status_code=status)
    context = _message(site_of(request), headline, sentence, "")
    return page("message", context, status=status)


def _broken(site: Site, scope: Scope, reference: str) -> Response:
    request = Request(scope)
    headline = "Something is wrong with this page"
    sentence = "It is not your doing. If you were recording something, open the case and see whether it is there."
    if _wants_json(request):
        return JSONResponse({"message": f"{headline}. {sentence} ({reference})"}, status_code=500)
    return page("message", _message(site, headline, sentence, reference), status=500)


def _message(site: Site, headline: str, sentence: str, reference: str) -> MessagePage:
    around = frame(site, Visit(None, "", ""), headline)
    return MessagePage(around, headline, sentence, "/", "To the worklist", reference, "")
