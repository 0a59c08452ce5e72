"""Heat maps as pictures: colours where the values are, text nowhere, the cohort's marks on the page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

from usdlr.core.errors import DataError
from usdlr.core.types import Stage
from usdlr.report.curve_points import calibration_points, roc_points
from usdlr.report.figures import draw_all
from usdlr.report.figures_heatmap import (
    GAP_PX,
    LOWERS,
    PANEL_PX,
    RAISES,
    HeatCase,
    HeatPanel,
    full_colour,
    heat_table,
    overlay,
    panel_words,
    render_heat,
)
from usdlr.report.html import render
from usdlr.report.inputs import StudyInputs
from usdlr.report.page import study_page
from usdlr.report.study import write_report

SIDE = 48


def heat_case(number: int = 1, stage: Stage = Stage.SLN, found: bool | None = True) -> HeatCase:
    """A grey crop; one block raises the risk in its upper left quarter, the other lowers it in the lower right one."""
    up, down = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    up[4:20, 4:20], down[28:44, 28:44] = 0.02, -0.01
    nothing = np.zeros((SIDE, SIDE), bool)
    panels = [HeatPanel("bmode.intratumoral", up, 0.4, 0.9), HeatPanel("elasto.peritumoral", down, -0.2)]
    return HeatCase(number, stage, np.full((SIDE, SIDE), 128.0), nothing, nothing, panels, 0.3, found)


def pixels(png: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float) / 255


def panel(picture: NDArray[Any], place: int) -> NDArray[Any]:
    left = place * (PANEL_PX + GAP_PX)
    return picture[:, left : left + PANEL_PX]


def test_colour_stands_where_the_values_are_and_nowhere_else() -> None:
    picture = pixels(render_heat(heat_case()))
    assert picture.shape[:2] == (PANEL_PX, 3 * PANEL_PX + 2 * GAP_PX)
    grey = np.ptp(picture, axis=2) < 0.02
    assert panel(grey, 0).all()
    scale = PANEL_PX / SIDE
    for place, (low, high), colour in ((1, (4, 20), RAISES), (2, (28, 44), LOWERS)):
        rows, cols = np.where(~panel(grey, place))
        for found in (rows, cols):
            assert found.min() == pytest.approx(low * scale, abs=2)
            assert found.max() == pytest.approx(high * scale, abs=2)
        middle = panel(picture, place)[round((low + high) / 2 * scale), round((low + high) / 2 * scale)]
        share = 0.75 if place == 1 else 0.375  # the second is half as strong
        np.testing.assert_allclose(middle, share * np.array(to_rgb(colour)) + (1 - share) * 128 / 255, atol=0.03)


def test_contour_and_ring_are_drawn_in_every_panel() -> None:
    lesion, ring = np.zeros((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)
    lesion[16:32, 16:32], ring[10:38, 10:38] = True, True
    bare, drawn = heat_case(), replace(heat_case(), lesion=lesion, ring=ring & ~lesion)
    different = np.abs(pixels(render_heat(bare)) - pixels(render_heat(drawn))).max(axis=2) > 0.2
    for place in range(3):
        assert panel(different, place).sum() > 500


def test_zero_is_transparent_and_the_same_input_gives_the_same_bytes() -> None:
    shown = overlay(np.array([[0.0, 1.0, -5.0]]), 2.0)
    assert shown[0, :, 3].tolist() == [0.0, 0.375, 0.75]
    assert render_heat(heat_case()) == render_heat(heat_case())
    empty = replace(heat_case(), panels=[HeatPanel("bmode.intratumoral", np.zeros((SIDE, SIDE)), 0.0)])
    assert full_colour(empty) == 1.0
    render_heat(empty)
    assert full_colour(heat_case()) == pytest.approx(0.02)


def test_arrays_of_another_grid_are_refused() -> None:
    with pytest.raises(DataError, match=r"heat map heatmap_sln_1: found lesion of shape.*expected.*bring"):
        replace(heat_case(), lesion=np.zeros((3, 3), bool))


def test_words_and_numbers_of_a_case() -> None:
    assert panel_words(heat_case()) == ["the crop", "B-mode, lesion +0.40", "elastography, ring −0.20"]
    table = heat_table([heat_case(), heat_case(2, Stage.NSLN, found=None)])
    assert list(table["case"]) == [1, 1, 2, 2]
    assert list(table["panel"]) == [2, 3, 2, 3]
    assert list(table["adds"]) == [0.4, -0.2, 0.4, -0.2]
    assert table["found"].isna().tolist() == [False, False, True, True]


def test_the_page_shows_them_with_the_marks_of_the_cohort(uncertified: StudyInputs, tmp_path: Path) -> None:
    inputs = replace(uncertified, gallery=[], heat_maps=[heat_case(), heat_case(1, Stage.NSLN, found=None)])
    page = render(study_page(inputs, draw_all(inputs)))
    section = page[page.index('<section id="heat">') : page.index('<section id="making">')]
    titles = re.findall(r"<h3>(.*?)</h3>", section)
    assert titles == [
        "Heat map 1, SLN stage (simulated, proxy endpoint, uncertified)",
        "Heat map 1, NSLN stage (simulated, proxy endpoint, uncertified)",
    ]
    assert section.count("data:image/png;base64,") == 2
    assert 'href="#heat"' in page
    assert "unknown" in section
    written = write_report(inputs, tmp_path)
    assert [path.name for path in written if path.suffix == ".png"] == ["heatmap_sln_1.png", "heatmap_nsln_1.png"]
    assert (tmp_path / "figures" / "heatmap_sln_1.png").read_bytes() == render_heat(inputs.heat_maps[0])
    assert len(pd.read_csv(tmp_path / "figures" / "heatmaps.csv")) == 4


def test_no_heat_maps_no_section(study: Callable[..., StudyInputs]) -> None:
    inputs = study(patients=120, pictures=False)
    page = render(study_page(inputs, draw_all(inputs)))
    assert 'id="heat"' not in page
    assert "#heat" not in page


def area(points: Any) -> float:
    return float(np.trapezoid(points["sensitivity"], points["false_positive_rate"]))


def test_the_points_of_the_curves_have_their_areas(certified: StudyInputs) -> None:
    points = roc_points(certified)
    rows = certified.stage_rows(Stage.SLN)
    model = points[(points["stage"] == "sln") & (points["name"] == "model")]
    assert area(model) == pytest.approx(roc_auc_score(rows["truth"], rows["score"]))
    assert set(points["name"]) == {"model", "size", "radiomics"}
    bins = calibration_points(certified)
    for stage in Stage:
        part = bins[bins["stage"] == str(stage)]
        truth = certified.stage_rows(stage)["truth"]
        assert part["n"].sum() == len(truth)
        assert part["events"].sum() == truth.sum()


def faint(case: HeatCase, factor: float) -> HeatCase:
    panels = [replace(one, values=one.values * factor, adds=one.adds * factor) for one in case.panels]
    return replace(case, panels=panels)


def test_a_map_that_adds_next_to_nothing_stays_pale() -> None:
    case = heat_case()
    # The second panel lies wholly inside: -0.2 nat on 256 pixels of -0.01 nat per mm².
    assert case.crop_area() == pytest.approx(SIDE**2 * 0.2 / (256 * 0.01))
    assert full_colour(case) == pytest.approx(0.02)  # far above the floor
    pale = faint(case, 1e-3)
    assert pale.crop_area() == pytest.approx(180.0)
    # The first panel moves 0.4 nat, a thousandth of it here: 0.3 nat would be needed for full colour.
    strongest = float(np.abs(pale.panels[0].values).sum()) * 180.0 / SIDE**2
    assert strongest == pytest.approx(4e-4, rel=0.05)
    assert full_colour(pale) == pytest.approx(2e-5 * 0.3 / strongest)
    assert full_colour(replace(pale, area=900.0)) == pytest.approx(2e-5 * 0.3 / (5 * strongest))
    spread_mean = np.ptp(panel(pixels(render_heat(pale)), 1), axis=2).max()
    assert spread_mean < 0.05 < np.ptp(panel(pixels(render_heat(case)), 1), axis=2).max()
    assert panel_words(faint(case, 1.31e-3))[1:] == ["B-mode, lesion +0.00052", "elastography, ring −0.00026"]


def test_without_a_panel_that_tells_the_area_there_is_no_floor() -> None:
    odd = [HeatPanel("bmode.intratumoral", np.eye(SIDE), -1.0)]  # what it adds lies elsewhere
    assert replace(heat_case(), panels=odd).crop_area() is None
    assert full_colour(replace(heat_case(), panels=odd)) == 1.0
