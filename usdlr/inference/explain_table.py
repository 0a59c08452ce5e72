"""Every number of the explanations of a cohort, one row each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from usdlr.core.columns import AXILLA, FLOAT, INTEGER, STRING, Column
from usdlr.core.tables import Table
from usdlr.decision.explanation import Explanation, StageExplanation

KINDS = ("answer", "block", "source", "term", "family", "change", "agreement", "image_weight", "neighbour")

EXPLANATIONS = Table(
    "explanations",
    (
        *AXILLA,
        Column("case", INTEGER, "Number of the axilla's page.", low=1),
        Column("stage", STRING, "Question answered; nsln: given a positive sentinel node.", choices=("sln", "nsln")),
        Column("kind", STRING, "What the row tells.", choices=KINDS),
        Column("name", STRING, "Which number, block, column, variable or map."),
        Column("value", FLOAT, "The number itself; of a term or change the axilla's value.", nullable=True),
        Column(
            "reference",
            FLOAT,
            "Of a term the training mean; of a change the value that crosses the threshold; of a neighbour its SLN "
            "status, 1 positive.",
            nullable=True,
        ),
        Column("adds", FLOAT, "What it adds to the calibrated log-odds.", "nat", nullable=True),
        Column("probability", FLOAT, "Of a change: the model's with it.", "1", True, low=0.0, high=1.0),
    ),
    ("patient_id", "side", "stage", "kind", "name"),
)


def explanations_table(found: Sequence[tuple[tuple[str, str], int, Explanation]]) -> pd.DataFrame:
    """The table of explanations.

    Parameters
    ----------
    found : sequence of ((patient, side), case number, Explanation)
        In the order of the pages.
    """
    rows = [
        {"patient_id": patient, "side": side, "case": case, **row}
        for (patient, side), case, explanation in found
        for row in _rows(explanation)
    ]
    return EXPLANATIONS.conform(pd.DataFrame(rows, columns=[column.name for column in EXPLANATIONS.columns]))


def _rows(explanation: Explanation) -> Iterator[dict[str, Any]]:
    for stage in explanation.stages:
        for row in _of_stage(stage):
            yield {"stage": str(stage.stage), **row}
    for place, near in enumerate(explanation.neighbours, start=1):
        status = None if near.sln is None else float(near.sln)
        yield {"stage": "sln", "kind": "neighbour", "name": str(place), "value": near.distance, "reference": status}


def _of_stage(found: StageExplanation) -> Iterator[dict[str, Any]]:
    for name in ("probability", "low", "high", "logit", "base", "threshold"):
        yield {"kind": "answer", "name": name, "value": getattr(found, name)}
    if found.score is not None:
        yield {"kind": "answer", "name": "score", "value": found.score, "adds": found.score}
    for kind, shares in (("block", found.blocks), ("source", found.sources)):
        for share in shares:
            yield {"kind": kind, "name": share.name, "adds": share.adds}
    for term in found.terms:
        yield {"kind": "term", "name": term.column, "value": term.value, "reference": term.usual, "adds": term.adds}
    for family in found.families:
        name = f"{family.block}.{family.family}"
        yield {"kind": "family", "name": name, "value": float(family.features), "adds": family.adds}
    for change in found.changes:
        yield {
            "kind": "change",
            "name": f"{change.kind}.{change.name}",
            "value": change.found,
            "reference": change.needed,
            "probability": change.probability,
        }
    for one in found.agreements:
        name = f"{one.block} image {one.image + 1} {one.method}"
        yield {"kind": "agreement", "name": name, "value": one.rank_correlation}
    for weight in found.image_weights:
        yield {"kind": "image_weight", "name": f"{weight.block} image {weight.image + 1}", "value": weight.weight}
