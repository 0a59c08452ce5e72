"""What a stage's networks say together, as a function that has a gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from usdlr.baselines.scaling import CLIP, LINEAR, Scaling
from usdlr.baselines.signature import SCORE
from usdlr.inference.heatmap_path import Objective
from usdlr.inference.reading import embedding_columns
from usdlr.inference.signature import LOGIT, SignatureReadout
from usdlr.inference.stage import StageModel
from usdlr.models.network import Output


def stage_objective(model: StageModel) -> Objective:
    """A stage's log-odds before calibration, from what its networks give; of a readout, what its images add to them.

    Parameters
    ----------
    model : StageModel
        The mean of its networks' log-odds, or a signature: embeddings and block logits, each standardised, clipped and
        weighed as :meth:`usdlr.inference.signature.SignatureReadout.shares` does.
    """
    if model.readout is not None:
        return _of_readout(model, model.readout)

    def mean(outputs: Sequence[Output]) -> Tensor:
        said = [
            network.head.stage_logits(output.logits)[:, model.target]
            for network, output in zip(model.networks, outputs, strict=True)
        ]
        return torch.stack(said).mean(dim=0)

    return mean


def _of_readout(model: StageModel, readout: SignatureReadout) -> Objective:
    first, folds = model.networks[0], readout.folds
    blocks = first.settings.image_blocks
    dims = [network.settings.embedding_dim for network in model.networks]
    starts = [sum(dims[:place]) for place in range(len(dims))]
    names = {block: embedding_columns(block, sum(dims)) for block in blocks}
    score = {variable.name: variable.coefficient for variable in readout.nomogram.variables}.get(SCORE, 0.0)
    weights = _Weights(readout, score)

    def said(outputs: Sequence[Output]) -> Tensor:
        total = 0.0 * outputs[0].logits.sum(dim=1)
        for block in blocks:
            place = first.blocks.index(block)
            there = torch.stack([output.present[:, place] for output in outputs])  # networks, axillae
            for network, (output, start, dim) in enumerate(zip(outputs, starts, dims, strict=True)):
                own = names[block][start : start + dim]
                total = total + weights.of(own, output.embeddings[:, place], there[network])
            alone = torch.stack(
                [
                    network.head.stage_logits(output.block_logits)[:, place, model.target]
                    for network, output in zip(model.networks, outputs, strict=True)
                ]
            )
            for fold in range(folds):
                mine = slice(fold * len(outputs) // folds, (fold + 1) * len(outputs) // folds)
                seen = there[mine].sum(dim=0)
                known = torch.where(there[mine], alone[mine], alone.new_zeros(())).sum(dim=0) / seen.clamp(min=1)
                centred = known - float(readout.centres[block][fold])
                total = total + weights.of([LOGIT + block], centred[:, None], seen > 0)
        return total / folds

    return said


class _Weights:
    """What columns add to a signature's log-odds, with a gradient."""

    def __init__(self, readout: SignatureReadout, score: float) -> None:
        signature = readout.signature if score else None
        self.scaling: Scaling | None = None if signature is None else signature.scaling
        columns = () if signature is None else signature.columns
        self.place = {name: place for place, name in enumerate(columns)}
        self.weight = [] if signature is None else [score * float(one) for one in signature.coefficients]

    def of(self, names: Sequence[str], values: Tensor, there: Tensor) -> Tensor:
        """What the named columns, (axillae, columns), add where they are there; elsewhere the median says nothing."""
        known = [(column, self.place[name]) for column, name in enumerate(names) if name in self.place]
        if self.scaling is None or not known:
            return 0.0 * torch.where(there[:, None], values, values.new_zeros(())).sum(dim=1)
        columns, places = [column for column, _ in known], [place for _, place in known]
        median, spread, mean, scale = (
            torch.tensor(getattr(self.scaling, name)[places], dtype=values.dtype)
            for name in ("median", "spread", "mean", "scale")
        )
        given = torch.where(there[:, None], values[:, columns], median)
        bent = given if self.scaling.kind == LINEAR else torch.asinh((given - median) / spread)
        standard = ((bent - mean) / scale).clamp(-CLIP, CLIP)
        return (standard * torch.tensor([self.weight[place] for place in places], dtype=values.dtype)).sum(dim=1)
