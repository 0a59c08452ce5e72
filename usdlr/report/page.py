"""The study page: everything its template may show, and the template's rendering."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from usdlr.core.types import ContractStatus, RiskGroup, Stage
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, P_NSLN, decision_reason
from usdlr.report import page_tables as parts
from usdlr.report.audit import conflicts
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_external import external_tables
from usdlr.report.page_gallery import Picture, gallery_pictures, heat_note, heat_pictures
from usdlr.report.page_tables import PageTable
from usdlr.report.redact import identifiers, redact_settings
from usdlr.report.sentences import Notice, contract_statement, false_negative_notes, notices, summary
from usdlr.report.style import Drawing
from usdlr.report.tables import NBSP, Estimate, count, events_text, finite, interval, number, percent, rate_interval


@dataclass(frozen=True)
class Tile:
    """One headline number."""

    label: str = field(metadata={"help": "What was measured."})
    value: str = field(metadata={"help": "The number."})
    detail: str = field(metadata={"help": "Interval and n."})


@dataclass(frozen=True)
class StudyPage:
    """The context of ``study.html.j2``; texts are plain and escaped by the template, figures are SVG elements."""

    title: str = field(metadata={"help": "Name of the experiment, with the marks of the cohort."})
    question: str = field(metadata={"help": "The question that the experiment answers."})
    summary: str = field(metadata={"help": "The study in one paragraph, main numbers first."})
    tiles: tuple[Tile, ...] = field(metadata={"help": "Headline numbers."})
    notices: tuple[Notice, ...] = field(metadata={"help": "Warnings, the gravest first."})
    contract: tuple[str, ...] = field(metadata={"help": "The contract in words."})
    contract_table: PageTable = field(metadata={"help": "Thresholds of bundle and folds."})
    false_negatives: tuple[str, ...] = field(metadata={"help": "False-negative rates in words."})
    rates_table: PageTable = field(metadata={"help": "False-negative and deferral rates."})
    groups_table: PageTable = field(metadata={"help": "Make-up of the risk groups."})
    group_meanings: tuple[tuple[str, str], ...] = field(metadata={"help": "Risk group and what it means."})
    discrimination_tables: tuple[PageTable, ...] = field(metadata={"help": "AUC per stage."})
    external_tables: tuple[PageTable, ...] = field(metadata={"help": "AUC on other sources' patients, if any."})
    operating_table: PageTable = field(metadata={"help": "Sensitivity, specificity, predictive values."})
    calibration_table: PageTable = field(metadata={"help": "Slope, intercept and Brier score."})
    cohort_table: PageTable = field(metadata={"help": "Node status of the cohort."})
    exclusions_table: PageTable = field(metadata={"help": "What was not used and why."})
    quality_table: PageTable = field(metadata={"help": "Where pixel sizes and contours come from, and quality flags."})
    figures: Mapping[str, Drawing] = field(metadata={"help": "Figures by name, as of draw_all."})
    gallery: tuple[Picture, ...] = field(metadata={"help": "Example cases."})
    gallery_note: str = field(metadata={"help": "How to read the gallery."})
    heat_maps: tuple[Picture, ...] = field(metadata={"help": "Where the networks looked, beside the crops."})
    heat_note: str = field(metadata={"help": "How to read the heat maps."})
    making: tuple[str, ...] = field(metadata={"help": "How the study was made, in words."})
    provenance_table: PageTable = field(metadata={"help": "Command, seed, hashes and versions."})
    config: str = field(metadata={"help": "The resolved configuration, without identifiers."})
    footer: str = field(metadata={"help": "The last line of every page."})


def study_page(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> StudyPage:
    """Everything that the page shows, from a study's inputs and its figures."""
    names, marks = identifiers(inputs), inputs.marks
    status = ContractStatus(inputs.contract["status"])
    folds = sorted(inputs.metrics["cascade"]["folds"])
    seed = inputs.provenance.get("seed")
    version = inputs.provenance.get("versions", {}).get("usdlr", "of unknown version")
    return StudyPage(
        title=marks.title(str(inputs.metrics["experiment"])),
        question=str(inputs.metrics["question"]),
        summary=summary(inputs),
        tiles=_tiles(inputs),
        notices=notices(inputs, conflicts(inputs)),
        contract=contract_statement(inputs),
        contract_table=parts.contract_table(inputs),
        false_negatives=false_negative_notes(inputs),
        rates_table=parts.rates_table(inputs),
        groups_table=parts.groups_table(inputs),
        group_meanings=tuple(
            (str(group), decision_reason(group, status))
            for group in RiskGroup
            if group is not RiskGroup.DEFER or inputs.metrics["cascade"]["groups"][group]["n"]
        ),
        discrimination_tables=tuple(parts.discrimination_table(inputs, stage) for stage in Stage),
        external_tables=external_tables(inputs),
        operating_table=parts.operating_table(inputs),
        calibration_table=parts.calibration_table(inputs),
        cohort_table=parts.cohort_table(inputs),
        exclusions_table=parts.exclusions_table(inputs, names),
        quality_table=parts.quality_table(inputs),
        figures=figures,
        gallery=gallery_pictures(inputs),
        gallery_note=(
            "Solid orange line: lesion contour. Dashed blue line: outer edge of the peritumoral ring. Pictures stand "
            f"in the true proportions of the tissue; {_bar(inputs)} Colour, where present: stiffness in kPa, "
            f"on one scale for all cases. Case numbers are pseudonyms made for this page. {P_NSLN} holds only if the "
            "sentinel node is positive."
        ),
        heat_maps=heat_pictures(inputs),
        heat_note=heat_note(inputs),
        making=(
            f"{len(folds)} folds; the unit of splitting is the patient, the unit of every statistic is the axilla. In "
            "each fold, scalers, selectors and calibrators are fitted on training and tuning patients, the "
            f"{marks.adjective}thresholds on calibration patients alone, and every rate and curve above is counted on "
            "test patients.",
            f"Seed: {seed if seed is not None else 'none'}. Made with usdlr {version}.",
        ),
        provenance_table=parts.provenance_table(inputs, names),
        config=redact_settings(inputs.config_yaml, names),
        footer=f"{NOT_A_MEDICAL_DEVICE} {_cohort_behind(inputs)}",
    )


def render(page: StudyPage) -> str:
    """The page as HTML."""
    return _environment().get_template("study.html.j2").render(page=page)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("usdlr.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_tied,
    )


def _tied(value: object) -> object:
    """Plain text whose per cent signs never begin a line."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return re.sub(r"(?<=\d) %", f"{NBSP}%", value)
    return value


def _cohort_behind(inputs: StudyInputs) -> str:
    cohort = inputs.metrics["cohort"]
    kind = "simulated axillae" if inputs.metrics["simulated"] else "axillae"
    return f"All numbers rest on {count(cohort['axillae'])} {kind} from {', '.join(map(str, cohort['centres']))}."


def _bar(inputs: StudyInputs) -> str:
    if inputs.relative_diameter is None:
        return "the bar is 10 mm long."
    return f"the bar is 10 units long, {10 / inputs.relative_diameter:.2g} of the lesion's equivalent diameter."


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
