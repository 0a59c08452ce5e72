"""The patients: a structural model from the tumour's latent properties to the true probabilities of nodal disease.

Every latent is a transformed Gaussian that shares one common factor, the tumour's aggressiveness. The log-odds of a
positive sentinel node, and of a positive non-sentinel node given a positive sentinel node, are linear in the
standardised latents (:class:`Coefficients`). All that the images and the pre-operative variables show depends on the
latents alone, never on the nodes themselves, so that the true probabilities are the ceiling of every predictor.

Each variable has a random stream of its own, seeded by (seed, centre, variable): a larger cohort begins with the
patients of the smaller one.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, ndtri

from usdlr.core.errors import ConfigError
from usdlr.core.hashing import derive_seed
from usdlr.simulate.axilla import observe_axilla
from usdlr.simulate.centres import Centre

Values = npt.NDArray[np.float64]

NEOADJUVANT_RATE = 0.02
QUADRANTS = {"upper outer": 0.50, "upper inner": 0.15, "lower outer": 0.13, "lower inner": 0.08, "central": 0.14}


@dataclass(frozen=True, slots=True)
class Latent:
    """One hidden property of the tumour.

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
    """

    name: str
    meaning: str
    middle: float
    spread: float
    low: float
    high: float
    loading: float
    log: bool = False

    def value(self, score: Values) -> Values:
        """The property for a standard normal score."""
        raw = self.middle * np.exp(self.spread * score) if self.log else self.middle + self.spread * score
        return np.clip(raw, self.low, self.high)

    def standardised(self, value: Values) -> Values:
        """The score of a property, the scale on which the coefficients are stated."""
        centred = np.log(value / self.middle) if self.log else value - self.middle
        return centred / self.spread


LATENTS: dict[str, Latent] = {
    latent.name: latent
    for latent in (
        Latent("size_mm", "longest diameter of the true outline", 18.0, 0.42, 5.0, 45.0, 0.45, log=True),
        Latent("stiffness_kpa", "Young's modulus of the lesion", 110.0, 0.38, 25.0, 270.0, 0.45, log=True),
        Latent("rim_kpa", "excess stiffness within 3 mm outside the outline", 38.0, 0.60, 3.0, 160.0, 0.40, log=True),
        Latent("halo_db", "excess echogenicity of the rim outside the outline", 6.0, 2.8, 0.0, 14.0, 0.35),
        Latent("heterogeneity_db", "standard deviation of the echo level inside", 3.0, 0.42, 0.8, 9.0, 0.35, log=True),
        Latent("spiculation", "share of the largest irregularity of the outline", 0.45, 0.22, 0.0, 1.0, 0.50),
        Latent("echogenicity_db", "echo level of the lesion relative to gland", -13.0, 2.5, -20.0, -7.0, -0.20),
        Latent("posterior_db_per_cm", "echo level behind one centimetre of lesion", -4.5, 4.5, -13.0, 6.0, -0.30),
        Latent("aspect_ratio", "height over width of the lesion", 0.70, 0.13, 0.45, 1.10, 0.30),
    )
}

SLN_TERMS = {
    "size_mm": "sln_size",
    "rim_kpa": "sln_rim",
    "stiffness_kpa": "sln_stiffness",
    "halo_db": "sln_halo",
    "heterogeneity_db": "sln_heterogeneity",
}
NSLN_TERMS = {"rim_kpa": "nsln_rim", "size_mm": "nsln_size", "halo_db": "nsln_halo"}


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Log-odds ratios per standard deviation of a latent, and intercepts.

    ``sln_*`` give P(SLN positive | latents), ``nsln_*`` give P(NSLN positive | SLN positive, latents). The defaults
    make 45 % of the sentinel nodes and 40 % of the non-sentinel nodes behind them positive; the true probabilities
    then have an AUC of 0.88 and 0.85.

    Raises
    ------
    ConfigError
        If a value is not a finite number.
    """

    sln_intercept: float = -0.36
    sln_size: float = 0.85
    sln_rim: float = 1.05
    sln_stiffness: float = 0.65
    sln_halo: float = 0.75
    sln_heterogeneity: float = 0.55
    nsln_intercept: float = -2.10
    nsln_rim: float = 1.60
    nsln_size: float = 1.05
    nsln_halo: float = 0.80

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not math.isfinite(value):
                raise ConfigError(f"found coefficient {name} = {value}, expected a finite number")


DEFAULT_COEFFICIENTS = Coefficients()


@dataclass(frozen=True, slots=True)
class Streams:
    """Independent random streams for the patients of one centre, one per variable.

    Parameters
    ----------
    seed : int
        Seed of the cohort.
    centre : str
        Name of the centre.
    patients : int
        Length of every draw.
    """

    seed: int
    centre: str
    patients: int

    def uniform(self, variable: str) -> Values:
        """Uniform draws in [0, 1), shape (patients,)."""
        return np.random.default_rng(derive_seed(self.seed, "cohort", self.centre, variable)).random(self.patients)

    def normal(self, variable: str) -> Values:
        """Standard normal draws, shape (patients,)."""
        # The quantile of a uniform: one uniform per patient keeps the streams in step whatever the cohort's size.
        return np.asarray(ndtri(np.maximum(self.uniform(variable), 1e-16)))


def draw_cohort(
    centre: Centre, patients: int, seed: int, coefficients: Coefficients = DEFAULT_COEFFICIENTS
) -> pd.DataFrame:
    """The patients of one centre: latents, true probabilities, pre-operative variables and what surgery found.

    Parameters
    ----------
    centre : Centre
        Sets the share without elastography and the shift in prevalence.
    patients : int
        Number of rows.
    seed : int
        The same seed gives the same patients.
    coefficients : Coefficients
        The structural model.

    Returns
    -------
    DataFrame
        One row per patient. Latents in the units of their names; ``p_sln`` = P(SLN positive) and ``p_nsln`` =
        P(NSLN positive | SLN positive); ``sln_true`` and ``nsln_true`` hold the nodes' true state, which for
        non-sentinel nodes exists without dissection too; endpoints are nullable as in the ``cases`` table.

    Examples
    --------
    >>> from usdlr.simulate.centres import CENTRES
    >>> table = draw_cohort(CENTRES["north"], 2, seed=0)
    >>> list(table["patient_id"])
    ['north-00001', 'north-00002']
    """
    streams = Streams(seed, centre.name, patients)
    latents = _latents(streams)
    p_sln, p_nsln = true_probabilities(latents, coefficients, centre.prevalence_shift)
    sln = streams.uniform("sln") < p_sln
    nsln = sln & (streams.uniform("nsln") < p_nsln)
    clinic = _clinic(streams, latents)
    neoadjuvant = streams.uniform("neoadjuvant") < NEOADJUVANT_RATE
    axilla = observe_axilla(
        sln,
        nsln,
        neoadjuvant=neoadjuvant,
        clinically_positive=clinic["cn_stage"].eq("cN1").to_numpy(),
        uniform=streams.uniform,
    )
    quadrant = np.searchsorted(np.cumsum(list(QUADRANTS.values()))[:-1], streams.uniform("location"))
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "centre_id": centre.name,
                    "patient_id": [f"{centre.name}-{number:05d}" for number in range(1, patients + 1)],
                    "side": np.where(streams.uniform("side") < 0.51, "left", "right"),
                    "location": np.array(list(QUADRANTS))[quadrant],
                    "view": np.where(streams.uniform("view") < 0.5, "radial", "antiradial"),
                    "has_elasto": streams.uniform("elasto") >= centre.elasto_missing_rate,
                    "neoadjuvant": neoadjuvant,
                }
            ),
            latents,
            pd.DataFrame({"p_sln": p_sln, "p_nsln": p_nsln, "sln_true": sln, "nsln_true": nsln}),
            clinic,
            axilla,
        ],
        axis=1,
    )


def true_probabilities(
    latents: pd.DataFrame, coefficients: Coefficients = DEFAULT_COEFFICIENTS, shift: float = 0.0
) -> tuple[Values, Values]:
    """P(SLN positive | latents) and P(NSLN positive | SLN positive, latents), each of shape (patients,).

    Parameters
    ----------
    latents : DataFrame
        One column per entry of :data:`LATENTS`, in physical units.
    coefficients : Coefficients
        The structural model.
    shift : float
        Added to the log-odds of a positive sentinel node.

    Examples
    --------
    >>> middle = pd.DataFrame({name: [latent.middle] for name, latent in LATENTS.items()})
    >>> p_sln, p_nsln = true_probabilities(middle, Coefficients(sln_intercept=0.0, nsln_intercept=0.0))
    >>> float(p_sln[0]), float(p_nsln[0])
    (0.5, 0.5)
    """

    def log_odds(intercept: float, terms: dict[str, str]) -> Values:
        total = np.full(len(latents), intercept)
        for latent, coefficient in terms.items():
            total += getattr(coefficients, coefficient) * LATENTS[latent].standardised(latents[latent].to_numpy())
        return total

    return (
        expit(log_odds(coefficients.sln_intercept + shift, SLN_TERMS)),
        expit(log_odds(coefficients.nsln_intercept, NSLN_TERMS)),
    )


def _latents(streams: Streams) -> pd.DataFrame:
    aggressiveness = streams.normal("aggressiveness")
    table = {"aggressiveness": aggressiveness}
    for name, latent in LATENTS.items():
        own = streams.normal(name)
        table[name] = latent.value(latent.loading * aggressiveness + math.sqrt(1 - latent.loading**2) * own)
    return pd.DataFrame(table)


def _clinic(streams: Streams, latents: pd.DataFrame) -> pd.DataFrame:
    """What is known before surgery besides the images; depends on the latents alone."""
    aggressiveness = latents["aggressiveness"].to_numpy()
    suspicion = (
        1.2 * (latents["spiculation"].to_numpy() - 0.45) / 0.22 + 0.8 * aggressiveness + 0.7 * streams.normal("birads")
    )
    grade = 0.75 * aggressiveness + 0.66 * streams.normal("grade")
    enlarged = expit(-2.6 + 1.0 * aggressiveness + 0.5 * LATENTS["size_mm"].standardised(latents["size_mm"].to_numpy()))
    return pd.DataFrame(
        {
            "age_years": np.round(np.clip(56 + 12 * streams.normal("age"), 25, 90)),
            "birads": np.array(["4a", "4b", "4c", "5"])[np.searchsorted([-2.0, -0.6, 0.9], suspicion)],
            "cn_stage": np.where(streams.uniform("cn_stage") < enlarged, "cN1", "cN0"),
            "days_us_to_surgery": np.round(np.clip(14 * np.exp(0.6 * streams.normal("days")), 1, 90)),
            "grade_core_biopsy": pd.array(1 + np.searchsorted([-0.9, 0.6], grade), dtype="Int64"),
        }
    )
