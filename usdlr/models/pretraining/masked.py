"""Masked-image modelling: hide patches, and learn to paint them from what is left."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.options import share, whole
from usdlr.models.pretraining.method import Method, Outcome, Patches, PretextBatch, feature_map, feature_shape, spread

# A Gaussian is cut off where it has fallen to 1 %.
REACH = 3


class MaskedImages(Method):
    """Paint hidden square patches; the loss is the absolute error on hidden pixels alone.

    The patches are replaced by one learned grey level in the image itself, so that any timm model can learn this way,
    convolutional ones too. One 1 x 1 convolution turns the last feature map into pixels: all that is known about the
    picture has to be in the backbone. Layers after the last feature map (pooling, a widening layer) learn nothing.

    Parameters
    ----------
    backbone, size_px
        See :class:`Method`.
    mask_ratio : float
        Share of patches that are hidden.
    patch_px : int
        Side of a patch in pixels; divides ``size_px``.

    Raises
    ------
    ConfigError
        If the patches do not fit.

    References
    ----------
    Xie et al., SimMIM: A Simple Framework for Masked Image Modeling, CVPR 2022, arXiv:2111.09886.
    """

    views: ClassVar[int] = 1

    def __init__(self, backbone: nn.Module, size_px: int, *, mask_ratio: float = 0.6, patch_px: int = 16) -> None:
        super().__init__(backbone, size_px)
        whole("method.masked.patch_px", patch_px, 1)
        share("method.masked.mask_ratio", mask_ratio)
        if size_px % patch_px or patch_px == size_px:
            raise ConfigError(
                f"found method.masked.patch_px = {patch_px} and size_px = {size_px}, expected a smaller side that "
                "divides it; change one of the two"
            )
        if mask_ratio == 0:
            raise ConfigError("found method.masked.mask_ratio = 0, expected a share above 0 of hidden patches")
        self.mask_ratio, self.patch_px = mask_ratio, patch_px
        channels, rows, cols = feature_shape(backbone, size_px)
        stride = max(-(-size_px // rows), -(-size_px // cols))
        self.decoder = nn.Sequential(nn.Conv2d(channels, stride * stride, 1), nn.PixelShuffle(stride))
        self.hidden_level = nn.Parameter(torch.zeros(()))

    @property
    def patches(self) -> Patches:
        """What is to be hidden."""
        return Patches(self.patch_px, self.mask_ratio)

    def shown(self, image: Tensor, hidden: Tensor) -> Tensor:
        """The image as the backbone sees it."""
        return torch.where(hidden, self.hidden_level, image)

    def reconstruct(self, image: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Paint an image from what is shown of it.

        Parameters
        ----------
        image : Tensor, (batch, 1, size, size)
        hidden : bool Tensor of the same shape

        Returns
        -------
        painted : Tensor, (batch, 1, size, size)
        features : Tensor, (batch, channels)
            The last feature map, averaged over the image.
        """
        features = feature_map(self.backbone, self.shown(image, hidden))
        painted: Tensor = self.decoder(features)
        return painted[..., : self.size_px, : self.size_px], features.mean(dim=(2, 3))

    def forward(self, batch: PretextBatch) -> Outcome:
        """The error on hidden pixels."""
        image, valid, hidden = _first(batch)
        painted, features = self.reconstruct(image, hidden)
        return Outcome(masked_error(painted, image, hidden & valid), {"embedding_spread": spread(features)})

    def references(self, batch: PretextBatch) -> dict[str, Tensor]:
        """Errors of the mean grey level of what is shown, and of a blur of what is shown nearby."""
        image, valid, hidden = _first(batch)
        counted, seen = hidden & valid, valid & ~hidden
        return {
            "mean": masked_error(mean_guess(image, seen), image, counted),
            "blur": masked_error(blur_guess(image, seen, self.patch_px / 2), image, counted),
        }

    def pictures(self, batch: PretextBatch) -> dict[str, Tensor]:
        """Original, what was shown, and what was painted, the shown part as it was."""
        image, valid, hidden = _first(batch)
        painted, _ = self.reconstruct(image, hidden)
        black = torch.full_like(image, -2.0)
        return {
            "original": torch.where(valid, image, black)[:, 0],
            "shown to the network": torch.where(hidden | ~valid, black, image)[:, 0],
            "reconstruction": torch.where(valid, torch.where(hidden, painted, image), black)[:, 0],
        }


def _first(batch: PretextBatch) -> tuple[Tensor, Tensor, Tensor]:
    return batch["images"][0], batch["valid"][0], batch["hidden"][0]


def masked_error(painted: Tensor, image: Tensor, counted: Tensor) -> Tensor:
    """Mean absolute difference over the counted pixels of the whole batch; 0 where none counts.

    Examples
    --------
    >>> image, painted = torch.zeros(1, 1, 1, 3), torch.tensor([[[[1.0, 5.0, 3.0]]]])
    >>> float(masked_error(painted, image, torch.tensor([[[[True, False, True]]]])))
    2.0
    """
    difference = torch.where(counted, (painted - image).abs(), 0.0)
    return difference.sum() / counted.sum().clamp(min=1)


def mean_guess(image: Tensor, seen: Tensor) -> Tensor:
    """Every pixel as the mean of what is seen of its own image, (batch, 1, size, size); 0 where nothing is."""
    count = seen.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1)
    return ((image * seen).sum(dim=(1, 2, 3), keepdim=True) / count).expand_as(image)


def blur_guess(image: Tensor, seen: Tensor, sigma_px: float) -> Tensor:
    """Every pixel as the Gaussian average of what is seen around it; far from anything seen, the image's mean."""
    weight = _blur(seen.to(image.dtype), sigma_px)
    total = _blur(image * seen, sigma_px)
    far = weight < 1e-3
    return torch.where(far, mean_guess(image, seen), total / weight.masked_fill(far, 1.0))


def _blur(image: Tensor, sigma_px: float) -> Tensor:
    reach = max(1, round(REACH * sigma_px))
    steps = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (steps / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    rows = nn.functional.conv2d(image, kernel[None, None, :, None], padding=(reach, 0))
    return nn.functional.conv2d(rows, kernel[None, None, None, :], padding=(0, reach))
