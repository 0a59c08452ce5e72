"""The page's section on subgroups: caveat, forests, and every level's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision.numbers import (
    EN_DASH,
    Estimate,
    count,
    estimate_text,
    finite,
    level_text,
    method_text,
    number,
    p_text,
    rate_text,
)
from usdlr.decision.wording_subgroups import (
    UNDIVIDED,
    absent_sentence,
    levels_note,
    same_sentence,
    tests_note,
    why_sentence,
)
from usdlr.evaluation.subgroups import ALL
from usdlr.report.document import Block, Figure, Folded, PageTable, Prose, Section
from usdlr.report.figures_subgroups import SMALL_MARK, stage_subgroups
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import Drawing

ANCHOR = "subgroups"
_TESTS = (("auc", "AUC"), ("calibration", "Calibration"), ("fnr", "False-negative rate"))


def subgroups_section(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section | None:
    """Caveat, forests and tables; None where the metrics hold no subgroups.

    Parameters
    ----------
    inputs : StudyInputs
        With ``metrics["subgroups"]`` as of :func:`usdlr.evaluation.subgroups.study_subgroups`.
    figures : mapping of str to Drawing
        ``subgroups_sln`` and ``subgroups_nsln``, where drawn.
    """
    found = {stage: part for stage in Stage if (part := stage_subgroups(inputs, stage)) is not None}
    if not found:
        return None
    blocks: list[Block] = [Prose(tuple(_words(inputs, next(iter(found.values())))))]
    blocks += [Figure(figures[name]) for stage in found if (name := f"subgroups_{stage}") in figures]
    tables = tuple(table for stage, part in found.items() for table in _tables(inputs, stage, part))
    blocks.append(Folded("Every level's numbers, with its calibration, and the tests", tables))
    return Section(ANCHOR, "Subgroups", inputs.marks.title("Subgroups"), tuple(blocks))


def _words(inputs: StudyInputs, part: Mapping[str, Any]) -> Iterator[str]:
    yield str(part["caveat"])
    yield why_sentence(adjective=inputs.marks.adjective, strata=bool(inputs.contract.get("strata")))
    if len(part["variables"]) < 2:
        yield UNDIVIDED
    if told := absent_sentence(part["absent"]):
        yield told


def _tables(inputs: StudyInputs, stage: Stage, part: Mapping[str, Any]) -> Iterator[PageTable]:
    shown: list[Estimate] = []
    rows = []
    for name, variable in part["variables"].items():
        for level in variable["levels"]:
            label = "All axillae" if name == ALL else f"{variable['title']}: {level_text(level['level'])}"
            keys = ("auc", "fnr", "specificity", "calibration_slope", "calibration_intercept")
            shown += [level[key] for key in keys]
            rows.append(
                (
                    label + (SMALL_MARK if level["small"] else ""),
                    count(level["n"]),
                    count(level["positives"]),
                    _short(level["auc"], estimate_text),
                    count(level["missed"]),
                    _short(level["fnr"], rate_text),
                    _short(level["specificity"], rate_text),
                    _short(level["calibration_slope"], estimate_text),
                    _short(level["calibration_intercept"], estimate_text),
                )
            )
    methods = dict.fromkeys(method_text(entry) for entry in shown if finite(entry.get("value")) is not None)
    why = dict.fromkeys(
        method_text(entry).removeprefix("undefined: ") for entry in shown if finite(entry.get("value")) is None
    )
    yield PageTable(
        inputs.marks.title(f"Subgroups, {stage.upper()} stage"),
        (
            "",
            "Axillae (n)",
            "Positive (n)",
            "AUC (95 % interval)",
            "Missed (n)",
            "Missed, of positive (95 % interval)",
            "Spared, of negative (95 % interval)",
            "Calibration slope (95 % interval, ideal 1)",
            "Calibration intercept (95 % interval, ideal 0)",
        ),
        tuple(rows),
        (
            levels_note(part["fewest"], SMALL_MARK, stage, known_nsln=inputs.known_nsln),
            f"{'; '.join(methods)}." if methods else "No number can be estimated.",
            *((f"{EN_DASH}: not estimable ({'; '.join(why)}).",) if why else ()),
        ),
    )
    if len(part["variables"]) > 1:
        yield _tests(inputs, stage, part)


def _tests(inputs: StudyInputs, stage: Stage, part: Mapping[str, Any]) -> PageTable:
    rows: list[tuple[str, ...]] = []
    methods: dict[str, None] = {}
    for name, variable in part["variables"].items():
        for key, label in _TESTS if name != ALL else ():
            test = variable["tests"][key]
            defined = finite(test["p_value"]) is not None
            gap = finite(test["gap"])
            rows.append(
                (
                    f"{variable['title']}: {label}",
                    ", ".join(level_text(level) for level in test["levels"])
                    if defined
                    else str(test["method"]).removeprefix("undefined: "),
                    EN_DASH
                    if gap is None
                    else (f"{number(100 * gap, 1)} percentage points" if key == "fnr" else number(gap)),
                    p_text(test["p_value"]),
                    p_text(test["p_holm"]),
                )
            )
            if defined:
                methods[f"{label}: {test['method']}."] = None
    return PageTable(
        inputs.marks.title(f"Tests whether subgroups differ, {stage.upper()} stage"),
        ("", "Levels compared, or why there is no test", "Largest minus smallest", "P", "P after Holm's correction"),
        tuple(rows),
        (
            tests_note(int(part["comparisons"])),
            *_same(part["variables"]),
            *methods,
        ),
        texts=(1,),
    )


def _same(variables: Mapping[str, Any]) -> Iterator[str]:
    """Which variables divide the axillae as an earlier one does."""
    for variable in variables.values():
        if like := variable.get("same_as"):
            yield same_sentence(str(variable["title"]), str(variables[like]["title"]))


def _short(estimate: Estimate, text: Any) -> str:
    return EN_DASH if finite(estimate.get("value")) is None else str(text(estimate))
