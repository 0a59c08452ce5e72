"""Who may do what, and what an attacker may not."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount

from tests.review.web.made import BASE, PASSWORD, Browser, Made, made, served
from usdlr.core.errors import ConfigError
from usdlr.review.acts import Role
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.accounts import first_administrator
from usdlr.review.store.audit import events
from usdlr.review.store.engine import open_store, utc_now
from usdlr.review.store.reading import state
from usdlr.review.web.app import create_app
from usdlr.review.web.security import ANYBODY, GUARD, LEAST

WHO = {"": -1, "vera": 0, "anna": 1, "boss": 2}
ROLES = [ANYBODY, *map(str, Role)]


def routes(site: Made) -> list[APIRoute]:
    found = site.app.openapi()["paths"]
    out: list[APIRoute] = []

    def walk(of: object) -> None:
        for route in getattr(of, "routes", ()):
            if isinstance(route, APIRoute):
                out.append(route)
            elif not isinstance(route, Mount):
                walk(getattr(route, "original_router", route))

    walk(site.app.router)
    assert {route.path for route in out} == set(found)
    return out


def filled(path: str, site: Made) -> str:
    record = site.records[0]
    path = (
        path.replace("{image}", record.images[0].token).replace("{kind}", "bmode").replace("{name}", "map-sln-bmode-1")
    )
    path = path.replace("/pictures/{token}", f"/pictures/{record.images[0].token}")
    return path.replace("{token}", record.token).replace("{number}", str(site.accounts["late"].id))


def test_every_route_says_its_least_role_and_how_it_is_guarded(site: Made) -> None:
    found = routes(site)
    assert len(found) > 25
    for route in found:
        told = route.openapi_extra or {}
        assert told.get(LEAST) in ROLES, route.path
        assert bool(told.get(GUARD)) == ("GET" not in (route.methods or ())), route.path
    anybody = {route.path for route in found if (route.openapi_extra or {})[LEAST] == ANYBODY}
    assert anybody == {"/sign-in", "/sign-in/hospital", "/sign-in/hospital/back", "/first", "/health"}


@pytest.mark.parametrize("name", list(WHO))
def test_no_route_lets_pass_who_has_less_than_its_role(site: Made, name: str) -> None:
    browser = site.client(name)
    token = browser.token("/account") if name else browser.token("/sign-in")
    nowhere = browser.get("/no-such-page").text if name else ""
    before = len(events(site.store, limit=10_000))
    for route in routes(site):
        least = ROLES.index((route.openapi_extra or {})[LEAST]) - 1
        path = filled(route.path, site)
        if WHO[name] >= least:
            if "GET" in (route.methods or ()):
                assert browser.get(path).status_code in (200, 303), path
            continue
        if "GET" in (route.methods or ()):
            answer = browser.get(path)
        else:
            headers = {"Origin": BASE, "X-CSRF-Token": token}
            answer = browser.post(
                path, data={"csrf": token, "act": "accept", "seen": "1", "key": "x" * 12}, headers=headers
            )
        if not name:
            assert answer.status_code in (303, 401), path
            if answer.status_code == 303:
                assert answer.headers["location"].startswith("/sign-in")
        else:
            assert answer.status_code in (404, 422), path
            if answer.status_code == 404:
                assert answer.text == nowhere, path
    assert len(events(site.store, limit=10_000)) == before, "somebody without the right changed something"


def test_an_unknown_axilla_looks_like_a_forbidden_one(site: Made) -> None:
    browser = site.client("vera")
    unknown, strange = browser.get("/axillae/AAAAAAAAAAAAAAAAAAAAAA"), browser.get("/admin/audit")
    assert (unknown.status_code, unknown.text) == (strange.status_code, strange.text)
    for path in ("/axillae/..%2f..%2fetc", "/pictures/x/bmode", "/pictures/x/mask", "/static/../settings.py", "/docs"):
        assert browser.get(path).status_code in (404, 422), path


def test_a_form_needs_the_token_of_its_session(site: Made) -> None:
    anna, ben = site.client("anna"), site.client("ben")
    token = site.records[1].token
    seen = state(site.store, token).version
    form = {"act": "accept", "seen": str(seen), "key": "k" * 20}
    for csrf in ("", "0" * 64, ben.token("/account")):
        answer = anna.post(f"/axillae/{token}/acts", data={**form, "csrf": csrf}, headers={"Origin": BASE})
        assert answer.status_code == 403
    assert state(site.store, token).version == seen
    good = {**form, "csrf": anna.token("/account")}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": BASE, "Sec-Fetch-Site": "same-site"},
    ):
        assert anna.post(f"/axillae/{token}/acts", data=good, headers=headers).status_code == 403, headers
    assert state(site.store, token).version == seen
    assert (
        anna.post(
            f"/axillae/{token}/acts", data=good, headers={"Origin": "null", "Sec-Fetch-Site": "same-origin"}
        ).status_code
        == 303
    )
    assert state(site.store, token).version == seen + 1


def test_cookies_and_headers(site: Made, tmp_path: Path) -> None:
    browser = Browser(site.app)
    answer = browser.sign_in("anna")
    cookie = answer.headers["set-cookie"].lower()
    assert "usdlr_session=" in cookie
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    for path in ("/", "/sign-in", "/health", "/nowhere", f"/axillae/{site.records[0].token}"):
        headers = browser.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
    secure = create_app(site.store, settings=ReviewSettings(secure_cookies=True), live=None)
    there = Browser(secure)
    there.base_url = "https://127.0.0.1"
    found = there.get("/sign-in")
    assert "__host-usdlr_browser=" in found.headers["set-cookie"].lower()
    assert "; secure" in found.headers["set-cookie"].lower()
    assert "strict-transport-security" in found.headers


def test_hosts_and_sizes(site: Made) -> None:
    browser = Browser(site.app)
    assert browser.get("/health", headers={"Host": "evil.example"}).status_code == 400
    assert browser.get("/health", headers={"Host": "localhost:8040"}).status_code == 200
    big = "x" * 2_100_000
    assert browser.post("/sign-in", data={"name": big}, headers={"Origin": BASE}).status_code == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b"name=" + b"x" * 100_000

    headers = {"Origin": BASE, "Content-Type": "application/x-www-form-urlencoded"}
    assert browser.post("/sign-in", content=pieces(), headers=headers).status_code == 413


def test_sign_in_tells_nothing_and_gets_slow(tmp_path: Path) -> None:
    own = made(tmp_path, count=1)
    browser = Browser(own.app, ("127.0.0.9", 1))
    wrong, unknown = browser.sign_in("anna", "wrong password 1"), browser.sign_in("nobody", "wrong password 1")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.text.replace("anna", "") == unknown.text.replace("nobody", "")
    for _ in range(4):
        last = browser.sign_in("anna", "wrong password 1")
    assert last.status_code == 429
    assert browser.sign_in("anna").status_code == 429, "the right password does not open what is locked"
    own.store.close()


def test_a_session_ends_with_sign_out_and_takes_its_token_along(site: Made) -> None:
    browser = site.client("ben")
    kept = browser.cookies["usdlr_session"]
    assert browser.submit("/sign-out").headers["location"] == "/sign-in?said=out"
    browser.cookies.set("usdlr_session", kept)
    assert browser.get("/").headers["location"].startswith("/sign-in")
    again = site.client("ben")
    assert again.cookies["usdlr_session"] != kept


def test_other_sessions_end_and_this_one_goes_on(tmp_path: Path) -> None:
    own = made(tmp_path, count=1, settings=ReviewSettings(idle_minutes=90.0))
    here, there, ben = own.client("anna"), own.client("anna"), own.client("ben")
    text = here.get("/account").text
    assert "in 1 other session," in text
    assert here.cookies["usdlr_session"] not in text
    # Not without the token of this very session, from another page, or by a link.
    for csrf in ("", there.token("/account"), ben.token("/account")):
        assert here.submit("/account/sessions", csrf=csrf).status_code == 403
    evil = {"Origin": "http://evil.example"}
    data = {"csrf": here.token("/account")}
    assert here.post("/account/sessions", data=data, headers=evil).status_code == 403
    assert here.get("/account/sessions").status_code == 405
    assert there.get("/").status_code == 200
    # Idle for longer than the default, as this page's settings allow: still open, so counted, ended and told.
    own.store.clock = lambda: utc_now() + timedelta(minutes=60)
    assert "in 1 other session," in here.get("/account").text
    answer = here.submit("/account/sessions")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?said=ended")
    told = here.get(answer.headers["location"]).text
    assert "Your other sessions are ended." in told
    assert "nowhere else" in told
    assert "End my other sessions" not in told
    assert there.get("/").headers["location"].startswith("/sign-in")
    assert ben.get("/").status_code == 200
    assert [event.after["ended"] for event in events(own.store) if event.kind == "sessions_ended"] == [1]
    # Administrators read of it in plain words.
    assert "Ended the other sessions" in own.client("boss").get("/admin/audit").text
    own.store.close()


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil", "/admin/../x", "javascript:1", "/sign-out"]
)
def test_after_sign_in_one_stays_on_this_page(site: Made, target: str) -> None:
    assert Browser(site.app).sign_in("anna", target=target).headers["location"] == "/"


def test_the_first_administrator_needs_the_code_once(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/review.db")
    code = first_administrator(store)
    assert code is not None
    browser = Browser(create_app(store, settings=ReviewSettings(), live=None))
    fields = {"name": "chief", "display": "Dr Chief", "password": PASSWORD}
    assert browser.submit("/first", {**fields, "code": "guess"}, csrf=browser.token("/first")).status_code == 422
    done = browser.submit("/first", {**fields, "code": code}, csrf=browser.token("/first"))
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert "Administration" in browser.get("/").text
    assert browser.get("/first").headers["location"] == "/sign-in"
    store.close()


def test_the_sign_on_of_a_proxy_is_believed_from_its_address_alone(site: Made) -> None:
    settings = ReviewSettings(proxy_header="X-Remote-User", trusted_proxies=("10.0.0.1",), proxy_role=Role.VIEWER)
    app = create_app(site.store, settings=settings, live=None)
    stranger = Browser(app, ("10.0.0.2", 1))
    assert stranger.get("/sign-in", headers={"X-Remote-User": "kim"}).status_code == 200
    proxy = Browser(app, ("10.0.0.1", 1))
    assert proxy.get("/sign-in", headers={"X-Remote-User": "kim"}).headers["location"] == "/"
    assert ">kim<" in proxy.get("/", headers={"X-Remote-User": "kim"}).text
    # The same browser with somebody else at it: the session before is not theirs.
    assert proxy.get("/", headers={"X-Remote-User": "lee"}).status_code == 303
    with pytest.raises(ConfigError, match="trusted_proxies"):
        ReviewSettings(proxy_header="X-Remote-User")


def test_names_of_patients_stand_in_no_address_and_no_log(site: Made, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        browser = site.client("anna")
        text = browser.submit("/worklist", {"text": "USD-0003"}).headers["location"]
        page = browser.get("/").text + browser.get(f"/axillae/{site.records[2].token}?said=x&patient=USD-0003").text
        browser.submit("/worklist", {"clear": "1"})
    assert "USD-0003" in page
    assert text == "/"
    # The client of the tests logs addresses itself; ours must not.
    lines = [line for line in caplog.records if line.name.startswith("usdlr")]
    assert any("/axillae/{token}" in line.getMessage() for line in lines)
    for line in lines:
        assert "USD-" not in line.getMessage()
        assert site.records[2].token not in line.getMessage()
        assert "anna" not in line.getMessage()
    for address in re.findall(r'(?:href|action|src)="([^"]*)"', page):
        assert "USD-" not in address
        assert "anna" not in address


def test_a_defect_is_told_calmly(site: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setattr("usdlr.review.web.routes_worklist.list_page", broken)
    browser = site.client("anna")
    with caplog.at_level(logging.ERROR):
        answer = browser.get("/")
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "secret" not in answer.text
    reference = re.search(r'mono">([0-9a-f]{8})<', answer.text)
    assert reference is not None
    assert reference[1] in caplog.text
    assert answer.headers["content-security-policy"]


@pytest.mark.parametrize("more", [{"host": "0.0.0.0"}, {"hosts": ("reviews.example.org",)}])  # refused
def test_a_page_that_others_reach_needs_https(more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="HTTPS"):
        ReviewSettings(**more)
    assert ReviewSettings(**more, secure_cookies=True).secure_cookies


def test_an_origin_that_is_none_is_refused_calmly(site: Made) -> None:
    answer = site.client().post("/sign-in", data={"name": "x"}, headers={"Origin": "http://["})
    assert answer.status_code == 403


def test_a_second_line_of_a_proxys_header_is_the_clients_own(tmp_path: Path) -> None:
    settings = ReviewSettings(proxy_header="X-Remote-User", trusted_proxies=("127.0.0.1",))
    found = made(tmp_path, settings=settings)
    try:
        browser = found.client()
        lines = [("X-Remote-User", "attacker"), ("X-Remote-User", "anna")]
        assert browser.get("/sign-in", headers=lines).status_code == 200
        # By a real server, which must not believe such headers itself.
        with served(found.app) as address:
            claimed = {"X-Remote-User": "chief", "X-Forwarded-For": "127.0.0.1"}
            assert httpx.get(f"{address}/sign-in", headers=claimed, trust_env=False).status_code == 303
        settings = ReviewSettings(proxy_header="X-Remote-User", trusted_proxies=("10.1.1.1",))
        app = create_app(found.store, settings=settings, live=None)
        with served(app) as address:
            claimed = {"X-Remote-User": "chief", "X-Forwarded-For": "10.1.1.1"}
            assert httpx.get(f"{address}/sign-in", headers=claimed, trust_env=False).status_code == 200
    finally:
        found.store.close()
