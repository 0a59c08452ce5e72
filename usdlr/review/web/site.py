"""What all routes share: store, settings, the model that answers, and what is remembered while the server runs."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from fastapi import Request

from usdlr.review.acts import Account, Reading
from usdlr.review.outbox import Outbox
from usdlr.review.proposing import Pointed
from usdlr.review.records import Answered, AxillaRecord, ImageRecord, ModelRecord, Point
from usdlr.review.settings import ReviewSettings
from usdlr.review.sign_on import SignOn
from usdlr.review.store.engine import Store
from usdlr.review.store.reading import models
from usdlr.review.store.worklist import WorklistQuery

V = TypeVar("V")


class Anew(Protocol):
    """The model's answer to other contours or images; see :class:`usdlr.review.anew.Redrawn`."""

    @property
    def answer(self) -> Answered:
        """What the model says then."""

    @property
    def images(self) -> tuple[ImageRecord, ...]:
        """All images with the outlines that count then."""


class Predicts(Protocol):
    """Whoever answers while a reader waits; see :class:`usdlr.review.live.Live`."""

    def predict(
        self, record: AxillaRecord, *, outlines: Mapping[str, tuple[tuple[Point, ...], ...]], used: Sequence[str]
    ) -> Anew:
        """What the model says of an axilla with other contours or fewer images."""


class Proposes(Protocol):
    """Whoever outlines lesions while a reader waits; see :class:`usdlr.review.proposing.Proposing`."""

    @property
    def segmenter_id(self) -> str:
        """Names the networks."""

    def propose(self, image: ImageRecord, pointed: Pointed) -> tuple[tuple[Point, ...], ...]:
        """The outline of what a reader points at."""


class Hurries(Protocol):
    """Whoever explains axillae in the background; see :class:`usdlr.review.ahead.Ahead`."""

    def first(self, token: str) -> None:
        """Take this one before the others."""

    def failed(self, token: str) -> bool:
        """Whether this one could not be explained."""


class Memory(Generic[V]):
    """The last things that were asked for, for all threads.

    Parameters
    ----------
    most : int
        How many are kept.

    Examples
    --------
    >>> memory = Memory[int](2)
    >>> for key in "aba":
    ...     memory.put(key, ord(key))
    >>> memory.put("c", 1); memory.get("b") is None
    True
    """

    def __init__(self, most: int) -> None:
        self._most, self._held, self._lock = most, OrderedDict[Hashable, V](), threading.Lock()

    def get(self, key: Hashable) -> V | None:
        """What was kept; ``None`` if nothing was."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Hashable, value: V) -> None:
        """Keep something; the oldest is forgotten."""
        with self._lock:
            self._held[key] = value
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)

    def make(self, key: Hashable, how: Callable[[], V]) -> V:
        """What was kept, or made now and kept."""
        found = self.get(key)
        if found is None:
            found = how()
            self.put(key, found)
        return found


@dataclass(frozen=True, eq=False)
class Site:
    """One running review page.

    Parameters
    ----------
    store : Store
        Where everything lies.
    settings : ReviewSettings
        What whoever runs it chose.
    live : Predicts or None
        The model, for redrawn contours; without it contours cannot be redrawn.
    ahead : Hurries or None
        Who explains axillae in the background.
    outbox : Outbox or None
        Who sends them to the hospital's archive; ``None`` without one.
    sign_on : SignOn or None
        The hospital's own sign-on; ``None`` without one.
    proposing : Proposes or None
        Who outlines lesions for a reader; ``None``: readers draw by hand.
    secret : bytes
        For forms before sign-in; new with every start.
    views : Memory of WorklistQuery
        What each session last filtered its list by. Searches name patients, so they stand in no address.
    shapes : Memory of tuple of ImageRecord
        Rings and calipers of redrawn contours.
    pictures : Memory of tuple
        Pictures with their hashes.
    """

    store: Store
    settings: ReviewSettings
    live: Predicts | None = None
    ahead: Hurries | None = None
    outbox: Outbox | None = None
    sign_on: SignOn | None = None
    proposing: Proposes | None = None
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    views: Memory[WorklistQuery] = field(default_factory=lambda: Memory(2000))
    shapes: Memory[tuple[ImageRecord, ...]] = field(default_factory=lambda: Memory(256))
    pictures: Memory[tuple[bytes, str]] = field(default_factory=lambda: Memory(96))

    @property
    def hidden(self) -> bool:
        """Whether readers give their own opinion first."""
        return self.settings.reading is Reading.HIDDEN

    def model(self, digest: str = "") -> ModelRecord | None:
        """The model of a prediction; the newest without a digest, ``None`` before any was loaded."""
        found = models(self.store)
        return next((one for one in found if one.digest == digest), found[0] if found else None)

    def models(self, digest: str = "") -> list[ModelRecord]:
        """The model of this digest; without one, all, the newest first."""
        return [one for one in models(self.store) if digest in ("", one.digest)]

    def view(self, token: str, account: Account) -> WorklistQuery:
        """What a session's list shows."""
        query = self.views.get(token) or WorklistQuery()
        return replace(query, reader=account.name, hidden=self.hidden, seed=self.settings.seed)


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    found: Any = request.app.state.site
    assert isinstance(found, Site)
    return found
