"""METRICS: how sound a radiomics study is, 30 weighted items under 5 conditions.

Weights are those of Table 1 of the paper; they sum to 1. What each item asks is put in words of this project and
shortened. An item is judged only where the study's tables prove it met or not met; everything else is open and the
author's to judge. The total that counts treats open items as not met, so that silence never raises it.

References
----------
Kocak et al., METhodological RadiomICs Score (METRICS), Insights Imaging 15 (2024) 8, doi:10.1186/s13244-023-01572-w.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from usdlr.decision.numbers import number
from usdlr.decision.wording_checklists import score_lines
from usdlr.report.checklists import metrics_judge as judge
from usdlr.report.checklists.metrics_judge import Finding, Verdict
from usdlr.report.document import LinkRow, Links
from usdlr.report.inputs import StudyInputs

NAME = "METRICS (2024)"


class Condition(StrEnum):
    """What decides whether some items apply."""

    SEGMENTATION = "segmentation"
    AUTOMATED = "fully automated segmentation"
    HAND_CRAFTED = "hand-crafted features"
    TABULAR = "tabular data"
    END_TO_END = "end-to-end deep learning"


CONDITIONS: Mapping[Condition, Callable[[StudyInputs], bool | None]] = {
    Condition.SEGMENTATION: judge.segments,
    Condition.AUTOMATED: judge.automated,
    Condition.HAND_CRAFTED: judge.hand_crafted,
    Condition.TABULAR: judge.tabular,
    Condition.END_TO_END: judge.end_to_end,
}


@dataclass(frozen=True)
class ScoreItem:
    """One item of the score.

    Parameters
    ----------
    number : int
        1 to 30.
    category : str
        Of the nine.
    asks : str
        What is asked, in the words of this project.
    weight : float
        Share of the whole score.
    judged : callable
        From a study to what it proves.
    needs : tuple of Condition
        The item applies only where all of them hold.
    """

    number: int
    category: str
    asks: str
    weight: float
    judged: Callable[[StudyInputs], Finding]
    needs: tuple[Condition, ...] = ()


_DESIGN, _IMAGES, _SEGMENTS = "Study design", "Imaging data", "Segmentation"
_FEATURES, _PROCESSING, _MODELLING = "Image processing and features", "Feature processing", "Preparation for modelling"
_MEASURES, _TESTING, _OPEN = "Metrics and comparison", "Testing", "Open science"
_OUTLINED, _TABLED = (Condition.SEGMENTATION,), (Condition.TABULAR,)

ITEMS: tuple[ScoreItem, ...] = (
    ScoreItem(1, _DESIGN, "A checklist guided design and report", 0.0368, judge.checklist),
    ScoreItem(2, _DESIGN, "Eligibility gives a representative population", 0.0735, judge.eligibility),
    ScoreItem(3, _DESIGN, "A clear reference standard of high quality", 0.0919, judge.reference_standard),
    ScoreItem(4, _IMAGES, "More than one centre", 0.0438, judge.centres),
    ScoreItem(5, _IMAGES, "Images as clinical routine takes them", 0.0292, judge.routine_images),
    ScoreItem(6, _IMAGES, "Protocol of imaging with its parameters", 0.0438, judge.protocol),
    ScoreItem(7, _IMAGES, "Interval between imaging and reference standard", 0.0292, judge.interval),
    ScoreItem(8, _SEGMENTS, "Segmentation described in full", 0.0337, judge.described, _OUTLINED),
    ScoreItem(
        9,
        _SEGMENTS,
        "Automated segmentation evaluated",
        0.0225,
        judge.automated_judged,
        (Condition.SEGMENTATION, Condition.AUTOMATED),
    ),
    ScoreItem(10, _SEGMENTS, "Test contours by one reader or a tool alone", 0.0112, judge.one_contour, _OUTLINED),
    ScoreItem(11, _FEATURES, "Preprocessing fits the images and is described", 0.0622, judge.preprocessing),
    ScoreItem(12, _FEATURES, "Standardised feature software", 0.0311, judge.software, (Condition.HAND_CRAFTED,)),
    ScoreItem(13, _FEATURES, "All extraction parameters reported", 0.0415, judge.parameters),
    ScoreItem(14, _PROCESSING, "Features that are not robust removed", 0.0200, judge.robust_features, _TABLED),
    ScoreItem(15, _PROCESSING, "Redundant features removed", 0.0200, judge.redundant_features, _TABLED),
    ScoreItem(16, _PROCESSING, "Dimensions fit the size of the data", 0.0300, judge.dimensions, _TABLED),
    ScoreItem(17, _PROCESSING, "Robustness of networks", 0.0200, judge.robust_networks, (Condition.END_TO_END,)),
    ScoreItem(18, _MODELLING, "Data divided properly", 0.0599, judge.partition),
    ScoreItem(19, _MODELLING, "Confounders handled", 0.0300, judge.confounders),
    ScoreItem(20, _MEASURES, "Measures that fit the task", 0.0352, judge.measures),
    ScoreItem(21, _MEASURES, "Uncertainty considered", 0.0234, judge.uncertainty),
    ScoreItem(22, _MEASURES, "Calibration assessed", 0.0176, judge.calibration),
    ScoreItem(23, _MEASURES, "One kind of image, or proof that more help", 0.0117, judge.single_modality),
    ScoreItem(24, _MEASURES, "Compared with something that is not radiomics", 0.0293, judge.other_approach),
    ScoreItem(25, _MEASURES, "Compared with simple or classical models", 0.0176, judge.simple_model),
    ScoreItem(26, _TESTING, "Internal testing", 0.0375, judge.internal),
    ScoreItem(27, _TESTING, "External testing", 0.0749, judge.external),
    ScoreItem(28, _OPEN, "Data available", 0.0075, judge.data_shared),
    ScoreItem(29, _OPEN, "Code available", 0.0075, judge.code_shared),
    ScoreItem(30, _OPEN, "Model available", 0.0075, judge.model_shared),
)


@dataclass(frozen=True)
class Score:
    """What the items come to.

    Parameters
    ----------
    findings : tuple of Finding
        In the order of :data:`ITEMS`.
    """

    findings: tuple[Finding, ...]

    def weight(self, *verdicts: Verdict) -> float:
        """Sum of the weights of the items with these verdicts."""
        pairs = zip(ITEMS, self.findings, strict=True)
        return sum(item.weight for item, finding in pairs if finding.verdict in verdicts)

    @property
    def applicable(self) -> float:
        """Weight of what applies, or may apply."""
        return self.weight(Verdict.MET, Verdict.NOT_MET, Verdict.OPEN)

    @property
    def least(self) -> float:
        """Share of what applies that is met, with open items as not met, 0 to 1."""
        return self.weight(Verdict.MET) / self.applicable if self.applicable else 0.0

    @property
    def most(self) -> float:
        """The same if the author met every open item."""
        return self.weight(Verdict.MET, Verdict.OPEN) / self.applicable if self.applicable else 0.0

    @property
    def judged(self) -> float | None:
        """Share met of the weight that could be judged; ``None`` where nothing could."""
        weight = self.weight(Verdict.MET, Verdict.NOT_MET)
        return self.weight(Verdict.MET) / weight if weight else None

    @property
    def open_items(self) -> tuple[int, ...]:
        """Numbers of the items that are the author's to judge."""
        return tuple(
            item.number for item, found in zip(ITEMS, self.findings, strict=True) if found.verdict is Verdict.OPEN
        )


def score(inputs: StudyInputs, anchors: Collection[str]) -> Score:
    """Every item as far as the study's tables prove it.

    Parameters
    ----------
    inputs : StudyInputs
        The study.
    anchors : collection of str
        Anchors of the sections that the page has; what is proved in none of them is open.
    """
    holds = {condition: told(inputs) for condition, told in CONDITIONS.items()}
    return Score(tuple(_finding(item, inputs, holds, anchors) for item in ITEMS))


def _finding(
    item: ScoreItem, inputs: StudyInputs, holds: Mapping[Condition, bool | None], anchors: Collection[str]
) -> Finding:
    if any(holds[condition] is False for condition in item.needs):
        lacking = next(condition for condition in item.needs if holds[condition] is False)
        return Finding(Verdict.NOT_APPLICABLE, f"no {lacking}")
    unsure = [condition for condition in item.needs if holds[condition] is None]
    if unsure:
        return Finding(Verdict.OPEN, f"the tables do not tell whether there is {unsure[0]}")
    found = item.judged(inputs)
    if found.anchor and found.anchor not in anchors:
        if found.verdict is Verdict.MET:
            return Finding(Verdict.OPEN, "this page has no section on it")
        return Finding(found.verdict, found.why)
    return found


def score_block(inputs: StudyInputs, found: Score) -> Links:
    """The score as a block of a page."""
    rows = tuple(
        LinkRow(
            f"#{item.number}",
            f"{item.category}. {item.asks} (weight {number(item.weight, 4)}).",
            f"{finding.verdict.value.capitalize()}: {finding.why}.",
            finding.anchor,
        )
        for item, finding in zip(ITEMS, found.findings, strict=True)
    )
    return Links(inputs.marks.title(NAME), rows, (*score_words(found), *_condition_words(inputs)))


def score_words(found: Score) -> tuple[str, ...]:
    """What the score says, the least first."""
    return score_lines(
        least=found.least,
        most=found.most,
        judged=found.judged,
        weight=found.weight(Verdict.MET, Verdict.NOT_MET),
        applicable=found.applicable,
        open_items=found.open_items,
    )


def _condition_words(inputs: StudyInputs) -> tuple[str, ...]:
    words = {True: "yes", False: "no", None: "not told by the tables"}
    told = "; ".join(f"{condition} {words[holds(inputs)]}" for condition, holds in CONDITIONS.items())
    return (f"Conditions: {told}.",)
