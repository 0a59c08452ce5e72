"""The page about scores from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usdlr.core.files import write_together
from usdlr.core.types import Stage
from usdlr.decision.numbers import EN_DASH, count, estimate_text, events_text, finite, methods_of, p_text, rate_text
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE
from usdlr.decision.wording_validation import Standing, verdict_sentence
from usdlr.report.document import Document, Figure, Notice, PageTable, Prose, Section
from usdlr.report.html import render
from usdlr.report.pdf import pdf_or_say
from usdlr.report.style import Drawing
from usdlr.validation.scores import flat_comparisons, score_metrics
from usdlr.validation.scores_figures import scores_figure
from usdlr.validation.scores_read import SCORE, ScoreTable

PAGE, PDF, RESULT = "report.html", "report.pdf", "metrics.json"
FROM_ELSEWHERE = (
    "The scores and outcomes were read from a file as they stand. How they were made, and whether patients who made a "
    "model are among those it is judged on, cannot be seen from here."
)
_RANKS = (
    ("auc", "AUC"),
    ("auc_by_patient", "AUC, interval over patients"),
    ("partial_auc", "Partial AUC at high sensitivity"),
    ("average_precision", "Average precision"),
    ("specificity_at_sensitivity", "Specificity at high sensitivity"),
)
_AGREEMENT = (
    ("brier", "Brier score", 3),
    ("scaled_brier", "Scaled Brier score", 2),
    ("log_loss", "Log loss (nat)", 3),
    ("calibration_slope", "Calibration slope", 2),
    ("calibration_intercept", "Calibration in the large", 2),
    ("observed_expected", "Observed / expected", 2),
    ("calibration_error", "Calibration error", 3),
    ("ici", "ICI", 3),
)
_CALLS = ("sensitivity", "specificity", "ppv", "npv")


def write_evaluation(table: ScoreTable, folder: Path, *, title: str, source: Mapping[str, str]) -> list[Path]:
    """Judge scores and write ``metrics.json``, the page, its PDF and its figure.

    Parameters
    ----------
    table : ScoreTable
        The file's rows.
    folder : Path
        Made if absent.
    title : str
        Heading of the page.
    source : mapping of str to str
        Name of the file and its SHA-256.

    Returns
    -------
    list of Path
        The page first.
    """
    found = {**score_metrics(table), "source": dict(source)}
    figure = scores_figure(table, found)
    document = scores_page(found, figure, title=title)
    pdf = pdf_or_say(document)
    contents = {PAGE: render(document).encode(), **({PDF: pdf} if pdf is not None else {})}
    contents[RESULT] = (json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    contents[f"figures/{figure.name}.svg"] = figure.file_text.encode()
    return write_together(folder, contents)


def scores_page(found: Mapping[str, Any], figure: Drawing, *, title: str) -> Document:
    """Everything that the page shows.

    Parameters
    ----------
    found : mapping
        The content of ``metrics.json``.
    figure : Drawing
        From :func:`usdlr.validation.scores_figures.scores_figure`.
    title : str
        Heading.
    """
    stages = {Stage(name): part for name, part in found["stages"].items()}
    verdicts = tuple(_verdict(stage, part) for stage, part in stages.items() if "verdict" in part)
    told = [*verdicts, *(_area(stage, part) for stage, part in stages.items())]
    sections = [Section("curves", "Curves", "Curves", (Figure(figure),))]
    for stage, part in stages.items():
        sections.append(
            Section(str(stage), stage.upper(), f"{stage.upper()} stage", _stage(stage, part, found["scale"]))
        )
    if found["comparisons"]:
        sections.append(Section("compared", "Compared", "Columns compared", (_compared(found["comparisons"]),)))
    source = ", ".join(f"{name} (SHA-256 {digest[:12]})" for name, digest in found.get("source", {}).items())
    return Document(
        kind="Evaluation of scores",
        title=title,
        question="How well do these scores tell positive from negative, and can their probabilities be believed?",
        summary=" ".join(told),
        tiles=(),
        notices=(Notice("device", "Research software", NOT_A_MEDICAL_DEVICE),),
        opening=(
            Prose((FROM_ELSEWHERE, f"{count(found['rows'])} rows of {count(found['patients'])} patients: {source}.")),
        ),
        sections=tuple(sections),
        footer=f"{NOT_A_MEDICAL_DEVICE} All numbers rest on {count(found['rows'])} rows of {source}.",
    )


def _area(stage: Stage, part: Mapping[str, Any]) -> str:
    auc = part["estimates"]["auc"]
    return f"AUC of {part['scores'][0]}, {stage.upper()} stage: {estimate_text(auc)}, n = {count(auc['n'])}."


def _verdict(stage: Stage, part: Mapping[str, Any]) -> str:
    one = part["verdict"]
    rate = one["rate"]
    return verdict_sentence(
        stage,
        Standing(one["standing"]),
        alpha=float(one["alpha"]),
        misses=int(rate["events"] or 0),
        positives=int(rate["n"]),
        low=rate["low"],
        high=rate["high"],
        further_clean=one["further_clean"],
        further_same=one["further_same"],
        towards=None if one["towards"] is None else Standing(one["towards"]),
        known_nsln="among rows with known status",
    )


def _stage(stage: Stage, part: Mapping[str, Any], scale: str) -> tuple[Any, ...]:
    columns = {part["scores"][0]: part["estimates"], **part["others"]}
    blocks: list[Any] = []
    if "verdict" in part:
        blocks.append(Prose((_verdict(stage, part),)))
    counts = part["counts"]
    told = (
        f"{count(counts['positive'])} positive, {count(counts['negative'])} negative and {count(counts['unknown'])} "
        f"rows of unknown status by the column {part['outcome']}."
    )
    blocks.append(_table(columns, [(key, words, 2) for key, words in _RANKS], "Discrimination", (told,)))
    if scale != SCORE:
        blocks.append(_table(columns, _AGREEMENT, "Agreement of probabilities with outcomes", ()))
    if part["threshold"] is not None:
        rows = tuple(
            (f"{name}: {key}", rate_text(one[key]), events_text(one[key]), rate_text(one["by_patient"][key]))
            for name, one in columns.items()
            for key in _CALLS
        )
        blocks.append(
            PageTable(
                f"Calls at or above {part['threshold']:g}",
                ("", "Rate (95 % interval)", "Rows", "Interval over patients"),
                rows,
                ("Exact intervals take rows as independent; those over patients do not.",),
            )
        )
    if "subgroups" in part:
        blocks.append(_subgroups(part["subgroups"]))
    return tuple(blocks)


def _table(
    columns: Mapping[str, Mapping[str, Any]],
    measures: Any,
    title: str,
    notes: tuple[str, ...],
) -> PageTable:
    rows = tuple(
        (words, *(estimate_text(one[key], digits) if key in one else EN_DASH for one in columns.values()))
        for key, words, digits in measures
    )
    shown = [one[key] for one in columns.values() for key, _, _ in measures if key in one]
    methods = "; ".join(methods_of(shown))
    return PageTable(title, ("", *columns), rows, (*notes, *((f"{methods}.",) if methods else ())))


def _subgroups(found: Mapping[str, Any]) -> PageTable:
    rows = []
    for variable in found["variables"].values():
        for level in variable["levels"]:
            name = level["level"] if variable["title"] == "All axillae" else f"{variable['title']}: {level['level']}"
            small = " (small)" if level["small"] else ""
            slope = estimate_text(level["calibration_slope"])
            rows.append(
                (f"{name}{small}", count(level["n"]), count(level["positives"]), estimate_text(level["auc"]), slope)
            )
    tests = [
        f"{variable['title']}, {name}: P after Holm's correction {p_text(test['p_holm'])}"
        for variable in found["variables"].values()
        for name, test in variable["tests"].items()
        if finite(test["p_holm"]) is not None
    ]
    return PageTable(
        "Subgroups of the first column",
        ("", "Rows", "Positive", "AUC (95 % interval)", "Calibration slope"),
        tuple(rows),
        (found["caveat"], *((f"Tests of interaction: {'; '.join(tests)}.",) if tests else ())),
    )


def _compared(found: Mapping[str, Any]) -> PageTable:
    rows = tuple(
        (
            f"{stage.upper()}: {title}",
            estimate_text(one["difference"], 3),
            estimate_text(one["difference_by_patient"], 3),
            p_text(one["p_value"]["value"]),
            p_text(one["p_value"]["p_holm"]),
        )
        for stage, title, one in flat_comparisons(found)
    )
    return PageTable(
        "Differences of areas under the ROC curve, on the same rows",
        ("", "Difference (DeLong)", "Interval over patients", "P value", "after Holm's correction"),
        rows,
        ("P values: ranks exchanged patient by patient; Holm's correction allows for all comparisons of this page.",),
    )
