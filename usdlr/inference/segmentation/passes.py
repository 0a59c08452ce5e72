"""Networks over one window: every network, the window as it is and mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from usdlr.imaging.image import FloatArray
from usdlr.imaging.prompt import Prompt
from usdlr.imaging.window import Window, look
from usdlr.models.segmentation import PROMPTS, SegmentationNetwork


@dataclass(frozen=True, eq=False)
class Looked:
    """What networks say of one window.

    Parameters
    ----------
    masks : float32 array, (views, size, size)
        Probability that a pixel is lesion, of every network and mirror image.
    presence : float
        Mean probability that there is a lesion.
    """

    masks: FloatArray
    presence: float


def look_through(
    networks: Sequence[SegmentationNetwork],
    grey: npt.NDArray[np.uint8],
    window: Window,
    prompt: Prompt | None = None,
    *,
    mirrored: bool = True,
) -> Looked:
    """What networks say of a window on a picture.

    Parameters
    ----------
    networks : sequence of SegmentationNetwork
        In evaluation mode, all with windows of one size.
    grey : uint8 array, (rows, columns)
        The picture, 0 outside the field of view.
    window : Window
        Where to look.
    prompt : Prompt, optional
        What a reader pointed at.
    mirrored : bool
        Whether the mirror image is asked too.
    """
    size = networks[0].settings.size_px
    image = torch.from_numpy(look(grey, window, size) / np.float32(255))[None, None]
    maps = np.zeros((len(PROMPTS), size, size), dtype=np.float32) if prompt is None else prompt.maps(window, size)
    prompts = torch.from_numpy(maps)[None]
    if mirrored:
        image, prompts = (torch.cat([one, one.flip(3)]) for one in (image, prompts))
    image = image.contiguous(memory_format=torch.channels_last)
    masks, presence = [], []
    with torch.inference_mode():
        for network in networks:
            found = network(image, prompts)
            probability = found.mask[:, 0].sigmoid()
            masks.append(probability[0])
            if mirrored:
                masks.append(probability[1].flip(1))
            presence.append(found.presence.sigmoid().mean())
    return Looked(torch.stack(masks).numpy(), float(torch.stack(presence).mean()))
