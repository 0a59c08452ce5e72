"""One size per axilla: that of its largest lesion."""

from __future__ import annotations

import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.types import Site


def largest_per_axilla(cases: pd.DataFrame) -> pd.DataFrame:
    """Give every row its axilla's largest size.

    Rows that show a lymph node say nothing about the tumour's size, unless no other row of the axilla does.

    Parameters
    ----------
    cases : DataFrame
        With ``patient_id side site tumour_size_mm``; changed in place.

    Returns
    -------
    DataFrame
        The same.
    """
    stated = pd.to_numeric(cases["tumour_size_mm"])
    axilla = [cases[name] for name in AXILLA_KEY]
    of_tumours = stated.where(cases["site"] == str(Site.TUMOUR)).groupby(axilla).transform("max")
    cases["tumour_size_mm"] = of_tumours.fillna(stated.groupby(axilla).transform("max"))
    return cases
