"""Sentences on a study's main results: what was missed, deferred and ranked, and how far the numbers reach.

Estimates are mappings with ``value low high n events method``, as they stand in ``metrics.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision.numbers import (
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
from usdlr.decision.verification import Verification
from usdlr.decision.wording import P_NSLN, P_SLN, rate_sentence, verification_sentence

VARIABLES: Mapping[str, str] = {
    "p_sln": f"log-odds of {P_SLN}",
    "p_nsln": f"log-odds of {P_NSLN}",
    "tumour_size_mm": "tumour size in mm",
    "age_years": "age in years",
}
USELESS = (0.0, 1.0)  # a share whose interval holds both ends says nothing
LOOK_FIRST = "Before anybody acts on it:"


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


def uncertified_title(*, marginal: bool) -> str:
    """The heading of the notice that there is no certificate."""
    if marginal:
        return "Uncertified: a marginal promise only, without a stated confidence"
    return "Uncertified: the false-negative promise could not be made"


def uncertified_notice(contract: str) -> str:
    """The contract's own sentence, and what follows from it for the page."""
    return (
        f"{contract} Every group, threshold and rate on this page is uncertified and may not be used to spare anybody "
        "surgery."
    )


def false_negative_sentence(rate: Estimate, stage: Stage, *, alpha: float, known_nsln: str, adjective: str) -> str:
    """A stage's false-negative rate against its target; always says among whom.

    Parameters
    ----------
    rate : mapping
        With ``events``.
    stage : Stage
        Whose positives.
    alpha : float
        The largest rate that is tolerated.
    known_nsln : str
        Among whom the NSLN status is known.
    adjective : str
        ``"uncertified "`` or nothing, to stand before a word such as *cascade*.
    """
    among = f" {known_nsln}" if stage is Stage.NSLN else ""
    what = f"{stage.upper()}-positive axillae{among}"
    if finite(rate.get("value")) is None:
        return f"False-negative rate of the {adjective}cascade, {what}: {not_estimable(rate)}."
    said = rate_sentence(
        int(rate["events"]), int(rate["n"]), finite(rate.get("low")), finite(rate.get("high")), alpha=alpha
    )
    return f"False-negative rate of the {adjective}cascade, {what}: {said}"


def groups_sentence(total: int, low: int, deferred: Estimate, *, adjective: str) -> str:
    """How many axillae fell into the group of low risk, and how many were deferred."""
    return (
        f"Of {count(total)} axillae, {count(low)} fell into the {adjective}group LR-SLN, low risk of a positive "
        f"sentinel node; {events_text(deferred)} were deferred to the usual pathway, {rate_text(deferred)}."
    )


def areas_sentence(auc: Mapping[Stage, Estimate], *, known_nsln: str) -> str:
    """The areas under the curve of both stages, with interval, n and method."""
    methods = dict.fromkeys(method_text(one) for one in auc.values() if finite(one.get("value")) is not None)
    how = f" ({'; '.join(methods)})" if methods else ""
    return (
        f"Area under the ROC curve{how}: SLN stage {_area(auc[Stage.SLN])}; NSLN stage, judged {known_nsln} with a "
        f"positive sentinel node, {_area(auc[Stage.NSLN])}."
    )


def limit_sentence(stage: Stage, limit: Estimate, oracle: Estimate, share: Estimate) -> str:
    """How near the model comes to what simulated images allow; empty where limit or oracle has no value."""
    if any(finite(auc.get("value")) is None for auc in (limit, oracle)):
        return ""
    best, truth = (f"{number(auc['value'])} ({interval(auc.get('low'), auc.get('high'))})" for auc in (limit, oracle))
    return (
        f"At the {stage.upper()} stage of these simulated patients, a model of the true form on what can be measured "
        f"on the same images reaches an area of {best} (the limit), the truth itself {truth}; {_reached(share)}."
    )


def _reached(share: Estimate) -> str:
    value, low, high = (finite(share.get(key)) for key in ("value", "low", "high"))
    if value is None:
        return f"the model's share of it is {not_estimable(share)}"
    if low is None or high is None:
        return "these axillae do not tell how near the model comes to that limit: its share has no interval"
    if low <= USELESS[0] and high >= USELESS[1]:
        return (
            "these axillae do not tell how near the model comes to that limit: the interval of its share, "
            f"{interval(low, high)}, holds both nothing and all of it"
        )
    if low <= USELESS[0]:
        return (
            "the model is not shown to leave chance behind: its share of the way from chance to that limit is "
            f"{estimate_text(share)}"
        )
    return f"the model goes {estimate_text(share)} of the way from chance to that limit"


def _area(auc: Estimate) -> str:
    value = finite(auc.get("value"))
    if value is None:
        return not_estimable(auc)
    return f"{number(value)} (95 % interval {interval(auc.get('low'), auc.get('high'))}, n = {count(auc.get('n'))})"


def scenario_sentence(scenario: Mapping[str, Any] | None) -> str:
    """Which model made the nodes of simulated patients; empty where that is not recorded."""
    return f" Scenario {scenario['name']}: {scenario['meaning']}." if scenario else ""


def verification_lines(found: Verification, plain: Mapping[str, Any], *, proxy: bool) -> tuple[str, ...]:
    """What the axillae without known NSLN status may do to the NSLN rate.

    Parameters
    ----------
    found : Verification
        Of the SLN-positive axillae.
    plain : mapping
        ``covariates`` (columns) and ``left_out`` (column to axillae of which it is unknown).
    proxy : bool
        Whether another endpoint stands for the NSLN status.
    """
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


def verified_sentence(verified: Estimate, *, known_nsln: str, proxy: bool) -> str:
    """Of how many SLN-positive axillae the NSLN status is known, and whom the NSLN rate is about."""
    why = "" if proxy else " only after axillary dissection, here"
    return (
        f"NSLN status is known{why} in {events_text(verified)} SLN-positive axillae: verified share "
        f"{rate_text(verified)}, 95 % interval ({method_text(verified)}). The NSLN rate is stated {known_nsln} "
        "and need not hold for the others."
    )


def references_sentence(biopsy: float, dissection: float) -> str:
    """What surgery itself misses, as rates, to stand beside the result."""
    return (
        f"For orientation: sentinel lymph node biopsy itself misses about {promise(biopsy)} of positive axillae and "
        f"axillary dissection about {promise(dissection)}."
    )


def needle_sentence(counts: Mapping[str, Any], missed: Estimate, *, adjective: str) -> str:
    """How the axillae fare whose positive node was proven by needle; they are in every rate, and told apart here.

    Parameters
    ----------
    counts : mapping
        ``needle``: how many there are; ``positive``: SLN-positive axillae in all.
    missed : mapping
        Of the needle-proven axillae, those called LR-SLN.
    adjective : str
        ``"uncertified "`` or nothing.
    """
    n = int(counts["needle"])
    were, counted = ("was", "counts") if n == 1 else ("were", "count")
    start = (
        f"{plural(n, 'axilla', 'axillae')} of {count(counts['positive'])} SLN-positive ones {were} proven positive by "
        f"needle before any surgery and {counted} as positive in every rate"
    )
    if finite(missed.get("value")) is None:
        return f"{start}."
    said = rate_sentence(int(missed["events"]), int(missed["n"]), finite(missed.get("low")), finite(missed.get("high")))
    return f"{start}. By the {adjective}cascade, {said} The others stand apart in the table."


def needle_note(methods: str) -> str:
    """How the table of needle-proven axillae is read."""
    return (
        "After each rate, the axillae that it rests on. A needle proves what ultrasound shows: such axillae are not "
        f"those that surgery alone finds. Rates: {methods}."
    )


def tumour_cells_sentence(*, positive: bool, n: int | None) -> str:
    """How small deposits in a sentinel node are read.

    Parameters
    ----------
    positive : bool
        Whether isolated tumour cells count as positive.
    n : int or None
        Tested axillae whose largest deposit they are; None where deposits are not in the tables.
    """
    told = "" if n is None else f" ({plural(n, 'tested axilla', 'tested axillae')})"
    return (
        f"Isolated tumour cells{told} count as {'positive' if positive else 'negative'}, micrometastases as positive, "
        "where the tables state the deposit."
    )


def cohort_behind(axillae: int, centres: str, *, simulated: bool) -> str:
    """On whom all numbers of a page rest."""
    return f"All numbers rest on {count(axillae)} {'simulated axillae' if simulated else 'axillae'} from {centres}."
