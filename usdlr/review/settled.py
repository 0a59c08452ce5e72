"""Contours by software: which of them wait for a reader's eye, and what an answer says once none does."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from usdlr.core.types import MaskSource
from usdlr.decision.wording_outlines import confirmed_by_reader
from usdlr.decision.wording_review import AUTOMATIC_CONTOUR
from usdlr.review.acts import AxillaState
from usdlr.review.records import AxillaRecord, ImageRecord


def by_software(record: AxillaRecord, used: Sequence[str], outlines: Container[str]) -> list[ImageRecord]:
    """Images that count and whose contour is software's, not redrawn by a reader.

    Parameters
    ----------
    record : AxillaRecord
        The axilla.
    used : sequence of str
        Tokens of the images that count; empty: all.
    outlines : container of str
        Tokens of the images with a redrawn contour.
    """
    return [
        image
        for image in record.images
        if image.mask_source is MaskSource.AUTOMATIC
        and (not used or image.token in used)
        and image.token not in outlines
    ]


def as_settled(state: AxillaState, record: AxillaRecord) -> AxillaState:
    """The state with an answer that no longer asks for what a reader has done: confirmed every such contour.

    Parameters
    ----------
    state : AxillaState
        As its events tell.
    record : AxillaRecord
        Of the same axilla.
    """
    waiting = by_software(record, state.used, state.outlines)
    if not waiting or any(image.token not in state.confirmed for image in waiting):
        return state
    answer = state.answer
    warnings = tuple(one for one in answer.warnings if one != AUTOMATIC_CONTOUR)
    return replace(state, answer=replace(answer, reason=confirmed_by_reader(answer.reason), warnings=warnings))
