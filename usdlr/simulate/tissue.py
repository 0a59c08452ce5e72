"""A breast in millimetres: layers, a lesion with its rim, echo levels and stiffness on the image grid.

Depth grows with the row, lateral position with the column; the transducer lies along row 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import pdist

from usdlr.core.units import Spacing
from usdlr.simulate.noise import Map, blur_mm, ramp, smooth_noise

Flags = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

SKIN_MM = 1.6
RIM_MM = 3.0
# Echo level in dB relative to fibroglandular tissue, and stiffness in kPa, of each layer from the skin down.
LAYERS = {"skin": (2.0, 25.0), "fat": (-11.0, 12.0), "gland": (0.0, 28.0), "muscle": (-10.0, 22.0)}
OUTLINE_POINTS = 360


@dataclass(frozen=True)
class Phantom:
    """What the scanner looks at; every map has the shape of the image.

    Parameters
    ----------
    spacing : Spacing
        Millimetres per pixel.
    echo_db : ndarray, shape (rows, cols)
        Mean backscattered power in dB relative to fibroglandular tissue, without attenuation.
    specular : ndarray, shape (rows, cols)
        Amplitude of coherent reflectors (skin, ligaments, fasciae), on the scale of the speckle's amplitude.
    shadow_db : ndarray, shape (rows, cols)
        Two-way gain or loss behind the lesion, cumulated along depth.
    stiffness_kpa : ndarray, shape (rows, cols)
        Young's modulus.
    outline_mm : ndarray, shape (points, 2)
        True outline of the lesion, (depth, lateral) in mm.
    distance_mm : ndarray, shape (rows, cols)
        Signed Euclidean distance to the outline, negative inside.
    """

    spacing: Spacing
    echo_db: Map
    specular: Map
    shadow_db: Map
    stiffness_kpa: Map
    outline_mm: Points
    distance_mm: Map

    @property
    def lesion(self) -> Flags:
        """The true lesion, shape (rows, cols)."""
        return self.distance_mm < 0


def longest_diameter(points_mm: Points) -> float:
    """Largest distance between any two of ``points_mm``, shape (points, 2), in mm.

    Examples
    --------
    >>> longest_diameter(np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]))
    5.0
    """
    # Only corners of the convex hull can be farthest apart.
    hull = cv2.convexHull(points_mm.astype(np.float32), returnPoints=False).ravel()
    return float(pdist(points_mm[hull]).max()) if len(hull) > 1 else 0.0


def star_outline(rng: np.random.Generator, size_mm: float, aspect_ratio: float, spiculation: float) -> Points:
    """A closed star-shaped outline about the origin whose longest diameter is ``size_mm``.

    Parameters
    ----------
    rng : Generator
        Source of the shape.
    size_mm : float
        Longest diameter.
    aspect_ratio : float
        Height over width of the underlying ellipse.
    spiculation : float
        0: a smooth oval; 1: lobulated with many sharp spicules.

    Returns
    -------
    ndarray, shape (360, 2)
        (depth, lateral) in mm.
    """
    angle = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
    tilt = rng.normal(0, 0.2)
    radius = 1 / np.hypot(np.cos(angle - tilt), np.sin(angle - tilt) / aspect_ratio)
    waves = np.arange(2, 10)
    amplitude = (0.025 + 0.09 * spiculation) * rng.normal(size=len(waves)) / waves**0.6
    phase = rng.uniform(0, 2 * np.pi, len(waves))
    radius = radius * np.exp(amplitude @ np.cos(waves[:, None] * angle + phase[:, None]))
    for _ in range(rng.poisson(16 * spiculation)):
        away = np.abs((angle - rng.uniform(0, 2 * np.pi) + np.pi) % (2 * np.pi) - np.pi)
        radius *= 1 + rng.uniform(0.06, 0.26) * spiculation * np.exp(-away / rng.uniform(0.04, 0.10))
    outline = radius[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])
    return np.asarray(outline * size_mm / longest_diameter(outline))


def signed_distance(mask: Flags, spacing: Spacing) -> Map:
    """Euclidean distance in mm to the border of ``mask``, negative inside, shape (rows, cols).

    Pixel centres next to the border, inside and outside, lie half a pixel from it.
    """
    sampling = spacing.as_tuple()
    half = 0.25 * sum(sampling)
    outside = distance_transform_edt(~mask, sampling=sampling)
    inside = distance_transform_edt(mask, sampling=sampling)
    return np.asarray(np.where(mask, half - inside, outside - half), dtype=np.float32)


def fill_outline(outline_mm: Points, shape: tuple[int, int], spacing: Spacing) -> Flags:
    """The pixels inside a closed outline, (depth, lateral) in mm from the centre of pixel (0, 0)."""
    scale = 1 << 8  # sub-pixel corners
    corners = np.round(outline_mm / spacing.as_tuple() * scale)[:, ::-1].astype(np.int32)
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [corners], 1, shift=8)
    return canvas.astype(bool)


def build_phantom(
    latents: Mapping[str, float], shape: tuple[int, int], spacing: Spacing, rng: np.random.Generator
) -> Phantom:
    """The breast of one patient.

    Parameters
    ----------
    latents : mapping
        One value per entry of :data:`usdlr.simulate.cohort.LATENTS`, in physical units.
    shape : tuple of int
        (rows, cols) of the image.
    spacing : Spacing
        Millimetres per pixel.
    rng : Generator
        Source of everything the latents leave open.
    """
    rows, cols = shape
    depth_mm, width_mm = rows * spacing.row_mm, cols * spacing.col_mm
    outline = star_outline(rng, latents["size_mm"], latents["aspect_ratio"], latents["spiculation"])
    top, bottom = outline[:, 0].min(), outline[:, 0].max()
    highest, lowest = 3.5 - top, max(depth_mm - 6.0 - bottom, 3.5 - top)
    centre_depth = highest + (lowest - highest) * rng.beta(1.6, 3.0)
    room = max(0.5 * (width_mm - np.ptp(outline[:, 1])) - 3.0, 0.0)
    outline += (centre_depth, 0.5 * width_mm - outline[:, 1].mean() + np.clip(rng.normal(0, 0.35), -1, 1) * room)
    distance = signed_distance(fill_outline(outline, shape, spacing), spacing)

    layers = _Layers.draw(rng, shape, spacing, lesion_bottom_mm=centre_depth + bottom)
    # The margin is sharp in places and indistinct in others.
    blur = np.exp(np.log(0.45) + 0.6 * smooth_noise(rng, shape, spacing, (3.0, 3.0)))
    inside = ramp(-distance / blur, -1.0, 1.0)
    lesion_db = latents["echogenicity_db"] + latents["heterogeneity_db"] * _lumps(rng, shape, spacing)
    halo = _halo(rng, distance, spacing)
    # The rim is fibrous whether it lies in fat or in gland: most of the layers' contrast is gone there.
    background_db = (1 - 0.6 * np.minimum(halo, 1)) * layers.echo_db(rng) + latents["halo_db"] * halo
    shadow = np.cumsum(distance < 0, axis=0) * np.float32(latents["posterior_db_per_cm"] * spacing.row_mm / 10)
    return Phantom(
        spacing=spacing,
        echo_db=(1 - inside) * background_db + inside * lesion_db,
        specular=layers.reflectors(rng) * ramp(distance, -0.1, 1.2),
        shadow_db=blur_mm(np.clip(shadow, -16, 8), 0.5, spacing),
        stiffness_kpa=_stiffness(latents, layers.stiffness_kpa(rng), distance, spacing, rng),
        outline_mm=outline,
        distance_mm=distance,
    )


def _lumps(rng: np.random.Generator, shape: tuple[int, int], spacing: Spacing) -> Map:
    """Unit-variance echo structure inside a lesion: coarse and fine lumps."""
    coarse, fine = smooth_noise(rng, shape, spacing, (1.2, 1.5)), smooth_noise(rng, shape, spacing, (0.5, 0.7))
    return np.asarray(0.8 * coarse + 0.6 * fine, dtype=np.float32)


def _halo(rng: np.random.Generator, distance: Map, spacing: Spacing) -> Map:
    """Profile of the echogenic rim, near 1 within some 2 mm of the outline, patchy along it."""
    patches = 1 + 0.2 * smooth_noise(rng, (distance.shape[0], distance.shape[1]), spacing, (4.0, 4.0))
    return np.asarray(ramp(distance, -0.1, 0.3) * ramp(-distance, -RIM_MM, -1.4) * patches, dtype=np.float32)


def _stiffness(
    latents: Mapping[str, float], background: Map, distance: Map, spacing: Spacing, rng: np.random.Generator
) -> Map:
    shape = (distance.shape[0], distance.shape[1])
    lesion = latents["stiffness_kpa"] * np.exp(0.15 * smooth_noise(rng, shape, spacing, (2.5, 2.5)))
    patches = np.exp(0.2 * smooth_noise(rng, shape, spacing, (4.0, 4.0)))
    rim = latents["rim_kpa"] * patches * ramp(-distance, -RIM_MM - 0.5, -RIM_MM + 0.5)
    inside = ramp(-distance, -0.3, 0.3)
    return np.asarray((1 - inside) * (background + rim) + inside * lesion, dtype=np.float32)


@dataclass(frozen=True)
class _Layers:
    """The layered background; ``level`` is depth along the undulating strata."""

    spacing: Spacing
    level: Map
    gland_mm: float
    muscle_mm: float

    @classmethod
    def draw(
        cls, rng: np.random.Generator, shape: tuple[int, int], spacing: Spacing, *, lesion_bottom_mm: float
    ) -> _Layers:
        depth = np.arange(shape[0], dtype=np.float32)[:, None] * spacing.row_mm
        lateral = (np.arange(shape[1], dtype=np.float32) - shape[1] / 2) * spacing.col_mm
        # The strata lie flat under the transducer and undulate the more the deeper they are.
        swing = smooth_noise(rng, shape, spacing, (12.0, 9.0)) * 1.1 + rng.normal(0, 0.05) * lateral
        level = depth + ramp(depth, 1.0, 8.0) * swing
        gland = rng.uniform(5.0, 10.0)
        return cls(spacing, level, gland, max(gland + rng.uniform(13, 20), lesion_bottom_mm + rng.uniform(2, 4)))

    def _blend(self, column: int) -> Map:
        skin, fat, gland, muscle = (values[column] for values in LAYERS.values())
        return np.asarray(
            skin
            + (fat - skin) * ramp(self.level, SKIN_MM - 0.1, SKIN_MM + 0.1)
            + (gland - fat) * ramp(self.level, self.gland_mm - 0.5, self.gland_mm + 0.5)
            + (muscle - gland) * ramp(self.level, self.muscle_mm - 0.2, self.muscle_mm + 0.2),
            dtype=np.float32,
        )

    def _along_strata(self, noise: Map) -> Map:
        """Bend a map that was drawn on flat strata."""
        rows, cols = noise.shape
        source = self.level / np.float32(self.spacing.row_mm)
        columns = np.ascontiguousarray(np.broadcast_to(np.arange(cols, dtype=np.float32), (rows, cols)))
        bent = cv2.remap(noise, columns, source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(bent, dtype=np.float32)

    def echo_db(self, rng: np.random.Generator) -> Map:
        """Echo level of the background: layers, streaks of the gland, fat lobules between them."""
        shape = (self.level.shape[0], self.level.shape[1])
        gland = ramp(self.level, self.gland_mm - 0.5, self.gland_mm + 1.0)
        streaks = self._along_strata(smooth_noise(rng, shape, self.spacing, (0.32, 1.8)))
        lobules = self._along_strata(smooth_noise(rng, shape, self.spacing, (2.0, 5.0)))
        fatty = ramp(lobules, 0.5, 1.0) * gland * ramp(-self.level, -self.muscle_mm, -self.muscle_mm + 1)
        return np.asarray(
            self._blend(0) + (1.2 + 3.6 * gland) * streaks + 2.0 * lobules - 9.0 * fatty, dtype=np.float32
        )

    def stiffness_kpa(self, rng: np.random.Generator) -> Map:
        """Stiffness of the background, smooth."""
        shape = (self.level.shape[0], self.level.shape[1])
        smooth = blur_mm(self._blend(1), 0.8, self.spacing)
        return np.asarray(smooth * np.exp(0.25 * smooth_noise(rng, shape, self.spacing, (3.0, 4.0))), dtype=np.float32)

    def reflectors(self, rng: np.random.Generator) -> Map:
        """Amplitude of the thin coherent reflectors: skin, septa in the fat, fibres in the gland, fasciae."""
        shape = (self.level.shape[0], self.level.shape[1])
        fat = ramp(self.level, SKIN_MM, SKIN_MM + 1) * ramp(-self.level, -self.gland_mm - 1, -self.gland_mm)
        muscle = ramp(self.level, self.muscle_mm, self.muscle_mm + 0.5)
        gland = ramp(self.level, self.gland_mm - 0.5, self.gland_mm + 0.5) * (1 - muscle)
        skin = 3.0 * self._sheet(0.2, 0.10) + 2.0 * self._sheet(SKIN_MM, 0.10)
        fascia = 3.0 * self._sheet(self.muscle_mm, 0.16) + 1.6 * self._sheet(self.gland_mm, 0.12)
        threads = (
            2.0 * fat * self._threads(rng, (1.7, 5.0), 0.04)
            + gland * (1.8 * self._threads(rng, (0.8, 3.5), 0.06) + 1.6 * self._threads(rng, (0.4, 1.8), 0.09))
            + 1.7 * muscle * self._threads(rng, (0.45, 7.0), 0.10)
        )
        patchy = np.exp(0.5 * smooth_noise(rng, shape, self.spacing, (1.2, 4.0)))
        return np.asarray(skin + patchy * (fascia + threads), dtype=np.float32)

    def _sheet(self, depth_mm: float, width_mm: float) -> Map:
        """A thin layer at one depth of the strata."""
        return np.asarray(np.exp(-(((self.level - depth_mm) / width_mm) ** 2)), dtype=np.float32)

    def _threads(self, rng: np.random.Generator, scale_mm: tuple[float, float], width: float) -> Map:
        """Winding lines that fade in and out: the zero crossings of a smooth map, bent along the strata."""
        shape = (self.level.shape[0], self.level.shape[1])
        crossing = np.exp(-((smooth_noise(rng, shape, self.spacing, scale_mm) / width) ** 2))
        shown = ramp(smooth_noise(rng, shape, self.spacing, (1.2, 3.0)), 0.0, 1.6)
        return self._along_strata(np.asarray(crossing * shown, dtype=np.float32))
