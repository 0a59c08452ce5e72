from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from usdlr.core.errors import DataError
from usdlr.core.units import Spacing
from usdlr.report.gallery import CONTOUR_COLOUR, RING_COLOUR, GalleryCase, render_case, stiffness_scale_kpa

Disc = Callable[..., dict[str, Any]]


def case(parts: dict[str, Any], **rest: Any) -> GalleryCase:
    return GalleryCase(number=1, group="LR-SLN", p_sln=0.1, p_nsln=0.1, sln=None, nsln=None, **parts, **rest)


def pixels(png: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float) / 255


def near(picture: NDArray[np.float64], colour: str, tolerance: float = 0.12) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.abs(picture - np.array(to_rgb(colour))).max(axis=2) < tolerance
    return found


def span(hit: NDArray[np.bool_]) -> tuple[int, int]:
    rows, columns = np.where(hit)
    return int(np.ptp(rows)), int(np.ptp(columns))


def flat(disc: Disc, shape: tuple[int, int], spacing: Spacing, radius: float) -> dict[str, Any]:
    parts = disc(shape, spacing, radius)
    return {**parts, "image": np.full(shape, 40, np.uint8)}


@pytest.mark.parametrize("spacing", [Spacing(0.1, 0.1), Spacing(0.1, 0.2), Spacing(0.25, 0.1)])
def test_a_disc_in_millimetres_is_a_disc_on_the_page(disc: Disc, spacing: Spacing) -> None:
    shape = round(30 / spacing.row_mm), round(40 / spacing.col_mm)
    picture = pixels(render_case(case(flat(disc, shape, spacing, 7.0))))
    height, width = picture.shape[:2]
    assert width / height == pytest.approx(40 / 30, rel=0.01)
    px_per_mm = width / 40
    for colour, diameter in ((CONTOUR_COLOUR, 14.0), (RING_COLOUR, 24.0)):
        rows, columns = span(near(picture, colour))
        assert rows == pytest.approx(diameter * px_per_mm, abs=0.6 * px_per_mm)
        assert columns == pytest.approx(diameter * px_per_mm, abs=0.6 * px_per_mm)


def test_the_scale_bar_is_ten_millimetres_long(disc: Disc) -> None:
    parts = flat(disc, (300, 400), Spacing(0.1, 0.1), 4.0)
    picture = pixels(render_case(case(parts)))
    bottom = picture[int(0.94 * picture.shape[0]) : int(0.97 * picture.shape[0])]
    white = np.all(bottom > 0.98, axis=2)
    longest = int(white.sum(axis=1).max())
    assert longest / picture.shape[1] * 40 == pytest.approx(10.0, abs=0.15)


def test_a_narrow_picture_gets_a_shorter_bar_and_says_so(disc: Disc) -> None:
    narrow = flat(disc, (100, 100), Spacing(0.1, 0.1), 2.0)
    wide = {**narrow, "spacing": Spacing(0.2, 0.2)}
    assert render_case(case(narrow)) != render_case(case(wide))


def test_no_ring_draws_no_dashes(disc: Disc) -> None:
    parts = flat(disc, (300, 400), Spacing(0.1, 0.1), 5.0)
    assert near(pixels(render_case(case(parts))), RING_COLOUR).sum() > 500
    without = pixels(render_case(case({**parts, "ring": np.zeros_like(parts["ring"])})))
    assert not near(without, RING_COLOUR).any()
    assert near(without, CONTOUR_COLOUR).any()


def test_an_empty_contour_leaves_the_image_alone() -> None:
    nothing = np.zeros((200, 200), bool)
    parts = {
        "image": np.full((200, 200), 40, np.uint8),
        "lesion": nothing,
        "ring": nothing,
        "spacing": Spacing(0.1, 0.1),
    }
    picture = pixels(render_case(case(parts)))
    assert not near(picture, CONTOUR_COLOUR).any()
    assert not near(picture, RING_COLOUR).any()


def test_stiffness_stands_beside_in_the_colours_of_its_bar(disc: Disc) -> None:
    parts = flat(disc, (300, 300), Spacing(0.1, 0.1), 4.0)
    stiffness = np.full((300, 300), np.nan)
    stiffness[100:200, 100:200] = 100.0
    shown = case(parts, stiffness=stiffness)
    assert stiffness_scale_kpa([shown, case(parts)]) == 100.0
    picture = pixels(render_case(shown, highest_kpa=200.0))
    alone = pixels(render_case(case(parts)))
    assert picture.shape[0] == alone.shape[0]
    assert picture.shape[1] > 2 * alone.shape[1]
    expected = colormaps["viridis"](0.5)[:3]
    patch = picture[:, alone.shape[1] : 2 * alone.shape[1]]
    hit = np.abs(patch - np.array(expected)).max(axis=2) < 0.03
    rows, columns = span(hit)
    assert rows == pytest.approx(alone.shape[0] / 3, abs=6)  # opaque exactly where measured: 100 of 300 rows
    assert columns == pytest.approx(alone.shape[1] / 3, abs=6)
    assert not (np.abs(picture[:, : alone.shape[1]] - np.array(expected)).max(axis=2) < 0.03).any()


def test_the_shared_scale_ignores_missing_values(disc: Disc) -> None:
    parts = flat(disc, (50, 50), Spacing(0.4, 0.4), 4.0)
    empty = case(parts, stiffness=np.full((50, 50), np.nan))
    assert stiffness_scale_kpa([empty]) == stiffness_scale_kpa([]) == 50.0
    some = np.full((50, 50), np.nan)
    some[0, 0] = 151.0
    assert stiffness_scale_kpa([empty, case(parts, stiffness=some)]) == 200.0


def test_bytes_are_equal_twice(disc: Disc) -> None:
    one = case(disc((120, 160), Spacing(0.2, 0.2), 5.0))
    assert render_case(one) == render_case(replace(one))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image", np.zeros((20, 20), float)),
        ("image", np.zeros((20, 20, 3), np.uint8)),
        ("lesion", np.zeros((20, 21), bool)),
        ("ring", np.zeros((21, 20), bool)),
        ("stiffness", np.zeros((5, 5))),
    ],
)
def test_arrays_of_another_grid_are_refused(name: str, value: NDArray[Any]) -> None:
    nothing = np.zeros((20, 20), bool)
    parts = {
        "image": np.zeros((20, 20), np.uint8),
        "lesion": nothing,
        "ring": nothing,
        "spacing": Spacing(1, 1),
        name: value,
    }
    with pytest.raises(DataError, match="gallery case 1: found"):
        case(parts)
