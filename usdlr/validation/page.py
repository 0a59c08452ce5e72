"""The page of a validation: one page of summary first, then everything behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from usdlr.core.types import ContractStatus, Stage
from usdlr.decision.numbers import finite, interval, number, percent, rate_interval
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, SIMULATED, proxy_notice
from usdlr.decision.wording_study import relative_lengths
from usdlr.decision.wording_validation import Standing, centres_statement
from usdlr.decision.wording_validation_page import (
    GALLERY_NOTE,
    HEAT_NOTE,
    HOW_META,
    failures_sentence,
    flow_note,
    strangers_sentence,
    unknown_sentence,
    validation_limits,
)
from usdlr.report import page_stages as of_stages
from usdlr.report import page_tables as of_study
from usdlr.report.document import Block, Document, Figure, Folded, Gallery, Notice, Points, Prose, Section, Tile
from usdlr.report.example_cases import missed_axillae
from usdlr.report.figures_curves import calibration_figure, roc_figure
from usdlr.report.figures_flow import cascade_figure, cohort_figure
from usdlr.report.figures_meta import Forest, ForestRow, forest_figure
from usdlr.report.figures_net_benefit import draw_net_benefit
from usdlr.report.figures_pathways import draw_pathways
from usdlr.report.figures_subgroups import draw_subgroups
from usdlr.report.figures_survival import draw_survival
from usdlr.report.figures_thresholds import draw_thresholds
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_balance import balance_tables
from usdlr.report.page_gallery import gallery_pictures, heat_pictures
from usdlr.report.page_net_benefit import net_benefit_section
from usdlr.report.page_pathways import pathways_section
from usdlr.report.page_shift import shift_drawings
from usdlr.report.page_subgroups import subgroups_section
from usdlr.report.page_survival import survival_section
from usdlr.report.redact import identifiers
from usdlr.report.style import Drawing
from usdlr.validation import page_parts as parts
from usdlr.validation.adapt_page import adaptation_section
from usdlr.validation.frozen import frozen
from usdlr.validation.page_shift import shift_headline, shift_section


def validation_drawings(inputs: StudyInputs) -> dict[str, Drawing]:
    """Every figure of the page by name; captions speak of the frozen bundle."""
    made: list[Drawing | None] = [
        cohort_figure(inputs),
        cascade_figure(inputs),
        roc_figure(inputs),
        calibration_figure(inputs),
        draw_pathways(inputs),
        draw_thresholds(inputs),
        *(draw_subgroups(inputs, stage) for stage in Stage),
        draw_net_benefit(inputs),
        draw_survival(inputs),
        *_forests(inputs),
    ]
    shift = inputs.metrics.get("shift")
    made += [] if shift is None else list(shift_drawings(shift, inputs.marks).values())
    return {one.name: frozen(one) for one in made if one is not None}


def validation_page(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Document:
    """Everything that the page shows.

    Parameters
    ----------
    inputs : StudyInputs
        From :func:`usdlr.validation.study.study_inputs`.
    figures : mapping of str to Drawing
        From :func:`validation_drawings`.
    """
    found = (
        parts.verdict_section(inputs),
        parts.plan_section(inputs),
        _cohort(inputs, figures),
        shift_section(inputs),
        _discrimination(inputs, figures),
        _calibration(inputs, figures),
        _centres(inputs, figures),
        _cascade(inputs, figures),
        frozen(pathways_section(inputs, figures)),
        frozen(net_benefit_section(inputs, figures)),
        frozen(subgroups_section(inputs, figures)),
        frozen(survival_section(inputs, figures)),
        _adaptation(inputs),
        _failures(inputs),
        Section("limits", "Limitations", "Limitations", (Points(tuple(validation_limits(inputs.metrics))),)),
        _making(inputs),
    )
    metrics = inputs.metrics
    return Document(
        kind="External validation",
        title=inputs.marks.title(str(metrics["experiment"])),
        question=str(metrics["question"]),
        summary=" ".join([*parts.verdict_lines(inputs), *parts.by_centre_lines(inputs)]),
        tiles=tuple(_tiles(inputs)),
        notices=tuple(_notices(inputs)),
        opening=_opening(inputs),
        sections=tuple(section for section in found if section is not None),
        footer=f"{NOT_A_MEDICAL_DEVICE} Bundle {metrics['development']['bundle_id']}, lock "
        f"{metrics['lock']['hash'][:12]}; {_patients(metrics)}.",
    )


def _opening(inputs: StudyInputs) -> tuple[Block, ...]:
    metrics = inputs.metrics
    shift = metrics.get("shift")
    warned = shift is not None and shift["alarm"]  # then it stands in a box above
    lines = ["" if warned else shift_headline(metrics), parts.lock_text(inputs), _who(inputs)]
    lines += _pooled_lines(inputs)
    grave = list(validation_limits(metrics))[:3]
    return (Prose(tuple(line for line in lines if line)), Prose(("Before anybody acts on it:",)), Points(tuple(grave)))


def _who(inputs: StudyInputs) -> str:
    metrics = inputs.metrics
    there = metrics["development"]["cohort"]
    return (
        f"Judged were {_patients(metrics)}. The model was made with {there['patients']} patients of "
        f"{', '.join(map(str, there['centres']))} (bundle {metrics['development']['bundle_id']} of the experiment "
        f"{metrics['development']['experiment']})."
    )


def _patients(metrics: Mapping[str, Any]) -> str:
    cohort = metrics["cohort"]
    kind = "simulated axillae" if metrics["simulated"] else "axillae"
    return f"{cohort['axillae']} {kind} of {cohort['patients']} patients from {', '.join(map(str, cohort['centres']))}"


def _pooled_lines(inputs: StudyInputs) -> Iterator[str]:
    for stage in Stage:
        found = inputs.metrics["meta"].get(str(stage), {}).get("auc")
        if found is None:
            continue
        random = found["random"]
        ends = [finite(random[key]) for key in ("value", "low", "high")]
        known = [end for end in ends if end is not None]
        if len(known) == 3:
            yield centres_statement(f"AUC, {stage.upper()} stage", found["centres"], (known[0], known[1], known[2]))


def _tiles(inputs: StudyInputs) -> Iterator[Tile]:
    metrics, marks = inputs.metrics, inputs.marks
    for stage in Stage:
        found = metrics["verdicts"][stage]
        rate, value = found["rate"], finite(found["rate"]["value"])
        detail = (
            "no positive axilla is known"
            if value is None
            else f"{rate['events']} of {rate['n']} missed, 95 % interval {rate_interval(rate['low'], rate['high'])}"
        )
        label = f"{stage.upper()}, target of at most {100 * float(found['alpha']):g} % missed: {found['standing']}"
        yield Tile(marks.title(label), "–" if value is None else percent(value), detail)
    for stage in Stage:
        auc = metrics["stages"][stage]["auc"]
        value = finite(auc["value"])
        detail = (
            "not estimable" if value is None else f"95 % interval {interval(auc['low'], auc['high'])}; n = {auc['n']}"
        )
        yield Tile(marks.title(f"AUC, {stage.upper()} stage"), "–" if value is None else number(value), detail)


def _notices(inputs: StudyInputs) -> Iterator[Notice]:
    metrics = inputs.metrics
    broken = [stage for stage in Stage if metrics["verdicts"][stage]["standing"] == Standing.BROKEN]
    if broken:
        told = " ".join(parts.verdict_text(inputs, metrics["verdicts"][stage], stage) for stage in broken)
        yield Notice("conflict", "The false-negative target is broken", told)
    centres: Mapping[str, Any] = metrics["centres"]
    void = any(not part["development"] for part in centres.values())
    certified = metrics["development"]["contract"]["status"] == ContractStatus.CERTIFIED
    title = ("Contract void here" if void else "Contract in force") if certified else "No certified contract"
    yield Notice("uncertified", title, parts.void_text(inputs))
    shift = metrics.get("shift")
    if shift is not None and shift["alarm"]:
        yield Notice("proxy", "Shift alarm", shift_headline(metrics))
    if metrics["simulated"]:
        yield Notice("simulated", "Simulated", SIMULATED)
    for stage, sentence in inputs.proxies.items():
        yield Notice("proxy", f"Proxy endpoint, {stage.upper()} stage", proxy_notice(stage, sentence))
    if inputs.relative_diameter is not None:
        yield Notice("relative", "Lengths are relative to the lesion", relative_lengths(inputs.relative_diameter))
    yield Notice("device", "Not a medical device", NOT_A_MEDICAL_DEVICE)


def _cohort(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section:
    cohort = inputs.metrics["cohort"]
    rows = int(cohort["image_sets"]) + int(cohort["excluded"])
    lines = [flow_note(int(cohort["excluded"]), rows), parts.seen_text(inputs)]
    for stage in Stage:
        n = sum(int(cohort[stage][key]) for key in ("positive", "negative", "unknown"))
        lines.append(unknown_sentence(stage, int(cohort[stage]["unknown"]), n, known_nsln=inputs.known_nsln))
    lines.append(strangers_sentence(int(inputs.metrics["lock"]["outcomes_without_a_case"])))
    blocks: tuple[Block, ...] = (
        Prose(tuple(line for line in lines if line)),
        Figure(figures["cohort"]),
        parts.beside_table(inputs),
        of_study.cohort_table(inputs),
        Folded("These patients by centre and by outcome", balance_tables(inputs)),
        of_study.exclusions_table(inputs, identifiers(inputs)),
        Folded("How the images came", (of_study.quality_table(inputs),)),
    )
    return Section("cohort", "Patients", "Patients and exclusions", blocks)


def _discrimination(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section:
    twosided = of_stages.patients_table(inputs)
    blocks: tuple[Block, ...] = (
        Figure(figures["roc"]),
        *(parts.centres_table(inputs, stage) for stage in Stage),
        frozen(of_stages.ranking_table(inputs)),
        frozen(of_stages.operating_table(inputs)),
        *((frozen(twosided),) if twosided else ()),
    )
    return Section("discrimination", "Discrimination", "Discrimination", blocks)


def _calibration(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section:
    blocks = (Figure(figures["calibration"]), frozen(of_stages.calibration_table(inputs)))
    return Section("calibration", "Calibration", "Calibration", blocks)


def _centres(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section | None:
    drawn = [Figure(figures[name]) for name in ("forest_fnr", "forest_auc", "forest_slope") if name in figures]
    if not drawn:
        return None
    return Section("centres", "Centres", "All centres together", (Prose((HOW_META,)), *drawn, parts.meta_table(inputs)))


def _cascade(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section:
    blocks = (
        Figure(figures["cascade"]),
        frozen(of_study.rates_table(inputs)),
        frozen(of_study.groups_table(inputs)),
    )
    return Section("cascade", "Cascade", "The cascade", blocks)


def _adaptation(inputs: StudyInputs) -> Section | None:
    record = inputs.metrics.get("adaptation")
    return None if record is None else adaptation_section(record, known_nsln=inputs.known_nsln)


def _failures(inputs: StudyInputs) -> Section | None:
    if not inputs.gallery:
        return None
    missed = int(missed_axillae(inputs.decisions, inputs.labels).sum())
    shown = min(missed, len(inputs.gallery))
    blocks: list[Block] = [Prose((failures_sentence(missed, shown), GALLERY_NOTE)), Gallery(gallery_pictures(inputs))]
    if inputs.heat_maps:
        blocks += [Prose((HEAT_NOTE,)), Gallery(heat_pictures(inputs), wide=True)]
    return Section("failures", "Failures", "Missed axillae, and others", tuple(blocks))


def _making(inputs: StudyInputs) -> Section:
    contract = inputs.metrics["development"]["contract"]
    signed = inputs.metrics["development"]["signed_by"]
    lines = (
        f"Bundle {inputs.metrics['development']['bundle_id']}, "
        f"{'signed by ' + str(signed) if signed else 'not signed'}. Thresholds: SLN "
        f"{number(contract['t_sln'], 3)}, NSLN {number(contract['t_nsln'], 3)}.",
    )
    table = of_study.provenance_table(inputs, identifiers(inputs))
    return Section(
        "making", "How it was made", "How it was made", (Prose(lines), Folded("Versions and hashes", (table,)))
    )


def _forests(inputs: StudyInputs) -> Iterator[Drawing]:
    """Forest plots over centres; none where there is one centre."""
    centres: Mapping[str, Any] = inputs.metrics["centres"]
    if len(centres) < 2:
        return
    alpha = inputs.metrics["hypotheses"]["alpha"]
    rates = [
        _forest(
            inputs,
            stage,
            "fnr",
            "Positive axillae missed (%)",
            reference=float(alpha[stage]),
            words="target",
            rate=True,
        )
        for stage in Stage
    ]
    yield forest_figure(
        "forest_fnr",
        inputs.marks.title("False-negative rates by centre"),
        _caption(inputs, "fnr", "Squares: centres, with exact 95 % intervals over positive axillae."),
        rates,
    )
    areas = [
        _forest(inputs, stage, "auc", "Area under the curve (0 to 1)", reference=0.5, words="chance") for stage in Stage
    ]
    yield forest_figure(
        "forest_auc",
        inputs.marks.title("Area under the ROC curve by centre"),
        _caption(inputs, "auc", "Squares: centres, with 95 % intervals (DeLong)."),
        areas,
    )
    slopes = [
        _forest(inputs, stage, "calibration_slope", "Calibration slope", reference=1.0, words="ideal")
        for stage in Stage
    ]
    yield forest_figure(
        "forest_slope",
        inputs.marks.title("Calibration slope by centre"),
        _caption(inputs, "calibration_slope", "Squares: centres, with 95 % intervals."),
        slopes,
    )


def _forest(
    inputs: StudyInputs, stage: Stage, key: str, axis: str, *, reference: float, words: str, rate: bool = False
) -> Forest:
    centres: Mapping[str, Any] = inputs.metrics["centres"]
    rows: Sequence[ForestRow] = [
        ForestRow(name, part["verdicts"][stage]["rate"] if key == "fnr" else part["stages"][stage][key])
        for name, part in centres.items()
    ]
    found = inputs.metrics["meta"][str(stage)][key] or {}
    return Forest(
        f"{stage.upper()} stage",
        axis,
        rows,
        found.get("fixed"),
        found.get("random"),
        found.get("prediction"),
        reference,
        words,
        rate,
    )


def _caption(inputs: StudyInputs, key: str, start: str) -> str:
    methods = dict.fromkeys(
        str(found["method"]) for stage in Stage if (found := inputs.metrics["meta"][str(stage)][key]) is not None
    )
    return (
        f"{start} Diamonds: all centres together. Orange bar: 95 % prediction interval for a further centre; an arrow "
        f"where it leaves the panel. NSLN stage: {inputs.known_nsln}. {_sentence('; '.join(methods))}."
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
