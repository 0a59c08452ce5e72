"""OpenID Connect: a hospital's own sign-on says who somebody is. No web page in here.

Authorisation code flow with PKCE (S256), state and nonce. What counts is the ID token alone: its signature by a key
that the issuer publishes, issuer, audience, expiry and nonce.

References
----------
OpenID Connect Core 1.0, section 3.1; RFC 7636 (PKCE); RFC 9700 (security of OAuth 2.0); RFC 9207 (issuer in the
answer).
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from usdlr.core.errors import ConfigError, UsdlrError
from usdlr.review.records import Role

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""With a public key of the issuer; ``none`` and shared secrets are no proof of who signed."""
TIMEOUT_S, LARGEST, LEEWAY_S = 10.0, 1_000_000, 60
FLOW_S = 600.0
"""How long somebody may take at the provider."""
FRESH_S = 3600.0
"""After which the provider's description and keys are asked for again."""


class SignOnError(UsdlrError):
    """The hospital's sign-on did not say who somebody is."""


@dataclass(frozen=True)
class SignOnSettings:
    """Where a hospital's sign-on is, and what it makes of people.

    Parameters
    ----------
    issuer : str
        Its address, by HTTPS unless it is on this computer; ``{issuer}/.well-known/openid-configuration`` describes it.
    client_id : str
        What this page is called there.
    secret : str or None
        What this page proves itself with there; ``None`` for a public client.
    role : Role
        Of an account at its first sign-on; later the role that administrators set here counts.
    label : str
        What the button on the sign-in page says.
    name_claim : str
        The claim that pages show; without it, the subject.

    Raises
    ------
    ConfigError
        If the issuer is no HTTPS address, or the role is an administrator's.
    """

    issuer: str
    client_id: str
    secret: str | None = field(default=None, repr=False)
    role: Role = Role.VIEWER
    label: str = "hospital sign-on"
    name_claim: str = "name"

    def __post_init__(self) -> None:
        _require_address(self.issuer, "the issuer")
        if not self.client_id.strip():
            raise ConfigError("found no client id for the issuer, expected what this page is called there; name it")
        if self.role is Role.ADMINISTRATOR:
            raise ConfigError(
                "found administrator as the role of everybody at the issuer, expected viewer or reviewer; "
                "administrators are made by administrators"
            )


def secret_of(path: Path | None) -> str | None:
    """The secret in a file, which nobody else may read.

    Raises
    ------
    ConfigError
        If it cannot be read, is empty, or is open to others.
    """
    if path is None:
        return None
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"found {path} open to other accounts of this computer, expected a secret; chmod 600 it")
        found = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"found no readable secret in {path} ({type(error).__name__}); correct the path") from error
    if not found:
        raise ConfigError(f"found {path} empty, expected the secret of this page at the issuer; write it there")
    return found


@dataclass(frozen=True)
class Flow:
    """One attempt to sign on, kept here while somebody is at the provider.

    Parameters
    ----------
    state, nonce, verifier : str
        Random: what must come back, what the token must hold, what proves that the code is ours.
    redirect : str
        Where the provider sends them back to.
    target : str
        The page they wanted.
    begun : float
        On :func:`time.monotonic`'s clock.
    """

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect: str
    target: str
    begun: float


@dataclass(frozen=True)
class Person:
    """Whom the provider names.

    Parameters
    ----------
    subject : str
        Its own unchanging name for them.
    display : str
        What pages show.
    """

    subject: str
    display: str


class SignOn:
    """A provider.

    Parameters
    ----------
    settings : SignOnSettings
        Where it is.
    most : int
        Attempts that are kept at once; the oldest is forgotten.

    Examples
    --------
    >>> SignOn(SignOnSettings("https://id.example", "usdlr")).settings.role
    <Role.VIEWER: 'viewer'>
    """

    def __init__(self, settings: SignOnSettings, *, most: int = 1000) -> None:
        self.settings, self._most = settings, most
        self._lock = threading.Lock()
        self._flows: dict[str, Flow] = {}
        self._held: tuple[float, dict[str, Any], KeySet] | None = None

    def begin(self, redirect: str, target: str) -> tuple[str, str]:
        """Begin an attempt.

        Parameters
        ----------
        redirect : str
            Where the provider sends the browser back to.
        target : str
            The page that is wanted afterwards.

        Returns
        -------
        address : str
            Of the provider, for the browser.
        state : str
            For a cookie, so that nobody else's answer is taken for this browser's.

        Raises
        ------
        SignOnError
            If the provider does not answer.
        """
        about, _ = self._provider()
        verifier = secrets.token_urlsafe(48)
        flow = Flow(secrets.token_urlsafe(24), secrets.token_urlsafe(24), verifier, redirect, target, time.monotonic())
        with self._lock:
            self._flows[flow.state] = flow
            while len(self._flows) > self._most:
                del self._flows[next(iter(self._flows))]
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect,
            "scope": "openid profile",
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        place = about["authorization_endpoint"]
        return f"{place}{'&' if '?' in place else '?'}{urlencode(asked)}", flow.state

    def finish(self, *, state: str, kept: str, code: str, issuer: str = "") -> tuple[Person, str]:
        """Take the provider's answer.

        Parameters
        ----------
        state, code : str
            What came back.
        kept : str
            The browser's cookie.
        issuer : str
            Who answers, where the provider says so.

        Returns
        -------
        person : Person
            Who it is.
        target : str
            The page that was wanted.

        Raises
        ------
        SignOnError
            If the answer is not to this browser's attempt, was given before, came too late, or its token does not hold.
        """
        with self._lock:
            # Taken out before it is looked at: no answer counts twice.
            flow = self._flows.pop(state, None)
        if flow is None or not secrets.compare_digest(kept.encode(), flow.state.encode()):
            raise SignOnError("found an answer to no attempt of this browser, expected one; sign in again")
        if time.monotonic() - flow.begun > FLOW_S:
            raise SignOnError("found an answer after more than 10 minutes, expected it sooner; sign in again")
        if issuer and issuer != self.settings.issuer:
            raise SignOnError("found the answer of another issuer, expected the hospital's own; sign in again")
        about, keys = self._provider()
        return self._person(self._token(about, flow, code), keys, flow.nonce), flow.target

    def _token(self, about: dict[str, Any], flow: Flow, code: str) -> str:
        """Exchange the code for the ID token; only who knows the verifier gets it."""
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect,
            "client_id": self.settings.client_id,
            "code_verifier": flow.verifier,
        }
        # The provider says which way it takes a secret; without a word, OpenID Connect means the header.
        ways = about.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        secret, auth = self.settings.secret, None
        if secret is not None and "client_secret_basic" in ways:
            auth = httpx.BasicAuth(self.settings.client_id, secret)
        elif secret is not None:
            asked["client_secret"] = secret
        found = _json(lambda client: client.post(about["token_endpoint"], data=asked, auth=auth))
        token = found.get("id_token")
        if not isinstance(token, str):
            raise SignOnError("found no ID token in the provider's answer, expected one; ask for the scope openid")
        return token

    def _person(self, token: str, keys: KeySet, nonce: str) -> Person:
        wanted = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.client_id},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims
            wanted.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            with self._lock:
                self._held = None  # the issuer may have changed its keys
            raise SignOnError(
                f"found an ID token that does not hold ({type(error).__name__}), expected one signed by the issuer for "
                "this page; sign in again, and tell your administrator if it stays so"
            ) from error
        heard = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if (len(heard) > 1 or "azp" in claims) and claims.get("azp") != self.settings.client_id:
            raise SignOnError("found an ID token that was made for another page, expected one for this; sign in again")
        subject, shown = claims["sub"], claims.get(self.settings.name_claim)
        if not isinstance(subject, str):
            raise SignOnError("found an ID token without a subject, expected a name; tell your administrator")
        return Person(subject, shown.strip() if isinstance(shown, str) and shown.strip() else subject)

    def _provider(self) -> tuple[dict[str, Any], KeySet]:
        """What the provider says of itself, and its keys."""
        with self._lock:
            held = self._held
        if held is not None and time.monotonic() - held[0] < FRESH_S:
            return held[1], held[2]
        base = self.settings.issuer.rstrip("/")
        about = _json(lambda client: client.get(f"{base}/.well-known/openid-configuration"))
        if about.get("issuer") != self.settings.issuer:
            raise SignOnError(
                f"found the issuer {str(about.get('issuer'))[:100]!r} in its own description, expected "
                f"{self.settings.issuer!r}; correct the address"
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            try:
                _require_address(str(about.get(name)), name)
            except ConfigError as error:
                raise SignOnError(str(error)) from error
        try:
            keys = KeySet.import_key_set(_json(lambda client: client.get(about["jwks_uri"])))  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise SignOnError("found no keys of the issuer, expected a key set; tell your administrator") from error
        with self._lock:
            self._held = (time.monotonic(), about, keys)
        return about, keys


def _json(ask: Any) -> dict[str, Any]:
    """One answer of the provider, of which no redirect is followed and no word is shown."""
    try:
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
            answer = ask(client)
        if answer.status_code != httpx.codes.OK or len(answer.content) > LARGEST:
            raise SignOnError(f"found the sign-on to answer {answer.status_code}; sign in again, or with a password")
        found = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise SignOnError(
            f"found no answer of the hospital's sign-on ({type(error).__name__}); try again later, or sign in with an "
            "account of this page"
        ) from error
    if not isinstance(found, dict):
        raise SignOnError("found an answer of the sign-on that is no object; tell your administrator")
    return found


def _challenge(verifier: str) -> str:
    """RFC 7636's S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _require_address(address: str, what: str) -> None:
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = host == "localhost"
    if not host or parts.username or not (parts.scheme == "https" or (parts.scheme == "http" and near)):
        raise ConfigError(f"found {what} {address[:200]!r}, expected an https:// address; correct it")
