"""How much hangs on the exact thresholds: words and table of the cascade with all thresholds moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usdlr.core.types import Stage
from usdlr.report.document import PageTable
from usdlr.report.figures_thresholds import NO_CONTRACT
from usdlr.report.inputs import StudyInputs
from usdlr.report.pathway_words import counted_rate, methods, share_text
from usdlr.report.tables import EN_DASH, MINUS, count, events_text, percent, promise, rate_text

_STEPS = (-1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0)


def shift_table(inputs: StudyInputs, shift: Mapping[str, Any]) -> PageTable:
    """Misses and spared surgery at some shifts of both thresholds."""
    curves, rows = shift["moved"]["both"], []
    for step in _STEPS:
        if step not in shift["shifts"]:
            continue
        place = shift["shifts"].index(step)
        at = {name: _at(curve, place) for name, curve in curves.items()}
        limits = (shift["thresholds"][stage][place] for stage in Stage)
        name = "as set" if step == 0 else f"{'+' if step > 0 else MINUS}{abs(step):g}"
        rows.append(
            (
                name,
                " / ".join(EN_DASH if limit is None else percent(limit) for limit in limits),
                *(counted_rate(at[key]) for key in ("fnr_sln", "fnr_nsln")),
                *(share_text(at[key]) for key in ("biopsies_spared", "dissections_spared")),
            )
        )
    n = count(curves["biopsies_spared"]["n"])
    return PageTable(
        inputs.marks.title("Both thresholds moved after the fact: no contract"),
        (
            "Shift (log-odds)",
            "Threshold SLN / NSLN, median over axillae",
            "SLN positive missed (95 % interval)",
            f"NSLN positive missed, {inputs.known_nsln} (95 % interval)",
            f"Biopsies spared, per 1,000 (95 % interval), n = {n}",
            f"Dissections spared, per 1,000 (95 % interval), n = {n}",
        ),
        tuple(rows),
        (
            f"Every fold's {inputs.marks.adjective}thresholds moved by the same amount; "
            f"{count(shift['deferred'])} of {count(shift['axillae'])} axillae are deferred and stay so. Rates: "
            f"{methods(curves[name] | {'value': 0} for name in curves if curves[name]['n'])}. {NO_CONTRACT}",
        ),
    )


def steepness(inputs: StudyInputs, shift: Mapping[str, Any]) -> tuple[str, ...]:
    """How soon the observed rates pass alpha when both thresholds rise."""
    alpha, lines = inputs.contract["alpha"], []
    for stage in Stage:
        curve, limit = shift["moved"]["both"][f"fnr_{stage}"], float(alpha[stage])
        lines.append(_crossing(shift["shifts"], curve, limit, stage.upper()))
    return (
        f"How much hangs on the exact {inputs.marks.adjective}thresholds: all folds' thresholds moved together, by the "
        f"same amount on the log-odds scale. {' '.join(lines)} {NO_CONTRACT}",
    )


def _crossing(shifts: list[float], curve: Mapping[str, Any], limit: float, name: str) -> str:
    if not curve["n"]:
        return f"There is no {name}-positive axilla with known status."
    place = shifts.index(0.0)
    if curve["value"][place] > limit:
        return f"The observed {name} rate is above {promise(limit)} at the thresholds as set."
    beyond = next(
        (step for step, value in zip(shifts, curve["value"], strict=True) if step > 0 and value > limit), None
    )
    if beyond is None:
        return f"The observed {name} rate does not pass {promise(limit)} up to +{shifts[-1]:g}."
    there = _at(curve, shifts.index(beyond))
    return (
        f"The observed {name} rate first passes {promise(limit)} at +{beyond:g}: {rate_text(there)}, "
        f"{events_text(there)}, after {percent(curve['value'][place])} as set."
    )


def _at(curve: Mapping[str, Any], place: int) -> dict[str, Any]:
    point = {key: curve[key][place] for key in ("value", "low", "high", "events")}
    return point | {"n": curve["n"], "method": curve["method"]}
