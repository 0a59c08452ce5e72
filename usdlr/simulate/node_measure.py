"""What can be measured of a lymph node's latents on its rendered images, given the true outline."""

from __future__ import annotations

import numpy as np

from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask, measure
from usdlr.simulate.acquired import Flags, Grey
from usdlr.simulate.centres import Centre
from usdlr.simulate.latents import NODE_LATENTS
from usdlr.simulate.node_tissue import CORTEX_DB, FLATNESS, HILUM_DB, SOFT_MM
from usdlr.simulate.scene import scene_of, without_bands

STEP_MM = 0.1
BLUR_MM = 0.25  # of the picture, across the border of cortex and hilum
EDGE_MM = 0.3  # nearer to the outline, the surroundings shine in


def measure_node(bmode: Grey, node: Flags, spacing: Spacing, centre: Centre) -> dict[str, float]:
    """An estimate of every latent of a node.

    A dark shell around a bright core, of known contrast and unknown gain, is laid over the node for every thickness of
    the shell; the nearest by least squares is taken. Without a core, the shell reaches to the middle.

    Parameters
    ----------
    bmode : uint8 array, shape (rows, cols)
        Tissue alone, as the scanner shows it.
    node : bool array, shape (rows, cols)
        The true node.
    spacing : Spacing
        Millimetres per pixel.
    centre : Centre
        Its stated dynamic range and gain turn grey into dB.

    Returns
    -------
    dict of str to float
        A value for each of :data:`usdlr.simulate.latents.NODE_LATENTS`, in its unit.
    """
    scene = without_bands(scene_of(bmode, node, spacing, centre))
    seen = scene.distance < -EDGE_MM
    seen = seen if seen.any() else scene.lesion
    depth, level = -scene.distance[seen], scene.level[seen]
    deepest = float(depth.max())
    thickness = np.arange(NODE_LATENTS["node_cortex_mm"].low / 2, deepest + STEP_MM, STEP_MM)
    width = SOFT_MM + BLUR_MM
    core = np.clip((depth - thickness[:, None]) / (2 * width) + 0.5, 0, 1) * (HILUM_DB - CORTEX_DB)
    rest = level - core
    misfit = rest.var(axis=1)
    length = measure(LesionMask(node, spacing)).longest_diameter_mm
    cortex = max(float(thickness[int(misfit.argmin())]), NODE_LATENTS["node_cortex_mm"].low)
    # A node that its cortex has rounded up tells no more of how long it was.
    height = 2 * deepest
    thin = length if height <= (FLATNESS + 0.1) * length else height / (FLATNESS + 0.1)
    return {
        "node_cortex_mm": cortex,
        "node_length_mm": max(float(min(thin, length)), NODE_LATENTS["node_length_mm"].low),
    }
