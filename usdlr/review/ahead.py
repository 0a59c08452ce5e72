"""Explanations made ahead: one axilla after the other in the background, those that somebody opened first."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from usdlr.review.acts import AxillaState
from usdlr.review.records import AxillaRecord
from usdlr.review.store.engine import Store
from usdlr.review.store.reading import axilla, explanation, put_explanation, state, without_explanation

_LOG = logging.getLogger(__name__)
_REST_S = 5.0


class Explains(Protocol):
    """Whoever explains an axilla; see :class:`usdlr.review.live.Live`."""

    def explain(self, record: AxillaRecord, state: AxillaState) -> tuple[Mapping[str, Any], Mapping[str, bytes]]:
        """Plain data and pictures by name."""


class Ahead:
    """A thread that explains what is not explained yet.

    What cannot be explained is told once in the log, by the number of its case, and not tried again until the case
    changes; its page then says that there is no explanation. A database that is away is waited for.

    Parameters
    ----------
    store : Store
        Where axillae lie and explanations go.
    live : Explains
        Explains them, in another process than the one that answers readers, who wait for theirs.
    """

    def __init__(self, store: Store, live: Explains) -> None:
        self._store, self._live = store, live
        self._asked: deque[str] = deque()
        self._failed: dict[str, int] = {}  # and the version that it was of
        self._wake, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="explanations", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def first(self, token: str) -> None:
        """Take this axilla next: somebody looks at it."""
        if token not in self._asked:
            self._asked.append(token)
        self._wake.set()

    def failed(self, token: str) -> bool:
        """Whether this axilla could not be explained when that was tried last."""
        return token in self._failed

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after the axilla in hand.

        Parameters
        ----------
        timeout_s : float
            Seconds to wait for it.
        """
        self._end.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._end.is_set():
            self._wake.clear()
            try:
                found = self._next()
                if found is not None:
                    self._explain(*found)
                    continue
            except Exception as error:  # whatever the database says now, it is asked again
                _LOG.warning("explanations wait (%s)", type(error).__name__)
            self._wake.wait(_REST_S)

    def _next(self) -> tuple[AxillaRecord, AxillaState] | None:
        """The next axilla without an explanation that has not failed as it stands."""
        while self._asked:
            token = self._asked.popleft()
            found = self._open(token)
            if found is not None and explanation(self._store, token) is None:
                return found
        for token in without_explanation(self._store, len(self._failed) + 1):
            found = self._open(token)
            if found is not None:
                return found
        return None

    def _open(self, token: str) -> tuple[AxillaRecord, AxillaState] | None:
        record = axilla(self._store, token)
        if record is None:
            return None
        now = state(self._store, token)
        return None if self._failed.get(token) == now.version else (record, now)

    def _explain(self, record: AxillaRecord, now: AxillaState) -> None:
        try:
            plain, pictures = self._live.explain(record, now)
        except Exception as error:
            # One axilla that cannot be explained must not leave all others without an explanation. An error's text may
            # name files and with them patients; its kind may be told.
            self._failed[record.token] = now.version
            _LOG.warning("case %d could not be explained (%s)", record.number, type(error).__name__)
            return
        put_explanation(self._store, record.token, plain, pictures, seen=now.version)
        self._failed.pop(record.token, None)
