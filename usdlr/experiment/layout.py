"""Where everything lies in the folder of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from usdlr.core.types import Stage
from usdlr.ingest.splits import BUNDLE_FOLD, read_splits

# Raw log-odds of one stage of one fold, a row per axilla.
RAW = "axillae.parquet"
# Raw log-odds of the tuning axillae as if they lacked a modality, a row per axilla and modality.
WITHOUT = "without.parquet"


@dataclass(frozen=True)
class Layout:
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
    def ingested(self) -> Path:
        """Folder of the ingested source: every usable row and the canonical images."""
        return self.out / "ingest"

    @property
    def cases(self) -> Path:
        """The cohort: cases with a known endpoint, features and crops."""
        return self.out / "cases.parquet"

    @property
    def exclusions(self) -> Path:
        """Everything that is not in the cohort, with its reason."""
        return self.out / "exclusions.csv"

    @property
    def features(self) -> Path:
        """Radiomics of every case with a known endpoint."""
        return self.out / "features.parquet"

    @property
    def splits(self) -> Path:
        """Split of every patient in every fold."""
        return self.out / "splits.csv"

    @property
    def fingerprints(self) -> Path:
        """Fingerprints of the images of every case with a known endpoint."""
        return self.out / "work" / "fingerprints.parquet"

    @property
    def crops(self) -> Path:
        """Crops of the cohort."""
        return self.out / "work" / "crops.npz"

    @property
    def design(self) -> Path:
        """Design table of the cohort."""
        return self.out / "work" / "design.parquet"

    @property
    def baselines(self) -> Path:
        """Out-of-fold scores of the baselines."""
        return self.out / "work" / "baselines.parquet"

    @property
    def ceilings(self) -> Path:
        """Scores of the oracle and the limit; only of a simulated cohort."""
        return self.out / "work" / "ceilings.parquet"

    @property
    def predictions(self) -> Path:
        """Predictions of every member for every axilla."""
        return self.out / "predictions.parquet"

    @property
    def decisions(self) -> Path:
        """Out-of-fold decisions."""
        return self.out / "decisions.parquet"

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
        """The model that ships."""
        return self.out / "bundle"

    @property
    def provenance(self) -> Path:
        """Origin of the whole run."""
        return self.out / "provenance.json"

    def member(self, fold: str) -> Path:
        """Folder of a fold's fitted cascade."""
        return self.out / "work" / "fits" / fold

    def stage(self, fold: str, stage: Stage) -> Path:
        """Folder of one fitted stage."""
        return self.member(fold) / str(stage)

    def read_splits(self, patients: Iterable[str]) -> pd.DataFrame:
        """Read and check the splits.

        Raises
        ------
        LeakError
            If a patient has two splits in one fold.
        DataError
            If the file is missing, was changed, or does not hold exactly these patients.
        """
        return read_splits(self.splits, list(patients))

    def test_folds(self) -> list[str]:
        """Names of the folds that test somebody, in the order of the splits."""
        names = pd.read_csv(self.splits, dtype="str", keep_default_na=False)["fold"].unique()
        return [str(name) for name in names if name != BUNDLE_FOLD]
