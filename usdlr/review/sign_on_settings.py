"""Where a hospital's sign-on is: what whoever runs the review page says of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from usdlr.core.errors import ConfigError
from usdlr.review.acts import Role


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
        require_address(self.issuer, "the issuer")
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


def require_address(address: str, what: str) -> None:
    """Refuse an address that passwords must not travel to.

    Parameters
    ----------
    address : str
        Of a web server.
    what : str
        What it is, for the message.

    Raises
    ------
    ConfigError
        If it is not HTTPS, unless it is on this computer.

    Examples
    --------
    >>> require_address("https://id.example.org", "the issuer")
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = host == "localhost"
    if not host or parts.username or not (parts.scheme == "https" or (parts.scheme == "http" and near)):
        raise ConfigError(f"found {what} {address[:200]!r}, expected an https:// address; correct it")
