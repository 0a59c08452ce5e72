"""Where finished reviews are sent, and what may be sent there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from usdlr.core.errors import ConfigError


@dataclass(frozen=True)
class PacsSettings:
    """An archive that takes reports.

    Parameters
    ----------
    web : str or None
        DICOMweb address (STOW-RS).
    peer : str or None
        Instead, ``HOST:PORT:TITLE`` of one that takes C-STORE.
    sources : Path or None
        Folder with the scanner's DICOM images, such as ``usdlr review fetch`` wrote: a report goes into the study of
        the image that the model read.
    made_images : bool
        Whether a case whose DICOM image is not at hand may be sent all the same, with an image and a study made from
        the canonical picture and the list's own patient id (its issuer is ``usdlr``): for archives of pseudonyms and
        of tests, never for a hospital's own.
    user, password, token : str
        To sign in with by DICOMweb; kept out of logs and messages.

    Raises
    ------
    ConfigError
        If there is neither or both of address and peer, or the peer is none.

    Examples
    --------
    >>> PacsSettings(peer="10.0.0.5:104:ARCHIVE").name
    'ARCHIVE'
    """

    web: str | None = None
    peer: str | None = None
    sources: Path | None = None
    made_images: bool = False
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if (self.web is None) == (self.peer is None):
            raise ConfigError("found neither or both of --web and --peer, expected one of them; say where to send")
        if self.peer is not None:
            peer_parts(self.peer)
        if self.sources is not None and not self.sources.is_dir():
            raise ConfigError(f"found no folder {self.sources}, expected the scanner's DICOM images; correct --sources")

    @property
    def name(self) -> str:
        """What the log and the page call it; no address."""
        return "DICOMweb" if self.peer is None else peer_parts(self.peer)[2]


def peer_parts(peer: str) -> tuple[str, int, str]:
    """Host, port and title of ``HOST:PORT:TITLE``.

    Parameters
    ----------
    peer : str
        As it was given.

    Raises
    ------
    ConfigError
        If it is not of that form.

    Examples
    --------
    >>> peer_parts("archive.example:104:PACS")
    ('archive.example', 104, 'PACS')
    """
    parts = peer.rsplit(":", 2)
    if len(parts) != 3 or not parts[0] or not parts[1].isascii() or not parts[1].isdecimal():
        raise ConfigError(f"found --peer {peer}, expected HOST:PORT:TITLE; correct it")
    return parts[0], int(parts[1][:9]), parts[2]
