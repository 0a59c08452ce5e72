"""The steps of a run that other sources take: each beside its counterpart for the development cohort."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core import tables
from usdlr.core.hashing import file_hash
from usdlr.core.journal import Journal
from usdlr.core.provenance import Provenance
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.external import ExternalSource
from usdlr.experiment.layout import Layout
from usdlr.experiment.source import segmenter_input
from usdlr.inference.bundle import load_bundle


@dataclass
class ExternalSteps:
    """Every external source of a run; without one, no step does anything.

    Parameters
    ----------
    config, layout, journal
        The run's.
    """

    config: ExperimentConfig
    layout: Layout
    journal: Journal
    sources: list[ExternalSource] = field(init=False)
    _inputs: dict[str, str] = field(init=False, default_factory=dict)
    _files: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.sources = [ExternalSource(self.config, self.layout, name) for name in sorted(self.config.data.external)]

    def check(self) -> dict[str, str]:
        """Hashes of the tables that define the exports, whose own errors come first.

        Raises
        ------
        InputError
            If a source is not given or cannot be read.
        """
        for source in self.sources:
            hashes, self._files[source.name] = source.check()
            self._inputs |= hashes
        return dict(self._inputs)

    def ingest(self) -> None:
        """Read the exports."""
        for source in self.sources:
            key = [self.config.data.ingest.as_dict(), self._inputs, self._files[source.name]]
            key += [drawn] if (drawn := segmenter_input(self.config)) else []
            outputs = [source.folder / "ingest" / name for name in ("cases.parquet", "exclusions.csv")]
            self.journal.step(f"ingest-external-{source.name}", key, outputs, source.ingest)

    def require_new(self, cohort: pd.DataFrame, prints: pd.DataFrame) -> None:
        """Refuse patients or pictures of the development cohort, given with its fingerprints.

        Raises
        ------
        LeakError
            If a source holds any.
        """
        for source in self.sources:
            source.require_new(cohort, prints)

    def prepare(self, provenance: Callable[..., Provenance]) -> None:
        """Features, crops and design tables."""
        for source in self.sources:
            ingested = source.folder / "ingest" / "cases.parquet"
            origin = provenance(f"external {source.name}", ingested)

            def work(source: ExternalSource = source, origin: Provenance = origin) -> None:
                source.prepare(origin)

            key = [self.config.identity(), file_hash(ingested)]
            self.journal.step(f"external-{source.name}", key, source.outputs, work)

    def score_baselines(self, key: list[Any]) -> None:
        """Scores of the plain models; ``key`` is that of the development patients' scores."""
        for source in self.sources:
            own = [*key, *map(file_hash, source.outputs)]
            self.journal.step(f"baselines-external-{source.name}", own, [source.scores], source.score_baselines)

    def state(self) -> list[str]:
        """Hashes of everything that the results are made from."""
        return [file_hash(path) for source in self.sources for path in (*source.outputs, source.scores)]

    @property
    def results(self) -> list[Path]:
        """Files that :meth:`judge` writes."""
        return [source.folder / "decisions.parquet" for source in self.sources]

    def judge(
        self, predictions: pd.DataFrame, metrics: dict[str, Any], provenance: Provenance
    ) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Apply the finished bundle, as it is on disk, once to every source.

        Returns
        -------
        DataFrame
            ``predictions`` and the rows of the split ``external``, as written.
        dict
            ``metrics`` with ``external`` by source; both as they are where there is none.
        """
        if not self.sources:
            return predictions, metrics
        bundle = load_bundle(self.layout.bundle)
        found = {source.name: source.judge(bundle, provenance) for source in self.sources}
        every = pd.concat([predictions, *(rows for rows, _ in found.values())], ignore_index=True)
        every = tables.PREDICTIONS.write(every, self.layout.predictions, provenance)
        return every, metrics | {"external": {name: part for name, (_, part) in found.items()}}
