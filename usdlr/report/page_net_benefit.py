"""The page's section on decision curves: how to read them, the figure, and operations avoided at a few thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from usdlr.core.types import Stage
from usdlr.evaluation.net_benefit import ALL, AVOIDED, FEWEST_MISSED, MODEL, OVER_BEST, READING, TOO_NARROW
from usdlr.report.document import Block, Figure, PageTable, Prose, Section
from usdlr.report.figures_net_benefit import OPERATION, accepted, sentence, stage_curve
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import Drawing
from usdlr.report.tables import EN_DASH, NBSP, Estimate, count, estimate_text, not_estimable, number, promise

ANCHOR = "worth"
SHOWN_AT = (0.02, 0.05, 0.10, 0.15, 0.20, 0.30, 0.40, 0.50)
_NEAR = 1e-9


def net_benefit_section(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section | None:
    """How to read decision curves, the figure and a table per stage; None where the metrics hold no curves.

    Parameters
    ----------
    inputs : StudyInputs
        With ``metrics["decision_curves"]`` as of :func:`usdlr.evaluation.net_benefit.study_decision_curves`.
    figures : mapping of str to Drawing
        ``net_benefit``, where drawn.
    """
    curves = {stage: curve for stage in Stage if (curve := stage_curve(inputs, stage)) is not None}
    if not curves:
        return None
    first = next(iter(curves.values()))
    blocks: list[Block] = [
        Prose(
            (
                "Net benefit weighs positive axillae found against needless operations, by the risk at which one would "
                f"operate. {READING} {TOO_NARROW}",
                *((str(first["range"]),) if first["range"] else ()),
                "Baselines have no curve here: their scores rank axillae and are not all probabilities, and a curve of "
                "a score that is none says nothing about acting on risks.",
                *(_gain(stage, curve) for stage, curve in curves.items()),
            )
        )
    ]
    if "net_benefit" in figures:
        blocks.append(Figure(figures["net_benefit"]))
    blocks += [_table(inputs, stage, curve) for stage, curve in curves.items() if curve["quantities"]]
    return Section(ANCHOR, "Net benefit", inputs.marks.title("Net benefit"), tuple(blocks))


def _gain(stage: Stage, curve: Mapping[str, Any]) -> str:
    """Where the pointwise intervals of the gain over both simple policies leave out zero."""
    name = f"{stage.upper()} stage"
    if not curve["quantities"]:
        return f"{name}: no curve, {not_estimable({'method': curve['method'], 'n': curve['n']})}."
    gain = curve["quantities"][OVER_BEST]
    if all(low is None for low in gain["low"]):
        return f"{name}: the curve has no intervals ({curve['method']}), so it shows no benefit."
    few = [missed < FEWEST_MISSED for missed in curve["missed"]]
    better = [low is not None and low > _NEAR and not rare for low, rare in zip(gain["low"], few, strict=True)]
    # Few misses make an interval too narrow towards a loss, not towards a gain.
    worse = [high is not None and high < -_NEAR for high in gain["high"]]
    policies = "the better of operating on all and on none"
    silent = ""
    if any(few):
        silent = (
            f"at thresholds of {_runs(curve['thresholds'], few)} fewer than {FEWEST_MISSED} positive axillae lie "
            "below the threshold, and no gain can be shown. "
        )
    if not any(better) and not any(worse):
        nowhere = "At no other threshold" if any(few) else "at no threshold"
        return (
            f"{name}: {silent}{nowhere} of the range does the 95 % interval show that the model is worth more, or "
            f"less, than {policies}."
        )
    parts = []
    if any(better):
        parts.append(f"worth more than {policies} at thresholds of {_runs(curve['thresholds'], better)}")
    if any(worse):
        parts.append(f"worth less than {policies} at thresholds of {_runs(curve['thresholds'], worse)}")
    by = "By" if any(few) else "by"
    return f"{name}: {silent}{by} the 95 % interval of each single threshold, the model is {', and '.join(parts)}."


def _runs(thresholds: Sequence[float], inside: Sequence[bool]) -> str:
    """Stretches of thresholds in words, e.g. ``5 to 31 % and 40 %``."""
    runs: list[list[float]] = []
    for place, (threshold, holds) in enumerate(zip(thresholds, inside, strict=True)):
        if holds and place and inside[place - 1]:
            runs[-1][1] = threshold
        elif holds:
            runs.append([threshold, threshold])
    texts = [f"{100 * a:g}{NBSP}%" if a == b else f"{100 * a:g} to {100 * b:g}{NBSP}%" for a, b in runs]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _table(inputs: StudyInputs, stage: Stage, curve: Mapping[str, Any]) -> PageTable:
    among = "" if stage is Stage.SLN else f" SLN-positive axillae, {inputs.known_nsln}."
    return PageTable(
        inputs.marks.title(
            f"What deciding by the model is worth, {stage.upper()} stage, n ={NBSP}{count(curve['n'])} axillae, "
            f"{count(curve['positives'])} positive"
        ),
        (
            "Threshold probability",
            "Axillae (n)",
            "Positive axillae below (n)",
            "Needless operations accepted per positive axilla found",
            "Net benefit of the model, per axilla (95 % interval)",
            "Net benefit of operating on all, per axilla (95 % interval)",
            "Gain over the better of all and none, per axilla (95 % interval)",
            "Operations avoided per 1,000 axillae, net (95 % interval)",
        ),
        tuple(_rows(curve)),
        (
            f"Operation: {OPERATION[stage]}.{among} Avoided, net: against operating on all, as if so many negative "
            "axillae were spared and no positive axilla more were missed; below 0, operating on all is worth more.",
            f"{sentence(str(curve['method']))} {READING} {TOO_NARROW}",
        ),
    )


def _rows(curve: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for place, threshold in enumerate(curve["thresholds"]):
        if not any(abs(threshold - shown) < _NEAR for shown in SHOWN_AT):
            continue
        cells = {name: _at(curve, name, place) for name in (MODEL, ALL, OVER_BEST, AVOIDED)}
        few = int(curve["missed"][place]) < FEWEST_MISSED
        yield (
            promise(threshold),
            count(curve["n"]),
            count(curve["missed"][place]),
            accepted(threshold),
            *(_text(cells[name], 3) for name in (MODEL, ALL)),
            _text(cells[OVER_BEST], 3, few=few),
            _text(cells[AVOIDED], 0, few=few),
        )


def _at(curve: Mapping[str, Any], name: str, place: int) -> Estimate:
    return {end: curve["quantities"][name][end][place] for end in ("value", "low", "high")}


def _text(estimate: Estimate, digits: int, *, few: bool = False) -> str:
    if estimate["value"] is None:
        return EN_DASH
    if few:
        return f"{number(estimate['value'], digits)} (no interval: too few below)"
    return estimate_text(estimate, digits)
