"""Losses for labels that may be unknown: every one a weighted cross-entropy, chosen by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.named_parts import Part, split_part


class Loss(nn.Module):
    """Cross-entropy of several yes-or-no targets, each class of each target with a weight of its own.

    Parameters
    ----------
    positive, negative : sequence of float
        Weight of a positive and of a negative axilla, one per target; they shift the log-odds that a perfect fit
        gives by ``log(positive / negative)``, which a calibrator with an intercept takes back.
    gamma : float
        Exponent of the focal factor; 0 is the plain cross-entropy.
    name : str
        What a configuration calls it.
    """

    positive_weight: Tensor
    negative_weight: Tensor

    def __init__(
        self, positive: Sequence[float], negative: Sequence[float], *, gamma: float = 0.0, name: str = "bce"
    ) -> None:
        super().__init__()
        self.name = name
        self.gamma = gamma
        # Not persistent: weights belong to the training rows of a fit, not to the fitted network.
        self.register_buffer("positive_weight", torch.tensor([float(w) for w in positive]), persistent=False)
        self.register_buffer("negative_weight", torch.tensor([float(w) for w in negative]), persistent=False)

    def entries(self, logits: Tensor, label: Tensor) -> Tensor:
        """Every entry's own loss, 0 where the label is unknown.

        Parameters
        ----------
        logits : Tensor, (..., targets)
            Log-odds of the positive class; anything, not-a-number included, where the label is unknown.
        label : Tensor, (..., targets)
            1 positive, 0 negative, not-a-number unknown.

        Returns
        -------
        Tensor, (..., targets)
            In nat, single precision or better; entries of unknown label carry no gradient.
        """
        known = ~torch.isnan(label)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        # Replaced before the loss, not after it: the gradient of 0 x NaN would be NaN.
        logits = torch.where(known, logits, torch.zeros_like(logits))
        label = torch.where(known, label, torch.zeros_like(label)).to(logits.dtype)
        loss = F.binary_cross_entropy_with_logits(logits, label, reduction="none")
        if self.gamma > 0:
            # (1 - p of the true class) ** gamma; in logarithms, because a power below 1 has no gradient at 0.
            loss = loss * torch.exp(self.gamma * F.logsigmoid(torch.where(label > 0.5, -logits, logits)))
        weight = label * self.positive_weight + (1.0 - label) * self.negative_weight
        return loss * weight * known

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Mean over the known entries of each target, then over the targets that have any.

        Shapes as in :meth:`entries`. Zero, with a gradient of zero, where nothing is known.
        """
        return mean_of_targets(self.entries(logits, label), ~torch.isnan(label))


def mean_of_targets(entries: Tensor, known: Tensor) -> Tensor:
    """Mean over the known entries of each target, then over the targets that have any; 0 where nothing is known.

    Parameters
    ----------
    entries : Tensor, (..., targets)
        With at least one leading axis; 0 where unknown.
    known : bool Tensor, (..., targets)

    Returns
    -------
    Tensor, ()
    """
    count = known.flatten(0, -2).sum(dim=0)
    means = entries.flatten(0, -2).sum(dim=0) / count.clamp(min=1)
    return means.sum() / (count > 0).sum().clamp(min=1)


def bce(positives: Sequence[int], negatives: Sequence[int]) -> Loss:
    """Plain cross-entropy: the only one whose minimum is the true probability."""
    return Loss([1.0] * len(positives), [1.0] * len(negatives))


def balanced(positives: Sequence[int], negatives: Sequence[int]) -> Loss:
    """Cross-entropy in which the positive axillae together weigh as much as the negative ones."""
    return Loss(
        [below / above for above, below in zip(positives, negatives, strict=True)],
        [1.0] * len(negatives),
        name="balanced",
    )


def focal(positives: Sequence[int], negatives: Sequence[int], *, gamma: float = 2.0) -> Loss:
    """Cross-entropy times ``(1 - p of the true class) ** gamma``: axillae that are already right count less.

    Its minimum is less extreme than the true probability: calibrate afterwards.

    References
    ----------
    Lin et al., Focal loss for dense object detection, ICCV 2017, doi:10.1109/ICCV.2017.324.
    """
    if not (math.isfinite(gamma) and gamma >= 0):
        raise ConfigError(f"found gamma = {gamma} of the focal loss, expected a number from 0 upward")
    return Loss([1.0] * len(positives), [1.0] * len(negatives), gamma=float(gamma), name="focal")


def class_balanced(positives: Sequence[int], negatives: Sequence[int], *, beta: float = 0.999) -> Loss:
    """Cross-entropy in which a class weighs one over its effective number of axillae.

    The effective number of n is ``(1 - beta ** n) / (1 - beta)``: n for beta towards 1, 1 for beta = 0. The two
    weights of a target sum to two.

    References
    ----------
    Cui et al., Class-balanced loss based on effective number of samples, CVPR 2019, doi:10.1109/CVPR.2019.00949.
    """
    if not 0 <= beta < 1:
        raise ConfigError(f"found beta = {beta} of the class-balanced loss, expected at least 0 and below 1")
    weights: list[tuple[float, float]] = []
    for above, below in zip(positives, negatives, strict=True):
        one, zero = (1.0 / _effective_number(count, beta) for count in (above, below))
        weights.append((2.0 * one / (one + zero), 2.0 * zero / (one + zero)))
    return Loss([one for one, _ in weights], [zero for _, zero in weights], name="class_balanced")


def asymmetric(positives: Sequence[int], negatives: Sequence[int], *, miss_cost: float = 4.0) -> Loss:
    """Cross-entropy in which a missed positive weighs ``miss_cost`` times a false alarm.

    At a true probability p its minimum lies at ``miss_cost * p / (miss_cost * p + 1 - p)``: calibrate afterwards.
    """
    if not (math.isfinite(miss_cost) and miss_cost > 0):
        raise ConfigError(f"found miss_cost = {miss_cost} of the asymmetric loss, expected a number above 0")
    return Loss([float(miss_cost)] * len(positives), [1.0] * len(negatives), name="asymmetric")


LOSSES: Final[dict[str, Callable[..., Loss]]] = {
    maker.__name__: maker for maker in (bce, balanced, focal, class_balanced, asymmetric)
}


def build_loss(
    part: Part, positives: Sequence[int], negatives: Sequence[int], targets: Sequence[str] | None = None
) -> Loss:
    """The loss that a configuration names.

    Parameters
    ----------
    part : str or mapping
        A name of :data:`LOSSES`, or that name with its options.
    positives, negatives : sequence of int
        Training axillae of either class, one count per target.
    targets : sequence of str, optional
        What the targets are called in messages.

    Raises
    ------
    ConfigError
        If the name or an option is unknown or impossible.
    DataError
        If a target has no positive or no negative training axilla: nothing can be learnt about it.

    Examples
    --------
    >>> build_loss("balanced", [10], [30]).positive_weight
    tensor([3.])
    """
    name, options = split_part(part, "fit.loss", LOSSES)
    words = list(targets) if targets is not None else [f"target {position}" for position in range(len(positives))]
    if not words or not len(positives) == len(negatives) == len(words):
        raise ValueError(f"{len(positives)} positive and {len(negatives)} negative counts for {len(words)} targets")
    for word, above, below in zip(words, positives, negatives, strict=True):
        if above < 1 or below < 1:
            missing = "positive" if above < 1 else "negative"
            raise DataError(
                f"found no {missing} axilla of {word} among {above + below} with known status in the training rows, "
                "expected some of either class; use fewer folds, stratify them, or add patients"
            )
    return LOSSES[name](positives, negatives, **options)


def _effective_number(count: int, beta: float) -> float:
    return (1.0 - beta**count) / (1.0 - beta)
