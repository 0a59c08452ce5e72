"""C-STORE, both ways: instances are sent to an archive, or received from one into a folder to ingest.

The receiver listens on this machine alone unless told otherwise, takes only what names its title and comes from a
title on its list, and answers "stored" after the file is on the disk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # set when it is imported

from usdlr.core.errors import ConfigError, DataError
from usdlr.ingest.readers.dicom_file import quiet
from usdlr.review.dicom.admission import Admission, Admitted, Outcome

LOGGER = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
TITLE = "USDLR"
LONGEST_TITLE = 16
# Ultrasound images, single and multi-frame, of today and retired, and captures of old scanners. Nothing else is agreed
# to: an archive must never believe that its reports are stored here.
CLASSES = (
    "1.2.840.10008.5.1.4.1.1.6.1",
    "1.2.840.10008.5.1.4.1.1.6",
    "1.2.840.10008.5.1.4.1.1.3.1",
    "1.2.840.10008.5.1.4.1.1.3",
    "1.2.840.10008.5.1.4.1.1.7",
)
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    RLELossless,
)
# Status codes of C-STORE, PS3.4 table B.2-1.
SUCCESS, NO_RESOURCES, CANNOT_UNDERSTAND, REFUSED_DATA = 0x0000, 0xA700, 0xC000, 0xA900
MAX_PDU = 1 << 17
# A protocol data unit is announced with four bytes: nobody may announce gigabytes before the association is accepted.
LARGEST_PDU = 1 << 20
OVERHEAD = 1 << 20
MOST_WAITING = 2


@dataclass(frozen=True)
class Peer:
    """An archive that takes C-STORE.

    Parameters
    ----------
    host : str
        Name or address.
    port : int
        Its port.
    title : str
        Its application entity title.
    """

    host: str
    port: int
    title: str

    def __post_init__(self) -> None:
        require_title(self.title)
        if not self.host or not 1 <= self.port <= 65535:
            raise ConfigError("found no host, or a port outside 1 to 65535, expected both; correct the archive")


def require_title(title: str) -> str:
    """Return an application entity title, or say what is wrong with it.

    Raises
    ------
    ConfigError
        If it is empty, longer than 16 characters, or holds others than printable ASCII.

    Examples
    --------
    >>> require_title("USDLR")
    'USDLR'
    """
    plain = title.isascii() and title.isprintable() and "\\" not in title
    if not plain or not 1 <= len(title) <= LONGEST_TITLE or title != title.strip():
        raise ConfigError(
            f"found the title {title[:20]!r}, expected 1 to {LONGEST_TITLE} printable ASCII characters; correct it"
        )
    return title


def send(datasets: Sequence[Dataset], peer: Peer, *, calling: str = TITLE, timeout_s: float = 30.0) -> tuple[str, ...]:
    """Send instances by C-STORE; either the archive confirms every one, or this fails and says how many it did not.

    Parameters
    ----------
    datasets : sequence of pydicom Dataset
        With file meta information.
    peer : Peer
        Where to.
    calling : str
        What to call oneself.
    timeout_s : float
        For connecting and for every answer, in seconds.

    Returns
    -------
    tuple of str
        SOPInstanceUID of each, as confirmed.

    Raises
    ------
    DataError
        If there is nothing to send, or the archive cannot be reached, does not take the kind of instance, or does not
        confirm each.
    """
    if not datasets:
        raise DataError("found nothing to send, expected at least one instance; choose an axilla")
    entity = AE(ae_title=require_title(calling))
    for kind, syntax in sorted({(str(item.SOPClassUID), str(item.file_meta.TransferSyntaxUID)) for item in datasets}):
        entity.add_requested_context(kind, syntax)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = timeout_s
    association = entity.associate(peer.host, peer.port, ae_title=peer.title)
    if not association.is_established:
        raise DataError(
            "found no association with the archive, expected one; check host, port and both titles, and that it knows "
            f"{calling!r}"
        )
    confirmed: list[str] = []
    failed: list[str] = []
    try:
        for dataset in datasets:
            status = _stored(association, dataset)
            if status == SUCCESS:
                confirmed.append(str(dataset.SOPInstanceUID))
            else:
                failed.append("no answer" if status is None else f"{status:#06x}")
    finally:
        association.release() if association.is_established else association.abort()
    if failed:
        raise DataError(
            f"found {len(failed)} of {len(datasets)} instances not confirmed by the archive "
            f"({', '.join(sorted(set(failed)))}), expected all; they may not be stored: send again"
        )
    return tuple(confirmed)


def _stored(association: Any, dataset: Dataset) -> int | None:
    """The archive's status; ``None`` where there is none."""
    try:
        with quiet():
            answer = association.send_c_store(dataset)
    except (ValueError, RuntimeError, AttributeError):
        # No accepted presentation context, or the association is gone.
        return None
    status = answer.get("Status")
    return None if status is None else int(status)


class Receiver:
    """Takes C-STORE from archives on a list and keeps sound ultrasound images.

    Parameters
    ----------
    admission : Admission
        The gate to the folder.
    callers : sequence of str
        Titles that may send; at least one.
    host : str
        Address to listen on; this machine alone by default.
    port : int
        Port; 0: one that is free, see :attr:`port`.
    title : str
        What callers have to call this receiver.
    on_received : callable, optional
        Called with what became of each instance, on the association's own thread; what it raises is logged.
    most_seconds : float
        How long an association may last.

    Raises
    ------
    ConfigError
        If there is no caller, or a title is none.
    DataError
        If the port is taken.
    """

    def __init__(
        self,
        admission: Admission,
        callers: Sequence[str],
        *,
        host: str = LOOPBACK,
        port: int = 0,
        title: str = TITLE,
        on_received: Callable[[Admitted], None] | None = None,
        most_seconds: float = 3600.0,
    ) -> None:
        if not callers:
            raise ConfigError("found nobody who may send, expected at least one title; name the archive's")
        self.admission, self.on_received, self.most_seconds = admission, on_received, most_seconds
        self._entity = AE(ae_title=require_title(title))
        self._entity.require_called_aet = True
        self._entity.require_calling_aet = [require_title(caller) for caller in callers]
        self._entity.maximum_associations = 4
        self._entity.maximum_pdu_size = MAX_PDU
        self._entity.acse_timeout = self._entity.dimse_timeout = self._entity.network_timeout = 30.0
        self._entity.add_supported_context(Verification)
        for kind in CLASSES:
            self._entity.add_supported_context(kind, list(SYNTAXES))
        handlers: list[Any] = [(evt.EVT_CONN_OPEN, self._bound), (evt.EVT_C_STORE, self._store)]
        try:
            server = self._entity.start_server((host, port), block=False, evt_handlers=handlers)
        except OSError as error:
            raise DataError(
                f"found port {port} taken ({type(error).__name__}), expected a free one; choose another"
            ) from None
        assert server is not None
        self._server = server
        self.host, self.port = host, int(server.server_address[1])

    def close(self) -> None:
        """Stop listening; associations that are open are ended."""
        self._server.shutdown()
        self._entity.shutdown()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def _bound(self, event: Any) -> None:
        """Let the connection's socket give no more than a sender may send, and no longer than it may last.

        pynetdicom reads whatever length a protocol data unit announces and keeps an instance in memory until it is
        whole, before any title has been checked.
        """
        association = event.assoc
        socket = association.dul.socket
        read = socket.recv
        deadline = time.monotonic() + self.most_seconds
        most = self.admission.most_file + OVERHEAD
        taken = 0

        def recv(size: int) -> bytearray:
            nonlocal taken
            if size > LARGEST_PDU or time.monotonic() > deadline:
                raise OSError("a protocol data unit is too large, or the association too long")
            # Whoever waits for no answer fills the memory with instances.
            if association.dimse.msg_queue.qsize() > MOST_WAITING:
                raise OSError("too many requests at once")
            taken = size if association.dimse.message is None else taken + size
            if taken > most:
                raise OSError("an instance is too large")
            return bytearray(read(size))

        socket.recv = recv

    def _store(self, event: Any) -> int | Dataset:
        """Answer a C-STORE request with its status."""
        try:
            with quiet():
                admitted = self.admission.admit(event.encoded_dataset())
        except DataError:
            return NO_RESOURCES
        except OSError as error:
            LOGGER.error("an instance could not be written (%s)", type(error).__name__)
            return NO_RESOURCES
        except Exception as error:  # whatever hostile bytes make a library raise; its message may name a patient
            LOGGER.error("an instance could not be read (%s)", type(error).__name__)
            return CANNOT_UNDERSTAND
        if self.on_received is not None:
            try:
                self.on_received(admitted)
            except Exception as error:
                LOGGER.error("what follows an instance failed (%s)", type(error).__name__)
        if admitted.outcome in (Outcome.KEPT, Outcome.KNOWN):
            return SUCCESS
        status = Dataset()
        status.Status = REFUSED_DATA
        status.ErrorComment = "no sound ultrasound image of a scanner"
        return status
