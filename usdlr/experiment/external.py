"""Patients of other sources: prepared beside the cohort, judged by what was made without them.

Their tables lie below ``external/``. No step that fits anything reads that folder: the cohort, its splits, design and
crops hold the development patients alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.baselines.pipelines import baseline_named, fit_and_score
from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError
from usdlr.core.files import read_json, write_atomic
from usdlr.core.hashing import derive_seed, file_hash, files_state
from usdlr.core.leak import Rows, require_disjoint
from usdlr.core.provenance import Provenance
from usdlr.core.types import OnUncertified, Split, Stage
from usdlr.data.samples import SampleStore
from usdlr.decision.contract import Contract
from usdlr.evaluation.alarms import alarm_rate
from usdlr.evaluation.external import external_metrics
from usdlr.evaluation.study import BaselineScores
from usdlr.experiment.cohort import axilla_labels, image_labels, select_cohort
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.experiment.source import ingest_source
from usdlr.inference.axillae import quality_counts
from usdlr.inference.bundle import Bundle
from usdlr.inference.member import CONTRACT
from usdlr.inference.predictor import Prepared, predict_prepared, prepare_cases
from usdlr.inference.sites import tumours
from usdlr.ingest.adapter import adapter_named, require_folder
from usdlr.ingest.duplicates import fingerprint_table, require_disjoint_pictures, same_picture
from usdlr.ingest.splits import BUNDLE_FOLD
from usdlr.radiomics.design import with_columns

FOLDER = "external"


@dataclass(frozen=True)
class ExternalSource:
    """One source of patients who never train.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    layout : Layout
        Its folder.
    name : str
        Name of the centre adapter.
    """

    config: ExperimentConfig
    layout: Layout
    name: str

    @property
    def folder(self) -> Path:
        """Where everything about the source lies."""
        return self.layout.out / FOLDER / self.name

    @property
    def outputs(self) -> list[Path]:
        """The source as a model reads it."""
        return [self.folder / name for name in ("cases.parquet", "exclusions.csv", "design.parquet", "crops.npz")]

    @property
    def scores(self) -> Path:
        """Scores of the baselines."""
        return self.folder / "baselines.parquet"

    def check(self) -> tuple[dict[str, str], str]:
        """The export's own errors, before anything is written.

        Returns
        -------
        dict of str to str
            Hashes of the tables that define the export, by role.
        str
            State of its files.

        Raises
        ------
        ConfigError
            If no folder is given or no adapter has that name.
        DataError
            If the export cannot be read.
        """
        adapter = adapter_named(self.name)
        if self.root is None:
            raise ConfigError(
                f"found no folder of data.external.{self.name}, expected that of the export; add "
                f"--data.external.{self.name} FOLDER"
            )
        source = require_folder(self.root)
        rows = adapter.rows(source)
        hashes = {f"{FOLDER}.{self.name}.{role}": file_hash(path) for role, path in adapter.inputs(source).items()}
        return hashes, files_state([path for row in rows for path in row.paths().values()])

    @property
    def root(self) -> Path | None:
        """Folder of the export."""
        root = self.config.data.external[self.name]
        return None if root is None else Path(root)

    def ingest(self) -> None:
        """Read the export as the development patients' was read."""
        assert self.root is not None  # checked before
        ingest_source(self.config, self.root, self.name, self.folder / "ingest")

    def candidates(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Cases with a known endpoint, with paths relative to the run's folder; and exclusions so far."""
        folder = self.folder / "ingest"
        kept, excluded = select_cohort(tables.CASES.read(folder / "cases.parquet"), self.config.data)
        for name in [column for column in kept if str(column).endswith("_path")]:
            kept[name] = kept[name].map(lambda path: f"{FOLDER}/{self.name}/ingest/{path}", na_action="ignore")
        before = tables.EXCLUSIONS.read(folder / "exclusions.csv")
        return tables.CASES.conform(kept), pd.concat([before, excluded], ignore_index=True)

    def require_new(self, cohort: pd.DataFrame, prints: pd.DataFrame) -> None:
        """Refuse a source that shares patients or pictures with the development cohort, or that cannot be labelled.

        Parameters
        ----------
        cohort, prints : DataFrame
            The development patients' cases, and their fingerprints.

        Raises
        ------
        LeakError
            If a patient or a picture is in both.
        DataError
            If outcomes contradict each other.
        """
        cases, _ = self.candidates()
        axilla_labels(cases, self.config.data)
        require_disjoint(
            set(cohort["patient_id"].astype(str)), set(cases["patient_id"].astype(str)), f"model for {self.name}"
        )
        both = pd.concat([cohort, cases], ignore_index=True)
        known = pd.concat([prints, fingerprint_table(cases, self.layout.out, jobs=self.config.jobs)], ignore_index=True)
        parts = [(cohort, Split.TRAIN), (cases, Split.EXTERNAL)]
        splits = pd.concat(
            [
                pd.DataFrame({"fold": BUNDLE_FOLD, "patient_id": part["patient_id"].unique(), "split": str(split)})
                for part, split in parts
            ]
        )
        require_disjoint_pictures(splits, both, known, same_picture(both, self.layout.out))

    def prepare(self, provenance: Provenance) -> None:
        """Features, crops and design table of the source."""
        cases, before = self.candidates()
        prepared = prepare_cases(
            self.config.preparation,
            cases,
            self.layout.out,
            jobs=self.config.jobs,
            ledger=self.folder / "features",
            measure=self.config.reads_radiomics,
        )
        excluded = pd.concat([before, prepared.exclusions], ignore_index=True)
        prepared.store.save(self.folder / "crops.npz")
        write_atomic(self.folder / "design.parquet", lambda target: prepared.design.to_parquet(target))
        tables.EXCLUSIONS.write(excluded, self.folder / "exclusions.csv", provenance)
        tables.CASES.write(prepared.cases, self.folder / "cases.parquet", provenance)

    def cases(self) -> pd.DataFrame:
        """The source's cases that can be judged."""
        return tables.CASES.read(self.folder / "cases.parquet")

    def prepared(self) -> Prepared:
        """What :meth:`prepare` wrote."""
        cases = self.cases()
        return Prepared(
            cases,
            SampleStore.load(self.folder / "crops.npz").select(cases["image_id"]),
            pd.read_parquet(self.folder / "design.parquet").loc[list(cases["image_id"])],
            tables.EXCLUSIONS.read(self.folder / "exclusions.csv"),
        )

    def score_baselines(self) -> None:
        """Scores of the plain models, fitted on the training patients of the bundle and on nobody else."""
        config, layout = self.config, self.layout
        cases = tables.CASES.read(layout.cases)
        design = pd.read_parquet(layout.design).loc[list(cases["image_id"])]
        splits = layout.read_splits(cases["patient_id"].unique())
        fold = splits[splits["fold"] == BUNDLE_FOLD].set_index("patient_id")["split"]
        split = fold.loc[list(cases["patient_id"])].to_numpy()
        labels = axilla_labels(cases, config.data)
        others = self.prepared()
        seen = tumours(others.cases)
        judged = with_columns(
            others.design.loc[list(seen["image_id"])], list(design.columns), f"what judges {self.name}"
        )
        parts = []
        for stage in Stage:
            label = image_labels(cases, labels, stage)
            train = np.flatnonzero(np.isfinite(label) & (split == str(Split.TRAIN)))
            rows = Rows.of(cases["patient_id"].iloc[train], split[train])
            for name in config.baselines:
                score = fit_and_score(
                    baseline_named(name),
                    design.iloc[train],
                    label[train],
                    rows=rows,
                    judged=judged,
                    seed=derive_seed(config.seed, "baseline", name, BUNDLE_FOLD, stage),
                )
                part = seen[AXILLA_KEY].assign(score=score)
                part = part.groupby(AXILLA_KEY, sort=False)["score"].mean().reset_index()
                parts.append(part.assign(stage=str(stage), fold=BUNDLE_FOLD, name=name))
        scores = pd.concat(parts, ignore_index=True)
        write_atomic(self.scores, lambda target: scores.to_parquet(target, index=False))

    def judge(self, bundle: Bundle, provenance: Provenance) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Rows of ``predictions`` with the split ``external``, and the source's part of ``metrics.json``.

        Decisions are written beside the source's tables: the bundle's contract is void for them, and they are no part
        of the cascade's rates.

        Raises
        ------
        LeakError
            If the bundle was made with any of these patients.
        """
        prepared = self.prepared()
        found = predict_prepared(bundle, prepared, on_uncertified=OnUncertified.ZERO_MISS)
        tables.DECISIONS.write(found.decisions, self.folder / "decisions.parquet", provenance)
        contract = Contract.from_dict(read_json(self.layout.member(BUNDLE_FOLD) / CONTRACT))
        scores = pd.read_parquet(self.scores)
        exclusions = prepared.exclusions
        metrics = external_metrics(
            predictions=found.predictions,
            labels=axilla_labels(prepared.cases, self.config.data),
            thresholds={Stage.SLN: contract.t_sln, Stage.NSLN: contract.t_nsln},
            baselines={
                name: BaselineScores(
                    baseline_named(name).titled(self.config.data.clinical),
                    scores[scores["name"] == name].drop(columns="name"),
                )
                for name in self.config.baselines
            },
            cohort={
                "simulated": adapter_named(self.name).simulated,
                "centres": sorted(prepared.cases["centre_id"].unique()),
                "image_sets": len(prepared.cases),
                "excluded": len(exclusions),
                "exclusions": {str(code): int(n) for code, n in exclusions["code"].value_counts().sort_index().items()},
                "quality": quality_counts(prepared.cases),
            },
        )
        return found.predictions, metrics | {"ood": alarm_rate(found.reliability).as_dict()}
