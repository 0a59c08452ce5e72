"""What the report says in words. Every number carries its n and its method; nothing says more than the numbers do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from usdlr.core.types import ContractStatus, RiskGroup, Stage
from usdlr.decision.contract import Contract
from usdlr.decision.wording import (
    NOT_A_MEDICAL_DEVICE,
    SIMULATED,
    cohort_line,
    contract_sentence,
    proxy_notice,
    rate_sentence,
)
from usdlr.report.inputs import StudyInputs
from usdlr.report.tables import (
    Estimate,
    count,
    estimate_text,
    events_text,
    finite,
    interval,
    method_text,
    not_estimable,
    number,
    promise,
    rate_text,
)


@dataclass(frozen=True)
class Notice:
    """A warning in a box of its own.

    Parameters
    ----------
    kind : str
        ``device``, ``simulated``, ``proxy``, ``relative``, ``uncertified`` or ``conflict``; the page styles it by this
        word.
    title, text : str
        Heading and sentences.
    """

    kind: str
    title: str
    text: str


def contract_words(inputs: StudyInputs) -> str:
    """What the bundle's contract promises, or why it promises nothing."""
    return contract_sentence(Contract.from_dict(inputs.contract), known_nsln=inputs.known_nsln)


def notices(inputs: StudyInputs, conflicts: tuple[str, ...]) -> tuple[Notice, ...]:
    """Everything a reader must know before the first number."""
    found = [Notice("conflict", "This page contradicts itself", text) for text in conflicts]
    if inputs.uncertified:
        found.append(
            Notice(
                "uncertified",
                "Uncertified: the false-negative promise could not be made",
                (
                    f"{contract_words(inputs)} Every group, threshold and rate on this page is uncertified "
                    "and may not be used to spare anybody surgery."
                ),
            )
        )
    if inputs.metrics["simulated"]:
        found.append(Notice("simulated", "Simulated", SIMULATED + _scenario(inputs)))
    found += [
        Notice("proxy", f"Proxy endpoint, {stage.upper()} stage", proxy_notice(stage, sentence))
        for stage, sentence in inputs.proxies.items()
    ]
    if inputs.relative_diameter is not None:
        found.append(
            Notice("relative", "Lengths are relative to the lesion", relative_lengths(inputs.relative_diameter))
        )
    found.append(Notice("device", "Not a medical device", NOT_A_MEDICAL_DEVICE))
    return tuple(found)


def relative_lengths(diameter: float) -> str:
    """What a unit is where nobody knows the millimetres.

    Examples
    --------
    >>> relative_lengths(20.0)[:75]
    "No millimetres are known here: one unit is 1/20 of the lesion's equivalent "
    """
    return (
        f"No millimetres are known here: one unit is 1/{diameter:g} of the lesion's equivalent diameter, that of the "
        "disc of its area. Wherever a setting, a feature or a table on this page says mm, such units are meant. "
        "Margins and crops grow with the lesion, and no tumour size was used."
    )


def false_negative_sentence(inputs: StudyInputs, stage: Stage) -> str:
    """A stage's false-negative rate against its target; always says among whom."""
    rate = inputs.metrics["cascade"][f"fnr_{stage}"]
    among = f" {inputs.known_nsln}" if stage is Stage.NSLN else ""
    what = f"{stage.upper()}-positive axillae{among}"
    if finite(rate.get("value")) is None:
        return f"False-negative rate of the {inputs.marks.adjective}cascade, {what}: {not_estimable(rate)}."
    said = rate_sentence(
        int(rate["events"]),
        int(rate["n"]),
        finite(rate.get("low")),
        finite(rate.get("high")),
        alpha=float(inputs.contract["alpha"][stage]),
    )
    return f"False-negative rate of the {inputs.marks.adjective}cascade, {what}: {said}"


def summary(inputs: StudyInputs) -> str:
    """The study in one paragraph, its main numbers first."""
    cascade = inputs.metrics["cascade"]
    total = sum(int(cascade["groups"][group]["n"]) for group in RiskGroup)
    low = int(cascade["groups"][RiskGroup.LR_SLN]["n"])
    return " ".join(
        (
            *(false_negative_sentence(inputs, stage) for stage in Stage),
            f"Of {count(total)} axillae, {count(low)} fell into the {inputs.marks.adjective}group LR-SLN, low risk of "
            f"a positive sentinel node; {events_text(cascade['defer_rate'])} were deferred to the usual pathway, "
            f"{rate_text(cascade['defer_rate'])}.",
            _areas(inputs),
            *_best_possible(inputs),
            cohort_line(inputs.metrics["cohort"]),
        )
    )


def _areas(inputs: StudyInputs) -> str:
    sln, nsln = (inputs.metrics["stages"][stage]["auc"] for stage in Stage)
    methods = dict.fromkeys(method_text(auc) for auc in (sln, nsln) if finite(auc.get("value")) is not None)
    how = f" ({'; '.join(methods)})" if methods else ""
    return (
        f"Area under the ROC curve{how}: SLN stage {_area(sln)}; NSLN stage, judged {inputs.known_nsln} with a "
        f"positive sentinel node, {_area(nsln)}."
    )


def _scenario(inputs: StudyInputs) -> str:
    """Which model made the nodes; empty where that is not recorded."""
    scenario = inputs.metrics.get("scenario")
    return f" Scenario {scenario['name']}: {scenario['meaning']}." if scenario else ""


def _best_possible(inputs: StudyInputs) -> Iterator[str]:
    """How near the model comes to what these images allow; nothing for real patients, of whom nobody knows."""
    for stage in Stage:
        best = [estimates["auc"] for _, estimates in inputs.ceilings(stage)]
        share = inputs.share_of_limit(stage)
        if len(best) < 2 or share is None or any(finite(auc.get("value")) is None for auc in best):
            continue
        limit, oracle = (f"{number(auc['value'])} ({interval(auc.get('low'), auc.get('high'))})" for auc in best)
        reached = (
            f"the model goes {estimate_text(share)} of the way from chance to that limit"
            if finite(share.get("value")) is not None
            else f"the model's share of it is {not_estimable(share)}"
        )
        yield (
            f"At the {stage.upper()} stage of these simulated patients, a model of the true form on what can be "
            f"measured on the same images reaches an area of {limit} (the limit), the truth itself "
            f"{oracle}; {reached}."
        )


def _area(auc: Estimate) -> str:
    value = finite(auc.get("value"))
    if value is None:
        return not_estimable(auc)
    return f"{number(value)} (95 % interval {interval(auc.get('low'), auc.get('high'))}, n = {count(auc.get('n'))})"


def contract_statement(inputs: StudyInputs) -> tuple[str, ...]:
    """The bundle's contract in words, whom it is about, and what the folds add."""
    adjective = inputs.marks.adjective
    alpha, delta = inputs.contract["alpha"], inputs.contract["delta"]
    folds: Mapping[str, Any] = inputs.metrics["cascade"]["folds"]
    kept = sum(entry["status"] == ContractStatus.CERTIFIED for entry in folds.values())
    lines = [
        contract_words(inputs),
        f"Asked for: at most {promise(alpha['sln'])} of SLN-positive and at most {promise(alpha['nsln'])} of "
        f"NSLN-positive axillae missed (alpha), with a chance of at most {promise(delta)} that this statement is "
        "wrong (delta), joint over both endpoints. It is tested with exact binomial p-values on calibration patients "
        "who were used for nothing else.",
        "The contract is about patients exchangeable with the calibration patients. At another centre, with another "
        "scanner or in another population it is void until it is established anew there.",
        f"The contract belongs to the {adjective}thresholds of the exported bundle. The false-negative rates below "
        f"estimate the procedure: each axilla was decided in its own test fold, with the {adjective}thresholds of "
        f"that fold's calibration patients. {kept} of {len(folds)} folds' contracts were certified.",
    ]
    return tuple(lines)


def uncertified_folds(inputs: StudyInputs) -> str:
    """A sentence for a certified bundle some of whose folds are not, empty otherwise."""
    folds: Mapping[str, Any] = inputs.metrics["cascade"]["folds"]
    lacking = sum(entry["status"] != ContractStatus.CERTIFIED for entry in folds.values())
    if inputs.uncertified or not lacking:
        return ""
    return (
        f"{lacking} of {len(folds)} folds could not certify their thresholds: the decisions of these folds, and with "
        "them the rates below, rest partly on uncertified thresholds."
    )


def false_negative_notes(inputs: StudyInputs) -> tuple[str, ...]:
    """The rates in words, whom they are about, and what stands beside them."""
    cascade, references = inputs.metrics["cascade"], inputs.metrics["references"]
    verified = cascade["verified_share"]
    why = "" if Stage.NSLN in inputs.proxies else " only after axillary dissection, here"
    lines = [
        *(false_negative_sentence(inputs, stage) for stage in Stage),
        f"NSLN status is known{why} in {events_text(verified)} SLN-positive axillae: verified share "
        f"{rate_text(verified)}, 95 % interval ({method_text(verified)}). The NSLN rate is stated {inputs.known_nsln} "
        "and need not hold for the others.",
        "For orientation: sentinel lymph node biopsy itself misses about "
        f"{promise(references['sentinel_biopsy_fnr'])} of positive axillae and axillary dissection about "
        f"{promise(references['axillary_dissection_fnr'])}.",
    ]
    return tuple(line for line in (uncertified_folds(inputs), *lines) if line)
