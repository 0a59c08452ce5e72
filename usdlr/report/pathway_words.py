"""Names and numbers of the ways to decide about surgery, the same in figure, table and file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from usdlr.evaluation.pathways import Fate, Way
from usdlr.report.tables import (
    EN_DASH,
    NBSP,
    Estimate,
    count,
    events_text,
    finite,
    method_text,
    not_estimable,
    rate_text,
)

PER = 1000

WAYS: Mapping[Way, str] = {
    Way.CURRENT: "Dissection if positive",
    Way.Z0011: "Z0011 rule",
    Way.CASCADE: "Cascade",
}
FATES: Mapping[Fate, str] = {
    Fate.NO_SURGERY: "No axillary surgery",
    Fate.BIOPSY: "Sentinel biopsy alone",
    Fate.DISSECTION: "Sentinel biopsy and dissection",
    Fate.UNDECIDED: "Z0011 rule not decidable",
}
OUTCOMES: Mapping[str, str] = {
    "biopsies_spared": "Sentinel biopsies spared",
    "dissections_spared": "Dissections spared",
    "sln_positive_without_surgery": "SLN-positive axillae left without surgery",
    "nsln_positive_undissected": "NSLN-positive axillae left undissected",
    "nsln_negative_dissected": "Dissections of NSLN-negative axillae",
}
AMONG: Mapping[str, str] = {
    "biopsies_spared": "of all axillae with known SLN status",
    "dissections_spared": "of SLN-positive axillae whose way is decided",
    "sln_positive_without_surgery": "of SLN-positive axillae",
    "nsln_positive_undissected": "of NSLN-positive axillae whose way is decided",
    "nsln_negative_dissected": "of dissected axillae with known NSLN status",
}
# What cannot be anything but nought is no finding.
SHOWN: Mapping[str, tuple[Way, ...]] = {
    "biopsies_spared": (Way.CASCADE,),
    "dissections_spared": (Way.Z0011, Way.CASCADE),
    "sln_positive_without_surgery": (Way.CASCADE,),
    "nsln_positive_undissected": (Way.Z0011, Way.CASCADE),
    "nsln_negative_dissected": (Way.CURRENT, Way.Z0011, Way.CASCADE),
}


def per_thousand(share: float) -> str:
    """A share as a whole number of 1,000; nothing that happened is rounded to nought.

    Examples
    --------
    >>> per_thousand(0.0123), per_thousand(0.0002), per_thousand(0.0), per_thousand(0.9999)
    ('12', '<1', '0', '>999')
    """
    value = round(PER * share)
    if value == 0 and share > 0:
        return "<1"
    if value == PER and share < 1:
        return ">999"
    return count(value)


def thousand_interval(low: Any, high: Any) -> str:
    """An interval of a share out of 1,000, its ends rounded outward.

    Examples
    --------
    >>> thousand_interval(0.0928, 0.3991)
    '92–400'
    """
    first, last = finite(low), finite(high)
    if first is None or last is None:
        return "interval not estimable"
    # Digits first: 0.07 * 1000 is 70.00000000000001 and must not become 71.
    return f"{count(math.floor(round(PER * first, 7)))}{EN_DASH}{count(math.ceil(round(PER * last, 7)))}"


def share_text(estimate: Estimate) -> str:
    """A share of 1,000 with its interval.

    Examples
    --------
    >>> share_text({"value": 0.0423, "low": 0.0088, "high": 0.1186, "n": 71, "events": 3})
    '42 (8–119)'
    """
    value = finite(estimate.get("value"))
    if value is None:
        return not_estimable(estimate)
    return f"{per_thousand(value)} ({thousand_interval(estimate.get('low'), estimate.get('high'))})"


def outcome_text(outcome: Mapping[str, Any]) -> str:
    """An outcome per 1,000; where it hangs on axillae of unknown status, from none to all of them.

    The interval then reaches from the lower end for none to the upper end for all.

    Examples
    --------
    >>> none = {"value": 0.01, "low": 0.002, "high": 0.03, "n": 500, "events": 5}
    >>> outcome_text({"least": none, "most": none | {"value": 0.04, "high": 0.0601}, "unknown": 15})
    '10 to 40 (2–61)'
    >>> outcome_text({"least": none, "most": none, "unknown": 0})
    '10 (2–30)'
    """
    least, most = outcome["least"], outcome["most"]
    first, last = finite(least.get("value")), finite(most.get("value"))
    if first is None or last is None or not outcome["unknown"]:
        return share_text(least)
    ends = thousand_interval(least.get("low"), most.get("high"))
    return f"{per_thousand(first)} to {per_thousand(last)} ({ends})"


def counted_rate(estimate: Estimate) -> str:
    """A rate with its interval, and the axillae that it rests on.

    Examples
    --------
    >>> found = {"value": 0.0423, "low": 0.0088, "high": 0.1186, "n": 71, "events": 3}
    >>> counted_rate(found).replace(NBSP, " ")
    '4.2 % (0.8–11.9 %); 3 of 71'
    """
    if finite(estimate.get("value")) is None:
        return rate_text(estimate)
    return f"{rate_text(estimate)}; {events_text(estimate)}"


def way_name(way: Way, adjective: str = "") -> str:
    """A way's name; the cascade's carries the mark of its thresholds.

    Examples
    --------
    >>> way_name(Way.CASCADE, "uncertified "), way_name(Way.Z0011, "uncertified ")
    ('Uncertified cascade', 'Z0011 rule')
    """
    name = WAYS[way]
    return f"{adjective}{name.lower()}".capitalize() if way is Way.CASCADE and adjective else name


def methods(estimates: Iterable[Estimate]) -> str:
    """The distinct methods of estimates that have a value, in the order they appear."""
    found = dict.fromkeys(method_text(entry) for entry in estimates if finite(entry.get("value")) is not None)
    return "; ".join(found) or "no estimate has a value"


def population_text(pathways: Mapping[str, Any]) -> str:
    """Whom all shares are about.

    Examples
    --------
    >>> counts = {"n": 16, "sln_known": 14, "patients": 12, "sln_unknown": 2}
    >>> population_text({"axillae": counts}).replace(NBSP, " ")
    '14 axillae with known SLN status of 12 patients (2 of unknown status left out)'
    """
    held = pathways["axillae"]
    left = f" ({count(held['sln_unknown'])} of unknown status left out)" if held["sln_unknown"] else ""
    among = f"{count(held['sln_known'])}{NBSP}axillae with known SLN status"
    return f"{among} of {count(held['patients'])}{NBSP}patients{left}"
