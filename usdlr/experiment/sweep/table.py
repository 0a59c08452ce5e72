"""The table of a sweep: every point with its settings, what became of it, and what its run came to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from usdlr.core.types import Stage
from usdlr.evaluation.intervals import LEVEL
from usdlr.experiment.runs import SETTING, result_columns, run_state, setting_text
from usdlr.experiment.sweep.outcomes import Outcome
from usdlr.experiment.sweep.settings import SweepSettings

AREAS = tuple(f"{stage}_auc" for stage in Stage)


def sweep_table(settings: SweepSettings, outcomes: Sequence[Outcome], out: Path) -> pd.DataFrame:
    """One row per point, in the order of the sweep; failed points are rows like any other.

    Returns
    -------
    DataFrame
        ``point state reason``, ``setting.KEY`` for every key that varies, ``seed``, ``objective`` and
        ``tuning_{stage}_auc`` (means over folds on tuning axillae), the results on test axillae as in
        :func:`usdlr.experiment.runs.runs_table`, ``wall_s``, ``shared_from`` and ``folder`` (below ``out``).
    """
    rows = []
    for outcome in outcomes:
        folder = out / "points" / outcome.point
        row: dict[str, Any] = {"point": outcome.point, "state": outcome.state, "reason": outcome.reason}
        row |= {SETTING + key: setting_text(outcome.settings.get(key)) for key in settings.keys}
        row |= {"seed": outcome.seed, "objective": outcome.objective}
        row |= {f"tuning_{stage}_auc": _mean(outcome.tuning.get(str(stage), {}).values()) for stage in Stage}
        row |= result_columns(run_state(folder)[1])
        row |= {"wall_s": outcome.wall_s, "shared_from": outcome.shared_from}
        row["folder"] = f"points/{outcome.point}" if folder.is_dir() else None
        rows.append(row)
    return pd.DataFrame(rows)


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds of every point, and the difference to the sweep's first point, paired by seed.

    Parameters
    ----------
    table : DataFrame
        From :func:`sweep_table`, of a sweep with two seeds or more.

    Returns
    -------
    DataFrame
        One row per point: its settings, ``seeds`` (runs with results); for the AUC of both stages ``mean`` and ``sd``
        over seeds, and ``difference``, ``_low``, ``_high``: the mean of the differences to the first point with the
        same seed, with Student's 95 % interval. The interval speaks of other seeds (splits, weights) on these patients,
        not of other patients.
    """
    keys = [str(column) for column in table if str(column).startswith(SETTING)]
    groups = list(table.groupby(keys, sort=False, dropna=False)) if keys else [((), table)]
    reference = groups[0][1].set_index("seed")
    rows = []
    for _, part in groups:
        by_seed = part.set_index("seed")
        row: dict[str, Any] = {key: part[key].iloc[0] for key in keys}
        row["seeds"] = int(by_seed[AREAS[0]].notna().sum())
        for area in AREAS:
            values = by_seed[area].astype("float64").dropna()
            row[f"{area}_mean"] = values.mean() if len(values) else np.nan
            row[f"{area}_sd"] = values.std(ddof=1) if len(values) > 1 else np.nan
            paired = (values - reference[area].astype("float64")).dropna()
            half = np.nan
            if len(paired) > 1:
                half = float(t.ppf(0.5 + LEVEL / 2, len(paired) - 1)) * float(paired.std(ddof=1)) / len(paired) ** 0.5
            mean = paired.mean() if len(paired) else np.nan
            row |= {f"{area}_difference": mean, f"{area}_difference_low": mean - half}
            row[f"{area}_difference_high"] = mean + half
        rows.append(row)
    return pd.DataFrame(rows)


def _mean(values: Any) -> float | None:
    known = list(values)
    return float(np.mean(known)) if known else None
