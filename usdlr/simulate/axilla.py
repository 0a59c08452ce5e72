"""What surgery and the pathologist find in an axilla whose true state is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from scipy.stats import binom, geom, poisson

from usdlr.core.errors import ConfigError
from usdlr.simulate.checks import require_numbers

MOST_NODES = 60  # nobody has more in an axilla

Flags = npt.NDArray[np.bool_]
Uniform = Callable[[str], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class AxillaModel:
    """Surgery and pathology in an axilla.

    Parameters
    ----------
    extra_sentinel_nodes : float
        Mean number of sentinel nodes beyond the first; two to three are removed in practice (assumption).
    further_sentinel_rate : tuple of float
        Share of the further sentinel nodes involved, without and with positive non-sentinel nodes.
    itc_rate : float
        Share of isolated tumour cells among negative sentinel nodes.
    micro_rate : tuple of float
        Share of micrometastases among positive sentinel nodes, without and with positive non-sentinel nodes.
    planned_dissection : tuple of float
        Share dissected without regard to the sentinel nodes, at cN0 and at cN1.
    dissection_log_odds : tuple of float
        Of completion dissection after a positive sentinel node: with one positive node, and per further node.
    non_sentinel_nodes : float
        Mean number of nodes that a dissection removes beyond the first three.
    burden_rate : float
        Of the geometric distribution of the number of positive non-sentinel nodes: its mean is the inverse.

    Raises
    ------
    ConfigError
        If a share is not between 0 and 1, or a mean not a possible number of nodes.
    """

    extra_sentinel_nodes: float = 1.6
    further_sentinel_rate: tuple[float, float] = (0.12, 0.42)
    itc_rate: float = 0.05
    micro_rate: tuple[float, float] = (0.30, 0.10)
    planned_dissection: tuple[float, float] = (0.02, 0.40)
    dissection_log_odds: tuple[float, float] = (1.35, 1.6)
    non_sentinel_nodes: float = 11.0
    burden_rate: float = 0.4

    def __post_init__(self) -> None:
        for name in ("further_sentinel_rate", "micro_rate", "planned_dissection", "dissection_log_odds"):
            require_numbers(name, getattr(self, name), 2)
        for name in ("extra_sentinel_nodes", "itc_rate", "non_sentinel_nodes", "burden_rate"):
            require_numbers(name, getattr(self, name))
        for name in ("extra_sentinel_nodes", "non_sentinel_nodes"):
            if not 0 <= getattr(self, name) <= MOST_NODES:
                raise ConfigError(f"found {name} = {getattr(self, name)}, expected a mean from 0 to {MOST_NODES}")
        pairs = (*self.further_sentinel_rate, *self.micro_rate, *self.planned_dissection)
        shares = (*pairs, self.itc_rate, self.burden_rate)
        if not all(0 <= share <= 1 for share in shares) or self.burden_rate == 0:
            raise ConfigError(
                f"found a model of the axilla with {asdict(self)}, expected shares between 0 and 1 and a burden_rate "
                "above 0; correct the scenario"
            )

    @classmethod
    def without_clinical_choice(cls) -> AxillaModel:
        """One in which clinical stage, and with it the images, tells nothing about who is dissected."""
        return cls(planned_dissection=(0.06, 0.06))


def observe_axilla(
    model: AxillaModel,
    sln: Flags,
    nsln: Flags,
    *,
    neoadjuvant: Flags,
    clinically_positive: Flags,
    uniform: Uniform,
) -> pd.DataFrame:
    """The endpoint columns of the ``cases`` table.

    Some 85 % of the axillae with a positive sentinel node are dissected. Who is dissected depends on the number of
    positive sentinel nodes, and that on the non-sentinel nodes: ``nsln_positive`` is missing **not at random**. It is
    null where a positive axilla was not dissected (``positive_nodes`` is then a lower bound) and false, by
    structure, where the sentinel nodes are negative. Isolated tumour cells count as negative. After neoadjuvant
    treatment every endpoint of the nodes is null.

    Parameters
    ----------
    model : AxillaModel
        Rates of surgery and pathology.
    sln, nsln : ndarray of bool, shape (patients,)
        True state of the sentinel and non-sentinel nodes; ``nsln`` implies ``sln``.
    neoadjuvant : ndarray of bool, shape (patients,)
        Systemic treatment before surgery.
    clinically_positive : ndarray of bool, shape (patients,)
        Suspicious nodes before surgery; makes a planned dissection likelier.
    uniform : callable
        Gives uniform draws of shape (patients,) for the name of a variable.

    Returns
    -------
    DataFrame
        One row per patient, nullable dtypes.
    """
    involved = nsln.astype(int)
    sln_removed = 1 + np.minimum(poisson.ppf(uniform("sln_removed"), model.extra_sentinel_nodes), 6).astype(int)
    further = binom.ppf(uniform("sln_count"), sln_removed - 1, np.take(model.further_sentinel_rate, involved))
    sln_count = np.where(sln, 1 + further, 0).astype(int)

    planned = uniform("planned") < np.take(model.planned_dissection, clinically_positive.astype(int))
    one, per_node = model.dissection_log_odds
    completion = sln & (uniform("dissection") < expit(one + per_node * (sln_count - 1)))
    dissected = planned | completion

    beyond = np.where(dissected, 3 + poisson.ppf(uniform("nodes_removed"), model.non_sentinel_nodes), 0).astype(int)
    burden = geom.ppf(np.maximum(uniform("burden"), 1e-12), model.burden_rate).astype(int)
    beyond_positive = np.where(dissected & nsln, np.minimum(burden, beyond), 0)

    draw = uniform("deposit")
    deposit = np.where(
        sln,
        np.where(draw < np.take(model.micro_rate, involved), "micro", "macro"),
        np.where(draw < model.itc_rate, "itc", "none"),
    )
    table = pd.DataFrame(
        {
            "sln_positive": pd.array(sln, dtype="boolean"),
            "nsln_positive": pd.array(nsln, dtype="boolean"),
            "positive_nodes": pd.array(sln_count + beyond_positive, dtype="Int64"),
            "removed_nodes": pd.array(sln_removed + beyond, dtype="Int64"),
            "sln_positive_count": pd.array(sln_count, dtype="Int64"),
            "sln_removed_count": pd.array(sln_removed, dtype="Int64"),
            "sln_reference": pd.array(np.where(planned, "alnd", "slnb"), dtype="str"),
            "sln_deposit": pd.array(deposit, dtype="str"),
            "axillary_surgery": pd.array(np.where(dissected, "alnd", "slnb"), dtype="str"),
        }
    )
    table.loc[sln & ~dissected, "nsln_positive"] = pd.NA
    table.loc[neoadjuvant, :] = pd.NA
    return table
