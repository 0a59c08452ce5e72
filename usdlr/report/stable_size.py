"""Whether a study's patients are enough for a stable model of its size."""

from __future__ import annotations

from dataclasses import dataclass

from usdlr.core.errors import ConfigError
from usdlr.core.types import Stage
from usdlr.evaluation.sample_size import development, largest
from usdlr.report import facts
from usdlr.report.inputs import StudyInputs


@dataclass(frozen=True)
class StableSize:
    """What Riley's criteria ask of a stage, and what is there.

    Parameters
    ----------
    stage : Stage
        Which question.
    parameters : int
        Predictors that the tabular part may keep.
    needed, needed_positives : int
        Axillae of known status that the strictest criterion asks for, and the positives among them.
    held, positives : int
        What is there.
    criterion : str
        The strictest one.
    exact : bool
        Whether ``held`` is the part that the model was trained on; otherwise it is all tested axillae, of whom only a
        part was trained on each time.
    """

    stage: Stage
    parameters: int
    needed: int
    needed_positives: int
    held: int
    positives: int
    criterion: str
    exact: bool

    @property
    def enough(self) -> bool:
        """Whether as many are there as are asked for."""
        return self.held >= self.needed


def stable_sizes(inputs: StudyInputs, stage: Stage) -> StableSize | None:
    """What a stable model with the predictors of the configuration would need at a stage.

    The predictors that the tabular part may keep stand for the whole: those that were tried and dropped count too, and
    the image branches have more, so this is a lower bound. The AUC that was found out of fold takes the place of the
    anticipated one.

    Parameters
    ----------
    inputs : StudyInputs
        The study.
    stage : Stage
        Which question.

    Returns
    -------
    StableSize or None
        ``None`` where the configuration does not tell the predictors, or the AUC is not above one half.
    """
    parameters, auc = facts.kept_predictors(inputs), facts.above_half(inputs.metrics["stages"][stage]["auc"])
    trained = facts.training_rows(inputs, stage)
    held, positives = trained or facts.with_status(inputs, stage)
    if parameters is None or auc is None or not 0 < positives < held:
        return None
    try:
        need = largest(development(prevalence=positives / held, parameters=parameters, auc=auc))
    except ConfigError:  # an AUC so near to 1 that no shrinkage can be asked for
        return None
    return StableSize(stage, parameters, need.n, need.events, held, positives, need.criterion, trained is not None)
