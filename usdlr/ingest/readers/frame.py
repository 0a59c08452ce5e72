"""One frame of a source file as every reader returns it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.units import Spacing
from usdlr.imaging.intensity import to_8_bit
from usdlr.ingest.regions import Region


@dataclass(frozen=True)
class SourceFrame:
    """Pixels and calibration of one frame, colours already in red, green, blue (alpha) order.

    Parameters
    ----------
    pixels : array, (rows, columns) or (rows, columns, 3 or 4)
        8-bit or 16-bit unsigned integers, or float32 (a stiffness map in a NIfTI or NRRD file). Grey is one channel,
        brighter is a stronger echo, modality and VOI transformations applied.
    format : str
        ``DICOM``, ``PNG``, ``JPEG``, ``BMP``, ``TIFF``, ``NIfTI`` or ``NRRD``.
    bits : int
        Bits per channel that carry values: 8, or up to 16.
    frame : int
        Number of this frame, from 1.
    frames : int
        Number of frames in the file.
    lossy : bool
        Whether the pixels went through lossy compression, as far as the file tells.
    regions : tuple of Region
        Usable ultrasound regions, clipped to the frame.
    refused : tuple of str
        One sentence for each region that cannot be believed; not empty means that the header does not fit the pixels.
    pixel_spacing : Spacing or None
        From PixelSpacing, or the file's own millimetres (NIfTI, NRRD).
    imager_pixel_spacing : Spacing or None
        From ImagerPixelSpacing.
    """

    pixels: npt.NDArray[Any]
    format: str
    bits: int = 8
    frame: int = 1
    frames: int = 1
    lossy: bool = False
    regions: tuple[Region, ...] = ()
    refused: tuple[str, ...] = field(default_factory=tuple)
    pixel_spacing: Spacing | None = None
    imager_pixel_spacing: Spacing | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, columns)``."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])

    def pixels_8_bit(self) -> npt.NDArray[np.uint8]:
        """The same pixels with 8 bits per channel and without transparency, for what looks at shapes and colours."""
        eight = to_8_bit(self.pixels, self.bits)
        return eight[..., :3] if eight.ndim == 3 else eight
