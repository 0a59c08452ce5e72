"""Images with all their lesions: rows of ``cases`` that show the same picture are one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.hashing import bytes_hash
from usdlr.core.modalities import BMODE, MODALITIES
from usdlr.core.pool import run_all
from usdlr.core.types import ExclusionCode, MaskSource
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, require_same_grid
from usdlr.imaging.store import READERS, from_folder, read_mask
from usdlr.imaging.window import grey_share

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and the lesions on it.

    Parameters
    ----------
    image_id : str
        Of the first row that shows it.
    patient_id : str
        Whose it is.
    grey : uint8 array, (rows, columns)
        Grey levels; 0 outside the field of view.
    lesions : uint8 array, (rows, columns)
        0 outside, 1.. inside readers' outlines; empty (all 0) where there is no lesion.
    spacing : Spacing or None
        Of the image, in mm; ``None`` where it is not calibrated.
    aspect : float
        Height of a pixel divided by its width.
    rows : tuple of int
        Positions in ``cases`` of the rows that show it.
    """

    image_id: str
    patient_id: str
    grey: npt.NDArray[np.uint8]
    lesions: Labels
    spacing: Spacing | None
    aspect: float
    rows: tuple[int, ...]

    @property
    def picture(self) -> tuple[str, str]:
        """Whose picture, and which: rows that show the same one are one frame."""
        return self.patient_id, bytes_hash(repr(self.shape).encode(), self.grey.tobytes())

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, columns)``."""
        return self.grey.shape[0], self.grey.shape[1]


def read_frames(
    cases: pd.DataFrame, root: Path, *, jobs: int = 1, outlined: bool = True
) -> tuple[list[Frame], dict[int, CaseError]]:
    """Every different picture of a ``cases`` table.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    root : Path
        Folder that its paths are relative to.
    jobs : int
        Processes that read side by side.
    outlined : bool
        Whether every row must have a reader's outline; without, outlines are not read.

    Returns
    -------
    frames : list of Frame
        In the order of their first rows.
    failures : dict of int to CaseError
        Why rows cannot be used, by position.

    Raises
    ------
    ConfigError
        If a row to learn from was outlined by software: a model must not learn from its own kind.
    """
    records = cases.to_dict("records")
    if outlined:
        drawn = cases["mask_source"] == str(MaskSource.AUTOMATIC)
        if drawn.any():
            raise ConfigError(
                f"found {int(drawn.sum())} outlines drawn by software among {len(cases)}, expected readers' alone; "
                "leave those rows out"
            )
    work = partial(_read, root=root, outlined=outlined)
    outcomes = run_all(work, records, jobs=jobs, label="images")
    single = [outcome.result for outcome in outcomes if outcome.result is not None]
    failures = {outcome.position: outcome.failure for outcome in outcomes if outcome.failure is not None}
    places = [outcome.position for outcome in outcomes if outcome.result is not None]
    return frames_of([replace(frame, rows=(place,)) for frame, place in zip(single, places, strict=True)]), failures


def frames_of(single: Sequence[Frame]) -> list[Frame]:
    """Frames of one row each, those of the same picture and patient joined."""
    joined: dict[tuple[str, str], Frame] = {}
    for frame in single:
        key = frame.picture
        known = joined.get(key)
        if known is None:
            joined[key] = frame
            continue
        lesions = known.lesions.copy()
        lesions[frame.lesions > 0] = int(known.lesions.max()) + 1
        joined[key] = replace(known, lesions=lesions, rows=(*known.rows, *frame.rows))
    return list(joined.values())


def _read(row: dict[str, Any], *, root: Path, outlined: bool) -> Frame:
    modality = MODALITIES[BMODE]
    pixels = READERS[modality.reader](str(row[modality.path_column]), from_folder(root))
    shape = pixels.shape[0], pixels.shape[1]
    fov: BoolArray | None = None
    if not pd.isna(row["fov_path"]):
        fov = read_mask(root / str(row["fov_path"]))
        require_same_grid(shape, (fov.shape[0], fov.shape[1]), "field of view")
    lesions = np.zeros(shape, dtype=np.uint8)
    if outlined:
        if pd.isna(row["mask_path"]):
            raise CaseError(ExclusionCode.MASK_MISSING, "found no outline, expected a reader's; draw one")
        mask = read_mask(root / str(row["mask_path"]))
        require_same_grid(shape, (mask.shape[0], mask.shape[1]), "mask")
        lesions[mask] = 1
    spacing = None
    if not (pd.isna(row["row_mm"]) or pd.isna(row["col_mm"])):
        spacing = Spacing(float(row["row_mm"]), float(row["col_mm"]))
    aspect = 1.0 if spacing is None else spacing.row_mm / spacing.col_mm
    grey = grey_share(pixels, fov)
    return Frame(str(row["image_id"]), str(row["patient_id"]), grey, lesions, spacing, aspect, ())
