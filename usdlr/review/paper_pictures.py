"""The pictures of a printed axilla: the B-mode image with what counts drawn on it, and maps over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.core.errors import InputError
from usdlr.core.modalities import MODALITIES
from usdlr.core.types import Site, Stage
from usdlr.core.units import Spacing
from usdlr.decision.explanation import Explanation
from usdlr.decision.wording_explanation import signed
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.rings import peritumoral_ring
from usdlr.report.document import Block, Gallery, Picture
from usdlr.report.gallery import GalleryCase, render_case
from usdlr.review.acts import AxillaState
from usdlr.review.outlines import mask_of
from usdlr.review.pictures import bmode_png, encoded, field_of_view
from usdlr.review.records import AxillaRecord, ImageRecord, ModelRecord
from usdlr.review.ring_spacing import of_redrawn

_PANEL_PX: Final = 360
_PIXELS, _UNITS = "pixels", "units"


def first_image(record: AxillaRecord, state: AxillaState) -> ImageRecord | None:
    """The first image of the tumour that counts and has a contour."""
    for image in record.images:
        counts = not state.used or image.token in state.used
        if counts and image.site is Site.TUMOUR and (image.contour or image.token in state.outlines):
            return image
    return None


def bmode_picture(model: ModelRecord, record: AxillaRecord, state: AxillaState, image: ImageRecord) -> Picture:
    """The image with the contour that counts and its ring."""
    grey = _grey(image)
    lesion = mask_of(state.outlines.get(image.token) or image.contour, grey.shape)
    spacing, unit = _spacing(image)
    ring = np.zeros_like(lesion)
    if unit == _UNITS and image.token in state.outlines:
        spacing = of_redrawn(image, lesion, spacing)
    if unit != _PIXELS:
        with suppress(InputError):  # nothing of it is inside the field of view
            ring = peritumoral_ring(LesionMask(lesion, spacing), model.margin_mm, field_of_view(image)).pixels
    values = {one.stage: one.probability for one in state.answer.stages}
    case = GalleryCase(
        number=record.number,
        image=grey,
        lesion=lesion,
        ring=ring,
        spacing=spacing,
        group=str(state.answer.group),
        p_sln=values[Stage.SLN],
        p_nsln=values[Stage.NSLN],
        sln=None,
        nsln=None,
        unit=unit,
    )
    of = f" ({image.number} of {len(record.images)} images)" if len(record.images) > 1 else ""
    redrawn = ", redrawn by a reader" if image.token in state.outlines else ""
    words = f"B-mode image with the lesion's contour, the outer edge of the ring and a bar in {unit}"
    return Picture(f"B-mode{of}: contour solid{redrawn}, ring dashed", render_case(case), words, (), wide=False)


def map_pictures(
    plain: Mapping[str, Any], found: Explanation, image: ImageRecord, pictures: Mapping[str, bytes]
) -> list[Picture]:
    """Maps of the stage that counted last over the image, modalities side by side."""
    told = [
        one
        for one in plain.get("maps", ())
        if one["image"] == image.token and one["stage"] == str(found.stage_reached) and one["picture"] in pictures
    ]
    if not told or not image.ring:
        return []
    grey = _grey(image)
    points = np.concatenate([np.asarray(outline) for outline in image.ring])
    (top, left), (bottom, right) = points.min(axis=0).astype(int), points.max(axis=0).astype(int) + 1
    panels = [_blended(grey, pictures[one["picture"]])[top:bottom, left:right] for one in told]
    spacing, _ = _spacing(image)
    height, width = (bottom - top) * spacing.row_mm, (right - left) * spacing.col_mm
    size = max(1, round(_PANEL_PX * width / max(height, width))), max(1, round(_PANEL_PX * height / max(height, width)))
    gap = np.full((size[1], 8, 4), 255, dtype=np.uint8)
    shown: list[npt.NDArray[np.uint8]] = []
    for panel in panels:
        shown += [gap, np.asarray(cv2.resize(panel, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)]
    words = [MODALITIES[one["modality"]].title for one in told]
    return [
        Picture(
            f"Where stage {found.stage_reached.upper()} looked; log-odds before calibration",
            encoded(np.concatenate(shown[1:], axis=1)),
            f"From left to right: {'; '.join(words)}",
            tuple((word, signed(float(one["adds"]))) for word, one in zip(words, told, strict=True)),
            wide=len(panels) > 1,
        )
    ]


def _blended(grey: npt.NDArray[np.uint8], png: bytes) -> npt.NDArray[np.uint8]:
    """The image under a map, (rows, columns, 4)."""
    decoded = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED))
    over = cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA)
    alpha = over[..., 3:].astype(np.float64) / 255
    mixed = over[..., :3] * alpha + grey[..., None] * (1 - alpha)
    return np.concatenate([np.rint(mixed), np.full((*grey.shape, 1), 255.0)], axis=2).astype(np.uint8)


def gallery(pictures: Sequence[Picture]) -> tuple[Block, ...]:
    """Pictures in a row; nothing where there are none."""
    return (Gallery(tuple(pictures)),) if pictures else ()


def _grey(image: ImageRecord) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(bmode_png(image), np.uint8), cv2.IMREAD_UNCHANGED), dtype=np.uint8)


def _spacing(image: ImageRecord) -> tuple[Spacing, str]:
    """Millimetres per pixel, or whatever tells the pixels' proportions, and its name."""
    row, col = image.row.get("row_mm"), image.row.get("col_mm")
    if row is None or col is None:
        return Spacing(1.0, 1.0), _PIXELS
    return Spacing(float(row), float(col)), "mm" if image.row_mm is not None else _UNITS
