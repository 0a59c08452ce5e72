"""The patients of one centre: latents, true probabilities, what the clinic knew, what surgery found.

Each variable has a random stream of its own, seeded by (seed, centre, variable): a larger cohort begins with the
patients of the smaller one, and another scenario of the same ``loading_scale`` has the same tumours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, ndtri

from usdlr.core.hashing import derive_seed
from usdlr.simulate.axilla import observe_axilla
from usdlr.simulate.centres import Centre
from usdlr.simulate.latents import LATENTS, NODE_LATENTS, Latent, Values
from usdlr.simulate.scenario import SCENARIOS, Scenario

NEOADJUVANT_RATE = 0.02
LEFT_RATE = 0.51
QUADRANTS = {"upper outer": 0.50, "upper inner": 0.15, "lower outer": 0.13, "lower inner": 0.08, "central": 0.14}
STUDY_DAYS = 1095  # examinations are spread over three years
SECOND_LESION = (0.35, 0.80)  # size of a second lesion as a share of the first
SMALLEST_MM = 4.0


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


def draw_cohort(centre: Centre, patients: int, seed: int, scenario: Scenario = SCENARIOS["default"]) -> pd.DataFrame:
    """The patients of one centre: latents, true probabilities, pre-operative variables and what surgery found.

    Parameters
    ----------
    centre : Centre
        Sets the case mix, the shift in prevalence and how often there is elastography, a second view or lesion.
    patients : int
        Number of rows.
    seed : int
        The same seed gives the same patients.
    scenario : Scenario
        The structural model behind the nodes.

    Returns
    -------
    DataFrame
        One row per patient. Latents of the largest lesion in the units of their names; ``p_sln`` = P(SLN positive) and
        ``p_nsln`` = P(NSLN positive | SLN positive); ``sln_true`` and ``nsln_true`` hold the nodes' true state, which
        for non-sentinel nodes exists without dissection too; endpoints are nullable as in the ``cases`` table. Where
        the scenario images lymph nodes, a node's latents, ``has_node_image`` and ``has_second_node_view`` come last.

    Examples
    --------
    >>> from usdlr.simulate.centres import CENTRES
    >>> table = draw_cohort(CENTRES["north"], 2, seed=0)
    >>> list(table["patient_id"])
    ['simulated-north-00001', 'simulated-north-00002']
    """
    streams = Streams(seed, centre.name, patients)
    case_mix = {name: scenario.centre_effect * shift for name, shift in centre.case_mix.items()}
    latents = _latents(streams, scenario.loading_scale, case_mix)
    nodes = _nodes(streams, scenario, latents["aggressiveness"].to_numpy())
    known = pd.concat([latents, nodes], axis=1)
    p_sln = scenario.sln.probability(known, scenario.centre_effect * centre.prevalence_shift)
    p_nsln = scenario.nsln.probability(known)
    sln = streams.uniform("sln") < p_sln
    nsln = sln & (streams.uniform("nsln") < p_nsln)
    clinic = _clinic(streams, latents, scenario.loading_scale)
    neoadjuvant = streams.uniform("neoadjuvant") < NEOADJUVANT_RATE
    axilla = observe_axilla(
        scenario.axilla,
        sln,
        nsln,
        neoadjuvant=neoadjuvant,
        clinically_positive=clinic["cn_stage"].eq("cN1").to_numpy(),
        uniform=streams.uniform,
    )
    size_score = LATENTS["size_mm"].standardised(latents["size_mm"].to_numpy())
    hazard = scenario.survival.log_hazard(sln, nsln, size_score, latents["aggressiveness"].to_numpy())
    quadrant = np.searchsorted(np.cumsum(list(QUADRANTS.values()))[:-1], streams.uniform("location"))
    has_elasto = streams.uniform("elasto") >= centre.elastography.missing_rate
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "centre_id": centre.centre_id,
                    "patient_id": [f"{centre.centre_id}-{number:05d}" for number in range(1, patients + 1)],
                    "side": np.where(streams.uniform("side") < LEFT_RATE, "left", "right"),
                    "location": np.array(list(QUADRANTS))[quadrant],
                    "view": np.where(streams.uniform("view") < 0.5, "radial", "antiradial"),
                    "exam_day": np.floor(streams.uniform("exam_day") * STUDY_DAYS).astype(int),
                    "has_elasto": has_elasto,
                    "is_strain": has_elasto & (streams.uniform("strain") < centre.elastography.strain_rate),
                    "has_second_view": streams.uniform("second_view") < centre.second_view_rate,
                    "has_second_lesion": streams.uniform("second_lesion") < centre.second_lesion_rate,
                    "has_second_reader": streams.uniform("second_reader") < centre.second_reader_rate,
                    "neoadjuvant": neoadjuvant,
                }
            ),
            latents,
            pd.DataFrame({"p_sln": p_sln, "p_nsln": p_nsln, "sln_true": sln, "nsln_true": nsln}),
            clinic,
            axilla,
            scenario.survival.observe(hazard, streams.uniform),
            nodes,
        ],
        axis=1,
    )


def draw_second_lesions(
    centre: Centre, patients: pd.DataFrame, seed: int, scenario: Scenario = SCENARIOS["default"]
) -> pd.DataFrame:
    """Latents of a second, smaller lesion for every patient, which tells nothing about the nodes.

    Parameters
    ----------
    centre : Centre
        Of the patients.
    patients : DataFrame
        From :func:`draw_cohort`; whether a patient has a second lesion is said there.
    seed : int
        Seed of the cohort.
    scenario : Scenario
        Sets how far the latents follow aggressiveness.

    Returns
    -------
    DataFrame
        The columns of :data:`usdlr.simulate.latents.LATENTS`, index of ``patients``.
    """
    streams = Streams(seed, f"{centre.name}, second lesion", len(patients))
    latents = _latents(streams, scenario.loading_scale, {}, patients["aggressiveness"].to_numpy())
    low, high = SECOND_LESION
    share = low + (high - low) * streams.uniform("size share")
    size = np.maximum(patients["size_mm"].to_numpy() * share, SMALLEST_MM)
    return latents[list(LATENTS)].assign(size_mm=size).set_index(patients.index)


def _nodes(streams: Streams, scenario: Scenario, aggressiveness: Values) -> pd.DataFrame:
    """A lymph node's latents and who has images of it; without a column where the scenario images none."""
    if not scenario.nodes.imaged:
        return pd.DataFrame(index=range(streams.patients))
    latents = _latents(streams, scenario.loading_scale, {}, aggressiveness, NODE_LATENTS)[list(NODE_LATENTS)]
    imaged = streams.uniform("node image") < scenario.nodes.imaged_rate
    twice = imaged & (streams.uniform("second node view") < scenario.nodes.second_view_rate)
    return latents.assign(has_node_image=imaged, has_second_node_view=twice)


def _latents(
    streams: Streams,
    loading_scale: float,
    case_mix: Mapping[str, float],
    aggressiveness: Values | None = None,
    names: Mapping[str, Latent] = LATENTS,
) -> pd.DataFrame:
    factor = streams.normal("aggressiveness") if aggressiveness is None else aggressiveness
    table = {"aggressiveness": factor}
    for name, latent in names.items():
        loading = loading_scale * latent.loading
        own = streams.normal(name)
        table[name] = latent.value(loading * factor + math.sqrt(1 - loading**2) * own + case_mix.get(name, 0.0))
    return pd.DataFrame(table)


def _clinic(streams: Streams, latents: pd.DataFrame, loading_scale: float) -> pd.DataFrame:
    """What is known before surgery besides the images; depends on aggressiveness and the latents alone."""
    aggressiveness = latents["aggressiveness"].to_numpy()
    suspicion = (
        1.2 * LATENTS["spiculation"].standardised(latents["spiculation"].to_numpy())
        + 0.8 * aggressiveness
        + 0.7 * streams.normal("birads")
    )
    grade = 0.75 * aggressiveness + 0.66 * streams.normal("grade")
    size = loading_scale * LATENTS["size_mm"].standardised(latents["size_mm"].to_numpy())
    enlarged = expit(-2.6 + 1.0 * aggressiveness + 0.5 * size)
    return pd.DataFrame(
        {
            "age_years": np.round(np.clip(56 + 12 * streams.normal("age"), 25, 90)),
            "birads": np.array(["4a", "4b", "4c", "5"])[np.searchsorted([-2.0, -0.6, 0.9], suspicion)],
            "cn_stage": np.where(streams.uniform("cn_stage") < enlarged, "cN1", "cN0"),
            "days_us_to_surgery": np.round(np.clip(14 * np.exp(0.6 * streams.normal("days")), 1, 90)),
            "grade_core_biopsy": pd.array(1 + np.searchsorted([-0.9, 0.6], grade), dtype="Int64"),
        }
    )
