"""FiLM: clinical variables and radiomics condition how the images are read."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.fusion.base import Evidence, Fusion
from usdlr.models.fusion.concat import ConcatFusion
from usdlr.models.fusion.gated import GatedFusion
from usdlr.models.masking import hide_absent
from usdlr.models.options import word

EVIDENCE: dict[str, type[GatedFusion] | type[ConcatFusion]] = {"gated": GatedFusion, "concat": ConcatFusion}


class FilmFusion(Fusion):
    """Scale and shift every image embedding by what the tabular block says, then fuse all blocks.

    An image block's embedding ``e`` becomes ``(1 + gamma) * e + beta``; ``gamma`` and ``beta`` are linear in the
    embedding of the tabular block, the last one, with maps of their own for every image block. They are zero where
    the tabular block is absent, and for every axilla at the start.

    Parameters
    ----------
    embedding_dim, blocks, targets : int
        As for :class:`~usdlr.models.fusion.base.Fusion`; at least two blocks.
    evidence : str
        How the blocks, the tabular one among them, are fused afterwards: ``gated`` or ``concat``.

    References
    ----------
    Perez et al., FiLM: visual reasoning with a general conditioning layer, AAAI 2018, arXiv 1709.07871.
    """

    def __init__(self, embedding_dim: int, blocks: int, targets: int, *, evidence: str = "gated") -> None:
        super().__init__(embedding_dim, blocks, targets)
        if blocks < 2:
            raise ConfigError(
                f"found model.fusion = film with {blocks} block, expected image blocks and a tabular block"
            )
        self.film = nn.Linear(embedding_dim, (blocks - 1) * 2 * embedding_dim)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        self.inner = EVIDENCE[word("the option evidence of film", evidence, tuple(EVIDENCE))](
            embedding_dim, blocks, targets
        )

    def forward(self, embeddings: Tensor, present: Tensor) -> Evidence:
        """Fuse a batch; see :meth:`Fusion.forward`."""
        embeddings = hide_absent(embeddings, present)
        evidence: Evidence = self.inner(self.conditioned(embeddings, present), present)
        return evidence

    def conditioned(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Embeddings after scale and shift, (axillae, blocks, embedding_dim); the tabular block's stays as it is.

        Parameters
        ----------
        embeddings : Tensor, (axillae, blocks, embedding_dim)
            Zero where a block is absent.
        present : bool Tensor, (axillae, blocks)
        """
        images, table = embeddings[:, :-1], embeddings[:, -1]
        change = self.film(table).unflatten(-1, (self.blocks - 1, 2, self.embedding_dim))
        change = hide_absent(change, present[:, -1, None, None].expand(change.shape[:-1]))
        gamma, beta = change.unbind(dim=2)
        return torch.cat([(1 + gamma) * images + beta, table.unsqueeze(1)], dim=1)

    def block_logits(self, embeddings: Tensor) -> Tensor:
        """Every block's own logits, (axillae, blocks, targets), the image blocks' without the tabular block's say."""
        return self.inner.block_logits(embeddings)

    def set_base(self, logits: Tensor) -> None:
        """See :meth:`Fusion.set_base`."""
        self.inner.set_base(logits)

    def silence(self) -> None:
        """See :meth:`Fusion.silence`."""
        self.inner.silence()
