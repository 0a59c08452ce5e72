"""Model card and data card of a run, filled from its tables; what no table tells is marked as the author's.

References
----------
Mitchell et al., Model cards for model reporting, FAT* 2019, doi:10.1145/3287560.3287596 (the parts of the model card,
put in words of this project).
"""

from __future__ import annotations

from collections.abc import Iterator

from usdlr.core.types import Stage
from usdlr.decision import wording_cards as words
from usdlr.decision.numbers import count
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, cohort_line
from usdlr.decision.wording_limitations import NOTHING_FOUND
from usdlr.report import facts
from usdlr.report import page_tables as parts
from usdlr.report.audit import conflicts
from usdlr.report.card_tables import flow_table, known_table
from usdlr.report.checklists import on_model, on_people, on_results
from usdlr.report.checklists.answers import FILL, Answer, Respond, sentence
from usdlr.report.document import Block, Document, Meanings, Points, Prose, Section
from usdlr.report.inputs import AXILLA, StudyInputs
from usdlr.report.limitations import limitations
from usdlr.report.page_external import external_tables
from usdlr.report.page_stages import calibration_table, discrimination_table, operating_table
from usdlr.report.redact import identifiers
from usdlr.report.sentences import contract_statement, false_negative_notes, notices, summary


def model_card(inputs: StudyInputs) -> Document:
    """What the exported model is, what it may be used for, how well it does and where it fails.

    Parameters
    ----------
    inputs : StudyInputs
        The study.
    """
    names = ", ".join(facts.centres(inputs))
    return Document(
        kind="Model card",
        title=inputs.marks.title(str(inputs.metrics["experiment"])),
        question=str(inputs.metrics["question"]),
        summary=summary(inputs),
        tiles=(),
        notices=notices(inputs, conflicts(inputs)),
        opening=(),
        sections=(
            Section("model", "Model", "The model", (Meanings(tuple(_model_details(inputs))),)),
            _intended(inputs),
            Section(
                "contract",
                "Contract",
                "What it promises, and to whom",
                (Prose(contract_statement(inputs)), parts.contract_table(inputs)),
            ),
            _said("factors", "Factors", on_people.sources, on_people.acquisition, on_people.fairness, inputs=inputs),
            _said("measures", "Measures", on_results.measures, on_results.uncertainty, inputs=inputs),
            _said(
                "evaluation",
                "Patients it was tested on",
                on_results.internal,
                on_results.per_analysis,
                on_results.external,
                inputs=inputs,
            ),
            _said(
                "training",
                "Patients it was trained on",
                on_model.partition,
                on_model.predictors,
                on_model.training,
                on_model.start,
                inputs=inputs,
                also=tuple(_trained_on(inputs)),
            ),
            Section("figures", "Figures", "How well it does", (Prose(false_negative_notes(inputs)), *_results(inputs))),
            _failures(inputs),
            Section(
                "ethics",
                "Ethics",
                "Ethical considerations",
                (
                    Points(
                        (
                            words.WEIGHED,
                            words.rare_sentence(names),
                            f"{FILL}: approval, consent, and what harm may come to whom.",
                        )
                    ),
                ),
            ),
        ),
        footer=_footer(inputs),
    )


def data_card(inputs: StudyInputs) -> Document:
    """Who and what stands behind a run: origin, counts, gaps, endpoints, exclusions, and what it must not be used for.

    Parameters
    ----------
    inputs : StudyInputs
        The study.
    """
    hidden = identifiers(inputs)
    return Document(
        kind="Data card",
        title=inputs.marks.title(f"Cohort of {inputs.metrics['experiment']}"),
        question="Who stands behind the numbers of this run?",
        summary=cohort_line(inputs.metrics["cohort"]),
        tiles=(),
        notices=notices(inputs, conflicts(inputs)),
        opening=(),
        sections=(
            _said("origin", "Origin", on_people.sources, on_people.eligibility, on_people.subsets, inputs=inputs),
            Section("axillae", "Axillae", "Axillae and what is known of them", tuple(_axillae(inputs))),
            Section(
                "endpoints",
                "Endpoints",
                "Endpoints",
                (Points((_words(on_people.outcome(inputs)),)), parts.cohort_table(inputs)),
            ),
            Section(
                "images",
                "Images",
                "Images, pixel sizes and contours",
                (
                    Points(tuple(_words(answer(inputs)) for answer in (on_people.acquisition, on_people.annotators))),
                    parts.quality_table(inputs),
                ),
            ),
            Section(
                "exclusions",
                "Exclusions",
                "From the exports to the tested axillae",
                (flow_table(inputs), parts.exclusions_table(inputs, hidden)),
            ),
            _said("parts", "How patients were divided", on_model.partition, on_model.level_of_partition, inputs=inputs),
            Section("not-for", "Not for", "What it must not be used for", (Points(tuple(_misuse_of_data(inputs))),)),
            Section(
                "author",
                "Author",
                "What the author has to add",
                (
                    Points(
                        tuple(
                            sentence(f"{FILL}: {what}")
                            for what in (
                                "licence of the data, and who may have them",
                                "consent and approval",
                                "dates of the examinations",
                                "who keeps the data, and how errors are reported",
                            )
                        )
                    ),
                ),
            ),
        ),
        footer=_footer(inputs),
    )


def _model_details(inputs: StudyInputs) -> Iterator[tuple[str, str]]:
    origin = facts.provenance(inputs)
    versions, code = origin.get("versions", {}), origin.get("code", {})
    yield "Name", str(inputs.metrics["experiment"])
    for stage in Stage:
        yield f"Predicts, {stage.upper()} stage", inputs.positive(stage)
    yield "Kind", _words(on_model.model(inputs))
    ids = facts.bundle_ids(inputs)
    if origin.get("bundle"):
        yield "Bundle", str(origin["bundle"])
    if ids:
        yield "Weights of the bundle", ", ".join(f"{stage.upper()} {name}" for stage, name in ids.items())
    others = [name for name in facts.model_ids(inputs) if name not in ids.values()]
    if others:
        more = f" and {count(len(others) - 12)} more" if len(others) > 12 else ""
        yield "Weights of the folds", ", ".join(others[:12]) + more
    if inputs.contract.get("certified_for"):
        yield "Weights, calibrators and settings that the contract was made for", str(inputs.contract["certified_for"])
    if origin.get("config_hash"):
        yield "Configuration, SHA-256", str(origin["config_hash"])
    if versions.get("usdlr"):
        commit = f", commit {str(code['commit'])[:12]}" if code.get("commit") else ""
        yield "Made with", f"usdlr {versions['usdlr']}{commit}"
    if origin.get("written_at"):
        yield "Made on", str(origin["written_at"])
    yield "Licence, owner, contact", f"{FILL}."


def _intended(inputs: StudyInputs) -> Section:
    intended = (words.INTENDED, NOT_A_MEDICAL_DEVICE)
    return Section(
        "use", "Use", "Intended use, and what it is not for", (Prose(intended), Points(tuple(_out_of_scope(inputs))))
    )


def _out_of_scope(inputs: StudyInputs) -> Iterator[str]:
    return words.out_of_scope(
        centres=", ".join(facts.centres(inputs)),
        where=facts.where(inputs),
        simulated=bool(inputs.metrics["simulated"]),
        proxies=bool(inputs.proxies),
        uncertified=inputs.uncertified,
        relative=inputs.relative_diameter is not None,
    )


def _misuse_of_data(inputs: StudyInputs) -> Iterator[str]:
    return words.misuse_of_data(
        simulated=bool(inputs.metrics["simulated"]),
        proxies=bool(inputs.proxies),
        treated=bool(inputs.metrics["cohort"]["exclusions"].get("neoadjuvant")),
    )


def _trained_on(inputs: StudyInputs) -> Iterator[str]:
    for stage in Stage:
        rows = facts.training_rows(inputs, stage)
        if rows is not None:
            yield words.trained_on(stage, *rows)


def _results(inputs: StudyInputs) -> Iterator[Block]:
    yield parts.rates_table(inputs)
    yield parts.groups_table(inputs)
    yield from (discrimination_table(inputs, stage) for stage in Stage)
    yield operating_table(inputs)
    yield calibration_table(inputs)
    yield from external_tables(inputs)


def _failures(inputs: StudyInputs) -> Section:
    known = _words(on_results.failures(inputs))
    return Section(
        "failures",
        "Failures",
        "Known failures and limitations",
        (Prose((known,)), Points(limitations(inputs) or (NOTHING_FOUND,))),
    )


def _axillae(inputs: StudyInputs) -> Iterator[Block]:
    if set(inputs.axillae.columns) - set(AXILLA):
        yield known_table(inputs)
    yield Points((_words(on_people.missing(inputs)),))


def _said(anchor: str, title: str, *asked: Respond, inputs: StudyInputs, also: tuple[str, ...] = ()) -> Section:
    lines = tuple(_words(answer(inputs)) for answer in asked)
    return Section(anchor, anchor.capitalize(), title, (Points((*also, *lines)),))


def _words(answer: Answer) -> str:
    return answer.words


def _footer(inputs: StudyInputs) -> str:
    return f"{NOT_A_MEDICAL_DEVICE} {cohort_line(inputs.metrics['cohort'])}"
