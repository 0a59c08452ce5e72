"""Where everything lies in the folder of an experiment on outlines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEVELOPMENT = "development"


@dataclass(frozen=True)
class OutlineLayout:
    """Paths of a run.

    Parameters
    ----------
    out : Path
        The run's folder.
    """

    out: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.out / "config.yaml"

    @property
    def splits(self) -> Path:
        """Split of every patient in every fold."""
        return self.out / "splits.csv"

    @property
    def metrics(self) -> Path:
        """Estimates with intervals."""
        return self.out / "metrics.json"

    @property
    def report(self) -> Path:
        """The page."""
        return self.out / "report.html"

    @property
    def bundle(self) -> Path:
        """What outlines new images."""
        return self.out / "bundle"

    @property
    def provenance(self) -> Path:
        """Origin of the whole run."""
        return self.out / "provenance.json"

    def ingested(self, source: str) -> Path:
        """Folder of an ingested source; the development patients' is ``ingest``."""
        return self.out / "ingest" if source == DEVELOPMENT else self.out / "external" / source / "ingest"

    def cases(self, source: str) -> Path:
        """The source's cases with a reader's outline."""
        return self.ingested(source) / "cases.parquet"

    def lesion_free(self, source: str) -> Path:
        """The source's images without a lesion."""
        return self.ingested(source) / "lesion_free.parquet"

    def exclusions(self, source: str) -> Path:
        """Rows of the source that are not used, with their reasons."""
        return self.out / ("exclusions.csv" if source == DEVELOPMENT else f"external/{source}/exclusions.csv")

    def weights(self, fold: str) -> Path:
        """The network that a fold fitted."""
        return self.out / "work" / "fits" / fold / "network.safetensors"

    def outlines(self, part: str) -> Path:
        """What was outlined in a part: a fold's test images, or an external source; a table of lesions."""
        return self.out / "work" / "outlines" / f"{part}.parquet"

    def masks(self, part: str) -> Path:
        """The outlines themselves: numbers of lesions by image and way, compressed."""
        return self.out / "work" / "outlines" / f"{part}.npz"

    def images(self, source: str) -> Path:
        """One judged row per image of a source."""
        return self.out / f"images_{source}.parquet"

    def objects(self, source: str) -> Path:
        """One judged row per lesion of a source."""
        return self.out / f"objects_{source}.parquet"
