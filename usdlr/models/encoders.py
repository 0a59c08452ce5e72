"""Image branches: a backbone for each group of blocks, a projection for each block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.core.regions import block_site, site_block, split_block
from usdlr.models.backbones import backbone_width, build_backbone, feature_maps, require_backbone
from usdlr.models.layers import freeze
from usdlr.models.settings import NetworkSettings
from usdlr.models.weights import branch_name

BATCH_NORMALISATION = (nn.modules.batchnorm._BatchNorm,)


def sharing_groups(blocks: Iterable[str], share: str) -> dict[str, tuple[str, ...]]:
    """Blocks that share one backbone, by the group's name.

    Parameters
    ----------
    blocks : iterable of str
        Image blocks, ``{modality}.{region}``.
    share : str
        ``none``, ``rois`` (one backbone per modality), ``modalities`` (one per region) or ``all``; the first three
        tell lymph nodes from tumours.

    Examples
    --------
    >>> sharing_groups(["bmode.intratumoral", "bmode.peritumoral-3mm", "elasto.intratumoral"], "rois")
    {'bmode': ('bmode.intratumoral', 'bmode.peritumoral-3mm'), 'elasto': ('elasto.intratumoral',)}
    """
    groups: dict[str, tuple[str, ...]] = {}
    for block in blocks:
        (modality, region), site = split_block(block), block_site(block)
        own = {"none": block, "rois": site_block(modality, site), "modalities": site_block(region, site)}
        name = (own | {"all": "all"})[share]
        groups[name] = (*groups.get(name, ()), block)
    return groups


def require_encoders(settings: NetworkSettings, size_px: int) -> None:
    """Refuse image branches that cannot be built, before any data is read.

    Without weights, the model is run on shapes alone, in a fraction of a second; with weights, every branch's
    backbone is built once, so that a file that does not fit or published weights that cannot be had are known now.

    Parameters
    ----------
    settings : NetworkSettings
        What the network is made of.
    size_px : int
        Side of the crops in pixels.

    Raises
    ------
    ConfigError
        As :func:`usdlr.models.backbones.build_backbone`.
    """
    require_backbone(settings.backbone, settings.weights_file, size_px, settings.in_channels)
    if settings.weights_file is None and not settings.pretrained:
        return
    for blocks in sharing_groups(settings.image_blocks, settings.share).values():
        with torch.random.fork_rng(devices=[]):
            _build(settings, size_px, blocks)
        if settings.weights_file is None:
            return  # the published weights are the same for every branch


class ImageEncoders(nn.Module):
    """The image branches of a network.

    Parameters
    ----------
    settings : NetworkSettings
        Backbone, its start, its sharing, and the length of the embeddings.
    size_px : int
        Side of the crops in pixels.

    Raises
    ------
    ConfigError
        As :func:`usdlr.models.backbones.build_backbone`.
    """

    def __init__(self, settings: NetworkSettings, size_px: int) -> None:
        super().__init__()
        groups = sharing_groups(settings.image_blocks, settings.share)
        self.name = settings.backbone
        self.embedding_dim = settings.embedding_dim
        self.groups = {branch_name(name): blocks for name, blocks in groups.items()}
        self.backbones = nn.ModuleDict(
            {name: _build(settings, size_px, blocks) for name, blocks in self.groups.items()}
        )
        for backbone in self.backbones.values():
            freeze(backbone, settings.frozen)
        width = backbone_width(next(iter(self.backbones.values())))
        self.projections = nn.ModuleDict(
            {
                branch_name(block): nn.Sequential(
                    nn.Dropout(settings.dropout),
                    nn.Linear(width, settings.embedding_dim),
                    nn.LayerNorm(settings.embedding_dim),
                )
                for block in settings.image_blocks
            }
        )

    def forward(self, block: str, image: Tensor) -> Tensor:
        """Map one block's present rows, (rows, channels, size, size), to (rows, embedding_dim)."""
        return self.forward_all({block: image})[block]

    def forward_all(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Encode several blocks; those that share a backbone go through it in one pass.

        Batch normalisation takes its statistics from the rows of one pass, of all blocks of that backbone together.
        A pass with a single row has none to take: in training, a backbone with batch normalisation then runs as at
        inference, on its running statistics, which do not move.

        Parameters
        ----------
        images : mapping of str to Tensor, (rows of the block, channels, size, size)
            Present rows only, by block; blocks may differ in rows, and may have none.

        Returns
        -------
        dict of str to Tensor, (rows of the block, embedding_dim)
            In the order of ``images``.
        """
        found: dict[str, Tensor] = {}
        for group, blocks in self.groups.items():
            given = [block for block in blocks if block in images]
            filled = [block for block in given if len(images[block])]
            if filled:
                backbone = self.backbones[group]
                rows = torch.cat([images[block] for block in filled]) if len(filled) > 1 else images[filled[0]]
                with _running_statistics(backbone, when=len(rows) == 1):
                    features = backbone(rows)
                for block, part in zip(filled, features.split([len(images[b]) for b in filled]), strict=True):
                    found[block] = self.projections[branch_name(block)](part)
            found |= {block: images[block].new_zeros(0, self.embedding_dim) for block in given if block not in filled}
        return {block: found[block] for block in images}

    def feature_maps(self, block: str, image: Tensor) -> Tensor:
        """The backbone's last maps, before they are averaged over the image.

        Parameters
        ----------
        block : str
            Image block.
        image : Tensor, (rows, channels, size, size)
            Its pixels.

        Returns
        -------
        Tensor, (rows, features, height, width)
            The map's pixels cover equal parts of the image, in its (row, column) order. Of a transformer: its patch
            tokens, laid out as the patches lie; class and register tokens are left out.

        Raises
        ------
        ConfigError
            If the backbone has no such maps.
        """
        backbone = self.backbones[self._group(block)]
        with _running_statistics(backbone, when=len(image) == 1):
            maps = feature_maps(backbone, image)
        if maps is None:
            raise ConfigError(
                f"found model.backbone = {self.name}, whose features have no place in the image; choose a "
                "convolutional network, ViT or Swin to look at feature maps"
            )
        return maps

    def _group(self, block: str) -> str:
        return next(name for name, blocks in self.groups.items() if block in blocks)


def _build(settings: NetworkSettings, size_px: int, blocks: Sequence[str]) -> nn.Module:
    return build_backbone(
        settings.backbone,
        in_channels=settings.in_channels,
        extra_channels=len(settings.channels),
        size_px=size_px,
        pretrained=settings.pretrained,
        weights_file=settings.weights_file,
        blocks=blocks,
    )


@contextmanager
def _running_statistics(backbone: nn.Module, *, when: bool) -> Iterator[None]:
    """A backbone with batch normalisation as at inference, and then as it was."""
    training = [module for module in backbone.modules() if module.training] if when else []
    if not any(isinstance(module, BATCH_NORMALISATION) for module in training):
        yield
        return
    backbone.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
