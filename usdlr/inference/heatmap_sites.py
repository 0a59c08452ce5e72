"""Where in a backbone a heat map is made: the last of its values that have a place in the image and still count."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.network import FusionNetwork


class Site:
    """A place in a backbone, and what the backbone makes of other values there.

    Parameters
    ----------
    backbone : nn.Module
        A timm model.
    layer : nn.Module or None
        The layer whose output counts; ``None``: the last features, before they are averaged over the image.
    """

    def __init__(self, backbone: nn.Module, layer: nn.Module | None = None) -> None:
        self.backbone: Any = backbone
        self.layer = layer

    def values(self, image: Tensor) -> Tensor | None:
        """What stands there for a batch of images; ``None`` where it is not one tensor."""
        if self.layer is None:
            features = self.backbone.forward_features(image)
            return features if isinstance(features, Tensor) else None
        kept: list[Any] = []
        hook = self.layer.register_forward_hook(lambda module, args, output: kept.append(output))
        try:
            self.backbone(image)
        finally:
            hook.remove()
        return kept[0] if kept and isinstance(kept[0], Tensor) else None

    def features(self, values: Tensor, image: Tensor) -> Tensor:
        """The backbone's features, (rows, width), if ``values`` stood there."""
        if self.layer is None:
            features: Tensor = self.backbone.forward_head(values)
            return features
        hook = self.layer.register_forward_hook(lambda module, args, output: values)
        try:
            features = self.backbone(image)
        finally:
            hook.remove()
        return features

    def by_place(self, values: Tensor) -> tuple[Tensor, Tensor] | None:
        """Values added up over features, (rows, height, width) in (row, column) order, and those without a place.

        The second, (rows,), are a transformer's class and register tokens. ``None``: they have no known place.
        """
        if values.ndim == 4:
            last = self.layer is None and str(getattr(self.backbone, "output_fmt", "")).endswith("NHWC")
            placed = values.sum(dim=3 if last else 1)
            return placed, placed.new_zeros(len(placed))
        grid = getattr(getattr(self.backbone, "patch_embed", None), "grid_size", None)
        if values.ndim != 3 or grid is None:
            return None
        rows, cols = grid
        before = values.shape[1] - rows * cols
        if before not in (0, int(getattr(self.backbone, "num_prefix_tokens", 0))):
            return None
        summed = values.sum(dim=2)
        return summed[:, before:].reshape(len(values), rows, cols), summed[:, :before].sum(dim=1)


def find_site(backbone: nn.Module, image: Tensor) -> Site:
    """The last place in a backbone whose values have a place in the image and count for its features.

    That is the last features, unless the backbone reads its class token alone: then the other tokens count for the
    last time on their way into the last layer.

    Parameters
    ----------
    backbone : nn.Module
        A timm model in evaluation mode.
    image : Tensor, (rows, channels, size, size)
        An image that it takes.

    Raises
    ------
    ConfigError
        If there is none.
    """
    layers = list(getattr(backbone, "blocks", ()))
    layered = [Site(backbone, layer) for layer in (layers[-1:] + layers[-2:-1])]
    whole = [Site(backbone)] if hasattr(backbone, "forward_features") and hasattr(backbone, "forward_head") else []
    for site in [*whole, *layered]:
        with torch.no_grad():
            values = site.values(image[:1])
        if (
            values is not None
            and site.by_place(values) is not None
            and (values.ndim == 4 or _counts(site, values, image))
        ):
            return site
    raise ConfigError(
        f"found a backbone of the kind {type(backbone).__name__}, whose features have no place in the image, expected "
        "a convolutional network, ViT or Swin to draw heat maps of; choose another model.backbone"
    )


def _counts(site: Site, values: Tensor, image: Tensor) -> bool:
    """Whether any value with a place moves the features."""
    with torch.enable_grad():
        values = values.detach().requires_grad_()
        features = site.features(values, image[:1])
        # Not their sum: behind a normalisation that is a constant.
        directions = torch.cos(torch.arange(features.shape[1], dtype=features.dtype))
        (gradient,) = torch.autograd.grad((features * directions).sum(), values, allow_unused=True)
    placed = None if gradient is None else site.by_place(gradient.abs())
    return placed is not None and bool((placed[0] > 0).any())


class Tail(nn.Module):
    """Stands in for a backbone: first it keeps what its images give, then it plays values on the way from nothing.

    Parameters
    ----------
    backbone : nn.Module
        A timm model in evaluation mode.

    Attributes
    ----------
    share : float or None
        0: as if every image were empty; 1: the images; ``None``: keep the images that come.
    now : Tensor
        The values of the last pass, which gradients are asked for.
    """

    given: Tensor
    empty: Tensor
    now: Tensor

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.site: Site | None = None
        self.share: float | None = None

    @property
    def filled(self) -> bool:
        """Whether any image came by."""
        return self.site is not None

    def forward(self, image: Tensor) -> Tensor:
        """The features, (rows, width), of the images or of what stands in for them."""
        if self.share is None:
            self.site = find_site(self.backbone, image)
            self.given, self.empty = self._values(image), self._values(torch.zeros_like(image))
            features: Tensor = self.backbone(image)
            return features
        assert self.site is not None
        self.now = (self.empty + self.share * (self.given - self.empty)).detach().requires_grad_()
        return self.site.features(self.now, image)

    def by_place(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`Site.by_place`."""
        found = None if self.site is None else self.site.by_place(values)
        assert found is not None  # that is how the site was chosen
        return found

    def _values(self, image: Tensor) -> Tensor:
        assert self.site is not None
        with torch.no_grad():
            values = self.site.values(image)
        assert values is not None
        return values


def with_tails(network: FusionNetwork) -> tuple[FusionNetwork, dict[str, Tail]]:
    """A twin of a network with the same weights in the same memory, whose backbones are tails, and these by name.

    The network itself is not touched: others may be predicting with it.
    """
    same = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    twin: FusionNetwork = copy.deepcopy(network, same)
    tails = {name: Tail(backbone) for name, backbone in twin.encoders.backbones.items()}
    twin.encoders.backbones = nn.ModuleDict(tails)
    return twin.eval(), tails
