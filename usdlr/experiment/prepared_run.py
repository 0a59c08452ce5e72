"""What a run does before its first fit: each step done once, each checked against what it was made from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.core.files import write_atomic, write_text
from usdlr.core.hashing import file_hash, files_state
from usdlr.core.journal import Journal
from usdlr.core.provenance import Provenance
from usdlr.data.samples import SampleStore
from usdlr.experiment.cohort import axilla_labels, cohort_splits, select_cohort
from usdlr.experiment.config import ExperimentConfig, flat
from usdlr.experiment.dependence import COHORT_FREE, settings_but
from usdlr.experiment.external_steps import ExternalSteps
from usdlr.experiment.layout import Layout
from usdlr.experiment.needs import require_learnable
from usdlr.experiment.source import ingest_source, segmenter_input
from usdlr.experiment.truth import run_truth
from usdlr.inference.predictor import exclusion_table, failure_reasons
from usdlr.inference.sites import design_of, orphans, tumours
from usdlr.ingest.adapter import adapter_named, require_folder
from usdlr.ingest.duplicates import fingerprint_table
from usdlr.ingest.split_schemes import fold_table_hash
from usdlr.models.encoders import require_encoders
from usdlr.radiomics.design import unmeasured
from usdlr.radiomics.engines import build_engine
from usdlr.radiomics.extract import extract
from usdlr.radiomics.stability.repeats import read_repeats

# One case may take this long, in a process of its own; then it becomes a row with a reason.
STALL_S = 1800.0


@dataclass
class PreparedRun:
    """A run's folder up to the first fit: ingested, measured, divided and cropped.

    Parameters
    ----------
    config : ExperimentConfig
        The resolved configuration.
    layout : Layout
        The run's folder.
    journal : Journal
        What was done in it.

    Attributes
    ----------
    inputs : dict of str to str
        Hashes of the files that the run was given, by role; known after :meth:`prepare`.
    source_state : str
        State of the export's images.
    external : ExternalSteps
        The same steps for the external sources.
    """

    config: ExperimentConfig
    layout: Layout
    journal: Journal
    inputs: dict[str, str] = field(default_factory=dict)
    source_state: str = ""
    external: ExternalSteps = field(init=False)

    def __post_init__(self) -> None:
        self.external = ExternalSteps(self.config, self.layout, self.journal)

    def prepare(self) -> None:
        """Every step before the first fit."""
        out = self.layout.out
        existed = out.is_dir()
        fresh = not out.exists() or (existed and not any(out.iterdir()))
        try:
            source = self._check_before_work()
            self._ingest(source)
            self._check_feasible()
        except InputError:
            if fresh and out.is_dir():
                for path in out.iterdir():  # the folder itself may be the user's, a link or a mount
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink()
                if not existed:
                    out.rmdir()
            raise
        self._features()
        self._cohort()
        # Exclusions since the first look may have left too few; a cohort made for other learners does not know these.
        cases = tables.CASES.read(self.layout.cases)
        splits = self.layout.read_splits(cases["patient_id"].unique())
        require_learnable(splits, axilla_labels(cases, self.config.data), self.config)
        self.external.prepare(self.provenance)

    # Steps, in order. Each `key` holds everything that decides the step's output.

    def _check_before_work(self) -> Path:
        config, out = self.config, self.layout.out
        if config.data.root is None:
            raise ConfigError("found no data.root, expected the folder of the export; add --data.root FOLDER")
        adapter = adapter_named(config.data.centre)
        source = require_folder(Path(config.data.root))
        build_engine(config.engine, config.radiomics)
        for variant in config.ensemble:
            require_encoders(variant.network, variant.crop.size_px)
        run_truth(config.data)
        rows = adapter.rows(source)  # the export's own errors come before anything is written
        self.source_state = files_state([path for row in rows for path in row.paths().values()])
        if out.exists() and not out.is_dir():
            raise ConfigError(f"found the file {out}, expected a folder for the run; choose another --out")
        if self.layout.config.exists():
            self._require_same_config()
        elif out.exists() and any(out.iterdir()):
            raise ConfigError(f"found other files in {out}, expected an empty folder or a run; choose another --out")
        self.inputs = {role: file_hash(path) for role, path in adapter.inputs(source).items()}
        self.inputs |= segmenter_input(config)
        self.inputs |= self.external.check()
        self.inputs |= self.weights()
        if config.splits.table is not None:
            self.inputs["folds"] = fold_table_hash(Path(config.splits.table))
        if config.selection.stability is not None:
            table = Path(config.selection.stability)
            read_repeats(table, config.radiomics.as_dict(), config.engine)
            self.inputs["stability"] = file_hash(table)
        write_text(self.layout.config, yaml.safe_dump(config.as_dict(), sort_keys=False, allow_unicode=True))
        return source

    def weights(self) -> dict[str, str]:
        """Hashes of the files that networks start from, by role."""
        return {
            f"weights.{one.name}" if one.name else "weights": file_hash(Path(one.network.weights_file))
            for one in self.config.ensemble
            if one.network.weights_file is not None
        }

    def _require_same_config(self) -> None:
        before = yaml.safe_load(self.layout.config.read_text(encoding="utf-8"))
        then, now = flat(before), flat(self.config.as_dict())
        free = {"jobs", "data.root", *(f"data.external.{name}" for name in self.config.data.external)}
        moved = ("selection.stability", "data.segmenter")  # their content is among the inputs
        free |= {key for key in moved if then.get(key) and now.get(key)}
        changed = sorted(key for key in then.keys() | now.keys() if key not in free and then.get(key) != now.get(key))
        if changed:
            key = changed[0]
            raise ConfigError(
                f"found a run with {key} = {then.get(key)!r} in {self.layout.out}, asked for {now.get(key)!r} "
                f"({len(changed)} keys differ), expected the same configuration; choose another --out"
            )

    def _ingest(self, source: Path) -> None:
        config, folder = self.config, self.layout.ingested
        self.journal.step(
            "ingest",
            [config.data.centre, config.data.ingest.as_dict(), self.inputs, self.source_state],
            [folder / "cases.parquet", folder / "exclusions.csv"],
            lambda: ingest_source(config, source, config.data.centre, folder),
        )
        self.external.ingest()

    def _candidates(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Cases with a known endpoint, with paths relative to the run's folder; and exclusions so far."""
        folder = self.layout.ingested
        cases = tables.CASES.read(folder / "cases.parquet")
        kept, excluded = select_cohort(cases, self.config.data)
        for name in [column for column in kept if str(column).endswith("_path")]:
            kept[name] = kept[name].map(lambda path: f"{folder.name}/{path}", na_action="ignore")
        before = tables.EXCLUSIONS.read(folder / "exclusions.csv")
        return tables.CASES.conform(kept), pd.concat([before, excluded], ignore_index=True)

    def _check_feasible(self) -> None:
        """Refuse labels, folds or shared pictures before hours are spent on features."""
        cases, _ = self._candidates()
        layout, jobs = self.layout, self.config.jobs

        def work() -> None:
            prints = fingerprint_table(cases, layout.out, jobs=jobs)
            write_atomic(layout.fingerprints, lambda target: prints.to_parquet(target, index=False))

        key = [list(cases["image_id"]), self.hash_of("ingest/cases.parquet")]
        self.journal.step("fingerprints", key, [layout.fingerprints], work)
        self._splits(cases)
        self.external.require_new(cases, pd.read_parquet(layout.fingerprints))

    def _splits(self, cases: pd.DataFrame) -> pd.DataFrame:
        config, prints = self.config, pd.read_parquet(self.layout.fingerprints)
        splits = cohort_splits(cases, config.data, config.splits, config.seed, prints, self.layout.out)
        require_learnable(splits, axilla_labels(cases, config.data), config)
        return splits

    def _features(self) -> None:
        config, layout = self.config, self.layout
        cases = tumours(self._candidates()[0])  # of a lymph node, nothing is measured

        def work() -> None:
            table = unmeasured(cases)
            if config.reads_radiomics:
                table = extract(
                    cases,
                    layout.out,
                    config.radiomics,
                    engine=config.engine,
                    jobs=config.jobs,
                    ledger=layout.out / "work" / "features",
                    stall_s=STALL_S if config.jobs > 1 else None,
                )
            tables.FEATURES.write(
                table, layout.features, self.provenance("features", layout.ingested / "cases.parquet")
            )

        key = [config.radiomics.as_dict(), config.engine, list(cases["image_id"]), self.hash_of("ingest/cases.parquet")]
        key += [] if config.reads_radiomics else ["not measured"]
        self.journal.step("features", key, [layout.features], work)

    def _cohort(self) -> None:
        config, layout = self.config, self.layout

        def work() -> None:
            cases, excluded = self._candidates()
            features = tables.FEATURES.read(layout.features)
            reasons = failure_reasons(features)
            rest = cases[~cases["image_id"].isin(list(reasons))]
            crop, *further = config.preparation.crops
            store, uncut = SampleStore.cut(
                rest,
                layout.out,
                crop,
                config.preparation.regions,
                config.radiomics.margin_mm,
                jobs=config.jobs,
                further=further,
            )
            reasons |= {name: (str(error.code), error.sentence) for name, error in uncut.items()}
            reasons |= orphans(cases[~cases["image_id"].isin(list(reasons))])
            excluded = pd.concat([excluded, exclusion_table(cases, reasons, "features")], ignore_index=True)
            cases = cases[~cases["image_id"].isin(list(reasons))].reset_index(drop=True)
            if cases.empty:
                code, sentence = next(iter(reasons.values()))
                raise DataError(f"found no usable case among {len(reasons)}; the first is {code}: {sentence}")
            origin = self.provenance("cohort", layout.features, layout.ingested / "cases.parquet")
            provenance = replace(origin, config=self._cohort_settings)
            tables.SPLITS.write(self._splits(cases), layout.splits, provenance)
            store.select(cases["image_id"]).save(layout.crops)
            design = design_of(features, cases, config.data.clinical)
            write_atomic(layout.design, lambda target: design.to_parquet(target))
            tables.EXCLUSIONS.write(excluded, layout.exclusions, provenance)
            tables.CASES.write(cases, layout.cases, provenance)

        read = [self.hash_of("features.parquet"), self.hash_of("ingest/cases.parquet"), self.inputs.get("folds")]
        outputs = [layout.cases, layout.exclusions, layout.splits, layout.crops, layout.design]
        self.journal.step("cohort", [self._cohort_settings, *read], outputs, work)

    @property
    def _cohort_settings(self) -> dict[str, Any]:
        return settings_but(self.config.identity(), COHORT_FREE)

    def provenance(self, step: str, *inputs: Path) -> Provenance:
        """Of what a step makes of some of the run's files."""
        hashes = {str(path.relative_to(self.layout.out)): file_hash(path) for path in inputs}
        return Provenance(f"usdlr run: {step}", hashes | self.inputs, self.config.identity(), self.config.seed)

    def hash_of(self, relative: str) -> str:
        """Hash of one of the run's files."""
        return file_hash(self.layout.out / relative)
