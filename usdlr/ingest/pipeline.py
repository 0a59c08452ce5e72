"""From an export to ``cases.parquet``: every row is read, checked and copied to canonical files, or excluded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import CaseError, DataError
from usdlr.core.hashing import SHORT, bytes_hash, file_hash
from usdlr.core.modalities import BMODE, ELASTO
from usdlr.core.pool import Outcome, run_all
from usdlr.core.provenance import Provenance
from usdlr.core.types import ElastographyKind, ExclusionCode, MaskSource, Site, SpacingSource
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, require_same_grid, to_grey
from usdlr.imaging.mask import LesionMask, measure, require_plausible
from usdlr.imaging.store import mask_to_png, read_mask, read_png, write_png
from usdlr.ingest import breast_lesions_usg, simulated  # noqa: F401 - registers the adapters
from usdlr.ingest.adapter import SourceRow, adapter_named, require_folder, require_usable_ids
from usdlr.ingest.endpoints import normalise_endpoints

# Roles in the order in which they enter the content hash.
ROLES = (BMODE, "mask", ELASTO)


@dataclass(frozen=True)
class Ingested:
    """What became of one export.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    exclusions : DataFrame
        The ``exclusions`` table.
    """

    cases: pd.DataFrame
    exclusions: pd.DataFrame


def ingest(source: Path, centre: str, out: Path, *, jobs: int = 1) -> Ingested:
    """Read a centre's export.

    Writes ``cases.parquet``, ``exclusions.csv`` (each with its provenance) and ``images/`` below ``out``. Nothing is
    written when no row can be used.

    Parameters
    ----------
    source : Path
        The export's folder.
    centre : str
        Name of a registered adapter.
    out : Path
        Target folder.
    jobs : int
        Number of processes; the result does not depend on it.

    Raises
    ------
    ConfigError
        If no adapter has that name.
    DataError
        If the export cannot be read, repeats an id, or holds no usable row.
    TableError
        If a value is outside its column's vocabulary or range.
    """
    adapter = adapter_named(centre)
    rows = adapter.rows(require_folder(source))
    if not rows:
        raise DataError(f"found an export without rows in {source}, expected at least one image; check the path")
    require_usable_ids(rows)
    check_values(rows)
    outcomes = run_all(partial(ingest_row, out=out), rows, jobs=jobs, label=f"ingest {centre}")
    exclusions = exclusion_rows(rows, outcomes)
    records = [outcome.result for outcome in outcomes if outcome.result is not None]
    if not records:
        code, count = Counter(item["code"] for item in exclusions).most_common(1)[0]
        first = next(item for item in exclusions if item["code"] == code)
        raise DataError(
            f"found no usable case among {len(rows)} rows of {source}; {count} x {code}, first in row "
            f"{1 + [row.source_id for row in rows].index(first['source_id'])}: {first['sentence']}"
        )
    _require_one_patient_per_image(rows, outcomes)
    cases = _largest_lesion_per_axilla(pd.DataFrame(records))
    inputs = {role: file_hash(path) for role, path in adapter.inputs(source).items()}
    inputs["images"] = bytes_hash(*(str(image_id).encode() for image_id in cases["image_id"]))
    provenance = Provenance("usdlr ingest", inputs, {"centre": centre})
    table = pd.DataFrame(exclusions) if exclusions else tables.EXCLUSIONS.empty()
    return Ingested(
        cases=tables.CASES.write(cases, out / "cases.parquet", provenance),
        exclusions=tables.EXCLUSIONS.write(table, out / "exclusions.csv", provenance),
    )


def check_values(rows: Sequence[SourceRow]) -> None:
    """Check what the rows state about patients, before any pixel is read and anything is written.

    Raises
    ------
    TableError
        Naming row (counted from 0), column, what was found and what was expected.
    """
    values = pd.DataFrame([dict(row.values) for row in rows])
    stated = tuple(replace(column, nullable=True) for column in tables.CASES.columns if column.name in values)
    proxies = tuple(column for column in tables.CASES.columns if column.pattern)
    tables.Table("export", (*stated, *proxies), ()).conform(values)


def ingest_row(row: SourceRow, out: Path) -> dict[str, Any]:
    """Check one row and write its canonical files; returns its ``cases`` row.

    Raises
    ------
    CaseError
        If the row cannot be used; nothing is written then.
    """
    if row.refusal is not None:
        raise row.refusal
    endpoints = normalise_endpoints(row.values)
    for role, absent in ((BMODE, ExclusionCode.IMAGE_MISSING), ("mask", ExclusionCode.MASK_MISSING)):
        if role not in row.files:
            raise CaseError(absent, f"found no {role} file stated, expected one; name it in the export's table")
    raw = read_png(row.files[BMODE], ExclusionCode.IMAGE_MISSING, ExclusionCode.IMAGE_UNREADABLE)
    if raw.dtype != np.uint8:
        raise CaseError(
            ExclusionCode.IMAGE_UNREADABLE,
            f"found {row.files[BMODE].name} with {raw.dtype} pixels, expected 8 bits per channel; export it again",
        )
    grey, fov = to_grey(raw)
    shape = (grey.shape[0], grey.shape[1])
    lesion = read_mask(row.files["mask"])
    require_same_grid(shape, (lesion.shape[0], lesion.shape[1]), "mask")
    spacing = None if row.spacing_mm is None else Spacing(*row.spacing_mm)
    mask = LesionMask(lesion, spacing)
    size_mm = None
    if spacing is not None:
        size = measure(mask)
        require_plausible(size)
        size_mm = size.longest_diameter_mm
    stiffness = None
    if ELASTO in row.files:
        code = ExclusionCode.ELASTOGRAPHY_UNREADABLE
        stiffness = read_png(row.files[ELASTO], code, code)
        if stiffness.ndim != 2 or stiffness.dtype != np.uint16:
            raise CaseError(
                code,
                f"found {row.files[ELASTO].name} with {stiffness.dtype} and shape {stiffness.shape}, expected a 16-bit "
                "grey stiffness map; export stiffness, not a picture of it",
            )
        require_same_grid(shape, (stiffness.shape[0], stiffness.shape[1]), "stiffness map", code)
        stated = (row.values.get("elasto_kind"), row.values.get("elasto_unit"))
        if stated != (str(ElastographyKind.SWE), "kPa"):
            raise CaseError(
                code,
                f"found a stiffness map of kind {stated[0]} in {stated[1]}, expected shear-wave elastography (swe) in "
                "kPa; convert it and state both",
            )

    digest = bytes_hash(*(row.files[role].read_bytes() for role in ROLES if role in row.files))
    image_id = f"{row.source_id}-{digest[:SHORT]}"
    paths = _write_canonical(out, image_id, grey, lesion, stiffness, fov)
    record = {
        "centre_id": row.centre_id,
        "patient_id": row.patient_id,
        "side": str(row.side),
        "lesion_id": row.lesion_id,
        "image_id": image_id,
        "site": str(row.site),
        "mask_source": str(MaskSource.READER),
        "row_mm": None if spacing is None else spacing.row_mm,
        "col_mm": None if spacing is None else spacing.col_mm,
        "spacing_source": str(SpacingSource.NONE if spacing is None else row.spacing_source),
        **endpoints,
        **paths,
    }
    if stiffness is None:
        record |= {"elasto_kind": None, "elasto_unit": None}
    if record.get("tumour_size_mm") is None:
        record["tumour_size_mm"] = size_mm
    return record


def exclusion_rows(rows: Sequence[SourceRow], outcomes: Sequence[Outcome[Any]]) -> list[dict[str, Any]]:
    """The ``exclusions`` rows of every row that failed."""
    return [
        {
            "centre_id": row.centre_id,
            "patient_id": row.patient_id,
            "side": str(row.side),
            "source_id": row.source_id,
            "step": "ingest",
            "code": str(outcome.failure.code),
            "sentence": outcome.failure.sentence,
        }
        for row, outcome in zip(rows, outcomes, strict=True)
        if outcome.failure is not None
    ]


def _require_one_patient_per_image(rows: Sequence[SourceRow], outcomes: Sequence[Outcome[dict[str, Any]]]) -> None:
    """Refuse one image under two patients: they would be split as two.

    Raises
    ------
    DataError
        Naming the two rows.
    """
    owner: dict[str, tuple[int, str]] = {}
    for position, (row, outcome) in enumerate(zip(rows, outcomes, strict=True), start=1):
        if outcome.result is None:
            continue
        digest = str(outcome.result["image_id"])[-SHORT:]
        first, patient = owner.setdefault(digest, (position, row.patient_id))
        if patient != row.patient_id:
            raise DataError(
                f"found the same image and mask in rows {first} and {position} under two patients, expected one; "
                "give them one patient_id or remove one row"
            )


def _write_canonical(
    out: Path,
    image_id: str,
    grey: np.ndarray[Any, Any],
    lesion: BoolArray,
    stiffness: np.ndarray[Any, Any] | None,
    fov: BoolArray | None,
) -> dict[str, str | None]:
    files = {
        "bmode_path": grey,
        "mask_path": mask_to_png(lesion),
        "elasto_path": stiffness,
        "fov_path": None if fov is None else mask_to_png(fov),
    }
    paths: dict[str, str | None] = {}
    for column, pixels in files.items():
        relative = f"images/{image_id}_{column.removesuffix('_path')}.png"
        paths[column] = None if pixels is None else relative
        if pixels is not None:
            write_png(out / relative, pixels)
    return paths


def _largest_lesion_per_axilla(cases: pd.DataFrame) -> pd.DataFrame:
    # A lymph node's outline says nothing about the tumour's size.
    sizes = pd.to_numeric(cases["tumour_size_mm"]).where(cases["site"] == str(Site.TUMOUR))
    cases["tumour_size_mm"] = sizes.groupby([cases["patient_id"], cases["side"]]).transform("max")
    return cases
