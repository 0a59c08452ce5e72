"""Contact sheets of ingested cases: what was read, where its millimetres come from, and what was noted."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from usdlr.core.errors import CaseError
from usdlr.core.files import write_bytes
from usdlr.core.types import ExclusionCode, SpacingSource
from usdlr.imaging.store import read_mask, read_png
from usdlr.report.style import MEASURED_FONT, ORANGE, SKY

COLUMNS, ROWS = 4, 5
SCALE_BAR_MM = 10.0
LINE_LETTERS = 52
_DPI = 100.0
_PANEL_INCHES = (3.2, 2.9)


def write_contact_sheets(cases: pd.DataFrame, root: Path, out: Path, *, count: int) -> list[Path]:
    """Draw up to ``count`` cases, evenly spread over the table, twenty to a sheet.

    Each picture shows the B-mode image with the lesion's contour (solid, orange), the edge of the field of view
    (dashed, blue), a bar of 10 mm where the image is calibrated (of 10 units where lengths are relative to the
    lesion), and below it size, spacing source and quality flags.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    root : Path
        Folder that its paths are relative to.
    out : Path
        Folder for ``sheet_01.png``, ...
    count : int
        Largest number of pictures.

    Returns
    -------
    list of Path
        The sheets, in order.
    """
    chosen = np.unique(np.linspace(0, len(cases) - 1, min(count, len(cases))).round().astype(int))
    records: list[dict[str, Any]] = [
        {str(name): value for name, value in row.items()} for row in cases.iloc[chosen].to_dict("records")
    ]
    sheets: list[Path] = []
    per_sheet = COLUMNS * ROWS
    for start in range(0, len(records), per_sheet):
        path = out / f"sheet_{start // per_sheet + 1:02d}.png"
        write_bytes(path, render_sheet(records[start : start + per_sheet], root))
        sheets.append(path)
    return sheets


def render_sheet(records: Sequence[dict[str, Any]], root: Path) -> bytes:
    """One sheet as PNG bytes; a file that cannot be read shows its reason in place of the picture."""
    rows = max(1, -(-len(records) // COLUMNS))
    with mpl.rc_context({"font.family": MEASURED_FONT, "font.size": 7.0}):
        figure = Figure(figsize=(COLUMNS * _PANEL_INCHES[0], rows * _PANEL_INCHES[1]), dpi=_DPI, layout="constrained")
        axes = figure.subplots(rows, COLUMNS, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, record in zip(axes.flat, records, strict=False):
            try:
                _draw(axis, record, root)
            except CaseError as error:
                axis.text(0.5, 0.5, error.sentence, ha="center", va="center", wrap=True, transform=axis.transAxes)
            axis.set_title(_caption(record), fontsize=6.5)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _draw(axis: Axes, record: dict[str, Any], root: Path) -> None:
    image = read_png(root / str(record["bmode_path"]), ExclusionCode.IMAGE_MISSING, ExclusionCode.IMAGE_UNREADABLE)
    row_mm, col_mm = record["row_mm"], record["col_mm"]
    calibrated = not (pd.isna(row_mm) or pd.isna(col_mm))
    axis.imshow(image, cmap="gray", vmin=0, vmax=255, aspect=float(row_mm / col_mm) if calibrated else "equal")
    for column, colour, style in (("fov_path", SKY, "dashed"), ("mask_path", ORANGE, "solid")):
        if not pd.isna(record[column]):
            _outline(axis, read_mask(root / str(record[column])), colour, style)
    if calibrated:
        length = SCALE_BAR_MM / float(col_mm)
        bottom = image.shape[0] * 0.96
        axis.plot([image.shape[1] * 0.03, image.shape[1] * 0.03 + length], [bottom, bottom], color="white", lw=2)


def _outline(axis: Axes, region: NDArray[np.bool_], colour: str, style: str) -> None:
    # A margin of background closes the line where the region meets the image's border.
    padded = np.pad(region, 1).astype(float)
    rows, cols = np.arange(-1, region.shape[0] + 1), np.arange(-1, region.shape[1] + 1)
    axis.contour(cols, rows, padded, levels=[0.5], colors=[colour], linewidths=0.9, linestyles=[style])


def _caption(record: dict[str, Any]) -> str:
    size = record["tumour_size_mm"]
    measured = "size unknown" if pd.isna(size) else f"{float(size):.1f} mm"
    spacing = record["row_mm"]
    relative = record["spacing_source"] == str(SpacingSource.LESION_RELATIVE)
    unit = "units" if relative else "mm"
    per_pixel = "no spacing" if pd.isna(spacing) else f"{float(spacing):.4f} {unit}/px ({record['spacing_source']})"
    flags = record["quality_flags"]
    lines = [str(record["image_id"])[:40], f"{measured}, {per_pixel}"]
    if record["elasto_state"] not in (None, "missing") and not pd.isna(record["elasto_state"]):
        lines.append(f"elastography {record['elasto_state']}")
    if not pd.isna(flags):
        lines += textwrap.wrap(str(flags), LINE_LETTERS)
    return "\n".join(lines)
