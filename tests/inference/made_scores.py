"""A stage whose answer is known by hand: its networks add nothing to a linear score that is written down here."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

import numpy as np

from tests.inference.made_stage import COLUMNS, NETWORK, SIDE, Cohort, made_selector
from usdlr.baselines.ridge import RidgeScore
from usdlr.inference.scores import BlockScores
from usdlr.inference.stage import StageModel, network_columns
from usdlr.models.network import FusionNetwork

SCORED = replace(NETWORK, score=True)
# Mean and standard deviation of the training patients, and weights of the standardised columns, by column.
CENTRE = dict(zip(COLUMNS, (20.0, 22.0, 18.0), strict=True))
SPREAD = dict(zip(COLUMNS, (4.0, 5.0, 6.0), strict=True))
WEIGHT = dict(zip(COLUMNS, (0.5, -0.75, 0.125), strict=True))
# Ridge regression takes clinical variables ten times larger, so that its penalty holds them back less.
TIMES = {name: 10.0 if name.startswith("clinical.") else 1.0 for name in COLUMNS}


def ridge(columns: list[str]) -> RidgeScore:
    state = {name: [of[column] for column in columns] for name, of in (("fill", CENTRE), ("center", CENTRE))}
    state |= {"scale": [SPREAD[column] for column in columns], "coef": [WEIGHT[column] for column in columns]}
    return RidgeScore.from_dict({"seed": 0, "columns": columns, "intercept": 0.0, "strength": 1.0, **state})


def linear_stage(cohort: Cohort, networks: int = 2) -> StageModel:
    """Its log-odds are the score of :func:`by_hand` and nothing else."""
    without = [name for name in COLUMNS if not name.startswith("elasto.")]
    scores = BlockScores({"radiomics": COLUMNS}, {("elasto",): [ridge(COLUMNS)], (): [ridge(without)]})
    selector = made_selector(cohort)
    made = tuple(
        FusionNetwork(SCORED, network_columns(selector), SIDE, scored=scores.blocks).eval() for _ in range(networks)
    )
    return StageModel(made, selector, scores, 0, "0" * 12)


def by_hand(values: Mapping[Hashable, float]) -> float:
    """The log-odds of one image's columns, in nat; a missing column adds nothing."""
    return float(
        sum(
            TIMES[name] * WEIGHT[name] * np.clip((value - CENTRE[name]) / SPREAD[name], -5, 5)
            for name, value in ((str(name), value) for name, value in values.items())
            if np.isfinite(value)
        )
    )
