"""A program for ``test_extract.py``: measures many image sets with an engine that costs nothing, prints the growth."""

from __future__ import annotations

import resource
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.core.tables import CASES
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.imaging.store import mask_to_png, write_png
from usdlr.radiomics import engines
from usdlr.radiomics.extract import extract
from usdlr.radiomics.settings import RadiomicsSettings

FEATURES = 400


class Cheap:
    """Many features, no work; new strings each time, as they come from another process or a file."""

    resident_kib = 0

    def __init__(self, settings: RadiomicsSettings) -> None:
        self.settings = settings

    def measure(
        self, pixels: FloatArray, rois: Mapping[str, BoolArray], spacing: Spacing, *, shape: Collection[str] = ()
    ) -> dict[str, dict[str, float]]:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        Cheap.resident_kib = pages * resource.getpagesize() // 1024
        return {
            name: {f"original.cheap.F{i}": float(roi.sum()) + i for i in range(FEATURES)} for name, roi in rois.items()
        }


def cases(count: int) -> pd.DataFrame:
    """One tiny picture under many ids."""
    row = {
        "centre_id": "a", "side": "left", "lesion_id": "1", "site": "tumour", "mask_source": "reader",
        "spacing_source": "manifest", "row_mm": 0.5, "col_mm": 0.5, "bmode_path": "b.png", "mask_path": "m.png",
    }  # fmt: skip
    return CASES.conform(pd.DataFrame([row | {"patient_id": f"p{i}", "image_id": f"i{i}"} for i in range(count)]))


def main(folder: Path, counts: list[int]) -> None:
    """Print resident memory in KiB at the last measurement, and its peak, for each number of image sets."""
    mask = np.zeros((32, 32), dtype=bool)
    mask[12:20, 12:20] = True
    write_png(folder / "b.png", np.full((32, 32), 90, np.uint8))
    write_png(folder / "m.png", mask_to_png(mask))
    engines.ENGINES["cheap"] = Cheap
    settings = RadiomicsSettings(pixel_mm=None, margin_mm=2.0, min_pixels=4)
    for count in counts:
        table = extract(cases(count), folder, settings, engine="cheap", jobs=1, ledger=folder / "ledger")
        assert (table["status"] == "ok").all()
        assert len(table) == count
        sys.stdout.write(f"{Cheap.resident_kib} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]])
