"""The value by which every axilla is put into a stratum."""

from __future__ import annotations

import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.decision.settings import CENTRE, TUMOUR_SIZE
from usdlr.decision.strata import StratumRule


def axilla_strata(cases: pd.DataFrame, axillae: pd.DataFrame, rule: StratumRule) -> list[str | None]:
    """Stratum of every axilla; ``None`` where the value is unknown.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table. An axilla's size is that of its largest lesion whose size is known; it has elastography if
        any of its image sets has.
    axillae : DataFrame
        ``patient_id side`` of the axillae.
    rule : StratumRule
        How they are told apart.
    """
    if rule.by == CENTRE:
        column = cases["centre_id"].astype(object)
        value = column.groupby([cases[name] for name in AXILLA_KEY]).first()
    elif rule.by == TUMOUR_SIZE:
        column = pd.to_numeric(cases["tumour_size_mm"]).astype("Float64")
        value = column.groupby([cases[name] for name in AXILLA_KEY]).max()
    else:
        value = cases["elasto_path"].notna().groupby([cases[name] for name in AXILLA_KEY]).any()
    keys = pd.MultiIndex.from_frame(axillae[AXILLA_KEY])
    return rule.labels(value.astype(object).reindex(keys))
