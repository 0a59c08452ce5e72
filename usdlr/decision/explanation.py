"""What is said about one axilla's prediction: plain numbers, made where the networks are and shown where they are not.

All of it is about the model: what its answer is made of, and what would change it. None of it says what would happen to
a patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from usdlr.core.types import RiskGroup, Stage

SIZE, CLINICAL_VALUE, ABSENCE = "size", "clinical", "absence"
# Grounds on which a change was not searched.
BY_STRATUM, NO_ANSWER, UNKNOWN, UNREAD, NO_THRESHOLD = (
    "stratum",
    "no answer",
    "unknown",
    "not read",
    "no threshold",
)
SIGNED_MAP, GRAD_CAM = "signed map", "Grad-CAM"
LEAST_PATCHES: Final = 6
"""Patches below which the agreement of two maps is not told."""


@dataclass(frozen=True)
class BlockShare:
    """What one block adds to a stage's calibrated log-odds.

    Parameters
    ----------
    name : str
        ``{modality}.{region}``, ``{modality}.{region}@axilla``, ``radiomics`` (with the clinical variables) or
        ``clinical``.
    adds : float or None
        Exact Shapley share in nat; ``None``: the axilla lacks the block.
    """

    name: str
    adds: float | None


@dataclass(frozen=True)
class FeatureTerm:
    """What one column of the table adds through the linear score, above a patient with the training mean.

    Parameters
    ----------
    column : str
        ``{modality}.{roi}.{image_type}.{class}.{feature}`` or ``clinical.{variable}``.
    words : str
        In plain words, with its unit.
    value : float or None
        Mean over the axilla's images; ``None``: not known, the training median stood in.
    usual : float
        Mean of the training patients, in the same unit.
    adds : float
        In nat of the calibrated log-odds.
    """

    column: str
    words: str
    value: float | None
    usual: float
    adds: float


@dataclass(frozen=True)
class FamilySum:
    """What the features of one class add together.

    Parameters
    ----------
    block : str
        ``{modality}.{roi}``, or ``clinical``.
    family : str
        Feature class, e.g. ``glcm``; of a clinical variable its name.
    words : str
        In plain words.
    features : int
        How many columns.
    adds : float
        In nat of the calibrated log-odds.
    """

    block: str
    family: str
    words: str
    features: int
    adds: float


@dataclass(frozen=True)
class Change:
    """The smallest change of one input that moves a stage's probability across its threshold.

    Parameters
    ----------
    kind : str
        :data:`SIZE`, :data:`CLINICAL_VALUE` or :data:`ABSENCE`.
    name : str
        Column of ``cases``, or the block that is taken away.
    found : float or None
        The value there is; of an absence always ``None``.
    needed : float or None
        The nearest value tried with which the probability crosses; ``None``: none does.
    crosses : bool
        Whether anything within the range, or the absence, moves the probability across.
    probability : float or None
        The model's with the needed value; of an absence without the block.
    low, high, step : float or None
        What was searched, in the variable's unit.
    unsearched : str
        Why nothing was searched; empty where it was.
    """

    kind: str
    name: str
    found: float | None = None
    needed: float | None = None
    crosses: bool = False
    probability: float | None = None
    low: float | None = None
    high: float | None = None
    step: float | None = None
    unsearched: str = ""


@dataclass(frozen=True)
class Agreement:
    """How far two pictures of where a branch looked agree.

    Parameters
    ----------
    image : int
        Position of the image among the axilla's, from 0.
    block : str
        Image block.
    method : str
        What is compared with occlusion: ``signed map`` or ``Grad-CAM``.
    rank_correlation : float or None
        Spearman's, over patches of the region; ``None`` where there are too few, or one of them is constant.
    patches : int
        How many.
    """

    image: int
    block: str
    method: str
    rank_correlation: float | None
    patches: int


@dataclass(frozen=True)
class ImageWeight:
    """How much one of several images counts in a block.

    Parameters
    ----------
    image : int
        Position of the image among the axilla's, from 0.
    block : str
        Image block.
    weight : float
        0 to 1, summing to one over the images that have the block.
    """

    image: int
    block: str
    weight: float


@dataclass(frozen=True)
class StageExplanation:
    """What one stage's answer is made of.

    Parameters
    ----------
    stage : Stage
        Which question.
    probability, low, high : float
        Calibrated, with its 90 % interval, which is about the estimate.
    logit, base : float
        Calibrated log-odds, and those without any block.
    threshold : float
        The probability below which the stage says low risk.
    blocks : tuple of BlockShare
        Exact shares of the design's blocks; with ``base`` they add up to ``logit``.
    sources : tuple of BlockShare
        The same where a region's radiomics counts with its image and the clinical variables stand alone; empty where
        the network reads all of its table as one.
    score : float or None
        What the linear score of the table adds, the sum of all ``terms``; ``None`` where it is no term of a sum.
    terms : tuple of FeatureTerm
        Every column of the score, the largest first.
    families : tuple of FamilySum
        The same by class of features, the largest first.
    changes : tuple of Change
        What would move the probability across the threshold.
    agreements : tuple of Agreement
        Of the maps with occlusion; empty where none was made.
    image_weights : tuple of ImageWeight
        Empty for a single image.
    pooling : str
        How images become one: ``mean``, ``max`` or ``attention``.
    model_id : str
        Of the fitted stage.
    notes : tuple of str
        What could not be told, and why.
    """

    stage: Stage
    probability: float
    low: float
    high: float
    logit: float
    base: float
    threshold: float
    blocks: tuple[BlockShare, ...]
    sources: tuple[BlockShare, ...] = ()
    score: float | None = None
    terms: tuple[FeatureTerm, ...] = ()
    families: tuple[FamilySum, ...] = ()
    changes: tuple[Change, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    image_weights: tuple[ImageWeight, ...] = ()
    pooling: str = "mean"
    model_id: str = ""
    notes: tuple[str, ...] = ()

    @property
    def leading(self) -> str | None:
        """The block that carries the answer: the largest share in the direction in which it differs from the base.

        Of the sources, where there are any. ``None`` where no share points there.
        """
        direction = 1.0 if self.logit >= self.base else -1.0
        shares = {one.name: direction * one.adds for one in self.sources or self.blocks if one.adds is not None}
        best = max(shares, key=lambda name: shares[name], default=None)
        return best if best is not None and shares[best] > 0 else None


@dataclass(frozen=True)
class Neighbour:
    """One of the training axillae that the networks see most alike.

    Parameters
    ----------
    distance : float
        Between standardised embeddings, per dimension: 0 identical; two axillae drawn at random are some 1.4 apart.
    sln, nsln : bool or None
        Node status found; ``None``: unknown.
    """

    distance: float
    sln: bool | None
    nsln: bool | None


@dataclass(frozen=True)
class Explanation:
    """One axilla's answer and what it is made of; no ids.

    Parameters
    ----------
    group : RiskGroup
        The cascade's answer.
    stage_reached : Stage
        Last stage whose answer counted.
    reason : str
        The decision in one sentence.
    contract : str
        Status of the contract behind the thresholds.
    stages : tuple of StageExplanation
        SLN, then NSLN.
    neighbours : tuple of Neighbour
        The nearest first; empty where the bundle's owner did not allow it.
    """

    group: RiskGroup
    stage_reached: Stage
    reason: str
    contract: str
    stages: tuple[StageExplanation, ...]
    neighbours: tuple[Neighbour, ...] = ()
