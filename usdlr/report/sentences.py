"""What the report says in words. Every number carries its n and its method; nothing says more than the numbers do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from usdlr.core.types import ContractStatus, RiskGroup, Stage
from usdlr.decision.contract import Contract
from usdlr.decision.settings import MARGINAL
from usdlr.decision.wording import (
    NOT_A_MEDICAL_DEVICE,
    P_NSLN,
    P_SLN,
    SIMULATED,
    UNCERTIFIED,
    cohort_line,
    contract_sentence,
    deferred_sentence,
    proxy_notice,
    rate_sentence,
    strata_sentences,
    verification_sentence,
)
from usdlr.evaluation.verified import read_verified
from usdlr.report.document import Notice
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
    plural,
    promise,
    rate_text,
)

VARIABLES: Mapping[str, str] = {
    "p_sln": f"log-odds of {P_SLN}",
    "p_nsln": f"log-odds of {P_NSLN}",
    "tumour_size_mm": "tumour size in mm",
    "age_years": "age in years",
}


def contract_words(inputs: StudyInputs) -> str:
    """What the bundle's contract promises, or why it promises nothing."""
    return contract_sentence(_contract(inputs), known_nsln=inputs.known_nsln)


def _contract(inputs: StudyInputs) -> Contract:
    return Contract.from_dict(inputs.contract)


def notices(inputs: StudyInputs, conflicts: tuple[str, ...]) -> tuple[Notice, ...]:
    """Everything a reader must know before the first number."""
    found = [Notice("conflict", "This page contradicts itself", text) for text in conflicts]
    if inputs.uncertified:
        held = _contract(inputs).marginal_held
        found.append(
            Notice(
                "uncertified",
                "Uncertified: a marginal promise only, without a stated confidence"
                if held
                else "Uncertified: the false-negative promise could not be made",
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
    """The bundle's contract in words: what it promises, to whom, whom it defers, and what the folds add."""
    contract = _contract(inputs)
    lines = [
        contract_words(inputs),
        _asked_for(contract),
        "Counted are patients: one with two positive axillae counts once, and as missed if either is.",
        "The contract is about patients exchangeable with the calibration patients. At another centre, with another "
        "scanner or in another population it is void until it is established anew there.",
        deferred_sentence(contract),
        *_strata(inputs, contract),
        _folds_beside(inputs, contract),
    ]
    return tuple(line for line in lines if line)


def _asked_for(contract: Contract) -> str:
    alpha = contract.alpha
    asked = (
        f"Asked for: at most {promise(alpha['sln'])} of SLN-positive and at most {promise(alpha['nsln'])} of "
        "NSLN-positive axillae missed (alpha)"
    )
    if contract.kind == MARGINAL:
        return (
            f"{asked}, on average over calibration samples: the marginal target, the weaker of two. It states no "
            "confidence, and what one sample gives may miss more. It is found by conformal risk control on calibration "
            "patients who were used for nothing else."
        )
    return (
        f"{asked}, with a chance of at most {promise(contract.delta)} that this statement is wrong (delta), joint over "
        "both endpoints. It is tested with exact binomial p-values on calibration patients who were used for nothing "
        "else."
    )


def _strata(inputs: StudyInputs, contract: Contract) -> list[str]:
    """What is promised in every stratum, and that this page does not show it; empty without strata."""
    told = strata_sentences(contract, known_nsln=inputs.known_nsln)
    if not told:
        return []
    weaker = "" if contract.certified else f"{UNCERTIFIED} "
    return [
        *told,
        f"The bundle decides every stratum by its own contract; the {weaker}out-of-fold decisions on this page rest on "
        f"the {weaker}thresholds of all axillae together.",
    ]


def _folds_beside(inputs: StudyInputs, contract: Contract) -> str:
    """Whose thresholds stand behind the rates of the page, and how many of them keep their promise."""
    folds: Mapping[str, Any] = inputs.metrics["cascade"]["folds"]
    kept = sum(Contract.from_dict(entry).answers for entry in folds.values())
    own = "" if contract.certified else f"{UNCERTIFIED} "
    told = (
        f"{kept} of {len(folds)} folds kept the marginal target on their calibration patients."
        if contract.kind == MARGINAL
        else f"{kept} of {len(folds)} folds' contracts were certified."
    )
    return (
        f"The contract belongs to the {own}thresholds of the exported bundle. The false-negative rates below estimate "
        f"the procedure: each axilla was decided in its own test fold, with the {inputs.marks.adjective}thresholds of "
        f"that fold's calibration patients. {told}"
    )


def verification_lines(inputs: StudyInputs) -> tuple[str, ...]:
    """What the axillae without known NSLN status may do to the NSLN rate; empty where that was not worked out."""
    plain = inputs.metrics["cascade"].get("verification")
    if plain is None:
        return ()
    proxy = Stage.NSLN in inputs.proxies
    found = read_verified(plain)
    lines = [verification_sentence(found, proxy=proxy)]
    if 0 < found.verified < found.sln_positive:
        left_out = "".join(
            f"; {_variable(name)} is left out, unknown for {plural(n, 'axilla', 'axillae')}"
            for name, n in plain["left_out"].items()
        )
        lines.append(
            f"Variables used: {', '.join(map(_variable, plain['covariates']))}{left_out}. Whatever else decided "
            f"{'whether the status is known' if proxy else 'about dissection'} is not in the weighted rate. It is "
            f"found with inverse probability weights, {found.method.split(', ', 1)[-1]}."
        )
    return tuple(lines)


def _variable(name: str) -> str:
    return VARIABLES.get(name, name.replace("_", " "))


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
