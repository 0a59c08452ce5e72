"""The simulated cohort: a folder with ``cohort.json``, ``manifest.csv`` and images. The truth table is never read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core.columns import ENDPOINTS, POSTOPERATIVE, PREOPERATIVE, words
from usdlr.core.errors import DataError
from usdlr.core.files import read_json
from usdlr.core.modalities import BMODE
from usdlr.core.types import ElastographyKind, Side, Site, SpacingSource
from usdlr.imaging.store import STIFFNESS_STEP
from usdlr.ingest.adapter import Adapter, register
from usdlr.ingest.source import ElastographyLayout, ElastographyRef, MaskRef, SourceRow

REQUIRED = (
    "centre_id",
    "patient_id",
    "side",
    "lesion_id",
    "source_id",
    "site",
    "bmode_file",
    "mask_file",
    "row_mm",
    "col_mm",
)
# Columns that say whose image a row is, with the words they may hold: no row can do without.
IDENTIFYING = {
    "centre_id": None,
    "patient_id": None,
    "lesion_id": None,
    "source_id": None,
    "side": words(Side),
    "site": words(Site),
}
PASSED_ON = ("vendor", "device", "view", "exam_day", "elasto_kind", "elasto_unit")
SCHEMA = 1


@register
class Simulated(Adapter):
    """What ``usdlr simulate`` writes."""

    name = "simulated"
    simulated = True
    bare = True

    def inputs(self, source: Path) -> dict[str, Path]:
        """The manifest."""
        return {"manifest": source / "manifest.csv"}

    def rows(self, source: Path) -> list[SourceRow]:
        """One row per image set of the manifest."""
        if not (source / "cohort.json").is_file():
            raise DataError(
                f"found no cohort.json in {source}, expected a finished simulated cohort; "
                f"run: usdlr simulate --out {source} --patients N --seed S"
            )
        cohort = read_json(source / "cohort.json")
        schema = cohort.get("schema") if isinstance(cohort, dict) else None
        if schema != SCHEMA:
            raise DataError(f"found a simulated cohort of schema {schema}, expected {SCHEMA}; simulate again")
        manifest = source / "manifest.csv"
        if not manifest.is_file():
            raise DataError(f"found no {manifest}, expected the cohort's manifest; simulate again")
        try:
            table = pd.read_csv(manifest, dtype="str", keep_default_na=False, na_values=[""])
        except (OSError, ValueError) as error:
            raise DataError(f"found {manifest} is not a readable CSV table ({error}); simulate again") from error
        missing = [name for name in REQUIRED if name not in table.columns]
        if missing:
            raise DataError(f"found no column {', '.join(missing)} in {manifest}; simulate again")
        for name, choices in IDENTIFYING.items():
            wrong = table[name].isna() if choices is None else ~table[name].isin(choices)
            if wrong.any():
                row = int(wrong.to_numpy().argmax())
                expected = "a value" if choices is None else " | ".join(choices)
                raise DataError(
                    f"found {name} = {table[name].iloc[row]} in row {row + 1} of {manifest}, expected {expected}; "
                    "correct the manifest or simulate again"
                )
        return [
            _source_row(dict(zip(table.columns, record, strict=True)), source)
            for record in table.itertuples(index=False, name=None)
        ]


def _source_row(record: dict[str, Any], source: Path) -> SourceRow:
    bmode, mask, elasto = (_file(record, source, f"{name}_file") for name in ("bmode", "mask", "elasto"))
    row_mm, col_mm = (pd.to_numeric(record[name], errors="coerce") for name in ("row_mm", "col_mm"))
    stated = not (pd.isna(row_mm) or pd.isna(col_mm))
    known = [column.name for column in (*PREOPERATIVE, *POSTOPERATIVE, *ENDPOINTS) if not column.pattern]
    values = {name: record[name] for name in (*PASSED_ON, *known) if name in record}
    return SourceRow(
        source_id=str(record["source_id"]),
        patient_id=str(record["patient_id"]),
        centre_id=str(record["centre_id"]),
        files={} if bmode is None else {BMODE: bmode},
        spacing_mm=(float(row_mm), float(col_mm)) if stated else None,
        spacing_source=SpacingSource.MANIFEST if stated else SpacingSource.NONE,
        side=Side(str(record["side"])),
        site=Site(str(record["site"])),
        lesion_id=str(record["lesion_id"]),
        masks=() if mask is None else (MaskRef(mask),),
        elastography=None
        if elasto is None
        else ElastographyRef(elasto, ElastographyLayout.MAP, ElastographyKind.SWE, "kPa", step=STIFFNESS_STEP),
        values={name: _parsed(value) for name, value in values.items()},
    )


def _file(record: dict[str, Any], source: Path, column: str) -> Path | None:
    name = record.get(column)
    return None if name is None or pd.isna(name) else source / str(name)


def _parsed(value: object) -> object:
    if not isinstance(value, str):
        return None
    return {"true": True, "false": False}.get(value.lower(), value)
