"""Perturbed outlines measured against shapes that are known in closed form, in millimetres, on anisotropic pixels."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import ExclusionCode, MaskSource
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray
from usdlr.imaging.mask import LesionMask
from usdlr.radiomics.stability.perturb import Perturbation, PerturbationPlan, perturbed

SPACINGS = [Spacing(0.1, 0.1), Spacing(0.06, 0.12), Spacing(0.15, 0.05)]
SIDE_MM = 16.0


def ellipse(
    spacing: Spacing,
    axes_mm: tuple[float, float],
    centre_mm: tuple[float, float] = (8.03, 7.98),
    turned_deg: float = 0.0,
    side_mm: float = SIDE_MM,
) -> LesionMask:
    """Pixels whose centres lie in an ellipse with half axes along rows and columns, turned clockwise."""
    rows, cols = (np.arange(round(side_mm / mm)) * mm - c for mm, c in zip(spacing.as_tuple(), centre_mm, strict=True))
    angle = np.deg2rad(turned_deg)
    # Clockwise on the screen takes "up" to "right".
    along = rows[:, None] * np.cos(angle) - cols * np.sin(angle)
    across = rows[:, None] * np.sin(angle) + cols * np.cos(angle)
    return LesionMask(np.hypot(along / axes_mm[0], across / axes_mm[1]) <= 1, spacing, MaskSource.AUTOMATIC)


def disc(spacing: Spacing, radius_mm: float, centre_mm: tuple[float, float] = (8.03, 7.98)) -> LesionMask:
    return ellipse(spacing, (radius_mm, radius_mm), centre_mm)


def radius_mm(mask: LesionMask) -> float:
    """Of the disc of the same area."""
    assert mask.spacing is not None
    return float(np.sqrt(mask.pixels.sum() * mask.spacing.pixel_area_mm2 / np.pi))


def centre_mm(mask: LesionMask) -> npt.NDArray[np.float64]:
    assert mask.spacing is not None
    return np.asarray(np.argwhere(mask.pixels).mean(axis=0) * mask.spacing.as_tuple())


def pixel_mm(spacing: Spacing) -> float:
    return max(spacing.as_tuple())


def rays(mask: LesionMask, centre: tuple[float, float], count: int = 720) -> npt.NDArray[np.float64]:
    """Distance in mm from ``centre`` at which each ray leaves the mask for the last time."""
    assert mask.spacing is not None
    step = np.array(mask.spacing.as_tuple())
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    along = np.arange(0, 7.5, 0.005)
    row, col = (centre[0] + np.outer(np.sin(angle), along)), (centre[1] + np.outer(np.cos(angle), along))
    inside = mask.pixels[np.rint(row / step[0]).astype(int), np.rint(col / step[1]).astype(int)]
    return np.asarray(along[inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)])


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("amount", [-1.0, -0.5, -0.3, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("radius", [2.0, 4.0])
def test_a_disc_grows_and_shrinks_by_millimetres(spacing: Spacing, amount: float, radius: float) -> None:
    mask = disc(spacing, radius)
    found = perturbed(mask, Perturbation("x", grow_mm=amount))
    assert radius_mm(found) - radius_mm(mask) == pytest.approx(amount, abs=0.25 * pixel_mm(spacing))
    # Pixel by pixel: what differs from the true disc is a thin line along its edge.
    truth = disc(spacing, radius + amount)
    wrong = (found.pixels ^ truth.pixels).sum() * spacing.pixel_area_mm2
    assert wrong / (2 * np.pi * (radius + amount)) < 0.3 * pixel_mm(spacing)
    assert found.source == MaskSource.AUTOMATIC


@pytest.mark.parametrize("seed", range(3))
def test_growth_is_not_biased_by_where_the_disc_lies_on_the_grid(seed: int) -> None:
    """Distances between pixel centres would be off by a quarter of a pixel, always outward."""
    spacing = Spacing(0.1, 0.1)
    rng = np.random.default_rng(seed)
    off = []
    for _ in range(8):
        mask = disc(spacing, 3 + rng.uniform(-0.1, 0.1), centre_mm=(8 + rng.uniform(-0.1, 0.1), 8.0))
        for amount in (-0.5, 0.5, 1.0):
            off.append(radius_mm(perturbed(mask, Perturbation("x", grow_mm=amount))) - radius_mm(mask) - amount)
    assert abs(np.mean(off)) < 0.05 * 0.1
    assert np.abs(off).max() < 0.15 * 0.1


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("shift", [(0.5, 0.0), (0.0, -0.5), (0.31, 0.44), (-1.2, 0.7)])
def test_a_shift_moves_the_centre_by_millimetres(spacing: Spacing, shift: tuple[float, float]) -> None:
    mask = ellipse(spacing, (2.0, 3.5), turned_deg=20)
    found = perturbed(mask, Perturbation("x", shift_mm=shift))
    np.testing.assert_allclose(centre_mm(found) - centre_mm(mask), shift, atol=0.25 * pixel_mm(spacing))
    assert radius_mm(found) == pytest.approx(radius_mm(mask), abs=0.1 * pixel_mm(spacing))


def test_a_shift_by_whole_pixels_is_exact() -> None:
    rng = np.random.default_rng(0)
    pixels = np.zeros((40, 50), dtype=bool)
    pixels[12:28, 12:30] = rng.uniform(size=(16, 18)) < 0.5
    mask = LesionMask(pixels, Spacing(0.25, 0.5))
    found = perturbed(mask, Perturbation("x", shift_mm=(0.75, -1.5)))
    np.testing.assert_array_equal(found.pixels, np.roll(pixels, (3, -3), axis=(0, 1)))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("angle", [5.0, -30.0, 90.0])
def test_a_rotation_turns_clockwise_about_the_centroid(spacing: Spacing, angle: float) -> None:
    mask = ellipse(spacing, (2.0, 4.5), turned_deg=10)
    found = perturbed(mask, Perturbation("x", rotate_deg=angle))
    truth = ellipse(spacing, (2.0, 4.5), turned_deg=10 + angle)
    wrong = (found.pixels ^ truth.pixels).sum() * spacing.pixel_area_mm2
    assert wrong / 21.0 < 0.3 * pixel_mm(spacing)  # an ellipse of 2 x 4.5 mm has an outline of 21 mm
    np.testing.assert_allclose(centre_mm(found), centre_mm(mask), atol=0.1 * pixel_mm(spacing))


def test_clockwise_takes_the_upper_end_to_the_right() -> None:
    pixels = np.zeros((60, 60), dtype=bool)
    pixels[10:40, 29:31] = True
    pixels[10:16, 26:34] = True  # a hammer, head up
    found = perturbed(LesionMask(pixels, Spacing(1.0, 1.0)), Perturbation("x", rotate_deg=90)).pixels
    assert found[:, 36:].sum() > 2 * found[:, :18].sum()


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("rms", "bound"), [(0.2, 0.5), (0.3, 0.9), (0.5, 0.8)])
@pytest.mark.parametrize("seed", range(3))
def test_a_deformation_has_the_stated_amplitude(spacing: Spacing, rms: float, bound: float, seed: int) -> None:
    """Measured from outside along rays through a disc, whose normals they are."""
    mask = disc(spacing, 4.0)
    wave = Perturbation("x", contour_rms_mm=rms, contour_max_mm=bound, contour_length_mm=2.0, seed=seed)
    moved = rays(perturbed(mask, wave), (8.03, 7.98)) - 4.0
    size = pixel_mm(spacing)
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(rms, abs=0.5 * size)
    assert np.abs(moved).max() <= bound + size
    assert np.abs(moved).max() >= rms
    assert abs(np.mean(moved)) < 0.25 * rms + 0.25 * size
    # Smooth: points 0.2 mm apart on the outline move together.
    near = np.roll(moved, 6)  # 6 x 0.5 degrees on a radius of 4 mm
    assert np.sqrt(np.mean((moved - near) ** 2)) < 0.3 * rms + size


def test_a_deformation_does_not_depend_on_the_grid() -> None:
    wave = Perturbation("x", contour_rms_mm=0.3, contour_max_mm=0.9, contour_length_mm=2.0, seed=5)
    coarse, fine = (rays(perturbed(disc(Spacing(mm, mm), 4.0), wave), (8.03, 7.98)) for mm in (0.1, 0.04))
    assert np.sqrt(np.mean((coarse - fine) ** 2)) < 0.06


def test_length_of_the_waves_is_in_millimetres() -> None:
    """At a distance of one length the correlation of the displacements is exp(-1/2), at three nearly none.

    Without the mean over the outline: exp(-d²/2), averaged over all pairs of points, is 0.10 here, so that
    (0.61 - 0.10) / (1 - 0.10) = 0.56 and (0.01 - 0.10) / (1 - 0.10) = -0.10 are left.
    """
    spacing = Spacing(0.08, 0.08)
    mask = disc(spacing, 6.0)
    near: list[float] = []
    far: list[float] = []
    for seed in range(40):
        wave = Perturbation("x", contour_rms_mm=0.4, contour_max_mm=2.0, contour_length_mm=1.5, seed=seed)
        moved = rays(perturbed(mask, wave), (8.03, 7.98)) - 6.0
        # Chords of 1.5 and 4.5 mm on a circle of 6 mm.
        for chord, out in ((1.5, near), (4.5, far)):
            steps = round(2 * np.arcsin(chord / 12.0) / (2 * np.pi / 720))
            out.append(float(np.mean(moved * np.roll(moved, steps))) / 0.4**2)
    assert np.mean(near) == pytest.approx(0.56, abs=0.06)
    assert np.mean(far) == pytest.approx(-0.10, abs=0.08)


def test_parts_add_up() -> None:
    """A composed perturbation grows, turns and moves."""
    spacing = Spacing(0.06, 0.12)
    mask = ellipse(spacing, (2.0, 4.0))
    found = perturbed(mask, Perturbation("x", grow_mm=0.5, rotate_deg=40, shift_mm=(0.6, -0.6)))
    centre = centre_mm(mask) + np.array([0.6, -0.6])
    # The parallel curve of an ellipse: the grown one before it is turned is the truth in its own frame.
    grown = perturbed(mask, Perturbation("x", grow_mm=0.5))
    assert found.pixels.sum() == pytest.approx(grown.pixels.sum(), rel=0.01)
    np.testing.assert_allclose(centre_mm(found), centre, atol=0.02)
    offsets = np.argwhere(found.pixels) * spacing.as_tuple() - centre_mm(found)
    axis = np.linalg.eigh(np.cov(offsets.T))[1][:, 1]
    # The long axis lay along columns; clockwise by 40 degrees its right end goes down.
    assert np.rad2deg(np.arctan2(axis[0], axis[1])) % 180 == pytest.approx(40, abs=1.5)


def odd_masks() -> dict[str, BoolArray]:
    rng = np.random.default_rng(3)
    masks = {name: np.zeros((40, 50), dtype=bool) for name in ("pixel", "line", "diagonal", "pieces", "ring", "corner")}
    masks["pixel"][20, 25] = True
    masks["line"][20, 10:40] = True
    masks["diagonal"][np.arange(10, 30), np.arange(10, 30)] = True
    masks["pieces"][5:12, 5:12] = masks["pieces"][25:35, 30:45] = True
    masks["ring"][10:30, 10:30] = True
    masks["ring"][16:24, 16:24] = False
    masks["corner"][:9, :7] = True
    masks["noise"] = rng.uniform(size=(40, 50)) < 0.4
    masks["all but one"] = np.ones((40, 50), dtype=bool)
    masks["all but one"][20, 20] = False
    return masks


@pytest.mark.parametrize("name", list(odd_masks()))
def test_doing_nothing_changes_nothing(name: str) -> None:
    mask = LesionMask(odd_masks()[name], Spacing(0.1, 0.2))
    np.testing.assert_array_equal(perturbed(mask, Perturbation("x")).pixels, mask.pixels)


@pytest.mark.parametrize("name", list(odd_masks()))
def test_odd_masks_give_a_mask_or_a_reason(name: str) -> None:
    mask = LesionMask(odd_masks()[name], Spacing(0.1, 0.2))
    for perturbation in PerturbationPlan(seed=1).for_image(name):
        try:
            found = perturbed(mask, perturbation)
        except CaseError as error:
            assert error.code in (ExclusionCode.MASK_EMPTY, ExclusionCode.ROI_TOO_SMALL)  # noqa: PT017
        else:
            assert found.pixels.any()
            assert found.pixels.shape == mask.pixels.shape


def test_a_pixel_grows_into_a_disc() -> None:
    pixels = np.zeros((80, 60), dtype=bool)
    pixels[40, 30] = True
    mask = LesionMask(pixels, Spacing(0.1, 0.2))
    assert radius_mm(perturbed(mask, Perturbation("x", grow_mm=2.0))) == pytest.approx(2.0, abs=0.1)


def test_nothing_left_is_a_reason() -> None:
    mask = disc(Spacing(0.1, 0.1), 0.45)
    with pytest.raises(
        CaseError, match=r"found nothing left of a lesion of 0\.6\d mm² after the perturbation thin"
    ) as e:
        perturbed(mask, Perturbation("thin", grow_mm=-0.6))
    assert e.value.code == ExclusionCode.MASK_EMPTY
    with pytest.raises(CaseError, match="found nothing left"):
        perturbed(disc(Spacing(0.1, 0.1), 1.0), Perturbation("away", shift_mm=(20.0, 0.0)))


def test_a_mask_without_an_outline_or_spacing_is_a_reason() -> None:
    with pytest.raises(CaseError, match="found a mask that fills the image"):
        perturbed(LesionMask(np.ones((5, 6), dtype=bool), Spacing(1, 1)), Perturbation("x", grow_mm=1))
    with pytest.raises(CaseError, match="found no spacing, expected millimetres per pixel for the perturbation x"):
        perturbed(LesionMask(np.eye(5, dtype=bool), None), Perturbation("x", grow_mm=1))


def test_the_border_of_the_image_is_no_outline() -> None:
    """A half disc at the upper border: it is eroded along its arc alone, and moves in whole."""
    spacing = Spacing(0.1, 0.1)
    mask = disc(spacing, 3.0, centre_mm=(-0.05, 8.0))
    eroded = perturbed(mask, Perturbation("x", grow_mm=-0.5))
    truth = disc(spacing, 2.5, centre_mm=(-0.05, 8.0))
    assert (eroded.pixels ^ truth.pixels).sum() * 0.01 < 0.3 * 0.1 * np.pi * 2.5
    assert eroded.pixels[0].any()
    moved = perturbed(mask, Perturbation("x", shift_mm=(1.0, 0.0)))
    assert moved.pixels[0].sum() >= mask.pixels[0].sum()
    gone = perturbed(mask, Perturbation("x", shift_mm=(-1.0, 0.0)))
    assert 0 < gone.pixels.sum() < mask.pixels.sum()


def test_the_field_of_view_cuts_off_what_was_not_there_before() -> None:
    mask = disc(Spacing(0.1, 0.1), 3.0)
    fov = np.zeros(mask.shape, dtype=bool)
    fov[:, :100] = True  # the lesion reaches to column 109
    found = perturbed(mask, Perturbation("x", grow_mm=0.5), fov).pixels
    free = perturbed(mask, Perturbation("x", grow_mm=0.5)).pixels
    np.testing.assert_array_equal(found[:, :100], free[:, :100])
    np.testing.assert_array_equal(found[:, 100:], mask.pixels[:, 100:])
    with pytest.raises(CaseError, match="found a field of view of 5 x 5 pixels"):
        perturbed(mask, Perturbation("x"), np.ones((5, 5), dtype=bool))


def test_the_rest_of_the_image_does_not_matter() -> None:
    """Only the lesion's surroundings are worked on: a large image gives what a small one does."""
    small = ellipse(Spacing(0.1, 0.1), (2.0, 3.0), turned_deg=30)
    pixels = np.zeros((900, 1100), dtype=bool)
    pixels[500:660, 700:860] = small.pixels
    large = LesionMask(pixels, small.spacing)
    for perturbation in PerturbationPlan(seed=4).for_image("a"):
        found = perturbed(large, perturbation).pixels[500:660, 700:860]
        assert (found ^ perturbed(small, perturbation).pixels).sum() <= 2  # rounding on the line itself


def test_a_plan_is_the_same_for_an_image_and_differs_between_images() -> None:
    plan = PerturbationPlan(seed=3)
    first = plan.for_image("a")
    assert first == plan.for_image("a")
    assert tuple(p.name for p in first) == plan.names == tuple(p.name for p in plan.for_image("b"))
    drawn = [p for p in first if not p.name.endswith("mm")]
    other = [p for p in plan.for_image("b") if not p.name.endswith("mm")]
    assert all(a != b for a, b in zip(drawn, other, strict=True))
    assert len({p.seed for p in first}) == len(first)
    assert PerturbationPlan(seed=4).for_image("a") != first
    # What is known about "a" does not depend on how many others there are, or on how many draws follow.
    assert PerturbationPlan(seed=3, draws=1, composed=0).for_image("a")[2] == first[2]


def test_amounts_of_a_plan() -> None:
    plan = PerturbationPlan(grow_mm=(-0.2, 0.4), shift_mm=0.5, rotate_deg=8, draws=3, composed=200)
    found = {p.name: p for p in plan.for_image("a")}
    assert found["erosion-0.2mm"].grow_mm == -0.2
    assert found["dilation-0.4mm"].grow_mm == 0.4
    for i in (1, 2, 3):
        assert np.hypot(*found[f"translation-{i}"].shift_mm) == pytest.approx(0.5)
        assert abs(found[f"rotation-{i}"].rotate_deg) == 8
        assert found[f"contour-{i}"].contour_rms_mm == plan.contour_rms_mm
        assert found[f"contour-{i}"].grow_mm == found[f"contour-{i}"].rotate_deg == 0
    mixed = [found[f"composed-{i + 1}"] for i in range(200)]
    grown, turned = (np.array([getattr(p, key) for p in mixed]) for key in ("grow_mm", "rotate_deg"))
    assert (grown >= -0.2).all()
    assert (grown <= 0.4).all()
    assert grown.mean() == pytest.approx(0.1, abs=0.05)
    assert (np.abs(turned) <= 8).all()
    shifts = np.array([p.shift_mm for p in mixed])
    assert (np.hypot(*shifts.T) <= 0.5).all()
    # Uniform over a disc of radius 0.5: 0.25 in the mean square of each axis over the square of the radius.
    np.testing.assert_allclose((shifts**2).mean(axis=0), 0.25 * 0.25, rtol=0.25)


def test_a_plan_survives_json() -> None:
    plan = PerturbationPlan(grow_mm=(0.5,), seed=9)
    assert PerturbationPlan(**json.loads(json.dumps(plan.as_dict()))) == plan


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: PerturbationPlan(grow_mm=(0.0,)), "grow_mm"),
        (lambda: PerturbationPlan(grow_mm=(0.3, 0.3)), "each once"),
        (lambda: PerturbationPlan(shift_mm=-1), "shift_mm = -1"),
        (lambda: PerturbationPlan(rotate_deg=float("nan")), "rotate_deg = nan"),
        (lambda: PerturbationPlan(grow_mm=(), draws=0, composed=0), "at least one perturbation"),
        (lambda: PerturbationPlan(contour_rms_mm=0.5, contour_max_mm=0.6), "contour_max_mm = 0.6"),
        (lambda: Perturbation("x", contour_rms_mm=-0.1), "-0.1 mm"),
        (lambda: Perturbation("x", grow_mm=float("inf")), "expected finite amounts"),
    ],
)
def test_amounts_that_cannot_be_meant_are_refused(build: Callable[[], object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        build()
