"""What surgery and the pathologist find in an axilla whose true state is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from scipy.stats import binom, geom, poisson

Flags = npt.NDArray[np.bool_]
Uniform = Callable[[str], npt.NDArray[np.float64]]

EXTRA_SENTINEL_NODES = 1.6  # mean number of sentinel nodes beyond the first
FURTHER_SENTINEL_RATE = (0.12, 0.42)  # share of the further sentinel nodes involved: NSLN negative, NSLN positive
ITC_RATE = 0.05  # isolated tumour cells among negative sentinel nodes
MICRO_RATE = (0.30, 0.10)  # micrometastasis among positive ones: NSLN negative, NSLN positive
PLANNED_DISSECTION = (0.02, 0.40)  # dissection decided before the sentinel nodes are known: cN0, cN1
DISSECTION_LOG_ODDS = (1.35, 1.6)  # after a positive sentinel biopsy: with one positive node, per further node
NON_SENTINEL_NODES = 11.0  # mean number removed by dissection beyond the first three


def observe_axilla(
    sln: Flags, nsln: Flags, *, neoadjuvant: Flags, clinically_positive: Flags, uniform: Uniform
) -> pd.DataFrame:
    """The endpoint columns of the ``cases`` table.

    Some 85 % of the axillae with a positive sentinel node are dissected. Who is dissected depends on the number of
    positive sentinel nodes, and that on the non-sentinel nodes: ``nsln_positive`` is missing **not at random**. It is
    null where a positive axilla was not dissected (``positive_nodes`` is then a lower bound) and false, by
    structure, where the sentinel nodes are negative. Isolated tumour cells count as negative. After neoadjuvant
    treatment every endpoint is null.

    Parameters
    ----------
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
    sln_removed = 1 + np.minimum(poisson.ppf(uniform("sln_removed"), EXTRA_SENTINEL_NODES), 6).astype(int)
    further = binom.ppf(uniform("sln_count"), sln_removed - 1, np.take(FURTHER_SENTINEL_RATE, involved))
    sln_count = np.where(sln, 1 + further, 0).astype(int)

    planned = uniform("planned") < np.take(PLANNED_DISSECTION, clinically_positive.astype(int))
    one, per_node = DISSECTION_LOG_ODDS
    completion = sln & (uniform("dissection") < expit(one + per_node * (sln_count - 1)))
    dissected = planned | completion

    beyond = np.where(dissected, 3 + poisson.ppf(uniform("nodes_removed"), NON_SENTINEL_NODES), 0).astype(int)
    burden = geom.ppf(np.maximum(uniform("burden"), 1e-12), 0.4).astype(int)
    beyond_positive = np.where(dissected & nsln, np.minimum(burden, beyond), 0)

    draw = uniform("deposit")
    deposit = np.where(
        sln, np.where(draw < np.take(MICRO_RATE, involved), "micro", "macro"), np.where(draw < ITC_RATE, "itc", "none")
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
