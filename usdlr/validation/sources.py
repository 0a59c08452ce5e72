"""Where the patients of a validation come from: tables that are there already, or raw exports that are read first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.hashing import file_hash, files_state
from usdlr.core.journal import Journal
from usdlr.ingest.adapter import adapter_named, require_folder
from usdlr.ingest.centres import load_all
from usdlr.ingest.pipeline import ingest
from usdlr.validation.plan import Plan

load_all()  # adapters are looked up by name below

INGEST = "ingest"


@dataclass(frozen=True)
class Source:
    """One table of cases.

    Parameters
    ----------
    name : str
        For the folder of what is made from it.
    root : Path
        Folder that the paths of its cases are relative to.
    cases : DataFrame
        The ``cases`` table.
    exclusions : DataFrame
        What its ingest left out.
    raw : bool
        Whether it was read from a raw export by this validation.
    """

    name: str
    root: Path
    cases: pd.DataFrame
    exclusions: pd.DataFrame
    raw: bool


def read_sources(
    plan: Plan, cases: Sequence[Path], data: Mapping[str, Path], out: Path, *, journal: Journal, jobs: int
) -> list[Source]:
    """All sources, raw exports ingested below ``out``.

    Parameters
    ----------
    plan : Plan
        Says how raw exports are read, and which centres take part.
    cases : sequence of Path
        ``cases.parquet`` of exports that were ingested before.
    data : mapping of str to Path
        Folder of raw exports, by the plan's name or the adapter's.
    out : Path
        Folder of the validation.
    journal : Journal
        Of this folder: a source that did not change is not read again.
    jobs : int
        Processes.

    Raises
    ------
    ConfigError
        If there is no source, or no adapter of that name.
    DataError
        If a source cannot be read, a patient stands in two of them, or a centre is not in the plan.
    """
    if not cases and not data:
        raise ConfigError("found no patients, expected --cases FILE or --data.CENTRE FOLDER; give one or several")
    found = []
    counted: set[Path] = set()
    for number, path in enumerate(cases, start=1):
        name, folder = f"cases-{number}", path.parent.resolve()
        # Tables of one folder share its exclusions, which count once.
        left_out = tables.EXCLUSIONS.empty() if folder in counted else _left_out(folder)
        counted.add(folder)
        found.append(Source(name, path.parent, tables.CASES.read(path), left_out, raw=False))
    for name, folder in data.items():
        target = out / INGEST / name
        _ingest(plan, name, folder, target, journal, jobs)
        found.append(Source(name, target, tables.CASES.read(target / "cases.parquet"), _left_out(target), raw=True))
    _check(plan, found)
    return found


def _ingest(plan: Plan, name: str, folder: Path, target: Path, journal: Journal, jobs: int) -> None:
    kind = plan.sources.get(name, name)
    adapter, source = adapter_named(kind), require_folder(folder)
    rows = adapter.rows(source)
    key = [
        kind,
        plan.ingest.as_dict(),
        {role: file_hash(path) for role, path in adapter.inputs(source).items()},
        files_state([path for row in rows for path in row.paths().values()]),
    ]
    outputs = [target / one for one in ("cases.parquet", "exclusions.csv")]
    journal.step(f"ingest-{name}", key, outputs, lambda: ingest(folder, kind, target, jobs=jobs, settings=plan.ingest))


def _left_out(folder: Path) -> pd.DataFrame:
    path = folder / "exclusions.csv"
    return tables.EXCLUSIONS.read(path) if path.is_file() else tables.EXCLUSIONS.empty()


def _check(plan: Plan, sources: Sequence[Source]) -> None:
    owner: dict[str, str] = {}
    images: set[str] = set()
    for source in sources:
        twice = [patient for patient in source.cases["patient_id"].astype(str).unique() if patient in owner]
        again = images & set(source.cases["image_id"].astype(str))
        if twice or again:
            raise DataError(
                f"found {len(twice)} patients and {len(again)} image sets of {source.name} in another source too, "
                "expected each once; leave one of the sources out, or make the ids unique over centres"
            )
        owner |= dict.fromkeys(source.cases["patient_id"].astype(str).unique(), source.name)
        images |= set(source.cases["image_id"].astype(str))
    if not owner:
        raise DataError("found no case in any source, expected patients; see the exclusions of the ingest")
    held = {str(name) for source in sources for name in source.cases["centre_id"].unique()}
    if plan.centres and held - set(plan.centres):
        raise DataError(
            f"found the centre {sorted(held - set(plan.centres))[0]!r}, which is not in the plan "
            f"({', '.join(plan.centres)}), expected those alone; leave its source out or amend the plan"
        )
    missing = [name for name in (*plan.centres, *plan.development_centres) if name not in held]
    if missing:
        raise DataError(
            f"found no patient of the centre {missing[0]!r} of the plan, expected some; the sources hold "
            f"{', '.join(sorted(held))}"
        )
