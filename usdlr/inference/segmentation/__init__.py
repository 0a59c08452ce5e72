"""Outlines by software: networks of a bundle applied to a picture, alone or after a reader's prompt."""

from usdlr.inference.segmentation.expected import Expected
from usdlr.inference.segmentation.files import identify_segmenter, load_segmenter, write_segmenter
from usdlr.inference.segmentation.segmenter import Outlined, Picture, Segmenter

__all__ = ["Expected", "Outlined", "Picture", "Segmenter", "identify_segmenter", "load_segmenter", "write_segmenter"]
