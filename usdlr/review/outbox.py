"""Axillae that readers send from their page: one after the other, in the background, every attempt in the log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from usdlr.core.errors import InputError
from usdlr.review.acts import Account, Reading
from usdlr.review.dicom.delivery import Archive, open_archive, why_words
from usdlr.review.dicom.settings import PacsSettings
from usdlr.review.sending import begin, deliver_axilla, failed, record_delivery, source_of
from usdlr.review.store.engine import Store

ENDING = "found a page that is being ended, expected one that runs; send again when it runs"
_LOG = logging.getLogger(__name__)
NO_SOURCE = (
    "found no folder of the scanner's DICOM images, expected one: without the image nobody can say into which study "
    "the report belongs; start usdlr review with --sources FOLDER"
)


@dataclass(frozen=True)
class _Wish:
    """One attempt that is recorded as begun."""

    attempt: int
    token: str
    account: str
    version: int


class Outbox:
    """A thread that sends what readers ask for.

    What it has in hand when it is ended stays begun in the log; a page then says that it was interrupted.

    Parameters
    ----------
    store : Store
        Where axillae lie and attempts are recorded.
    settings : PacsSettings
        Where to send to.
    open : callable
        Opens the archive.

    Raises
    ------
    ConfigError
        If the settings name no archive that can be reached by them.
    """

    def __init__(
        self, store: Store, settings: PacsSettings, *, open: Callable[[PacsSettings], Archive] = open_archive
    ) -> None:
        self._store, self._settings = store, settings
        self._archive = open(settings)
        self._wishes: SimpleQueue[_Wish | None] = SimpleQueue()
        self._in_hand: set[int] = set()
        self._lock, self._end = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """What the log and pages call the archive."""
        return self._archive.name

    @property
    def refusal(self) -> str:
        """Why nothing at all can be sent; empty where it can."""
        return "" if self._settings.sources is not None or self._settings.made_images else NO_SOURCE

    def ask(
        self, token: str, account: Account, *, seen: int, after: int, reading: Reading, explains: bool = False
    ) -> bool:
        """Send an axilla in the background; see :func:`usdlr.review.sending.begin`.

        Returns
        -------
        bool
            Whether that was begun now; it was not where somebody asked for it already.

        Raises
        ------
        InputError
            If it cannot be sent.
        """
        if self.refusal:
            raise InputError(self.refusal)
        with self._lock:
            if self._end.is_set():
                raise InputError(ENDING)
            attempt = begin(
                self._store,
                token,
                account,
                self.name,
                seen=seen,
                after=after,
                reading=reading,
                in_hand=self._in_hand,
                explains=explains,
            )
            if attempt is None:
                return False
            self._in_hand.add(attempt)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="archive", daemon=True)
                self._thread.start()
        self._wishes.put(_Wish(attempt, token, account.name, seen))
        return True

    def holds(self, attempt: int) -> bool:
        """Whether an attempt is waiting or under way in this process; of any other one nobody knows the end.

        Parameters
        ----------
        attempt : int
            Number of the event that told of its beginning.
        """
        return attempt in self._in_hand

    def close(self, timeout_s: float = 10.0) -> None:
        """End after the axilla in hand; those that wait stay interrupted.

        Parameters
        ----------
        timeout_s : float
            Seconds to wait for it. Its connection is left to it in any case: cut off, the archive would have half.
        """
        with self._lock:
            self._end.set()
            thread = self._thread
        if thread is None:
            self._archive.close()
            return
        self._wishes.put(None)
        thread.join(timeout_s)
        if thread.is_alive():
            _LOG.warning("an axilla is still being sent; its page will say that it was interrupted")

    def _run(self) -> None:
        try:
            self._send_all()
        finally:
            self._archive.close()

    def _send_all(self) -> None:
        while (wish := self._wishes.get()) is not None and not self._end.is_set():
            try:
                self._send(wish)
            except Exception as error:  # the log cannot be written: the attempt stays open there, and says so
                _LOG.error("attempt %d: its end could not be recorded (%s)", wish.attempt, type(error).__name__)
            finally:
                with self._lock:
                    self._in_hand.discard(wish.attempt)

    def _send(self, wish: _Wish) -> None:
        told = {"version": wish.version, "attempt": wish.attempt}
        try:
            done = deliver_axilla(
                self._store,
                wish.token,
                self._archive.deliver,
                self.name,
                source_file=source_of(self._store, wish.token, self._settings),
                version=wish.version,
            )
        except InputError as error:
            why = why_words(error)
        except Exception as error:
            # An error's text may name files and with them patients; its kind may be told.
            _LOG.error("attempt %d failed (%s)", wish.attempt, type(error).__name__)
            why = f"something is wrong with usdlr ({type(error).__name__}); tell whoever runs this page"
        else:
            # Never a failure from here on: the objects are there. Unrecorded, the attempt stays open.
            record_delivery(self._store, done, self.name, account=wish.account, attempt=wish.attempt)
            return
        failed(self._store, wish.token, wish.account, self.name, why=why, **told)
