"""The whole network: one branch per block, pooling over an axilla's images, fusion over its blocks, a head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from usdlr.core.modalities import BMODE
from usdlr.core.named_parts import build_part
from usdlr.core.regions import block_site
from usdlr.core.types import Site
from usdlr.models.auxiliary import AuxiliaryHeads
from usdlr.models.encoders import ImageEncoders
from usdlr.models.fusion import FUSIONS, Fusion
from usdlr.models.heads import Head, build_head
from usdlr.models.pooling import POOLINGS, Pooling
from usdlr.models.settings import NetworkSettings
from usdlr.models.shapley import shapley_shares
from usdlr.models.tabular import TabularEncoder


class Output(NamedTuple):
    """What the network gives for a batch.

    Parameters
    ----------
    logits : Tensor, (axillae, width)
        What the head reads; see :mod:`usdlr.models.heads`.
    block_logits : Tensor, (axillae, blocks, width)
        What each block gives on its own.
    direct : Tensor, (axillae, blocks, width)
        What each block's score adds to both; 0 where it has none.
    weights : Tensor, (axillae, blocks), or None
        Weights of the blocks, summing to one over the present ones, of a fusion that has any.
    embeddings : Tensor, (axillae, blocks, embedding_dim)
        Of each block, pooled over the axilla's images.
    present : bool Tensor, (axillae, blocks)
        Blocks that counted: those that are there and, in training, not hidden.
    image_weights : Tensor, (axillae, images, blocks)
        Weights of the images of an axilla, summing to one over those that have the block.
    auxiliary : Tensor, (axillae, auxiliary targets)
        Standardised predictions of the auxiliary quantities.
    """

    logits: Tensor
    block_logits: Tensor
    direct: Tensor
    weights: Tensor | None
    embeddings: Tensor
    present: Tensor
    image_weights: Tensor
    auxiliary: Tensor


class FusionNetwork(nn.Module):
    """Image branches for every modality and region, radiomics and clinical branches, pooling, fusion, head.

    Parameters
    ----------
    settings : NetworkSettings
        What it is made of.
    columns : sequence of str
        Names of the standardised radiomics and clinical columns, in the order of the table.
    scored : sequence of str
        Radiomics and clinical blocks that come with a score, in the order of the scores; empty for none. One that has
        no column among ``columns`` is no block, and its score is not read.
    size_px : int
        Side of the crops in pixels.
    """

    def __init__(
        self, settings: NetworkSettings, columns: Sequence[str], size_px: int, *, scored: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.settings = settings
        self.tables = settings.table_blocks(columns)
        self.blocks = (*settings.image_blocks, *self.tables)
        dim = settings.embedding_dim
        self.head: Head = build_head(settings.head)
        self.encoders = ImageEncoders(settings, size_px)
        self.tabular = nn.ModuleDict(
            {
                _key(name): TabularEncoder(len(places), settings.tabular_hidden, dim, settings.dropout)
                for name, places in self.tables.items()
            }
        )
        self.pooling: Pooling = build_part(settings.pooling, "model.pooling", POOLINGS, dim, len(self.blocks))
        self.fusion: Fusion = build_part(
            settings.fusion, "model.fusion", FUSIONS, dim, len(self.blocks), self.head.width
        )
        # Nothing was chosen of a block that is scored and yet no block of the network: its score is not read.
        self.score_columns = [column for column, block in enumerate(scored) if block in self.blocks]
        self.scored = [self.blocks.index(scored[column]) for column in self.score_columns]
        self.score_scale = nn.Parameter(torch.ones(len(self.scored), self.head.width))
        if self.scored:  # the fit starts from what the scores say; embeddings that know nothing yet add nothing
            self.fusion.silence()
        # Positions are plain lists: averaging the weights would average whole numbers in buffers too, and round them.
        # What they learn of the tumour is not to be seen on a lymph node.
        tumour = [block for block in settings.image_blocks if block_site(block) is Site.TUMOUR]
        self.bmode_blocks = [place for place, block in enumerate(tumour) if block.split(".")[0] == BMODE]
        self.auxiliary = AuxiliaryHeads(dim, len(self.bmode_blocks), settings.auxiliary)

    def forward(
        self, images: Mapping[str, Tensor], table: Tensor, scores: Tensor, present: Tensor, place: Tensor
    ) -> Output:
        """Predict a batch.

        Parameters
        ----------
        images : mapping of str to Tensor, (images, channels, size, size)
            By image block; rows of an absent block are ignored.
        table : Tensor, (images, columns)
            Standardised columns.
        scores : Tensor, (images, scored blocks, width)
            Log-odds that a plain model gives by each scored block alone.
        present : bool Tensor, (images, blocks)
            In the order of ``blocks``.
        place : int64 Tensor, (axillae, most images)
            Which images belong to each axilla; -1 where it has fewer.
        """
        if self.training:
            present = self._hide(present, place)
        return self.fuse(self.encode(images, table, present), scores, present, place)

    def fuse(self, embeddings: Tensor, scores: Tensor, present: Tensor, place: Tensor) -> Output:
        """What the network makes of embeddings, whatever they come from; with those of :meth:`encode`, a prediction.

        Parameters
        ----------
        embeddings : Tensor, (images, blocks, embedding_dim)
            Anything where a block is absent.
        scores, present, place : Tensor
            As for :meth:`forward`.
        """
        pooled = self.pooling(*self._by_axilla(embeddings, present, place))
        evidence = self.fusion(pooled.embeddings, pooled.present)
        direct = self._direct(scores, present, place)
        return Output(
            logits=evidence.logits + direct.sum(dim=1),
            block_logits=self.fusion.block_logits(pooled.embeddings) + direct,
            direct=direct,
            weights=evidence.weights,
            embeddings=pooled.embeddings,
            present=pooled.present,
            image_weights=pooled.weights,
            auxiliary=self.auxiliary(pooled.embeddings[:, self.bmode_blocks], pooled.present[:, self.bmode_blocks]),
        )

    def shares(
        self, output: Output, target: int, together: Sequence[Sequence[int]] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Exact Shapley shares of the present blocks in a stage's logit, (axillae, blocks), and the rest, (axillae,).

        The rest is the logit without any block; both add up to the stage's logit.

        Parameters
        ----------
        output : Output
            Of these axillae.
        target : int
            Of the head.
        together : sequence of sequence of int, optional
            Positions of the blocks that come and go as one, every block once; by default each of them alone. The
            shares, (axillae, sets of blocks), are then theirs: no sum of single shares where blocks act together.
        """
        sets = [[block] for block in range(len(self.blocks))] if together is None else [list(one) for one in together]
        owner = torch.zeros(len(sets), len(self.blocks), dtype=torch.bool, device=output.present.device)
        for player, blocks in enumerate(sets):
            owner[player, blocks] = True

        def value(use: Tensor) -> Tensor:
            mask = output.present & (use[:, :, None] & owner).any(dim=1)
            direct = torch.where(mask[..., None], output.direct, output.direct.new_zeros(())).sum(dim=1)
            return self.head.stage_logits(self.fusion(output.embeddings, mask).logits + direct)[:, target]

        return shapley_shares(value, (output.present[:, None] & owner).any(dim=2))

    def _hide(self, present: Tensor, place: Tensor) -> Tensor:
        """Hide blocks of whole axillae by chance; an axilla that would lose its last block keeps them all."""
        hidden = torch.rand(len(place), present.shape[1], device=present.device) < self.settings.block_dropout
        there = _gather(present, place).any(dim=1)
        hidden &= (there & ~hidden).any(dim=1, keepdim=True)
        of_image = hidden.new_zeros(present.shape)
        axilla, position = torch.nonzero(place >= 0, as_tuple=True)
        of_image[place[axilla, position]] = hidden[axilla]
        return present & ~of_image

    def encode(self, images: Mapping[str, Tensor], table: Tensor, present: Tensor) -> Tensor:
        """Embed every block of every image, (images, blocks, embedding_dim); zero where a block is absent."""
        out = table.new_zeros(len(table), len(self.blocks), self.settings.embedding_dim)
        rows = [torch.nonzero(present[:, place]).squeeze(1) for place in range(len(self.blocks))]
        given = {
            block: images[block][rows[place]]
            for place, block in enumerate(self.settings.image_blocks)
            if len(rows[place])
        }
        encoded = self.encoders.forward_all(given)
        for place, block in enumerate(self.blocks):
            if not len(rows[place]):
                continue
            if block in self.tables:
                embedding = self.tabular[_key(block)](table[rows[place]][:, self.tables[block]])
            else:
                embedding = encoded[block]
            out = out.index_put((rows[place], torch.full_like(rows[place], place)), embedding.to(out.dtype))
        return out

    def _direct(self, scores: Tensor, present: Tensor, place: Tensor) -> Tensor:
        """What the scores of the present blocks add, (axillae, blocks, width): the mean over an axilla's images."""
        # The shape, not `len`, which an export to a graph would take for a constant.
        out = scores.new_zeros(place.shape[0], len(self.blocks), self.head.width)
        if not self.scored:
            return out
        there = _gather(present[:, self.scored], place)
        # Not a product: what stands in place of an absent score may be not-a-number.
        total = torch.where(there[..., None], _gather(scores[:, self.score_columns], place), scores.new_zeros(())).sum(
            dim=1
        )
        mean = total / there.sum(dim=1).clamp(min=1)[..., None]
        return out.index_copy(1, torch.tensor(self.scored, device=out.device), mean * self.score_scale)

    def _by_axilla(self, embeddings: Tensor, present: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Lay images out by axilla: (axillae, most images, blocks, ...); nothing is present where there is no image."""
        return _gather(embeddings, place), _gather(present, place)


def _gather(values: Tensor, place: Tensor) -> Tensor:
    """The values of each axilla's images; zero or false where it has fewer."""
    there = (place >= 0).reshape(*place.shape, *[1] * (values.dim() - 1))
    found = values[place.clamp(min=0)]
    if values.dtype == torch.bool:  # ONNX Runtime chooses between numbers only
        return found & there
    return torch.where(there, found, torch.zeros((), dtype=values.dtype, device=values.device))


def _key(block: str) -> str:
    """Module names must not hold dots."""
    return block.replace(".", "_")
