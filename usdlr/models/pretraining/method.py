"""What every method of pre-training shares: its batch, its outcome, and how spread out embeddings are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, TypedDict

import torch
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.backbones import feature_maps


class PretextBatch(TypedDict):
    """One batch of V views of B images each; no label is part of it.

    Keys
    ----
    images : float32 Tensor, (V, B, 1, size, size)
        About -2..2, as the network will see them later; 0 where there is no value.
    valid : bool Tensor, (V, B, 1, size, size)
        Where there is a value.
    hidden : bool Tensor, (V, B, 1, size, size)
        Which pixels the network must do without; nowhere for a method that hides none.
    """

    images: Tensor
    valid: Tensor
    hidden: Tensor


class Patches(NamedTuple):
    """What a method wants hidden: square patches of ``side_px`` pixels, ``ratio`` of all of them."""

    side_px: int
    ratio: float


class Outcome(NamedTuple):
    """What a method makes of a batch: the loss, and numbers to watch by name."""

    loss: Tensor
    measures: dict[str, Tensor]


class Method(nn.Module, ABC):
    """A backbone and what it learns from.

    Parameters
    ----------
    backbone : nn.Module
        Maps (batch, 1, size, size) to (batch, width).
    size_px : int
        Side of the images. Further keyword-only parameters of a subclass are its options.
    """

    views: ClassVar[int] = 1
    # Measures that fall to 0 when the encoder says the same of every image.
    alive: ClassVar[tuple[str, ...]] = ("embedding_spread",)

    def __init__(self, backbone: nn.Module, size_px: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.size_px = size_px

    @property
    def patches(self) -> Patches | None:
        """What is to be hidden in every view."""
        return None

    @property
    def collapse_below(self) -> float:
        """Value of a measure of ``alive`` below which a fit is given up; 0 never gives up."""
        return 0.0

    @property
    def collapse_advice(self) -> str:
        """How to mend a collapse."""
        return "lower learning_rate"

    @abstractmethod
    def forward(self, batch: PretextBatch) -> Outcome:
        """The loss of a batch; ``measures`` holds at least ``embedding_spread``."""

    def references(self, batch: PretextBatch) -> dict[str, Tensor]:
        """Losses of plain guesses that the fitted method must beat, by name."""
        return {}

    @abstractmethod
    def pictures(self, batch: PretextBatch) -> dict[str, Tensor]:
        """What there is to see, by title: each (B, size, size), about -2..2."""


@torch.no_grad()
def embedding_width(backbone: nn.Module, size_px: int) -> int:
    """Length of what a backbone makes of an image."""
    return int(_in_eval(backbone, backbone, size_px).shape[1])


@torch.no_grad()
def feature_shape(backbone: nn.Module, size_px: int) -> tuple[int, int, int]:
    """Channels, rows and columns of a backbone's last feature map."""
    _, channels, rows, cols = _in_eval(backbone, lambda image: feature_map(backbone, image), size_px).shape
    return channels, rows, cols


def _in_eval(backbone: nn.Module, function: Any, size_px: int) -> Tensor:
    training = backbone.training
    backbone.eval()  # a trial image must not enter running statistics
    try:
        answer: Tensor = function(torch.zeros(1, 1, size_px, size_px))
    finally:
        backbone.train(training)
    return answer


def feature_map(backbone: nn.Module, image: Tensor) -> Tensor:
    """A backbone's last feature map, (batch, channels, rows, cols).

    Raises
    ------
    ConfigError
        If the backbone's features have no known place in the image.
    """
    found = feature_maps(backbone, image)
    if found is None:
        raise ConfigError(
            f"found the backbone {type(backbone).__name__}, whose last features have no known place in the image, "
            "expected a map of it to paint from; use another backbone or the method contrastive"
        )
    return found


def weight(what: str, value: Any) -> float:
    """The value, a weight of at least 0.

    Raises
    ------
    ConfigError
        Naming the option.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ConfigError(f"found {what} = {value!r}, expected a number of at least 0")
    return float(value)


def spread(embeddings: Tensor) -> Tensor:
    """How far embeddings differ from one another: 0 when they are all alike, about 1 when they point anywhere.

    The standard deviation over the batch of every coordinate of the normalised embeddings, averaged over coordinates
    and multiplied by the square root of their number.

    Parameters
    ----------
    embeddings : Tensor, (batch, width)
        At least two rows.

    References
    ----------
    Chen and He, Exploring Simple Siamese Representation Learning, CVPR 2021, arXiv:2011.10566, section 4.1.

    Examples
    --------
    >>> float(spread(torch.ones(4, 3)))
    0.0
    """
    unit = nn.functional.normalize(embeddings.detach().float(), dim=1)
    found: Tensor = unit.std(dim=0, correction=0).mean() * embeddings.shape[1] ** 0.5
    return found
