"""The cohort by centre and by outcome, with standardised differences, as tables of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision.numbers import (
    EN_DASH,
    NBSP,
    count,
    estimate_text,
    finite,
    method_text,
    not_estimable,
    number,
    percent,
)
from usdlr.decision.wording_page import balance_counts, difference_sentence
from usdlr.evaluation.balance import CENTRE, NUMBER
from usdlr.report.document import PageTable
from usdlr.report.inputs import StudyInputs

MOST_GROUPS = 5  # side by side; further centres stand in tables of their own
_WHOLE = 1e-9
_WORDS = {
    "slnb": "sentinel biopsy (SLNB)",
    "alnd": "axillary dissection (ALND)",
    "needle": "needle biopsy",
}


def balance_tables(inputs: StudyInputs) -> tuple[PageTable, ...]:
    """Who was studied by centre, by SLN status and by NSLN status; none where nobody counted them.

    Parameters
    ----------
    inputs : StudyInputs
        With ``metrics["balance"]`` as of :func:`usdlr.evaluation.balance.study_balance`.
    """
    found: Mapping[str, Any] = inputs.metrics.get("balance") or {}
    titles = {
        CENTRE: "Axillae by centre",
        str(Stage.SLN): f"Axillae by outcome, {inputs.positive(Stage.SLN)}",
        str(Stage.NSLN): f"SLN-positive axillae by outcome, {inputs.positive(Stage.NSLN)}",
    }
    return tuple(table for key, title in titles.items() if key in found for table in _tables(inputs, title, found[key]))


def _tables(inputs: StudyInputs, title: str, part: Mapping[str, Any]) -> Iterator[PageTable]:
    groups: Sequence[Mapping[str, Any]] = part["groups"]
    several = sum(bool(group["compared"]) for group in groups) > 2
    pieces = [range(at, min(at + MOST_GROUPS, len(groups))) for at in range(0, len(groups), MOST_GROUPS)]
    for piece in pieces:
        which = f", {piece[0] + 1} to {piece[-1] + 1} of {len(groups)}" if len(pieces) > 1 else ""
        yield PageTable(
            inputs.marks.title(f"{title}{which}"),
            (
                "",
                *(f"{groups[at]['name']}, n{NBSP}={NBSP}{count(groups[at]['n'])}" for at in piece),
                "Known (n)",
                "Standardised difference (95 % interval)",
            ),
            tuple(row for variable in part["variables"] for row in _rows(variable, piece, several)),
            tuple(_notes(part)),
        )


def _notes(part: Mapping[str, Any]) -> Iterator[str]:
    groups = part["groups"]
    axillae, patients = (sum(int(group[key]) for group in groups) for key in ("n", "patients"))
    yield balance_counts(axillae, patients, [(str(group["name"]), int(group["patients"])) for group in groups])
    left_out = [str(group["name"]) for group in groups if not group["compared"]]
    yield difference_sentence(sum(bool(group["compared"]) for group in groups), left_out)
    shown = [entry["difference"] for entry in part["variables"]]
    methods = dict.fromkeys(method_text(entry) for entry in shown if finite(entry.get("value")) is not None)
    if methods:
        yield f"Intervals: {'; '.join(methods)}."
    if part["absent"]:
        yield f"No column: {', '.join(part['absent'])}."


def _rows(variable: Mapping[str, Any], piece: range, several: bool) -> Iterator[tuple[str, ...]]:
    title = f"{variable['title']} ({variable['unit']})" if variable["unit"] else str(variable["title"])
    blank = ("",) * len(piece)
    if variable["kind"] == NUMBER:
        parts = [variable["groups"][at] for at in piece]
        known = sum(int(part["n"]) for part in variable["groups"])
        yield (f"{title}: mean (SD)", *(_mean(part) for part in parts), count(known), _difference(variable, several))
        yield (f"{title}: median (quartiles)", *(_median(part) for part in parts), count(known), "")
    else:
        groups = len(variable["missing"]["counts"])
        totals = [sum(int(level["counts"][at]) for level in variable["levels"]) for at in range(groups)]
        yield (title, *blank, count(sum(totals)), _difference(variable, several))
        for level in variable["levels"]:
            cells = [_share(int(level["counts"][at]), totals[at]) for at in piece]
            yield (f"{variable['title']}: {_WORDS.get(level['level'], level['level'])}", *cells, count(sum(totals)), "")
    missing = variable["missing"]
    if any(missing["counts"]):
        cells = [count(missing["counts"][at]) for at in piece]
        yield (f"{variable['title']}: not known", *cells, EN_DASH, _difference(missing, several))


def _mean(part: Mapping[str, Any]) -> str:
    if not part["n"]:
        return EN_DASH
    return f"{number(part['mean'], 1)} ({EN_DASH if part['sd'] is None else number(part['sd'], 1)})"


def _median(part: Mapping[str, Any]) -> str:
    if not part["n"]:
        return EN_DASH
    ends = [_exact(part[key]) for key in ("median", "q1", "q3")]
    return f"{ends[0]} ({ends[1]} to {ends[2]})"


def _exact(value: float) -> str:
    return number(value, 0 if abs(value - round(value)) < _WHOLE else 1)


def _share(part: int, whole: int) -> str:
    return f"{count(part)} ({percent(part / whole)})" if whole else count(part)


def _difference(found: Mapping[str, Any], several: bool) -> str:
    estimate, pair = found["difference"], found["pair"]
    # Where nothing differs the first of equal pairs says nothing.
    named = f", {pair[0]} and {pair[1]}" if pair and several and estimate["value"] != 0 else ""
    if finite(estimate["value"]) is None:
        return f"{not_estimable(estimate)}{named}"
    if finite(estimate["low"]) is None:
        return f"{number(estimate['value'])}{named}"
    return f"{estimate_text(estimate)}{named}"
