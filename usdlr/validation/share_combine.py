"""Results of several centres, shared without patients, taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from usdlr.core.types import Stage
from usdlr.evaluation.clustered_rate import exact_ends, interval_method
from usdlr.evaluation.intervals import Estimate
from usdlr.evaluation.intervals import rate as exact_rate
from usdlr.validation.meta import Pooled, pool_areas, pool_plain
from usdlr.validation.meta_rates import pool_rates, together
from usdlr.validation.share_cells import RATES
from usdlr.validation.share_read import read_shares
from usdlr.validation.verdict import judge

FORMAT = "usdlr results combined"
LEAST, MOST = "least", "most"
FEWEST_BINS = 5
_FNR = {Stage.SLN: "fnr_sln", Stage.NSLN: "fnr_nsln"}
_SCALES = {
    "calibration_slope": "the calibration slope",
    "calibration_intercept": "the calibration intercept",
}


def combined(shares: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Everything that shared results say together.

    Parameters
    ----------
    shares : sequence of mapping
        From :func:`usdlr.validation.share_read.read_shares`.

    Returns
    -------
    dict
        ``format bundle plan alpha thresholds``; ``centres`` (the files by name, as they are); ``stages.<stage>`` with
        the pooled ``auc calibration_slope calibration_intercept`` (:class:`usdlr.validation.meta.Pooled` as plain
        data, or null), the pooled ``scores`` and ``left_out``, the centres whose bins are too coarse for these;
        ``rates.<name>`` with ``pooled``, ``withheld`` (names of centres) and, where any is, ``least`` and ``most``,
        pooled as if every withheld count were the smallest and the largest that its file allows;
        ``verdicts.<stage>``, one or, where withheld counts decide, two.
    """
    first = shares[0]
    return {
        "format": FORMAT,
        **{key: first[key] for key in ("bundle", "plan", "alpha", "thresholds")},
        "centres": {str(one["centre"]): dict(one) for one in shares},
        "stages": {str(stage): _stage(shares, str(stage)) for stage in Stage},
        "rates": {name: _rate(shares, name) for name in RATES},
        "verdicts": {str(stage): _verdicts(shares, stage, float(first["alpha"][str(stage)])) for stage in Stage},
    }


def combine(paths: Sequence[Path]) -> dict[str, Any]:
    """Read and combine files; see :func:`usdlr.validation.share_read.read_shares` for what is refused."""
    return combined(read_shares(paths))


def _stage(shares: Sequence[Mapping[str, Any]], stage: str) -> dict[str, Any]:
    parts = [one["stages"][stage] for one in shares]
    told = [part["estimates"] for part in parts if part["estimates"] is not None]
    pooled: dict[str, Pooled | None] = {"auc": pool_areas([_estimate(one["auc"]) for one in told])}
    for key, words in _SCALES.items():
        pooled[key] = pool_plain([_estimate(one[key]) for one in told], scale=words)
    found: dict[str, Any] = {name: None if one is None else one.as_dict() for name, one in pooled.items()}
    binned = {str(one["centre"]): one["stages"][stage]["scores"] for one in shares if one["stages"][stage]["scores"]}
    kept = fine_enough(binned)
    return {
        **found,
        "scores": pooled_scores([binned[name] for name in kept]),
        "left_out": [str(one["centre"]) for one in shares if str(one["centre"]) not in kept],
    }


def fine_enough(binned: Mapping[str, Mapping[str, Any]], fewest: int = FEWEST_BINS) -> list[str]:
    """Centres whose bins can be pooled without making curves of all of them coarse, the largest first.

    Parameters
    ----------
    binned : mapping of str to mapping
        Scores by centre.
    fewest : int
        Bins that must be left; where the largest centre has fewer, that many.

    Examples
    --------
    >>> fine = {"edges": [0.0, 0.5, 1.0], "positive": [6, 6], "negative": [9, 5]}
    >>> fine_enough({"small": {"edges": [0.0, 1.0], "positive": [5], "negative": [5]}, "large": fine}, fewest=2)
    ['large']
    """
    order = sorted(binned, key=lambda name: (-sum(binned[name]["positive"]) - sum(binned[name]["negative"]), name))
    kept: list[str] = []
    edges: set[float] = set()
    for name in order:
        shared = set(binned[name]["edges"]) & edges if kept else set(binned[name]["edges"])
        if kept and len(shared) - 1 < min(fewest, len(edges) - 1):
            continue
        kept, edges = [*kept, name], shared
    return kept


def pooled_scores(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Binned scores of several centres on the edges that all of them have; None without one.

    Examples
    --------
    >>> north = {"edges": [0.0, 0.5, 1.0], "positive": [0, 6], "negative": [7, 5], "predicted": [0.2, 0.7]}
    >>> south = {"edges": [0.0, 1.0], "positive": [5], "negative": [9], "predicted": [0.3]}
    >>> pooled_scores([north, south])["positive"], pooled_scores([north, north])["predicted"]
    ([11], [0.2, 0.7])
    """
    if not parts:
        return None
    edges = sorted(set.intersection(*(set(part["edges"]) for part in parts)))
    bins = len(edges) - 1
    counts = {name: [0] * bins for name in ("positive", "negative")}
    risk = [0.0] * bins
    for part in parts:
        for low, positive, negative, mean in zip(
            part["edges"][:-1], part["positive"], part["negative"], part["predicted"], strict=True
        ):
            place = sum(edge <= low for edge in edges) - 1
            counts["positive"][place] += positive
            counts["negative"][place] += negative
            risk[place] += (positive + negative) * (mean or 0.0)
    total = [a + b for a, b in zip(counts["positive"], counts["negative"], strict=True)]
    predicted = [value / n if n else None for value, n in zip(risk, total, strict=True)]
    return {"edges": edges, **counts, "predicted": predicted}


def _rate(shares: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    known = [one for one in shares if one["rates"][name]["events"] is not None and one["rates"][name]["n"] is not None]
    withheld = [str(one["centre"]) for one in shares if one not in known]
    found = {"pooled": None if withheld else _pooled(shares, name, LEAST), "withheld": withheld}
    if withheld:
        found |= {end: _pooled(shares, name, end) for end in (LEAST, MOST)}
    return found


def _counts(
    shares: Sequence[Mapping[str, Any]], name: str, end: str
) -> tuple[list[int], list[int], list[float]] | None:
    """Events, totals and what these are worth, at one end of what the files allow; None where one is not told."""
    events, totals, worth = [], [], []
    for one in shares:
        rate = one["rates"][name]
        count = rate["events"] if rate["events"] is not None else rate.get(end)
        if count is None or rate["n"] is None:
            return None
        events.append(int(count))
        totals.append(int(rate["n"]))
        worth.append(float(rate["effective"]))
    return events, totals, worth


def _pooled(shares: Sequence[Mapping[str, Any]], name: str, end: str) -> dict[str, Any] | None:
    counts = _counts(shares, name, end)
    pooled = None if counts is None else pool_rates(*counts)
    return None if pooled is None else pooled.as_dict()


def _verdicts(shares: Sequence[Mapping[str, Any]], stage: Stage, alpha: float) -> list[dict[str, Any]]:
    """On all positives together: one verdict, or those at both ends of what withheld counts allow; none if unknown."""
    found: list[dict[str, Any]] = []
    for end in (LEAST, MOST):
        counts = _counts(shares, _FNR[stage], end)
        if counts is None:
            return []
        missed, positives, effective = sum(counts[0]), sum(counts[1]), together(counts[1], counts[2])
        one = judge(stage, rate_worth(missed, positives, effective), alpha, effective).as_dict()
        if one not in found:
            found.append(one)
    return found


def rate_worth(events: int, n: int, effective: float) -> Estimate:
    """A rate with the exact interval of the independent axillae that the n are worth.

    Examples
    --------
    >>> rate_worth(0, 40, 40.0).high < 0.1 < rate_worth(0, 40, 20.0).high
    True
    """
    if n == 0 or effective >= n:
        return exact_rate(events, n)
    (low,), (high,) = exact_ends([events], n, effective)
    return Estimate(events / n, float(low), float(high), n, interval_method(n, effective), events)


def _estimate(plain: Mapping[str, Any]) -> Estimate:
    return Estimate(plain["value"], plain["low"], plain["high"], int(plain["n"]), "")
