"""The sentences of a structured report, and what each reader decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import highdicom as hd
from highdicom.sr import RelationshipTypeValues as Relation
from pydicom.sr.codedict import codes as standard

from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, SIMULATED
from usdlr.decision.wording_explanation import NOT_REACHED
from usdlr.decision.wording_review import ON_EARLIER
from usdlr.review import words
from usdlr.review.acts import AxillaState, ReaderVerdict
from usdlr.review.dicom import codes
from usdlr.review.records import ModelRecord


def qualitative_evaluations(model: ModelRecord, state: AxillaState) -> Any:
    """The container of sentences: that this is no medical device, whose numbers these are, what is printed, verdicts.

    Parameters
    ----------
    model : ModelRecord
        What the numbers come from.
    state : AxillaState
        What counts now.

    Returns
    -------
    highdicom ContainerContentItem
        Row 12 of TID 1500.

    Raises
    ------
    DataError
        If the time of a verdict is damaged.
    """
    container = hd.sr.ContainerContentItem(name=codes.QUALITATIVE_EVALUATIONS, relationship_type=Relation.CONTAINS)
    texts = [
        hd.sr.TextContentItem(name, codes.plain(text), Relation.CONTAINS)
        for name, text in _texts(model, state)
        if codes.plain(text)
    ]
    container.ContentSequence = hd.sr.ContentSequence([*texts, *map(_verdict, state.verdicts)])
    return container


def _texts(model: ModelRecord, state: AxillaState) -> Iterator[tuple[Any, str]]:
    answer = state.answer
    yield codes.NOTICE, NOT_A_MEDICAL_DEVICE
    if model.simulated:
        yield codes.NOTICE, SIMULATED
    for sentence in model.proxies:
        yield codes.PROXY, sentence
    for sentence in answer.warnings:
        yield codes.WARNING, sentence
    yield codes.DECISION, answer.reason
    for value in answer.stages:
        # A viewer that shows the start of a text alone must not show a number that decided nothing.
        start = "" if value.reached else f"{NOT_REACHED}, it decided nothing; the model's value would be "
        yield (
            codes.PRINTED[value.stage],
            f"{start}{words.probability_text(value.probability)}; "
            f"90 % interval {words.interval_text(value.low, value.high)}; "
            f"threshold {words.threshold_text(value.threshold, value.probability)}",
        )
    if answer.diameter_mm is not None:
        yield codes.LONGEST_TEXT, words.mm_text(answer.diameter_mm)
    if answer.orthogonal_mm is not None:
        yield codes.ORTHOGONAL_TEXT, words.mm_text(answer.orthogonal_mm)
    for sentence in model.contract:
        yield codes.CONTRACT_TEXT, sentence
    yield codes.COHORT, model.cohort
    for sentence in answer.flags:
        yield codes.FLAG, sentence
    for sentence in answer.left_out:
        yield codes.LEFT_OUT, sentence


def _verdict(verdict: ReaderVerdict) -> Any:
    """One reader's verdict: who (as the page shows the reader), when, what, why."""
    container = hd.sr.ContainerContentItem(name=codes.VERDICT, relationship_type=Relation.CONTAINS)
    observed = Relation.HAS_OBS_CONTEXT
    items = [
        hd.sr.CodeContentItem(standard.DCM.ObserverType, standard.DCM.Person, observed),
        hd.sr.PnameContentItem(standard.DCM.PersonObserverName, codes.person_name(verdict.display), observed),
        hd.sr.CodeContentItem(codes.VERDICT, codes.VERDICT_CODES[verdict.act], Relation.CONTAINS),
        hd.sr.DateTimeContentItem(codes.VERDICT_TIME, codes.date_time(codes.moment_of(verdict.at)), Relation.CONTAINS),
    ]
    if verdict.group is not None:
        items.append(hd.sr.CodeContentItem(codes.VERDICT_GROUP, codes.GROUPS[verdict.group], Relation.CONTAINS))
    if verdict.earlier:
        items.append(hd.sr.TextContentItem(codes.WARNING, ON_EARLIER, Relation.CONTAINS))
    if codes.plain(verdict.reason):
        items.append(hd.sr.TextContentItem(codes.VERDICT_REASON, codes.plain(verdict.reason), Relation.CONTAINS))
    container.ContentSequence = hd.sr.ContentSequence(items)
    return container
