"""What an item of a checklist asks, and what a study answers.

A study answers with its own facts and the section of the page that holds them. What no table tells stays with the
author; nothing is answered with a bare yes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from usdlr.decision.numbers import count
from usdlr.report.document import LinkRow, Links
from usdlr.report.inputs import StudyInputs

FILL = "To be filled by the author"


class State(StrEnum):
    """How far an item is answered."""

    REPORTED = "reported on this page"
    PARTLY = "in part, the rest by the author"
    AUTHOR = "to be filled by the author"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Answer:
    """What a study says to an item.

    Parameters
    ----------
    text : str
        The study's facts; empty where it has none.
    anchor : str
        Of the section that holds them; empty where none does.
    author : str
        What the author has to add; empty where nothing is missing.
    applies : bool
        Whether the item applies; ``text`` says why not.
    """

    text: str = ""
    anchor: str = ""
    author: str = ""
    applies: bool = True

    @property
    def state(self) -> State:
        """How far the item is answered. Without a section to look it up in, nothing is answered wholly."""
        if not self.applies:
            return State.NOT_APPLICABLE
        if not self.text:
            return State.AUTHOR
        return State.REPORTED if self.anchor and not self.author else State.PARTLY

    @property
    def words(self) -> str:
        """The answer as it stands in the checklist."""
        if not self.applies:
            return sentence(f"Not applicable: {self.text}")
        parts = [self.text, f"{FILL}: {self.author}" if self.author else ""]
        return " ".join(sentence(part) for part in parts if part)


def sentence(text: str) -> str:
    """Text with its first letter large and a full stop, unless it ends otherwise.

    Examples
    --------
    >>> sentence("why not?"), sentence("two centres")
    ('Why not?', 'Two centres.')
    """
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith(('?', '!', '.')) else '.'}"


Respond = Callable[[StudyInputs], Answer]


@dataclass(frozen=True)
class Item:
    """One item of a checklist.

    Parameters
    ----------
    number : str
        As the checklist counts.
    part : str
        Part of the checklist it stands in.
    asks : str
        What is to be reported, in the words of this project.
    respond : callable
        From a study to its answer.
    """

    number: str
    part: str
    asks: str
    respond: Respond


def by_author(what: str) -> Respond:
    """The answer to an item that no table of a study can tell."""
    return lambda inputs: Answer(author=what)


def not_applicable(why: str) -> Answer:
    """An item that does not apply, and why."""
    return Answer(why, applies=False)


def settled(answer: Answer, anchors: Collection[str], asks: str) -> Answer:
    """The answer as far as this very page bears it out.

    Parameters
    ----------
    answer : Answer
        What the study says.
    anchors : collection of str
        Anchors of the sections that the page has.
    asks : str
        What the item asks, for the author.

    Returns
    -------
    Answer
        The same where the page has the section; otherwise the item is the author's.
    """
    if not answer.applies or (answer.anchor and answer.anchor in anchors):
        return answer
    if answer.anchor or not (answer.text or answer.author):
        return Answer(author=answer.author or f"{asks[0].lower()}{asks[1:]}; this page has no section on it")
    return answer


def answers(items: Collection[Item], inputs: StudyInputs, anchors: Collection[str]) -> tuple[Answer, ...]:
    """A study's answers to the items of a checklist, in their order."""
    return tuple(settled(item.respond(inputs), anchors, item.asks) for item in items)


def links(caption: str, items: Collection[Item], given: Collection[Answer], notes: tuple[str, ...]) -> Links:
    """A checklist as a block of a page; its first note counts the answers by state."""
    rows = tuple(
        LinkRow(item.number, f"{item.part}. {item.asks}.", answer.words, answer.anchor)
        for item, answer in zip(items, given, strict=True)
    )
    totals = {state: sum(answer.state is state for answer in given) for state in State}
    told = "; ".join(f"{count(n)} {state}" for state, n in totals.items())
    return Links(caption, rows, (f"Of {count(len(rows))} items: {told}.", *notes))
