"""Sentences on what becomes of 1,000 axillae, and on how much hangs on the exact thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision.numbers import (
    NBSP,
    Estimate,
    count,
    events_text,
    finite,
    outcome_text,
    percent,
    promise,
    rate_text,
    share_text,
)
from usdlr.decision.wording import rate_sentence

NOBODY_KNOWN = "No axilla has a known SLN status: the ways cannot be compared."
CURRENT_RULE = (
    "The classical pathway: a sentinel biopsy for everybody, and a dissection if it is positive. Since the trials "
    "Z0011, IBCSG 23-01 and AMAROS guidelines no longer ask for it with one or two positive nodes; it stands here "
    "as what the others are measured against."
)
Z0011_RULE = (
    "As dissection if positive, but no dissection with one or two positive sentinel nodes, cN0 and a tumour of at "
    "most 50 mm on ultrasound (T1 or T2). Where an item is unknown and no other forbids sparing, the axilla is "
    "counted apart and never guessed."
)
CASCADE_RULE = (
    "LR-SLN: no axillary surgery. HR-SLN/LR-NSLN: a sentinel biopsy, and no dissection even if it is positive. "
    "HR-SLN/HR-NSLN: a sentinel biopsy, and a dissection if it is positive. DEFER: the usual pathway, counted "
    "here as dissection if positive."
)
UNCERTIFIED_WAYS = "The thresholds are uncertified: this describes the tested axillae and promises nothing of others."
IRRADIATION = (
    "The Z0011 rule asks for breast conservation with whole-breast irradiation, which is not in the tables: it is "
    "applied as if everybody had both, and spares too many where not. Giuliano and others, JAMA 318 (2017) 918, "
    "doi:10.1001/jama.2017.11470."
)
NO_OUTCOME = "A node left in place is not a recurrence: none of the ways says what becomes of the patients."
CAPTION_ASSUMED = (
    "Assumed: the biopsy finds what the tables state, and everybody follows the way. Breast conservation with "
    "irradiation, which the Z0011 rule asks for, is not in the tables. No way says what becomes of the patients."
)
NO_CONTRACT = "Thresholds that are moved after the outcome is known carry no contract."
ITEMS: Mapping[str, str] = {
    "sln_positive_count": "number of positive sentinel nodes",
    "cn_stage": "clinical nodal stage",
    "tumour_size_mm": "tumour size",
}


def population_text(counts: Mapping[str, Any]) -> str:
    """Whom all shares are about.

    Examples
    --------
    >>> counts = {"n": 16, "sln_known": 14, "patients": 12, "sln_unknown": 2}
    >>> population_text(counts).replace(NBSP, " ")
    '14 axillae with known SLN status of 12 patients (2 of unknown status left out)'
    """
    left = f" ({count(counts['sln_unknown'])} of unknown status left out)" if counts["sln_unknown"] else ""
    among = f"{count(counts['sln_known'])}{NBSP}axillae with known SLN status"
    return f"{among} of {count(counts['patients'])}{NBSP}patients{left}"


def ways_sentence(
    counts: Mapping[str, Any], cascade: Mapping[str, Any], rule: Mapping[str, Any], *, adjective: str
) -> str:
    """What the cascade and the Z0011 rule spare, per 1,000 axillae.

    Parameters
    ----------
    counts : mapping
        As of :func:`population_text`.
    cascade, rule : mapping
        ``biopsies_spared`` and ``dissections_spared`` of either way, with ``least`` and ``most``.
    adjective : str
        ``"uncertified "`` or nothing.
    """
    return (
        f"Three ways of deciding are laid side by side for the same {population_text(counts)}. Of 1,000 such axillae "
        f"the {adjective}cascade spares {share_text(cascade['biopsies_spared']['least'])} the sentinel biopsy and "
        f"{outcome_text(cascade['dissections_spared'])} the dissection; the Z0011 rule spares "
        f"{outcome_text(rule['dissections_spared'])} the dissection and none the biopsy (95 % intervals in brackets)."
    )


def left_sentence(missed: Mapping[Stage, Estimate], alpha: Mapping[str, float], *, known_nsln: str) -> str:
    """How many positive axillae the cascade leaves without surgery, and undissected, against the targets."""
    sln, nsln = (
        rate_sentence(one["events"], one["n"], one["low"], one["high"], alpha=float(alpha[stage]))
        for stage, one in ((stage, missed[stage]) for stage in Stage)
    )
    return (
        f"SLN-positive axillae left without surgery: {sln} NSLN-positive axillae left undissected ({known_nsln}): "
        f"{nsln}"
    )


def biopsy_sentence(misses: float) -> str:
    """What is assumed of every way, and how often a biopsy misses in truth."""
    return (
        "Assumed of every way: the sentinel biopsy finds what the tables state, and everybody follows the way. In "
        f"truth a biopsy misses about {promise(misses)} of positive axillae."
    )


def undecided_sentence(rule: Mapping[str, Any]) -> str:
    """For how many axillae the Z0011 rule cannot be decided, and what is unknown of them; empty where for none."""
    if not rule["undecided"]:
        return ""
    lacking = ", ".join(f"{ITEMS[name]} of {count(n)}" for name, n in rule["lacking"].items() if n)
    return (
        f"The Z0011 rule cannot be decided for {count(rule['undecided'])} of {count(rule['sln_positive'])} "
        f"SLN-positive axillae; unknown: {lacking}."
    )


def unknown_sentence(counts: Mapping[str, Any]) -> str:
    """Of how many SLN-positive axillae the NSLN status is unknown; empty where of none."""
    if not counts["nsln_unknown"]:
        return ""
    return (
        f"NSLN status is unknown in {count(counts['nsln_unknown'])} of {count(counts['sln_positive'])} SLN-positive "
        "axillae."
    )


def needle_counted(n: int) -> str:
    """How needle-proven axillae are counted among the ways; empty where there is none."""
    return f"{count(n)} axillae were proven by needle and are counted as if biopsied." if n else ""


def tolerated_sentence(most: Mapping[str, Any], alpha: Mapping[str, float]) -> str:
    """How many missed axillae in 1,000 alpha allows; empty where that is not known."""
    if any(finite(most[stage]) is None for stage in Stage):
        return ""
    parts = [f"{1000 * float(most[s]):.1f} {s.upper()}-positive (alpha {promise(alpha[s])})" for s in Stage]
    return (
        f"At most {' and '.join(parts)} axillae in 1,000 may be missed without breaking alpha; NSLN positives as far "
        "as known."
    )


def caption_unknown(counts: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    """What the markers of the figure leave open; empty where nothing is unknown."""
    positive = f"{count(rule['sln_positive'])} SLN-positive axillae"
    told = ""
    if counts["nsln_unknown"] or rule["undecided"]:
        told = (
            f" NSLN status is unknown in {count(counts['nsln_unknown'])} of {positive}: filled marker if none, open "
            "marker if all of those concerned, and of those undecided, counted."
        )
    if rule["undecided"]:
        told += (
            f" The Z0011 rule cannot be decided for {count(rule['undecided'])} of {positive}, of which an item is "
            "unknown; they stand apart."
        )
    return told


def table_notes(counts: Mapping[str, Any], methods: str, *, known_nsln: str) -> tuple[str, ...]:
    """What the numbers per 1,000 axillae mean."""
    both = counts["patients_with_two"]
    wider = f"; both axillae of {count(both)} patients are in, which widens them" if both else ""
    return (
        f"Shares of the same {population_text(counts)}, out-of-fold, times 1,000; rounding may make a sum 999 or "
        "1,001. Interval ends are rounded outward. A dash: excluded by the rule itself. Spared: against dissection if "
        "positive, and counted also where the operation was needed; how often that was, the next rows say.",
        "From one number to another: if none, and if all, of the axillae that it depends on and whose NSLN status "
        "or way is unknown counted; the interval then reaches from the lower end of the first to the upper end of "
        f"the second. NSLN status {known_nsln}.",
        f"Intervals: {methods}. Exact ones, because misses are few and a bootstrap gives none where nothing was "
        f"missed{wider}.",
    )


def rates_note(methods: str, *, known_nsln: str) -> str:
    """What the same outcomes as rates leave out."""
    return (
        f"NSLN status {known_nsln}. Left out: axillae that may belong to the second column's and of which that is not "
        "known, for want of their NSLN status or because the Z0011 rule cannot be decided. Who was dissected may "
        "differ from who was not, so that these rates need not hold for the others. "
        f"Rates: {methods}."
    )


def predictive_notes(methods: str, *, known_nsln: str, adjective: str) -> tuple[str, ...]:
    """What predictive values rest on, and which way leaving out the unknown bends them."""
    return (
        f"Groups of the {adjective}cascade; after each rate, the axillae that it rests on. Axillae of unknown SLN "
        "status count nowhere. The positive predictive value is the rest to 100 %. Predictive values hold at this "
        f"cohort's share of positive axillae. Rates: {methods}.",
        "SLN negative: of all axillae with known SLN status. NSLN negative, all with known status: SLN-negative "
        "axillae, which count as NSLN negative because the sentinel status is taken as right, together with the "
        f"SLN-positive ones whose NSLN status is known ({known_nsln}). Axillae of unknown NSLN status are all SLN "
        "positive, so that leaving them out flatters this share; the next column counts them too, first all as "
        "positive, then none. Last column: SLN-positive axillae alone, as far as their NSLN status is known "
        f"({known_nsln}).",
    )


def steepness_sentence(
    shifts: Sequence[float],
    curves: Mapping[Stage, Mapping[str, Any]],
    alpha: Mapping[str, float],
    *,
    adjective: str,
) -> str:
    """How soon the observed rates pass alpha when both thresholds rise.

    Parameters
    ----------
    shifts : sequence of float
        In log-odds, rising, 0 among them.
    curves : mapping of Stage to mapping
        False-negative rate at every shift: lists ``value low high events``, and ``n`` and ``method``.
    alpha : mapping of str to float
        By stage.
    adjective : str
        ``"uncertified "`` or nothing.
    """
    lines = [_crossing(shifts, curves[stage], float(alpha[stage]), stage.upper()) for stage in Stage]
    return (
        f"How much hangs on the exact {adjective}thresholds: all folds' thresholds moved together, by the "
        f"same amount on the log-odds scale. {' '.join(lines)} {NO_CONTRACT}"
    )


def _crossing(shifts: Sequence[float], curve: Mapping[str, Any], limit: float, name: str) -> str:
    if not curve["n"]:
        return f"There is no {name}-positive axilla with known status."
    place = list(shifts).index(0.0)
    if curve["value"][place] > limit:
        return f"The observed {name} rate is above {promise(limit)} at the thresholds as set."
    beyond = next(
        (step for step, value in zip(shifts, curve["value"], strict=True) if step > 0 and value > limit), None
    )
    if beyond is None:
        return f"The observed {name} rate does not pass {promise(limit)} up to +{shifts[-1]:g}."
    there = point(curve, list(shifts).index(beyond))
    return (
        f"The observed {name} rate first passes {promise(limit)} at +{beyond:g}: {rate_text(there)}, "
        f"{events_text(there)}, after {percent(curve['value'][place])} as set."
    )


def shift_note(deferred: int, axillae: int, methods: str, *, adjective: str) -> str:
    """What a table of moved thresholds is, and that it promises nothing."""
    return (
        f"Every fold's {adjective}thresholds moved by the same amount; {count(deferred)} of {count(axillae)} axillae "
        f"are deferred and stay so. Rates: {methods}. {NO_CONTRACT}"
    )


def point(curve: Mapping[str, Any], place: int) -> dict[str, Any]:
    """One point of a curve as an estimate."""
    there = {key: curve[key][place] for key in ("value", "low", "high", "events")}
    return there | {"n": curve["n"], "method": curve["method"]}
