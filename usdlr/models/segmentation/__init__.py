"""Networks that outline a lesion, with or without a reader's prompt, and their losses."""

from usdlr.models.segmentation.losses import MaskLossSettings, mask_loss
from usdlr.models.segmentation.network import PROMPTS, MaskOutput, SegmentationNetwork
from usdlr.models.segmentation.settings import OutlinerSettings

__all__ = ["PROMPTS", "MaskLossSettings", "MaskOutput", "OutlinerSettings", "SegmentationNetwork", "mask_loss"]
