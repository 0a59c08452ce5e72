"""What the report says in words, with the study's numbers; the sentences themselves are of ``usdlr.decision``."""

from __future__ import annotations

from collections.abc import Iterator

from usdlr.core.types import RiskGroup, Stage
from usdlr.decision import wording_study as words
from usdlr.decision.contract import Contract
from usdlr.decision.contract_words import (
    COUNTED,
    EXCHANGEABLE,
    asked_sentence,
    folds_sentence,
    lacking_folds_sentence,
    strata_decide_sentence,
)
from usdlr.decision.wording import (
    NOT_A_MEDICAL_DEVICE,
    SIMULATED,
    cohort_line,
    contract_sentence,
    deferred_sentence,
    proxy_notice,
    strata_sentences,
)
from usdlr.evaluation.verified import read_verified
from usdlr.report.document import Notice
from usdlr.report.inputs import StudyInputs


def contract_words(inputs: StudyInputs) -> str:
    """What the bundle's contract promises, or why it promises nothing."""
    return contract_sentence(_contract(inputs), known_nsln=inputs.known_nsln)


def _contract(inputs: StudyInputs) -> Contract:
    return Contract.from_dict(inputs.contract)


def _folds(inputs: StudyInputs) -> list[Contract]:
    return [Contract.from_dict(entry) for entry in inputs.metrics["cascade"]["folds"].values()]


def notices(inputs: StudyInputs, conflicts: tuple[str, ...]) -> tuple[Notice, ...]:
    """Everything a reader must know before the first number."""
    found = [Notice("conflict", "This page contradicts itself", text) for text in conflicts]
    if inputs.uncertified:
        title = words.uncertified_title(marginal=_contract(inputs).marginal_held)
        found.append(Notice("uncertified", title, words.uncertified_notice(contract_words(inputs))))
    if inputs.metrics["simulated"]:
        told = SIMULATED + words.scenario_sentence(inputs.metrics.get("scenario"))
        found.append(Notice("simulated", "Simulated", told))
    found += [
        Notice("proxy", f"Proxy endpoint, {stage.upper()} stage", proxy_notice(stage, sentence))
        for stage, sentence in inputs.proxies.items()
    ]
    if inputs.relative_diameter is not None:
        lengths = words.relative_lengths(inputs.relative_diameter)
        found.append(Notice("relative", "Lengths are relative to the lesion", lengths))
    found.append(Notice("device", "Not a medical device", NOT_A_MEDICAL_DEVICE))
    return tuple(found)


def false_negative_sentence(inputs: StudyInputs, stage: Stage) -> str:
    """A stage's false-negative rate against its target; always says among whom."""
    return words.false_negative_sentence(
        inputs.metrics["cascade"][f"fnr_{stage}"],
        stage,
        alpha=float(inputs.contract["alpha"][stage]),
        known_nsln=inputs.known_nsln,
        adjective=inputs.marks.adjective,
    )


def summary(inputs: StudyInputs) -> str:
    """The study in one paragraph, its main numbers first."""
    cascade = inputs.metrics["cascade"]
    total = sum(int(cascade["groups"][group]["n"]) for group in RiskGroup)
    low = int(cascade["groups"][RiskGroup.LR_SLN]["n"])
    auc = {stage: inputs.metrics["stages"][stage]["auc"] for stage in Stage}
    return " ".join(
        (
            *(false_negative_sentence(inputs, stage) for stage in Stage),
            words.groups_sentence(total, low, cascade["defer_rate"], adjective=inputs.marks.adjective),
            words.areas_sentence(auc, known_nsln=inputs.known_nsln),
            *_best_possible(inputs),
            cohort_line(inputs.metrics["cohort"]),
        )
    )


def _best_possible(inputs: StudyInputs) -> Iterator[str]:
    """How near the model comes to what these images allow; nothing for real patients, of whom nobody knows."""
    for stage in Stage:
        best = [estimates["auc"] for _, estimates in inputs.ceilings(stage)]
        share = inputs.share_of_limit(stage)
        if len(best) == 2 and share is not None and (told := words.limit_sentence(stage, best[0], best[1], share)):
            yield told


def contract_statement(inputs: StudyInputs) -> tuple[str, ...]:
    """The bundle's contract in words: what it promises, to whom, whom it defers, and what the folds add."""
    contract = _contract(inputs)
    strata = strata_sentences(contract, known_nsln=inputs.known_nsln)
    lines = [
        contract_words(inputs),
        asked_sentence(contract),
        COUNTED,
        EXCHANGEABLE,
        deferred_sentence(contract),
        *strata,
        *((strata_decide_sentence(),) if strata else ()),
        folds_sentence(contract, _folds(inputs), adjective=inputs.marks.adjective),
    ]
    return tuple(line for line in lines if line)


def verification_lines(inputs: StudyInputs) -> tuple[str, ...]:
    """What the axillae without known NSLN status may do to the NSLN rate; empty where that was not worked out."""
    plain = inputs.metrics["cascade"].get("verification")
    if plain is None:
        return ()
    return words.verification_lines(read_verified(plain), plain, proxy=Stage.NSLN in inputs.proxies)


def needle_lines(inputs: StudyInputs) -> tuple[str, ...]:
    """How needle-proven axillae fare; empty where there is none."""
    found = inputs.metrics["cascade"].get("needle")
    if found is None:
        return ()
    missed = found["rates"]["needle"]["fnr_sln"]
    return (words.needle_sentence(found, missed, adjective=inputs.marks.adjective),)


def uncertified_folds(inputs: StudyInputs) -> str:
    """A sentence for a certified bundle some of whose folds are not, empty otherwise."""
    folds = _folds(inputs)
    lacking = sum(not all(part.certified for part in fold.deciding()) for fold in folds)
    return "" if inputs.uncertified else lacking_folds_sentence(lacking, len(folds))


def false_negative_notes(inputs: StudyInputs) -> tuple[str, ...]:
    """The rates in words, whom they are about, and what stands beside them."""
    cascade, references = inputs.metrics["cascade"], inputs.metrics["references"]
    lines = [
        uncertified_folds(inputs),
        *(false_negative_sentence(inputs, stage) for stage in Stage),
        words.verified_sentence(
            cascade["verified_share"], known_nsln=inputs.known_nsln, proxy=Stage.NSLN in inputs.proxies
        ),
        words.references_sentence(references["sentinel_biopsy_fnr"], references["axillary_dissection_fnr"]),
    ]
    return tuple(line for line in lines if line)
