"""What limits a study, filled from its own tables: only what holds, the gravest first, each with its figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from usdlr.core.types import ContractStatus, Stage
from usdlr.decision.wording import SIMULATED, proxy_notice
from usdlr.evaluation.sample_size_contract import certification_need
from usdlr.report import facts, limitations_groups
from usdlr.report.document import Points, Prose, Section
from usdlr.report.figures_subgroups import p_words
from usdlr.report.flow import STEPS, flow_rows
from usdlr.report.inputs import StudyInputs
from usdlr.report.limitations_groups import LEVEL
from usdlr.report.sentences import contract_words, false_negative_sentence, relative_lengths
from usdlr.report.stable_size import stable_sizes
from usdlr.report.tables import (
    count,
    estimate_text,
    events_text,
    finite,
    not_estimable,
    percent,
    plural,
    rate_text,
)

_STEP_WORDS = {"ingest": "reading the files", "cohort": "choosing the cohort", "features": "measuring"}
NOTHING_FOUND = "The tables of the study show none of the limitations that this software looks for. Others remain."
NOTE = (
    "Found in the tables of this study by fixed rules, the gravest first. What no table tells, such as how the centres "
    "chose their patients, stays with the author."
)


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
    return tuple(sentence for rule in _RULES for sentence in rule(inputs))


def limitations_section(inputs: StudyInputs) -> Section:
    """The section of the page."""
    lines = limitations(inputs) or (NOTHING_FOUND,)
    return Section("limitations", "Limitations", "Limitations", (Prose((NOTE,)), Points(lines)))


def _simulated(inputs: StudyInputs) -> Iterator[str]:
    if inputs.metrics["simulated"]:
        yield SIMULATED


def _proxies(inputs: StudyInputs) -> Iterator[str]:
    for stage, sentence in inputs.proxies.items():
        yield f"{stage.upper()} stage: {_lower(proxy_notice(stage, sentence))}"


def _contract(inputs: StudyInputs) -> Iterator[str]:
    if inputs.uncertified:
        yield f"{contract_words(inputs)} Nobody may be spared surgery by this model."


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
        yield (
            f"{stage.upper()} positives are too few for the contract: {count(held)} in the calibration part, at least "
            f"{count(need.least_positives)} needed. Were they as frequent as here, and {percent(share)} of all "
            f"patients kept for calibration, {count(need.patients)} axillae would bring so many with a chance of "
            f"{percent(need.assurance, 0)}, and would certify only without a single miss."
        )


def _misses(inputs: StudyInputs) -> Iterator[str]:
    for stage in Stage:
        rate = inputs.metrics["cascade"][f"fnr_{stage}"]
        high, alpha = finite(rate.get("high")), float(inputs.contract["alpha"][stage])
        if finite(rate.get("value")) is None:
            yield f"The false-negative rate of the {stage.upper()} endpoint is {not_estimable(rate)}."
        elif high is not None and high > alpha:
            yield false_negative_sentence(inputs, stage)


def _folds(inputs: StudyInputs) -> Iterator[str]:
    folds = inputs.metrics["cascade"]["folds"]
    lacking = sum(entry["status"] != ContractStatus.CERTIFIED for entry in folds.values())
    if lacking and not inputs.uncertified:
        yield (
            f"The thresholds of {count(lacking)} of {plural(len(folds), 'fold')} are uncertified: the false-negative "
            "rates of this page rest partly on them."
        )


def _external(inputs: StudyInputs) -> Iterator[str]:
    sources, names = facts.external(inputs), facts.centres(inputs)
    where = "one centre" if len(names) == 1 else f"the {count(len(names))} centres of the cohort"
    void = "" if inputs.uncertified else ", where the contract is void until it is established anew"
    if not sources:
        yield (
            f"No patients of another source were judged: every number is about {where} ({', '.join(names)}) and need "
            f"not hold elsewhere{void}."
        )
    elif all(part["cohort"].get("simulated") for part in sources.values()):
        yield f"All external sources ({', '.join(map(str, sources))}) are simulated."


def _one_centre(inputs: StudyInputs) -> Iterator[str]:
    names = facts.centres(inputs)
    if len(names) == 1 and facts.external(inputs):
        yield f"The model was made with patients of one centre ({names[0]})."


def _verified(inputs: StudyInputs) -> Iterator[str]:
    share = inputs.metrics["cascade"]["verified_share"]
    n, events = finite(share.get("n")), finite(share.get("events"))
    if n and events is not None and events < n:
        why = "" if Stage.NSLN in inputs.proxies else ": their axilla was not dissected, or the result is not known"
        yield (
            f"NSLN status is unknown in {count(n - events)} of {count(n)} SLN-positive axillae "
            f"({percent((n - events) / n)}){why}. Every NSLN figure is stated {inputs.known_nsln} and need not hold "
            "for the others."
        )


def _chance(inputs: StudyInputs) -> Iterator[str]:
    for stage in Stage:
        area = inputs.metrics["stages"][stage]["auc"]
        low = finite(area.get("low"))
        if finite(area.get("value")) is None:
            yield f"The AUC of the {stage.upper()} stage is {not_estimable(area)}."
        elif low is not None and low <= 0.5:
            yield (
                f"At the {stage.upper()} stage the model is not shown to rank better than chance: AUC "
                f"{estimate_text(area)}, n = {count(area.get('n'))}."
            )


def _lead(inputs: StudyInputs) -> Iterator[str]:
    for stage in Stage:
        told = []
        for name, entry in inputs.metrics["baselines"].items():
            lead = entry["stages"][stage]["difference"]
            low, tested = finite(lead.get("low")), entry["stages"][stage].get("p_value") or {}
            p_holm = finite(tested.get("p_holm"))
            # Among several baselines an interval alone is passed by chance too often.
            if low is not None and (low <= 0 or (p_holm is not None and p_holm >= LEVEL)):
                p = f", {p_words(p_holm)} after Holm's correction" if p_holm is not None else ""
                told.append(f"{inputs.baseline_title(str(name))} {estimate_text(lead)}{p}")
        if told:
            yield (
                f"At the {stage.upper()} stage the model is not shown to rank better than simpler ones; difference of "
                f"the AUC to {'; '.join(told)}."
            )


def _stable(inputs: StudyInputs) -> Iterator[str]:
    for stage in Stage:
        size = stable_sizes(inputs, stage)
        if size is None or size.enough:
            continue
        held = "to train on" if size.exact else "in all, of whom each fold trains on a part"
        yield (
            f"Too few axillae for a stable model at the {stage.upper()} stage: with the "
            f"{plural(size.parameters, 'predictor')} that its tabular part may keep, Riley's criteria "
            f"({size.criterion}) ask for {count(size.needed)} with {count(size.needed_positives)} positives; there are "
            f"{count(size.held)} with {count(size.positives)} positives {held}."
        )


def _calibration(inputs: StudyInputs) -> Iterator[str]:
    for stage in Stage:
        slope = inputs.metrics["stages"][stage]["calibration_slope"]
        value, low, high = (finite(slope.get(key)) for key in ("value", "low", "high"))
        if value is None:
            yield f"The calibration slope of the {stage.upper()} stage is {not_estimable(slope)}."
        elif low is not None and high is not None and not low <= 1 <= high:
            meaning = "too extreme" if value < 1 else "too moderate"
            yield (
                f"Risks predicted at the {stage.upper()} stage are {meaning}: calibration slope "
                f"{estimate_text(slope)}, n = {count(slope.get('n'))}, where 1 is right."
            )


def _deferred(inputs: StudyInputs) -> Iterator[str]:
    rate = inputs.metrics["cascade"]["defer_rate"]
    if finite(rate.get("events")):
        yield f"{events_text(rate)} axillae got no answer (DEFER): {rate_text(rate)}."


def _exclusions(inputs: StudyInputs) -> Iterator[str]:
    flow = flow_rows(inputs)
    total, lost = flow[0].rows or 0, sum(row.lost for row in flow[1:4])
    if lost:
        told = [
            f"{count(row.lost)} when {_STEP_WORDS[row.step]} ({', '.join(f'{why} {count(n)}' for why, n in row.left)})"
            for row in flow
            if row.step in STEPS and row.lost
        ]
        yield (
            f"{count(lost)} of {count(total)} rows of the exports ({percent(lost / total)}) were left out: "
            f"{', '.join(told)}. Who is left need not be like who was left out."
        )


def _neoadjuvant(inputs: StudyInputs) -> Iterator[str]:
    n = int(inputs.metrics["cohort"]["exclusions"].get("neoadjuvant", 0))
    if n:
        yield (
            f"Patients treated before axillary surgery were left out ({plural(n, 'row')}): nothing here holds for them."
        )


def _untested(inputs: StudyInputs) -> Iterator[str]:
    last = flow_rows(inputs)[-1]
    if last.left:
        yield (
            f"{plural(last.lost, 'axilla', 'axillae')} of the cohort were {last.left[0][0]}; every rate is counted on "
            f"the other {count(last.axillae)}."
        )


def _elastography(inputs: StudyInputs) -> Iterator[str]:
    read = facts.modalities(inputs)
    if (read and "elasto" not in read) or "elastography" not in inputs.axillae or inputs.axillae.empty:
        return
    have, n = inputs.axillae["elastography"].fillna(False).astype(bool), len(inputs.axillae)
    without = int((~have).sum())
    if without:
        yield f"{count(without)} of {count(n)} tested axillae ({percent(without / n)}) have no measured stiffness."


def _missing(inputs: StudyInputs) -> Iterator[str]:
    told, n = [], len(inputs.axillae)
    for column in facts.clinical(inputs):
        lacking = n - len(facts.known(inputs, column))
        told += [f"{facts.variable_words(column)} ({count(lacking)})"] if lacking else []
    if told:
        yield f"Values are missing in the {count(n)} tested axillae: {', '.join(told)}."


def _spacing(inputs: StudyInputs) -> Iterator[str]:
    if inputs.relative_diameter is not None:
        yield relative_lengths(inputs.relative_diameter)
    sources = facts.quality(inputs, "spacing_source")
    if len(sources) > 1:
        yield f"The size of a pixel comes from different kinds of source, by image sets: {facts.counted(sources)}."


def _contours(inputs: StudyInputs) -> Iterator[str]:
    drawn = facts.quality(inputs, "mask_source")
    if drawn:
        how = "different kinds of source" if len(drawn) > 1 else "one kind of source"
        yield (
            f"Lesions were outlined once for every image set, by {how} ({facts.counted(drawn)}): how far another "
            "contour would change the answers was not measured."
        )


def _weights(inputs: StudyInputs) -> Iterator[str]:
    if facts.setting(inputs, "model.pretrained") is True:
        name = facts.said(facts.setting(inputs, "model.backbone"))
        yield (
            f"The networks ({name}) started from published weights, learned from images outside this study that nobody "
            "here has checked."
        )
    elif facts.weights_files(inputs):
        digest = facts.weights_files(inputs)[0][:12]
        yield f"The networks started from weights of a file (SHA-256 {digest}…) that this study did not make."


def _lower(text: str) -> str:
    return f"{text[0].lower()}{text[1:]}"


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
