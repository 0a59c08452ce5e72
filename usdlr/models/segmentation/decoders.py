"""Decoders by name, from segmentation-models-pytorch: each makes a mask of the feature maps of any timm encoder.

References
----------
U-Net: Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28. U-Net++: Zhou et al. 2018,
doi:10.1007/978-3-030-00889-5_1. MA-Net: Fan et al. 2020, doi:10.1109/ACCESS.2020.3025372. SegFormer: Xie et al. 2021,
arXiv:2105.15203. UPerNet: Xiao et al. 2018, doi:10.1007/978-3-030-01228-1_26. DPT: Ranftl et al. 2021,
doi:10.1109/ICCV48922.2021.01196.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import segmentation_models_pytorch as smp
from torch import nn

WIDTHS = (128, 64, 48, 32, 16)


def unet(
    encoder: str, common: dict[str, Any], *, channels: Sequence[int] = WIDTHS, attention: bool = False
) -> nn.Module:
    """U-Net; ``attention`` adds squeeze-and-excitation of channels and places."""
    kind = "scse" if attention else None
    return _built(
        smp.Unet,
        encoder,
        common,
        encoder_depth=len(channels),
        decoder_channels=tuple(channels),
        decoder_attention_type=kind,
    )


def unetplusplus(encoder: str, common: dict[str, Any], *, channels: Sequence[int] = WIDTHS) -> nn.Module:
    """U-Net++: nested skip connections."""
    return _built(smp.UnetPlusPlus, encoder, common, encoder_depth=len(channels), decoder_channels=tuple(channels))


def manet(
    encoder: str, common: dict[str, Any], *, channels: Sequence[int] = WIDTHS, pab_channels: int = 32
) -> nn.Module:
    """MA-Net: self-attention between all places of the deepest map, and multi-scale attention at every skip."""
    return _built(
        smp.MAnet,
        encoder,
        common,
        encoder_depth=len(channels),
        decoder_channels=tuple(channels),
        decoder_pab_channels=pab_channels,
    )


def segformer(encoder: str, common: dict[str, Any], *, channels: int = 128) -> nn.Module:
    """SegFormer's decoder of linear layers; upsamples the last step by 4."""
    return _built(smp.Segformer, encoder, common, decoder_segmentation_channels=channels)


def upernet(encoder: str, common: dict[str, Any], *, channels: int = 128) -> nn.Module:
    """UPerNet: a pyramid of pooled maps; upsamples the last step by 4."""
    return _built(smp.UPerNet, encoder, common, decoder_channels=channels)


def dpt(
    encoder: str,
    common: dict[str, Any],
    *,
    fusion: int = 64,
    intermediate: Sequence[int] = (48, 96, 192, 384),
) -> nn.Module:
    """Dense prediction transformer: reassembles the tokens of a vision transformer at several depths."""
    return _built(
        smp.DPT,
        encoder,
        {**common, "dynamic_img_size": True},
        decoder_fusion_channels=fusion,
        decoder_intermediate_channels=tuple(intermediate),
    )


DECODERS: dict[str, Callable[..., nn.Module]] = {
    "unet": unet,
    "unetplusplus": unetplusplus,
    "manet": manet,
    "segformer": segformer,
    "upernet": upernet,
    "dpt": dpt,
}


def _built(kind: Callable[..., Any], encoder: str, common: dict[str, Any], **options: Any) -> nn.Module:
    # "tu-": whatever timm knows, not the library's own short list of encoders.
    built: nn.Module = kind(encoder_name=f"tu-{encoder}", classes=1, **common, **options)
    return built
