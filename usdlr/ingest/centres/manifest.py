"""A centre that describes its files in one CSV; for exports without DICOM, and for DICOM with contours or outcomes."""

from __future__ import annotations

from pathlib import Path

from usdlr.ingest.adapter import Adapter, register
from usdlr.ingest.manifest import MANIFEST_FILE, read_manifest
from usdlr.ingest.source import SourceRow


@register
class Manifest(Adapter):
    """A folder with ``manifest.csv`` and the files that it names."""

    name = "manifest"

    def inputs(self, source: Path) -> dict[str, Path]:
        """The manifest."""
        return {"manifest": source / MANIFEST_FILE}

    def rows(self, source: Path) -> list[SourceRow]:
        """One row per row of the manifest."""
        return read_manifest(source / MANIFEST_FILE)
