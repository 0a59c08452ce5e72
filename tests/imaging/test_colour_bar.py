from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.imaging.render_overlay import Byte, Scene, Stops, draw, draw_bar, jpeg, scene
from usdlr.imaging.colour_bar import Orientation, locate_colour_bar
from usdlr.imaging.overlay import recover
from usdlr.imaging.palettes import PALETTES

FULL = 180.0
TOP, LEFT = 40, 20
SHAPE = (240, 280)
RIGHT = LEFT + SHAPE[1] + 30
BARS = {
    "upright": (60, RIGHT + SHAPE[1] + 22, 180, 14),
    "thin": (71, RIGHT + SHAPE[1] + 20, 141, 7),
    "flat": (TOP + SHAPE[0] + 15, 80, 13, 221),
}


def frame(item: Scene, stops: Stops, opacity: float, bar: tuple[int, int, int, int] | None) -> Byte:
    """Two panes, B-mode left and overlay right, a colour bar beside them and coloured text above."""
    whole = np.zeros((SHAPE[0] + 80, RIGHT + SHAPE[1] + 70, 3), dtype=np.uint8)
    whole[TOP : TOP + SHAPE[0], LEFT : LEFT + SHAPE[1]] = item.grey[..., None]
    whole[TOP : TOP + SHAPE[0], RIGHT : RIGHT + SHAPE[1]] = draw(item, stops, opacity)
    cv2.putText(whole, "SWE 180 kPa", (RIGHT, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 200, 0), 2)
    if bar is not None:
        draw_bar(whole, stops, bar)
    return jpeg(whole)


@pytest.mark.parametrize("kind", BARS)
@pytest.mark.parametrize("name", PALETTES)
def test_a_bar_is_found_to_the_pixel_and_read(name: str, kind: str) -> None:
    stops = list(PALETTES[name].points)
    found = locate_colour_bar(frame(scene(2, SHAPE), stops, 0.5, BARS[kind]))
    assert found is not None
    np.testing.assert_allclose(found.box, BARS[kind], atol=1)
    assert found.orientation is (Orientation.HORIZONTAL if kind == "flat" else Orientation.VERTICAL)
    assert found.palette.mismatch(PALETTES[name]) <= 8.0
    assert found.palette.mismatch(PALETTES[name].reversed()) > 60


@pytest.mark.parametrize("twin", [True, False], ids=["twin", "alone"])
@pytest.mark.parametrize("opacity", [0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("name", ["jet", "blue_to_red", "blue_green_red", "red_to_blue", "rainbow", "viridis_like"])
def test_stiffness_by_the_bar_alone(name: str, opacity: float, twin: bool) -> None:
    item = scene(2, SHAPE, lesion=1.15)
    picture = frame(item, list(PALETTES[name].points), opacity, BARS["upright"])
    bar = locate_colour_bar(picture)
    assert bar is not None
    pane = np.ascontiguousarray(picture[TOP : TOP + SHAPE[0], RIGHT : RIGHT + SHAPE[1]])
    grey = np.ascontiguousarray(picture[TOP : TOP + SHAPE[0], LEFT : LEFT + SHAPE[1], 1])
    found = recover(pane, bar.palette, (0, FULL), unit="kPa", twin=grey if twin else None)
    valid = item.signal & (item.place < 1)
    both = valid & np.isfinite(found.values)
    assert np.median(np.abs(found.values - FULL * item.place)[both]) <= 0.015 * FULL
    assert found.valid_fraction == pytest.approx(valid.sum() / (item.box[2] * item.box[3]), abs=0.02)


def test_the_bar_is_kept_out_of_the_map() -> None:
    item = scene(2, SHAPE)
    stops = list(PALETTES["jet"].points)
    pane = draw(item, stops, 0.5)
    draw_bar(pane, stops, (40, 262, 120, 10))
    pane = jpeg(pane)
    bar = locate_colour_bar(pane)
    assert bar is not None
    assert not bar.outside(SHAPE)[40:160, 262:272].any()
    found = recover(pane, bar.palette, (0, FULL), unit="kPa")
    assert not np.isfinite(found.values[:, 255:]).any()
    assert found.valid_fraction == pytest.approx(item.signal.sum() / (item.box[2] * item.box[3]), abs=0.02)


def test_no_bar_no_answer() -> None:
    item = scene(2, SHAPE)
    assert locate_colour_bar(frame(item, list(PALETTES["jet"].points), 0.5, None)) is None
    assert locate_colour_bar(np.zeros((5, 5, 3), dtype=np.uint8)) is None
    assert locate_colour_bar(np.zeros((200, 200), dtype=np.uint8)) is None
    one = np.zeros((200, 200, 3), dtype=np.uint8)
    one[20:180, 50:62] = (255, 160, 0)  # a coloured rectangle without a scale
    assert locate_colour_bar(one) is None
    grey = np.zeros((200, 200, 3), dtype=np.uint8)
    grey[20:180, 50:62] = np.linspace(255, 0, 160).astype(np.uint8)[:, None, None]
    assert locate_colour_bar(grey) is None


def test_a_bar_that_fades_into_the_background_has_no_known_length() -> None:
    stops: Stops = [(0.0, (0, 0, 0)), (0.4, (255, 0, 0)), (0.8, (255, 255, 0)), (1.0, (255, 255, 255))]
    assert locate_colour_bar(frame(scene(2, SHAPE), stops, 0.5, BARS["upright"])) is None


def test_bars_that_disagree_are_no_answer() -> None:
    item = scene(2, SHAPE)
    both = frame(item, list(PALETTES["jet"].points), 0.5, BARS["upright"])
    same, other = both.copy(), both.copy()
    draw_bar(same, list(PALETTES["jet"].points), BARS["flat"])
    draw_bar(other, list(PALETTES["red_to_blue"].points), BARS["flat"])
    found = locate_colour_bar(same)
    assert found is not None
    assert found.box == BARS["flat"]  # the longer one
    assert locate_colour_bar(other) is None


def test_real_images_without_a_bar(shared_data: Path) -> None:
    folder = shared_data / "breast_lesions_usg" / "BrEaST-Lesions_USG-images_and_masks"
    for path in [path for path in sorted(folder.glob("case*.png")) if "_" not in path.name][::10]:
        pixels = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), dtype=np.uint8)
        assert locate_colour_bar(np.ascontiguousarray(pixels[..., ::-1])) is None, path.name
