"""``usdlr fit_segmenter``: every step in order, each done once, each checked against what it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import write_text
from usdlr.core.hashing import file_hash, files_state
from usdlr.core.journal import Journal, forget_other_start
from usdlr.core.leak import require_disjoint
from usdlr.core.pool import one_thread, run_all
from usdlr.core.progress import say
from usdlr.core.provenance import Provenance, package_versions
from usdlr.core.types import ExclusionCode, Site, Split
from usdlr.experiment.config import flat
from usdlr.experiment.segmentation.config import SegmentationConfig
from usdlr.experiment.segmentation.folds import outline_splits
from usdlr.experiment.segmentation.jobs import OutlineFitJob, OutlineJob
from usdlr.experiment.segmentation.layout import DEVELOPMENT, OutlineLayout
from usdlr.experiment.segmentation.results import write_outline_results
from usdlr.inference.predictor import exclusion_table
from usdlr.inference.sites import unread
from usdlr.ingest.adapter import adapter_named, require_folder
from usdlr.ingest.centres import load_all
from usdlr.ingest.duplicates import fingerprint_table, require_disjoint_pictures, same_picture
from usdlr.ingest.lesion_free import lesion_free
from usdlr.ingest.pipeline import ingest
from usdlr.models.segmentation import SegmentationNetwork

load_all()  # adapters are looked up by name below


def run_segmentation(config: SegmentationConfig, out: Path) -> Path:
    """Run an experiment on outlines, or continue one.

    Parameters
    ----------
    config : SegmentationConfig
        The resolved configuration.
    out : Path
        Folder of the run. A run of the same configuration there is continued where it stopped.

    Returns
    -------
    Path
        The report; beside it ``bundle/``, ``metrics.json``, ``splits.csv``, ``exclusions.csv``, ``images_*.parquet``
        and ``objects_*.parquet``.

    Raises
    ------
    ConfigError
        If the folder holds a run of another configuration, or the configuration cannot work.
    DataError
        If a source cannot be read.
    LeakError
        If patients or pictures stand on two sides.
    """
    with one_thread():
        return _Run(config, out).everything()


class _Run:
    """The steps."""

    def __init__(self, config: SegmentationConfig, out: Path) -> None:
        self.config, self.layout = config, OutlineLayout(out)
        self.journal = Journal(out, package_versions())
        self.inputs: dict[str, str] = {}
        self.states: dict[str, str] = {}

    def everything(self) -> Path:
        self._check()
        for source in self._sources():
            self._ingest(source)
        self._split()
        self._all([OutlineFitJob(self.config, self.layout.out, fold) for fold in self._folds()], "fits")
        parts = [*self._folds(), *self.config.data.external]
        self._all([OutlineJob(self.config, self.layout.out, part) for part in parts], "outlines")
        self._results()
        say(f"report: {self.layout.report}")
        return self.layout.report

    def _sources(self) -> dict[str, tuple[str, Path]]:
        """Adapter and folder by the name of a source."""
        data = self.config.data
        given = {DEVELOPMENT: (data.centre, data.root), **{name: (name, root) for name, root in data.external.items()}}
        found = {}
        for name, (centre, root) in given.items():
            key = "data.root" if name == DEVELOPMENT else f"data.external.{name}"
            if root is None:
                raise ConfigError(f"found no {key}, expected the folder of the export; add --{key} FOLDER")
            found[name] = centre, require_folder(Path(root))
        return found

    def _folds(self) -> list[str]:
        return [str(fold) for fold in range(self.config.folds)]

    def _check(self) -> None:
        """Whatever cannot work is refused before anything is written."""
        out = self.layout.out
        for name, (centre, root) in self._sources().items():
            adapter = adapter_named(centre)
            rows = adapter.rows(root)
            self.inputs |= {f"{name}.{role}": file_hash(path) for role, path in adapter.inputs(root).items()}
            self.states[name] = files_state([path for row in rows for path in row.paths().values()])
        SegmentationNetwork(self.config.network)
        if self.config.network.weights_file is not None:
            self.inputs["weights"] = file_hash(Path(self.config.network.weights_file))
        if self.layout.config.exists():
            self._require_same()
        elif out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"found other files in {out}, expected an empty folder or a run; choose another --out")
        write_text(self.layout.config, yaml.safe_dump(self.config.as_dict(), sort_keys=False, allow_unicode=True))

    def _require_same(self) -> None:
        """The same networks on the same images; how outlines are judged may change."""
        stored = yaml.safe_load(self.layout.config.read_text(encoding="utf-8"))
        then, now = flat(stored), flat(self.config.as_dict())
        free = (
            *("jobs", "fit.workers", "data.root", "data.external", "network.weights_file"),
            *("judge", "lesions", "name", "question"),
        )
        for key in sorted(then.keys() | now.keys()):
            if key == "data.site" and key not in then:  # a run of a version that knew tumours alone
                then[key] = str(Site.TUMOUR)
            if then.get(key) != now.get(key) and not key.startswith(free):
                raise ConfigError(
                    f"found a run with {key} = {then.get(key)!r} in {self.layout.out}, asked for {now.get(key)!r}; "
                    "choose another --out"
                )

    def _ingest(self, source: str) -> None:
        centre, root = self._sources()[source]
        site = self.config.data.site
        layout, settings = self.layout, self.config.data.ingest
        folder = layout.ingested(source)

        def work() -> None:
            ingest(root, centre, folder, jobs=self.config.jobs, settings=settings)
            free, failed = lesion_free(root, centre, folder, settings=settings, jobs=self.config.jobs)
            cases = tables.CASES.read(layout.cases(source))
            kept, other = _of_site(cases, site)
            if kept.empty:
                raise DataError(
                    f"found no image of the {site} among {len(cases)} of {source}, expected some; correct data.site"
                )
            kept, undrawn = _drawn(kept, source)
            if len(other) or len(undrawn):
                tables.CASES.write(kept, layout.cases(source), self._provenance())
            # A breast without a lesion is no axilla without a node.
            free, other_free = _of_site(free, site)
            tables.CASES.write(free, layout.lesion_free(source), self._provenance())
            parts = [tables.EXCLUSIONS.read(folder / "exclusions.csv"), failed, other, undrawn, other_free]
            excluded = pd.concat(parts, ignore_index=True)
            tables.EXCLUSIONS.write(excluded, layout.exclusions(source), self._provenance())

        outputs = [layout.cases(source), layout.lesion_free(source), layout.exclusions(source)]
        key = [settings.as_dict(), centre, self.states[source], *([] if site == str(Site.TUMOUR) else [site])]
        self.journal.step(f"ingest-{source}", key, outputs, work)

    def _split(self) -> None:
        config, layout = self.config, self.layout
        sources = self._sources()
        key = [config.folds, config.seed, config.data.groups, *(file_hash(layout.cases(name)) for name in sources)]

        def work() -> None:
            cases = {name: _with_folder(tables.CASES.read(layout.cases(name)), layout, name) for name in sources}
            own = cases[DEVELOPMENT]
            splits = outline_splits(own, config.data.groups, config.folds, config.seed)
            patients = set(own["patient_id"].astype(str))
            seen = [splits]
            for name, other in cases.items():
                if name == DEVELOPMENT:
                    continue
                theirs = other["patient_id"].astype(str).unique()
                require_disjoint(patients, set(theirs), f"networks that outline {name}")
                for fold in self._folds():
                    seen.append(pd.DataFrame({"fold": fold, "patient_id": theirs, "split": str(Split.EXTERNAL)}))
            together = pd.concat(cases.values(), ignore_index=True)
            prints = fingerprint_table(together, layout.out, jobs=config.jobs)
            require_disjoint_pictures(pd.concat(seen), together, prints, same_picture(together, layout.out))
            tables.SPLITS.write(splits, layout.splits, self._provenance())

        self.journal.step("splits", key, [layout.splits], work)

    def _all(self, jobs: Sequence[OutlineFitJob | OutlineJob], label: str) -> None:
        """Do what is not done yet, side by side."""
        waiting = [job for job in jobs if not self.journal.is_done(job.step, self._key(job))]

        def finished(outcome: Any) -> None:
            if outcome.failure is None:
                job = waiting[outcome.position]
                outputs = [job.target] if isinstance(job, OutlineFitJob) else job.outputs
                self.journal.mark_done(job.step, self._key(job), outputs, outcome.result)

        for job in waiting:
            if isinstance(job, OutlineFitJob):
                forget_other_start(job.folder, self._key(job))
        for outcome in run_all(_run, waiting, jobs=self.config.jobs, label=label, on_outcome=finished):
            if outcome.failure is not None:
                raise outcome.failure

    def _key(self, job: OutlineFitJob | OutlineJob) -> list[Any]:
        config, layout = self.config, self.layout
        if isinstance(job, OutlineFitJob):
            inputs = [layout.cases(DEVELOPMENT), layout.splits]
            return [config.fit_identity(), self.inputs.get("weights"), *map(file_hash, inputs)]
        source = job.part if job.external else DEVELOPMENT
        files = [layout.cases(source), layout.lesion_free(source), layout.splits]
        files += [layout.weights(fold) for fold in job.members()]
        return [config.network.as_dict(), config.lesions.as_dict(), *map(file_hash, files)]

    def _results(self) -> None:
        layout, config = self.layout, self.config
        parts = [*self._folds(), *config.data.external]
        key = [config.identity(), *(file_hash(layout.outlines(part)) for part in parts)]
        self.journal.step(
            "results",
            key,
            [layout.metrics, layout.report, layout.bundle / "bundle.json"],
            lambda: write_outline_results(config, layout, self._provenance()),
        )

    def _provenance(self) -> Provenance:
        return Provenance("usdlr fit_segmenter", self.inputs, self.config.identity(), self.config.seed)


def _of_site(cases: pd.DataFrame, site: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the site that is learned, and exclusion rows for the others."""
    sentence = f"found an image of another site, expected the {site}, whose outlines are learned here; leave it out"
    other = {name: (code, sentence) for name, (code, _) in unread(cases, [site]).items()}
    kept = cases[~cases["image_id"].isin(list(other))].reset_index(drop=True)
    return kept, exclusion_table(cases, other, "cohort")


def _drawn(cases: pd.DataFrame, source: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows with a reader's outline, and exclusion rows for the others, which can teach and judge nothing."""
    without = cases["mask_path"].isna()
    if without.all():
        raise DataError(
            f"found no reader's outline in any of {len(cases)} images of {source}, expected some to learn from or to "
            "compare with; give a source with outlines"
        )
    sentence = "found no outline, expected a reader's to learn from or to compare with; draw one"
    other = {str(name): (str(ExclusionCode.MASK_MISSING), sentence) for name in cases.loc[without, "image_id"]}
    return cases[~without].reset_index(drop=True), exclusion_table(cases, other, "cohort")


def _with_folder(cases: pd.DataFrame, layout: OutlineLayout, source: str) -> pd.DataFrame:
    """Paths relative to the run's folder."""
    folder = layout.ingested(source).relative_to(layout.out)
    for name in [column for column in cases if str(column).endswith("_path")]:
        cases[name] = cases[name].map(lambda path: f"{folder}/{path}", na_action="ignore")
    return cases


def _run(job: OutlineFitJob | OutlineJob) -> tuple[float, float]:
    return job.run()
