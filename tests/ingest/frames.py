"""Frames as pydicom alone reads them, and short ways to ask for their millimetres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset

from usdlr.core.types import QualityFlag, SpacingSource
from usdlr.core.units import Spacing
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.regions import parse_regions
from usdlr.ingest.spacing import SpacingResult, resolve_spacing

Mask = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]


def read(path: Path, number: int = 1) -> tuple[SourceFrame, Dataset]:
    dataset = dcmread(path)
    pixels = dataset.pixel_array
    frames = int(dataset.get("NumberOfFrames") or 1)
    pixels = pixels[number - 1] if frames > 1 else pixels
    reading = parse_regions(dataset, (pixels.shape[0], pixels.shape[1]), number)
    own = dataset.get("PixelSpacing")
    return (
        SourceFrame(
            pixels=pixels,
            format="DICOM",
            frame=number,
            frames=frames,
            regions=reading.regions,
            refused=reading.refused,
            pixel_spacing=None if own is None else Spacing(float(own[0]), float(own[1])),
        ),
        dataset,
    )


def resolve(
    frame: SourceFrame,
    mask: Mask | None = None,
    pane: Box | None = None,
    stated: tuple[float, float] | None = None,
    source: SpacingSource = SpacingSource.MANIFEST,
) -> SpacingResult:
    return resolve_spacing(frame, mask=mask, pane=pane, stated_mm=stated, stated_source=source)


def codes(result: SpacingResult) -> list[QualityFlag]:
    return [note.code for note in result.notes]
