from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial.distance import pdist

from tests.simulate.examination import examination
from usdlr.core.types import ElastographyKind, Side
from usdlr.core.units import Spacing
from usdlr.imaging.palettes import PALETTES
from usdlr.simulate.acquired import Acquired
from usdlr.simulate.annotations import annotation_text, draw_text, longest_diameter, text_size
from usdlr.simulate.centres import CENTRES, Centre, PaneLayout
from usdlr.simulate.screen import Screen, Shows, compose_screen

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
SWE, STRAIN = ElastographyKind.SWE, ElastographyKind.STRAIN
SMALL = (240, 330)


def marked(name: str, calipers: float = 1.0, text: float = 1.0) -> Centre:
    centre = CENTRES[name]
    return replace(centre, screen=replace(centre.screen, caliper_rate=calipers, text_in_image_rate=text))


def compose(acquired: Acquired, centre: Centre, seed: int = 0, label: str = "") -> Screen:
    return compose_screen(acquired, centre, np.random.default_rng(seed), side=Side.LEFT, view="radial", label=label)


@pytest.mark.parametrize("name", CENTRES)
def test_the_bmode_pane_is_the_acquired_image_wherever_nothing_is_burned_in(name: str) -> None:
    centre = marked(name)
    acquired = examination(centre, 1, SWE)
    before = acquired.bmode.copy()
    screen = compose(acquired, centre)
    pane = screen.panes[0]
    shown, covered = screen.pixels[pane.slices], screen.marks[pane.slices]
    assert pane.shows is Shows.BMODE
    assert pane.spacing == acquired.spacing
    assert (shown[~covered] == acquired.bmode[~covered][:, None]).all()
    assert 0.001 < covered.mean() < 0.02
    assert screen.marks.sum() == covered.sum()
    assert (acquired.bmode == before).all()


@pytest.mark.parametrize("name", CENTRES)
def test_the_elastography_pane_is_coloured_only_where_there_is_a_value(name: str) -> None:
    centre = CENTRES[name]
    acquired = examination(centre, 2, SWE)
    assert acquired.elastogram is not None
    screen = compose(acquired, centre)
    _, pane = screen.panes
    shown = screen.pixels[pane.slices].astype(int)
    valid = np.isfinite(acquired.elastogram)
    assert pane.shows is Shows.ELASTOGRAPHY
    # What is left after the grey's share is a colour of the palette.
    opacity = centre.elastography.opacity
    rest = (shown[valid] - (1 - opacity) * acquired.bmode[valid][:, None]) / opacity
    colours = PALETTES[centre.elastography.palette].colours(2001)
    some = rest[:: max(len(rest) // 500, 1)]
    distance = np.linalg.norm(some[:, None] - colours[None], axis=2).min(axis=1)
    assert distance.max() < 0.9 / opacity
    # Elsewhere it is the grey image, but for the frame of one pixel around the values.
    grey = shown[~valid]
    assert (grey.max(axis=1) == grey.min(axis=1)).all()
    framed = (shown[..., 0] != acquired.bmode) & ~valid
    rows, cols = np.nonzero(valid)
    where = np.argwhere(framed)
    assert where.min(axis=0).tolist() == [rows.min() - 1, cols.min() - 1]
    assert where.max(axis=0).tolist() == [rows.max() + 1, cols.max() + 1]
    assert framed.sum() <= 2 * (np.ptp(rows) + np.ptp(cols) + 6)


@pytest.mark.parametrize("name", CENTRES)
def test_panes_stand_as_the_centre_arranges_them(name: str) -> None:
    centre = CENTRES[name]
    screen = compose(examination(centre, 3, SWE), centre)
    (row, col, rows, cols), (other_row, other_col, *size) = (pane.box for pane in screen.panes)
    assert size == [rows, cols] == [centre.rows, centre.cols]
    if centre.elastography.layout is PaneLayout.BESIDE:
        assert other_row == row
        assert other_col > col + cols
    else:
        assert other_col == col
        assert other_row > row + rows
    height, width = screen.pixels.shape[:2]
    assert height >= centre.screen.rows
    assert width >= centre.screen.cols
    assert max(row + rows, other_row + rows) < height
    assert max(col + cols, other_col + cols) < width
    around = np.ones((height, width), dtype=bool)
    for pane in screen.panes:
        around[pane.slices] = False
    assert (screen.pixels[around].max(axis=1) == 0).mean() > 0.9
    assert screen.bar is not None
    assert not any(_overlap(screen.bar, pane.box) for pane in screen.panes)


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return all(one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2] for axis in (0, 1))


def test_without_elastography_there_is_one_pane_and_no_bar() -> None:
    centre = CENTRES["south"]
    acquired = examination(centre, 4, None)
    screen = compose(acquired, centre)
    assert [pane.shows for pane in screen.panes] == [Shows.BMODE]
    assert screen.bar is None
    assert screen.pixels.shape == (768, 1024, 3)
    empty = replace(acquired, elastogram=np.full(acquired.bmode.shape, np.nan, np.float32), elasto_kind=SWE)
    assert len(compose(empty, centre).panes) == 1


def test_strain_has_words_instead_of_numbers_at_its_bar() -> None:
    centre = CENTRES["overseas"]
    stiffness, strain = (compose(examination(centre, 5, kind), centre) for kind in (SWE, STRAIN))
    assert stiffness.bar == strain.bar
    assert stiffness.bar is not None
    row, col, rows, cols = stiffness.bar
    labels = slice(row - 20, row + rows + 40), slice(col + cols + 6, col + 64)
    low, high = (_written(word, centre) for word in ("soft", "stiff"))
    for letters in (low, high):
        assert _holds(strain.pixels[labels], letters)
        assert not _holds(stiffness.pixels[labels], letters)
    assert _holds(stiffness.pixels[labels], _written("180", centre))
    around_bar = slice(row + rows, row + rows + 40), slice(col - 8, col + 60)
    assert _holds(stiffness.pixels[around_bar], _written("kPa", centre))
    assert not _holds(strain.pixels[around_bar], _written("kPa", centre))


def _written(words: str, centre: Centre, colour: Colour | None = None) -> Pixels:
    style = centre.screen
    canvas = np.zeros((*text_size(words, style.font_px), 3), dtype=np.uint8)
    draw_text(canvas, words, (0, 0), colour or style.text, style.font_px)
    rows, cols = (np.flatnonzero(canvas[..., 0].any(axis=axis)) for axis in (1, 0))
    return np.ascontiguousarray(canvas[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1, 0])


def _holds(picture: Pixels, letters: Pixels) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(picture[..., 0], letters.shape)
    return bool((windows == letters).all(axis=(2, 3)).any())


@pytest.mark.parametrize("name", CENTRES)
def test_the_ruler_has_a_tick_every_half_centimetre(name: str) -> None:
    centre = CENTRES[name]
    screen = compose(examination(centre, 6, None), centre)
    row, col, rows, _ = screen.panes[0].box
    ticks = np.flatnonzero(screen.pixels[row : row + rows, col - 5].any(axis=1))
    expected = np.arange(0, rows * centre.spacing.row_mm, 5.0) / centre.spacing.row_mm
    assert np.abs(ticks - expected[expected < rows - 0.5]).max() <= 0.5
    whole = np.flatnonzero(screen.pixels[row : row + rows, col - 9].any(axis=1))
    assert set(ticks[::2]) <= set(whole)


@pytest.mark.parametrize("name", CENTRES)
def test_calipers_measure_the_longest_diameter_of_the_first_readers_contour(name: str) -> None:
    centre = marked(name, text=0.0)
    acquired = examination(centre, 7, None)
    screen = compose(acquired, centre)
    found = screen.calipers
    assert found is not None
    contour = next(iter(acquired.contours.values()))
    at = np.argwhere(contour & ~binary_erosion(contour)) * acquired.spacing.as_tuple()
    assert found.distance_mm == pytest.approx(pdist(at).max())
    assert contour[found.start]
    assert contour[found.end]
    along = (np.array(found.end) - found.start) * acquired.spacing.as_tuple()
    assert found.distance_mm == pytest.approx(float(np.hypot(*along)))
    assert found.text == f"D1 {found.distance_mm:.1f} mm"
    shown = screen.pixels[screen.panes[0].slices]
    covered = screen.marks[screen.panes[0].slices]
    for row, col in (found.start, found.end):
        assert (shown[row - 5 : row + 6, col] == centre.screen.ink).all()
        assert (shown[row, col - 5 : col + 6] == centre.screen.ink).all()
    # Everything that is drawn lies near the line between the crosses.
    offset = (np.argwhere(covered) - found.start) * acquired.spacing.as_tuple()
    across = np.abs(offset[:, 0] * along[1] - offset[:, 1] * along[0]) / found.distance_mm
    assert across.max() < 7 * max(acquired.spacing.as_tuple())
    around = screen.pixels.copy()
    around[screen.panes[0].slices] = 0
    assert _holds(around, _written(found.text, centre, centre.screen.ink))


def test_the_longest_diameter_is_measured_in_millimetres_not_in_pixels() -> None:
    contour = np.zeros((40, 60), dtype=bool)
    contour[10:30, 20] = contour[15, 5:55] = True
    assert longest_diameter(contour, Spacing(0.1, 0.1)).start == (15, 5)
    steep = longest_diameter(contour, Spacing(0.5, 0.1))
    assert (steep.start, steep.end) == ((10, 20), (29, 20))
    assert steep.distance_mm == pytest.approx(19 * 0.5)
    single = np.zeros((5, 5), dtype=bool)
    single[2, 3] = True
    assert longest_diameter(single, Spacing(1, 1)).distance_mm == 0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["south", "overseas"])
def test_words_in_the_tissue_keep_off_the_lesion(name: str, seed: int) -> None:
    centre = marked(name, calipers=0.0)
    acquired = examination(centre, seed, None)
    screen = compose(acquired, centre, seed)
    assert screen.annotation is not None
    assert screen.annotation.startswith("L RAD ")
    covered = screen.marks[screen.panes[0].slices]
    every = np.any(list(acquired.contours.values()), axis=0)
    away = distance_transform_edt(~every, sampling=acquired.spacing.as_tuple())
    assert away[covered].min() >= 2.0


@pytest.mark.parametrize("seed", range(4))
def test_words_leave_a_corner_in_which_there_is_a_lesion(seed: int) -> None:
    centre = marked("west", calipers=0.0)
    acquired = examination(centre, 1, None)
    rows, cols = acquired.bmode.shape
    corners = np.zeros((rows, cols), dtype=bool)
    for row in (slice(0, 60), slice(rows - 60, rows)):
        for col in (slice(0, 150), slice(cols - 150, cols)):
            corners[row, col] = True
    screen = compose(replace(acquired, contours={"a": corners}), centre, seed)
    covered = screen.marks[screen.panes[0].slices]
    assert covered.any()
    every = corners | acquired.lesion
    assert distance_transform_edt(~every, sampling=acquired.spacing.as_tuple())[covered].min() >= 2.0


def test_words_that_find_no_place_are_not_written() -> None:
    centre = marked("north", calipers=0.0)
    acquired = examination(centre, 1, None, SMALL)
    everything = np.ones(SMALL, dtype=bool)
    full = compose(replace(acquired, lesion=everything, contours={"a": everything}), centre)
    assert full.annotation is None
    assert not full.marks.any()
    tiny = examination(centre, 1, None, (30, 40))
    assert compose(tiny, centre).annotation is None


def test_marks_are_as_frequent_as_the_centre_says() -> None:
    centre = marked("north", calipers=0.3, text=0.7)
    acquired = examination(centre, 1, None, SMALL)
    screens = [compose(acquired, centre, seed) for seed in range(200)]
    # Three standard errors of 200 draws.
    assert np.mean([screen.calipers is not None for screen in screens]) == pytest.approx(0.3, abs=0.1)
    assert np.mean([screen.annotation is not None for screen in screens]) == pytest.approx(0.7, abs=0.1)
    bare = compose(acquired, marked("north", 0.0, 0.0))
    assert bare.calipers is None
    assert bare.annotation is None
    assert not bare.marks.any()


def test_the_same_stream_gives_the_same_screen_and_is_used_alike_whatever_is_drawn() -> None:
    centre = marked("east")
    acquired = examination(centre, 1, SWE, SMALL)
    one, other = (compose(acquired, centre, 9) for _ in range(2))
    assert (one.pixels == other.pixels).all()
    after = []
    for rates in ((0.0, 0.0), (1.0, 1.0)):
        rng = np.random.default_rng(4)
        compose_screen(acquired, marked("east", *rates), rng, side=Side.LEFT, view="radial")
        after.append(rng.random())
    assert after[0] == after[1]


def test_the_label_is_all_that_tells_the_patient() -> None:
    centre = marked("west", 0.0, 0.0)
    acquired = examination(centre, 1, SWE, SMALL)
    nobody, one = compose(acquired, centre), compose(acquired, centre, label="simulated-west-00001")
    changed = np.argwhere((nobody.pixels != one.pixels).any(axis=2))
    assert changed[:, 0].max() < 40
    assert len(changed) > 100


def test_annotation_texts() -> None:
    assert annotation_text(Side.RIGHT, "antiradial", 11) == "R ARAD 11h"
    assert annotation_text(Side.UNKNOWN, "transverse", 3) == "TRAN 3h"
    given = marked("east", 0.0, 1.0)
    acquired = examination(given, 1, None)
    screen = compose_screen(acquired, given, np.random.default_rng(0), side=Side.RIGHT, view="radial", clock_hour=7)
    assert screen.annotation == "R RAD 7h"


def test_a_mask_of_the_image_stands_where_the_image_stands() -> None:
    centre = CENTRES["south"]
    acquired = examination(centre, 1, SWE)
    screen = compose(acquired, centre)
    whole = screen.on_screen(acquired.lesion)
    assert whole.shape == screen.pixels.shape[:2]
    assert whole.sum() == acquired.lesion.sum()
    assert (whole[screen.panes[0].slices] == acquired.lesion).all()
