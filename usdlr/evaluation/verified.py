"""The NSLN false-negative rate of a study, and what the axillae that nobody dissected may do to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from usdlr.core.errors import DataError
from usdlr.decision.arrays import FloatArray
from usdlr.decision.verification import Verification, verification
from usdlr.evaluation.alignment import AXILLA, by_axilla, label_table, same_axillae
from usdlr.evaluation.cascade import MISSED_NSLN
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.resampling import REPLICATES

PROBABILITIES = ("p_sln", "p_nsln")
BEFORE_SURGERY = ("tumour_size_mm", "age_years")
_EDGE = 1e-6  # probabilities of exactly 0 or 1 have no log-odds


def verified_nsln(
    decisions: pd.DataFrame,
    labels: pd.DataFrame,
    axillae: pd.DataFrame,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Any]:
    """How far selective dissection may bend ``fnr_nsln``, for the path ``cascade.verification`` of ``metrics.json``.

    Counted are the SLN-positive test axillae. Their chance of a known NSLN status is a logistic regression on the
    log-odds of both probabilities and on tumour size and age, as far as these are known for all of them: what is known
    for some would tell who was examined with care, and is left out and named. A deferred axilla is not missed.

    Parameters
    ----------
    decisions : DataFrame
        The ``decisions`` table.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown.
    axillae : DataFrame
        ``patient_id side`` and, where known, ``tumour_size_mm age_years``; other axillae in it are ignored.
    replicates, seed : int
        Of the bootstrap over patients.

    Returns
    -------
    dict
        The fields of :class:`usdlr.decision.verification.Verification`, from which :func:`read_verified` restores it,
        and ``fnr_nsln`` (the weighted rate as an estimate; ``n`` counts verified NSLN positives, ``events`` those
        missed), ``covariates`` (what was used) and ``left_out`` (by name, for how many axillae it is not known).

    Raises
    ------
    InputError
        If decisions and labels do not hold the same axillae once each.
    DataError
        If a size or an age is no number.
    """
    decided, truth = by_axilla(decisions, ("risk_group", *PROBABILITIES), "decisions"), label_table(labels)
    same_axillae(decided, truth, "decisions", "labels")
    positive = (truth["sln"] == 1).to_numpy()
    rows = decided[positive]
    columns: dict[str, FloatArray] = {
        name: np.asarray(logit(np.clip(rows[name].to_numpy(dtype=np.float64), _EDGE, 1 - _EDGE)), dtype=np.float64)
        for name in PROBABILITIES
    }
    left_out: dict[str, int] = {}
    for name in BEFORE_SURGERY:
        values = _known_before(axillae, name, rows.index)
        unknown = int(np.isnan(values).sum())
        if unknown:
            left_out[name] = unknown
        else:
            columns[name] = values
    found = verification(
        rows["risk_group"].isin(MISSED_NSLN).to_numpy(),
        truth.loc[positive, "nsln"],
        np.column_stack(list(columns.values())),
        [str(patient) for patient in rows.index.get_level_values("patient_id")],
        replicates=replicates,
        seed=seed,
    )
    return {
        **found.to_dict(),
        "fnr_nsln": _estimate(found).as_dict(),
        "covariates": list(columns),
        "left_out": left_out,
    }


def read_verified(plain: Mapping[str, Any]) -> Verification:
    """The result behind what :func:`verified_nsln` gave.

    Raises
    ------
    InputError
        If a value is missing.
    """
    return Verification.from_dict(plain)


def _known_before(axillae: pd.DataFrame, name: str, index: pd.MultiIndex | pd.Index) -> FloatArray:
    """One value per axilla of the index; NaN where the column, the row or the value is missing."""
    if name not in axillae.columns or not set(AXILLA) <= set(axillae.columns):
        return np.full(len(index), np.nan)
    values = by_axilla(axillae, (name,), "table of axillae")[name].reindex(index)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if not (np.isfinite(numbers) | values.isna().to_numpy()).all():
        raise DataError(f"found a {name} that is no finite number among the axillae, expected numbers; correct it")
    return numbers


def _estimate(found: Verification) -> Estimate:
    if found.weighted is None:
        return undefined(found.positives, "no SLN-positive axilla is verified to be NSLN-positive")
    return Estimate(found.weighted, found.low, found.high, found.positives, found.method, found.misses)
