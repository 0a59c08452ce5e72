"""Who reads and what they do: accounts and their roles, acts on an axilla, their log, and where an axilla then stands.

Plain frozen data like :mod:`usdlr.review.records`, on which they act; what an act demands is checked in
:mod:`usdlr.review.store.demands`, and only :mod:`usdlr.review.store.acting` records one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from usdlr.core.types import RiskGroup
from usdlr.review.records import Answered, Point


class Role(StrEnum):
    """What an account may do; each role may do what the one before may."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    ADMINISTRATOR = "administrator"

    def may(self, needed: Role) -> bool:
        """Whether this role is at least ``needed``.

        Examples
        --------
        >>> Role.REVIEWER.may(Role.VIEWER), Role.VIEWER.may(Role.REVIEWER)
        (True, False)
        """
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Reading(StrEnum):
    """When a reader sees what the model says."""

    OPEN = "open"
    HIDDEN = "hidden"
    """Only after the reader has committed an own opinion: for reader studies."""


class Status(StrEnum):
    """Where an axilla stands; the worklist's column."""

    UNREAD = "unread"
    STARTED = "started"
    """Somebody has given an opinion, a contour or a comment, but no verdict."""
    DEFERRED = "deferred"
    """Handed to a colleague."""
    REVIEWED = "reviewed"
    DISAGREED = "disagreed"
    """Two readers' verdicts differ; an adjudication is due."""
    ADJUDICATED = "adjudicated"


class Act(StrEnum):
    """What a reader can do with an axilla; the kind of an event in the audit log."""

    OPINION = "opinion"
    """The reader's own probability and group, before or without the model's."""
    ACCEPT = "accept"
    REJECT = "reject"
    MODIFY = "modify"
    """Another group than the model's, with a reason."""
    DEFER = "defer"
    COMMENT = "comment"
    CONTOUR = "contour"
    """A contour was redrawn; the new prediction is part of the event."""
    CONFIRM = "confirm"
    """An automatic contour is taken as right."""
    IMAGES = "images"
    """Images were left out or taken in again; the new prediction is part of the event."""
    ADJUDICATE = "adjudicate"


VERDICTS = (Act.ACCEPT, Act.REJECT, Act.MODIFY, Act.ADJUDICATE)
NEEDS_REASON = (Act.REJECT, Act.MODIFY, Act.DEFER, Act.ADJUDICATE)


@dataclass(frozen=True)
class Account:
    """Somebody who may sign in.

    Parameters
    ----------
    id : int
        Of the database.
    name : str
        What is typed to sign in.
    display : str
        What pages show.
    role : Role
        What the account may do.
    """

    id: int
    name: str
    display: str
    role: Role


@dataclass(frozen=True)
class Opinion:
    """A reader's own reading.

    Parameters
    ----------
    group : RiskGroup
        One of the four.
    p_sln, p_nsln : float, optional
        The reader's own probabilities, 0 to 1; ``p_nsln`` given a positive sentinel node.
    """

    group: RiskGroup
    p_sln: float | None = None
    p_nsln: float | None = None


@dataclass(frozen=True)
class Action:
    """What a reader asks to be recorded.

    Parameters
    ----------
    act : Act
        What.
    token : str
        The axilla.
    seen : int
        Version of the axilla that the reader was looking at.
    key : str
        Random name of this one request: the same request sent twice is recorded once.
    reason : str
        In the reader's words; asked for by :data:`NEEDS_REASON`.
    opinion : Opinion, optional
        Of ``opinion``, ``modify`` and ``adjudicate``.
    colleague : str
        Name of the account that ``defer`` hands the axilla to.
    image : str
        Token of the image, for ``contour`` and ``confirm``.
    outlines : tuple of tuple of Point
        The new contour.
    used : tuple of str
        Tokens of the images to use, for ``images``.
    answer : Answered, optional
        What the model says then, for ``contour`` and ``images``.
    proposed : str
        Of a ``contour`` that began as a proposal by software: the id of the networks that made it.
    """

    act: Act
    token: str
    seen: int
    key: str
    reason: str = ""
    opinion: Opinion | None = None
    colleague: str = ""
    image: str = ""
    outlines: tuple[tuple[Point, ...], ...] = ()
    used: tuple[str, ...] = ()
    answer: Answered | None = None
    proposed: str = ""


@dataclass(frozen=True)
class Event:
    """One entry of the audit log.

    Parameters
    ----------
    number : int
        1 for the first, without a gap.
    at : str
        UTC, ISO 8601; the order is that of ``number``, whatever clocks say.
    account : str
        Name of who did it; ``usdlr`` for the system's own.
    kind : str
        An :class:`Act`, or one of the system's: ``loaded sign_in sign_out sign_in_failed sessions_ended account export
        sending sent send_failed``.
    token : str
        The axilla; empty where it is about none.
    digest : str
        Of the bundle behind the prediction that was on the screen.
    before, after : mapping
        Plain data; what it was and what it became.
    hash, previous : str
        SHA-256 of this entry, which holds that of the one before.
    """

    number: int
    at: str
    account: str
    kind: str
    token: str
    digest: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    hash: str
    previous: str


@dataclass(frozen=True)
class ReaderVerdict:
    """A reader's verdict on an axilla, the last one that counts.

    Parameters
    ----------
    account, display : str
        Who.
    act : Act
        One of :data:`VERDICTS`.
    group : RiskGroup or None
        The group it comes to; ``None`` after a rejection.
    reason : str
        In the reader's words.
    at : str
        When.
    number : int
        Of the event.
    earlier : bool
        Whether the model's answer has changed since: it is a verdict on an earlier one.
    """

    account: str
    display: str
    act: Act
    group: RiskGroup | None
    reason: str
    at: str
    number: int
    earlier: bool = False


@dataclass(frozen=True)
class AxillaState:
    """Where an axilla stands now, told by its events.

    Parameters
    ----------
    version : int
        Grows by one with every event on it.
    status : Status
        For the worklist.
    assigned : str
        Name of the account that it was deferred to; empty: anybody's.
    answer : Answered
        The model's answer that counts now: the loaded one, or that of the last contour or choice of images.
    outlines : mapping of str to outlines
        Redrawn contours by image token.
    used : tuple of str
        Tokens of the images that count; empty: all.
    verdicts : tuple of ReaderVerdict
        One per reader, the oldest first.
    opinions : mapping of str to Opinion
        By account name.
    confirmed : tuple of str
        Tokens of the images whose automatic contour a reader took as right.
    """

    version: int
    status: Status
    assigned: str
    answer: Answered
    outlines: Mapping[str, tuple[tuple[Point, ...], ...]] = field(default_factory=dict)
    used: tuple[str, ...] = ()
    verdicts: tuple[ReaderVerdict, ...] = ()
    opinions: Mapping[str, Opinion] = field(default_factory=dict)
    confirmed: tuple[str, ...] = ()
