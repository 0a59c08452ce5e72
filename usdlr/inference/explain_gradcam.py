"""Grad-CAM of every image branch, by captum: the map that readers know, beside the exact one.

Grad-CAM weighs every channel of a branch's last maps by the mean of its gradient over the map. Behind a network that
averages its last maps and reads them linearly, its sum is what the image adds; behind a normalised embedding, pooling
and fusion, as here, it is a picture of what the branch reacts to, in no unit. The signed maps of
:mod:`usdlr.inference.heatmap` are what the numbers are told from.

References
----------
Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based localization, ICCV 2017,
doi:10.1109/ICCV.2017.74. Kokhlikyan et al., Captum, 2020, arXiv 2009.07896.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt
import torch
from captum.attr import LayerGradCam  # type: ignore[import-untyped]  # captum publishes no types
from torch import Tensor, nn

from usdlr.core.regions import split_block
from usdlr.inference.explain_probe import Probe, Run
from usdlr.inference.heatmap_objective import stage_objective
from usdlr.inference.heatmap_sites import Site, find_site
from usdlr.models.network import FusionNetwork, Output

Maps = dict[tuple[int, str, int], npt.NDArray[np.float32]]


def grad_cam(probe: Probe) -> Maps:
    """Grad-CAM of every image and image block of an axilla, in the stage's log-odds.

    Parameters
    ----------
    probe : Probe
        The axilla.

    Returns
    -------
    dict of (int, str, int) to float32 array, (size, size)
        By position of the image, block and crop: on the crop's grid, signed (above zero: the branch reacts to what
        raises the log-odds), added up over the networks that read the crop, zero outside the block's region.

    Raises
    ------
    ConfigError
        If a backbone's features have no known place in the image.
    """
    objective = stage_objective(probe.model)
    runs = probe.first
    # Not the probe's own outputs: those were made without a record for gradients.
    with torch.no_grad():
        outputs = [_forward(run.network, run, run.batch["images"]) for run in runs]
    found: Maps = {}
    for place, run in enumerate(runs):
        twin, marks = _with_marks(run.network, run.batch["images"])
        blocks = [block for block in run.network.settings.image_blocks if _rows(run, block)]

        def said(*images: Tensor, place: int = place, run: Run = run, twin: FusionNetwork = twin) -> Tensor:
            given = dict(zip(run.network.settings.image_blocks, images, strict=True))
            return objective([*outputs[:place], _forward(twin, run, given), *outputs[place + 1 :]])

        inputs = tuple(run.batch["images"][block].clone() for block in run.network.settings.image_blocks)
        for name, group in run.network.encoders.groups.items():
            rows = [(image, block) for block in group if block in blocks for image in _rows(run, block)]
            if not rows:
                continue
            values = LayerGradCam(said, marks[name].mark).attribute(inputs)
            for (image, block), value in zip(rows, values[:, 0].detach().numpy(), strict=True):
                region = probe.sample(image, run.crop).rois[split_block(block)[1]]
                size = (region.shape[1], region.shape[0])
                drawn = cv2.resize(value.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
                key = (image, block, run.crop)
                found[key] = found.get(key, np.zeros(region.shape, np.float32)) + np.where(region, drawn, 0.0)
    return {key: value.astype(np.float32) for key, value in found.items()}


class Marked(nn.Module):
    """A backbone whose last values with a place in the image go through a layer of their own, channels first.

    Parameters
    ----------
    backbone : nn.Module
        A timm model in evaluation mode.
    site : Site
        Where these values are.
    """

    def __init__(self, backbone: nn.Module, site: Site) -> None:
        super().__init__()
        self.backbone = backbone
        self.site = Site(backbone, site.layer)
        self.mark = nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """The features, (rows, width), as the backbone gives them."""
        if self.site.layer is None:
            values = self.site.values(image)
            assert values is not None
            return self.site.features(self._through(values), image)
        hook = self.site.layer.register_forward_hook(lambda module, args, output: self._through(output))
        try:
            features: Tensor = self.backbone(image)
        finally:
            hook.remove()
        return features

    def _through(self, values: Tensor) -> Tensor:
        if values.ndim == 4:
            last = self.site.layer is None and str(getattr(self.backbone, "output_fmt", "")).endswith("NHWC")
            marked: Tensor = self.mark(values.permute(0, 3, 1, 2) if last else values)
            return marked.permute(0, 2, 3, 1) if last else marked
        rows, cols = self.site.backbone.patch_embed.grid_size  # Site.by_place found it there
        before = values.shape[1] - rows * cols
        placed = values[:, before:].transpose(1, 2).reshape(len(values), -1, rows, cols)
        marked = self.mark(placed)
        return torch.cat([values[:, :before], marked.flatten(2).transpose(1, 2)], dim=1)


def _with_marks(network: FusionNetwork, images: Mapping[str, Tensor]) -> tuple[FusionNetwork, dict[str, Marked]]:
    """A twin with the same weights in the same memory, and its marked backbones by name."""
    same = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    twin: FusionNetwork = copy.deepcopy(network, same)
    some = next(iter(images.values()))
    marks = {}
    for name, backbone in twin.encoders.backbones.items():
        marks[name] = Marked(backbone, find_site(backbone, some))
    twin.encoders.backbones = nn.ModuleDict(marks)
    return twin.eval(), marks


def _forward(network: FusionNetwork, run: Run, images: Mapping[str, Tensor]) -> Output:
    batch = run.batch
    output: Output = network(images, batch["table"], batch["scores"], batch["present"], batch["place"])
    return output


def _rows(run: Run, block: str) -> list[int]:
    """Positions of the images that have a block."""
    found: list[int] = torch.nonzero(run.batch["present"][:, run.network.blocks.index(block)]).squeeze(1).tolist()
    return found
