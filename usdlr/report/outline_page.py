"""The page of an experiment on outlines: how good they are at home and elsewhere, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core.files import write_together
from usdlr.decision import wording_outlines as words
from usdlr.decision.numbers import counted_rate, estimate_text, interval, number, rate_text
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE
from usdlr.report.document import Block, Document, Figure, Gallery, Notice, PageTable, Picture, Points, Section, Tile
from usdlr.report.figures_outlines import (
    confidence_figure,
    diameter_figure,
    dice_figure,
    froc_figure,
    strata_figure,
)
from usdlr.report.html import render
from usdlr.report.outline_pictures import OutlinePicture, render_outlines
from usdlr.report.pdf import pdf_or_say
from usdlr.report.style import Drawing

PAGE, PDF = "report.html", "report.pdf"
# Of an overlap: the second digit hides what a better network gains.
DIGITS = 3
MILLIMETRES = ("median_average_hausdorff_mm", "median_hausdorff_mm")


@dataclass(frozen=True, eq=False)
class OutlineSource:
    """What is told of one source.

    Parameters
    ----------
    name : str
        ``development``, or the centre adapter's.
    note : str
        How its images were outlined.
    metrics : mapping of str to mapping
        By way of outlining, from :func:`usdlr.evaluation.outline_quality.outline_metrics`.
    images, objects : DataFrame
        Of the way that the bundle goes.
    curve : DataFrame
        From :func:`usdlr.evaluation.outline_quality.score_curve`.
    worst, chance, invented : sequence of OutlinePicture
        The worst images, images drawn by chance, and images without a lesion on which one was outlined.
    facts : mapping of str to str
        What else there is to say, e.g. patients and images.
    differences : mapping of str to mapping
        Differences of Dice between ways, as ``WAY_minus_WAY``, from
        :func:`usdlr.evaluation.outline_means.paired_difference`.
    least_scores : sequence of mapping
        From :func:`usdlr.evaluation.outline_scores.by_least_score`.
    """

    name: str
    note: str
    metrics: Mapping[str, Mapping[str, Any]]
    images: pd.DataFrame
    objects: pd.DataFrame
    curve: pd.DataFrame
    worst: Sequence[OutlinePicture] = ()
    chance: Sequence[OutlinePicture] = ()
    invented: Sequence[OutlinePicture] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    differences: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    least_scores: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, eq=False)
class OutlineReport:
    """Everything on the page.

    Parameters
    ----------
    title, question : str
        Of the experiment.
    main : str
        The way of outlining that the bundle goes.
    sources : sequence of OutlineSource
        Development first.
    least_score : float
        From which score on the bundle counts a lesion.
    covered : float
        Share of a lesion that must be covered.
    origin : mapping of str to str
        Where the numbers come from: networks, seed, code.
    target : float or None
        Dice that was aimed at; ``None``: no line is drawn.
    """

    title: str
    question: str
    main: str
    sources: Sequence[OutlineSource]
    least_score: float
    covered: float
    origin: Mapping[str, str]
    target: float | None = None


def write_outline_report(report: OutlineReport, folder: Path) -> list[Path]:
    """Write ``report.html``, ``report.pdf`` (left out, which is said, without the library for it) and ``figures``.

    Raises
    ------
    DataError
        If the files cannot be written there; then none is.
    """
    figures = {source.name: _figures(report, source) for source in report.sources}
    document = outline_page(report, figures)
    pdf = pdf_or_say(document)
    contents = {PAGE: render(document).encode(), **({PDF: pdf} if pdf is not None else {})}
    for drawings in figures.values():
        contents |= {f"figures/{drawing.name}.svg": drawing.file_text.encode() for drawing in drawings}
    written = write_together(folder, contents)
    if pdf is None:
        (folder / PDF).unlink(missing_ok=True)
    return written


def outline_page(report: OutlineReport, figures: Mapping[str, Sequence[Drawing]]) -> Document:
    """The page as blocks."""
    told = " ".join(_summary(report, source) for source in report.sources)
    return Document(
        kind="Outlines by software",
        title=report.title,
        question=report.question,
        summary=told,
        tiles=tuple(tile for source in report.sources for tile in _tiles(report, source)),
        notices=(Notice("device", "Not a medical device", NOT_A_MEDICAL_DEVICE),),
        opening=tuple(_comparison(report, source) for source in report.sources),
        sections=(
            *(_section(report, source, figures.get(source.name, ())) for source in report.sources),
            Section("limits", "Limits", "What this does not show", (Points(_limits(report)),)),
            Section(
                "origin",
                "Origin",
                "Where the numbers come from",
                (PageTable("Origin", ("what", "value"), tuple(report.origin.items()), texts=(1,)),),
            ),
        ),
        footer=NOT_A_MEDICAL_DEVICE,
    )


def _of(report: OutlineReport, source: OutlineSource) -> Mapping[str, Any]:
    return source.metrics[report.main]


def _summary(report: OutlineReport, source: OutlineSource) -> str:
    own = _of(report, source)
    return words.summary(source.name, estimate_text(own["dice"], DIGITS), own["dice"]["n"], rate_text(own["recall"]))


def _tiles(report: OutlineReport, source: OutlineSource) -> list[Tile]:
    own = _of(report, source)
    tiles = [Tile(f"Dice, {source.name}", *_value(own["dice"], DIGITS))]
    if own["hausdorff95_mm"]["value"] is not None:
        tiles.append(Tile(f"95 % Hausdorff (mm), {source.name}", *_value(own["hausdorff95_mm"])))
    return tiles


def _value(estimate: Mapping[str, Any], digits: int = 2) -> tuple[str, str]:
    if estimate["value"] is None:
        return "not estimable", str(estimate["method"])
    told = interval(estimate["low"], estimate["high"], digits)
    return number(estimate["value"], digits), f"{told}, n = {estimate['n']}"


def _comparison(report: OutlineReport, source: OutlineSource) -> PageTable:
    """Every measure of one source by way; what no way has a number of is left out."""
    ways = list(source.metrics)
    columns = [source.metrics[way] for way in ways]
    rows = [
        (label, unit, *(_cell(own[name], DIGITS if unit == "1" else 2) for own in columns))
        for name, (label, unit) in words.MEASURES.items()
    ]
    rows.append((words.GOOD_ONES, "share", *(counted_rate(own["good"]) for own in columns)))
    # Only the bundle's way is matched lesion by lesion.
    for name, label in (("recall", words.RECALL.format(covered=report.covered)), ("precision", words.PRECISION)):
        rows.append((label, "share", *("" if own[name]["value"] is None else rate_text(own[name]) for own in columns)))
    rows.append((words.FALSE_POSITIVES, "1", *(_cell(own["false_positives_per_image"]) for own in columns)))
    rows.append((words.TOO_SMALL, "n", *(str(own["too_small"]) if own.get("too_small") else "" for own in columns)))
    for kind in sorted({kind for own in columns for kind in own["without_a_lesion"]}):
        cells = [own["without_a_lesion"].get(kind) for own in columns]
        what = f"{words.KINDS.get(kind, kind)}: {words.FOUND_WITHOUT}"
        rows.append((what, "share", *("" if one is None else counted_rate(one) for one in cells)))
    told = tuple(row for row in rows if any(row[2:]))
    notes = (*(f"{way}: {words.WAYS[way]}." for way in ways if way in words.WAYS), words.SHARES_NOTE)
    return PageTable(f"Quality of outlines, {source.name}", ("measure", "unit", *ways), told, notes, texts=(1,))


def _cell(estimate: Mapping[str, Any], digits: int = 2) -> str:
    return "" if estimate["value"] is None else estimate_text(dict(estimate), digits)


def _section(report: OutlineReport, source: OutlineSource, drawings: Sequence[Drawing]) -> Section:
    own = _of(report, source)
    lines = [source.note]
    if own["hausdorff95_mm"]["value"] is None:
        lines.append(words.NO_PIXEL_SIZE)
    blocks: list[Block] = [Points(tuple(lines))]
    if source.facts:
        blocks.append(PageTable(f"Images, {source.name}", ("what", "n"), tuple(source.facts.items())))
    blocks += [_groups(name, values) for name, values in own["groups"].items() if values]
    if source.differences:
        blocks.append(_differences(source))
    if source.least_scores:
        blocks.append(_least_scores(source, report.least_score))
    if own.get("strata"):
        blocks.append(_strata(source.name, own["strata"]))
    blocks += [Figure(drawing) for drawing in drawings]
    for title, pictures in (
        ("The worst images", source.worst),
        ("Images drawn by chance", source.chance),
        ("Images without a lesion on which one was outlined", source.invented),
    ):
        if pictures:
            blocks += [Points((f"{title}. {words.GALLERY_NOTE}",)), Gallery(tuple(map(_picture, pictures)))]
    return Section(source.name, source.name, f"Outlines, {source.name}", tuple(blocks))


def _groups(name: str, values: Mapping[str, Mapping[str, Any]]) -> PageTable:
    rows = tuple((value, _cell(estimate, DIGITS), str(estimate["n"])) for value, estimate in values.items())
    return PageTable(f"Dice by {name}", (name, "Dice, mean", "images"), rows)


def _differences(source: OutlineSource) -> PageTable:
    rows = tuple(
        (words.difference_name(key), _cell(estimate, DIGITS), str(estimate["n"]))
        for key, estimate in source.differences.items()
    )
    return PageTable(
        f"Differences of Dice, {source.name}", ("ways", "difference, mean", "images"), rows, (words.DIFFERENCES_NOTE,)
    )


def _least_scores(source: OutlineSource, chosen: float) -> PageTable:
    kinds = sorted({kind for row in source.least_scores for kind in row["without_a_lesion"]})
    rows = tuple(
        (
            f"{number(row['least_score'])}{'*' if row['least_score'] == chosen else ''}",
            counted_rate(row["kept"]),
            _cell(row["dice"], DIGITS),
            *(counted_rate(row["without_a_lesion"][kind]) for kind in kinds),
        )
        for row in source.least_scores
    )
    head = (*words.LEAST_SCORES_HEAD, *(f"{words.KINDS.get(kind, kind)} that get one" for kind in kinds))
    return PageTable(f"What a least score does, {source.name}", head, rows, (words.LEAST_SCORES_NOTE,))


def _limits(report: OutlineReport) -> tuple[str, ...]:
    names = [source.name for source in report.sources]
    return (words.CONFIRM, words.EFFECT_ELSEWHERE, words.READERS_NOTE, words.cohorts(names), NOT_A_MEDICAL_DEVICE)


def _strata(source: str, rows: Sequence[Mapping[str, Any]]) -> PageTable:
    cells = tuple(
        (
            str(row["stratum"]),
            str(row["n"]),
            "" if row["recall"] is None else f"{row['found']} ({number(row['recall'])})",
            "" if row["median_dice"] is None else number(row["median_dice"]),
            *("" if row[name] is None else number(row[name]) for name in MILLIMETRES),
        )
        for row in rows
    )
    head = (
        "short axis",
        "lesions",
        "found (share)",
        "Dice, median",
        "average Hausdorff (mm), median",
        "Hausdorff (mm), median",
    )
    return PageTable(f"Lesions by size, {source}", head, cells)


def _figures(report: OutlineReport, source: OutlineSource) -> list[Drawing]:
    own = _of(report, source)
    found = [
        dice_figure(source.name, source.images, report.target),
        strata_figure(source.name, source.objects, own),
        diameter_figure(source.name, source.images, own),
        froc_figure(source.name, source.curve, report.least_score),
        confidence_figure(source.name, source.images, own),
    ]
    return [drawing for drawing in found if drawing is not None]


def _picture(case: OutlinePicture) -> Picture:
    dice, score = (("none" if value != value else number(value)) for value in (case.dice, case.score))
    return Picture(
        f"Image {case.number}",
        render_outlines(case),
        f"Image {case.number}: outlines of reader and software, Dice {dice}",
        (("Dice", dice), ("score", score)),
        False,
    )
