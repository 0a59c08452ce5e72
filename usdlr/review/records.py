"""What the review page speaks of: an axilla as the model answered it, what readers do with it, and who they are.

Everything here is plain frozen data without a database, a web framework or a network, so that pages, paper, DICOM
objects and exports show the same record. Probabilities and thresholds are the tables' own numbers; they are turned
into text in one place, :mod:`usdlr.review.words`, so that all of them agree to the printed digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import TypeAdapter

from usdlr.core.types import MaskSource, RiskGroup, Side, Site, SpacingSource, Stage

T = TypeVar("T")
Point = tuple[float, float]
"""Row and column in pixels, the centre of the first pixel at (0, 0)."""


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
class StageValue:
    """One step of the cascade, as it is printed.

    Parameters
    ----------
    stage : Stage
        Which one.
    probability, threshold : float
        Calibrated probability and the cascade's threshold; of stage ``nsln`` given a positive sentinel node.
    low, high : float
        90 % interval of the estimate; about the model, not the patient.
    reached : bool
        Whether the cascade asked this question.
    conformal : tuple of float, optional
        Ends of the conformal interval.
    contour : tuple of float, optional
        5 % and 95 % quantile over redrawn contours.
    """

    stage: Stage
    probability: float
    threshold: float
    low: float
    high: float
    reached: bool
    conformal: tuple[float, float] | None = None
    contour: tuple[float, float] | None = None


@dataclass(frozen=True)
class Answered:
    """What the model says of an axilla: as loaded, or anew after a contour was redrawn or images were chosen.

    Parameters
    ----------
    group : RiskGroup
        The cascade's answer.
    stage_reached : Stage
        Last stage whose answer counted.
    contract : str
        Standing of the contract behind the thresholds, a :class:`~usdlr.core.types.ContractStatus`.
    reason : str
        The decision in one sentence, from :mod:`usdlr.decision.wording`.
    stages : tuple of StageValue
        Both steps, also the one that was not reached.
    warnings : tuple of str
        What must not be overlooked: unlike the training patients, another centre, a patient who made the model.
    flags : tuple of str
        Quality flags of the images used, in words.
    left_out : tuple of str
        Why images were not used, a sentence each.
    diameter_mm, orthogonal_mm : float, optional
        Longest diameter of the largest lesion and the one across, measured on its contour; ``None`` without
        millimetres.
    features : tuple of (str, str)
        A few measured values of the lesion: name, value with its unit.
    """

    group: RiskGroup
    stage_reached: Stage
    contract: str
    reason: str
    stages: tuple[StageValue, ...]
    warnings: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    diameter_mm: float | None = None
    orthogonal_mm: float | None = None
    features: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ImageRecord:
    """One image set of an axilla, with what a viewer needs.

    Parameters
    ----------
    token : str
        Names it in addresses; random, says nothing about the patient.
    image_id : str
        Of the ``cases`` table; never in an address, a log or a file name.
    number : int
        1 for the first of its axilla.
    site : Site
        Tumour or axilla.
    view : str
        Plane, in words; empty where unknown.
    rows, columns : int
        Grid of all its pictures.
    row_mm, col_mm : float or None
        Millimetres per pixel; ``None`` without calibration: then no ruler in mm is shown.
    spacing_source : SpacingSource
        Where they come from.
    mask_source : MaskSource or None
        Who drew the contour; ``None``: nobody.
    modalities : tuple of str
        Those that are there, ``bmode`` first.
    unit : str
        Unit of the elastography map, such as ``kPa``; empty without one.
    limit : float or None
        Value at the upper end of the map's colour bar.
    paths : mapping of str to str
        Files by kind (``bmode elasto mask fov``), relative to ``root``; never shown.
    root : str
        Folder of the cases table.
    contour : tuple of tuple of Point
        Closed outlines of the lesion, holes left out.
    ring : tuple of tuple of Point
        Outlines of the ring's outer edge, inside the field of view.
    calipers : tuple of tuple of Point
        Two lines of two points: the longest diameter, and the one across.
    row : mapping
        Its row of ``cases`` as plain data, without outcomes, for predicting it anew; never shown.
    """

    token: str
    image_id: str
    number: int
    site: Site
    view: str
    rows: int
    columns: int
    row_mm: float | None
    col_mm: float | None
    spacing_source: SpacingSource
    mask_source: MaskSource | None
    modalities: tuple[str, ...]
    unit: str
    limit: float | None
    paths: Mapping[str, str]
    root: str
    contour: tuple[tuple[Point, ...], ...] = ()
    ring: tuple[tuple[Point, ...], ...] = ()
    calipers: tuple[tuple[Point, ...], ...] = ()
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AxillaRecord:
    """One axilla as it was loaded; never changed afterwards.

    Parameters
    ----------
    token : str
        Names it in addresses; random.
    number : int
        Of the case within the list, 1 for the first; what pages call it.
    patient_id, side, centre_id : str
        Of the tables. Shown on pages to those who signed in; never in an address or a log.
    answer : Answered
        What the model says.
    images : tuple of ImageRecord
        Of the axilla, the tumour's first.
    clinical : tuple of (str, str)
        Pre-operative variables: words, value with unit.
    comparators : tuple of (str, str)
        What other scores say: name, value (size alone, nomograms whose fields exist).
    bundle_id, digest : str
        Of the model.
    row : mapping
        The first tumour image's row of ``cases`` as plain data, for the DICOM objects.
    """

    token: str
    number: int
    patient_id: str
    side: Side
    centre_id: str
    answer: Answered
    images: tuple[ImageRecord, ...]
    clinical: tuple[tuple[str, str], ...] = ()
    comparators: tuple[tuple[str, str], ...] = ()
    bundle_id: str = ""
    digest: str = ""
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelRecord:
    """The model behind a reading list, as pages name it.

    Parameters
    ----------
    bundle_id, digest : str
        Short name and SHA-256 of its manifest.
    experiment : str
        What it was made by.
    simulated : bool
        Whether its patients are computer-made.
    cohort : str
        The cohort behind its numbers, in a line.
    contract : tuple of str
        What its false-negative contract says, in sentences.
    contract_status : str
        A :class:`~usdlr.core.types.ContractStatus`.
    proxies : tuple of str
        Sentences about endpoints that stand in for node status.
    margin_mm : float
        Width of the ring.
    modalities : tuple of str
        Those that it reads.
    """

    bundle_id: str
    digest: str
    experiment: str
    simulated: bool
    cohort: str
    contract: tuple[str, ...]
    contract_status: str
    proxies: tuple[str, ...]
    margin_mm: float
    modalities: tuple[str, ...]


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


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Made once per kind: it takes longer than its use."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def to_plain(value: Any) -> Any:
    """A record as plain data that JSON can hold.

    Examples
    --------
    >>> to_plain(Opinion(RiskGroup.DEFER, 0.25))
    {'group': 'DEFER', 'p_sln': 0.25, 'p_nsln': None}
    """
    return _adapter(type(value)).dump_python(value, mode="json")


def from_plain(kind: type[T], plain: Any) -> T:
    """A record from plain data; see :func:`to_plain`.

    Examples
    --------
    >>> from_plain(Opinion, {"group": "DEFER", "p_sln": 0.25}).p_sln
    0.25
    """
    found: T = _adapter(kind).validate_python(plain)
    return found
