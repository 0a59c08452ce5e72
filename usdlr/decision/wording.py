"""The only place for sentences that a clinician reads. Short, plain, and never saying more than the numbers do.

Those of a contract are written in :mod:`usdlr.decision.contract_words`; all of them are imported from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from usdlr.core.errors import InputError
from usdlr.core.types import ContractStatus, RiskGroup, Stage
from usdlr.decision.contract_words import (
    DISSECTED,
    MARGINAL_WORD,
    PARTLY,
    UNCERTIFIED,
    contract_lines,
    contract_sentence,
    deferred_sentence,
    standing,
    standing_mark,
    strata_sentences,
)
from usdlr.decision.utility import UtilityThresholds
from usdlr.decision.verification import Verification

__all__ = [
    "DEFER_SENTENCES",
    "DISSECTED",
    "ENDPOINT_NAMES",
    "GROUP_SENTENCES",
    "MARGINAL_WORD",
    "NOT_A_MEDICAL_DEVICE",
    "PARTLY",
    "P_NSLN",
    "P_SLN",
    "SIMULATED",
    "UNCERTIFIED",
    "DeferCause",
    "cohort_line",
    "contract_lines",
    "contract_sentence",
    "decision_note",
    "decision_reason",
    "deferral_reason",
    "deferred_sentence",
    "known_nsln",
    "percent",
    "proxy_notice",
    "rate_sentence",
    "seen_sentence",
    "standing",
    "standing_mark",
    "strata_sentences",
    "stratum_reason",
    "utility_sentence",
    "verification_sentence",
    "void_sentence",
]

NOT_A_MEDICAL_DEVICE = (
    "usdlr is research software, not a medical device: its output must not decide on diagnosis or treatment."
)
SIMULATED = "Simulated patients: these numbers come from computer-made images and say nothing about real patients."

P_SLN = "P(SLN positive | x)"
P_NSLN = "P(NSLN positive | SLN positive, x)"
"""How the two probabilities are labelled on every page; x is what was known before surgery."""

ENDPOINT_NAMES: Mapping[Stage, str] = {
    Stage.SLN: "sentinel lymph node (SLN)",
    Stage.NSLN: "non-sentinel lymph node (NSLN)",
}

GROUP_SENTENCES: Mapping[RiskGroup, str] = {
    RiskGroup.LR_SLN: (
        f"Low risk of a positive sentinel lymph node: {P_SLN} is below its threshold. Research use only."
    ),
    RiskGroup.HR_SLN_LR_NSLN: (
        "High risk of a positive sentinel lymph node; if it is positive, low risk of positive non-sentinel nodes: "
        f"{P_NSLN} is below its threshold. Research use only."
    ),
    RiskGroup.HR_SLN_HR_NSLN: (
        "High risk of a positive sentinel lymph node; if it is positive, high risk of positive non-sentinel nodes: "
        f"{P_NSLN} is at or above its threshold. Research use only."
    ),
    RiskGroup.DEFER: (
        "No answer (DEFER): the false-negative target is uncertified, so the patient follows the usual pathway. "
        "Research use only."
    ),
}


class DeferCause(StrEnum):
    """Why an axilla gets no answer although the contract holds."""

    NEAR_SLN = "near_sln"
    NEAR_NSLN = "near_nsln"
    STRANGE = "strange"
    STRATUM = "stratum"


DEFER_SENTENCES: Mapping[DeferCause, str] = {
    DeferCause.NEAR_SLN: f"{P_SLN} is too uncertain to say on which side of its threshold it lies",
    DeferCause.NEAR_NSLN: f"{P_NSLN} is too uncertain to say on which side of its threshold it lies",
    DeferCause.STRANGE: "this case is unlike those that the model was made with, or that could not be checked",
    DeferCause.STRATUM: (
        "the target was set for each group of patients, and this patient's group is unknown or had no calibration "
        "patients"
    ),
}


def known_nsln(*, proxy: bool) -> str:
    """Among whom the NSLN status is known: among dissected axillae, unless a proxy stands in.

    Examples
    --------
    >>> known_nsln(proxy=False)
    'among dissected axillae'
    """
    return "among axillae with known status" if proxy else DISSECTED


def percent(rate: float, digits: int = 1) -> str:
    """A rate as a percentage.

    Examples
    --------
    >>> percent(0.05), percent(0.10, 0)
    ('5.0 %', '10 %')
    """
    return f"{100 * rate:.{digits}f} %"


def decision_reason(group: RiskGroup, status: ContractStatus, *, marginal: bool = False) -> str:
    """Why an axilla is in its group; an answer without a certified contract says so, and so does a marginal one.

    Parameters
    ----------
    group : RiskGroup
        The answer.
    status : ContractStatus
        Of the contract behind the thresholds.
    marginal : bool
        Whether the promise is marginal whatever the status says.

    Examples
    --------
    >>> decision_reason(RiskGroup.LR_SLN, ContractStatus.NOT_CERTIFIABLE)[:15]
    'Uncertified: lo'
    """
    sentence = GROUP_SENTENCES[group]
    if group is RiskGroup.DEFER or (status is ContractStatus.CERTIFIED and not marginal):
        return sentence
    held = marginal or status is ContractStatus.MARGINAL
    start = "Marginal target only, uncertified" if held else UNCERTIFIED.capitalize()
    return f"{start}: {sentence[0].lower()}{sentence[1:]}"


def stratum_reason(by: str, name: str) -> str:
    """By which stratum's contract an axilla was decided, to stand after the reason.

    Examples
    --------
    >>> stratum_reason("tumour_size", "up to 20 mm")
    ' Decided by the contract of its own stratum (tumour size: up to 20 mm).'
    """
    return f" Decided by the contract of its own stratum ({by.replace('_', ' ')}: {name})."


def deferral_reason(cause: DeferCause) -> str:
    """Why an axilla gets no answer.

    Examples
    --------
    >>> deferral_reason(DeferCause.STRANGE)[:31]
    'No answer (DEFER): this case is'
    """
    return f"No answer (DEFER): {DEFER_SENTENCES[cause]}, so the patient follows the usual pathway. Research use only."


def decision_note(*, simulated: bool, proxy: bool) -> str:
    """What goes before every decision of a model that does not speak of patients' nodes.

    Examples
    --------
    >>> decision_note(simulated=False, proxy=True)
    'Proxy endpoint, not node status. '
    >>> decision_note(simulated=False, proxy=False)
    ''
    """
    return ("Simulated. " if simulated else "") + ("Proxy endpoint, not node status. " if proxy else "")


def verification_sentence(found: Verification, *, proxy: bool = False) -> str:
    """How much of the NSLN status is known, and how far the unknown part may bend the rate; no part of the contract.

    Parameters
    ----------
    found : Verification
        Of the SLN-positive axillae.
    proxy : bool
        Whether another endpoint stands for the NSLN status, which then no dissection makes known.
    """
    who = "whose status is known" if proxy else "who was dissected"
    if found.sln_positive == 0 or found.verified_share is None:
        return f"There is no SLN-positive axilla, so nothing can be said about {who}."
    share = (
        f"NSLN status is known for {found.verified} of {found.sln_positive} SLN-positive axillae "
        f"({percent(found.verified_share)})"
    )
    if found.verified == found.sln_positive:
        return f"{share}: the NSLN false-negative rate needs no assumption about {who}."
    bounds = ""
    if found.best is not None and found.worst is not None:
        bounds = (
            f" If nothing is assumed about the others, {_outward(found.best, math.floor)} to "
            f"{_outward(found.worst, math.ceil)} % of NSLN-positive axillae are missed."
        )
    if found.weighted is None or found.low is None or found.high is None:
        return f"{share}; none of them is NSLN-positive, so no rate can be estimated.{bounds}"
    event = "being known" if proxy else "dissection"
    interval = f"95 % interval {_outward(found.low, math.floor)} to {_outward(found.high, math.ceil)} %"
    return (
        f"{share}. If {event} depends on nothing but the variables used, {percent(found.weighted)} of all "
        f"NSLN-positive axillae are missed ({interval}; as much information as {math.floor(found.effective_positives)} "
        f"equally weighted positives).{bounds} Neither is part of the contract."
    )


def utility_sentence(found: UtilityThresholds) -> str:
    """What thresholds of least cost are, and that they promise nothing."""
    costs = found.costs
    return (
        "Utility thresholds, without any promise about missed nodes: they cost least among the tuning patients if a "
        f"missed node costs {costs.missed_sln / costs.needless_sln:g} times a needless sentinel biopsy (SLN) and "
        f"{costs.missed_nsln / costs.needless_nsln:g} times a needless dissection (NSLN)."
    )


def void_sentence(centres: Sequence[str]) -> str:
    """Says that a contract does not reach other centres.

    Examples
    --------
    >>> void_sentence(["east"])
    'The contract is void for east: it speaks of patients like the calibration patients, until established there anew.'
    """
    return (
        f"The contract is void for {', '.join(centres)}: it speaks of patients like the calibration patients, until "
        "established there anew."
    )


def seen_sentence(seen: int, n: int) -> str:
    """Says that some of the predicted axillae made the model.

    Examples
    --------
    >>> seen_sentence(3, 10)
    '3 of 10 axillae belong to patients who were used to make this model: their predictions prove nothing about it.'
    """
    return (
        f"{seen} of {n} axillae belong to patients who were used to make this model: their predictions prove nothing "
        "about it."
    )


def rate_sentence(
    events: int, n: int, low: float | None, high: float | None, *, alpha: float | None = None, what: str = "missed"
) -> str:
    """A rate with its interval and, where a target is given, what the interval says about it.

    Interval ends are rounded outward, so that no rounding makes the result look more certain than it is.

    Parameters
    ----------
    events, n : int
        Numerator and denominator.
    low, high : float or None
        Ends of the 95 % interval, as rates; None where undefined.
    alpha : float, optional
        The target that the rate should not exceed.
    what : str
        What happened to the events.

    Examples
    --------
    >>> rate_sentence(7, 32, 0.0928, 0.3997)
    '7 of 32 missed, 21.9 % (95 % interval 9.2 to 40.0 %).'
    >>> rate_sentence(0, 20, 0.0, 0.1684, alpha=0.1)
    '0 of 20 missed, 0.0 % (95 % interval 0.0 to 16.9 %); this does not settle whether the rate is within 10 %.'
    """
    if n == 0 or low is None or high is None:
        return f"No rate can be given: {events} of {n} {what}."
    value = percent(events / n)
    if events > 0 and value == percent(0.0):
        value = "below 0.1 %"
    if events < n and value == percent(1.0):
        value = "above 99.9 %"
    interval = f"95 % interval {_outward(low, math.floor)} to {_outward(high, math.ceil)} %"
    sentence = f"{events} of {n} {what}, {value} ({interval})"
    if alpha is None:
        return f"{sentence}."
    target = f"{100 * alpha:g} %"
    if high <= alpha:
        return f"{sentence}; the interval lies within the target of {target}."
    if low > alpha:
        return f"{sentence}; the target of {target} is broken."
    return f"{sentence}; this does not settle whether the rate is within {target}."


def proxy_notice(stage: Stage, sentence: str) -> str:
    """Says that an endpoint is a stand-in, and for what.

    Examples
    --------
    >>> proxy_notice(Stage.SLN, "malignant against benign.")
    'Proxy endpoint instead of sentinel lymph node (SLN) status: malignant against benign. It says nothing about ...'
    """
    return (
        f"Proxy endpoint instead of {ENDPOINT_NAMES[Stage(stage)]} status: {sentence.rstrip('. ')}. "
        "It says nothing about lymph nodes."
    )


def cohort_line(cohort: Mapping[str, Any]) -> str:
    """The cohort behind a number, in one line.

    Parameters
    ----------
    cohort : mapping
        ``centres`` (names), ``patients``, ``axillae``, ``image_sets``, ``excluded`` (counts), as in ``metrics.json``.

    Raises
    ------
    InputError
        If a key is missing.

    Examples
    --------
    >>> cohort_line({"centres": ["A", "B"], "patients": 2, "axillae": 3, "image_sets": 4, "excluded": 1})
    'Cohort: 2 patients, 3 axillae, 4 image sets from 2 centres (A, B); 1 excluded row.'
    """
    try:
        centres = [str(name) for name in cohort["centres"]]
        parts = [_count(cohort["patients"], "patient"), _count(cohort["axillae"], "axilla", "axillae")]
        parts.append(_count(cohort["image_sets"], "image set"))
        excluded = _count(cohort["excluded"], "excluded row")
    except KeyError as error:
        raise InputError(f"found no {error} in the cohort, expected the cohort part of metrics.json") from error
    return f"Cohort: {', '.join(parts)} from {_count(len(centres), 'centre')} ({', '.join(centres)}); {excluded}."


def _outward(rate: float, rounding: Any) -> str:
    # Ten digits first: 0.07 * 1000 is 70.00000000000001 and must not become 7.1 %.
    return f"{rounding(round(1000 * rate, 7)) / 10:.1f}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
