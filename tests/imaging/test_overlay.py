from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.imaging.render_overlay import Byte, Scene, Stops, colours, draw, jpeg, scene
from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import ExclusionCode
from usdlr.imaging.overlay import recover
from usdlr.imaging.palettes import PALETTES, Palette, find_palette, to_ycc
from usdlr.imaging.stiffness import StiffnessMap

FULL = 180.0
OPACITIES = (0.3, 0.5, 0.7, 1.0)


def stops(name: str) -> Stops:
    return list(PALETTES[name].points)


def errors(found: StiffnessMap, item: Scene) -> tuple[float, float]:
    """Median absolute error in percent of full scale, and invalid share minus the true one in percentage points."""
    valid = item.signal & (item.place < 1)
    both = valid & np.isfinite(found.values)
    error = np.abs(found.values - FULL * item.place)[both] / FULL
    area = item.box[2] * item.box[3]
    return 100 * float(np.median(error)), 100 * (valid.sum() / area - found.valid_fraction)


@pytest.mark.parametrize("twin", [True, False], ids=["twin", "alone"])
@pytest.mark.parametrize("opacity", OPACITIES)
@pytest.mark.parametrize("name", PALETTES)
def test_known_maps_come_back(name: str, opacity: float, twin: bool) -> None:
    item = scene(2, (240, 280), lesion=1.15)  # the middle of the lesion lies beyond the scale
    found = recover(
        jpeg(draw(item, stops(name), opacity)),
        PALETTES[name],
        (0, FULL),
        unit="kPa",
        twin=jpeg(item.grey) if twin else None,
    )
    median, invalid = errors(found, item)
    assert median <= 1.5
    assert abs(invalid) <= 2.0
    assert found.opacity == pytest.approx(opacity, abs=0.021)
    beyond = item.signal & (item.place >= 1)
    assert found.saturated_fraction == pytest.approx(beyond.sum() / item.signal.sum(), abs=0.02)
    assert np.isfinite(found.values[cv2.erode(beyond.astype(np.uint8), np.ones((7, 7))) > 0]).mean() < 0.02
    # Not only the count: the right pixels.
    valid = item.signal & ~beyond
    assert (valid ^ np.isfinite(found.values)).sum() / (item.box[2] * item.box[3]) < 0.035


def test_on_real_tissue(shared_data: Path) -> None:
    folder = shared_data / "breast_lesions_usg" / "BrEaST-Lesions_USG-images_and_masks"
    images = [path for path in sorted(folder.glob("case*.png")) if "_" not in path.name][:60:12]
    assert len(images) == 5
    for path in images:
        grey = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
        item = scene(4, grey=grey, lesion=1.1)
        for name, opacity in (("jet", 0.3), ("red_to_blue", 0.7)):
            for twin in (jpeg(grey), None):
                overlay = jpeg(draw(item, stops(name), opacity))
                median, invalid = errors(recover(overlay, PALETTES[name], (0, FULL), unit="kPa", twin=twin), item)
                assert median <= 1.0
                assert abs(invalid) <= 2.0


@pytest.mark.parametrize("twin", [True, False])
def test_tinted_grey_is_grey(twin: bool) -> None:
    item = scene(3, (240, 280))
    grey = item.grey[..., None] * np.array([1.0, 0.9, 0.75])
    blended = 0.5 * colours(stops("jet"), np.clip(item.place, 0, 1)) + 0.5 * grey
    overlay = jpeg(np.rint(np.where(item.signal[..., None], blended, grey)).astype(np.uint8))
    luma = np.rint(grey @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    found = recover(overlay, PALETTES["jet"], (0, FULL), unit="kPa", twin=jpeg(luma) if twin else None)
    median, invalid = errors(found, item)
    assert median <= 1.0
    assert abs(invalid) <= 2.0


def test_speed_scale_becomes_kpa() -> None:
    item = scene(1, (240, 280))
    found = recover(jpeg(draw(item, stops("blue_green_red"), 0.6)), PALETTES["blue_green_red"], (0.5, 7), unit="m/s")
    truth = 3 * (0.5 + 6.5 * item.place) ** 2
    both = item.signal & np.isfinite(found.values)
    assert found.unit == "kPa"
    assert np.median(np.abs(found.values - truth)[both]) <= 0.03 * 3 * 7**2


def test_a_descending_scale_belongs_to_a_bar_with_its_high_end_below() -> None:
    item = scene(1, (240, 280))
    overlay = jpeg(draw(item, stops("blue_to_red"), 0.6))
    up = recover(overlay, PALETTES["blue_to_red"], (0, FULL), unit="kPa")
    down = recover(overlay, PALETTES["blue_to_red"].reversed(), (FULL, 0), unit="kPa")
    np.testing.assert_allclose(down.values, up.values, atol=0.5)


def test_relative_strain_runs_from_soft_to_stiff() -> None:
    item = scene(6, (240, 280), background=0.1, lesion=1.2, spread=0.15)
    place = np.clip(item.place - 0.05, 0, None)
    item = Scene(item.grey, place, item.signal, item.box)
    overlay = jpeg(draw(item, stops("red_to_blue"), 0.6))
    found = recover(overlay, PALETTES["red_to_blue"], (0, 100), unit="relative")
    valid = item.signal & (place > 0) & (place < 1) & np.isfinite(found.values)
    assert found.unit == "relative"
    assert np.median(np.abs(found.values - 100 * place)[valid]) <= 1.5
    # Both ends are unknown: there is nothing that the soft end cannot be softer than.
    ends = item.signal & ((place <= 0) | (place >= 1))
    assert found.saturated_fraction == pytest.approx(ends.sum() / item.signal.sum(), abs=0.02)
    other = recover(overlay, PALETTES["red_to_blue"], (100, 0), unit="relative")
    np.testing.assert_allclose(other.values, 100 - found.values, atol=1e-3)


def test_the_soft_end_of_a_scale_from_zero_is_a_value() -> None:
    item = scene(6, (240, 280), background=0.1, lesion=0.6, spread=0.15)
    overlay = jpeg(draw(item, stops("blue_to_red"), 0.6))
    soft = item.signal & (item.place <= 0)
    soft = cv2.erode(soft.astype(np.uint8), np.ones((5, 5))) > 0
    assert soft.sum() > 100
    from_zero = recover(overlay, PALETTES["blue_to_red"], (0, FULL), unit="kPa")
    assert np.isfinite(from_zero.values[soft]).mean() > 0.95
    above = recover(overlay, PALETTES["blue_to_red"], (10, FULL), unit="kPa")
    assert np.isfinite(above.values[soft]).mean() < 0.05


def test_a_stated_opacity_is_used() -> None:
    item = scene(5, (240, 280), background=0.12, lesion=0.2, spread=0.03)
    overlay = jpeg(draw(item, stops("heat"), 0.3))
    with pytest.raises(CaseError, match="state the opacity"):  # from dark red to red, strength and value are one
        recover(overlay, PALETTES["heat"], (0, FULL), unit="kPa")
    for options in ({"opacity": 0.3}, {"twin": jpeg(item.grey)}):
        found = recover(overlay, PALETTES["heat"], (0, FULL), unit="kPa", **options)
        assert errors(found, item)[0] <= 1.5


def test_lines_and_letters_are_no_map() -> None:
    item = scene(1, (240, 280))
    overlay = draw(item, stops("jet"), 0.5)
    cv2.putText(overlay, "180 kPa", (5, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 220, 0), 1)
    cv2.rectangle(overlay, (4, 4), (275, 235), (0, 255, 0), 1)
    found = recover(jpeg(overlay), PALETTES["jet"], (0, FULL), unit="kPa")
    median, invalid = errors(found, item)
    assert median <= 1.0
    assert abs(invalid) <= 2.0
    assert not np.isfinite(found.values[:25]).any()


def test_only_inside_the_stated_area() -> None:
    item = scene(1, (240, 280))
    inside = np.zeros(item.grey.shape, dtype=bool)
    inside[:, :140] = True
    found = recover(jpeg(draw(item, stops("jet"), 0.5)), PALETTES["jet"], (0, FULL), unit="kPa", inside=inside)
    assert np.isfinite(found.values[:, :140]).any()
    assert not np.isfinite(found.values[:, 140:]).any()


def test_grey_alone_is_refused() -> None:
    item = scene(1, (240, 280))
    grey = jpeg(np.repeat(item.grey[..., None], 3, axis=2))
    with pytest.raises(CaseError, match="0 coloured pixels") as caught:
        recover(grey, PALETTES["jet"], (0, FULL), unit="kPa")
    assert caught.value.code is ExclusionCode.ELASTOGRAPHY_UNREADABLE


@pytest.mark.parametrize(
    ("drawn", "named"),
    [("viridis_like", "rainbow"), ("blue_green_red", "jet"), ("jet", "viridis_like"), ("red_to_blue", "jet")],
)
def test_another_palette_is_refused(drawn: str, named: str) -> None:
    item = scene(7, (240, 280))
    with pytest.raises(CaseError, match="name the palette"):
        recover(jpeg(draw(item, stops(drawn), 0.6)), PALETTES[named], (0, FULL), unit="kPa", twin=jpeg(item.grey))


def test_a_palette_of_greys_is_refused() -> None:
    # A bar that is nearly grey, and colours that are anything: two values share every colour.
    item = scene(7, (240, 280))
    pale = Palette("pale", ((0.0, (60, 60, 90)), (0.5, (120, 120, 150)), (1.0, (60, 60, 90))))
    with pytest.raises(CaseError):
        recover(jpeg(draw(item, list(pale.points), 0.8)), pale, (0, FULL), unit="kPa")


@pytest.mark.parametrize(
    ("scale", "unit", "message"),
    [
        ((0, 0), "kPa", "two different"),
        ((0, float("nan")), "kPa", "two different"),
        ((0, 180), "m/s", "check its unit"),
        ((-5, 180), "kPa", "check its unit"),
        ((0, 180000), "kPa", "check its unit"),
    ],
)
def test_impossible_scales_are_refused(scale: tuple[float, float], unit: str, message: str) -> None:
    overlay = draw(scene(1, (120, 140)), stops("jet"), 0.5)
    with pytest.raises(CaseError, match=message):
        recover(overlay, PALETTES["jet"], scale, unit=unit)


def test_shapes_and_options_are_checked() -> None:
    overlay = draw(scene(1, (120, 140)), stops("jet"), 0.5)
    for bad in (overlay[..., 0], overlay.astype(np.uint16), overlay[:5]):
        with pytest.raises(CaseError, match="found an overlay"):
            recover(bad, PALETTES["jet"], (0, 180), unit="kPa")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(CaseError, match="grey twin"):
        recover(overlay, PALETTES["jet"], (0, 180), unit="kPa", twin=overlay[:60, :, 0])
    with pytest.raises(CaseError, match="opacity"):
        recover(overlay, PALETTES["jet"], (0, 180), unit="kPa", opacity=1.5)
    with pytest.raises(ConfigError, match="unit"):
        recover(overlay, PALETTES["jet"], (0, 180), unit="bar")


@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.integers(1, 70), st.sampled_from(["noise", "flat", "smooth"]))
@settings(max_examples=40, deadline=None)
def test_any_picture_gives_a_map_or_our_own_error(seed: int, rows: int, cols: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    pixels: Byte = rng.integers(0, 256, (rows, cols, 3)).astype(np.uint8)
    if kind == "flat":
        pixels[:] = pixels[0, 0]
    elif kind == "smooth":
        small = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        pixels = np.asarray(cv2.resize(small, (cols, rows)), dtype=np.uint8).reshape(rows, cols, 3)
    try:
        found = recover(pixels, PALETTES["rainbow"], (0, 100), unit="kPa")
    except CaseError:
        return
    assert found.values.shape == (rows, cols)
    assert 0 <= found.valid_fraction <= 1


def test_luma_and_chroma_are_those_of_jpeg() -> None:
    rgb: npt.NDArray[np.uint8] = np.random.default_rng(1).integers(0, 256, (50, 3)).astype(np.uint8)
    theirs = np.asarray(cv2.cvtColor(rgb[None], cv2.COLOR_RGB2YCrCb))[0].astype(float)
    np.testing.assert_allclose(to_ycc(rgb), theirs[:, [0, 2, 1]] - [0, 128, 128], atol=1.0)


def test_palettes_are_checked() -> None:
    assert len(PALETTES) >= 6
    assert all("stiff" in palette.style for palette in PALETTES.values())
    with pytest.raises(ConfigError, match="blue_to_red"):
        find_palette("jett")
    assert find_palette("jet") is PALETTES["jet"]
    for points in (((0.0, (0, 0, 0)),), ((0.0, (0, 0, 0)), (0.5, (9, 9, 9))), ((0.0, (0, 0, 300)), (1.0, (0, 0, 0)))):
        with pytest.raises(ConfigError, match="control points"):
            Palette("bad", points)
    with pytest.raises(ConfigError, match="16 pixels"):
        Palette.from_bar(np.zeros((3, 3)))
