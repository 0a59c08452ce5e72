"""An axilla in millimetres: an oval lymph node in fat, its dark cortex and what the cortex leaves of its bright hilum.

A normal node is flat and reniform: a thin, nearly anechoic cortex around an echogenic fatty hilum that opens to one
side. As the cortex thickens, the hilum is thinned, then lost, and the node rounds up [1]_.

References
----------
.. [1] Kim et al., Br J Radiol 91 (2018), https://doi.org/10.1259/bjr.20180507
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from usdlr.core.units import Spacing
from usdlr.simulate.layers import Anatomy, Layers
from usdlr.simulate.lesion import capsule
from usdlr.simulate.noise import Map, ramp, smooth_noise
from usdlr.simulate.outline import Points, fill_outline, signed_distance, star_outline
from usdlr.simulate.tissue import Phantom, bulge, placed, shadow_behind

FLATNESS = 0.48  # height over length of a node whose cortex leaves room for a hilum
ROUNDEST = 0.92  # a thick cortex makes the node higher up to this, then longer too
CORTEX_DB, HILUM_DB = -19.0, -4.0  # echo levels relative to gland; axillary fat lies between them
CORTEX_SPREAD_DB, HILUM_SPREAD_DB = 1.8, 3.4
UNEVEN = 0.16  # spread of the cortex's thickness along the outline, as a share of it
ASIDE = 0.35  # by how much the cortex is thinner where the hilum opens and thicker opposite, as a share of it
OPENING_RADIANS, OPENING = 0.32, 0.45  # width of the opening itself, and by how much the cortex is thinned there
SOFT_MM = 0.3  # half-width of the border of cortex and hilum
FRAYED_MM, EDGE_MM = 0.12, (0.12, 0.45)  # how far the node's border wavers, and its half-width, sharp to soft
CAPSULE = (0.1, 0.9)  # amplitude of the capsule along the outline, as a share of a smooth lesion's
STRANDS = 0.6  # amplitude of reflectors in the hilum
CORTEX_KPA, HILUM_KPA = 22.0, 14.0
POSTERIOR_DB_PER_CM = 1.5
AXILLARY_DENSITY = (-1.0, -0.5)  # the axilla is fat with few septa
DEEPER_MM = (2.0, 8.0)  # muscle below the node


@dataclass(frozen=True, slots=True)
class NodeShape:
    """What the latents make of a node, in mm.

    Parameters
    ----------
    length_mm, height_mm : float
        Longest diameter, and the one across it.
    cortex_mm : float
        Thickness of the cortex.
    """

    length_mm: float
    height_mm: float
    cortex_mm: float

    @property
    def hilum_mm(self) -> float:
        """Thickness of what is left of the hilum; 0: lost."""
        return max(self.height_mm - 2 * self.cortex_mm, 0.0)


def node_shape(latents: Mapping[str, float]) -> NodeShape:
    """The node of a patient.

    Parameters
    ----------
    latents : mapping
        One value per entry of :data:`usdlr.simulate.latents.NODE_LATENTS`.

    Examples
    --------
    >>> thin = node_shape({"node_cortex_mm": 2.0, "node_length_mm": 15.0})
    >>> round(thin.height_mm, 2), round(thin.hilum_mm, 2)
    (7.2, 3.2)
    >>> thick = node_shape({"node_cortex_mm": 5.0, "node_length_mm": 15.0})
    >>> thick.height_mm, thick.hilum_mm
    (10.0, 0.0)
    """
    cortex, length = latents["node_cortex_mm"], latents["node_length_mm"]
    height = max(FLATNESS * length, 2 * cortex)
    return NodeShape(max(length, height / ROUNDEST), height, cortex)


def build_node_phantom(
    latents: Mapping[str, float], shape: tuple[int, int], spacing: Spacing, rng: np.random.Generator
) -> Phantom:
    """The axilla of one patient in one plane; parameters as for :func:`usdlr.simulate.tissue.build_phantom`.

    Parameters
    ----------
    latents : mapping
        One value per entry of :data:`usdlr.simulate.latents.NODE_LATENTS`.
    shape, spacing, rng
        Of the image; another source gives another view of the same node.

    Returns
    -------
    Phantom
        Its outline and its lesion are the node's.
    """
    node = node_shape(latents)
    outline = placed(
        star_outline(rng, node.length_mm, node.height_mm / node.length_mm, 0.0),
        (shape[0] * spacing.row_mm, shape[1] * spacing.col_mm),
        rng,
    )
    distance = signed_distance(fill_outline(outline, shape, spacing), spacing)
    bottom = float(outline[:, 0].max())
    layers = Layers.draw(
        rng,
        shape,
        spacing,
        lesion_bottom_mm=bottom,
        bulge_mm=bulge(outline, distance, spacing),
        body=_axilla(rng, bottom),
    )
    echo, specular = layers.echo_and_reflectors(rng)
    stiffness = layers.stiffness_kpa(rng)
    inside = _inside(distance, spacing, rng)
    hilum = _hilum(node, outline, distance, spacing, rng) * inside
    texture = np.float32(0.7) * smooth_noise(rng, shape, spacing, (0.3, 0.6))
    texture += np.float32(0.7) * smooth_noise(rng, shape, spacing, (0.7, 1.3))
    strands = np.maximum(smooth_noise(rng, shape, spacing, (0.2, 1.4)) - np.float32(0.8), 0)
    level = np.float32(CORTEX_DB) + np.float32(CORTEX_SPREAD_DB) * texture
    level += hilum * (np.float32(HILUM_DB - CORTEX_DB) + np.float32(HILUM_SPREAD_DB - CORTEX_SPREAD_DB) * texture)
    echo += inside * (level - echo)
    specular *= ramp(distance, -0.1, 0.5)
    specular += np.float32(STRANDS) * strands * hilum
    unbroken = ramp(smooth_noise(rng, shape, spacing, (1.5, 2.0)), -1.0, 1.5)
    whole = np.float32(CAPSULE[0]) + np.float32(CAPSULE[1] - CAPSULE[0]) * unbroken
    specular += whole * capsule({"spiculation": 0.0}, distance, spacing)
    kpa = np.float32(CORTEX_KPA) + np.float32(HILUM_KPA - CORTEX_KPA) * hilum
    kpa *= np.exp(np.float32(0.15) * smooth_noise(rng, shape, spacing, (2.0, 2.0)))
    stiffness += inside * (kpa - stiffness)
    return Phantom(
        spacing=spacing,
        echo_db=echo,
        specular=specular,
        shadow_db=shadow_behind({"posterior_db_per_cm": POSTERIOR_DB_PER_CM}, distance, spacing),
        stiffness_kpa=stiffness,
        outline_mm=outline,
        distance_mm=distance,
    )


def _axilla(rng: np.random.Generator, bottom_mm: float) -> Anatomy:
    """Skin and fat, and muscle below the node."""
    body = Anatomy.draw(rng, bottom_mm)
    return replace(
        body,
        density=rng.uniform(*AXILLARY_DENSITY),
        muscle_mm=max(body.muscle_mm, bottom_mm + rng.uniform(*DEEPER_MM)),
        retromammary_mm=0.3,
    )


def _inside(distance: Map, spacing: Spacing, rng: np.random.Generator) -> Map:
    """1 in the node, 0 outside, over a border that is sharp in places and soft in others, shape (rows, cols)."""
    shape = (distance.shape[0], distance.shape[1])
    wavering = np.float32(FRAYED_MM) * np.clip(smooth_noise(rng, shape, spacing, (0.5, 0.8)), -2, 2)
    low, high = EDGE_MM
    soft = np.float32(low) + np.float32(high - low) * ramp(smooth_noise(rng, shape, spacing, (2.0, 2.0)), -1.0, 2.0)
    return ramp((distance + wavering) / soft, 1.0, -1.0)


def _hilum(node: NodeShape, outline: Points, distance: Map, spacing: Spacing, rng: np.random.Generator) -> Map:
    """Share of hilum, shape (rows, cols): what lies deeper than the cortex is thick, and its opening to one side."""
    shape = (distance.shape[0], distance.shape[1])
    middle = outline.mean(axis=0)
    down = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(spacing.row_mm) - np.float32(middle[0])
    across = np.arange(shape[1], dtype=np.float32) * np.float32(spacing.col_mm) - np.float32(middle[1])
    # It opens along the node's flat side, up or down, a little aside.
    towards = (1 if rng.random() < 0.5 else -1) * np.pi / 2 + rng.normal(0, 0.35)
    off = (np.arctan2(down, across) - np.float32(towards) + np.pi) % (2 * np.pi) - np.pi
    uneven = np.clip(smooth_noise(rng, shape, spacing, (2.5, 2.5)), -2, 2)
    # A hilum that is lost has no opening, nor any place where the cortex is thin enough for a rest of it.
    left = min(node.hilum_mm / node.cortex_mm, 1.0)
    thickness = np.float32(node.cortex_mm) * (np.float32(1.0) + np.float32(UNEVEN * left) * uneven)
    opening = np.float32(ASIDE) * np.cos(off) + np.float32(OPENING) * np.exp(
        -0.5 * (off / np.float32(OPENING_RADIANS)) ** 2
    )
    thickness *= np.float32(1.0) - np.float32(left) * opening
    thickness += np.float32(SOFT_MM * (1 - left))
    return ramp(-distance - thickness, -SOFT_MM, SOFT_MM)
