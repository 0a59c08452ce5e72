"""A bundle that answers while somebody waits: a worker process holds it, the threads of a web server ask it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from usdlr.core.errors import DataError
from usdlr.core.types import OnUncertified
from usdlr.core.worker import State, Worker
from usdlr.review.acts import AxillaState
from usdlr.review.anew import Redrawn, Request, What
from usdlr.review.outlines import Outlines, checked_outlines
from usdlr.review.records import AxillaRecord
from usdlr.review.serving import Served

REDRAW_LIMIT_S: Final = 60.0
EXPLAIN_LIMIT_S: Final = 600.0
START_LIMIT_S: Final = 180.0
TRIES: Final = 2
PLACES: Final = 8
SLICE_S: Final = 0.5


class Live:
    """A frozen bundle in a process of its own.

    Redrawn contours are asked of a process that is started, and warmed up, at once. Explanations take tens of times as
    long; they have a second one, which is started when the first is asked for, so that nobody who redraws a contour
    waits for them. Requests of several threads wait for one another. A process that dies is replaced, and what it had
    in hand is asked once more; one that takes too long is ended.

    Parameters
    ----------
    bundle : Path
        The folder or file that the reading list was loaded with.
    on_uncertified : OnUncertified, optional
        What to answer without a certified contract; as the list was loaded.
    public_key : Path, optional
        PEM file of the key that must have signed the bundle.
    redraw_limit_s, explain_limit_s : float
        Seconds that one request may take.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        on_uncertified: OnUncertified | None = None,
        public_key: Path | None = None,
        redraw_limit_s: float = REDRAW_LIMIT_S,
        explain_limit_s: float = EXPLAIN_LIMIT_S,
    ) -> None:
        served = Served(bundle, on_uncertified, public_key)
        self._redrawing = _Desk(served, redraw_limit_s)
        self._explaining = _Desk(served, explain_limit_s)
        self._redrawing.start()

    def warm(self) -> None:
        """Wait until the first answer can come at once.

        Raises
        ------
        InputError
            If the bundle cannot be read.
        """
        self._redrawing.warm()

    def predict(self, record: AxillaRecord, *, outlines: Mapping[str, Outlines], used: Sequence[str] = ()) -> Redrawn:
        """What the model says of an axilla with other contours or fewer images.

        The ring, the calipers, the features and the prediction are made anew, exactly as if the table had held these
        contours; the clinical variables stay, and with them the stated size. Where every contour is the loaded one and
        every image is used, the numbers are the loaded ones.

        Parameters
        ----------
        record : AxillaRecord
            As loaded.
        outlines : mapping of str to outlines
            Redrawn contours by the token of their image; the others stay as they are.
        used : sequence of str
            Tokens of the images that count; empty: all.

        Raises
        ------
        InputError
            If a contour or the choice of images leaves nothing to answer, with what to mend; if the files or the model
            are others than those that were loaded; or if there is no answer in time.
        """
        checked = {str(token): checked_outlines(of) for token, of in outlines.items()}
        found = self._redrawing.ask(Request(What.PREDICT, record, checked, tuple(used)))
        assert isinstance(found, Redrawn)
        return found

    def explain(
        self, record: AxillaRecord, state: AxillaState | None = None
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """What an axilla's answer is made of, see :func:`usdlr.review.explaining.explained`.

        Parameters
        ----------
        record : AxillaRecord
            As loaded.
        state : AxillaState, optional
            Whose contours and choice of images count; without it, those that were loaded.

        Raises
        ------
        InputError
            As :meth:`predict`.
        """
        outlines = {} if state is None else {str(token): checked_outlines(of) for token, of in state.outlines.items()}
        used = () if state is None else tuple(state.used)
        told, pictures = self._explaining.ask(Request(What.EXPLAIN, record, outlines, used))
        return told, pictures

    def close(self) -> None:
        """End the processes; what they have in hand is lost."""
        self._redrawing.close()
        self._explaining.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Desk:
    """One process and those who wait for it."""

    def __init__(self, served: Served, limit_s: float) -> None:
        self._served, self._limit_s = served, limit_s
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
            self._worker, self._warm = Worker(self._served), False
            self._worker.begin(0, [Request(What.WARM)])

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
