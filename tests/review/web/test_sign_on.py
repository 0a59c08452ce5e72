"""OpenID Connect: against a real provider, in a browser, and against one that cheats."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from oidc_provider_mock import User, run_server_in_thread  # type: ignore[import-untyped]  # publishes no types
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import expect

from tests.review.web.made import BASE, Browser, Made, made, served
from usdlr.core.errors import ConfigError
from usdlr.review.acts import Role
from usdlr.review.settings import ReviewSettings
from usdlr.review.sign_on_settings import SignOnSettings, secret_of
from usdlr.review.store.people import accounts, disable
from usdlr.review.web.app import create_app

KEY, OTHER = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
START, BACK = "/sign-in/hospital", "/sign-in/hospital/back"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    people = [User(sub="u-17", claims={"name": "Dr Ada Sørensen"}), User(sub="u-18", claims={})]
    with run_server_in_thread(user_claims=people) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture(scope="module")
def page(provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    oidc = SignOnSettings(provider, "usdlr", "not-so-secret", Role.REVIEWER, "St Mary's sign-on")
    found = made(tmp_path_factory.mktemp("signed"), count=2, settings=ReviewSettings(oidc=oidc))
    yield found
    found.store.close()


def begun(browser: Browser, target: str = "/") -> str:
    """Where the page sends a browser."""
    answer = browser.get(START, params={"target": target})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def agreed(address: str, subject: str) -> str:
    """Sign in at the real provider; the way back, without the host."""
    answer = httpx.post(address, data={"sub": subject}, trust_env=False)
    assert answer.status_code == 302, answer.text
    back = urlsplit(answer.headers["location"])
    assert f"{back.scheme}://{back.netloc}" == BASE
    return f"{back.path}?{back.query}"


def test_the_provider_says_who_it_is(page: Made) -> None:
    browser = page.client()
    address = begun(browser, f"/axillae/{page.records[0].token}")
    asked = {key: value[0] for key, value in parse_qs(urlsplit(address).query).items()}
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == BASE + BACK
    answer = browser.get(agreed(address, "u-17"))
    assert answer.status_code == 200
    assert f'content="0;url=/axillae/{page.records[0].token}"' in answer.text
    strict = [line for line in answer.headers.get_list("set-cookie") if line.startswith("usdlr_session=")]
    assert re.search(r"HttpOnly.*SameSite=strict", strict[0])
    assert "Dr Ada Sørensen" in browser.get("/").text
    (account,) = (one for one in accounts(page.store) if one.name.startswith("oidc-"))
    assert re.fullmatch(r"oidc-[0-9a-f]{12}:u-17", account.name)
    assert account.role is Role.REVIEWER
    # The same person again is the same account; one without a name is shown by the provider's.
    again = page.client()
    again.get(agreed(begun(again), "u-17"))
    other = page.client()
    other.get(agreed(begun(other), "u-18"))
    assert sorted(one.name[-5:] for one in accounts(page.store) if ":" in one.name) == [":u-17", ":u-18"]


def test_an_answer_counts_once_and_for_one_browser(page: Made) -> None:
    browser = page.client()
    back = agreed(begun(browser), "u-17")
    stranger = page.client()
    assert stranger.get(back).status_code == 403
    begun(stranger)
    assert stranger.get(back).status_code == 403
    kept = browser.cookies["usdlr_sign_on"]
    assert browser.get(back).status_code == 200
    assert "usdlr_sign_on" not in browser.cookies
    # The attempt counted once, even for who kept its cookie; a cookie that was changed is none.
    for cookie in (kept, kept[:-1] + ("0" if kept[-1] != "0" else "1"), "x", ""):
        browser.cookies.set("usdlr_sign_on", cookie)
        assert browser.get(back).status_code == 403
        browser.cookies.delete("usdlr_sign_on")
    held = browser.cookies["usdlr_session"]
    assert browser.get(back).status_code == 403
    assert browser.cookies["usdlr_session"] == held
    assert browser.get(f"{BACK}?error=access_denied&state=x").status_code == 403
    assert browser.get(BACK).status_code == 403


def test_a_session_from_before_is_not_taken_over(page: Made) -> None:
    browser = page.client()
    browser.cookies.set("usdlr_session", planted := "A" * 43)
    answer = browser.get(agreed(begun(browser), "u-17"))
    (begun_now,) = re.findall(r"usdlr_session=([\w-]+)", answer.headers["set-cookie"])
    assert begun_now != planted
    fresh = page.client()
    fresh.cookies.set("usdlr_session", planted)
    assert fresh.get("/").status_code == 303


def test_a_subject_is_somebody_at_one_issuer_only(page: Made, cheat: tuple[Cheat, Made]) -> None:
    provider, site = cheat
    browser = site.client()
    assert answered(provider, browser, sub="u-17").status_code == 200
    other = Cheat()
    elsewhere = ReviewSettings(oidc=SignOnSettings(other.issuer, "usdlr"))
    assert (
        answered(other, Browser(create_app(site.store, settings=elsewhere, live=None)), sub="u-17").status_code == 200
    )
    other.server.shutdown()
    other.server.server_close()
    assert len({one.id for one in accounts(site.store) if one.name.endswith(":u-17")}) == 2


def test_after_a_sign_out_the_provider_asks_again(page: Made) -> None:
    browser = page.client()
    browser.get(agreed(begun(browser), "u-17"))
    assert "prompt" not in parse_qs(urlsplit(begun(page.client())).query)
    there = browser.submit("/sign-out").headers["location"]
    link = re.search(r'id="sign-on" href="([^"]+)"', browser.get(there).text)
    assert link is not None
    answer = browser.get(link[1].replace("&amp;", "&"))
    assert parse_qs(urlsplit(answer.headers["location"]).query)["prompt"] == ["login"]


def test_late_answers_and_foreign_targets(page: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = page.client()
    for target in ("//evil.example", "https://evil.example", "/sign-out", "/axillae/../x"):
        answer = browser.get(agreed(begun(browser, target), "u-17"))
        assert 'content="0;url=/"' in answer.text
        browser.cookies.clear()
    back = agreed(begun(browser), "u-17")
    # The browser's cookie ends by then too; one that was kept does not count either.
    monkeypatch.setattr("usdlr.review.sign_on.FLOW_S", -1.0)
    late = browser.get(back)
    assert late.status_code == 403
    assert "after more than 10 minutes" in late.text


def test_a_closed_account_stays_out(page: Made) -> None:
    browser = page.client()
    browser.get(agreed(begun(browser), "u-18"))
    account = next(one for one in accounts(page.store) if one.name.endswith(":u-18"))
    disable(page.store, account, by=page.accounts["boss"])
    again = page.client()
    answer = again.get(agreed(begun(again), "u-18"))
    assert answer.status_code == 403
    assert "closed" in answer.text
    assert "usdlr_session" not in again.cookies


def test_in_a_browser(page: Made, chromium: Chromium) -> None:
    context = chromium.new_context()
    tab = context.new_page()
    with served(page.app) as address:
        token = page.records[1].token
        tab.goto(f"{address}/axillae/{token}")
        tab.get_by_role("link", name="Sign in with St Mary's sign-on").click()
        tab.locator("input[name=sub]").fill("u-17")
        tab.get_by_role("button").first.click()
        tab.wait_for_url(f"{address}/axillae/{token}")
        expect(tab.locator("header .name")).to_have_text("Dr Ada Sørensen")
    context.close()


class Cheat:
    """A provider whose token is whatever a test wants."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {"alg": "RS256"}
        self.key: Any = KEY
        self.about: dict[str, Any] = {}
        self.sent: dict[str, str] = {}
        self.token: str | None = None
        cheat = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.give(cheat.keys if self.path == "/keys" else cheat.description())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                cheat.sent = {key: value[0] for key, value in parse_qs(body).items()} | dict(self.headers)
                self.give({"access_token": "x", "token_type": "Bearer"} | cheat.signed())

            def give(self, content: Any) -> None:
                data = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *words: object) -> None:
                pass

        # Real providers publish keys of kinds that nobody here knows, too.
        self.keys: dict[str, Any] = {
            "keys": [{"kty": "EC", "crv": "unknown", "x": "AA", "y": "AA"}, KEY.as_dict(private=False)]
        }
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def description(self) -> dict[str, Any]:
        ends = {"authorization_endpoint": "/ask", "token_endpoint": "/token", "jwks_uri": "/keys"}
        return {"issuer": self.issuer} | {name: self.issuer + path for name, path in ends.items()} | self.about

    def signed(self) -> dict[str, str]:
        if self.token is not None:
            return {"id_token": self.token} if self.token else {}
        if self.header["alg"] == "HS256":
            # As forged for whoever takes the published key for a shared secret; joserfc refuses to make it.
            parts = [
                base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (self.header, self.claims)
            ]
            mark = hmac.new(KEY.as_pem(private=False), b".".join(parts), hashlib.sha256).digest()
            return {"id_token": b".".join([*parts, base64.urlsafe_b64encode(mark).rstrip(b"=")]).decode()}
        return {"id_token": jwt.encode(self.header, self.claims, self.key)}


@pytest.fixture
def cheat(tmp_path: Path) -> Iterator[tuple[Cheat, Made]]:
    found = Cheat()
    site = made(tmp_path, count=1, settings=ReviewSettings(oidc=SignOnSettings(found.issuer, "usdlr", "s3:cr et%")))
    yield found, site
    site.store.close()
    found.server.shutdown()
    found.server.server_close()


def answered(cheat: Cheat, browser: Browser, **claims: Any) -> Any:
    """The page's answer to a token with these claims; ``None`` leaves one out."""
    asked = parse_qs(urlsplit(begun(browser)).query)
    now = int(time.time())
    whole = {
        "iss": cheat.issuer,
        "aud": "usdlr",
        "sub": "u-1",
        "iat": now,
        "exp": now + 300,
        "nonce": asked["nonce"][0],
    }
    cheat.claims = {key: value for key, value in (whole | claims).items() if value is not None}
    return browser.get(BACK, params={"state": asked["state"][0], "code": "c"})


def test_a_token_that_holds(cheat: tuple[Cheat, Made]) -> None:
    provider, site = cheat
    browser = site.client()
    assert answered(provider, browser).status_code == 200
    assert provider.sent["code"] == "c"
    assert len(provider.sent["code_verifier"]) >= 43
    sent = base64.b64decode(provider.sent["Authorization"].removeprefix("Basic ")).decode()
    assert sent == "usdlr:s3%3Acr+et%25"
    assert "client_secret" not in provider.sent
    again = site.client()
    assert answered(provider, again, aud=["usdlr", "other"], azp="usdlr").status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": ["usdlr", "another"]},
        {"azp": "another"},
        {"iss": "https://another.example"},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 17},
        {"sub": "x" * 300},
    ],
)
def test_claims_that_do_not_hold(cheat: tuple[Cheat, Made], claims: dict[str, Any]) -> None:
    provider, site = cheat
    browser = site.client()
    answer = answered(provider, browser, **claims)
    assert answer.status_code == 403
    assert "usdlr_session" not in browser.cookies
    assert not [one for one in accounts(site.store) if ":" in one.name]


def test_keys_that_were_changed_are_asked_for_again(cheat: tuple[Cheat, Made], monkeypatch: pytest.MonkeyPatch) -> None:
    provider, site = cheat
    browser = site.client()
    begun(browser)
    provider.key = OTHER
    provider.keys["keys"][1] = OTHER.as_dict(private=False)
    assert answered(provider, browser).status_code == 403  # within a few seconds nobody asks again
    monkeypatch.setattr("usdlr.review.sign_on.AWAY_S", 0.0)
    assert answered(provider, browser).status_code == 200


def test_signatures_that_do_not_hold(cheat: tuple[Cheat, Made]) -> None:
    provider, site = cheat
    provider.key = OTHER
    assert answered(provider, site.client()).status_code == 403
    # The published key as a shared secret, and no signature at all.
    provider.header, provider.key = {"alg": "HS256"}, KEY
    assert answered(provider, site.client()).status_code == 403
    provider.token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1LTEifQ."
    assert answered(provider, site.client()).status_code == 403
    provider.token = ""
    assert answered(provider, site.client()).status_code == 403


def test_a_provider_that_is_another_or_away(cheat: tuple[Cheat, Made]) -> None:
    provider, site = cheat
    browser = site.client()
    asked = parse_qs(urlsplit(begun(browser)).query)
    mixed = {"state": asked["state"][0], "code": "c", "iss": "https://another.example"}
    assert browser.get(BACK, params=mixed).status_code == 403
    for wrong in ({"issuer": "https://another.example"}, {"token_endpoint": "http://another.example/token"}):
        provider.about = wrong
        app = create_app(site.store, settings=ReviewSettings(oidc=SignOnSettings(provider.issuer, "usdlr")), live=None)
        assert Browser(app).get(START).status_code == 502
    away = SignOnSettings("http://127.0.0.1:9", "usdlr", label="away")
    settings = ReviewSettings(oidc=away)
    there = Browser(create_app(site.store, settings=settings, live=None))
    answer = there.get(START)
    assert answer.status_code == 502
    assert "sign in with an account of this page" in answer.text
    assert there.sign_in("anna").status_code == 303
    without = Browser(create_app(site.store, settings=replace(settings, oidc=None), live=None))
    assert without.get(START).headers["location"].startswith("/sign-in?")
    assert "hospital" not in without.get("/sign-in").text


@pytest.mark.parametrize(
    "issuer", ["http://id.example", "ftp://id.example", "id.example", "https://a:b@id.example", ""]
)
def test_issuers_that_cannot_be(issuer: str) -> None:
    with pytest.raises(ConfigError, match="https://"):
        SignOnSettings(issuer, "usdlr")


def test_the_secret_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(ConfigError, match="no readable secret"):
        secret_of(path)
    path.write_text("s3cret\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        secret_of(path)
    path.chmod(0o600)
    assert secret_of(path) == "s3cret"
    assert "s3cret" not in repr(SignOnSettings("https://id.example", "usdlr", secret_of(path)))
    with pytest.raises(ConfigError, match="administrators are made by administrators"):
        SignOnSettings("https://id.example", "usdlr", role=Role.ADMINISTRATOR)
