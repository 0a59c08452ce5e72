"""BUSI, the Breast Ultrasound Images dataset, in its official layout (Al-Dhabyani 2020, doi 10.1016/j.dib.2019.104863).

::

    Dataset_BUSI_with_GT/
    ├── benign/      benign (1).png     benign (1)_mask.png     benign (1)_mask_1.png, where there is a second lesion
    ├── malignant/   malignant (1).png  malignant (1)_mask.png
    └── normal/      normal (1).png     normal (1)_mask.png     an empty mask

There are no patient ids, no pixel size and no node status: every image stands for a patient of its own, nothing is
measured in millimetres, and malignancy is offered as a declared proxy.
"""

from __future__ import annotations

import re
from pathlib import Path

from usdlr.core.errors import CaseError, DataError
from usdlr.core.modalities import BMODE
from usdlr.core.types import ExclusionCode, SpacingSource
from usdlr.ingest.adapter import Adapter, register
from usdlr.ingest.source import MaskRef, SourceRow

FOLDER = "Dataset_BUSI_with_GT"
CLASSES = ("benign", "malignant", "normal")
FILE = re.compile(r"(benign|malignant|normal) \(([1-9][0-9]{0,5})\)(?P<mask>_mask(?:_([1-9][0-9]?))?)?\.png")


@register
class Busi(Adapter):
    """One B-mode image per patient, one row per outlined lesion; no spacing and no elastography."""

    name = "busi"
    knows_patients = False

    def rows(self, source: Path) -> list[SourceRow]:
        """One row per mask; one per image where it has none, or shows a normal breast."""
        root = source / FOLDER if (source / FOLDER).is_dir() else source
        missing = [name for name in CLASSES if not (root / name).is_dir()]
        if missing:
            raise DataError(
                f"found no folder {', '.join(missing)}, expected {', '.join(CLASSES)} in {FOLDER}; "
                "keep the official layout of BUSI"
            )
        return [row for name in CLASSES for row in _rows_of(root / name)]


def _rows_of(folder: Path) -> list[SourceRow]:
    masks: dict[int, dict[int, Path]] = {}
    for path in sorted(folder.iterdir()):
        # What an operating system or a viewer leaves in a folder is no picture.
        if path.suffix.lower() != ".png" or path.name.startswith("."):
            continue
        parts = FILE.fullmatch(path.name)
        if parts is None or parts[1] != folder.name:
            raise DataError(
                f"found a picture in the folder {folder.name} under an unknown name ({path.name[:60]!r}), expected "
                f"names such as '{folder.name} (1).png' and '{folder.name} (1)_mask.png'; remove or rename it"
            )
        of_image = masks.setdefault(int(parts[2]), {})
        if parts["mask"] is not None:
            of_image[int(parts[4] or 0)] = path
    return [
        row
        for number, found in sorted(masks.items())
        for row in _rows_of_image(folder, number, [path for _, path in sorted(found.items())])
    ]


def _rows_of_image(folder: Path, number: int, masks: list[Path]) -> list[SourceRow]:
    label = folder.name
    image_id = f"{label}-{number}"
    refusal = None
    if label == "normal":
        masks = []
        refusal = CaseError(ExclusionCode.NO_LESION, "found a normal breast, expected a lesion; nothing to measure")
    elif not masks:
        refusal = CaseError(ExclusionCode.MASK_MISSING, "found no mask beside the image, expected one; restore it")
    return [
        SourceRow(
            source_id=image_id if lesion == 1 else f"{image_id}-lesion{lesion}",
            patient_id=f"{Busi.name}-{image_id}",
            centre_id=Busi.name,
            files={BMODE: folder / f"{label} ({number}).png"},
            spacing_mm=None,
            spacing_source=SpacingSource.NONE,
            lesion_id=str(lesion),
            masks=() if mask is None else (MaskRef(mask),),
            values={"proxy_malignant": label == "malignant"},
            refusal=refusal,
        )
        for lesion, mask in enumerate(masks or [None], start=1)
    ]
