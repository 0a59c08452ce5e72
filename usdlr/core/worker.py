"""One worker process that holds one item at a time, so that its death or silence is blamed on nothing else."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from usdlr.core.errors import CaseError

Item = TypeVar("Item")
Result = TypeVar("Result")

# A worker that was told to go and does not is killed after this time.
GOODBYE_S = 5.0


class State(StrEnum):
    """What a worker has to say."""

    READY = "ready"
    DONE = "done"
    REFUSED = "refused"
    BROKEN = "broken"
    DEAD = "dead"
    STALLED = "stalled"


class Worker(Generic[Item, Result]):
    """A process that applies a function to one item after another.

    Parameters
    ----------
    function : callable
        A picklable function of one item.

    Attributes
    ----------
    position : int or None
        Position of the item in hand, ``None`` while there is none.
    """

    def __init__(self, function: Callable[[Item], Result]) -> None:
        # spawn: a forked child of a process that runs threads (OpenMP, torch) can hang.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, function))
        self._process.start()
        theirs.close()
        self.position: int | None = None
        self._since = 0.0
        self._started = False

    @property
    def handles(self) -> tuple[Any, ...]:
        """What :func:`multiprocessing.connection.wait` waits on: a message, or the end of the process."""
        return self._pipe, self._process.sentinel

    @property
    def busy_s(self) -> float:
        """Seconds since the item in hand was begun, 0 without one."""
        return 0.0 if self.position is None else time.monotonic() - self._since

    def begin(self, position: int, items: Sequence[Item]) -> None:
        """Hand over the item at ``position``; a worker that is dead by then says so at :meth:`receive`."""
        item = items[position]
        content = pickle.dumps(item)
        self.position, self._since = position, time.monotonic()
        with suppress(OSError):
            self._pipe.send_bytes(content)

    def receive(self) -> tuple[State, Result | None, CaseError | None]:
        """The worker's message; the item in hand is given up.

        Raises
        ------
        Exception
            What the function raised, other than a CaseError.
        """
        self.position = None
        try:
            state, value, trace = pickle.loads(self._pipe.recv_bytes())  # noqa: S301  our own process wrote it
        except (EOFError, OSError):
            return State.DEAD, None, None
        self._started = True
        if state == State.BROKEN:
            value.add_note(f"in a worker process:\n{trace}")
            raise value
        if state == State.REFUSED:
            return State.REFUSED, None, value
        return State(state), value, None

    def dismiss(self) -> None:
        """Ask an idle worker to leave."""
        with suppress(OSError):
            self._pipe.send_bytes(b"")

    def join(self) -> None:
        """Wait a little for a dismissed worker; one that is still importing is not worth it."""
        self._process.join(GOODBYE_S if self._started else 0.0)

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._pipe.close()


def _work(pipe: Connection, function: Callable[[Any], Any]) -> None:
    """Serve until the pipe says goodbye."""
    # Ctrl-C reaches the whole process group; the parent alone decides how to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    pipe.send_bytes(pickle.dumps((str(State.READY), None, "")))
    while content := pipe.recv_bytes():
        pipe.send_bytes(_answer(function, content))


def _answer(function: Callable[[Any], Any], content: bytes) -> bytes:
    try:
        return pickle.dumps((str(State.DONE), function(pickle.loads(content)), ""))  # noqa: S301  our parent wrote it
    except CaseError as error:
        return pickle.dumps((str(State.REFUSED), error, ""))
    except Exception as error:
        trace = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301  some exceptions cannot be rebuilt from what they pickle
        except Exception:
            error = RuntimeError(repr(error))
        return pickle.dumps((str(State.BROKEN), error, trace))


def _die_with_parent() -> None:
    """End this worker when its parent is gone: a parent that was killed could not say goodbye."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
