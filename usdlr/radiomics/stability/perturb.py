"""Outlines as another hand might have drawn them: larger, smaller, moved, turned, wavering; all in true millimetres.

References
----------
Zwanenburg et al., Scientific Reports 9 (2019) 614, doi:10.1038/s41598-018-36938-4: robustness of radiomic features
from perturbed images and outlines instead of repeated examinations.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.hashing import derive_seed
from usdlr.core.types import ExclusionCode
from usdlr.imaging.image import BoolArray, require_same_grid, require_spacing
from usdlr.imaging.mask import LesionMask
from usdlr.radiomics.stability.outline import find_outline, signed_distance, smooth_displacement

Floats = npt.NDArray[np.float64]

# Below this multiple of its root mean square a smooth displacement cannot stay.
PEAK = 1.5
BAND_PX = 3.0  # the distance is known this far beyond the largest displacement


@dataclass(frozen=True)
class Perturbation:
    """One change of an outline: first it wavers and grows where it is, then it turns, then it moves.

    Parameters
    ----------
    name : str
        Name, unique within a plan.
    grow_mm : float
        Distance by which the outline moves outward; negative erodes.
    shift_mm : (float, float)
        Displacement along rows (down) and columns (to the right).
    rotate_deg : float
        Angle about the mask's centroid, clockwise as the image is shown.
    contour_rms_mm, contour_max_mm : float
        Root mean square along the outline, and bound, of a random smooth displacement along its normal with mean 0.
    contour_length_mm : float
        Displacements at two points this far apart have the correlation exp(-1/2).
    seed : int
        Of the displacement.

    Raises
    ------
    ConfigError
        If an amount is not a finite number, or the bound is below 1.5 times the root mean square.
    """

    name: str
    grow_mm: float = 0.0
    shift_mm: tuple[float, float] = (0.0, 0.0)
    rotate_deg: float = 0.0
    contour_rms_mm: float = 0.0
    contour_max_mm: float = 0.0
    contour_length_mm: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shift_mm", tuple(self.shift_mm))
        amounts = (self.grow_mm, *self.shift_mm, self.rotate_deg, self.contour_rms_mm, self.contour_max_mm)
        if not np.isfinite(amounts).all():
            raise ConfigError(f"found the perturbation {self.name!r} with {amounts}, expected finite amounts")
        _require_contour(self.contour_rms_mm, self.contour_max_mm, self.contour_length_mm)


@dataclass(frozen=True)
class PerturbationPlan:
    """Which perturbations every image gets: the same names in the same order, drawn anew for each image.

    The defaults are what two hands differ by on breast ultrasound: a few tenths of a millimetre.

    Parameters
    ----------
    grow_mm : tuple of float
        Dilations (positive) and erosions (negative) in mm, one perturbation each; the same on every image.
    shift_mm : float
        Length of every translation in mm; its direction is drawn. 0 leaves translations out.
    rotate_deg : float
        Size of every rotation in degrees; its sense is drawn. 0 leaves rotations out.
    contour_rms_mm, contour_max_mm, contour_length_mm : float
        See :class:`Perturbation`. A root mean square of 0 leaves deformations out.
    draws : int
        Number of translations, of rotations and of deformations.
    composed : int
        Number of perturbations that deform, grow, turn and move at once, each amount drawn up to the one above.
    seed : int
        All draws follow from it and the image's id.

    Raises
    ------
    ConfigError
        If an amount is negative or not finite, or nothing is left to do.

    Examples
    --------
    >>> plan = PerturbationPlan(grow_mm=(-0.3, 0.3), draws=1, composed=1)
    >>> plan.names
    ('erosion-0.3mm', 'dilation-0.3mm', 'translation-1', 'rotation-1', 'contour-1', 'composed-1')
    >>> plan.for_image("a") == plan.for_image("a") != plan.for_image("b")
    True
    """

    grow_mm: tuple[float, ...] = (-0.3, 0.3)
    shift_mm: float = 0.3
    rotate_deg: float = 5.0
    contour_rms_mm: float = 0.3
    contour_max_mm: float = 0.9
    contour_length_mm: float = 3.0
    draws: int = 2
    composed: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "grow_mm", tuple(map(float, self.grow_mm)))  # JSON and YAML give lists
        for name in ("shift_mm", "rotate_deg", "draws", "composed"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise ConfigError(f"found the plan's {name} = {value}, expected a number of at least 0")
        if not all(np.isfinite(amount) and amount != 0 for amount in self.grow_mm):
            raise ConfigError(f"found the plan's grow_mm = {self.grow_mm}, expected finite amounts other than 0")
        _require_contour(self.contour_rms_mm, self.contour_max_mm, self.contour_length_mm)
        names = self.names
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"found a plan of {list(names)}, expected at least one perturbation and each once")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the perturbations, in their order."""
        grown = [f"{'dilation' if amount > 0 else 'erosion'}-{abs(amount):g}mm" for amount in self.grow_mm]
        kinds = (("translation", self.shift_mm), ("rotation", self.rotate_deg), ("contour", self.contour_rms_mm))
        drawn = [f"{kind}-{i + 1}" for kind, amount in kinds if amount > 0 for i in range(self.draws)]
        return (*grown, *drawn, *(f"composed-{i + 1}" for i in range(self.composed)))

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def for_image(self, image_id: str) -> tuple[Perturbation, ...]:
        """The perturbations of one image; the same plan and id give the same on every machine."""
        by_name = dict(zip(self.names, self.grow_mm, strict=False))
        return tuple(self._drawn(name, by_name.get(name, 0.0), image_id) for name in self.names)

    def _drawn(self, name: str, grow_mm: float, image_id: str) -> Perturbation:
        seed = derive_seed(self.seed, "perturbation", image_id, name)
        rng = np.random.default_rng(seed)
        kind = name.rpartition("-")[0]
        composed = kind == "composed"
        angle, turn, sense = rng.uniform(0, 2 * np.pi), rng.uniform(-1, 1), rng.choice([-1.0, 1.0])
        # Uniform over the disc of possible displacements.
        length = np.sqrt(rng.uniform()) if composed else 1.0 if kind == "translation" else 0.0
        turned = turn if composed else sense if kind == "rotation" else 0.0
        waves = composed or kind == "contour"
        if composed:
            grow_mm = float(rng.uniform(min(0.0, *self.grow_mm), max(0.0, *self.grow_mm))) if self.grow_mm else 0.0
        return Perturbation(
            name,
            grow_mm,
            (float(self.shift_mm * length * np.sin(angle)), float(self.shift_mm * length * np.cos(angle))),
            float(self.rotate_deg * turned),
            self.contour_rms_mm if waves else 0.0,
            self.contour_max_mm if waves else 0.0,
            self.contour_length_mm,
            seed,
        )


def perturbed(mask: LesionMask, perturbation: Perturbation, fov: BoolArray | None = None) -> LesionMask:
    """The mask as the perturbation leaves it, on the same grid.

    The border of the image is no outline: where the lesion runs out of the image it is taken to go on, so it is not
    eroded there, and what moves in from there is lesion. What leaves the image or the field of view is cut off; pixels
    of the mask that lay outside the field of view before may stay.

    Parameters
    ----------
    mask : LesionMask
        The lesion, with spacing; rows and columns may differ in size.
    perturbation : Perturbation
        What to do.
    fov : bool array, (rows, columns), optional
        Field of view.

    Returns
    -------
    LesionMask
        Never empty; equal to ``mask`` when the perturbation does nothing.

    Raises
    ------
    CaseError
        Without spacing, when nothing of the lesion is left, or when the mask fills the image and has no outline.
    """
    spacing = require_spacing(mask.spacing, f"the perturbation {perturbation.name}")
    if fov is not None:
        require_same_grid(mask.shape, (fov.shape[0], fov.shape[1]), "field of view")
    step = np.array(spacing.as_tuple())
    reach = abs(perturbation.grow_mm) + perturbation.contour_max_mm + BAND_PX * float(step.max())
    window = _window(mask, perturbation, reach, step)
    inside = mask.pixels[window]
    outline = find_outline(inside, spacing)
    distance, nearest = signed_distance(inside, outline, spacing, reach)
    if perturbation.contour_rms_mm > 0:
        moved = smooth_displacement(
            outline,
            rms_mm=perturbation.contour_rms_mm,
            max_mm=perturbation.contour_max_mm,
            length_mm=perturbation.contour_length_mm,
            seed=perturbation.seed,
        )
        distance = distance - np.append(moved, 0.0)[nearest]
    if perturbation.rotate_deg != 0 or perturbation.shift_mm != (0.0, 0.0):
        origin = np.array([part.start for part in window]) * step
        centre = np.argwhere(mask.pixels).mean(axis=0) * step - origin
        distance = _moved(distance, perturbation, centre, step)
    pixels = np.zeros(mask.shape, dtype=bool)
    pixels[window] = distance <= perturbation.grow_mm
    if fov is not None:
        pixels &= fov | mask.pixels
    if not pixels.any():
        raise CaseError(
            ExclusionCode.MASK_EMPTY,
            f"found nothing left of a lesion of {mask.pixels.sum() * spacing.pixel_area_mm2:.2f} mm² after the "
            f"perturbation {perturbation.name}, expected some pixels; perturb small lesions by less",
        )
    return LesionMask(pixels, spacing, mask.source)


def _window(mask: LesionMask, perturbation: Perturbation, reach: float, step: Floats) -> tuple[slice, slice]:
    """The part of the image that the perturbation can reach."""
    row, col, rows, cols = mask.bounding_box()
    radius = float(np.hypot(*(np.array([rows, cols]) * step)))  # no pixel is farther from the centroid
    turn = 2 * radius * abs(np.sin(np.deg2rad(perturbation.rotate_deg) / 2))
    reach += float(np.hypot(*perturbation.shift_mm)) + turn
    pad = np.ceil(reach / step).astype(int)
    return (
        slice(max(row - pad[0], 0), min(row + rows + pad[0], mask.shape[0])),
        slice(max(col - pad[1], 0), min(col + cols + pad[1], mask.shape[1])),
    )


def _moved(distance: Floats, perturbation: Perturbation, centre: Floats, step: Floats) -> Floats:
    """The distance field turned about ``centre`` (mm) and moved."""
    angle = np.deg2rad(perturbation.rotate_deg)
    rows, cols = (
        np.arange(size) * mm - middle - shift
        for size, mm, middle, shift in zip(distance.shape, step, centre, perturbation.shift_mm, strict=True)
    )
    row, col = rows[:, None], cols[None]
    # Where a pixel's value comes from: the opposite turn of its place.
    source = (
        (row * np.cos(angle) - col * np.sin(angle) + centre[0]) / step[0],
        (row * np.sin(angle) + col * np.cos(angle) + centre[1]) / step[1],
    )
    moved = map_coordinates(distance, np.stack(np.broadcast_arrays(*source)), order=1, mode="nearest")
    return np.asarray(moved, dtype=np.float64)


def _require_contour(rms: float, bound: float, length: float) -> None:
    if not (np.isfinite([rms, bound, length]).all() and rms >= 0 and length > 0):
        raise ConfigError(
            f"found a contour displacement of {rms} mm over {length} mm, expected at least 0 mm over a positive length"
        )
    if rms > 0 and bound < PEAK * rms:
        raise ConfigError(
            f"found contour_max_mm = {bound} with contour_rms_mm = {rms}, expected at least {PEAK:g} times as much"
        )
