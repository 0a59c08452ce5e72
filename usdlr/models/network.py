"""The whole network: one branch per block, then fusion."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from usdlr.models.backbones import ImageEncoder, build_backbone
from usdlr.models.fusion import Fused, GatedFusion
from usdlr.models.settings import NetworkSettings
from usdlr.models.tabular import TabularEncoder


class FusionNetwork(nn.Module):
    """Image branches for every modality and ROI, a radiomics and size branch, gated fusion, one logit.

    Parameters
    ----------
    settings : NetworkSettings
        What it is made of.
    tabular_features : int
        Number of standardised radiomics and clinical columns.
    """

    def __init__(self, settings: NetworkSettings, tabular_features: int) -> None:
        super().__init__()
        self.settings = settings
        self.encoders = nn.ModuleDict(
            {
                _key(block): ImageEncoder(
                    build_backbone(
                        settings.backbone, pretrained=settings.pretrained, weights_file=settings.weights_file
                    ),
                    settings.embedding_dim,
                    settings.dropout,
                )
                for block in settings.image_blocks
            }
        )
        self.tabular = TabularEncoder(
            tabular_features, settings.tabular_hidden, settings.embedding_dim, settings.dropout
        )
        self.fusion = GatedFusion(settings.embedding_dim, len(settings.blocks))

    def forward(self, images: Mapping[str, Tensor], table: Tensor, present: Tensor) -> Fused:
        """Predict a batch.

        Parameters
        ----------
        images : mapping of str to Tensor, (batch, 1, size, size)
            By image block; rows of an absent block are ignored.
        table : Tensor, (batch, tabular_features)
            Standardised columns.
        present : bool Tensor, (batch, blocks)
            In the order of ``settings.blocks``; the last block is always there.
        """
        if self.training:
            present = self._hide(present)
        embeddings = [
            self._encode(block, images[block], present[:, position])
            for position, block in enumerate(self.settings.image_blocks)
        ]
        fused: Fused = self.fusion(torch.stack([*embeddings, self.tabular(table)], dim=1), present)
        return fused

    def _hide(self, present: Tensor) -> Tensor:
        """Hide image blocks by chance, and those that a single row of the batch has left."""
        hidden = torch.rand(present.shape, device=present.device) < self.settings.block_dropout
        # Batch normalisation has no statistics of one image; such a row does without the block this time.
        hidden |= (present & ~hidden).sum(dim=0, keepdim=True) == 1
        hidden[:, -1] = False
        return present & ~hidden

    def _encode(self, block: str, image: Tensor, present: Tensor) -> Tensor:
        """Encode the rows that have the block. Absent rows must not reach batch statistics: they stay zero."""
        embedding = image.new_zeros(len(image), self.settings.embedding_dim)
        count = int(present.sum())
        if count == 0:
            return embedding
        if count == len(image):
            return self.encoders[_key(block)](image)  # type: ignore[no-any-return]  # ModuleDict is untyped
        return embedding.index_copy(0, torch.nonzero(present).squeeze(1), self.encoders[_key(block)](image[present]))


def _key(block: str) -> str:
    """Module names must not hold dots."""
    return block.replace(".", "_")
