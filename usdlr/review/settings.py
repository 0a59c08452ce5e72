"""What whoever runs the review page may choose."""

from __future__ import annotations

from dataclasses import dataclass

from usdlr.core.errors import ConfigError
from usdlr.review.acts import Reading, Role
from usdlr.review.dicom.settings import PacsSettings
from usdlr.review.sign_on_settings import SignOnSettings

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ReviewSettings:
    """Settings of the review page.

    Parameters
    ----------
    host : str
        Address to listen on; the default is reached from this computer alone.
    port : int
        TCP port.
    hosts : tuple of str
        Further names that the page is reached by, without a port; any other name in a request is refused.
    reading : Reading
        Whether readers see the model's answer at once, or after their own opinion.
    seed : int
        Of every reader's own order in a hidden reading.
    secure_cookies : bool
        Whether the page is reached by HTTPS only, as it must be beyond this computer.
    idle_minutes : float
        Minutes without a request after which a session ends.
    absolute_hours : float
        Hours after which a session ends in any case.
    proxy_header : str or None
        Header in which the hospital's sign-on names who is there, such as ``X-Remote-User``.
    trusted_proxies : tuple of str
        Addresses from which that header is believed; from all others it is ignored.
    proxy_role : Role
        Role of an account that this header makes at its first request.
    demo : bool
        Whether every page says that reviews are worth nothing.
    max_upload_mb : float
        Largest body of a request, in MB.
    oidc : SignOnSettings or None
        A hospital's sign-on by OpenID Connect.
    pacs : PacsSettings or None
        The archive that readers send finished reviews to from their page.

    Raises
    ------
    ConfigError
        If the page would be open to others without HTTPS, or a value cannot be.

    Examples
    --------
    >>> ReviewSettings().reading
    <Reading.OPEN: 'open'>
    """

    host: str = "127.0.0.1"
    port: int = 8040
    hosts: tuple[str, ...] = ()
    reading: Reading = Reading.OPEN
    seed: int = 0
    secure_cookies: bool = False
    idle_minutes: float = 30.0
    absolute_hours: float = 12.0
    proxy_header: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    proxy_role: Role = Role.VIEWER
    demo: bool = False
    max_upload_mb: float = 2.0
    pacs: PacsSettings | None = None
    oidc: SignOnSettings | None = None

    def __post_init__(self) -> None:
        if self.idle_minutes <= 0 or self.absolute_hours <= 0 or self.max_upload_mb <= 0:
            raise ConfigError("found a duration or size of 0 or less, expected more; raise it")
        if (self.host not in LOOPBACK or self.hosts) and not self.secure_cookies:
            raise ConfigError(
                "found a page that others reach without secure_cookies, expected HTTPS: passwords and patients would "
                "cross the network in the clear; put a proxy with TLS in front and set secure_cookies to true"
            )
        if self.proxy_header and not self.trusted_proxies:
            raise ConfigError(
                "found proxy_header without trusted_proxies, expected the addresses that may send it: anybody else "
                "could claim to be anybody; name them"
            )

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Names that requests may call this page by, in small letters and without a port."""
        return frozenset(name.casefold() for name in (*LOOPBACK, self.host, *self.hosts))
