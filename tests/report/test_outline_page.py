"""The page of outlines: what stands on it, and that its pictures show two outlines."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from usdlr.core.units import Spacing
from usdlr.decision.numbers import NBSP
from usdlr.evaluation.outline_quality import OutlinedImage, judge_images, outline_metrics, score_curve
from usdlr.evaluation.outline_scores import by_least_score
from usdlr.report.figures_outlines import diameter_figure, dice_figure, strata_figure
from usdlr.report.outline_page import OutlineReport, OutlineSource, write_outline_report
from usdlr.report.outline_pictures import OutlinePicture, render_outlines

SHAPE = (120, 160)
ORANGE, SKY = (230, 159, 0), (86, 180, 233)


def images(spacing: Spacing | None) -> list[OutlinedImage]:
    """Thirty lesions of many sizes, outlined a little too large; five images of tissue, one of them not empty."""
    out = []
    rng = np.random.default_rng(3)
    for number in range(30):
        half = int(rng.integers(8, 40))
        reference, predicted = np.zeros(SHAPE, dtype=np.int64), np.zeros(SHAPE, dtype=np.int64)
        reference[60 - half : 60 + half, 80 - half : 80 + half] = 1
        grown = half + int(rng.integers(0, 5))
        predicted[60 - grown : 60 + grown, 80 - grown : 80 + grown] = 1
        score = {1: float(rng.uniform(0.5, 1))}
        out.append(OutlinedImage(f"p{number}", f"i{number}", "lesion", reference, predicted, score, spacing))
    empty = np.zeros(SHAPE, dtype=np.int64)
    for number in range(5):
        found = out[0].predicted if number == 0 else empty
        scores = {1: 0.6} if number == 0 else {}
        out.append(OutlinedImage(f"t{number}", f"t{number}", "background", empty, found, scores, spacing))
    return out


def source(name: str, spacing: Spacing | None) -> OutlineSource:
    shown = images(spacing)
    table, matched, objects = judge_images(shown, covered=0.4, smallest_mm=4.5)
    told = outline_metrics(table, matched, objects, replicates=100)
    picture = OutlinePicture(
        7, np.full(SHAPE, 90, np.uint8), shown[0].reference > 0, shown[0].predicted > 0, spacing, 0.5, 0.7
    )
    return OutlineSource(
        name,
        "How.",
        {"whole": told, "closer": told},
        table,
        objects,
        score_curve(shown, covered=0.4),
        worst=[picture, replace(picture, number=11)],
        invented=[replace(picture, number=31, dice=float("nan"))],
        differences={"closer_minus_whole": {"value": 0.041, "low": 0.02, "high": 0.06, "n": 30, "method": "m"}},
        least_scores=by_least_score(table, (0.0, 0.5, 0.7), replicates=100),
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    report = OutlineReport(
        title="trial",
        question="How well?",
        main="closer",
        sources=[source("development", None), source("elsewhere", Spacing(0.25, 0.25))],
        least_score=0.5,
        covered=0.4,
        origin={"networks": "2"},
        target=0.85,
    )
    write_outline_report(report, folder)
    return folder


def test_the_page_says_what_it_must(written: Path) -> None:
    page = unescape((written / "report.html").read_text()).replace(NBSP, " ")
    for text in (
        "How well?",
        "not a medical device",
        "No image of this source states a pixel size",
        "tissue cut from beside a lesion",
        "1 of 5",
        "Kruskal-Wallis",
        "limits of agreement",
        "has to be confirmed or redrawn by a reader",
        "average Hausdorff (mm), median",
        "lesions too small to count as found or missed",
        "The dashed line is the target, 0.85.",
        "closer minus whole",
        "What a least score does, elsewhere",
        "0.50*",
        "tissue cut from beside a lesion that get one",
        "0.041 (0.020–0.060)",
        "is measured with that model, on a page of its own: usdlr segment --replace --model.",
        "The numbers are of the images of development and elsewhere, and of no others",
    ):
        assert text in page, text
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_table_by_source_is_no_wider_than_the_page_and_has_no_empty_row(written: Path) -> None:
    page = unescape((written / "report.html").read_text()).replace(NBSP, " ")
    home, abroad = (
        next(part for part in page.split("<table") if f"Quality of outlines, {name}" in part)
        for name in ("development", "elsewhere")
    )
    assert all(part.split("</thead>")[0].count("</th>") == 4 for part in (home, abroad))  # measure, unit, two ways
    assert "95 % Hausdorff distance of boundaries, mean" in abroad
    assert "95 % Hausdorff distance of boundaries, mean" not in home, "no image there has a pixel size"


def test_every_case_has_a_picture(written: Path) -> None:
    page = unescape((written / "report.html").read_text())
    for number, dice in ((7, "0.50"), (11, "0.50"), (31, "none")):
        assert page.count(f'alt="Image {number}: outlines of reader and software, Dice {dice}"') == 2  # one per source
    assert page.count('src="data:image/png;base64,') == 6


def test_figures_stand_beside_it(written: Path) -> None:
    names = {path.stem for path in (written / "figures").glob("*.svg")}
    assert names == {
        "dice_development",
        "dice_elsewhere",
        "froc_development",
        "froc_elsewhere",
        "score_development",
        "score_elsewhere",
        "strata_elsewhere",
        "diameters_elsewhere",
    }


def test_the_same_inputs_give_the_same_bytes(written: Path, tmp_path: Path) -> None:
    drawing = [dice_figure("x", source("x", None).images) for _ in range(2)]
    assert drawing[0] is not None
    assert drawing[0] == drawing[1]


def test_nothing_in_millimetres_is_drawn_without_a_pixel_size() -> None:
    bare = source("bare", None)
    assert strata_figure("bare", bare.objects, bare.metrics["closer"]) is None
    assert diameter_figure("bare", bare.images, bare.metrics["closer"]) is None
    assert dice_figure("bare", pd.DataFrame({"lesions": [0], "dice": [np.nan]})) is None


def test_a_picture_shows_both_outlines_and_a_bar_of_ten_millimetres() -> None:
    reader, software = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    reader[20:80, 20:80] = True
    software[30:100, 60:140] = True
    made = OutlinePicture(1, np.full(SHAPE, 60, np.uint8), reader, software, Spacing(0.25, 0.25), 0.2, 0.7)
    decoded = cv2.imdecode(np.frombuffer(render_outlines(made), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    pixels = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    for colour in (ORANGE, SKY):
        assert (np.abs(pixels.astype(int) - colour).sum(axis=2) < 40).sum() > 200
    white = (pixels.min(axis=2) > 240) & (np.indices(pixels.shape[:2])[0] > 0.94 * pixels.shape[0])
    columns = np.flatnonzero(white.any(axis=0))
    # 40 mm across.
    assert (columns[-1] - columns[0]) / pixels.shape[1] == pytest.approx(10 / 40, rel=0.06)
    bare = OutlinePicture(1, np.full(SHAPE, 60, np.uint8), reader, software, None, 0.2, float("nan"))
    assert render_outlines(bare) != render_outlines(made)
