"""The page of one axilla: its answer, how it came about, and what to distrust; no torch, no ids, no files.

A page is made of a :class:`CaseInputs`. Whoever shows it on paper takes :func:`case_page` with ``full=False``, which is
made to fit one sheet; on a screen, tables and further maps follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from usdlr.core.regions import block_words
from usdlr.core.types import RiskGroup, Stage
from usdlr.decision.explanation import SIGNED_MAP, Agreement, Explanation, StageExplanation
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE
from usdlr.decision.wording_explanation import (
    ABOUT_THE_MODEL,
    GRAD_CAM_NOTE,
    MAPS_SHOW,
    NO_OTHER_GROUP,
    NOT_CAUSES,
    agreement_sentence,
    changes_lines,
    leading_sentence,
    maps_sentence,
    neighbours_sentence,
    number,
    signed,
    step_sentence,
    term_words,
)
from usdlr.report.case_figures import answer_figure, reached, share_words
from usdlr.report.case_pictures import by_modality
from usdlr.report.document import (
    Block,
    Document,
    Figure,
    Folded,
    Gallery,
    Notice,
    PageTable,
    Picture,
    Points,
    Prose,
    Section,
)
from usdlr.report.figures_heatmap import HeatCase, panel_words, render_heat
from usdlr.report.gallery import GalleryCase, render_case
from usdlr.report.tables import Marks

TERMS_SHORT, TERMS_FULL = 3, 20


@dataclass(frozen=True, eq=False)
class CaseInputs:
    """Everything that the page of one axilla shows.

    Parameters
    ----------
    number : int
        Of the case within the output; never a patient's own id.
    explanation : Explanation
        The answer and what it is made of.
    variables : mapping of str to str
        Words with unit of every pre-operative variable that the model reads.
    marks : Marks
        What the title must carry about the cohort.
    contract : tuple of str
        What the false-negative contract says.
    cohort : str
        The cohort behind the numbers, in one line.
    bundle_id : str
        First digits of the bundle's hash.
    images : int
        Image sets of the axilla.
    image : GalleryCase or None
        The first image of the tumour with contour and ring.
    heat : mapping of Stage to HeatCase
        Signed maps, a panel per block; empty where there are none.
    others : mapping of (str, Stage) to HeatCase
        Maps of other kinds, by their name.
    flags : tuple of str
        Quality flags of its images, in words.
    absent : tuple of str
        Modalities that it lacks, in words.
    warnings : tuple of str
        What must not be overlooked: unlike the training patients, another centre, a patient who made the model.
    comparators : tuple of (str, str)
        Published scores: name and value.
    proxies : tuple of str
        Sentences about endpoints that stand in for node status.
    """

    number: int
    explanation: Explanation
    variables: Mapping[str, str]
    marks: Marks
    contract: tuple[str, ...]
    cohort: str
    bundle_id: str
    images: int = 1
    image: GalleryCase | None = None
    heat: Mapping[Stage, HeatCase] = field(default_factory=dict)
    others: Mapping[tuple[str, Stage], HeatCase] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    comparators: tuple[tuple[str, str], ...] = ()
    proxies: tuple[str, ...] = ()

    @property
    def last(self) -> StageExplanation:
        """The stage whose answer counted last."""
        return next(one for one in self.explanation.stages if one.stage is self.explanation.stage_reached)


def case_page(inputs: CaseInputs, *, full: bool = True) -> Document:
    """The page of one axilla.

    Parameters
    ----------
    inputs : CaseInputs
        What it shows.
    full : bool
        Whether tables and further maps follow; without them it fits one sheet of paper.
    """
    explanation = inputs.explanation
    models = ", ".join(f"{one.stage.upper()} {one.model_id}" for one in explanation.stages)
    return Document(
        kind="One axilla",
        title=inputs.marks.title(f"Case {inputs.number}: {explanation.group}"),
        question="What the model says about this axilla, how it comes about, and what to distrust.",
        summary=explanation.reason,
        tiles=(),
        notices=_notices(inputs),
        opening=(
            Figure(answer_figure(explanation)),
            *_pictures(inputs),
            Points(tuple(_points(inputs, full=full))),
        ),
        sections=tuple(_sections(inputs)) if full else (),
        footer=f"{NOT_A_MEDICAL_DEVICE} Bundle {inputs.bundle_id}; model {models}. {inputs.cohort}",
    )


def _notices(inputs: CaseInputs) -> tuple[Notice, ...]:
    found = [Notice("conflict", "Read this first", " ".join(inputs.warnings))] if inputs.warnings else []
    title = "What the false-negative contract says of patients like this one"
    kind = "uncertified" if inputs.marks.uncertified else "contract"
    found.append(Notice(kind, title, " ".join(inputs.contract)))
    if inputs.proxies:
        found.append(Notice("proxy", "Proxy endpoint", " ".join(inputs.proxies)))
    return tuple(found)


def _pictures(inputs: CaseInputs) -> tuple[Block, ...]:
    pictures = []
    if inputs.image is not None:
        unit = inputs.image.unit
        of = f" (1 of {inputs.images} images)" if inputs.images > 1 else ""
        pictures.append(
            Picture(
                f"B-mode{of}: contour solid, ring dashed",
                render_case(replace(inputs.image, stiffness=None)),
                f"B-mode image with the lesion's contour, the outer edge of the ring and a bar in {unit}",
                (),
                wide=False,
            )
        )
    heat = inputs.heat.get(inputs.last.stage)
    if heat is not None and heat.panels:
        merged = by_modality(heat)
        pictures.append(
            Picture(
                f"Where stage {inputs.last.stage.upper()} looked; log-odds before calibration",
                render_heat(merged),
                f"From left to right: {'; '.join(panel_words(merged))}",
                _adds(merged),
                wide=True,
            )
        )
    return (Gallery(tuple(pictures)),) if pictures else ()


def _points(inputs: CaseInputs, *, full: bool) -> list[str]:
    explanation, last = inputs.explanation, inputs.last
    leading = last.leading
    lines = [step_sentence(one, reached=reached(explanation, one.stage)) for one in explanation.stages] if full else []
    lines.append(leading_sentence(last, None if leading is None else share_words(leading)))
    if last.terms:
        told = "; ".join(term_words(term) for term in last.terms[:TERMS_SHORT])
        lines.append(f"Single values that add most to the log-odds: {told}.")
    if explanation.group is RiskGroup.DEFER and inputs.marks.uncertified:
        lines.append(NO_OTHER_GROUP)
    else:
        lines += [" ".join([*changes_lines(last, _words(inputs)), ABOUT_THE_MODEL])]
    if inputs.heat:
        told = maps_sentence(_of_images(last), last.logit - last.base)
        lines.append(f"{told} {agreement_sentence(_of_signed(last, full))}".strip())
    if explanation.neighbours:
        lines.append(neighbours_sentence(explanation.neighbours))
    absent = f"Not there: {', '.join(inputs.absent)}. " if inputs.absent else ""
    lines.append(f"{absent}Quality flags: {'; '.join(inputs.flags) if inputs.flags else 'none'}.")
    lines += [f"{name}: {value}." for name, value in inputs.comparators]
    return lines


def _of_signed(found: StageExplanation, full: bool) -> list[Agreement]:
    """What is told of the maps that the page shows: on paper the signed ones alone."""
    return [one for one in found.agreements if full or one.method == SIGNED_MAP]


def _words(inputs: CaseInputs) -> dict[str, str]:
    """Of every variable, block and modality that a change may name."""
    names = [change.name for one in inputs.explanation.stages for change in one.changes]
    return {name: inputs.variables.get(name) or share_words(name) for name in names}


def _of_images(found: StageExplanation) -> float:
    return sum(one.adds or 0.0 for one in found.blocks if one.name not in ("radiomics", "clinical"))


def _sections(inputs: CaseInputs) -> list[Section]:
    found = []
    for one in inputs.explanation.stages:
        title = f"Stage {one.stage.upper()}"
        if not reached(inputs.explanation, one.stage):
            title += " (not reached)"
        found.append(Section(f"stage-{one.stage}", str(one.stage.upper()), title, tuple(_stage(inputs, one))))
    pictures = _all_maps(inputs)
    if pictures:
        lines = (MAPS_SHOW, GRAD_CAM_NOTE) if inputs.others else (MAPS_SHOW,)
        blocks: tuple[Block, ...] = (Prose(lines), Gallery(tuple(pictures), wide=True))
        found.append(Section("maps", "Maps", "Where the networks looked", blocks))
    return found


def _stage(inputs: CaseInputs, found: StageExplanation) -> list[Block]:
    blocks: list[Block] = [Prose((step_sentence(found, reached=True), NOT_CAUSES))]
    shares = [(share_words(one.name), "absent" if one.adds is None else signed(one.adds)) for one in found.blocks]
    rows = [("base value", signed(found.base)), *shares, ("sum: calibrated log-odds", signed(found.logit))]
    blocks.append(PageTable("Shares of the blocks", ("Block", "Log-odds (nat)"), tuple(rows)))
    if found.sources:
        of = [(_source_words(one.name), "absent" if one.adds is None else signed(one.adds)) for one in found.sources]
        note = "A region's images and its radiomics come and go together here; the clinical values stand alone"
        blocks.append(PageTable("Shares of the sources", ("Source", "Log-odds (nat)"), tuple(of), (note,)))
    if found.terms:
        blocks += _terms(found)
    blocks.append(Points((*changes_lines(found, _words(inputs)), ABOUT_THE_MODEL)))
    if found.image_weights:
        weights = tuple(
            (share_words(one.block), f"{one.image + 1}", f"{one.weight:.2f}") for one in found.image_weights
        )
        title = f"Weights of the images of this axilla (pooling: {found.pooling})"
        blocks.append(PageTable(title, ("Block", "Image", "Weight"), weights))
    if found.agreements:
        rows_ = tuple(
            (
                block_words(one.block),
                f"{one.image + 1}",
                one.method,
                "–" if one.rank_correlation is None else signed(one.rank_correlation, plus=False),
                str(one.patches),
            )
            for one in found.agreements
        )
        head = ("Block", "Image", "Map", "Rank correlation", "Patches")
        table = PageTable("Rank correlation (Spearman) over patches", head, rows_, texts=(0, 2))
        blocks.append(Folded("Agreement of the maps with occlusion", (table,)))
    if found.notes:
        blocks.append(Points(tuple(f"{note[:1].upper()}{note[1:]}." for note in found.notes)))
    return blocks


def _terms(found: StageExplanation) -> list[Block]:
    singles = tuple(
        (
            term.words,
            "not known" if term.value is None else number(term.value),
            number(term.usual),
            signed(term.adds),
        )
        for term in found.terms[:TERMS_FULL]
    )
    rest = sum(term.adds for term in found.terms[TERMS_FULL:])
    more = len(found.terms) - TERMS_FULL
    notes = [f"All {len(found.terms)} columns together add {signed(found.score or 0.0)}"]
    if more > 0:
        notes.append(f"{more} further columns add {signed(rest)}")
    notes.append("Correlated columns share evidence in one of many ways: the sums by class are steadier")
    families = tuple((one.words, str(one.features), signed(one.adds)) for one in found.families[:TERMS_FULL])
    head = ("Value", "Here", "Training mean", "Log-odds (nat)")
    return [
        PageTable("Single values of the linear score", head, singles, tuple(notes)),
        PageTable("The same by class of features", ("Class", "Columns", "Log-odds (nat)"), families),
    ]


def _adds(case: HeatCase) -> tuple[tuple[str, str], ...]:
    """What every panel after the crop shows, and what it adds."""
    parts = [words.rpartition(" ") for words in panel_words(case)[1:]]
    return tuple((block, adds) for block, _, adds in parts)


def _source_words(name: str) -> str:
    return share_words(name) if name == "clinical" else f"{block_words(name)}, with its radiomics"


def _all_maps(inputs: CaseInputs) -> list[Picture]:
    found = [
        Picture(
            f"Signed maps, stage {stage.upper()}: what each panel after the crop adds before calibration",
            render_heat(heat),
            f"From left to right: {'; '.join(panel_words(heat))}",
            _adds(heat),
            wide=True,
        )
        for stage, heat in inputs.heat.items()
        if heat.panels
    ]
    for (name, stage), other in inputs.others.items():
        told = "; ".join(["the crop", *(block_words(panel.block) for panel in other.panels)])
        words = f"From left to right: {told}"
        found.append(Picture(f"{name}, stage {stage.upper()}: {told}", render_heat(other), words, (), wide=True))
    if inputs.image is not None and inputs.image.stiffness is not None:
        words = "B-mode image and stiffness in kPa, with contour and ring"
        found.insert(0, Picture("B-mode and stiffness", render_case(inputs.image), words, (), wide=True))
    return found
