"""A fitted network as ONNX: from crops and columns to Shapley shares, with any number of axillae and images."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from usdlr.core.errors import ConfigError, DataError
from usdlr.data.batch import Batch
from usdlr.models.network import FusionNetwork, Output
from usdlr.models.shapley import subset_table
from usdlr.models.weights import branch_name

OPSET: Final = 20
INPUTS: Final = ("table", "scores", "present", "place")
OUTPUTS: Final = ("shares", "base", "embeddings", "block_logits", "there")


class WholeNetwork(nn.Module):
    """A network that reads every image of every block, and then masks what is absent.

    :class:`usdlr.models.network.FusionNetwork` encodes the present rows alone, whose number depends on the values; a
    graph has fixed steps. What an absent row gives is masked either way.

    Parameters
    ----------
    network : FusionNetwork
        In evaluation mode.
    target : int
        Which of the head's targets answers the stage.
    """

    subsets: Tensor
    signed: Tensor

    def __init__(self, network: FusionNetwork, target: int) -> None:
        super().__init__()
        self.network = network
        self.target = target
        subsets, signed = subset_table(len(network.blocks))
        self.register_buffer("subsets", subsets, persistent=False)
        self.register_buffer("signed", signed, persistent=False)

    def forward(
        self, images: Sequence[Tensor], table: Tensor, scores: Tensor, present: Tensor, place: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What :class:`usdlr.inference.reading.Reading` holds, of every axilla.

        Parameters
        ----------
        images : sequence of Tensor, (images, channels, size, size)
            Of every image block, in the network's order.
        table, scores, present, place : Tensor
            As for :meth:`usdlr.models.network.FusionNetwork.forward`.

        Returns
        -------
        tuple of Tensor
            Shapley shares, (axillae, blocks), 0 where a block is absent; the logit without any block, (axillae,);
            embeddings, (axillae, blocks, embedding_dim); the stage's logit by each block alone, (axillae, blocks);
            which blocks are there, bool, (axillae, blocks).
        """
        output = self.network.fuse(self._encode(images, table), scores, present, place)
        shares, base = self._shares(output)
        alone = self.network.head.stage_logits(output.block_logits)[..., self.target]
        return shares, base, output.embeddings, alone, output.present

    def _encode(self, images: Sequence[Tensor], table: Tensor) -> Tensor:
        encoders, names = self.network.encoders, self.network.settings.image_blocks
        given = dict(zip(names, images, strict=True))
        found: dict[str, Tensor] = {}
        for group, blocks in encoders.groups.items():
            features = encoders.backbones[group](torch.cat([given[block] for block in blocks]))
            for block, part in zip(blocks, features.reshape(len(blocks), -1, features.shape[-1]), strict=True):
                found[block] = encoders.projections[branch_name(block)](part)
        for block, columns in self.network.tables.items():
            found[block] = self.network.tabular[branch_name(block)](table[:, columns])
        return torch.stack([found[block] for block in self.network.blocks], dim=1)

    def _shares(self, output: Output) -> tuple[Tensor, Tensor]:
        """As :func:`usdlr.models.shapley.shapley_shares`, with all subsets in one pass of the fusion."""
        subsets = self.subsets.shape[0]
        use = (output.present.unsqueeze(1) & self.subsets).flatten(0, 1)
        embeddings = output.embeddings.unsqueeze(1).expand(-1, subsets, -1, -1).flatten(0, 1)
        direct = output.direct.unsqueeze(1).expand(-1, subsets, -1, -1).flatten(0, 1)
        direct = torch.where(use.unsqueeze(-1), direct, torch.zeros_like(direct)).sum(dim=1)
        logits = self.network.head.stage_logits(self.network.fusion(embeddings, use).logits + direct)
        values = logits[:, self.target].reshape(-1, subsets)
        shares = (values.double() @ self.signed).to(values.dtype)
        return torch.where(output.present, shares, torch.zeros_like(shares)), values[:, 0]


def network_input(
    network: FusionNetwork, size_px: int, places: Tensor, present: Tensor, *, columns: int, scored: int, seed: int
) -> Batch:
    """Random input of a network, laid out as a batch.

    Parameters
    ----------
    network : FusionNetwork
        Whose input.
    size_px : int
        Side of the crops in pixels.
    places : int64 Tensor, (axillae, most images)
        Which images belong to each axilla; -1 where it has fewer.
    present : bool Tensor, (images, blocks)
        Which blocks each image has.
    columns, scored : int
        Width of the table, and how many blocks come with a score.
    seed : int
        Of the draws; values are normal with a standard deviation of 1. Their stream is one that numpy keeps for good,
        so that they are the same on every machine.
    """
    draw = np.random.RandomState(seed)
    images, settings = len(present), network.settings

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(draw.standard_normal(shape).astype(np.float32))

    return Batch(
        images={block: normal(images, settings.in_channels, size_px, size_px) for block in settings.image_blocks},
        table=normal(images, columns),
        scores=normal(images, scored, network.head.width),
        present=present,
        place=places,
        label=torch.full((len(places), network.head.targets), float("nan")),
        auxiliary=torch.zeros(len(places), 0),
        row=torch.arange(len(places)),
    )


def graph(network: FusionNetwork, target: int, batch: Batch) -> bytes:
    """The network as an ONNX file.

    Parameters
    ----------
    network : FusionNetwork
        In evaluation mode.
    target : int
        Which of the head's targets answers the stage.
    batch : Batch
        Input to trace with, from :func:`network_input`: several axillae, some with several images.

    Raises
    ------
    ConfigError
        If some part of the network has no form in ONNX; it names what.
    DataError
        If the packages that write it are missing.
    """
    try:
        for package in ("onnx", "onnxscript"):  # what torch writes with
            importlib.import_module(package)
    except ImportError as error:
        raise DataError(
            f"found no package {error.name}, expected it to write ONNX; pip install 'usdlr[onnx]'"
        ) from error
    names = [*image_names(network), *INPUTS]
    given = (batch["table"], batch["scores"], batch["present"], batch["place"])
    arguments = (list(batch["images"].values()), *given)
    many, axillae, most = (torch.export.Dim(name, min=1) for name in ("images", "axillae", "most_images"))
    free: Any = ([{0: many} for _ in batch["images"]], {0: many}, {0: many}, {0: many}, {0: axillae, 1: most})
    log = logging.getLogger("torch.onnx")
    level, log.level = log.level, logging.ERROR
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            # In two steps: the second alone would quietly fix an axis that the first cannot keep free.
            traced = torch.export.export(WholeNetwork(network, target).eval(), arguments, dynamic_shapes=free)
            program = torch.onnx.export(
                traced,
                input_names=names,
                output_names=list(OUTPUTS),
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # torch raises many kinds, few of them its own
        parts = {name: getattr(network.settings, name) for name in ("backbone", "pooling", "fusion", "head")}
        words = ", ".join(f"{name} {value}" for name, value in parts.items())
        line = next((text for text in reversed(str(error).splitlines()) if text.strip()), type(error).__name__)
        raise ConfigError(
            f"found a network without a form in ONNX ({words}: {line.strip()[:200]}), expected one; predict with torch"
        ) from error
    finally:
        log.level = level
    assert program is not None
    content: bytes = plain(program.model_proto).SerializeToString(deterministic=True)
    return content


def image_names(network: FusionNetwork) -> list[str]:
    """Names of the graph's image inputs, in the order of the image blocks."""
    return [f"image.{block}" for block in network.settings.image_blocks]


def plain(model: Any) -> Any:
    """The model without what torch notes of the machine that wrote it: paths, stack traces, module names."""
    del model.metadata_props[:]
    model.doc_string = ""
    graphs = [model.graph, *model.functions]
    for part in graphs:
        part.doc_string = ""
        del part.metadata_props[:]
        for node in part.node:
            node.doc_string = ""
            del node.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer]:
        value.doc_string = ""
        del value.metadata_props[:]
    return model
