"""The part of a validation's page about shift: the alarm, what lies behind it, and the columns that differ most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from usdlr.decision.numbers import EN_DASH, count, finite, number, p_text, percent, plural
from usdlr.decision.wording_shift import KIND_TITLES, NOT_COMPARED, domain_line, shift_lines
from usdlr.report.document import Block, Figure, Folded, PageTable, Prose
from usdlr.report.figures_shift import column_words, difference_figure, farthest, log_odds_figure
from usdlr.report.style import Drawing
from usdlr.report.tables import Marks

MOST = 12
_WHERE = {"centre_id": "Centre", "vendor": "Maker of the scanner", "device": "Scanner"}


def shift_blocks(shift: Mapping[str, Any] | None, marks: Marks) -> tuple[Block, ...]:
    """Everything about shift, in the order of the page.

    Parameters
    ----------
    shift : mapping or None
        From :func:`usdlr.evaluation.shift.shift_report`; None: the bundle has nothing to compare with.
    marks : Marks
        What every title carries.
    """
    if shift is None:
        return (Prose((NOT_COMPARED,)),)
    drawings = shift_drawings(shift, marks)
    beyond = [table for table in (_words(shift, marks), _missing(shift, marks), _where(shift, marks)) if table.rows]
    return (
        Prose((*shift_lines(shift), domain_line(shift["domain_auc"]))),
        _kinds(shift, marks),
        *(Figure(drawing) for drawing in drawings.values()),
        *((_worst(shift, marks),) if farthest(shift["features"], 1) else ()),
        *((Folded("Case mix, missing regions, scanners", tuple(beyond)),) if beyond else ()),
    )


def shift_drawings(shift: Mapping[str, Any], marks: Marks) -> dict[str, Drawing]:
    """The figures by name."""
    found = (difference_figure(shift, marks), log_odds_figure(shift, marks))
    return {drawing.name: drawing for drawing in found if drawing is not None}


def _kinds(shift: Mapping[str, Any], marks: Marks) -> PageTable:
    rows = tuple(
        (
            KIND_TITLES[name],
            count(one["tested"]),
            p_text(one["adjusted"]),
            "not tested" if one["alarm"] is None else "yes" if one["alarm"] else "no",
        )
        for name, one in shift["kinds"].items()
    )
    notes = (
        "P is corrected for all tests of a kind and for the number of kinds (Bonferroni; Holm over radiomics columns), "
        "so "
        f"that the alarm's rate of {100 * float(shift['rate']):g} % holds however the tests depend on each other.",
        "Tests: location and spread of each number (smooth test on the summary's steps), shares of levels (chi-square "
        "or "
        "Fisher), shares with a region missing (Fisher), radiomics and embeddings as a whole (maximum mean "
        "discrepancy).",
    )
    return PageTable(marks.title("What differs"), ("", "Tests", "P, corrected", "Alarm"), rows, notes, (3,))


def _worst(shift: Mapping[str, Any], marks: Marks) -> PageTable:
    rows = tuple(
        (
            column_words(str(one["column"])),
            _mean(one["reference"]),
            _mean(one["here"]),
            _difference(one["difference"]),
            p_text(one["holm"]),
            p_text(one["bh"]),
        )
        for one in farthest(shift["features"], MOST)
    )
    known = [one for one in shift["features"] if finite(one["holm"]) is not None]
    found = {name: sum(one[name] <= 0.05 for one in known) for name in ("holm", "bh")}
    notes = (
        f"Of {plural(len(known), 'column')} tested, {found['holm']} differ with P at most 0.05 after Holm's correction "
        "(any "
        f"false finding: at most 5 %), {found['bh']} after Benjamini and Hochberg's (expected share of false ones: at "
        "most "
        "5 %).",
    )
    head = ("", "Training: mean (SD)", "Here: mean (SD)", "Standardised difference (95 % interval)", "P, Holm", "P, BH")
    return PageTable(marks.title("Radiomics that differ most"), head, rows, notes)


def _words(shift: Mapping[str, Any], marks: Marks) -> PageTable:
    rows: list[tuple[str, ...]] = []
    for one in shift["case_mix"]["numbers"]:
        cells = (_mean(one["reference"]), _mean(one["here"]), p_text(one["p"]))
        rows.append((f"{column_words(str(one['column']))}: mean (SD)", *cells))
    for one in shift["case_mix"]["words"]:
        rows += _levels(column_words(str(one["column"])), one["reference"], one["here"], p_text(one["p"]))
    return PageTable(marks.title("Case mix, by patient"), ("", "Training", "Here", "P, uncorrected"), tuple(rows))


def _missing(shift: Mapping[str, Any], marks: Marks) -> PageTable:
    rows = tuple(
        (
            column_words(f"{one['group']}.original.firstorder.Mean").partition(":")[0],
            _share(one["reference"][1], sum(one["reference"])),
            _share(one["here"][1], sum(one["here"])),
            p_text(one["p"]),
        )
        for one in shift["missing"]
    )
    return PageTable(marks.title("Patients without a value"), ("", "Training", "Here", "P, uncorrected"), rows)


def _where(shift: Mapping[str, Any], marks: Marks) -> PageTable:
    rows = [
        row for name, one in shift["where"].items() for row in _levels(_WHERE[name], one["reference"], one["here"], "")
    ]
    notes = ("Not tested: another centre has another name, and often another scanner.",) if rows else ()
    return PageTable(marks.title("Centres and scanners, by patient"), ("", "Training", "Here", ""), tuple(rows), notes)


def _levels(
    title: str, there: Mapping[str, int], here: Mapping[str, int], p: str
) -> Iterator[tuple[str, str, str, str]]:
    totals = [sum(one.values()) for one in (there, here)]
    for place, level in enumerate(dict.fromkeys([*there, *here])):
        cells = [_share(one.get(level, 0), total) for one, total in zip((there, here), totals, strict=True)]
        yield (f"{title}: {level}", cells[0], cells[1], p if place == 0 else "")


def _share(events: int, n: int) -> str:
    return f"{count(events)} ({percent(events / n, 0)})" if n else EN_DASH


def _mean(one: Mapping[str, Any]) -> str:
    if finite(one["mean"]) is None:
        return EN_DASH
    return f"{_digits(one['mean'])} ({EN_DASH if finite(one['sd']) is None else _digits(one['sd'])})"


def _digits(value: float) -> str:
    text = number(value, 0) if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def _difference(one: Mapping[str, Any]) -> str:
    if finite(one["value"]) is None:
        return EN_DASH
    return f"{number(one['value'])} ({number(one['low'])} to {number(one['high'])})"
