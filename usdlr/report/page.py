"""The study page, from a study's inputs and its figures."""

from __future__ import annotations

import re
from collections.abc import Mapping

from usdlr.core.types import ContractStatus, RiskGroup, Stage
from usdlr.decision import wording_page as words
from usdlr.decision.numbers import Estimate, count, events_text, finite, interval, number, percent, rate_interval
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, decision_reason
from usdlr.decision.wording_study import LOOK_FIRST, cohort_behind
from usdlr.report import page_stages as of_stages
from usdlr.report import page_tables as parts
from usdlr.report.audit import conflicts
from usdlr.report.document import (
    Block,
    Document,
    Figure,
    Folded,
    Gallery,
    Listing,
    Meanings,
    Points,
    Prose,
    Section,
    Tile,
)
from usdlr.report.inputs import StudyInputs
from usdlr.report.limitations import limitations, limitations_section
from usdlr.report.page_against import against_table
from usdlr.report.page_balance import balance_tables
from usdlr.report.page_checklists import checklist_sections
from usdlr.report.page_external import external_tables
from usdlr.report.page_gallery import gallery_pictures, heat_note, heat_pictures
from usdlr.report.page_net_benefit import net_benefit_section
from usdlr.report.page_ood import ood_section
from usdlr.report.page_pathways import pathways_section
from usdlr.report.page_subgroups import subgroups_section
from usdlr.report.page_survival import survival_section
from usdlr.report.redact import identifiers, redact_settings
from usdlr.report.sentences import (
    contract_statement,
    contract_words,
    false_negative_notes,
    needle_lines,
    notices,
    summary,
    verification_lines,
)
from usdlr.report.style import Drawing

GRAVEST = 3  # limitations on the first page


def study_page(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Document:
    """Everything that the page shows.

    Parameters
    ----------
    inputs : StudyInputs
        The study.
    figures : mapping of str to Drawing
        By name, as of :func:`usdlr.report.figures.draw_all`.
    """
    found = (
        _contract(inputs),
        _misses(inputs, figures),
        _cascade(inputs, figures),
        pathways_section(inputs, figures),
        _discrimination(inputs, figures),
        _calibration(inputs, figures),
        net_benefit_section(inputs, figures),
        subgroups_section(inputs, figures),
        survival_section(inputs, figures),
        _external(inputs),
        ood_section(inputs),
        _cohort(inputs, figures),
        _selection(figures),
        _gallery(inputs),
        _readout(figures),
        _heat(inputs),
        limitations_section(inputs),
        _making(inputs, figures),
    )
    sections = tuple(section for section in found if section is not None)
    said, warned = summary(inputs), notices(inputs, conflicts(inputs))
    cohort, simulated = inputs.metrics["cohort"], bool(inputs.metrics["simulated"])
    behind = cohort_behind(int(cohort["axillae"]), ", ".join(map(str, cohort["centres"])), simulated=simulated)
    return Document(
        kind="Study report",
        title=inputs.marks.title(str(inputs.metrics["experiment"])),
        question=str(inputs.metrics["question"]),
        summary=said,
        tiles=_tiles(inputs),
        notices=warned,
        opening=_opening(inputs, " ".join([said, *(notice.text for notice in warned)])),
        sections=(*sections, *checklist_sections(inputs, [section.anchor for section in sections])),
        footer=f"{NOT_A_MEDICAL_DEVICE} {behind}",
    )


def _opening(inputs: StudyInputs, told: str) -> tuple[Block, ...]:
    """The contract in one sentence and the gravest limitations, but for what the page has said by then."""
    contract = contract_words(inputs)
    grave = tuple(line for line in limitations(inputs) if _first_sentence(line) not in told)[:GRAVEST]
    lines = (*((contract,) if contract not in told else ()), *((LOOK_FIRST,) if grave else ()))
    return (*((Prose(lines),) if lines else ()), *((Points(grave),) if grave else ()))


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[A-Za-z0-9)%])\.\s", text, maxsplit=1)[0].rstrip(".")


def _contract(inputs: StudyInputs) -> Section:
    blocks = (Prose(contract_statement(inputs)), parts.contract_table(inputs))
    return Section("contract", "Contract", "The false-negative contract", blocks)


def _misses(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section:
    notes = (*false_negative_notes(inputs), *needle_lines(inputs), *verification_lines(inputs))
    needle = parts.needle_table(inputs)
    blocks: tuple[Block, ...] = (
        Prose(notes),
        Figure(figures["false_negative"]),
        parts.rates_table(inputs),
        *((needle,) if needle else ()),
    )
    return Section("misses", "False negatives", "False-negative rates", blocks)


def _cascade(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section:
    status, groups = ContractStatus(inputs.contract["status"]), inputs.metrics["cascade"]["groups"]
    meanings = tuple(
        (str(group), decision_reason(group, status))
        for group in RiskGroup
        if group is not RiskGroup.DEFER or groups[group]["n"]
    )
    blocks = (Figure(figures["cascade"]), parts.groups_table(inputs), Meanings(meanings))
    return Section("cascade", "Cascade", "The cascade", blocks)


def _discrimination(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section:
    twosided = of_stages.patients_table(inputs)
    blocks: tuple[Block, ...] = (
        Figure(figures["roc"]),
        Figure(figures["auc"]),
        *(of_stages.discrimination_table(inputs, stage) for stage in Stage),
        *(table for stage in Stage if (table := against_table(inputs, stage)) is not None),
        of_stages.ranking_table(inputs),
        of_stages.operating_table(inputs),
        *((twosided,) if twosided else ()),
    )
    return Section("discrimination", "Discrimination", "Discrimination", blocks)


def _calibration(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section:
    blocks = (Figure(figures["calibration"]), of_stages.calibration_table(inputs))
    return Section("calibration", "Calibration", "Calibration", blocks)


def _external(inputs: StudyInputs) -> Section | None:
    tables = external_tables(inputs)
    return Section("external", "External", "External patients", tables) if tables else None


def _selection(figures: Mapping[str, Drawing]) -> Section | None:
    names = [f"{kind}_{stage}" for kind in ("selection", "nomogram") for stage in Stage]
    shown = _figures(figures, names)
    return Section("selection", "Features", "Features chosen", (Prose((words.SELECTION,)), *shown)) if shown else None


def _cohort(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section:
    blocks: tuple[Block, ...] = (
        Figure(figures["cohort"]),
        parts.cohort_table(inputs),
        *balance_tables(inputs),
        parts.exclusions_table(inputs, identifiers(inputs)),
        parts.quality_table(inputs),
    )
    return Section("cohort", "Cohort", "Cohort and exclusions", blocks)


def _gallery(inputs: StudyInputs) -> Section | None:
    pictures = gallery_pictures(inputs)
    note = words.gallery_sentence(relative_diameter=inputs.relative_diameter)
    return Section("gallery", "Cases", "Example cases", (Prose((note,)), Gallery(pictures))) if pictures else None


def _readout(figures: Mapping[str, Drawing]) -> Section | None:
    shown = _figures(figures, [f"readout_{stage}" for stage in Stage])
    blocks = (Prose((words.SIGNATURE,)), *shown)
    return Section("readout", "Signature", "The model's signature", blocks) if shown else None


def _heat(inputs: StudyInputs) -> Section | None:
    pictures = heat_pictures(inputs)
    blocks = (Prose((heat_note(inputs),)), Gallery(pictures, wide=True))
    return Section("heat", "Heat maps", "Where the networks looked", blocks) if pictures else None


def _making(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section:
    names, marks = identifiers(inputs), inputs.marks
    folds = sorted(inputs.metrics["cascade"]["folds"])
    seed = inputs.provenance.get("seed")
    version = inputs.provenance.get("versions", {}).get("usdlr", "of unknown version")
    lines = (
        words.making_sentence(len(folds), adjective=marks.adjective),
        f"Seed: {seed if seed is not None else 'none'}. Made with usdlr {version}.",
    )
    blocks = (
        Prose(lines),
        *_figures(figures, ["losses"]),
        Folded("Versions, hashes and seed", (parts.provenance_table(inputs, names),)),
        Folded("Resolved configuration", (Listing(redact_settings(inputs.config_yaml, names)),)),
    )
    return Section("making", "How it was made", "How it was made", blocks)


def _figures(figures: Mapping[str, Drawing], names: list[str]) -> tuple[Block, ...]:
    return tuple(Figure(figures[name]) for name in names if name in figures)


def _tiles(inputs: StudyInputs) -> tuple[Tile, ...]:
    cascade, stages, marks = inputs.metrics["cascade"], inputs.metrics["stages"], inputs.marks
    return (
        _rate_tile(marks.title("False-negative rate, SLN"), cascade["fnr_sln"], "missed"),
        _rate_tile(marks.title(f"False-negative rate, NSLN, {inputs.known_nsln}"), cascade["fnr_nsln"], "missed"),
        _area_tile(marks.title("AUC, SLN stage"), stages[Stage.SLN]["auc"]),
        _area_tile(marks.title("AUC, NSLN stage"), stages[Stage.NSLN]["auc"]),
        _rate_tile(marks.title("Deferred to the usual pathway"), cascade["defer_rate"], "deferred"),
    )


def _rate_tile(label: str, rate: Estimate, what: str) -> Tile:
    value = finite(rate.get("value"))
    if value is None:
        return Tile(label, "–", "not estimable")
    return Tile(
        label,
        percent(value),
        f"95 % interval {rate_interval(rate.get('low'), rate.get('high'))}; {events_text(rate)} {what}",
    )


def _area_tile(label: str, auc: Estimate) -> Tile:
    value = finite(auc.get("value"))
    if value is None:
        return Tile(label, "–", "not estimable")
    return Tile(
        label, number(value), f"95 % interval {interval(auc.get('low'), auc.get('high'))}; n = {count(auc.get('n'))}"
    )
