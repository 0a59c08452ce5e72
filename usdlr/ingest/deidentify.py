"""A folder of DICOM files becomes a folder that can be given away: same images, nobody's name.

Every file of the source has one row in ``report.csv``, under a pseudonym; ``removed_tags.csv`` counts what happened to
each tag; ``summary.json`` counts files. None of them holds a value, a name or a path of the source: a refused file is
found again by ``position``, its place among the source's files in alphabetical order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

import usdlr
from usdlr.core.cache import ContentCache
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import read_json, write_json, write_text
from usdlr.core.hashing import data_hash, file_hash
from usdlr.core.pool import Outcome, run_all
from usdlr.core.provenance import package_versions
from usdlr.ingest.deidentify_file import deidentify_file
from usdlr.ingest.deidentify_header import Removed, deidentify_dataset
from usdlr.ingest.deidentify_rules import PROFILE, Action, Refusal, RefusedError, profile_rules
from usdlr.ingest.pseudonyms import pseudonym

__all__ = ["Removed", "Report", "Row", "deidentify", "deidentify_dataset", "deidentify_file"]

# Raise it when the same file and key give another result: files exported before are then done again.
VERSION = 1
CACHE = Path(".cache") / "deidentify"
REPORT, TAGS, SUMMARY = "report.csv", "removed_tags.csv", "summary.json"
EXPORTED, REFUSED, DUPLICATE = "exported", "refused", "duplicate"


@dataclass(frozen=True)
class Row:
    """What became of one file.

    Parameters
    ----------
    position : int
        Place among the source's files in alphabetical order, from 1.
    file : str
        Pseudonymous path below the export's folder; for a refused file the one it would have had, less the patient.
    status : str
        ``exported``, ``refused``, or ``duplicate`` (same content as an earlier file; exported once).
    code : str
        Why it was refused (:class:`~usdlr.ingest.deidentify_rules.Refusal`), empty otherwise.
    reason : str
        The same in a sentence.
    removed, emptied, replaced, shifted, kept : int
        Number of header elements by what was done to them.
    frames : int
        Number of frames.
    blanked_fraction : float
        Share of all pixels that were blanked.
    text_boxes : int
        Number of boxes blanked because they seemed to hold text.
    """

    position: int
    file: str
    status: str
    code: str = ""
    reason: str = ""
    removed: int = 0
    emptied: int = 0
    replaced: int = 0
    shifted: int = 0
    kept: int = 0
    frames: int = 0
    blanked_fraction: float = 0.0
    text_boxes: int = 0


@dataclass(frozen=True)
class Report:
    """What became of all files.

    Parameters
    ----------
    rows : tuple of Row
        One for each file of the source.
    tags : mapping
        Number of elements by ``(tag, keyword, action)`` over all exported files.
    reused : int
        Number of exported files taken from an earlier run over the same content.
    earlier_files : int
        Images in the export's folder that come from other sources or earlier contents and have no row here.
    """

    rows: tuple[Row, ...]
    tags: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    reused: int = 0
    earlier_files: int = 0

    def count(self, status: str) -> int:
        """Number of files with that status."""
        return sum(row.status == status for row in self.rows)

    def refusals(self) -> dict[str, int]:
        """Number of refused files by code."""
        return dict(sorted(Counter(row.code for row in self.rows if row.status == REFUSED).items()))


@dataclass(frozen=True)
class _File:
    path: Path
    stem: str


@dataclass
class _Result:
    """What a worker hands back and the cache keeps: plain data without a value of the source."""

    row: dict[str, Any]
    tags: list[tuple[str, str, str, int]]


def deidentify(source: Path, out: Path, key: bytes, *, jobs: int = 1) -> Report:
    """De-identify a DICOM file or every DICOM file below a folder.

    Writes the cleaned files below ``out``, one folder per patient, and ``report.csv``, ``removed_tags.csv`` and
    ``summary.json``. A file that cannot be cleaned for certain is not written. A second run with the same key skips
    files whose content has not changed.

    Parameters
    ----------
    source : Path
        File or folder.
    out : Path
        Target folder, outside the source.
    key : bytes
        Secret key of the pseudonyms (:func:`usdlr.ingest.pseudonyms.load_key`).
    jobs : int
        Number of processes; the result does not depend on it.

    Raises
    ------
    ConfigError
        If ``out`` lies inside the source or the other way round.
    DataError
        If the source is missing or empty, or ``out`` holds an export made with another key.

    References
    ----------
    DICOM PS3.15, annex E.
    """
    profile_rules()  # says so now when a library is missing
    _require_apart(source, out)
    _require_same_key(out, key)
    paths = _files(source)
    digests = [file_hash(path) for path in paths]
    files = [_File(path, pseudonym(key, "file", digest)) for path, digest in zip(paths, digests, strict=True)]
    first = {file.stem: number for number, file in reversed(list(enumerate(files)))}
    unique = sorted(first.values())

    cache = ContentCache(out / CACHE, out)
    base = data_hash([VERSION, PROFILE, usdlr.__version__, package_versions()])
    keys = {n: pseudonym(key, f"deidentified.{base}", digests[n], length=52) for n in unique}
    hits = {n: cache.get(keys[n]) for n in unique}
    results = {n: _Result(**hit) for n, hit in hits.items() if hit is not None}
    reused = len(results)
    todo = [n for n in unique if n not in results]

    def remember(outcome: Outcome[_Result]) -> None:
        result, number = outcome.result, todo[outcome.position]
        if result is not None and result.row["status"] == EXPORTED:
            cache.put(keys[number], asdict(result), [result.row["file"]])

    work = partial(_work, out=out, key=key)
    fresh = run_all(work, [files[n] for n in todo], jobs=jobs, label="deidentify", on_outcome=remember)
    for number, outcome in zip(todo, fresh, strict=True):
        results[number] = outcome.result or _refusal(
            files[number].stem,
            Refusal.WORKER_DIED,
            "found the worker process dead on this file, expected a result; check memory and the file",
        )
    report = _collect(files, first, results, reused, out)
    _write(report, out, key)
    return report


def _work(file: _File, out: Path, key: bytes) -> _Result:
    try:
        name, removed, cleaned = deidentify_file(file.path, out, file.stem, key)
    except RefusedError as error:
        return _refusal(file.stem, error.code, error.sentence)
    counts = {str(action): removed.total(action) for action in Action}
    row = {"file": name, "status": EXPORTED, **counts, **asdict(cleaned)}
    return _Result(row, [(*names, count) for names, count in sorted(removed.counts.items())])


def _refusal(stem: str, code: Refusal, sentence: str) -> _Result:
    return _Result({"file": f"{stem}.dcm", "status": REFUSED, "code": str(code), "reason": sentence}, [])


def _collect(
    files: Sequence[_File], first: dict[str, int], results: dict[int, _Result], reused: int, out: Path
) -> Report:
    tags: Counter[tuple[str, str, str]] = Counter()
    rows = []
    for number, file in enumerate(files):
        result = results[first[file.stem]]
        row = Row(position=number + 1, **result.row)
        if first[file.stem] != number:
            reason = f"found the content of file {first[file.stem] + 1} again, expected it once; remove one"
            row = Row(number + 1, row.file, DUPLICATE, reason=reason)
        elif row.status == EXPORTED:
            for tag, keyword, action, count in result.tags:
                tags[tag, keyword, action] += count
        else:
            # An earlier version may have thought it clean.
            for stale in out.glob(f"*/{file.stem}.dcm"):
                stale.unlink()
        rows.append(row)
    mine = {row.file for row in rows if row.status == EXPORTED}
    earlier = sum(path.relative_to(out).as_posix() not in mine for path in out.glob("*/*.dcm"))
    return Report(tuple(rows), tags, reused, earlier)


def _write(report: Report, out: Path, key: bytes) -> None:
    write_text(out / REPORT, pd.DataFrame([asdict(row) for row in report.rows]).to_csv(index=False))
    counts = [(*names, count) for names, count in sorted(report.tags.items())]
    write_text(out / TAGS, pd.DataFrame(counts, columns=["tag", "keyword", "action", "count"]).to_csv(index=False))
    actions = Counter[str]()
    for (_, _, action), count in report.tags.items():
        actions[action] += count
    write_json(
        out / SUMMARY,
        {
            "usdlr": usdlr.__version__,
            "profile": f"DICOM PS3.15 E.1 basic profile, dicom-anonymizer {PROFILE}",
            "key_check": _key_check(key),
            "files": len(report.rows),
            "exported": report.count(EXPORTED),
            "duplicates": report.count(DUPLICATE),
            "refused": report.refusals(),
            "files_of_earlier_exports": report.earlier_files,
            "elements": dict(sorted(actions.items())),
        },
    )


def _key_check(key: bytes) -> str:
    """Tells whether two exports were made with one key, and nothing else about it."""
    return pseudonym(key, "key check", "")


def _require_same_key(out: Path, key: bytes) -> None:
    summary = out / SUMMARY
    if not summary.is_file():
        return
    content = read_json(summary)
    if not isinstance(content, dict) or content.get("key_check") != _key_check(key):
        raise DataError(
            f"found an export made with another key in {out}, expected one key for one export, or patients could not "
            "be told apart; name the first key with --key, or choose an empty folder"
        )


def _require_apart(source: Path, out: Path) -> None:
    if not source.exists():
        raise DataError(f"found nothing at {source}, expected a DICOM file or a folder of them; check the path")
    here, there = source.resolve(), out.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise ConfigError(
            "found the source and --out inside one another, expected two folders apart: originals and cleaned files "
            "must never mix; choose another --out"
        )


def _files(source: Path) -> list[Path]:
    paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    if not paths:
        raise DataError(f"found no file in {source}, expected at least one DICOM file; check the path")
    return paths
