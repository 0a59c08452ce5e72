"""An archive of the settings, opened: by DICOMweb or by C-STORE, both take objects and tell which are confirmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from usdlr.core.errors import CaseError, InputError
from usdlr.review.dicom.network import Peer, send
from usdlr.review.dicom.settings import PacsSettings, peer_parts
from usdlr.review.dicom.web import DicomWeb, Login

Deliver = Callable[[Sequence[Dataset]], Sequence[str]]
"""Hands objects over and tells the instance UIDs that the archive has confirmed."""


@dataclass(frozen=True)
class Archive:
    """Somewhere to send to.

    Parameters
    ----------
    name : str
        For the log; no address and no secret.
    deliver : callable
        See :data:`Deliver`.
    close : callable
        Gives connections back.
    """

    name: str
    deliver: Deliver
    close: Callable[[], None]


def open_archive(settings: PacsSettings) -> Archive:
    """The archive of the settings; nothing is sent yet.

    Parameters
    ----------
    settings : PacsSettings
        Where, and what to sign in with.

    Raises
    ------
    ConfigError
        If the address is none, a password would go over it without encryption, or the title is none.
    """
    if settings.peer is not None:
        peer = Peer(*peer_parts(settings.peer))
        return Archive(settings.name, lambda objects: send(objects, peer), lambda: None)
    web = DicomWeb(settings.web or "", Login(settings.user, settings.password, settings.token))
    return Archive(settings.name, web.store, web.close)


def why_words(error: InputError) -> str:
    """What may be told and kept of an error: a sentence without patient, path or secret.

    Parameters
    ----------
    error : InputError
        Of an attempt to send.
    """
    if isinstance(error, CaseError):
        # Its own sentence names the file, and the file the image.
        return f"found a file of this case that cannot be used ({error.code}), expected it as loaded; restore it"
    return str(error)
