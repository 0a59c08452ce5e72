"""An example manifest and the description of its columns."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from usdlr.core.errors import ConfigError
from usdlr.core.files import write_text
from usdlr.ingest.manifest_cells import expectation
from usdlr.ingest.manifest_columns import (
    COLUMNS,
    GROUPS,
    MANIFEST_FILE,
    MAX_READERS,
    READER_COLUMNS,
    Kind,
    ManifestColumn,
    further,
)

COLUMNS_FILE = "manifest_columns.md"
# A second reader's contour, and a stand-in for an endpoint, show how such columns are named.
EXTRA = (further("mask_file", 2), further("reader_id", 2), "proxy_malignant")

EXAMPLES: tuple[dict[str, str], ...] = (
    {
        "centre_id": "north",
        "patient_id": "p001",
        "side": "left",
        "bmode_file": "images/p001_bmode.png",
        "mask_file": "masks/p001_reader1.png",
        "reader_id": "reader1",
        "mask_file_2": "masks/p001_reader2.png",
        "reader_id_2": "reader2",
        "row_mm": "0.085",
        "col_mm": "0.085",
        "elasto_file": "images/p001_swe.png",
        "elasto_layout": "overlay",
        "elasto_kind": "swe",
        "elasto_unit": "kPa",
        "elasto_palette": "blue_to_red",
        "elasto_low": "0",
        "elasto_high": "180",
        "vendor": "Acme",
        "device": "A1",
        "age_years": "54",
        "birads": "4c",
        "cn_stage": "cN0",
        "neoadjuvant": "false",
        "sln_positive": "true",
        "nsln_positive": "false",
        "positive_nodes": "1",
        "removed_nodes": "14",
        "sln_reference": "slnb",
        "sln_deposit": "macro",
        "axillary_surgery": "alnd",
        "proxy_malignant": "true",
    },
    {
        "centre_id": "north",
        "patient_id": "p002",
        "side": "right",
        "image_id": "us-0002",
        "bmode_file": "dicom/us-0002.dcm",
        "frame": "3",
        "mask_file": "masks/labels.json",
        "mask_label": "tumour",
        "mask_image": "us-0002",
        "reader_id": "reader1",
        "age_years": "61",
        "birads": "5",
        "sln_positive": "false",
        "sln_reference": "slnb",
        "axillary_surgery": "slnb",
        "proxy_malignant": "true",
    },
)


def template_columns() -> list[str]:
    """Names of the example's columns: every documented one, and one of each kind that has many names."""
    names = [item.name for item in COLUMNS if not item.column.pattern]
    after = names.index(READER_COLUMNS[-1]) + 1
    return [*names[:after], *EXTRA[:-1], *names[after:], EXTRA[-1]]


def write_template(folder: Path) -> list[Path]:
    """Write an example ``manifest.csv`` with two invented rows, and ``manifest_columns.md``, which explains it.

    Parameters
    ----------
    folder : Path
        Target folder; it is created.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ConfigError
        If a manifest is there already: it may be somebody's work.
    """
    manifest, explanation = folder / MANIFEST_FILE, folder / COLUMNS_FILE
    for path in (manifest, explanation):
        if path.exists():
            raise ConfigError(f"found {path.name} in that folder already, expected none; choose another folder")
    text = io.StringIO()
    writer = csv.DictWriter(text, template_columns(), restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(EXAMPLES)
    # Without the mark, Excel takes UTF-8 for the computer's old code page.
    write_text(manifest, "\ufeff" + text.getvalue())
    write_text(explanation, f"# Columns of {MANIFEST_FILE}\n\n{describe_columns()}")
    return [manifest, explanation]


def describe_columns() -> str:
    """Every column of the manifest in Markdown: whether it is required, what it may hold, what it means."""
    required = ", ".join(f"`{item.name}`" for item in COLUMNS if item.required)
    lines = [
        f"One row per image and lesion; the columns {required} are required, their order is free, and columns that are "
        "not needed may be left out. Text is UTF-8, cells are separated by commas, semicolons or tabulators. Paths are "
        "relative to the manifest's folder and stay in it. An empty cell means: not known, or the default given below.",
    ]
    for group in GROUPS:
        lines += ["", f"## {group.title}", "", "| column | may hold | meaning |", "|---|---|---|"]
        lines += [_line(item) for item in group.columns]
        if any(item.name in READER_COLUMNS for item in group.columns):
            names = ", ".join(f"`{further(name, 2)}`" for name in READER_COLUMNS)
            lines += [
                "",
                f"Further readers of the same lesion have columns of their own: {names}, up to `_{MAX_READERS}`. The "
                "contour of the first column that is not empty is the one that is used; the others are kept for "
                "agreement studies.",
            ]
    return "\n".join(lines) + "\n"


def _line(item: ManifestColumn) -> str:
    column = item.column
    name = f"`{column.name}`"
    if column.pattern:
        name = "`proxy_NAME`, any number of them"
    may_hold = {
        Kind.FILE: "relative path",
        Kind.PANE: "four whole numbers, such as `24 336 392 304`",
        Kind.NAME: "letters, digits, spaces and `. _ -`",
        Kind.VALUE: expectation(column).replace("|", "\\|"),
    }[item.kind]
    meaning = column.meaning
    if item.required:
        meaning += " **The column is required**" + ("." if column.nullable else ", and no cell may be empty.")
    if item.default:
        meaning += f" Empty: {item.default}."
    return f"| {name} | {may_hold} | {meaning} |"
