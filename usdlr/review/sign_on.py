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
import hmac
import json
import secrets
import ssl
import threading
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from usdlr.core.errors import ConfigError, UsdlrError
from usdlr.core.hashing import bytes_hash
from usdlr.review.sign_on_settings import SignOnSettings, require_address

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""With a public key of the issuer; ``none`` and shared secrets are no proof of who signed."""
TIMEOUT_S, LARGEST, LEEWAY_S = 10.0, 1_000_000, 60
FLOW_S = 600.0
"""How long somebody may take at the provider."""
FRESH_S = 3600.0
"""After which the provider's description and keys are asked for again."""


AWAY_S = 5.0
"""How long nobody else waits for a provider that did not answer."""


class SignOnError(UsdlrError):
    """The hospital's sign-on did not say who somebody is."""


@dataclass(frozen=True)
class Flow:
    """One attempt to sign on. The browser keeps it, sealed, so that nobody can crowd out other people's attempts.

    Parameters
    ----------
    state, nonce, verifier : str
        Random: what must come back, what the token must hold, what proves that the code is ours.
    redirect : str
        Where the provider sends them back to.
    target : str
        The page they wanted.
    begun : float
        On :func:`time.time`'s clock, in seconds.
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

    Examples
    --------
    >>> SignOn(SignOnSettings("https://id.example", "usdlr")).settings.role
    <Role.VIEWER: 'viewer'>
    """

    def __init__(self, settings: SignOnSettings) -> None:
        self.settings = settings
        # Attempts do not outlive the process: a restart asks people to sign in again.
        self._seal = secrets.token_bytes(32)
        self._lock, self._asking = threading.Lock(), threading.Lock()
        self._used: OrderedDict[str, float] = OrderedDict()
        self._held: tuple[float, dict[str, Any], KeySet] | None = None
        self._failed: tuple[float, SignOnError] | None = None

    @property
    def provider(self) -> str:
        """The issuer in the names of its accounts: a subject means somebody at one issuer only."""
        return f"oidc-{bytes_hash(self.settings.issuer.encode())[:12]}"

    def begin(self, redirect: str, target: str, *, anew: bool = False) -> tuple[str, str]:
        """Begin an attempt.

        Parameters
        ----------
        redirect : str
            Where the provider sends the browser back to.
        target : str
            The page that is wanted afterwards.
        anew : bool
            Whether the provider should ask who it is even where it knows somebody, as after a sign-out.

        Returns
        -------
        address : str
            Of the provider, for the browser.
        kept : str
            For a cookie of this browser.

        Raises
        ------
        SignOnError
            If the provider does not answer.
        """
        about, _ = self._provider()
        words = (secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48))
        flow = Flow(*words, redirect, target, time.time())
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect,
            "scope": "openid profile",
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": _challenge(flow.verifier),
            "code_challenge_method": "S256",
        } | ({"prompt": "login"} if anew else {})
        place = about["authorization_endpoint"]
        return f"{place}{'&' if '?' in place else '?'}{urlencode(asked)}", self._sealed(flow)

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
        flow = self._opened(kept)
        if flow is None or not secrets.compare_digest(state.encode(), flow.state.encode()) or not self._first(flow):
            raise SignOnError("found an answer to no attempt of this browser, expected one; sign in again")
        if not 0 <= time.time() - flow.begun <= FLOW_S:
            raise SignOnError("found an answer after more than 10 minutes, expected it sooner; sign in again")
        if issuer and issuer != self.settings.issuer:
            raise SignOnError("found the answer of another issuer, expected the hospital's own; sign in again")
        about, keys = self._provider()
        token = self._token(about, flow, code)
        try:
            return self._person(token, keys, flow.nonce), flow.target
        except SignOnError:
            # The issuer may have changed its keys since they were asked for.
            _, fresh = self._provider(newer_than=keys)
            if fresh is keys:
                raise
            return self._person(token, fresh, flow.nonce), flow.target

    def _sealed(self, flow: Flow) -> str:
        told = base64.urlsafe_b64encode(json.dumps(asdict(flow)).encode()).decode()
        return f"{told}.{hmac.new(self._seal, told.encode(), hashlib.sha256).hexdigest()}"

    def _opened(self, kept: str) -> Flow | None:
        told, _, seal = kept.partition(".")
        wanted = hmac.new(self._seal, told.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(seal.encode(), wanted.encode()):
            return None
        return Flow(**json.loads(base64.urlsafe_b64decode(told)))

    def _first(self, flow: Flow) -> bool:
        """Whether this attempt was not answered before."""
        with self._lock:
            now = time.time()
            while self._used and now - next(iter(self._used.values())) > FLOW_S:
                self._used.popitem(last=False)
            before = flow.state in self._used
            self._used[flow.state] = now
            return not before

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
            # Both are encoded like a form's fields first: RFC 6749, section 2.3.1.
            auth = httpx.BasicAuth(quote_plus(self.settings.client_id), quote_plus(secret))
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

    def _provider(self, newer_than: KeySet | None = None) -> tuple[dict[str, Any], KeySet]:
        """What the provider says of itself, and its keys; one thread asks, and a failure holds for some seconds.

        Keys that did not fit are asked for again, but no more often than every few seconds.
        """
        with self._asking:
            now = time.monotonic()
            with self._lock:
                held = self._held
            fresh = AWAY_S if held is not None and held[2] is newer_than else FRESH_S
            if held is not None and now - held[0] < fresh:
                return held[1], held[2]
            if self._failed is not None and now - self._failed[0] < AWAY_S:
                raise self._failed[1]
            try:
                about, keys = self._described()
            except SignOnError as error:
                self._failed = (time.monotonic(), error)
                raise
            with self._lock:
                self._held = (time.monotonic(), about, keys)
            return about, keys

    def _described(self) -> tuple[dict[str, Any], KeySet]:
        base = self.settings.issuer.rstrip("/")
        about = _json(lambda client: client.get(f"{base}/.well-known/openid-configuration"))
        if about.get("issuer") != self.settings.issuer:
            raise SignOnError(
                f"found the issuer {str(about.get('issuer'))[:100]!r} in its own description, expected "
                f"{self.settings.issuer!r}; correct the address"
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            try:
                require_address(str(about.get(name)), name)
            except ConfigError as error:
                raise SignOnError(str(error)) from error
        return about, _keys(_json(lambda client: client.get(about["jwks_uri"])))


def _keys(found: dict[str, Any]) -> KeySet:
    """The keys of a set; those of a kind that is unknown here are nobody's."""
    keys = []
    for one in found["keys"] if isinstance(found.get("keys"), list) else []:
        try:
            keys += KeySet.import_key_set({"keys": [one]}).keys
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    if not keys:
        raise SignOnError("found no keys of the issuer, expected a key set; tell your administrator")
    return KeySet(keys)


def _json(ask: Any) -> dict[str, Any]:
    """One answer of the provider, of which no redirect is followed and no word is shown."""
    try:
        # The computer's own certificates, those of a hospital's own authority among them.
        trusted = ssl.create_default_context()
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False, verify=trusted) as client:
            answer = ask(client)
        if answer.status_code != httpx.codes.OK or len(answer.content) > LARGEST:
            raise SignOnError(f"found the sign-on to answer {answer.status_code}; sign in again, or with a password")
        found = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise SignOnError(
            f"found no answer of the hospital's sign-on ({type(error).__name__}: {str(error)[:120]}); try again later, "
            "or sign in with an account of this page"
        ) from error
    if not isinstance(found, dict):
        raise SignOnError("found an answer of the sign-on that is no object; tell your administrator")
    return found


def _challenge(verifier: str) -> str:
    """RFC 7636's S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
