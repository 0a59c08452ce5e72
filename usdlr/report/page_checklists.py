"""The section of the page that answers reporting checklists."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from usdlr.decision.wording_page import CHECKLISTS, checklist_line
from usdlr.report.checklists import claim, tripod_ai
from usdlr.report.checklists.answers import Item, State, answers, links
from usdlr.report.checklists.metrics_score import NAME, score, score_block, score_words
from usdlr.report.document import Block, Folded, Points, Prose, Section
from usdlr.report.inputs import StudyInputs


def checklist_sections(inputs: StudyInputs, anchors: Collection[str]) -> tuple[Section, ...]:
    """TRIPOD+AI, CLAIM and METRICS, each item with the place of this very page that answers it.

    Parameters
    ----------
    inputs : StudyInputs
        The study.
    anchors : collection of str
        Anchors of all other sections that the page has. An item that none of them answers is left to the author.

    Returns
    -------
    tuple of Section
        One section, anchor ``checklists``.
    """
    lists: Sequence[tuple[str, Sequence[Item]]] = ((tripod_ai.NAME, tripod_ai.ITEMS), (claim.NAME, claim.ITEMS))
    told: list[str] = []
    folded: list[Block] = []
    for name, items in lists:
        given = answers(items, inputs, anchors)
        totals = {state: sum(answer.state is state for answer in given) for state in State}
        told.append(checklist_line(name, len(items), {str(key): n for key, n in totals.items()}))
        folded.append(Folded(name, (links(inputs.marks.title(name), items, given, ()),)))
    found = score(inputs, anchors)
    total = " ".join(score_words(found)[:2])
    told.append(f"{NAME}: {total[0].lower()}{total[1:]}")
    folded.append(Folded(NAME, (score_block(inputs, found),)))
    blocks: tuple[Block, ...] = (Prose((CHECKLISTS,)), Points(tuple(told)), *folded)
    return (Section("checklists", "Checklists", "Reporting checklists", blocks),)
