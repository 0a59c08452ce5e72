"""Where an axilla stands, told by its events alone: the one place that says what follows from what.

- What counts begins at the last ``loaded`` event: a new prediction is a new question, and the axilla is read anew.
  What was said before stays in the log and in the exports.
- A reader may change the mind: the last verdict of a reader counts.
- A verdict *stands* as long as the group that was on the screen does. If a redrawn contour or another choice of images
  changes the model's group, earlier verdicts are still shown, but the axilla counts as read only when one is given
  anew.
- Standing verdicts with different groups make a disagreement. Who has given no verdict, a third reviewer or an
  administrator, may adjudicate it, and may change that later; a reader may also end it by a verdict like the other's.
  A verdict after the adjudication that differs from it opens the disagreement again.
- A deferral lasts until the colleague, or who handed the axilla over, or without a colleague anybody, gives a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from usdlr.core.types import RiskGroup
from usdlr.review.acts import VERDICTS, Act, AxillaState, Event, Opinion, ReaderVerdict, Status
from usdlr.review.plain import from_plain
from usdlr.review.records import Answered, Point

LOADED = "loaded"
_ACTS = frozenset(str(act) for act in Act)

Outlines = tuple[tuple[Point, ...], ...]


@dataclass
class Told:
    """An axilla's state while its events are read, with what decides on the next one.

    Parameters
    ----------
    answer : Answered
        The model's answer that counts.
    displays : mapping of str to str
        What pages show, by account name.
    version, since : int
        Events so far, and events by readers since the prediction was loaded.
    last : Event, optional
        The last one that counts for the version.
    outlines : dict of str to outlines
        Redrawn contours by image token.
    used : tuple of str
        Tokens of the images that count.
    verdicts : dict of str to ReaderVerdict
        By account.
    opinions, first : dict of str to Opinion
        By account: the last, and the first.
    changed, renewed : int
        Numbers of the last events that changed the group, and anything of the answer.
    confirmed : set of str
        Tokens of the images whose automatic contour was taken as right.
    deferral : Event, optional
        The open one.
    """

    answer: Answered
    displays: Mapping[str, str] = field(default_factory=dict)
    version: int = 0
    since: int = 0
    last: Event | None = None
    outlines: dict[str, Outlines] = field(default_factory=dict)
    used: tuple[str, ...] = ()
    verdicts: dict[str, ReaderVerdict] = field(default_factory=dict)
    opinions: dict[str, Opinion] = field(default_factory=dict)
    first: dict[str, Opinion] = field(default_factory=dict)
    changed: int = 0
    renewed: int = 0
    confirmed: set[str] = field(default_factory=set)
    deferral: Event | None = None

    @property
    def standing(self) -> list[ReaderVerdict]:
        """Verdicts on the group that counts now, in the order they were given."""
        return sorted(
            (verdict for verdict in self.verdicts.values() if verdict.number > self.changed), key=lambda v: v.number
        )

    @property
    def adjudication(self) -> ReaderVerdict | None:
        """The one that stands, if any."""
        found = [verdict for verdict in self.standing if verdict.act is Act.ADJUDICATE]
        return found[-1] if found else None

    @property
    def disagreed(self) -> bool:
        """Whether an adjudication is due."""
        judged = self.adjudication
        if judged is None:
            return len({verdict.group for verdict in self.standing}) > 1
        return any(verdict.number > judged.number and verdict.group != judged.group for verdict in self.standing)

    @property
    def status(self) -> Status:
        """For the worklist."""
        if self.deferral is not None:
            return Status.DEFERRED
        if self.disagreed:
            return Status.DISAGREED
        if self.adjudication is not None:
            return Status.ADJUDICATED
        if self.standing:
            return Status.REVIEWED
        return Status.STARTED if self.since else Status.UNREAD

    @property
    def assigned(self) -> str:
        """Name of the colleague who is asked; empty: anybody."""
        return str(self.deferral.after.get("colleague", "")) if self.deferral is not None else ""

    def state(self) -> AxillaState:
        """What everybody else sees."""
        return AxillaState(
            version=self.version,
            status=self.status,
            assigned=self.assigned,
            answer=self.answer,
            outlines=dict(self.outlines),
            used=self.used,
            verdicts=tuple(
                replace(verdict, earlier=verdict.number < self.renewed)
                for verdict in sorted(self.verdicts.values(), key=lambda verdict: verdict.number)
            ),
            opinions=dict(self.opinions),
            confirmed=tuple(sorted(self.confirmed)),
        )

    def take(self, event: Event) -> None:
        """Count one more event; those of other kinds, such as ``sent``, change nothing."""
        if event.kind not in _ACTS:
            return
        self.version += 1
        self.since += 1
        self.last = event
        act, after = Act(event.kind), event.after
        opinion = from_plain(Opinion, after["opinion"]) if after.get("opinion") else None
        if opinion is not None and act is not Act.ADJUDICATE:
            self.opinions[event.account] = opinion
            self.first.setdefault(event.account, opinion)
        if after.get("answer"):
            answer = from_plain(Answered, after["answer"])
            if answer.group is not self.answer.group:
                self.changed = event.number
            if answer != self.answer:
                self.renewed = event.number
            self.answer = answer
        if act is Act.CONFIRM:
            self.confirmed.add(str(after["image"]))
        elif act is Act.CONTOUR:
            self.confirmed.discard(str(after["image"]))
            self.outlines[str(after["image"])] = from_plain(_Drawn, {"outlines": after["outlines"]}).outlines
        elif act is Act.IMAGES:
            self.used = tuple(after["used"])
        elif act is Act.DEFER:
            self.deferral = event
        elif act in VERDICTS:
            self._verdict(event, act, after)

    def _verdict(self, event: Event, act: Act, after: Mapping[str, Any]) -> None:
        self.verdicts[event.account] = ReaderVerdict(
            account=event.account,
            display=self.displays.get(event.account, event.account),
            act=act,
            group=RiskGroup(after["group"]) if after.get("group") else None,
            reason=str(after.get("reason", "")),
            at=event.at,
            number=event.number,
        )
        if self.deferral is not None:
            asked = self.assigned
            if act is Act.ADJUDICATE or not asked or event.account in (asked, self.deferral.account):
                self.deferral = None


@dataclass(frozen=True)
class _Drawn:
    outlines: Outlines


def told(answer: Answered, events: Iterable[Event], displays: Mapping[str, str]) -> Told:
    """Read an axilla's events.

    Parameters
    ----------
    answer : Answered
        Of the prediction that was loaded last.
    events : iterable of Event
        All of the axilla, in their order.
    displays : mapping of str to str
        What pages show, by account name.

    Returns
    -------
    Told
        Where it stands after them.
    """
    found = Told(answer, displays)
    for event in events:
        if event.kind == LOADED:
            found = Told(answer, displays, version=found.version + 1, last=event)
        else:
            found.take(event)
    return found
