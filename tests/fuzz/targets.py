"""What reads files from outside, each as a function of one file's bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from usdlr.core.types import SpacingSource
from usdlr.ingest.annotations.reading import read_contours
from usdlr.ingest.centres.manifest import Manifest
from usdlr.ingest.readers.dicom_header import read_header
from usdlr.ingest.readers.reading import read_frame
from usdlr.ingest.source import MaskRef
from usdlr.ingest.spacing import resolve_spacing

SHAPE = (48, 64)


def _frame(content: bytes, folder: Path) -> None:
    path = folder / "input"
    path.write_bytes(content)
    frame = read_frame(path, None)
    resolve_spacing(frame, mask=None, pane=None, stated_mm=None, stated_source=SpacingSource.NONE)


def _header(content: bytes, folder: Path) -> None:
    path = folder / "input"
    path.write_bytes(content)
    read_header(path)


def _contours(content: bytes, folder: Path) -> None:
    path = folder / "input"
    path.write_bytes(content)
    read_contours(MaskRef(path), SHAPE)


def _manifest(content: bytes, folder: Path) -> None:
    (folder / "manifest.csv").write_bytes(content)
    Manifest().rows(folder)


TARGETS: dict[str, Callable[[bytes, Path], None]] = {
    "frame": _frame,
    "header": _header,
    "contours": _contours,
    "manifest": _manifest,
}
