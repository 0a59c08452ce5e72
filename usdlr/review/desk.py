"""A process that answers while somebody waits, and the threads of a web server that ask it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any, Final, Generic, TypeVar

from usdlr.core.errors import DataError
from usdlr.core.worker import State, Worker

Request = TypeVar("Request")
START_LIMIT_S: Final = 180.0
TRIES: Final = 2
PLACES: Final = 8
SLICE_S: Final = 0.5


class Desk(Generic[Request]):
    """One process and those who wait for it.

    Parameters
    ----------
    serve : callable
        What the process does with a request; sent there once.
    warm : Request
        The first request, which loads what the others need.
    limit_s : float
        Seconds that one request may take.
    """

    def __init__(self, serve: Callable[[Request], Any], warm: Request, limit_s: float) -> None:
        self._serve, self._first, self._limit_s = serve, warm, limit_s
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(PLACES)
        self._worker: Worker[Request, Any] | None = None
        self._warm = self._closed = False

    def start(self) -> None:
        """Begin to load the bundle; returns at once."""
        with self._lock:
            self._begin()

    def warm(self) -> None:
        """Wait until the bundle is loaded."""
        with self._lock:
            self._ready()

    def ask(self, request: Request) -> Any:
        """The answer to a request.

        Raises
        ------
        InputError
            What the process refused, or that it gave no answer in time.
        """
        if not self._places.acquire(blocking=False):
            # Whoever waits holds a thread of the web server, which the other pages need.
            raise DataError(
                f"found {PLACES} others waiting for the model, expected a free place; try again in a minute"
            )
        try:
            return self._asked(request)
        finally:
            self._places.release()

    def _asked(self, request: Request) -> Any:
        patience = self._limit_s + START_LIMIT_S
        if not self._lock.acquire(timeout=patience):
            raise DataError(f"found others still waiting after {patience:.0f} s, expected a free place; try again")
        try:
            for _ in range(TRIES):
                worker = self._ready()
                worker.begin(0, [request])
                state, answer = self._reply(worker, self._limit_s)
                if state is State.DONE:
                    return answer
                self._drop()
                if state is State.STALLED:
                    self._begin()
                    raise DataError(
                        f"found no answer within {self._limit_s:.0f} s, expected one; try again, or with fewer images"
                    )
            self._begin()
            raise DataError("found the process that answers dead twice on this request, expected an answer; see memory")
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the process, now and for good; whoever waits for it is told so."""
        self._closed = True  # seen within SLICE_S by whoever waits for an answer
        with self._lock:
            self._drop()

    def _begin(self) -> None:
        if self._worker is None and not self._closed:
            self._worker, self._warm = Worker(self._serve), False
            self._worker.begin(0, [self._first])

    def _ready(self) -> Worker[Request, Any]:
        """The process, once its bundle is loaded."""
        for _ in range(TRIES):
            if self._closed:
                raise DataError("found the model shut down, expected it running; start the review again")
            self._begin()
            assert self._worker is not None
            if self._warm:
                return self._worker
            try:
                state, _ = self._reply(self._worker, START_LIMIT_S)
            except BaseException:
                self._drop()
                raise
            if state is State.DONE:
                self._warm = True
                return self._worker
            self._drop()
        raise DataError("found no process that holds the model, expected one to start; check memory and the bundle")

    def _reply(self, worker: Worker[Request, Any], limit_s: float) -> tuple[State, Any]:
        deadline = time.monotonic() + limit_s
        while True:
            left = deadline - time.monotonic()
            if not wait(list(worker.handles), min(max(left, 0.0), SLICE_S)):
                if self._closed or left <= SLICE_S:
                    return (State.DEAD if self._closed else State.STALLED), None
                continue
            state, answer, failure = worker.receive()
            if failure is not None:
                raise failure
            if state is not State.READY:
                return state, answer

    def _drop(self) -> None:
        if self._worker is not None:
            self._worker.kill()
        self._worker, self._warm = None, False
