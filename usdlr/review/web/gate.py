"""What every request passes before any route: host, origin, size; what every answer gets: headers, a log line."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from usdlr.review.settings import ReviewSettings

ACCESS = logging.getLogger("usdlr.review.access")
FAULTS = logging.getLogger("usdlr.review.faults")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class TooLargeError(Exception):
    """The body of a request is larger than it may be."""


class Gate:
    """ASGI middleware around the whole page.

    Parameters
    ----------
    app : ASGI application
        The page.
    settings : ReviewSettings
        Hosts and sizes.
    broken : callable
        Makes the answer to a defect of the page from the request's scope and a reference number.
    """

    def __init__(
        self, app: ASGIApp, *, settings: ReviewSettings, broken: Callable[[Scope, str], Awaitable[Response]]
    ) -> None:
        self.app, self.settings, self.broken = app, settings, broken
        self.limit = int(settings.max_upload_mb * 1_000_000)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            # Life-cycle events pass; there are no web sockets here.
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        begun, told = time.perf_counter(), {"status": 500, "started": False, "large": False}

        async def finished(message: Message) -> None:
            if message["type"] == "http.response.start":
                if told["large"]:
                    # Whoever read the body took its end for a broken request.
                    message["status"] = 413
                told["status"], told["started"] = int(message["status"]), True
                self._mark(MutableHeaders(scope=message))
            await send(message)

        try:
            await self._pass(scope, self._measured(receive, told), finished, told)
        finally:
            # The route's pattern, never the path or the query: those may name somebody some day.
            pattern = getattr(scope.get("route"), "path", "-")
            wall = 1000 * (time.perf_counter() - begun)
            ACCESS.info("%s %s %d %.0f ms", scope["method"], pattern, told["status"], wall)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, told: dict[str, Any]) -> None:
        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except TooLargeError:
            if told["started"]:
                raise
            await _plain(413, "The request is too large.")(scope, receive, send)
        except Exception as error:
            reference = secrets.token_hex(4)
            FAULTS.error("defect %s: %s", reference, type(error).__name__, exc_info=error)
            if told["started"]:
                raise
            answer = await self.broken(scope, reference)
            await answer(scope, receive, send)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name(host) not in self.settings.allowed_hosts:
            return _plain(400, "This page is not reached by that name.")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdecimal() or int(length[:15]) > self.limit:
            return _plain(413, "The request is too large.")
        if scope["method"] not in SAFE and not self._own(headers, host):
            return _plain(403, "The request does not come from this page. Open the page and try again.")
        return None

    def _own(self, headers: Headers, host: str) -> bool:
        """Whether a request that changes something was sent by a page of this host; browsers always say so.

        Our pages send no referrer, and then browsers write ``null`` as a form's origin; what counts is their word on
        the site, which they give over HTTPS and on this computer, and which no page can forge.
        """
        site = headers.get("sec-fetch-site")
        if site is not None and site != "same-origin":
            return False
        origin = headers.get("origin", "null")
        if origin == "null":
            return site == "same-origin"
        try:
            found = urlsplit(origin)
        except ValueError:
            return False
        secure = found.scheme == "https" or (found.scheme == "http" and not self.settings.secure_cookies)
        return secure and found.netloc.casefold() == host.casefold()

    def _measured(self, receive: Receive, told: dict[str, Any]) -> Receive:
        """Counts what arrives: a request need not say how long it is, or say the truth."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                told["large"] = True
                raise TooLargeError
            return message

        return counted

    def _mark(self, headers: MutableHeaders) -> None:
        for name, value in HEADERS.items():
            headers[name] = value
        headers.setdefault("Cache-Control", "no-store")
        if self.settings.secure_cookies:
            headers["Strict-Transport-Security"] = "max-age=31536000"


def _name(host: str) -> str:
    """A host without its port.

    Examples
    --------
    >>> _name("Review.Example:8040"), _name("[::1]:8040"), _name("::1")
    ('review.example', '::1', '::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].casefold()
    return (host if host.count(":") > 1 else host.partition(":")[0]).casefold()


def _plain(status: int, words: str) -> Response:
    return PlainTextResponse(f"{words}\n", status_code=status)
