"""The page's section on decision curves: how to read them, the figure, and operations avoided at a few thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision.numbers import EN_DASH, NBSP, Estimate, count, estimate_text, number, promise
from usdlr.decision.wording_net_benefit import (
    NO_CURVE_OF_SCORES,
    curve_note,
    gain_sentence,
    no_curve_sentence,
    operations_note,
    weighing_sentence,
)
from usdlr.evaluation.net_benefit import ALL, AVOIDED, FEWEST_MISSED, MODEL, OVER_BEST
from usdlr.report.document import Block, Figure, PageTable, Prose, Section
from usdlr.report.figures_net_benefit import accepted, stage_curve
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import Drawing

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
                weighing_sentence(FEWEST_MISSED),
                *((str(first["range"]),) if first["range"] else ()),
                NO_CURVE_OF_SCORES,
                *(_gain(stage, curve) for stage, curve in curves.items()),
            )
        )
    ]
    if "net_benefit" in figures:
        blocks.append(Figure(figures["net_benefit"]))
    blocks += [_table(inputs, stage, curve) for stage, curve in curves.items() if curve["quantities"]]
    return Section(ANCHOR, "Net benefit", inputs.marks.title("Net benefit"), tuple(blocks))


def _gain(stage: Stage, curve: Mapping[str, Any]) -> str:
    if not curve["quantities"]:
        return no_curve_sentence(stage, {"method": curve["method"], "n": curve["n"]})
    return gain_sentence(
        stage,
        curve["thresholds"],
        curve["quantities"][OVER_BEST],
        curve["missed"],
        method=str(curve["method"]),
        fewest=FEWEST_MISSED,
    )


def _table(inputs: StudyInputs, stage: Stage, curve: Mapping[str, Any]) -> PageTable:
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
            operations_note(stage, known_nsln=inputs.known_nsln),
            curve_note(str(curve["method"]), FEWEST_MISSED),
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
