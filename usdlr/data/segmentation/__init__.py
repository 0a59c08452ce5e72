"""What a network learns outlines from: windows on whole images, varied, with and without a reader's prompt."""

from usdlr.data.segmentation.dataset import OutlineDataset, outline_loader
from usdlr.data.segmentation.draws import Example, draw_example
from usdlr.data.segmentation.frames import Frame, frames_of, read_frames
from usdlr.data.segmentation.settings import DrawSettings

__all__ = [
    "DrawSettings",
    "Example",
    "Frame",
    "OutlineDataset",
    "draw_example",
    "frames_of",
    "outline_loader",
    "read_frames",
]
