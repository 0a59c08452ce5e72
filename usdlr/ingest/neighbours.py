"""The frames of a clip beside the one that is used, prepared as that one is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError
from usdlr.core.modalities import BMODE
from usdlr.core.types import BurnedIn
from usdlr.imaging.burned_in import clean, find_burned_in
from usdlr.imaging.image import BoolArray
from usdlr.imaging.intensity import grey_of
from usdlr.ingest.preparation import Box, slices, without_text
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.readers.reading import read_frame
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.source import SourceRow

OFFSETS = {"before": -1, "after": 1}


def neighbouring_frames(
    row: SourceRow,
    frame: SourceFrame,
    box: Box,
    fov: BoolArray | None,
    settings: IngestSettings,
    *,
    bare: bool,
    anonymous: bool,
) -> dict[str, npt.NDArray[np.uint8]]:
    """The frames ``before`` and ``after`` the one that is used, on its canonical grid.

    A frame that is not there, cannot be read, or shows another picture (another size, other calibrated regions) is
    left out: it is no neighbour in time of the one that is used.

    Parameters
    ----------
    row : SourceRow
        The case.
    frame : SourceFrame
        The frame that is used.
    box : tuple of int
        ``(row, column, rows, columns)`` of the canonical image in the frame.
    fov : bool array, (rows, columns), or None
        Field of view of the frame that is used, on the canonical grid.
    settings : IngestSettings
        Choices that change pixels; nothing is read unless ``adjacent_frames`` is set.
    bare : bool
        The image shows nothing but tissue: no drawn marks are looked for.
    anonymous : bool
        The image may show whose it is: what lies outside the field of view, and text inside it, is blanked.

    Returns
    -------
    dict of str to uint8 array, (rows, columns)
    """
    if not settings.adjacent_frames:
        return {}
    found = {}
    for name, offset in OFFSETS.items():
        number = frame.frame + offset
        if not 1 <= number <= frame.frames:
            continue
        try:
            other = read_frame(row.files[BMODE], number)
        except CaseError:
            continue
        if _geometry(other) == _geometry(frame):
            found[name] = _prepared(other, box, fov, settings, bare=bare, anonymous=anonymous)
    return found


def _geometry(frame: SourceFrame) -> tuple[Any, ...]:
    return frame.shape, frame.regions, frame.refused, frame.pixel_spacing, frame.imager_pixel_spacing


def _prepared(
    frame: SourceFrame, box: Box, fov: BoolArray | None, settings: IngestSettings, *, bare: bool, anonymous: bool
) -> npt.NDArray[np.uint8]:
    crop = slices(box)
    grey = np.ascontiguousarray(grey_of(frame.pixels, frame.bits)[0][crop])
    shown = np.ascontiguousarray(frame.pixels_8_bit()[crop])
    if anonymous:
        grey, fov = without_text(grey, shown, fov, [])
    if bare or settings.treatment is not BurnedIn.INPAINT:
        return grey
    return clean(grey, find_burned_in(shown, fov), BurnedIn.INPAINT)
