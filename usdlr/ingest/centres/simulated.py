"""The simulated cohort: a folder with ``cohort.json`` and a manifest like any centre's; the truth is not read."""

from __future__ import annotations

from pathlib import Path

from usdlr.core.errors import DataError
from usdlr.core.files import read_json
from usdlr.ingest.adapter import Adapter, register
from usdlr.ingest.manifest import MANIFEST_FILE, read_manifest
from usdlr.ingest.source import SourceRow

COHORT_FILE = "cohort.json"
SCHEMA = 2
TISSUE_ALONE = "png"  # the export format whose pictures show nothing but tissue


@register
class Simulated(Adapter):
    """What ``usdlr simulate`` writes: the documented manifest, and the knowledge that no patient stands behind it."""

    name = "simulated"
    simulated = True

    def inputs(self, source: Path) -> dict[str, Path]:
        """The manifest."""
        return {"manifest": source / MANIFEST_FILE}

    def is_bare(self, source: Path) -> bool:
        """Whether the cohort was exported as pictures of tissue; screens are searched like a scanner's."""
        return bool(_cohort(source).get("format") == TISSUE_ALONE)

    def rows(self, source: Path) -> list[SourceRow]:
        """One row per image set of the manifest."""
        _cohort(source)
        return read_manifest(source / MANIFEST_FILE)


def _cohort(source: Path) -> dict[str, object]:
    path = source / COHORT_FILE
    if not path.is_file():
        raise DataError(
            f"found no {COHORT_FILE} in {source}, expected a finished simulated cohort; "
            f"run: usdlr simulate --out {source} --patients N --seed S"
        )
    cohort = read_json(path)
    schema = cohort.get("schema") if isinstance(cohort, dict) else None
    if not isinstance(cohort, dict) or schema != SCHEMA:
        raise DataError(f"found a simulated cohort of schema {schema}, expected {SCHEMA}; simulate again")
    return cohort
