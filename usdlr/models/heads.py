"""Heads: how a network's outputs answer the questions about an axilla, and what its labels teach."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import Part, build_part, split_part
from usdlr.models.losses import LOSSES, Loss, mean_of_targets


class Head(nn.Module):
    """What every head has in common. Labels: 1 positive, 0 negative, not-a-number unknown.

    Target 0 is P(SLN positive) or P(n >= 1). Target 1, of a head that answers both stages, is **conditional** on it:
    P(NSLN positive | SLN positive) or P(n >= 3 | n >= 1), n the positive nodes.

    Attributes
    ----------
    width : int
        Outputs that the fusion makes.
    targets : int
        Questions answered.
    joint : bool
        Whether one fit answers both stages.
    ordinal : bool
        Whether the labels come from counts of positive nodes.
    losses : tuple of str
        Names of the losses it can be trained with.
    """

    width: ClassVar[int]
    targets: ClassVar[int]
    joint: ClassVar[bool] = True
    ordinal: ClassVar[bool] = False
    losses: ClassVar[tuple[str, ...]] = tuple(LOSSES)

    def stage_logits(self, logits: Tensor) -> Tensor:
        """Log-odds of every target.

        Parameters
        ----------
        logits : Tensor, (..., width)
            What the fusion gave.

        Returns
        -------
        Tensor, (..., targets)
            In nat; target 1 conditional on target 0.
        """
        return logits

    def taught(self, label: Tensor) -> Tensor:
        """The labels that train: target 1 is unknown unless target 0 is positive, whatever the table says.

        A negative sentinel node makes the non-sentinel nodes negative by structure; that is no evidence about them.

        Parameters
        ----------
        label : Tensor, (..., targets)
        """
        if self.targets == 1:
            return label
        first, second = label[..., 0], label[..., 1]
        return torch.stack([first, torch.where(first == 1, second, torch.full_like(second, math.nan))], dim=-1)

    def loss(self, logits: Tensor, label: Tensor, loss: Loss) -> Tensor:
        """Loss of a batch: the mean over each target's known axillae, then over the targets that have any.

        Parameters
        ----------
        logits : Tensor, (..., width)
            What the fusion gave, with any leading axes.
        label : Tensor, (..., targets)
            With the same leading axes.
        loss : Loss
            One weight per class and target.

        Returns
        -------
        Tensor, ()
            Zero, with a gradient of zero, where nothing is known.
        """
        taught = self.taught(label)
        return mean_of_targets(loss.entries(self.stage_logits(logits), taught), ~torch.isnan(taught))

    def block_loss(self, logits: Tensor, label: Tensor, present: Tensor, loss: Loss) -> Tensor:
        """Loss of the blocks' own outputs: :meth:`loss` over every (axilla, block) whose block is there.

        Parameters
        ----------
        logits : Tensor, (batch, blocks, width)
            Anything where a block is absent.
        label : Tensor, (batch, targets)
        present : bool Tensor, (batch, blocks)
        loss : Loss

        Returns
        -------
        Tensor, ()
        """
        there = present[..., None]
        spread = label[:, None, :].expand(-1, present.shape[1], -1)
        spread = torch.where(there, spread, torch.full_like(spread, math.nan))
        return self.loss(torch.where(there, logits, torch.zeros_like(logits)), spread, loss)


class BinaryHead(Head):
    """One question per fit: the stage that the caller chose."""

    width = 1
    targets = 1
    joint = False


class MultitaskHead(Head):
    """SLN and NSLN from one network with an output each; NSLN learns from SLN-positive axillae alone."""

    width = 2
    targets = 2


class CornHead(Head):
    """Ordinal burden (0, 1-2, at least 3 positive nodes) as a chain of conditional questions, ranks never crossing.

    The second question is trained on axillae with a positive node alone. As in the paper, the loss is one mean over
    all trained entries of both questions, so that each weighs by its number of axillae.

    References
    ----------
    Shi, Cao and Raschka, Deep neural networks for rank-consistent ordinal regression based on conditional
    probabilities, Pattern Analysis and Applications 26 (2023), doi:10.1007/s10044-023-01181-9, arXiv 2111.08851.
    """

    width = 2
    targets = 2
    ordinal = True

    def loss(self, logits: Tensor, label: Tensor, loss: Loss) -> Tensor:
        """One mean over all trained entries; see :meth:`Head.loss`."""
        taught = self.taught(label)
        count = (~torch.isnan(taught)).sum().clamp(min=1)
        return loss.entries(self.stage_logits(logits), taught).sum() / count


class CumulativeHead(Head):
    """Ordinal burden by proportional odds: one score, two ordered cutpoints.

    ``P(n >= 1) = sigmoid(score - first)`` and ``P(n >= 3) = sigmoid(score - second)``, where
    ``second = first + softplus(spread)`` lies above ``first`` whatever the parameters are. The loss is the mean over
    the axillae of the negative log-likelihood of what is known: the class, or only "at least one" where the axilla
    was not dissected (an interval-censored rank). It therefore takes the plain cross-entropy alone.

    Parameters
    ----------
    gap : float
        Distance of the two cutpoints before the fit, in nat.

    References
    ----------
    McCullagh, Regression models for ordinal data, J. R. Stat. Soc. B 42 (1980),
    doi:10.1111/j.2517-6161.1980.tb01109.x.
    """

    width = 1
    targets = 2
    ordinal = True
    losses = ("bce",)

    def __init__(self, *, gap: float = 1.0) -> None:
        super().__init__()
        if not (math.isfinite(gap) and gap > 0):
            raise ConfigError(f"found gap = {gap} of the cumulative head, expected a number above 0")
        self.first = nn.Parameter(torch.zeros(()))
        self.spread = nn.Parameter(torch.tensor(gap + math.log(-math.expm1(-gap))))

    @property
    def cutpoints(self) -> Tensor:
        """The two cutpoints, (2,), ascending, in nat of the score."""
        return torch.stack([self.first, self.first + F.softplus(self.spread)])

    def stage_logits(self, logits: Tensor) -> Tensor:
        """Log-odds of n >= 1, and of n >= 3 given n >= 1; see :meth:`Head.stage_logits`.

        With a = score - first and gap = second - first, the log-odds of the ratio P(n >= 3) / P(n >= 1) are
        softplus(a) - log(exp(gap) - 1), and the last term is ``spread`` itself: nothing cancels or overflows.
        """
        above = logits[..., 0] - self.first
        return torch.stack([above, F.softplus(above) - self.spread], dim=-1)

    def loss(self, logits: Tensor, label: Tensor, loss: Loss) -> Tensor:
        """Negative log-likelihood per axilla of known status; see :meth:`Head.loss`.

        P(n >= 1) and P(n >= 3 | n >= 1) factorise the likelihood of every state of knowledge.
        """
        if loss.name not in self.losses:
            raise ConfigError(_refusal("cumulative", loss.name, self.losses))
        taught = self.taught(label)
        count = (~torch.isnan(taught[..., 0])).sum().clamp(min=1)
        return loss.entries(self.stage_logits(logits), taught).sum() / count


HEADS: Final[dict[str, Callable[..., Head]]] = {
    "binary": BinaryHead,
    "multitask": MultitaskHead,
    "corn": CornHead,
    "cumulative": CumulativeHead,
}


def build_head(part: Part) -> Head:
    """The head that a configuration names.

    Parameters
    ----------
    part : str or mapping
        A name of :data:`HEADS`, or that name with its options.

    Raises
    ------
    ConfigError
        If the name or an option is unknown or impossible.

    Examples
    --------
    >>> head = build_head("cumulative")
    >>> head.width, head.targets, head.joint, head.ordinal
    (1, 2, True, True)
    """
    head: Head = build_part(part, "model.head", HEADS)
    return head


def check_head_and_loss(head: Part, loss: Part) -> None:
    """Refuse a head and a loss that cannot be fitted together, before any data is read.

    Raises
    ------
    ConfigError
        Naming both and what goes together.
    """
    built, (name, _) = build_head(head), split_part(loss, "fit.loss", LOSSES)
    if name not in built.losses:
        raise ConfigError(_refusal(split_part(head, "model.head", HEADS)[0], name, built.losses))


def _refusal(head: str, loss: str, losses: tuple[str, ...]) -> str:
    return (
        f"found model.head = {head} with fit.loss = {loss}, expected fit.loss = {' or '.join(losses)}: its "
        "loss is a likelihood, which class weights would undo; choose that loss, or model.head = corn"
    )
