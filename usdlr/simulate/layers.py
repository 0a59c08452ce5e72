"""The background of the breast: skin, fat with its septa, gland, pectoral muscle, sometimes ribs or the chest wall."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from usdlr.core.units import Spacing
from usdlr.simulate.noise import Map, interface, ramp, smooth_noise

# Echo level in dB relative to fibroglandular tissue, and stiffness in kPa.
ECHO_DB = {"skin": -2.0, "fat": -10.5, "gland": 0.0, "muscle": -8.5}
STIFFNESS_KPA = {"skin": 25.0, "fat": 12.0, "gland": 28.0, "muscle": 22.0}
RIB_RATE = 0.12
PLEURA_RATE = 0.25
NO_MUSCLE_RATE = 0.3  # share of the images in which breast fills the picture down to its end
NO_MUSCLE_MM = 25.0  # by so much deeper the muscle lies in them
STREAK_MM, FIBRE_MM = (0.19, 1.8), (0.22, 2.8)  # along depth and across; finer ones look alike in every examination
WAVER_MM = 0.45  # standard deviation by which fibres and streaks stray from the strata
GRAIN_DB = (0.6, 1.9)  # spread of the echo level across streaks, from patient to patient
STREAKS = (0.3, 0.85)  # amplitude of the reflectors in gland and muscle, from patient to patient
SEPTA = (0.4, 1.4)  # amplitude of those in fat and at its border with the gland
BRIGHT_FROM, BUNDLED = 1.1, 0.3  # standard deviations from which a streak shines, and what its bundle adds to them
BRIGHT_DB, BRIGHT_MIRRORS = 7.5, 0.28  # each standard deviation beyond: dB of scattering, and coherent amplitude
PATCH_DB = 1.8  # spread of the echo level between places a few millimetres wide, in all tissue
SEPTA_MM = (0.9, 3.4)  # size of the fat lobules that septa part
BUNDLE_MM, BUNDLE_DB = (0.42, 2.8), 2.2  # streaks run in bundles; so coarse, they cost nothing of the speckle's say
REGION_MM, REGION_DB = (2.2, 4.0), 3.2  # brighter and darker regions of gland, fat and muscle, and their spread
REGION_SKEW = 0.2  # by how much bright regions stand out more than dark ones
BREAK_MM = (0.9, 2.2)  # length of the breaks in septa and fasciae
BROKEN = (-0.8, 1.0)  # standard deviations between which thin lines come and go: whole over a sixth, gone over a fifth
FASCIA, FASCIA_LEFT = 1.3, 0.12  # amplitude of a fascia where it is whole, and where it is broken
ROUGH_DB, MIRROR_SHARE = 9.0, 0.55  # a thin line of unit amplitude: dB of scattering, and coherent share
REVERBERATION_MM = (0.35, 0.65)  # distance of the echoes of the skin's surface below it
REVERBERATIONS = 3
REVERBERATION_DECAY = 0.6  # amplitude of each over that of the one above


@dataclass(frozen=True)
class Anatomy:
    """What differs from patient to patient, in mm along depth unless said otherwise.

    Parameters
    ----------
    skin_mm : float
        Lower border of the skin.
    gland_mm : float
        Where the subcutaneous fat ends.
    muscle_mm : float
        Upper fascia of the pectoral muscle.
    retromammary_mm : float
        Thickness of the fat between gland and muscle.
    density : float
        Balance of gland and fat between them: below 0 mostly fat, above 1 mostly gland.
    tilt : float
        Slope of the strata, mm of depth per mm across.
    fibre_tilt : float
        Further slope of the muscle's fibres.
    wall_mm : float
        Depth of ribs or pleura; beyond the image where none is seen.
    rib_mm : tuple of float
        Lateral position of the middle of the rib, from the middle of the image, and half its width; 0 wide: none.
    fat_db : float
        By how many dB this patient's fat is brighter than usual.
    grain_db : float
        Spread of the echo level across the streaks of gland and muscle.
    septa : float
        Amplitude of the reflectors in the fat and at its border with the gland.
    streaks : float
        Amplitude of the reflectors in gland and muscle.
    reverberation : tuple of float
        Distance in mm and amplitude of the echoes that repeat the skin's surface below it.
    """

    skin_mm: float
    gland_mm: float
    muscle_mm: float
    retromammary_mm: float
    density: float
    tilt: float
    fibre_tilt: float
    wall_mm: float
    rib_mm: tuple[float, float]
    fat_db: float
    grain_db: float
    septa: float
    streaks: float
    reverberation: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator, lesion_bottom_mm: float) -> Anatomy:
        """The anatomy of one patient; the muscle lies below the lesion."""
        skin = rng.uniform(0.9, 2.1)
        gland = skin + rng.gamma(4.0, 1.1)
        muscle = max(gland + rng.uniform(7, 20), float(lesion_bottom_mm) + rng.uniform(1.5, 5))
        muscle += NO_MUSCLE_MM * (rng.random() < NO_MUSCLE_RATE)
        wall, rib = muscle + rng.uniform(5, 12), rng.uniform(-16, 16)
        half_width, seen, hidden = rng.uniform(5, 9), rng.random(), 1e3
        return cls(
            skin_mm=skin,
            gland_mm=gland,
            muscle_mm=muscle,
            retromammary_mm=rng.uniform(0.3, 4.0),
            density=rng.uniform(-1.0, 1.8),
            tilt=rng.normal(0, 0.06),
            fibre_tilt=rng.normal(0, 0.08),
            wall_mm=wall if seen < RIB_RATE + PLEURA_RATE else hidden,
            rib_mm=(rib, half_width if seen < RIB_RATE else 0.0),
            fat_db=rng.normal(0, 1.5),
            grain_db=rng.uniform(*GRAIN_DB),
            septa=rng.uniform(*SEPTA),
            streaks=rng.uniform(*STREAKS),
            reverberation=(rng.uniform(*REVERBERATION_MM), max(rng.uniform(-0.3, 0.7), 0.0)),
        )


@dataclass(frozen=True)
class Layers:
    """The layered background of one image.

    Parameters
    ----------
    anatomy : Anatomy
        The patient.
    spacing : Spacing
        Millimetres per pixel.
    level : ndarray, shape (rows, cols)
        Depth in mm along the undulating strata.
    gland, muscle, skin : ndarray, shape (rows, cols)
        Shares of tissue, from 0 to 1; the rest is fat.
    surface : ndarray, shape (rows, cols)
        Zero where gland borders on fat.
    """

    anatomy: Anatomy
    spacing: Spacing
    level: Map
    gland: Map
    muscle: Map
    skin: Map
    surface: Map

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        shape: tuple[int, int],
        spacing: Spacing,
        *,
        lesion_bottom_mm: float,
        bulge_mm: Map | float = 0.0,
        body: Anatomy | None = None,
    ) -> Layers:
        """The background of one patient.

        Parameters
        ----------
        rng : Generator
            Source of the anatomy.
        shape : tuple of int
            (rows, cols).
        spacing : Spacing
            Millimetres per pixel.
        lesion_bottom_mm : float
            The muscle lies deeper.
        bulge_mm : ndarray, shape (rows, cols), or float
            By how much the lesion pushes the strata away from itself.
        body : Anatomy, optional
            By default, one is drawn.
        """
        body = Anatomy.draw(rng, lesion_bottom_mm) if body is None else body
        depth = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(spacing.row_mm)
        lateral = (np.arange(shape[1], dtype=np.float32) - shape[1] / 2) * np.float32(spacing.col_mm)
        # The strata lie flat under the transducer and undulate the more the deeper they are.
        swing = smooth_noise(rng, shape, spacing, (9.0, 7.0)) * np.float32(rng.uniform(0.5, 1.6))
        swing += np.float32(body.tilt) * lateral
        swing += bulge_mm
        swing *= np.float32(0.12) + np.float32(0.88) * ramp(depth, 0.5, 7.0)
        swing += depth
        level = swing
        lobules = smooth_noise(rng, shape, spacing, (1.5, 3.6))
        lobules += np.float32(0.25) * smooth_noise(rng, shape, spacing, (0.6, 1.0))
        lower = body.muscle_mm - body.retromammary_mm
        share = np.minimum((level - body.gland_mm) * np.float32(1 / 2.0), (lower - level) * np.float32(1 / 1.2))
        surface = np.clip(share, -3.0, body.density) + np.float32(0.8) * lobules
        muscle = ramp(level, body.muscle_mm - 0.15, body.muscle_mm + 0.15)
        skin = ramp(level, body.skin_mm + 0.12, body.skin_mm - 0.12)
        gland = ramp(surface, -0.4, 0.6) * (1 - muscle)
        return cls(body, spacing, level, gland, muscle, skin, surface)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.level.shape[0], self.level.shape[1]

    def _mixed(self, of: dict[str, float]) -> Map:
        mixed = (self.gland - self.muscle * self.gland) * np.float32(of["gland"] - of["fat"])
        mixed += self.muscle * np.float32(of["muscle"] - of["fat"])
        mixed += self.skin * np.float32(of["skin"] - of["fat"])
        mixed += np.float32(of["fat"])
        return mixed

    def _bent(self, noise: Map, waver: Map, extra_mm: float = 0.0) -> Map:
        """Bend a map that was drawn on flat strata; ``waver`` strays from them, in mm, shape (rows, cols)."""
        rows, cols = self.shape
        source = (self.level + waver) * np.float32(1 / self.spacing.row_mm)
        across = np.arange(cols, dtype=np.float32)
        if extra_mm:
            source += across * np.float32(extra_mm * self.spacing.col_mm / self.spacing.row_mm)
        columns = np.ascontiguousarray(np.broadcast_to(across, (rows, cols)))
        return np.asarray(
            cv2.remap(noise, columns, source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), dtype=np.float32
        )

    def echo_and_reflectors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """Echo level in dB and amplitude of the coherent reflectors, each of shape (rows, cols).

        Streaks follow the strata in gland, run long in muscle and are faint in fat; septa part the fat into lobules.
        All of them come and go along their way. What lies along the beam reflects nothing back.
        """
        body, spacing, shape = self.anatomy, self.spacing, self.shape
        waver = smooth_noise(rng, shape, spacing, (1.2, 2.6))
        regions = smooth_noise(rng, shape, spacing, REGION_MM)
        patches = smooth_noise(rng, shape, spacing, (0.9, 2.0))
        septa = smooth_noise(rng, shape, spacing, SEPTA_MM)
        unbroken = ramp(smooth_noise(rng, shape, spacing, BREAK_MM), *BROKEN)
        vigour = np.exp(np.float32(0.75) * patches)
        # Few regions are much brighter, many a little darker.
        regions += np.float32(REGION_SKEW) * (regions * regions - np.float32(1.0))
        waver *= np.float32(WAVER_MM)
        streaks = self._bent(smooth_noise(rng, shape, spacing, STREAK_MM), waver)
        fibres = self._bent(smooth_noise(rng, shape, spacing, FIBRE_MM), waver, body.fibre_tilt)
        bundles = self._bent(smooth_noise(rng, shape, spacing, BUNDLE_MM), waver)

        # Streaks: the deviation in dB, and what stands out of it as a reflector.
        deep = ramp(self.level, body.skin_mm + 0.5, body.skin_mm + 2.0)
        grain = streaks * (1 - self.muscle)
        grain += fibres * self.muscle
        # Strong in some regions and faint in others.
        grain *= np.float32(0.35) + np.float32(1.1) * ramp(regions, -1.4, 1.4)
        dense = np.maximum(self.gland, self.muscle)
        echo = self._mixed(ECHO_DB | {"fat": ECHO_DB["fat"] + body.fat_db})
        echo += grain * (np.float32(1.0) + np.float32(body.grain_db) * dense)
        rough = np.float32(PATCH_DB) * patches
        rough += np.float32(REGION_DB) * regions * (np.float32(0.4) + np.float32(0.6) * dense)
        rough *= 1 - self.skin
        echo += rough
        echo += np.float32(BUNDLE_DB) * bundles * (np.float32(0.3) + np.float32(0.7) * dense)
        bright = np.maximum(grain + np.float32(BUNDLED) * bundles - np.float32(BRIGHT_FROM), 0)
        bright *= np.float32(0.15) + np.float32(body.streaks) * dense
        # Most of a streak is many small scatterers, hence speckled; the rest is one surface.
        echo += np.float32(BRIGHT_DB) * bright
        bright *= np.float32(BRIGHT_MIRRORS)
        lines = interface(septa, spacing, 0.11) * (1 - self.gland) * vigour
        lines += interface(self.surface, spacing, 0.12)
        lines *= np.float32(body.septa)
        lines *= 1 - self.muscle
        lines *= unbroken
        lines += bright
        lines *= deep
        fascia = self._sheet(body.muscle_mm, 0.13)
        fascia *= np.float32(FASCIA_LEFT) + np.float32(FASCIA - FASCIA_LEFT) * unbroken
        lines += fascia
        lines += np.float32(0.8) * self._sheet(body.skin_mm, 0.12) + np.float32(0.6) * self._sheet(0.15, 0.10)
        self._reverberate(lines)
        lines *= vigour
        # A rough surface scatters: what it sends back is speckled like the tissue around it.
        echo += np.float32(ROUGH_DB) * np.minimum(lines, np.float32(1.5))
        lines *= np.float32(MIRROR_SHARE)
        self._chest_wall(echo, lines, fibres, vigour)
        return echo, lines

    def _reverberate(self, lines: Map) -> None:
        """Faint parallel lines under the skin, where sound has gone to and fro above it. In place."""
        apart, amplitude = self.anatomy.reverberation
        if amplitude == 0:
            return
        rows = round((self.anatomy.skin_mm + (REVERBERATIONS + 1) * apart) / self.spacing.row_mm)
        depth = self.level[:rows]
        for number in range(1, REVERBERATIONS + 1):
            amplitude *= REVERBERATION_DECAY
            off = (depth - np.float32(self.anatomy.skin_mm + number * apart)) * np.float32(1 / 0.1)
            lines[:rows] += np.float32(amplitude) * np.exp(-off * off)

    def _chest_wall(self, echo: Map, lines: Map, grain: Map, vigour: Map) -> None:
        """Ribs hide what lies behind them; the pleura lets nothing through but haze. In place."""
        body = self.anatomy
        if body.wall_mm > self.shape[0] * self.spacing.row_mm:
            return
        lateral = (np.arange(self.shape[1], dtype=np.float32) - self.shape[1] / 2) * np.float32(self.spacing.col_mm)
        middle, half_width = body.rib_mm
        wall = self.level - np.float32(body.wall_mm)
        if half_width:
            # A rib's upper surface is an arc; beside it lies muscle.
            off = (lateral - np.float32(middle)) / np.float32(half_width)
            wall -= np.float32(2.0) * off * off
            seen = ramp(np.abs(off), 1.1, 0.5)[None, :]
        else:
            seen = np.ones((1, self.shape[1]), np.float32)
        behind = ramp(wall, 0.0, 0.8) * seen
        haze = np.float32(-10.0 if not half_width else -20.0) - np.float32(0.9) * np.maximum(wall, 0)
        echo += behind * (haze + np.float32(2.0) * grain - echo)
        lines *= 1 - behind
        surface = np.exp(-((wall * np.float32(1 / 0.3)) ** 2))
        surface *= np.float32(1.2) * vigour
        lines += surface * (seen * seen)

    def stiffness_kpa(self, rng: np.random.Generator) -> Map:
        """Stiffness of the background, shape (rows, cols)."""
        patches = smooth_noise(rng, self.shape, self.spacing, (3.0, 4.0))
        patches *= np.float32(0.25)
        return np.asarray(self._mixed(STIFFNESS_KPA) * np.exp(patches), dtype=np.float32)

    def _sheet(self, depth_mm: float, width_mm: float) -> Map:
        """A thin layer at one depth of the strata."""
        off = self.level - np.float32(depth_mm)
        off *= np.float32(1 / width_mm)
        off *= off
        np.negative(off, out=off)
        return np.asarray(np.exp(off, out=off), dtype=np.float32)
