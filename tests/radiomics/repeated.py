"""A small cohort of discs and a table of repeats with planted agreement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.tables import CASES
from usdlr.imaging.image import BoolArray
from usdlr.imaging.store import mask_to_png, stiffness_to_png, write_png
from usdlr.radiomics.stability.repeats import REPEATS

MM = 0.2
SHAPE = (70, 80)


def disc(radius_mm: float) -> BoolArray:
    row, col = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.asarray(np.hypot((row - 34.5) * MM, (col - 39.5) * MM) <= radius_mm)


def case(i: int, **changes: Any) -> dict[str, Any]:
    """A row of ``cases``: one image of one lesion of patient ``i``."""
    row = {
        "centre_id": "a",
        "patient_id": f"p{i}",
        "side": "left",
        "lesion_id": "1",
        "image_id": f"case{i}",
        "site": "tumour",
        "mask_source": "reader",
        "spacing_source": "manifest",
        "row_mm": MM,
        "col_mm": MM,
        "bmode_path": f"{i}_bmode.png",
        "mask_path": f"{i}_mask.png",
        "elasto_path": None,
    }
    return row | changes


def cohort(folder: Path, radii_mm: list[float], elasto: tuple[int, ...] = ()) -> pd.DataFrame:
    """A ``cases`` table with one disc per case, elastography for some."""
    rows = []
    for i, radius in enumerate(radii_mm):
        rng = np.random.default_rng(i)
        write_png(folder / f"{i}_bmode.png", rng.integers(20, 120 + 20 * i, SHAPE).astype(np.uint8))
        write_png(folder / f"{i}_mask.png", mask_to_png(disc(radius)))
        if i in elasto:
            write_png(folder / f"{i}_elasto.png", stiffness_to_png(rng.uniform(5, 150, SHAPE)))
        rows.append(case(i, elasto_path=f"{i}_elasto.png" if i in elasto else None))
    return CASES.conform(pd.DataFrame(rows))


def name(feature: str, modality: str = "bmode") -> str:
    return f"{modality}.intratumoral.original.firstorder.{feature}"


def planted(cases: int = 40, raters: int = 5, seed: int = 0) -> pd.DataFrame:
    """Repeats whose features agree as their names say: the share of variance that lies between cases."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "image_id": np.repeat([f"case{i}" for i in range(cases)], raters),
            "rater": np.tile([f"r{j}" for j in range(raters)], cases),
            "status": "ok",
        }
    )
    for percent in (98, 90, 50, 10):
        share = percent / 100
        values = np.sqrt(share) * rng.normal(size=(cases, 1)) + np.sqrt(1 - share) * rng.normal(size=(cases, raters))
        rows[name(f"Share{percent}")] = values.ravel()
    rows[name("Constant")] = 3.0
    rows[name("Absent", "elasto")] = np.nan
    return REPEATS.conform(rows)
