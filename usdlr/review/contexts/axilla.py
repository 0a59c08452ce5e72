"""One axilla as a page: what the model says, what it is made of, what readers say."""

from __future__ import annotations

from dataclasses import dataclass

from usdlr.review.contexts.frame import Choice, Frame
from usdlr.review.contexts.panels import AnswerView, ArchiveView, ExplanationView, HistoryLine, ImageView, ReviewPanel

MOST_ASKED = 150
"""How often an open page asks by itself, every four seconds: ten minutes."""


@dataclass(frozen=True)
class AxillaPage:
    """One axilla.

    Parameters
    ----------
    frame : Frame
        Around the page.
    token : str
        Names it in addresses.
    number : int
        Of the case.
    patient_id, side, centre_id : str
        Whose axilla it is.
    status, status_words : str
        Where it stands: class name and words.
    assigned : str
        Shown name of whom it was deferred to; empty: anybody's.
    version : int
        What the reader is looking at; sent back with every action.
    previous, following : str
        Tokens of the neighbours in the reader's list; empty at an end.
    said : str
        What has just been recorded; empty otherwise.
    covered : bool
        Whether the model's answer is withheld until this reader's own opinion.
    warnings : tuple of str
        What must not be overlooked.
    flags, left_out : tuple of str
        Quality of the images, and why images were not used, in words.
    answer : AnswerView or None
        The cascade; ``None`` while covered.
    images : tuple of ImageView
        Image sets, those that show the tumour first.
    viewer : str
        What the picture viewer needs, as JSON: sizes, millimetres, addresses, outlines.
    chosen : bool
        Whether images can be left out: there is more than one, a model to ask, and a reader who may.
    editable : bool
        Whether contours can be redrawn: there is a model to ask, and a reader who may.
    proposes : bool
        Whether software outlines what the reader points at.
    measures, clinical, comparators : tuple of (str, str)
        Measured on the lesion, known before surgery, and what other scores say: words, value with unit.
    explanation : ExplanationView or None
        What the answer is made of; ``None`` while covered or where nobody has made it.
    waiting : str
        What is said in its place; empty where it is there, covered, or not made here at all.
    asks_again : bool
        Whether it is being worked out, so that the page asks for it every few seconds.
    asked : int
        How often it has asked; after :data:`MOST_ASKED` times a button stands in its place.
    panel : ReviewPanel or None
        What the reader can do; ``None`` for viewers.
    verdicts : tuple of HistoryLine
        The last verdict of each reader.
    history : tuple of HistoryLine
        Everything that was done, the newest first.
    bundle : str
        Name and first digits of the hash of the model.
    paper : bool
        Whether the sheet of paper is offered.
    archive : ArchiveView or None
        Its way to the archive; ``None`` where there is no archive, nothing was sent, and while covered.
    """

    frame: Frame
    token: str
    number: int
    patient_id: str
    side: str
    centre_id: str
    status: str
    status_words: str
    assigned: str
    version: int
    previous: str
    following: str
    said: str
    covered: bool
    warnings: tuple[str, ...]
    flags: tuple[str, ...]
    left_out: tuple[str, ...]
    answer: AnswerView | None
    images: tuple[ImageView, ...]
    viewer: str
    chosen: bool
    editable: bool
    proposes: bool
    measures: tuple[tuple[str, str], ...]
    clinical: tuple[tuple[str, str], ...]
    comparators: tuple[tuple[str, str], ...]
    explanation: ExplanationView | None
    waiting: str
    asks_again: bool
    asked: int
    panel: ReviewPanel | None
    verdicts: tuple[HistoryLine, ...]
    history: tuple[HistoryLine, ...]
    bundle: str
    paper: bool
    archive: ArchiveView | None


@dataclass(frozen=True)
class ArchivePart:
    """The part of the page that tells of the archive, by itself.

    Parameters
    ----------
    frame : Frame
        Around the page that it belongs to.
    token : str
        Of the axilla.
    version : int
        What the reader is looking at.
    archive : ArchiveView or None
        See :class:`AxillaPage`.
    asked : int
        How often the page has asked.
    """

    frame: Frame
    token: str
    version: int
    archive: ArchiveView | None
    asked: int


__all__ = ["MOST_ASKED", "ArchivePart", "AxillaPage", "Choice"]
