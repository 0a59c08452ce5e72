"""What an image branch can learn without labels: one module per method, chosen by name."""

from __future__ import annotations

from usdlr.models.pretraining.contrastive import TwoViews
from usdlr.models.pretraining.masked import MaskedImages
from usdlr.models.pretraining.method import Method, Outcome, Patches, PretextBatch, spread

__all__ = ["METHODS", "MaskedImages", "Method", "Outcome", "Patches", "PretextBatch", "TwoViews", "spread"]

METHODS: dict[str, type[Method]] = {"masked": MaskedImages, "contrastive": TwoViews}
