"""What is learned from: a part of each B-mode image, cut in pixels and kept in memory.

No millimetre is claimed: many public images state none. A box is given relative to the lesion or to the field of view;
where a spacing is known, only the ratio of its two sides is used, so that a circle in the body is one in the crop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.modalities import BMODE, MODALITIES
from usdlr.core.named_parts import Part, split_part
from usdlr.core.pool import run_all
from usdlr.core.types import ExclusionCode
from usdlr.imaging.image import BoolArray, FloatArray, UltrasoundImage, require_same_grid
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.resample import Box, cut
from usdlr.imaging.store import READERS, from_folder, read_case, read_mask

# All that is ever taken from a row of `cases`: no endpoint, no clinical variable.
COLUMNS = ("image_id", "patient_id", "bmode_path", "mask_path", "mask_source", "fov_path", "row_mm", "col_mm")
LONGEST_PX = 1024


@dataclass(frozen=True)
class Canvas:
    """What was cut from one image.

    Parameters
    ----------
    grey : uint8 array, (rows, columns)
        Grey levels; 0 where there is no value.
    valid : bool array, (rows, columns)
        Inside the image and its field of view.
    """

    grey: npt.NDArray[np.uint8]
    valid: BoolArray


def lesion_box(image: UltrasoundImage, mask: LesionMask | None, *, context: float = 0.75) -> Box:
    """A square centred on the lesion; it may reach beyond the image.

    Parameters
    ----------
    image : UltrasoundImage
    mask : LesionMask or None
        The lesion.
    context : float
        What the square shows beyond the lesion's longer side, on each side, as a share of that side.

    Raises
    ------
    CaseError
        Without a mask.
    """
    if mask is None:
        raise CaseError(
            ExclusionCode.MASK_MISSING,
            "found no mask, expected the lesion's outline for a crop around it; draw one, or set crop = field_of_view",
        )
    tall = _rows_per_column(image)
    row, col, rows, cols = mask.bounding_box()
    side = max(rows / tall, cols) * (1 + 2 * context)  # in columns
    box_rows, box_cols = max(round(side * tall), 1), max(round(side), 1)
    return Box(row + (rows - box_rows) // 2, col + (cols - box_cols) // 2, box_rows, box_cols)


def field_of_view_box(image: UltrasoundImage, mask: LesionMask | None) -> Box:
    """The bounding box of the field of view, with or without a lesion in it.

    Parameters
    ----------
    image : UltrasoundImage
    mask : LesionMask or None
        Not looked at.
    """
    if image.fov is None or not image.fov.any():
        return Box(0, 0, *image.shape)
    row_hits, col_hits = np.flatnonzero(image.fov.any(axis=1)), np.flatnonzero(image.fov.any(axis=0))
    top, left = int(row_hits[0]), int(col_hits[0])
    return Box(top, left, int(row_hits[-1]) + 1 - top, int(col_hits[-1]) + 1 - left)


CROPS: dict[str, Callable[..., Box]] = {"lesion": lesion_box, "field_of_view": field_of_view_box}


def box_maker(crop: Part) -> Callable[[UltrasoundImage, LesionMask | None], Box]:
    """The crop of a configuration.

    Raises
    ------
    ConfigError
        If it is unknown, or an option cannot be used.
    """
    name, options = split_part(crop, "crop", CROPS)
    context = options.get("context", 0.0)
    if isinstance(context, bool) or not isinstance(context, int | float) or not 0 <= context <= 10:
        raise ConfigError(f"found crop.{name}.context = {context!r}, expected a share from 0 to 10")
    return partial(CROPS[name], **options)


def read_canvas(row: Mapping[str, Any], crop: Part, shorter_px: int) -> Canvas:
    """Cut one image.

    Parameters
    ----------
    row : mapping
        :data:`COLUMNS` of a row of ``cases``, and ``root``: the folder that its paths are relative to.
    crop : str or dict
        See :class:`usdlr.tasks.pretrain.settings.PretrainSettings`.
    shorter_px : int
        Shorter side of the result; a cut that is smaller keeps its size.

    Raises
    ------
    CaseError
        If a file is missing or unreadable, the lesion has no outline where one is needed, or nothing is visible.
    """
    image, mask = _read(row, Path(str(row["root"])))
    box = box_maker(crop)(image, mask)
    inside = np.ones(image.shape, dtype=bool) if image.fov is None else image.fov
    valid = cut(inside & np.isfinite(image.pixels), box, False)
    if not valid.any():
        raise CaseError(
            ExclusionCode.ROI_TOO_SMALL, "found no visible pixel in the crop, expected tissue; check mask and image"
        )
    pixels = cut(np.nan_to_num(image.pixels), box, 0.0)
    tall = _rows_per_column(image)
    scale = min(1.0, shorter_px / min(box.rows / tall, box.cols), LONGEST_PX / max(box.rows / tall, box.cols))
    grey, weight = resize(pixels, valid, max(round(box.rows / tall * scale), 1), max(round(box.cols * scale), 1))
    return Canvas(np.rint(np.clip(grey, 0, 255)).astype(np.uint8), weight)


def read_canvases(
    rows: Sequence[Mapping[str, Any]], crop: Part, shorter_px: int, *, jobs: int
) -> tuple[dict[int, Canvas], list[CaseError]]:
    """Cut every image; returns the canvases by position of their row, and why others cannot be used."""
    read = partial(read_canvas, crop=crop, shorter_px=shorter_px)
    outcomes = run_all(read, rows, jobs=jobs, label="images")
    canvases = {outcome.position: outcome.result for outcome in outcomes if outcome.result is not None}
    return canvases, [outcome.failure for outcome in outcomes if outcome.failure is not None]


def resize(pixels: FloatArray, valid: BoolArray, rows: int, cols: int) -> tuple[FloatArray, BoolArray]:
    """An array on another grid, (rows, cols): only pixels with a value count, and no value is 0."""
    weight = _resize(valid.astype(np.float32), rows, cols)
    total = _resize(np.where(valid, pixels, 0.0).astype(np.float32), rows, cols)
    inside = weight >= 0.5
    return np.where(inside, total / np.where(inside, weight, 1.0), 0.0).astype(np.float32), inside


def _resize(pixels: FloatArray, rows: int, cols: int) -> FloatArray:
    # Area averaging keeps speckle from aliasing where pixels grow.
    shrinks = pixels.shape[0] >= rows and pixels.shape[1] >= cols
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (cols, rows), interpolation=method), dtype=np.float32)


def _rows_per_column(image: UltrasoundImage) -> float:
    """How many rows are as long as one column in the body; 1 where no spacing says otherwise."""
    return 1.0 if image.spacing is None else image.spacing.col_mm / image.spacing.row_mm


def _read(row: Mapping[str, Any], root: Path) -> tuple[UltrasoundImage, LesionMask | None]:
    if not pd.isna(row["mask_path"]):
        # B-mode alone: a damaged stiffness map must not cost its image.
        others = {modality.path_column: None for modality in MODALITIES.values() if modality.name != BMODE}
        case = read_case({**row, **others}, root)
        return case.images[BMODE], case.mask
    pixels = READERS[MODALITIES[BMODE].reader](str(row["bmode_path"]), from_folder(root))
    fov = None if pd.isna(row["fov_path"]) else read_mask(root / str(row["fov_path"]))
    if fov is not None:
        require_same_grid((pixels.shape[0], pixels.shape[1]), (fov.shape[0], fov.shape[1]), "field of view")
    return UltrasoundImage(pixels, None, BMODE, fov), None
