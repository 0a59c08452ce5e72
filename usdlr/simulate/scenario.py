"""A scenario: from the latents of a tumour to the true probabilities of nodal disease, with all its coefficients.

The log-odds of a positive sentinel node, and of a positive non-sentinel node given a positive sentinel node, are
linear in the standardised latents of the largest lesion, in those of a lymph node where a scenario images nodes, and in
products of two of them. What the images and the pre-operative variables show depends on the latents alone, never on the
nodes, so that the true probabilities are the ceiling of every predictor.

References
----------
.. [1] Node-positive by ultrasound series: 132 of 332 (Yang et al. 2024), 59 of 153 (Lee et al. 2021,
   https://doi.org/10.1016/j.compbiomed.2020.104206); by biopsy series of cT1-2 cN0: 1,425 of 4,806
   (https://doi.org/10.1016/S1470-2045(14)70460-7), 23 % of 417 (PMC5584843).
.. [2] The sentinel node is the only involved one in 40 to 70 % of dissected patients (PMC4809847).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from usdlr.core.errors import ConfigError
from usdlr.simulate.axilla import AxillaModel
from usdlr.simulate.checks import LARGEST, require_numbers
from usdlr.simulate.latents import EVERY_LATENT, NODE_LATENTS, Values
from usdlr.simulate.nodes import NodeModel
from usdlr.simulate.survival import SurvivalModel

TIMES = "*"


@dataclass(frozen=True, slots=True)
class Logit:
    """Log-odds that are linear in terms.

    Parameters
    ----------
    intercept : float
        Log-odds of a patient whose latents are all at their medians.
    terms : mapping of str to float
        Log-odds ratio per standard deviation. A key is the name of a latent, or two names joined by ``*`` for the
        product of their standardised values.

    Raises
    ------
    ConfigError
        If a term names no latent, or a value is not a finite number.

    Examples
    --------
    >>> logit = Logit(-1.0, {"size_mm": 0.5, "echogenicity_db*stiffness_kpa": 2.0})
    >>> logit.latents
    ('size_mm', 'echogenicity_db', 'stiffness_kpa')
    """

    intercept: float
    terms: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.terms, Mapping):
            raise ConfigError(f"found terms = {self.terms!r}, expected latents with their coefficients")
        for name, value in {"intercept": self.intercept, **self.terms}.items():
            require_numbers(f"coefficient {name}", value, largest=LARGEST)
        for term in self.terms:
            factors = str(term).split(TIMES)
            unknown = [name for name in factors if name not in EVERY_LATENT]
            if unknown or len(factors) > 2:
                raise ConfigError(
                    f"found the term {term!r}, expected a latent or the product of two, of: {', '.join(EVERY_LATENT)}"
                )

    @property
    def latents(self) -> tuple[str, ...]:
        """The latents that the log-odds depend on, each once."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.split(TIMES)))

    def design(self, latents: pd.DataFrame) -> pd.DataFrame:
        """One column per term: the standardised latent, or the product of two.

        Parameters
        ----------
        latents : DataFrame
            At least the columns of :attr:`latents`, in physical units.
        """
        scores = {name: EVERY_LATENT[name].standardised(latents[name].to_numpy(dtype=float)) for name in self.latents}
        return pd.DataFrame(
            {term: np.prod([scores[name] for name in term.split(TIMES)], axis=0) for term in self.terms},
            index=latents.index,
        )

    def probability(self, latents: pd.DataFrame, shift: float = 0.0) -> Values:
        """True probability of each row, shape (rows,); ``shift`` is added to the log-odds.

        Examples
        --------
        >>> middle = pd.DataFrame({name: [latent.middle] for name, latent in EVERY_LATENT.items()})
        >>> Logit(0.0, {"rim_kpa": 2.0}).probability(middle).tolist()
        [0.5]
        """
        total = np.full(len(latents), self.intercept + shift)
        for term, column in self.design(latents).items():
            total += self.terms[str(term)] * column.to_numpy()
        return np.asarray(expit(total))


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that decides the nodes of a cohort.

    Parameters
    ----------
    name : str
        What ``--scenario`` says.
    meaning : str
        One sentence.
    sln : Logit
        P(SLN positive | latents).
    nsln : Logit
        P(NSLN positive | SLN positive, latents).
    loading_scale : float
        Factor on every correlation with aggressiveness, and on that of clinical stage with size, from 0 (the latents
        are independent of each other, of grade and of clinical stage) to 1.
    centre_effect : float
        Factor on the centres' shift in prevalence and on their case mix; 0: the centre tells nothing about the nodes.
    axilla : AxillaModel
        What surgery and the pathologist find, and who is dissected.
    survival : SurvivalModel
        Disease-free survival.
    nodes : NodeModel
        Who has an image of a lymph node; nobody by default.

    Raises
    ------
    ConfigError
        If a factor is outside its range, or the log-odds depend on nodes that nobody images.
    """

    name: str
    meaning: str
    sln: Logit
    nsln: Logit
    loading_scale: float = 1.0
    centre_effect: float = 1.0
    axilla: AxillaModel = field(default_factory=AxillaModel)
    survival: SurvivalModel = field(default_factory=SurvivalModel)
    nodes: NodeModel = field(default_factory=NodeModel)

    def __post_init__(self) -> None:
        for name, words in (("name", self.name), ("meaning", self.meaning)):
            if not isinstance(words, str) or not words.strip():
                raise ConfigError(f"found {name} = {words!r}, expected words")
        for name, value, high in (
            ("loading_scale", self.loading_scale, 1.0),
            ("centre_effect", self.centre_effect, 10.0),
        ):
            require_numbers(name, value)
            if not 0 <= value <= high:
                raise ConfigError(f"found {name} = {value}, expected a number from 0 to {high:g}")
        unseen = [name for name in (*self.sln.latents, *self.nsln.latents) if name in NODE_LATENTS]
        if unseen and not self.nodes.imaged:
            raise ConfigError(
                f"found a term of {unseen[0]} with nodes.imaged_rate = 0, expected nodes that are imaged; set "
                "nodes.imaged_rate, e.g. 0.9, or leave the term out"
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as a scenario file states it."""
        plain: dict[str, Any] = asdict(self)
        return plain


_SLN = {
    "size_mm": 0.85,
    "rim_kpa": 1.05,
    "stiffness_kpa": 0.65,
    "halo_db": 0.75,
    "heterogeneity_db": 0.55,
}
_NSLN = {"rim_kpa": 1.60, "size_mm": 1.05, "halo_db": 0.80}
# The intercepts make 40 % of the sentinel nodes positive over the centres north and south, and 40 % of the
# non-sentinel nodes behind them; in ``rare`` 8 %.
_DEFAULT = Scenario(
    name="default",
    meaning="both stages depend on lesion and rim, B-mode and stiffness, and size",
    sln=Logit(-0.716, _SLN),
    nsln=Logit(-2.247, _NSLN),
)


def _only(name: str, meaning: str, terms: dict[str, float], intercepts: tuple[float, float]) -> Scenario:
    """A scenario in which nothing but the named terms tells anything: no common factor, no centre effect."""
    return Scenario(
        name,
        meaning,
        Logit(intercepts[0], terms),
        Logit(intercepts[1], terms),
        loading_scale=0.0,
        centre_effect=0.0,
        axilla=AxillaModel.without_clinical_choice(),
    )


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _DEFAULT,
        _only(
            "no_signal",
            "the nodes are independent of everything: every model must have an AUC of 0.5",
            {},
            (-0.405, -0.405),
        ),
        _only("size_only", "both stages depend on tumour size alone", {"size_mm": 2.0}, (-0.670, -2.028)),
        _only(
            "peritumoral_only",
            "both stages depend on the rim around the lesion alone, its echo and its stiffness",
            {"halo_db": 1.4, "rim_kpa": 1.4},
            (-0.663, -1.994),
        ),
        _only(
            "elastography_only",
            "both stages depend on stiffness alone, of the lesion and of its rim",
            {"stiffness_kpa": 1.4, "rim_kpa": 1.4},
            (-0.660, -1.982),
        ),
        _only(
            "interaction",
            "both stages depend on the product of the lesion's echo level and stiffness; neither tells by itself",
            {"echogenicity_db*stiffness_kpa": 2.0},
            (-0.562, -1.525),
        ),
        Scenario(
            "rare",
            "as default, but 8 % of the axillae with a positive sentinel node have a positive non-sentinel node",
            _DEFAULT.sln,
            Logit(-5.229, _NSLN),
        ),
    )
}
