"""Two views of one lesion: learn embeddings that agree on it, and differ between lesions."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.options import share, whole
from usdlr.models.pretraining.method import Method, Outcome, PretextBatch, embedding_width, spread, weight

# Keeps the root of a vanishing variance differentiable; from the reference below.
EPSILON = 1e-4


class TwoViews(Method):
    """Variance-invariance-covariance regularisation: no negative pairs, so small batches on a processor will do.

    Parameters
    ----------
    backbone, size_px
        See :class:`Method`.
    width : int
        Length of the projections that are compared; they are dropped afterwards.
    invariance, variance, covariance : float
        Weights of the three terms: views of one image agree; every coordinate differs between images (this is what
        keeps the encoder from collapsing); coordinates say different things.
    collapse_below : float
        A fit is given up when the backbone's normalised embeddings are less spread out than this
        (:func:`~usdlr.models.pretraining.method.spread`), or the projections have a smaller standard deviation (the
        variance term asks for 1): then all images look the same, or nothing is passed on to the backbone any more.
        0 never gives up.

    Raises
    ------
    ConfigError
        If a weight or width cannot be used.

    References
    ----------
    Bardes, Ponce and LeCun, VICReg, ICLR 2022, arXiv:2105.04906.
    """

    views: ClassVar[int] = 2
    alive: ClassVar[tuple[str, ...]] = ("embedding_spread", "projection_std")

    def __init__(
        self,
        backbone: nn.Module,
        size_px: int,
        *,
        width: int = 256,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        collapse_below: float = 0.05,
    ) -> None:
        super().__init__(backbone, size_px)
        whole("method.contrastive.width", width, 2)
        self.invariance = weight("method.contrastive.invariance", invariance)
        self.variance = weight("method.contrastive.variance", variance)
        self.covariance = weight("method.contrastive.covariance", covariance)
        if self.invariance == 0:
            raise ConfigError("found method.contrastive.invariance = 0, expected above 0: views must be made to agree")
        self._collapse_below = share("method.contrastive.collapse_below", collapse_below)
        self.projector = nn.Sequential(
            nn.Linear(embedding_width(backbone, size_px), width),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width, bias=False),
        )

    @property
    def collapse_below(self) -> float:
        """Value of a measure of ``alive`` below which a fit is given up."""
        return self._collapse_below

    @property
    def collapse_advice(self) -> str:
        """How to mend a collapse."""
        return "raise method.contrastive.variance or batch_size, or lower learning_rate"

    def forward(self, batch: PretextBatch) -> Outcome:
        """The three terms, weighted."""
        views, size = batch["images"].shape[:2]
        embeddings: Tensor = self.backbone(batch["images"].flatten(0, 1))
        first, second = self.projector(embeddings).unflatten(0, (views, size))
        agree, differ, decorrelate = vicreg_terms(first, second)
        measures = {
            "embedding_spread": spread(embeddings[:size]),
            "projection_std": first.detach().std(dim=0).mean(),
            "invariance": agree.detach(),
            "variance": differ.detach(),
            "covariance": decorrelate.detach(),
        }
        loss = self.invariance * agree + self.variance * differ + self.covariance * decorrelate
        return Outcome(loss, measures)

    def pictures(self, batch: PretextBatch) -> dict[str, Tensor]:
        """The two views."""
        black = torch.full_like(batch["images"], -2.0)
        first, second = torch.where(batch["valid"], batch["images"], black)[:, :, 0]
        return {"first view": first, "second view": second}


def vicreg_terms(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Invariance, variance and covariance of two batches of projections, unweighted.

    Parameters
    ----------
    first, second : Tensor, (batch, width)
        Of two views of the same images, at least two rows.

    Returns
    -------
    invariance : Tensor
        Mean squared difference between the views.
    variance : Tensor
        How far the standard deviation of a coordinate falls short of 1, mean over coordinates and both views.
    covariance : Tensor
        Squared covariances between different coordinates, summed, per coordinate, summed over both views.

    Examples
    --------
    >>> same = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    >>> [round(float(term), 3) for term in vicreg_terms(same, same)]
    [0.0, 0.495, 0.0]
    """
    invariance = nn.functional.mse_loss(first, second)
    variance, covariance = first.new_zeros(()), first.new_zeros(())
    for view in (first, second):
        centred = view - view.mean(dim=0)
        matrix = centred.T @ centred / (len(view) - 1)
        variance = variance + nn.functional.relu(1 - (matrix.diagonal() + EPSILON).sqrt()).mean() / 2
        rest = matrix - torch.diag_embed(matrix.diagonal())
        covariance = covariance + rest.square().sum() / view.shape[1]
    return invariance, variance, covariance
