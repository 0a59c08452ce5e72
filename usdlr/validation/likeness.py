"""How alike two contours of the same lesion are, and how round each is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import CaseError
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray
from usdlr.imaging.store import read_mask
from usdlr.radiomics.native.shape import SHAPE2D, shape2d

SPHERICITY = SHAPE2D.index("Sphericity")
COLUMNS = ("dice", "sphericity_reader", "sphericity_software")


def contour_likeness(reader: tuple[pd.DataFrame, Path], software: tuple[pd.DataFrame, Path]) -> pd.DataFrame:
    """By axilla, the mean over the reader's lesions of which the software outlined something on the same picture.

    Parameters
    ----------
    reader, software : (DataFrame, Path)
        ``cases`` with contours by readers and by software, and the folders that their paths are relative to.

    Returns
    -------
    DataFrame
        ``patient_id side dice sphericity_reader sphericity_software``: the overlap with the software's lesion that
        overlaps most, 0..1, and the sphericity of both (PyRadiomics' two-dimensional one: 1 is a disc).
        Rows whose mask is lost or empty are left out: the model has no answer for them either, and says so.
    """
    theirs = {str(path): rows for path, rows in software[0].groupby("bmode_path")}
    found: list[dict[str, Any]] = []
    for row in reader[0].to_dict("records"):
        beside = theirs.get(str(row["bmode_path"]))
        if beside is None:
            continue
        drawn, spacing = _mask(reader[1], row["mask_path"]), _spacing(row)
        read = [_mask(software[1], path) for path in beside["mask_path"]]
        others = [mask for mask in read if mask is not None]
        if drawn is None or not others:
            continue
        overlaps = [_dice(drawn, other) for other in others]
        best = int(np.argmax(overlaps))
        shapes = (float(shape2d(mask, spacing)[SPHERICITY]) for mask in (drawn, others[best]))
        key = {str(name): row[name] for name in AXILLA_KEY}
        found.append(key | dict(zip(COLUMNS, (overlaps[best], *shapes), strict=True)))
    table = pd.DataFrame(found, columns=[*AXILLA_KEY, *COLUMNS])
    return table.groupby(list(AXILLA_KEY), as_index=False, sort=False)[list(COLUMNS)].mean()


def _mask(folder: Path, path: Any) -> BoolArray | None:
    try:
        found = None if pd.isna(path) else read_mask(folder / str(path))
    except CaseError:
        return None
    return found if found is not None and found.any() else None


def _spacing(row: Mapping[Any, Any]) -> Spacing:
    # Sphericity has no unit: a picture without a pixel size has square pixels.
    known = [row.get(name) for name in ("row_mm", "col_mm")]
    return Spacing(1.0, 1.0) if any(pd.isna(value) for value in known) else Spacing(*map(float, known))  # type: ignore[arg-type]  # none is missing


def _dice(first: BoolArray, second: BoolArray) -> float:
    return 2 * float((first & second).sum()) / max(1.0, float(first.sum() + second.sum()))
