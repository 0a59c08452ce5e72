"""The parts of an axilla's page."""

from __future__ import annotations

from dataclasses import dataclass

from usdlr.review.contexts.frame import Choice


@dataclass(frozen=True)
class StepView:
    """One step of the cascade.

    Parameters
    ----------
    number : int
        1 or 2.
    title : str
        Which nodes.
    label : str
        What the probability is of, in symbols.
    probability, threshold, interval : str
        Printed, with their unit.
    side : str
        On which side of the threshold the probability lies, in words.
    reached : bool
        Whether the cascade asked this question.
    at, threshold_at, low_at, span : str
        Where they lie on a scale from 0 to 100 per cent, as SVG lengths.
    over : bool
        Whether the probability is at or above the threshold.
    conformal : str
        The conformal interval, printed; empty without one.
    contour : str
        The range over redrawn contours, printed; empty without one.
    contour_low_at, contour_span : str
        Where that range lies on the scale; empty without one.
    """

    number: int
    title: str
    label: str
    probability: str
    threshold: str
    interval: str
    side: str
    reached: bool
    at: str
    threshold_at: str
    low_at: str
    span: str
    over: bool
    conformal: str
    contour: str
    contour_low_at: str
    contour_span: str


@dataclass(frozen=True)
class AnswerView:
    """What the model says.

    Parameters
    ----------
    group : str
        The risk group's name.
    group_key : str
        The group as a class name.
    reason : str
        The decision in one sentence.
    steps : tuple of StepView
        Both steps.
    standing : str
        Whether the contract holds, in a word or two.
    certified : bool
        Whether the contract is certified.
    contract : tuple of str
        What it says, in sentences.
    about_interval : str
        What the interval is about.
    changed : bool
        Whether it was predicted anew after readers redrew a contour or chose images.
    """

    group: str
    group_key: str
    reason: str
    steps: tuple[StepView, ...]
    standing: str
    certified: bool
    contract: tuple[str, ...]
    about_interval: str
    changed: bool


@dataclass(frozen=True)
class ImageView:
    """One image set, in the strip below the viewer.

    Parameters
    ----------
    token : str
        Names it in addresses.
    number : int
        Of the image.
    words : str
        What it shows, in words.
    source : str
        Who drew the contour, in words.
    scale : str
        Millimetres per pixel and where they come from, or that there are none.
    used : bool
        Whether it counts in the prediction.
    redrawn : bool
        Whether a reader redrew its contour.
    confirm : bool
        Whether its automatic contour can be confirmed.
    """

    token: str
    number: int
    words: str
    source: str
    scale: str
    used: bool
    redrawn: bool
    confirm: bool


@dataclass(frozen=True)
class BarView:
    """One addend of an answer, as a bar from the middle.

    Parameters
    ----------
    words : str
        What adds.
    value : str
        How much, in log-odds, with its sign; or that it is not known.
    start, length : str
        Of the bar, as SVG lengths; empty without a value.
    raises : bool
        Whether it raises the probability.
    """

    words: str
    value: str
    start: str
    length: str
    raises: bool


@dataclass(frozen=True)
class StageExplained:
    """What one step's answer is made of.

    Parameters
    ----------
    title : str
        Which nodes.
    lead : tuple of str
        Sentences that stand first.
    bars : tuple of BarView
        What each block of inputs adds.
    terms : tuple of str
        Single features, in sentences.
    changes : tuple of str
        What would move the answer across its threshold.
    notes : tuple of str
        What to distrust.
    """

    title: str
    lead: tuple[str, ...]
    bars: tuple[BarView, ...]
    terms: tuple[str, ...]
    changes: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ExplanationView:
    """What the answer is made of.

    Parameters
    ----------
    stages : tuple of StageExplained
        Those that have something to tell.
    notes : tuple of str
        What to know before reading it.
    """

    stages: tuple[StageExplained, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ReviewPanel:
    """What a reader can do now.

    Parameters
    ----------
    key : str
        Name of the next request, so that a form sent twice counts once.
    opinion : bool
        Whether the reader's own opinion is asked for first.
    own : str
        The reader's own opinion, in words; empty without one.
    verdict : str
        The reader's own last verdict, in words; empty without one.
    groups : tuple of Choice
        Risk groups to choose from.
    colleagues : tuple of Choice
        Accounts that the axilla can be deferred to.
    adjudicate : bool
        Whether readers disagree and this reader may decide.
    label_sln, label_nsln : str
        How the two probabilities are labelled.
    """

    key: str
    opinion: bool
    own: str
    verdict: str
    groups: tuple[Choice, ...]
    colleagues: tuple[Choice, ...]
    adjudicate: bool
    label_sln: str
    label_nsln: str


@dataclass(frozen=True)
class ArchiveView:
    """Where an axilla stands on its way to the hospital's archive.

    Parameters
    ----------
    state : str
        Class name: ``none sending sent failed interrupted``.
    words : str
        The same in a sentence, with who and when.
    refused : str
        Why it cannot be sent as it stands; empty where it can, and for those who may not send.
    button : str
        What the button says; empty: there is none.
    after : int
        Number of the last attempt's event, sent back with the form; 0 for none.
    """

    state: str
    words: str
    refused: str
    button: str
    after: int


@dataclass(frozen=True)
class HistoryLine:
    """Something that was done.

    Parameters
    ----------
    at : str
        When, UTC.
    who : str
        Shown name.
    what : str
        In words.
    detail : str
        What it came to: a group, a colleague; empty without one.
    group_key : str
        Of the group that it came to, as a class name; empty without one.
    reason : str
        In the reader's words; empty without one.
    """

    at: str
    who: str
    what: str
    detail: str
    group_key: str
    reason: str
