"""``usdlr features``: radiomics of every case, and what the choice of grey levels does to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.cli.parsing import new_parser, parse
from usdlr.core import tables
from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.files import write_atomic, write_text
from usdlr.core.hashing import file_hash
from usdlr.core.pool import default_jobs
from usdlr.core.provenance import Provenance
from usdlr.imaging.store import CaseImages, read_case
from usdlr.radiomics.engines import DEFAULT_ENGINE, ENGINES
from usdlr.radiomics.extract import extract
from usdlr.radiomics.settings import RadiomicsSettings
from usdlr.radiomics.stability.perturb import PerturbationPlan

FIXED = [column for column in tables.FEATURES.columns if not column.pattern]
STALL_MINUTES = 30.0


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser(
        "features", "Measure radiomics of every case, in parallel; a failed case is a row with a reason."
    )
    parser.add_argument("cases", type=str, help="cases.parquet")
    parser.add_argument(
        "--out", type=str, default=None, help="features table to write, .parquet; a folder for a report"
    )
    parser.add_argument("--engine", type=str, default=DEFAULT_ENGINE, help=f"one of {', '.join(ENGINES)}")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes side by side")
    parser.add_argument(
        "--stall-minutes", type=float, default=STALL_MINUTES, help="time one case may take; 0: any, no extra process"
    )
    parser.add_argument(
        "--cache", type=str, default=None, help="folder of measured rows, found again by content by any later table"
    )
    parser.add_argument(
        "--settings", type=str, default=None, help="a parameter file of PyRadiomics, .yaml, instead of --radiomics"
    )
    parser.add_argument(
        "--explain-binning",
        action="store_true",
        help="report what the choice of grey levels does, on a sample of cases",
    )
    parser.add_argument(
        "--stability",
        action="store_true",
        help="report which features survive perturbed outlines, other readers and a second view, on a sample of cases",
    )
    parser.add_argument("--sample", type=int, default=30, help="cases of these reports")
    parser.add_class_arguments(RadiomicsSettings, "radiomics")
    parser.add_class_arguments(PerturbationPlan, "perturbations")
    options = parse(parser, argv)
    for name, low in (("jobs", 1), ("sample", 1), ("stall_minutes", 0)):
        if getattr(options, name) < low:
            raise ConfigError(f"found {name} = {getattr(options, name):g}, expected at least {low}")
    settings = _settings(options)
    if options.explain_binning and options.stability:
        raise ConfigError("found --explain-binning and --stability, expected one report at a time")
    if options.explain_binning:
        _explain_binning(options, settings)
    elif options.stability:
        from usdlr.cli.stability import report_stability

        report_stability(
            Path(options.cases),
            Path(options.out or "stability"),
            settings,
            options.perturbations,
            engine=options.engine,
            jobs=options.jobs,
            sample=options.sample,
            cache=None if options.cache is None else Path(options.cache),
            stall_s=60 * options.stall_minutes or None,
        )
    else:
        _measure(options, settings)


def _settings(options: Any) -> RadiomicsSettings:
    chosen: RadiomicsSettings = options.radiomics
    if options.settings is None:
        return chosen
    from usdlr.radiomics.interchange import read_yaml

    # The file has no word for modalities, regions and their width: these alone are taken from the command line.
    own = RadiomicsSettings(
        modalities=chosen.modalities,
        rois=chosen.rois,
        margin_mm=chosen.margin_mm,
        min_area_mm2=chosen.min_area_mm2,
    )
    if chosen != own:
        raise ConfigError(
            "found both --settings and options of --radiomics, expected one; beside a parameter file only "
            "radiomics.modalities, rois, margin_mm and min_area_mm2 can be given"
        )
    return read_yaml(Path(options.settings), base=own)


def _measure(options: Any, settings: RadiomicsSettings) -> None:
    if options.out is None:
        raise ConfigError("found no --out, expected one; e.g. usdlr features cases.parquet --out features.parquet")
    source, out = Path(options.cases), Path(options.out)
    if out.suffix != ".parquet":
        raise ConfigError(f"found --out {out}, expected a name that ends in .parquet")
    cases = tables.CASES.read(source)
    table = extract(
        cases,
        source.parent,
        settings,
        engine=options.engine,
        jobs=options.jobs,
        ledger=out.with_name(f".{out.stem}.partial"),
        cache=None if options.cache is None else Path(options.cache),
        stall_s=60 * options.stall_minutes or None,
    )
    provenance = Provenance(
        "usdlr features", {source.name: file_hash(source)}, {"radiomics": settings.as_dict(), "engine": options.engine}
    )
    table = tables.FEATURES.write(table, out, provenance)
    failed = table[table["status"] == "failed"]
    print(f"{len(table) - len(failed)} of {len(table)} cases measured, {table.shape[1] - len(FIXED)} features: {out}")
    for code, count in failed["code"].value_counts().sort_index().items():
        print(f"  {count} failed with {code}: see the column reason")


def _explain_binning(options: Any, settings: RadiomicsSettings) -> None:
    from usdlr.radiomics.binning_advice import advice, unit_of
    from usdlr.radiomics.binning_report import binning_report
    from usdlr.report.figures_binning import binning_figure

    source, out = Path(options.cases), Path(options.out or "binning")
    if out.suffix == ".parquet":
        raise ConfigError(f"found --out {out}, expected a folder for the report")
    sample, unreadable = _sample(tables.CASES.read(source), source.parent, options.sample)
    report = binning_report(sample, settings, engine=options.engine)
    units = {str(name): unit_of(str(name)) for name in report.levels["modality"]}
    figure = binning_figure(report.levels, report.neighbours, report.disturbances, report.cases, units)
    text = advice(report)
    for name in ("levels", "neighbours", "disturbances"):
        _write_csv(getattr(report, name), out / f"{name}.csv")
    write_text(out / "binning.svg", figure.file_text)
    write_text(out / "advice.txt", text)
    _write_csv(pd.DataFrame(unreadable, columns=["image_id", "code", "reason"]), out / "failures.csv")
    print(text)
    asked = len(sample) + len(unreadable)
    left = f"; {len(unreadable)} cannot be read, see failures.csv" if unreadable else ""
    small = len(sample) - report.cases
    left += f"; {small} cannot be measured with these settings" if small else ""
    print(f"{report.cases} of {asked} cases used{left}")
    print(f"tables, figure and this text: {out}")


def _sample(cases: pd.DataFrame, root: Path, count: int) -> tuple[list[CaseImages], list[tuple[str, str, str]]]:
    """Cases at even steps through the table; apart, those that cannot be read, with code and reason."""
    usable: list[CaseImages] = []
    failed: list[tuple[str, str, str]] = []
    steps = sorted(set(np.linspace(0, max(len(cases) - 1, 0), min(count, len(cases))).astype(int).tolist()))
    for row in cases.iloc[steps].to_dict("records"):
        try:
            usable.append(read_case({str(name): value for name, value in row.items()}, root))
        except CaseError as error:
            failed.append((str(row["image_id"]), str(error.code), error.sentence))
    return usable, failed


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    write_atomic(path, lambda target: table.to_csv(target, index=False, float_format="%.6g"))
