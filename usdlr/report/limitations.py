"""What limits a study, filled from its own tables: only what holds, the gravest first, each with its figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from usdlr.core.types import ContractStatus, Stage
from usdlr.decision import wording_limitations as words
from usdlr.decision.numbers import finite
from usdlr.decision.wording import SIMULATED
from usdlr.decision.wording_study import relative_lengths
from usdlr.evaluation.sample_size_contract import certification_need
from usdlr.report import facts, limitations_groups
from usdlr.report.document import Points, Prose, Section
from usdlr.report.flow import STEPS, flow_rows
from usdlr.report.inputs import StudyInputs
from usdlr.report.sentences import contract_words, false_negative_sentence
from usdlr.report.stable_size import stable_sizes


def limitations(inputs: StudyInputs) -> tuple[str, ...]:
    """Sentences about what limits the study; only those that hold, in the order of their gravity.

    Parameters
    ----------
    inputs : StudyInputs
        The study.

    Returns
    -------
    tuple of str
        One limitation each, with its figures.
    """
    return facts.kept(inputs, "_limitations", _limitations)


def _limitations(inputs: StudyInputs) -> tuple[str, ...]:
    return tuple(sentence for rule in _RULES for sentence in rule(inputs) if sentence)


def limitations_section(inputs: StudyInputs) -> Section:
    """The section of the page."""
    lines = limitations(inputs) or (words.NOTHING_FOUND,)
    return Section("limitations", "Limitations", "Limitations", (Prose((words.NOTE,)), Points(lines)))


def _simulated(inputs: StudyInputs) -> Iterator[str]:
    if inputs.metrics["simulated"]:
        yield SIMULATED


def _proxies(inputs: StudyInputs) -> Iterator[str]:
    for stage, sentence in inputs.proxies.items():
        yield words.proxy_limitation(stage, sentence)


def _contract(inputs: StudyInputs) -> Iterator[str]:
    if inputs.uncertified:
        yield words.contract_limitation(contract_words(inputs))


def _recruits(inputs: StudyInputs) -> Iterator[str]:
    """How many axillae would bring the positives that are lacking, with the shares that were found here."""
    contract, share = inputs.contract, facts.setting(inputs, "splits.calibration")
    if not inputs.uncertified or not isinstance(share, float):
        return
    frequent, known = {}, 1.0
    for stage in Stage:
        n, positive = facts.with_status(inputs, stage)
        frequent[stage] = positive / n if n else 0.0
        if stage is Stage.NSLN:
            frequent[stage] *= frequent[Stage.SLN]
            known = finite(inputs.metrics["cascade"]["verified_share"].get("value")) or 0.0
        held, needed = contract["positives"][stage], contract["required_positives"][stage]
        if held >= needed or not frequent[stage] * known:
            continue
        need = certification_need(
            alpha=float(contract["alpha"][stage]),
            delta=float(contract["delta"]),
            prevalence=frequent[stage],
            verified=known,
            calibration_share=share,
        )
        yield words.recruits_sentence(
            stage, held, need.least_positives, share=share, axillae=need.patients, assurance=need.assurance
        )


def _misses(inputs: StudyInputs) -> Iterator[str]:
    for stage in Stage:
        rate = inputs.metrics["cascade"][f"fnr_{stage}"]
        high, alpha = finite(rate.get("high")), float(inputs.contract["alpha"][stage])
        if finite(rate.get("value")) is None:
            yield words.no_rate_sentence(stage, rate)
        elif high is not None and high > alpha:
            yield false_negative_sentence(inputs, stage)


def _folds(inputs: StudyInputs) -> Iterator[str]:
    folds = inputs.metrics["cascade"]["folds"]
    lacking = sum(entry["status"] != ContractStatus.CERTIFIED for entry in folds.values())
    if lacking and not inputs.uncertified:
        yield words.folds_limitation(lacking, len(folds))


def _external(inputs: StudyInputs) -> Iterator[str]:
    sources = facts.external(inputs)
    if not sources:
        yield words.no_external_sentence(facts.centres(inputs), uncertified=inputs.uncertified)
    elif all(part["cohort"].get("simulated") for part in sources.values()):
        yield words.simulated_sources([str(name) for name in sources])


def _one_centre(inputs: StudyInputs) -> Iterator[str]:
    names = facts.centres(inputs)
    if len(names) == 1 and facts.external(inputs):
        yield words.one_centre_sentence(names[0])


def _verified(inputs: StudyInputs) -> Iterator[str]:
    share = inputs.metrics["cascade"]["verified_share"]
    yield words.unverified_sentence(share, known_nsln=inputs.known_nsln, proxy=Stage.NSLN in inputs.proxies)


def _chance(inputs: StudyInputs) -> Iterator[str]:
    for stage in Stage:
        yield words.chance_sentence(stage, inputs.metrics["stages"][stage]["auc"])


def _lead(inputs: StudyInputs) -> Iterator[str]:
    for stage in Stage:
        leads = [
            (
                inputs.baseline_title(str(name)),
                entry["stages"][stage]["difference"],
                finite((entry["stages"][stage].get("p_value") or {}).get("p_holm")),
            )
            for name, entry in inputs.metrics["baselines"].items()
        ]
        yield words.lead_sentence(stage, leads)


def _stable(inputs: StudyInputs) -> Iterator[str]:
    for stage in Stage:
        size = stable_sizes(inputs, stage)
        if size is None or size.enough:
            continue
        yield words.unstable_sentence(
            stage,
            parameters=size.parameters,
            criterion=size.criterion,
            needed=(size.needed, size.needed_positives),
            held=(size.held, size.positives),
            exact=size.exact,
        )


def _calibration(inputs: StudyInputs) -> Iterator[str]:
    for stage in Stage:
        yield words.calibration_sentence(stage, inputs.metrics["stages"][stage]["calibration_slope"])


def _deferred(inputs: StudyInputs) -> Iterator[str]:
    yield words.deferred_limitation(inputs.metrics["cascade"]["defer_rate"])


def _exclusions(inputs: StudyInputs) -> Iterator[str]:
    flow = flow_rows(inputs)
    total, lost = flow[0].rows or 0, sum(row.lost for row in flow[1:4])
    if lost:
        steps = [(row.step, row.lost, row.left) for row in flow if row.step in STEPS and row.lost]
        yield words.exclusions_sentence(total, lost, steps)


def _neoadjuvant(inputs: StudyInputs) -> Iterator[str]:
    yield words.neoadjuvant_sentence(int(inputs.metrics["cohort"]["exclusions"].get("neoadjuvant", 0)))


def _untested(inputs: StudyInputs) -> Iterator[str]:
    last = flow_rows(inputs)[-1]
    if last.left:
        yield words.untested_sentence(last.lost, last.left[0][0], last.axillae or 0)


def _elastography(inputs: StudyInputs) -> Iterator[str]:
    read = facts.modalities(inputs)
    if (read and "elasto" not in read) or "elastography" not in inputs.axillae or inputs.axillae.empty:
        return
    have, n = inputs.axillae["elastography"].fillna(False).astype(bool), len(inputs.axillae)
    yield words.no_stiffness_sentence(int((~have).sum()), n)


def _missing(inputs: StudyInputs) -> Iterator[str]:
    n = len(inputs.axillae)
    lacking = [
        (facts.variable_words(column), n - len(facts.known(inputs, column))) for column in facts.clinical(inputs)
    ]
    yield words.missing_sentence(n, lacking)


def _spacing(inputs: StudyInputs) -> Iterator[str]:
    if inputs.relative_diameter is not None:
        yield relative_lengths(inputs.relative_diameter)
    sources = facts.quality(inputs, "spacing_source")
    if len(sources) > 1:
        yield words.spacing_sentence(facts.counted(sources))


def _contours(inputs: StudyInputs) -> Iterator[str]:
    drawn = facts.quality(inputs, "mask_source")
    if drawn:
        yield words.contours_sentence(facts.counted(drawn), several=len(drawn) > 1)


def _weights(inputs: StudyInputs) -> Iterator[str]:
    if facts.setting(inputs, "model.pretrained") is True:
        yield words.published_weights_sentence(facts.said(facts.setting(inputs, "model.backbone")))
    elif facts.weights_files(inputs):
        yield words.file_weights_sentence(facts.weights_files(inputs)[0][:12])


_RULES: tuple[Callable[[StudyInputs], Iterator[str]], ...] = (
    _simulated,
    _proxies,
    _contract,
    _misses,
    limitations_groups.unlike,
    _recruits,
    _folds,
    _external,
    _one_centre,
    limitations_groups.same_division,
    _verified,
    _chance,
    _stable,
    _calibration,
    _lead,
    limitations_groups.images,
    _exclusions,
    _untested,
    _neoadjuvant,
    _deferred,
    _elastography,
    _missing,
    _contours,
    _spacing,
    limitations_groups.too_few,
    _weights,
)
