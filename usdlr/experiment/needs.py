"""What the learners of an experiment need of every fold's training patients, checked before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from usdlr.baselines.pipelines import LEAST_PATIENTS, baseline_named
from usdlr.core.errors import DataError
from usdlr.core.types import Split, Stage
from usdlr.experiment.cohort import stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.readout import NOBODY, kept_apart
from usdlr.inference.signature import FEWEST
from usdlr.models.settings import NO_TABLE
from usdlr.radiomics.selection.chain import step_name
from usdlr.radiomics.selection.sparse import ElasticNetSelector, LassoSelector

# Patients of a class without which the ridge scores of the blocks cannot be cross-fitted.
SCORED = 2
_CROSS_VALIDATED = (LassoSelector.step, ElasticNetSelector.step)


@dataclass(frozen=True)
class Need:
    """Training patients of either class that a learner needs.

    Parameters
    ----------
    least : int
        How many.
    who : str
        The learner, as a sentence goes on.
    mend : str
        What to do without.
    """

    least: int
    who: str
    mend: str


def training_needs(config: ExperimentConfig) -> list[Need]:
    """What an experiment's learners need, the most demanding first.

    Examples
    --------
    >>> from usdlr.experiment.config import DataSettings
    >>> training_needs(ExperimentConfig("x", "y", DataSettings("simulated"), baselines=["size"]))[0].least
    2
    """
    needs = [Need(1, "the networks", "use fewer folds or more patients")]
    if any(variant.network.score for variant in config.ensemble):
        needs.append(
            Need(SCORED, "the ridge scores of the blocks", "use fewer folds, more patients or model.score = false")
        )
    for step in (config.selection.steps or []) if config.model.tabular != NO_TABLE else []:
        if step_name(step) in _CROSS_VALIDATED:
            mend = "use fewer folds, more patients or the selection step mrmr"
            needs.append(Need(LEAST_PATIENTS, f"the selection step {step_name(step)}", mend))
    for baseline in map(baseline_named, config.baselines):
        if baseline.by_patient:
            mend = "use fewer folds, more patients or leave it out"
            needs.append(Need(LEAST_PATIENTS, f"the baseline {baseline.name}", mend))
    if config.signature is not None:
        needs.append(Need(FEWEST, "the signature readout", "use fewer folds, more patients or readout: network"))
    return sorted(needs, key=lambda need: -need.least)


def require_learnable(splits: pd.DataFrame, labels: pd.DataFrame, config: ExperimentConfig) -> None:
    """Refuse splits with which a learner of the experiment could not be fitted.

    Parameters
    ----------
    splits : DataFrame
        The ``splits`` table.
    labels : DataFrame
        From :func:`usdlr.experiment.cohort.axilla_labels`.
    config : ExperimentConfig
        Which learners there are.

    Raises
    ------
    DataError
        Naming fold, stage, class, the learner, how many patients it needs and how to mend it.
    """
    needs = training_needs(config)
    for fold, part in splits.groupby("fold", sort=False):
        split = part.set_index("patient_id")["split"].loc[list(labels["patient_id"])].to_numpy()
        apart = kept_apart(config, str(fold), labels, split)
        for stage in Stage:
            values = stage_labels(labels, stage).to_numpy(np.float64)
            for label, word in ((1.0, "positive"), (0.0, "negative")):
                mine = (split == str(Split.TRAIN)) & (values == label)
                found = labels["patient_id"][mine].nunique()
                for need in needs:
                    if found < need.least:
                        raise DataError(
                            f"found {found} {word} training patients of stage {stage} in fold {fold}, expected at "
                            f"least {need.least} for {need.who}; {need.mend}"
                        )
                for one in sorted(set(apart[apart != NOBODY].tolist())):
                    if not (mine & (apart != one)).any():
                        raise DataError(
                            f"found no {word} training patient of stage {stage} in fold {fold} for the networks that "
                            "are kept from one part of them, expected at least one in every rest; use fewer folds, "
                            "more readout.signature.folds or more patients"
                        )
