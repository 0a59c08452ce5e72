"""The page on what contours by software change in a model's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from usdlr.core.files import write_together
from usdlr.core.types import Stage
from usdlr.decision import wording_outlines as words
from usdlr.decision.numbers import estimate_text, interval, rate_text
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE
from usdlr.decision.wording_intervals import NAMES
from usdlr.report.document import Block, Document, Figure, Notice, PageTable, Points, Section
from usdlr.report.html import render
from usdlr.report.style import BLUE, INK, QUIET, WIDTH_IN, Drawing, draw, heading, panel_title

PAGE = "effect.html"
TITLES = {"simulated": "Simulated patients", "proxy": "Proxy endpoint", "conflict": "Read this first"}


def write_contour_page(
    effect: Mapping[str, Any],
    decisions: Mapping[str, pd.DataFrame],
    labels: pd.DataFrame,
    origin: Mapping[str, str],
    folder: Path,
    *,
    notices: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write ``effect.html`` and its figure.

    Parameters
    ----------
    effect : mapping
        From :func:`usdlr.validation.contours.compare_contours`.
    decisions : mapping of str to DataFrame
        ``reader`` and ``software``.
    labels : DataFrame
        Outcomes by axilla.
    origin : mapping of str to str
        Where the numbers come from.
    folder : Path
        Target.
    notices : sequence of (str, str)
        What must not be overlooked: the kind of the box, and its sentences.

    Raises
    ------
    DataError
        If the files cannot be written there.
    """
    drawing = change_figure(decisions, labels)
    document = contour_page(effect, origin, drawing, notices)
    contents = {PAGE: render(document).encode(), f"figures/{drawing.name}.svg": drawing.file_text.encode()}
    write_together(folder, contents)
    return folder / PAGE


def contour_page(
    effect: Mapping[str, Any], origin: Mapping[str, str], drawing: Drawing, notices: Sequence[tuple[str, str]] = ()
) -> Document:
    """The page as blocks."""
    counts = effect["axillae"]
    told = words.effect_summary(
        counts["both"],
        rate_text(effect["groups"]["same"]),
        counts["without_software"],
        counts["without_software_positive"],
        counts["unusable"],
        counts["unusable_positive"],
    )
    tables: list[Block] = [_measures(stage, effect["stages"][str(stage)]) for stage in Stage]
    return Document(
        kind="Contours by software",
        title="Effect on a model",
        question=words.EFFECT_QUESTION,
        summary=told,
        tiles=(),
        notices=(
            *(Notice(kind, TITLES[kind], text) for kind, text in notices),
            Notice("device", "Not a medical device", NOT_A_MEDICAL_DEVICE),
        ),
        opening=(),
        sections=(
            Section("measures", "Measures", "How good the answers are with either contour", tuple(tables)),
            Section(
                "answers",
                "Answers",
                "Which answers change",
                (_groups(effect["groups"]), Figure(drawing), Points((words.EFFECT_LOST,))),
            ),
            Section("why", "Why", "Where the answers change, and how the contours differ", _why(effect["likeness"])),
            Section("limits", "Limits", "What this does not show", (Points((words.CONFIRM, NOT_A_MEDICAL_DEVICE)),)),
            Section(
                "origin",
                "Origin",
                "Where the numbers come from",
                (PageTable("Origin", ("what", "value"), tuple(origin.items()), texts=(1,)),),
            ),
        ),
        footer=NOT_A_MEDICAL_DEVICE,
    )


def change_figure(decisions: Mapping[str, pd.DataFrame], labels: pd.DataFrame) -> Drawing:
    """Probabilities with both contours, a panel per stage."""
    key = ["patient_id", "side"]
    both = decisions["reader"].merge(decisions["software"], on=key, suffixes=("_reader", "_software"))
    both = both.merge(labels[[*key, *map(str, Stage)]], on=key, how="left")
    title = f"Probability with either contour (n = {len(both)} axillae)"

    def paint(figure: Canvas) -> None:
        heading(figure, title)
        for at, stage in enumerate(Stage):
            axes = figure.add_axes((0.09 + 0.5 * at, 0.16, 0.4, 0.64))
            first, second = (both[f"p_{stage}_{name}"].to_numpy(dtype=np.float64) for name in ("reader", "software"))
            positive = (both[str(stage)] == 1).to_numpy()
            axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8)
            for chosen, fill in ((~positive, "none"), (positive, BLUE)):
                axes.scatter(first[chosen], second[chosen], s=12, facecolors=fill, edgecolors=BLUE, linewidths=0.7)
            for value in np.unique(both[f"t_{stage}_reader"].to_numpy(dtype=np.float64)):
                axes.axvline(value, color=INK, linestyle="--", linewidth=0.9)
                axes.axhline(value, color=INK, linestyle="--", linewidth=0.9)
            axes.set(xlabel="Reader's contour", ylabel="Software's contour", xlim=(0, 1), ylim=(0, 1))
            panel_title(axes, "AB"[at], NAMES[stage])

    return draw("contour_effect", title, words.EFFECT_CHANGE_CAPTION, (WIDTH_IN, 3.4), paint)


def _measures(stage: Stage, told: Mapping[str, Any]) -> PageTable:
    rows = [
        (words.EFFECT_MEASURES[name][0], *(estimate_text(own[key], 3) for key in ("reader", "software", "difference")))
        for name, own in told["measures"].items()
    ]
    change = told["change"]
    over = f"of all {change['mean']['n']} axillae"
    rows.append((f"change of the probability {over}, mean", "", "", estimate_text(change["mean"], 3)))
    rows.append((f"size of that change {over}, mean", "", "", estimate_text(change["size"], 3)))
    if change["limits"] is not None:
        low, high = change["limits"]
        rows.append((f"95 % limits of agreement {over}", "", "", interval(low, high, 3)))
    head = ("measure", "reader's contours", "software's contours", "difference")
    title = f"{NAMES[stage]}, {told['n']} axillae of known status, {told['positives']} positive"
    return PageTable(title, head, tuple(rows), (words.EFFECT_NOTE,))


def _groups(groups: Mapping[str, Any]) -> PageTable:
    rows = tuple((name, *map(str, counts)) for name, counts in zip(groups["order"], groups["counts"], strict=True))
    return PageTable("Axillae by group: reader's contours down, software's across", ("", *groups["order"]), rows)


def _why(likeness: Mapping[str, Any]) -> tuple[Block, ...]:
    first = NAMES[Stage.SLN]
    overlap = tuple(
        (
            words.likeness_group(row["from"], row["to"]),
            f"{row['n']} ({row['positives']})",
            *(_cell(row["auc"][key]) for key in ("reader", "software", "difference")),
            *(_cell(row["change"][key]) for key in ("positive", "negative")),
        )
        for row in likeness["overlap"]
    )
    shapes = tuple(
        (outcome, str(own["reader"]["n"]), *(_cell(own[key]) for key in ("reader", "software", "difference")))
        for outcome, own in likeness["sphericity"].items()
    )
    return (
        PageTable(f"By overlap of both contours, {first}", words.LIKENESS_HEAD, overlap, (words.LIKENESS_NOTE,)),
        PageTable("How round the contours are", words.SPHERICITY_HEAD, shapes, (words.SPHERICITY_NOTE,)),
        Points((words.WHY_NOTE,)),
    )


def _cell(estimate: Mapping[str, Any]) -> str:
    return words.NONE if estimate["value"] is None else estimate_text(dict(estimate), 2)
