"""How the blocks of an axilla become one prediction; every fusion masks the blocks that are not there."""

from __future__ import annotations

from usdlr.models.fusion.attention import CrossAttentionFusion
from usdlr.models.fusion.base import Evidence, Fusion
from usdlr.models.fusion.concat import ConcatFusion
from usdlr.models.fusion.film import FilmFusion
from usdlr.models.fusion.gated import GatedFusion
from usdlr.models.fusion.late import LateFusion

# By the name that a configuration uses.
FUSIONS: dict[str, type[Fusion]] = {
    "concat": ConcatFusion,
    "gated": GatedFusion,
    "cross_attention": CrossAttentionFusion,
    "film": FilmFusion,
    "late": LateFusion,
}

__all__ = ["FUSIONS", "Evidence", "Fusion"]
