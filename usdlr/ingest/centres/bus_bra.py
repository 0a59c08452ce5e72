"""BUS-BRA in its official layout (Gómez-Flores et al. 2024, doi 10.1002/mp.16812).

There is no pixel size and no node status: nothing is measured in millimetres, and malignancy and BI-RADS 5 are offered
as declared proxies. ``Side`` is the half of a split screen on which a view stood, not a side of the body. ``BBOX`` is
not read: the mask says where the lesion is.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from usdlr.core.errors import DataError
from usdlr.core.modalities import BMODE
from usdlr.core.types import SpacingSource
from usdlr.ingest.adapter import Adapter, register
from usdlr.ingest.source import MaskRef, SourceRow

TABLE = "bus_data.csv"
COLUMNS = ("ID", "Case", "Pathology", "BIRADS", "Device", "Width", "Height", "Side")
CHOICES = {
    "Pathology": ("benign", "malignant"),
    "BIRADS": ("2", "3", "4", "5"),
    "Side": ("left", "right", "single"),
}
IMAGE_ID = re.compile(r"bus_(\d{4})-([lrs])")
MAX_BYTES = 1 << 24


@register
class BusBra(Adapter):
    """One or two views of one lesion per patient; a mask by one reader; no spacing and no elastography."""

    name = "bus_bra"

    def inputs(self, source: Path) -> dict[str, Path]:
        """The table of images."""
        return {"table": source / TABLE}

    def rows(self, source: Path) -> list[SourceRow]:
        """One row per line of the table, whether or not its image is there."""
        return [_source_row(record, source) for record in _read_table(source / TABLE)]


def _read_table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(f"found no {TABLE}, expected the table of BUS-BRA; keep its official layout")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"found {TABLE} larger than {MAX_BYTES >> 20} MiB, expected the official table; restore it")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header, *lines = csv.reader(stream, strict=True)
    except (OSError, ValueError, csv.Error) as error:  # a file without a line is a ValueError, too
        raise DataError(
            f"found {TABLE} is not a readable CSV table ({type(error).__name__}), expected the official one; restore it"
        ) from error
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise DataError(f"found no column {', '.join(missing)} in {TABLE}, expected {', '.join(COLUMNS)}; restore it")
    records = []
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(header):
            raise DataError(
                f"found {len(cells)} cells in row {number} of {TABLE} (row 1 is the header), expected {len(header)}; "
                "correct the table"
            )
        records.append(dict(zip(header, cells, strict=True)))
        _require_understood(records[-1], number)
    return records


def _require_understood(record: dict[str, str], number: int) -> None:
    def refuse(column: str, expected: str) -> None:
        found = f"{column} = {record[column][:40]!r} in row {number} of {TABLE} (row 1 is the header)"
        raise DataError(f"found {found}, expected {expected}; correct the table")

    parts = IMAGE_ID.fullmatch(record["ID"])
    if parts is None:
        refuse("ID", "ids such as bus_0001-l")
    for column in ("Case", "Width", "Height"):
        if re.fullmatch(r"[0-9]{1,6}", record[column]) is None or int(record[column]) == 0:
            refuse(column, "a positive whole number")
    for column, words in CHOICES.items():
        if record[column] not in words:
            refuse(column, " | ".join(words))
    # Two ways to say whose image it is: where they disagree, nobody knows which images to keep together.
    if parts is not None and int(parts[1]) != int(record["Case"]):
        refuse("Case", f"{int(parts[1])}, the number in the row's ID")


def _source_row(record: dict[str, str], source: Path) -> SourceRow:
    image_id = record["ID"]
    malignant = record["Pathology"] == "malignant"
    device = " ".join(record["Device"].split())
    return SourceRow(
        source_id=image_id,
        patient_id=f"{BusBra.name}-{int(record['Case']):04d}",
        centre_id=BusBra.name,
        files={BMODE: source / "Images" / f"{image_id}.png"},
        spacing_mm=None,
        spacing_source=SpacingSource.NONE,
        masks=(MaskRef(source / "Masks" / f"{image_id.replace('bus', 'mask', 1)}.png"),),
        stated_shape=(int(record["Height"]), int(record["Width"])),
        values={
            "birads": record["BIRADS"],
            "vendor": device.split()[0] if device else None,
            "device": device or None,
            "view": record["Side"],
            "proxy_malignant": malignant,
            # Structurally negative where stage 1 is, exactly as a non-sentinel node is.
            "proxy_birads5": malignant and record["BIRADS"] == "5",
        },
    )
