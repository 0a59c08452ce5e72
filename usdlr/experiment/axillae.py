"""What is known of every axilla beside the answer to the question: who is compared, and what is described."""

from __future__ import annotations

import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.types import ElastographyState
from usdlr.inference.sites import is_tumour

# One value per axilla; where its image sets state several, the first one counts.
FIRST = (
    "centre_id",
    "vendor",
    "device",
    "age_years",
    "birads",
    "cn_stage",
    "neoadjuvant",
    "sln_reference",
    "sln_deposit",
    "axillary_surgery",
    "sln_positive_count",
    "sln_removed_count",
    "positive_nodes",
    "removed_nodes",
    "dfs_months",
    "dfs_event",
)
# The largest of an axilla's image sets counts.
LARGEST = ("tumour_size_mm", "days_us_to_surgery")
ELASTOGRAPHY = "elastography"


def axilla_table(cases: pd.DataFrame) -> pd.DataFrame:
    """One row per axilla that describes it, from the image sets of its tumour.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.

    Returns
    -------
    DataFrame
        ``patient_id side``, the columns :data:`FIRST` and :data:`LARGEST`, ``images`` (image sets of the axilla) and
        ``elastography`` (whether stiffness was measured in any of them), in the order of ``cases``.

    Examples
    --------
    >>> image = {"patient_id": "a", "side": "left", "site": "tumour", "tumour_size_mm": 14.0}
    >>> rows = [image | {"elasto_state": "missing"}, image | {"tumour_size_mm": 21.0, "elasto_state": "measured"}]
    >>> axilla_table(pd.DataFrame(rows))[["tumour_size_mm", "images", "elastography"]].to_dict("records")
    [{'tumour_size_mm': 21.0, 'images': 2, 'elastography': True}]
    """
    rows = cases[is_tumour(cases)].reset_index(drop=True)
    groups = rows.groupby(AXILLA_KEY, sort=False, dropna=False)
    size = groups.size()
    out = size.index.to_frame(index=False)
    for name in FIRST:
        if name in rows:
            out[name] = groups[name].first().to_numpy()
    for name in LARGEST:
        if name in rows:
            out[name] = groups[name].max().to_numpy()
    out["images"] = size.to_numpy()
    measured = rows["elasto_state"] == str(ElastographyState.MEASURED)
    out[ELASTOGRAPHY] = measured.groupby([rows[name] for name in AXILLA_KEY], sort=False).any().to_numpy(dtype=bool)
    return out
