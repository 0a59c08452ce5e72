"""From an export to ``cases.parquet``: every row is read, checked and copied to canonical files, or excluded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core import tables
from usdlr.core.cache import ContentCache
from usdlr.core.errors import CaseError, DataError, InputError
from usdlr.core.hashing import bytes_hash, data_hash, file_hash
from usdlr.core.modalities import BMODE
from usdlr.core.pool import Outcome, run_all
from usdlr.core.provenance import Provenance, package_versions
from usdlr.ingest.adapter import Adapter, adapter_named, require_folder, require_usable_ids
from usdlr.ingest.case import CaseResult, content_digest, convert, with_pseudonyms, without_names
from usdlr.ingest.centres import load_all
from usdlr.ingest.duplicate_policy import OnDuplicate, join_patients, judge_duplicates
from usdlr.ingest.duplicates import Verify, same_picture
from usdlr.ingest.endpoints import normalise_endpoints
from usdlr.ingest.pseudonyms import load_key, pseudonym
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.sizes import largest_per_axilla
from usdlr.ingest.source import SourceRow

# Raise it when the same source and settings give other files or columns: cached cases are then made again.
CACHE_VERSION = 1
CACHE = Path(".cache") / "ingest"

load_all()


@dataclass(frozen=True)
class Ingested:
    """What became of one export.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    exclusions : DataFrame
        The ``exclusions`` table.
    notes : DataFrame
        The ``notes`` table: what readers should know about cases that are used all the same.
    contours : DataFrame
        The ``contours`` table: every reader's contour.
    reused : int
        Number of cases taken from an earlier ingest of the same content.
    """

    cases: pd.DataFrame
    exclusions: pd.DataFrame
    notes: pd.DataFrame
    contours: pd.DataFrame
    reused: int = 0


def ingest(
    source: Path,
    centre: str,
    out: Path,
    *,
    jobs: int = 1,
    settings: IngestSettings | None = None,
    key_file: Path | None = None,
) -> Ingested:
    """Read a centre's export.

    Writes ``cases.parquet``, ``exclusions.csv``, ``notes.csv``, ``contours.csv`` (each with its provenance) and
    ``images/`` below ``out``. Nothing is written when no row can be used. A row whose files, table values and settings
    have not changed since an earlier ingest into the same folder is not read again.

    Parameters
    ----------
    source : Path
        The export's folder.
    centre : str
        Name of a registered adapter.
    out : Path
        Target folder.
    jobs : int
        Number of processes; the result does not depend on it.
    settings : IngestSettings, optional
        Choices that change pixels or regions.
    key_file : Path, optional
        Secret key of the pseudonyms, for adapters whose ids identify patients; by default the user's own.

    Raises
    ------
    ConfigError
        If no adapter has that name.
    DataError
        If the export cannot be read, repeats an id, or holds no usable row.
    TableError
        If a value is outside its column's vocabulary or range.
    """
    adapter, rows = read_rows(source, centre, key_file=key_file)
    check_values(rows)
    settings = settings or IngestSettings()
    cache = ContentCache(out / CACHE, out)
    bare = adapter.is_bare(source)
    keys = [_cache_key(row, settings, adapter, bare) for row in rows]
    found = [None if key is None else cache.get(key) for key in keys]
    results = {number: CaseResult(**hit) for number, hit in enumerate(found) if hit is not None}
    missing = [number for number in range(len(rows)) if number not in results]

    def remember(outcome: Outcome[CaseResult]) -> None:
        number = missing[outcome.position]
        key = keys[number]
        if outcome.result is not None and key is not None:
            cache.put(key, asdict(outcome.result), outcome.result.files())

    outcomes: list[Outcome[CaseResult]] = [Outcome(number, results.get(number), None) for number in range(len(rows))]
    reused = len(results)
    work = partial(ingest_row, out=out, settings=settings, bare=bare, anonymous=adapter.identifying)
    # Rows that fail before a pixel is read are not worth starting processes for.
    hopeless = [number for number in missing if keys[number] is None]
    missing = [number for number in missing if keys[number] is not None]
    for number in hopeless:
        try:
            outcomes[number] = Outcome(number, work(rows[number]), None)
        except CaseError as error:
            outcomes[number] = Outcome(number, None, error)
    fresh = run_all(work, [rows[i] for i in missing], jobs=jobs, label=f"ingest {centre}", on_outcome=remember)
    for number, outcome in zip(missing, fresh, strict=True):
        outcomes[number] = replace(outcome, position=number)

    exclusions = exclusion_rows(rows, outcomes)
    finished = [
        (row, outcome.result) for row, outcome in zip(rows, outcomes, strict=True) if outcome.result is not None
    ]
    _require_some(finished, exclusions, rows, source)
    cases = tables.CASES.conform(pd.DataFrame([result.record for _, result in finished]))
    notes = [note for _, result in finished for note in result.notes]
    prints = _prints(cases, [result for _, result in finished])
    verdict = judge_duplicates(
        cases,
        prints,
        _remembered(same_picture(cases, out), prints, cache),
        on_duplicate=OnDuplicate.REFUSE if adapter.knows_patients else OnDuplicate.JOIN,
    )
    dropped = {position for position, _ in verdict.exclusions}
    exclusions += [_exclusion(finished[position][0], error) for position, error in verdict.exclusions]
    for position, note in verdict.notes:
        notes.append({"image_id": cases["image_id"][position], "code": str(note.code), "sentence": note.sentence})
        known = set(cases["quality_flags"].fillna("").iloc[position].split())
        cases.loc[position, "quality_flags"] = " ".join(sorted({*known, str(note.code)}))
    cases = join_patients(cases.drop(index=sorted(dropped)).reset_index(drop=True), verdict.joined)
    _require_some(list(cases.index), exclusions, rows, source)
    cases = largest_per_axilla(cases)

    kept = set(cases["image_id"])
    contours = [row for _, result in finished for row in result.contours if row["image_id"] in kept]
    inputs = {role: file_hash(path) for role, path in adapter.inputs(source).items()}
    inputs["images"] = bytes_hash(*(str(image_id).encode() for image_id in cases["image_id"]))
    provenance = Provenance("usdlr ingest", inputs, {"centre": centre, "settings": settings.as_dict()})
    return Ingested(
        cases=tables.CASES.write(cases, out / "cases.parquet", provenance),
        exclusions=_write(tables.EXCLUSIONS, exclusions, out, provenance),
        notes=_write(tables.NOTES, [note for note in notes if note["image_id"] in kept], out, provenance),
        contours=_write(tables.CONTOURS, contours, out, provenance),
        reused=reused,
    )


def read_rows(source: Path, centre: str, *, key_file: Path | None = None) -> tuple[Adapter, list[SourceRow]]:
    """The adapter of a centre and every row of its export, under pseudonyms where the ids identify patients.

    Raises
    ------
    ConfigError
        If no adapter has that name.
    DataError
        If the export cannot be read, repeats an id, or is empty.
    """
    adapter = adapter_named(centre)
    rows = adapter.rows(require_folder(source))
    if not rows:
        raise DataError(f"found an export without rows in {source}, expected at least one image; check the path")
    if adapter.identifying:
        key = load_key(key_file)
        rows = [
            with_pseudonyms(
                row,
                pseudonym(key, "patient", row.patient_id, prefix=f"{row.centre_id}-"),
                pseudonym(key, "image", row.source_id, prefix="img-"),
            )
            for row in rows
        ]
    require_usable_ids(rows)
    return adapter, rows


def check_values(rows: Sequence[SourceRow]) -> None:
    """Check what the rows state about patients, before any pixel is read and anything is written.

    Raises
    ------
    TableError
        Naming row (counted from 0), column, what was found and what was expected.
    """
    values = pd.DataFrame([dict(row.values) for row in rows])
    stated = tuple(replace(column, nullable=True) for column in tables.CASES.columns if column.name in values)
    proxies = tuple(column for column in tables.CASES.columns if column.pattern)
    tables.Table("export", (*stated, *proxies), ()).conform(values)


def ingest_row(row: SourceRow, out: Path, settings: IngestSettings, bare: bool, anonymous: bool) -> CaseResult:
    """Check one row and write its canonical files.

    Raises
    ------
    CaseError
        If the row cannot be used; nothing is written then.
    """
    try:
        if row.refusal is not None:
            raise row.refusal
        values = normalise_endpoints(row.values, itc_positive=settings.itc_positive)
        return convert(row, values, out, settings, bare=bare, anonymous=anonymous)
    except CaseError as error:
        if anonymous:
            raise without_names(error, row) from None
        raise


def exclusion_rows(rows: Sequence[SourceRow], outcomes: Sequence[Outcome[Any]]) -> list[dict[str, Any]]:
    """The ``exclusions`` rows of every row that failed."""
    return [
        _exclusion(row, outcome.failure)
        for row, outcome in zip(rows, outcomes, strict=True)
        if outcome.failure is not None
    ]


def _exclusion(row: SourceRow, error: CaseError) -> dict[str, Any]:
    return {
        "centre_id": row.centre_id,
        "patient_id": row.patient_id,
        "side": str(row.side),
        "source_id": row.source_id,
        "step": "ingest",
        "code": str(error.code),
        "sentence": error.sentence,
    }


def _require_some(
    usable: Sequence[Any], exclusions: Sequence[Mapping[str, Any]], rows: Sequence[SourceRow], source: Path
) -> None:
    """Refuse an export without a usable row, with the commonest reason."""
    if usable:
        return
    code, count = Counter(item["code"] for item in exclusions).most_common(1)[0]
    first = next(item for item in exclusions if item["code"] == code)
    raise DataError(
        f"found no usable case among {len(rows)} rows of {source}; {count} x {code}, first in row "
        f"{1 + [row.source_id for row in rows].index(first['source_id'])}: {first['sentence']}"
    )


def _prints(cases: pd.DataFrame, results: Sequence[CaseResult]) -> pd.DataFrame:
    known = pd.DataFrame([result.prints for result in results], dtype="str")
    return pd.concat([cases[["image_id", "patient_id"]], known], axis=1)


def _cache_key(row: SourceRow, settings: IngestSettings, adapter: Adapter, bare: bool) -> str | None:
    """Everything that decides a row's result; ``None`` for a row that fails before a file is read."""
    needed = [row.files.get(BMODE), *(mask.path for mask in row.masks[:1])]
    if row.refusal is not None or not all(path is not None and path.is_file() for path in needed):
        return None
    try:
        plain = asdict(replace(row, files={}, masks=(), elastography=None))
        # Where a file lies does not matter, what it holds does.
        refs = [asdict(mask) | {"path": None} for mask in row.masks]
        elasto = None if row.elastography is None else asdict(row.elastography) | {"path": None}
        stated = [settings.as_dict(), bare, adapter.identifying, plain, refs, elasto, list(row.paths())]
        # Another decoder may give other pixels, another usdlr other columns.
        return data_hash([CACHE_VERSION, package_versions(), stated, content_digest(row)])
    except InputError:
        return None


def _write(table: tables.Table, rows: list[dict[str, Any]], out: Path, provenance: Provenance) -> pd.DataFrame:
    content = pd.DataFrame(rows) if rows else table.empty()
    return table.write(content, out / f"{table.name}.csv", provenance)


def _remembered(verify: Verify, prints: pd.DataFrame, cache: ContentCache) -> Verify:
    """The same verifier, which looks at a pair of pictures once and for all."""
    columns = ["pixel_hash", "perceptual_hash"]
    known = {str(name): row for name, row in zip(prints["image_id"], prints[columns].to_numpy().tolist(), strict=True)}

    def check(first: str, second: str, flipped: bool) -> bool:
        key = data_hash([CACHE_VERSION, package_versions(), "same picture", known[first], known[second], flipped])
        found = cache.get(key)
        if found is None:
            found = verify(first, second, flipped)
            cache.put(key, found, [])
        return bool(found)

    return check
