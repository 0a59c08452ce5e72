"""A made-up image set that a model predicts once before anybody waits for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core import tables
from usdlr.core.modalities import BMODE, ELASTO
from usdlr.core.types import MaskSource, Side, Site, SpacingSource
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.relative import relative_spacing
from usdlr.imaging.store import case_in_memory, mask_to_png, stiffness_to_png
from usdlr.inference.loaded import LoadedCase
from usdlr.inference.preparation import Preparation

_SIDE_PX, _RADIUS_PX, _PIXEL_MM = 240, 50.0, 0.1


def warm_case(preparation: Preparation) -> LoadedCase:
    """Speckle with a disc 10 mm across, B-mode and elastography, of nobody.

    Parameters
    ----------
    preparation : Preparation
        Whose kind of lengths it takes.
    """
    noise = np.random.default_rng(0)
    shape = (_SIDE_PX, _SIDE_PX)
    down, across = np.mgrid[:_SIDE_PX, :_SIDE_PX] - (_SIDE_PX - 1) / 2
    lesion = down**2 + across**2 <= _RADIUS_PX**2
    spacing, source = Spacing(_PIXEL_MM, _PIXEL_MM), SpacingSource.MANIFEST
    if preparation.relative_diameter is not None:
        spacing = relative_spacing(LesionMask(lesion, spacing), preparation.relative_diameter)
        source = SpacingSource.LESION_RELATIVE
    grey = np.clip(noise.normal(np.where(lesion, 60, 110), 20, shape), 0, 255).astype(np.uint8)
    stiff = np.clip(noise.normal(np.where(lesion, 80, 20), 5, shape), 0, 300)
    record = {
        "centre_id": "nowhere",
        "patient_id": "nobody",
        "side": str(Side.UNKNOWN),
        "lesion_id": "1",
        "image_id": "warm-000000000000",
        "site": str(Site.TUMOUR),
        "mask_source": str(MaskSource.READER),
        "row_mm": spacing.row_mm,
        "col_mm": spacing.col_mm,
        "spacing_source": str(source),
        "elasto_unit": "kPa",
        **{f"{name}_path": name for name in (BMODE, ELASTO, "mask")},
        **{name: 10.0 for name in preparation.clinical if name in ("tumour_size_mm", "age_years")},
    }
    row = {str(name): value for name, value in tables.CASES.conform(pd.DataFrame([record])).iloc[0].items()}
    files: dict[str, npt.NDArray[Any]] = {BMODE: grey, ELASTO: stiffness_to_png(stiff), "mask": mask_to_png(lesion)}
    return LoadedCase(row, case_in_memory(row, files))
