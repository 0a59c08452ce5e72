"""What is hidden in a tumour: the variables that decide its picture and, through a scenario, the nodes.

Every latent is a transformed Gaussian score that shares one common factor, the tumour's aggressiveness. Medians and
spreads follow published series where one was found; the ``source`` of a latent says which, or that it is an assumption.

References
----------
.. [1] Shear-wave elastography of 69 malignant masses: 108 kPa, standard deviation 70. PMC9432095.
.. [2] 280 of 302 cancers have a mean stiffness above 50 kPa. Evans et al., Eur Radiol 22 (2012),
   https://doi.org/10.1007/s00330-012-2464-6
.. [3] The stiff rim, and the stiffness of a shell around the lesion. Xu et al., Int J Med Sci 18 (2021),
   https://doi.org/10.7150/ijms.64243
.. [4] Posterior features, margins and echogenicity of 101 invasive ductal carcinomas. Aho et al., J Clin Ultrasound 41
   (2013), https://doi.org/10.1002/jcu.21990
.. [5] Axillary nodes of 316 cancers: a thicker cortex and a lost hilum go with metastasis. Kim et al., Br J Radiol 91
   (2018), https://doi.org/10.1259/bjr.20180507
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

ASSUMED = "assumption"


@dataclass(frozen=True, slots=True)
class Latent:
    """One hidden property of a tumour.

    Parameters
    ----------
    name : str
        Column of the truth table; ends in the unit.
    meaning : str
        What it is.
    middle : float
        Median.
    spread : float
        Standard deviation; of the natural logarithm where ``log`` is set.
    low, high : float
        Values beyond are set to these.
    loading : float
        Correlation with aggressiveness, before clipping.
    log : bool
        Whether the logarithm is Gaussian.
    source : str
        Where middle and spread come from.
    """

    name: str
    meaning: str
    middle: float
    spread: float
    low: float
    high: float
    loading: float
    log: bool = False
    source: str = ASSUMED

    def value(self, score: Values) -> Values:
        """The property for a standard normal score."""
        raw = self.middle * np.exp(self.spread * score) if self.log else self.middle + self.spread * score
        return np.clip(raw, self.low, self.high)

    def standardised(self, value: Values) -> Values:
        """The score of a property, the scale on which a scenario's coefficients are stated."""
        centred = np.log(value / self.middle) if self.log else value - self.middle
        return centred / self.spread


LATENTS: dict[str, Latent] = {
    latent.name: latent
    for latent in (
        Latent("size_mm", "longest diameter of the true outline", 18.0, 0.42, 5.0, 45.0, 0.45, log=True),
        Latent(
            "stiffness_kpa",
            "Young's modulus of the lesion",
            100.0,
            0.48,
            20.0,
            280.0,
            0.45,
            log=True,
            source="PMC9432095; https://doi.org/10.1007/s00330-012-2464-6",
        ),
        Latent("rim_kpa", "excess stiffness within 3 mm outside the outline", 38.0, 0.60, 3.0, 160.0, 0.40, log=True),
        Latent("halo_db", "excess echogenicity of the rim outside the outline", 6.0, 2.8, 0.0, 14.0, 0.35),
        Latent("heterogeneity_db", "standard deviation of the echo level inside", 3.0, 0.42, 0.8, 9.0, 0.35, log=True),
        Latent("spiculation", "share of the largest irregularity of the outline", 0.45, 0.22, 0.0, 1.0, 0.50),
        Latent("echogenicity_db", "echo level of the lesion relative to gland", -10.5, 2.8, -19.0, -4.0, -0.20),
        Latent("posterior_db_per_cm", "echo level behind one centimetre of lesion", -4.5, 4.5, -13.0, 6.0, -0.30),
        Latent("aspect_ratio", "height over width of the lesion", 0.70, 0.13, 0.45, 1.10, 0.30),
        # Below zero there is none: 37 % of the lesions have some.
        Latent("calcifications_per_cm2", "bright specks per square centimetre of lesion", -2.0, 6.0, 0.0, 25.0, 0.25),
    )
}

# Of the axilla's most conspicuous lymph node. How thick its cortex is decides how much of the hilum is left: see
# :func:`usdlr.simulate.node_tissue.node_shape`.
NODE_LATENTS: dict[str, Latent] = {
    latent.name: latent
    for latent in (
        Latent(
            "node_cortex_mm",
            "thickness of the node's cortex",
            2.2,
            0.45,
            0.8,
            9.0,
            0.35,
            log=True,
            source="the sign: https://doi.org/10.1259/bjr.20180507; its size: assumption",
        ),
        Latent(
            "node_length_mm", "longest diameter of the node with a thin cortex", 14.0, 0.22, 7.0, 28.0, 0.10, log=True
        ),
    )
}

# What a scenario may name.
EVERY_LATENT: dict[str, Latent] = LATENTS | NODE_LATENTS
