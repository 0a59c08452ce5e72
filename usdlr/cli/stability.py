"""``usdlr features --stability``: which features survive another hand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import write_atomic, write_text
from usdlr.core.hashing import file_hash
from usdlr.core.provenance import Provenance
from usdlr.radiomics.extract import extract
from usdlr.radiomics.settings import RadiomicsSettings
from usdlr.radiomics.stability.measure import measure_repeats
from usdlr.radiomics.stability.perturb import PerturbationPlan
from usdlr.radiomics.stability.repeats import (
    REPEATS,
    STABILITY,
    Source,
    agreement_table,
    cases_by_reader,
    failures,
    reader_repeats,
    view_repeats,
)
from usdlr.radiomics.stability.selector import DEFAULT_BOUND
from usdlr.report.figures_stability import stability_figure

CONTOURS_FILE = "contours.csv"
KINDS = ("repeats", "stability", "failures")


def report_stability(
    source: Path,
    out: Path,
    settings: RadiomicsSettings,
    plan: PerturbationPlan,
    *,
    engine: str,
    jobs: int,
    sample: int,
    cache: Path | None,
    stall_s: float | None,
) -> None:
    """Measure a sample of cases again under perturbed outlines, between readers and between views, and write it down.

    Parameters
    ----------
    source : Path
        ``cases.parquet``; ``contours.csv`` beside it holds the readers.
    out : Path
        Folder to write: per source a table of repeats, its ``stability`` table and a figure, and what failed.
    settings : RadiomicsSettings
        What is measured.
    plan : PerturbationPlan
        How outlines are perturbed.
    engine : str
        Name of the engine.
    jobs : int
        Processes side by side.
    sample : int
        Cases, at even steps through the table; images read twice, as many per centre, and pairs of views are looked
        for in the whole table.
    cache : Path or None
        Folder of measured rows, for readers and views; perturbed outlines are measured anew.
    stall_s : float or None
        Seconds that one case may take.
    """
    if out.suffix == ".parquet":
        raise ConfigError(f"found --out {out}, expected a folder for the report")
    cases = tables.CASES.read(source)
    if cases.empty:
        raise DataError(f"found no case in {source.name}, expected at least one; ingest an export first")
    steps = sorted(set(np.linspace(0, max(len(cases) - 1, 0), min(sample, len(cases))).astype(int).tolist()))
    chosen = cases.iloc[steps].reset_index(drop=True)
    ledger = out / ".partial"

    def features(part: pd.DataFrame) -> pd.DataFrame:
        return extract(
            part, source.parent, settings, engine=engine, jobs=jobs, ledger=ledger, cache=cache, stall_s=stall_s
        )

    perturbed = measure_repeats(
        chosen, source.parent, settings, engine=engine, plan=plan, jobs=jobs, ledger=ledger, stall_s=stall_s
    )
    found = [(str(Source.PERTURBATION), Source.PERTURBATION, perturbed)]
    contours = source.with_name(CONTOURS_FILE)
    if contours.is_file():
        drawn = tables.CONTOURS.read(contours)
        # Readers can be compared where they drew the same images: each centre has its own.
        several = drawn.groupby("image_id")["reader_id"].nunique()
        read_twice = cases[cases["image_id"].isin(several.index[several > 1])]
        for centre, part in read_twice.groupby("centre_id", sort=True):
            readers = cases_by_reader(part.head(sample).reset_index(drop=True), drawn)
            readers = {reader: mine for reader, mine in readers.items() if len(mine)}
            if len(readers) > 1:
                repeats = reader_repeats({reader: features(mine) for reader, mine in readers.items()})
                found.append((f"{Source.READER}_{re.sub('[^A-Za-z0-9-]', '-', str(centre))}", Source.READER, repeats))
    repeated = cases[cases.duplicated(["patient_id", "side", "lesion_id"], keep=False)].reset_index(drop=True)
    if len(repeated):
        views = view_repeats(features(repeated), repeated)
        if len(views):
            found.append((str(Source.VIEW), Source.VIEW, views))
    provenance = Provenance(
        "usdlr features --stability",
        {source.name: file_hash(source)},
        {"radiomics": settings.as_dict(), "engine": engine, "plan": plan.as_dict()},
    )
    for stale in (path for kind in KINDS for path in out.glob(f"{kind}_*")):
        stale.unlink()  # of another table: it must not stand beside this one
    for name, kind, repeats in found:
        _write(name, kind, repeats, out, provenance)
    print(f"tables and figures: {out}")


def _write(name: str, kind: Source, repeats: pd.DataFrame, out: Path, provenance: Provenance) -> None:
    REPEATS.write(repeats, out / f"repeats_{name}.parquet", provenance)
    stability = STABILITY.write(agreement_table(repeats, kind), out / f"stability_{name}.parquet", provenance)
    failed = failures(repeats)
    write_atomic(out / f"failures_{name}.csv", lambda target: failed.to_csv(target, index=False))
    judged = stability["icc21"].dropna()
    kept, low = int((judged >= DEFAULT_BOUND).sum()), int((stability["icc21_low"] >= DEFAULT_BOUND).sum())
    cases, raters = stability["n_cases"].max(), stability["n_raters"].max()
    print(
        f"{name}: {cases} cases, {raters} measurements each, {len(failed)} failed; ICC(2,1) of at least "
        f"{DEFAULT_BOUND:g}: {kept} of {len(stability)} features, {low} by the lower end of the interval"
    )
    try:
        figure = stability_figure(stability, name=f"stability_{name}")
    except DataError as error:
        print(f"  no figure: {error}")
        return
    write_text(out / f"stability_{name}.svg", figure.file_text)
