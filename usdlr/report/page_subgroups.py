"""The page's section on subgroups: caveat, forests, and every level's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from usdlr.core.types import Stage
from usdlr.evaluation.subgroups import ALL
from usdlr.report.document import Block, Figure, Folded, PageTable, Prose, Section
from usdlr.report.figures_subgroups import SMALL_MARK, level_text, stage_subgroups
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import Drawing
from usdlr.report.tables import (
    EN_DASH,
    Estimate,
    count,
    estimate_text,
    finite,
    method_text,
    number,
    p_text,
    rate_text,
)

ANCHOR = "subgroups"
_TITLES = {"centre_id": "Centre", "device": "Scanner", "density": "Breast density", "elastography": "Elastography"}
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
    yield (
        "A difference between groups does not say why: they differ in their patients, not only in how the model treats "
        "them. The false-negative rates are those of the "
        f"{inputs.marks.adjective}cascade, at thresholds made for all patients together; nothing is promised for a "
        "group unless the contract names it."
    )
    if len(part["variables"]) < 2:
        yield "Nothing is known of these axillae that would divide them."
    if part["absent"]:
        names = ", ".join(_name(name) for name in part["absent"])
        yield f"Not looked at, for want of a column: {names}. How the model does there is not known."


def _name(column: str) -> str:
    return _TITLES.get(column, column.replace("_", " ")).lower()


def _tables(inputs: StudyInputs, stage: Stage, part: Mapping[str, Any]) -> Iterator[PageTable]:
    among = "" if stage is Stage.SLN else f"SLN-positive axillae, {inputs.known_nsln}. "
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
            f"{among}{SMALL_MARK} Fewer than {part['fewest']} positive or {part['fewest']} negative axillae. Missed, "
            "spared: by the cascade's answer; DEFER is neither.",
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
            f"Holm's correction allows for all {count(part['comparisons'])} tests of both stages. Levels with few "
            "positive or negative axillae, and axillae of which the variable is not known, are left out.",
            *methods,
        ),
        texts=(1,),
    )


def _short(estimate: Estimate, text: Any) -> str:
    return EN_DASH if finite(estimate.get("value")) is None else str(text(estimate))
