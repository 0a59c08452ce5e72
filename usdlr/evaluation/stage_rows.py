"""One stage's axillae with their truth, their prediction, their answer and what describes them, in one table."""

from __future__ import annotations

import pandas as pd

from usdlr.core.errors import InputError
from usdlr.core.types import Stage
from usdlr.evaluation.alignment import AXILLA, by_axilla, label_table, same_axillae
from usdlr.evaluation.cascade import MISSED_NSLN, MISSED_SLN

_NOT_CALLED = {Stage.SLN: MISSED_SLN, Stage.NSLN: MISSED_NSLN}


def stage_rows(
    stage: Stage,
    predicted: pd.DataFrame,
    labels: pd.DataFrame,
    decisions: pd.DataFrame | None = None,
    axillae: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The axillae of known status at a stage; at the NSLN stage these are SLN-positive axillae.

    Parameters
    ----------
    stage : Stage
        Which one.
    predicted : DataFrame
        ``probability``, by ``patient_id`` and ``side`` (index or columns): test predictions of this stage.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown.
    decisions : DataFrame, optional
        ``patient_id side risk_group`` of the same axillae.
    axillae : DataFrame, optional
        ``patient_id side`` and what describes each axilla; may hold further axillae, and may be empty.

    Returns
    -------
    DataFrame
        ``patient_id side y probability``, with decisions ``called`` (0 where a positive axilla is missed by the
        cascade, at either stage; 1 otherwise, DEFER included), and the columns of ``axillae``.

    Raises
    ------
    InputError
        If the tables do not hold the same axillae once each, or an axilla has no description.
    """
    stage, truth = Stage(stage), label_table(labels)
    rows = _keyed(predicted, ("probability",), f"test predictions of stage {stage}")
    same_axillae(rows, truth, f"test predictions of stage {stage}", "labels")
    y = truth["sln"] if stage is Stage.SLN else truth["nsln"].where(truth["sln"] == 1)
    out = pd.DataFrame({"y": y, "probability": rows["probability"]})
    if decisions is not None:
        decided = by_axilla(decisions, ("risk_group",), "decisions")
        same_axillae(decided, truth, "decisions", "labels")
        out["called"] = (~decided["risk_group"].astype(str).isin(_NOT_CALLED[stage])).astype(int)
    if axillae is not None and len(axillae.columns):
        taken = (*AXILLA, *out.columns)
        described = by_axilla(
            axillae, [str(name) for name in axillae if name not in taken], "description of the axillae"
        )
        absent = out.index.difference(described.index)
        if len(absent):
            raise InputError(
                f"found no description of {len(absent)} of {len(out)} axillae, expected one row each; take the table "
                "from all tested image sets"
            )
        out = out.join(described)
    return out[out["y"].notna()].reset_index()


def _keyed(table: pd.DataFrame, columns: tuple[str, ...], what: str) -> pd.DataFrame:
    named = set(AXILLA) <= set(table.columns)
    return by_axilla(table if named else table.reset_index(), columns, what)
