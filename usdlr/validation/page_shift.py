"""The section on how the patients, and their outcomes, differ from those that the model was made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision.numbers import EN_DASH, estimate_text, p_text
from usdlr.decision.wording_shift import NOT_COMPARED, shift_lines
from usdlr.decision.wording_validation import observed_expected_sentence
from usdlr.report.document import Block, PageTable, Prose, Section
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_shift import shift_blocks

MEASURES = (
    ("difference", "Share of positives: here minus development (0 is no difference)"),
    ("from_predictions", "Share of positives, by the predicted risks alone (no outcome of the stage read)"),
    ("observed_expected", "Observed over expected positives (1 is ideal)"),
    ("calibration_intercept", "Calibration in the large, log-odds (0 is ideal)"),
)


def shift_headline(metrics: Mapping[str, Any]) -> str:
    """The alarm, or that nothing was compared, in a sentence."""
    shift = metrics.get("shift")
    return NOT_COMPARED if shift is None else shift_lines(shift)[0]


def shift_section(inputs: StudyInputs) -> Section:
    """Shift of patients and images by the bundle's summary; shift of outcomes; calibration in the large."""
    metrics = inputs.metrics
    shift = metrics.get("shift")
    told = [
        observed_expected_sentence(stage, int(one["positives"]), float(one["expected"]), int(one["n"]))
        for stage in Stage
        if (one := metrics["label_shift"][str(stage)])["n"]
    ]
    blocks: tuple[Block, ...] = (
        *shift_blocks(shift, inputs.marks),
        *((_centres(inputs, shift["centres"]),) if shift is not None and "centres" in shift else ()),
        Prose(tuple(told)),
        _outcomes(inputs),
    )
    return Section("shift", "Shift", "Do these patients differ from the development patients?", blocks)


def _centres(inputs: StudyInputs, centres: Mapping[str, Any]) -> PageTable:
    rows = tuple(
        (name, p_text(one["p_value"]), EN_DASH if one["alarm"] is None else "yes" if one["alarm"] else "no")
        for name, one in centres.items()
    )
    rate = 100 * float(inputs.metrics["shift"]["rate"])
    return PageTable(
        inputs.marks.title("Shift alarm by centre"),
        ("", "P, corrected within the centre", "Alarm"),
        rows,
        (f"Each centre against the training patients, with a false-alarm rate of {rate:g} % of its own.",),
        texts=(2,),
    )


def _outcomes(inputs: StudyInputs) -> PageTable:
    metrics = inputs.metrics
    rows = []
    shown = []
    for key, words in MEASURES:
        cells = []
        for stage in map(str, Stage):
            own = metrics["label_shift"][stage]
            entry = own[key] if key in own else metrics["stages"][stage][key]
            cells.append(estimate_text(entry))
            if entry["value"] is not None:
                shown.append(str(entry["method"]))
        rows.append((words, *cells))
    return PageTable(
        inputs.marks.title("Shift of outcomes, and calibration in the large"),
        ("", "SLN stage (95 % interval)", "NSLN stage, of SLN-positive axillae (95 % interval)"),
        tuple(rows),
        (
            "By the predicted risks alone: the share of positives that would explain them if positives and negatives "
            "looked as they did in development; it says little after a shift alarm.",
            f"{'; '.join(dict.fromkeys(shown))}.",
        ),
    )
