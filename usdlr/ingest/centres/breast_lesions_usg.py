"""BrEaST-Lesions-USG in its official layout (doi 10.7937/9WKK-Q141; described in doi 10.1038/s41597-024-02984-z).

The workbook's ``Pixel_size`` is in centimetres per pixel. There is no node status: malignancy and BI-RADS 5 are
offered as declared proxies. ``Mask_other_filename`` outlines other findings than the tumour (ducts, cysts, implants):
none of them has a label of its own, so they become neither cases nor further contours of the tumour.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core.errors import CaseError, DataError
from usdlr.core.modalities import BMODE
from usdlr.core.types import ExclusionCode, QualityFlag, SpacingSource
from usdlr.core.units import MM_PER_CM
from usdlr.ingest.adapter import Adapter, register
from usdlr.ingest.source import MaskRef, Note, SourceRow

WORKBOOK = "*clinical-data*.xlsx"
IMAGES = "BrEaST-Lesions_USG-images_and_masks"
COLUMNS = ("CaseID", "Image_filename", "Mask_tumor_filename", "Pixel_size", "Age", "BIRADS", "Classification")
OTHER = "Mask_other_filename"
OTHER_FINDINGS = Note(
    QualityFlag.OTHER_FINDINGS,
    "found outlines of other findings than the tumour (ducts, cysts, implants): they are not used, and the peritumoral "
    "ring may hold them",
)
CLASSES = ("benign", "malignant", "normal")


@register
class BreastLesionsUsg(Adapter):
    """One B-mode image of one lesion per patient; a mask by readers; no elastography."""

    name = "breast_lesions_usg"

    def inputs(self, source: Path) -> dict[str, Path]:
        """The workbook."""
        return {"workbook": _workbook(source)}

    def rows(self, source: Path) -> list[SourceRow]:
        """One row per line of the workbook."""
        table = _read_workbook(_workbook(source))
        return [
            _source_row(dict(zip(table.columns, record, strict=True)), source / IMAGES)
            for record in table.itertuples(index=False, name=None)
        ]


def _workbook(source: Path) -> Path:
    # Beside a workbook that is open, Excel keeps a file of the same name after "~$".
    found = sorted(path for path in source.glob(WORKBOOK) if not path.name.startswith(("~$", ".")))
    if len(found) != 1:
        raise DataError(
            f"found {len(found)} workbooks named {WORKBOOK} in {source}, expected one; "
            "keep the official layout of BrEaST-Lesions-USG"
        )
    return found[0]


def _read_workbook(path: Path) -> pd.DataFrame:
    try:
        # As text: a column without letters would turn 5 into 5.0 beside an empty cell.
        table = pd.read_excel(path, dtype={"BIRADS": "str"})
    except ImportError as error:
        raise DataError(
            f"found the workbook {path.name}, expected openpyxl to read it; pip install usdlr[excel]"
        ) from error
    except Exception as error:  # whatever a damaged archive or its XML makes the library raise
        raise DataError(
            f"found {path.name} is not a readable Excel workbook ({type(error).__name__}), expected the official one; "
            "restore the file"
        ) from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"found no column {', '.join(missing)} in {path.name}, expected {', '.join(COLUMNS)}")
    strange = sorted({str(value) for value in table["Classification"]} - set(CLASSES))
    if strange:
        raise DataError(
            f"found Classification = {', '.join(strange)} in {path.name}, expected {', '.join(CLASSES)}; correct it"
        )
    if len(table) and not pd.api.types.is_integer_dtype(table["CaseID"]):
        raise DataError(f"found CaseID with other values than whole numbers in {path.name}; correct the column")
    return table


def _source_row(record: dict[str, Any], folder: Path) -> SourceRow:
    case = f"case{int(record['CaseID']):03d}"
    label = str(record["Classification"])
    birads = _text(record["BIRADS"])
    masks: tuple[MaskRef, ...] = ()
    refusal = None
    if label == "normal":
        refusal = CaseError(ExclusionCode.NO_LESION, "found a normal breast, expected a lesion; nothing to measure")
    elif _text(record["Mask_tumor_filename"]) is None:
        refusal = CaseError(ExclusionCode.MASK_MISSING, "found no tumour mask in the workbook, expected one; draw it")
    else:
        masks = (MaskRef(folder / str(record["Mask_tumor_filename"])),)
    size_cm = pd.to_numeric(record["Pixel_size"], errors="coerce")
    size_mm = None if pd.isna(size_cm) else float(size_cm) * MM_PER_CM
    malignant = label == "malignant"
    return SourceRow(
        source_id=case,
        patient_id=f"{BreastLesionsUsg.name}-{case}",
        centre_id=BreastLesionsUsg.name,
        files={BMODE: folder / str(record["Image_filename"])},
        spacing_mm=None if size_mm is None else (size_mm, size_mm),
        spacing_source=SpacingSource.NONE if size_mm is None else SpacingSource.MANIFEST,
        masks=masks,
        values={
            "age_years": pd.to_numeric(record["Age"], errors="coerce"),
            # BI-RADS 1 marks the normal breasts; the others are assessment categories.
            "birads": birads,
            "proxy_malignant": malignant,
            # Structurally negative where stage 1 is, exactly as a non-sentinel node is.
            "proxy_birads5": None if malignant and birads is None else malignant and birads == "5",
        },
        notes=() if _text(record.get(OTHER)) is None else (OTHER_FINDINGS,),
        refusal=refusal,
    )


def _text(value: Any) -> str | None:
    return None if pd.isna(value) or str(value).strip() in ("", "not available", "not applicable") else str(value)
