"""Accounts with their sessions, and the audit log, for administrators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy import func, select

from usdlr.core.errors import InputError
from usdlr.review.acts import Account, Role
from usdlr.review.contexts.admin import AccountRow, AccountsPage, AuditPage, AuditRow
from usdlr.review.contexts.frame import Choice
from usdlr.review.store import schema
from usdlr.review.store.accounts import (
    accounts,
    change_password,
    create_account,
    disable,
    enable,
    is_disabled,
    locked,
    set_role,
    unlock,
)
from usdlr.review.store.audit import ChainReport, anchor, events, verify
from usdlr.review.store.engine import Store
from usdlr.review.store.reading import axilla
from usdlr.review.web.pages import frame, page
from usdlr.review.web.routes_account import Secret, Text
from usdlr.review.web.security import NotFoundError, Visit, VisitNow, read, write
from usdlr.review.web.showing_axilla import event_words
from usdlr.review.web.site import Site, site_of
from usdlr.review.words import role_words

router = APIRouter()
Number = Annotated[int, Path(ge=1, le=2**31)]
PAGE = 100
_SAID = {
    "made": "The account is made.",
    "role": "The role is changed; it holds from the next request on.",
    "close": "The account is closed, and its sessions are ended.",
    "open": "The account is open again.",
    "unlock": "The name may be tried again at once.",
    "password": "The password is set, and the sessions are ended.",
}


@router.get("/admin/accounts", **read(Role.ADMINISTRATOR))
def accounts_page(request: Request, visit: VisitNow, said: Annotated[str, Query(max_length=20)] = "") -> Response:
    """All accounts."""
    return _accounts(site_of(request), visit, said=_SAID.get(said, ""))


@router.post("/admin/accounts", **write(Role.ADMINISTRATOR))
def account_made(
    request: Request,
    visit: VisitNow,
    role: Annotated[Role, Form()],
    name: Text = "",
    display: Text = "",
    password: Secret = "",
) -> Response:
    """Make an account."""
    site = site_of(request)
    try:
        create_account(site.store, name, display, role, password, by=visit.reader)
    except InputError as error:
        return _accounts(site, visit, refused=str(error), name=name, display=display)
    return _back("made")


@router.post("/admin/accounts/{number}/role", **write(Role.ADMINISTRATOR))
def role_set(request: Request, visit: VisitNow, number: Number, role: Annotated[Role, Form()]) -> Response:
    """Let an account do more or less."""
    return _changed(
        request, visit, number, "role", lambda store, account: set_role(store, account, role, by=visit.reader)
    )


@router.post("/admin/accounts/{number}/close", **write(Role.ADMINISTRATOR))
def account_closed(request: Request, visit: VisitNow, number: Number) -> Response:
    """Close an account and end its sessions."""
    return _changed(request, visit, number, "close", lambda store, account: disable(store, account, by=visit.reader))


@router.post("/admin/accounts/{number}/open", **write(Role.ADMINISTRATOR))
def account_opened(request: Request, visit: VisitNow, number: Number) -> Response:
    """Open a closed account again."""
    site = site_of(request)
    enable(site.store, _other(site, visit, number), by=visit.reader)
    return _back("open")


@router.post("/admin/accounts/{number}/password", **write(Role.ADMINISTRATOR))
def password_set(request: Request, visit: VisitNow, number: Number, password: Secret = "") -> Response:
    """Give an account another password and end its sessions."""
    return _changed(
        request,
        visit,
        number,
        "password",
        lambda store, account: change_password(store, account, password, by=visit.reader),
    )


@router.post("/admin/accounts/{number}/unlock", **write(Role.ADMINISTRATOR))
def account_unlocked(request: Request, visit: VisitNow, number: Number) -> Response:
    """Let a name that was guessed at too often be tried again at once."""
    site = site_of(request)
    unlock(site.store, _other(site, visit, number), by=visit.reader)
    return _back("unlock")


@router.get("/admin/audit", **read(Role.ADMINISTRATOR))
def audit_page(
    request: Request, visit: VisitNow, after: Annotated[int | None, Query(ge=0, le=2**31)] = None
) -> Response:
    """The audit log, the newest first."""
    return _audit(site_of(request), visit, after)


@router.post("/admin/audit/verify", **write(Role.ADMINISTRATOR))
def audit_verified(request: Request, visit: VisitNow) -> Response:
    """Check every entry of the log against the one before."""
    site = site_of(request)
    return _audit(site, visit, None, verify(site.store))


@router.get("/admin/openapi.json", **read(Role.ADMINISTRATOR))
def described(request: Request) -> Response:
    """The description of all routes, for tools."""
    return JSONResponse(request.app.openapi())


def _other(site: Site, visit: Visit, number: int) -> Account:
    """An account that is not the administrator's own: nobody locks themselves out by a slip."""
    found = next((one for one in accounts(site.store) if one.id == number), None)
    if found is None or found.id == visit.reader.id:
        raise NotFoundError
    return found


def _changed(
    request: Request, visit: Visit, number: int, said: str, change: Callable[[Store, Account], object]
) -> Response:
    """Change another's account; a refusal is told above the accounts."""
    site = site_of(request)
    account = _other(site, visit, number)
    try:
        change(site.store, account)
    except InputError as error:
        return _accounts(site, visit, refused=str(error))
    return _back(said)


def _back(said: str) -> Response:
    return RedirectResponse(f"/admin/accounts?said={said}", status_code=303)


def _accounts(
    site: Site, visit: Visit, *, refused: str = "", said: str = "", name: str = "", display: str = ""
) -> Response:
    open_sessions, waits = _sessions(site), locked(site.store)
    rows = tuple(
        AccountRow(
            id=one.id,
            name=one.name,
            display=one.display,
            roles=_roles(one.role),
            role_words=role_words(one.role),
            disabled=is_disabled(site.store, one),
            own=one.id == visit.reader.id,
            provider=one.name.partition(":")[0] if ":" in one.name else "",
            sessions=open_sessions.get(one.id, 0),
            locked=-(-waits.get(one.id, 0) // 60),
        )
        for one in accounts(site.store)
    )
    context = AccountsPage(
        frame=frame(site, visit, "Accounts", "admin"),
        rows=rows,
        roles=_roles(Role.REVIEWER),
        refused=refused,
        said=said,
        name=name,
        display=display,
    )
    return page("accounts", context, status=422 if refused else 200)


def _roles(chosen: Role) -> tuple[Choice, ...]:
    return tuple(Choice(str(one), role_words(one), one is chosen) for one in Role)


def _sessions(site: Site) -> dict[int, int]:
    """Sessions that are not over, by account."""
    now, place, settings = site.store.clock().timestamp(), schema.session, site.settings
    query = (
        select(place.c.account, func.count())
        .where(place.c.seen > now - settings.idle_minutes * 60, place.c.created > now - settings.absolute_hours * 3600)
        .group_by(place.c.account)
    )
    with site.store.reading() as connection:
        return {int(account): int(count) for account, count in connection.execute(query)}


def _audit(site: Site, visit: Visit, after: int | None, report: ChainReport | None = None) -> Response:
    total = anchor(site.store).number
    begin = max(0, total - PAGE) if after is None else min(after, total)
    found = events(site.store, after=begin, limit=PAGE)
    numbers: dict[str, str] = {}
    for event in found:
        if event.token and event.token not in numbers:
            record = axilla(site.store, event.token)
            numbers[event.token] = "" if record is None else str(record.number)
    rows = tuple(
        AuditRow(
            number=event.number,
            at=event.at[:19].replace("T", " "),
            account=event.account,
            what=event_words(event.kind),
            case=numbers.get(event.token, ""),
            token=event.token if numbers.get(event.token) else "",
            hash=event.hash[:12],
        )
        for event in reversed(found)
    )
    context = AuditPage(
        frame=frame(site, visit, "Audit log", "admin"),
        rows=rows,
        total=total,
        newer=str(begin + PAGE) if begin + PAGE < total else "",
        older=str(max(0, begin - PAGE)) if begin > 0 else "",
        verdict="" if report is None else _verdict(report),
        whole=report is not None and report.whole,
        head="" if report is None else f"{report.entries} {report.head}",
    )
    return page("audit", context)


def _verdict(report: ChainReport) -> str:
    if report.whole:
        return f"All {report.entries} entries are as they were written: none was changed, removed, moved or added."
    return (
        f"The log is not as it was written: {report.why} (entry {report.broken_at}). Keep the database as it is, and "
        "compare it with the last backup."
    )
