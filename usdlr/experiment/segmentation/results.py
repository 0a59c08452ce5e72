"""What becomes of the outlines: tables, metrics, the bundle and the page."""

from __future__ import annotations

from usdlr.core.errors import ConfigError
from usdlr.core.provenance import Provenance
from usdlr.experiment.segmentation.config import SegmentationConfig
from usdlr.experiment.segmentation.layout import OutlineLayout


def write_outline_results(config: SegmentationConfig, layout: OutlineLayout, provenance: Provenance) -> None:
    """Write it."""
    raise ConfigError("found no results module yet")
