"""The lock: a hash over plan, bundle, patients and outcomes, taken before anybody reads an outcome.

Three things are sealed apart, so that a message can say which of them changed: the plan, the part of the patients that
is known before surgery (with the content of their images), and the outcomes. Of outcomes nothing but a hash is made
when they lie in the same table already; where they come later, their hash is added when they are opened for the first
time. A lock is never altered: an amendment is a further lock that names its reason and the hash of the one before.

A lock shows that what is reported is what was planned. It cannot show that nobody had looked before locking; whoever
wants that proven registers the hash elsewhere beforehand, which is why every page prints it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core.columns import CASES, PATHS, Column
from usdlr.core.errors import DataError, LockError
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import SHORT, bytes_hash, data_hash, file_hash, table_hash
from usdlr.core.provenance import package_versions
from usdlr.validation.plan import Plan, differences

SCHEMA = 1
PENDING = "pending"
LOCK = ".lock.json"
_LABEL = {
    "bundle": "the bundle",
    "patients": "the patients, or what is known of them before surgery",
    "images": "the images",
    "outcomes": "the outcomes",
}


@dataclass(frozen=True)
class Seal:
    """What is fixed by a lock, as hashes.

    Parameters
    ----------
    plan, bundle, patients, images, outcomes : str
        SHA-256 of each; ``outcomes`` is :data:`PENDING` where they are to come in a file of their own.
    axillae, image_sets : int
        How many there are.
    content : mapping
        The plan itself.
    pictures : tuple of str
        SHA-256 of the image files of each source, in the order given; no part of the lock's entry.
    """

    plan: str
    bundle: str
    patients: str
    images: str
    outcomes: str
    axillae: int
    image_sets: int
    content: Mapping[str, Any]
    pictures: tuple[str, ...] = ()


def seal(
    plan: Plan,
    bundle_hash: str,
    sources: Sequence[tuple[Path, pd.DataFrame, pd.DataFrame]],
    outcomes: Path | None,
    *,
    later: bool,
) -> Seal:
    """Hash everything that a lock fixes.

    Parameters
    ----------
    plan : Plan
        The plan.
    bundle_hash : str
        SHA-256 of the bundle's manifest, which holds that of every other file.
    sources : sequence of (Path, DataFrame, DataFrame)
        Of each source the folder that its paths are relative to, its ``cases`` and its ``exclusions``. Several may lie
        in one folder.
    outcomes : Path or None
        A file of outcomes that is there already.
    later : bool
        Whether outcomes are to come in such a file.
    """
    parts, pictures, after, axillae, images = [], [], [], 0, 0
    for root, cases, left_out in sources:
        ordered = cases.sort_values("image_id", kind="stable").reset_index(drop=True)
        late = [name for name in ordered if is_outcome(str(name))]
        paths = [column.name for column in PATHS if column.name in ordered]
        parts.append(data_hash([table_hash(ordered.drop(columns=[*late, *paths])), _left_out(left_out)]))
        pictures.append(_pictures(ordered[paths], root))
        after.append(table_hash(ordered[["image_id", *late]]))
        axillae += len(ordered[["patient_id", "side"]].drop_duplicates())
        images += len(ordered)
    if outcomes is not None:
        sealed = data_hash([sorted(after), outcomes_hash(outcomes)])
    else:
        sealed = PENDING if later else data_hash([sorted(after), None])
    return Seal(
        plan.hash,
        bundle_hash,
        data_hash(sorted(parts)),
        data_hash(sorted(pictures)),
        sealed,
        axillae,
        images,
        plan.as_dict(),
        tuple(pictures),
    )


def is_outcome(name: str) -> bool:
    """Whether a column of ``cases`` is known only after surgery, or may be.

    Examples
    --------
    >>> is_outcome("sln_positive"), is_outcome("proxy_malignant"), is_outcome("age_years")
    (True, True, False)
    """
    column = _column(name)
    return column is None or column.endpoint or not column.preoperative


def _column(name: str) -> Column | None:
    for column in CASES:
        if column.name == name or (column.pattern and re.match(column.name, name)):
            return column
    return None


def _left_out(exclusions: pd.DataFrame) -> str:
    """Hash of who was left out and why, whatever the order; the sentences may name folders and do not count."""
    told = exclusions.drop(columns="sentence").astype("str")
    return data_hash(sorted(map(list, told.itertuples(index=False, name=None))))


def _pictures(paths: pd.DataFrame, root: Path) -> str:
    """Hash of the content of all files that the rows name, by row."""
    found = []
    for row in paths.to_dict("records"):
        named = {str(key): root / str(value) for key, value in row.items() if not pd.isna(value)}
        for path in named.values():
            if not path.is_file():
                raise DataError(f"found no file {path}, which the cases name; ingest the source again")
        found.append({key: file_hash(path) for key, path in named.items()})
    return data_hash(found)


def outcomes_hash(path: Path) -> str:
    """SHA-256 of a file of outcomes.

    Raises
    ------
    DataError
        If it is missing.
    """
    if not path.is_file():
        raise DataError(f"found no file {path}, expected a table of outcomes; check the path")
    return bytes_hash(path.read_bytes())


def lock(path: Path, found: Seal, *, reason: str = "") -> dict[str, Any]:
    """Write a lock, or an amendment of the one that is there.

    Parameters
    ----------
    path : Path
        ``plan.lock.json``.
    found : Seal
        From :func:`seal`.
    reason : str
        Why what was locked is amended; asked for whenever there is a lock already.

    Returns
    -------
    dict
        The new entry.

    Raises
    ------
    LockError
        If there is a lock already and no reason; or nothing differs from it.
    """
    held: dict[str, Any] = read_lock(path) if path.exists() else {"schema": SCHEMA, "locks": [], "opened": []}
    locks = held["locks"]
    if locks and not reason.strip():
        raise LockError(
            f"found a lock in {path} already ({short(locks[-1])}), expected none; to change what is locked give "
            '--amend "REASON", which keeps the earlier lock and is printed on the page'
        )
    if locks and not changes(locks[-1], found):
        raise LockError(f"found nothing that differs from the lock in {path}, so there is nothing to amend")
    entry: dict[str, Any] = {
        "number": len(locks) + 1,
        "previous": locks[-1]["hash"] if locks else None,
        "reason": reason.strip(),
        "after_outcomes": bool(held["opened"]),
        "plan": found.plan,
        "bundle": found.bundle,
        "patients": found.patients,
        "images": found.images,
        "outcomes": found.outcomes,
        "axillae": found.axillae,
        "image_sets": found.image_sets,
        "content": dict(found.content),
        "usdlr": package_versions()["usdlr"],
        "locked_at": _now(),
    }
    entry["hash"] = data_hash(entry)
    write_json(path, {**held, "locks": [*locks, entry]})
    return entry


def read_lock(path: Path) -> dict[str, Any]:
    """Read a lock and check that its chain is whole.

    Raises
    ------
    LockError
        If an entry was altered, or one is missing.
    """
    held = read_json(path)
    try:
        if held["schema"] != SCHEMA or not isinstance(held["locks"], list) or not held["locks"]:
            raise KeyError("locks")
        previous = None
        for number, entry in enumerate(held["locks"], start=1):
            own = {key: value for key, value in entry.items() if key != "hash"}
            if entry["hash"] != data_hash(own) or entry["previous"] != previous or entry["number"] != number:
                raise LockError(
                    f"found entry {number} of {path} altered after it was written; restore the file, or begin "
                    "anew with another lock file and say so"
                )
            previous = entry["hash"]
        for opening in held["opened"]:
            own = {key: value for key, value in opening.items() if key != "hash"}
            if opening["hash"] != data_hash(own):
                raise LockError(f"found the record of opened outcomes in {path} altered; restore the file")
        previous = None
        for number, attempt in enumerate(held.get("adapted", []), start=1):
            own = {key: value for key, value in attempt.items() if key != "hash"}
            if attempt["hash"] != data_hash(own) or attempt["previous"] != previous or attempt["number"] != number:
                raise LockError(f"found the record of adaptations in {path} altered; restore the file")
            previous = attempt["hash"]
    except (KeyError, TypeError, AttributeError) as error:
        raise LockError(f"found {path} is no lock file ({error!r}), expected one of usdlr validate lock") from error
    result: dict[str, Any] = held
    return result


def changes(entry: Mapping[str, Any], found: Seal) -> list[str]:
    """What differs from a lock, in words; empty where nothing does.

    Parameters
    ----------
    entry : mapping
        The last entry of a lock.
    found : Seal
        What is there now. Outcomes that were to come later are compared when they are opened.
    """
    lines = []
    if entry["plan"] != found.plan:
        what = differences(entry["content"], found.content) or ["its content"]
        lines.append(f"the plan ({'; '.join(what)})")
    for key, words in _LABEL.items():
        if key == "outcomes" and entry[key] == PENDING:
            continue
        if entry[key] != getattr(found, key):
            lines.append(words)
    return lines


def require_locked(path: Path, found: Seal) -> dict[str, Any]:
    """Refuse to go on with anything but what was locked.

    Raises
    ------
    LockError
        If there is no lock, or something changed since.
    """
    if not path.exists():
        raise LockError(f"found no lock {path}, expected one; give usdlr validate lock before outcomes are read")
    held = read_lock(path)
    entry: dict[str, Any] = held["locks"][-1]
    changed = changes(entry, found)
    if changed:
        raise LockError(
            f"found changed since lock {entry['number']} ({short(entry)}): {'; '.join(changed)}; expected what was "
            'locked. Restore it, or lock again with --amend "REASON", which the page then prints'
        )
    return held


def open_outcomes(path: Path, digest: str) -> dict[str, Any]:
    """Record that outcomes are read now, and refuse others than those that were opened, or sealed, before.

    Parameters
    ----------
    path : Path
        The lock.
    digest : str
        Seal of the outcomes, as :func:`seal` makes it.

    Returns
    -------
    dict
        The whole lock, with the opening in it.

    Raises
    ------
    LockError
        If they are other outcomes.
    """
    held = read_lock(path)
    entry = held["locks"][-1]
    opened = [one for one in held["opened"] if one["lock"] == entry["hash"]]
    if entry["outcomes"] not in (PENDING, digest) or any(one["outcomes"] != digest for one in opened):
        raise LockError(
            f"found outcomes other than those of lock {entry['number']} ({short(entry)}), expected the same; restore "
            'them, or lock again with --amend "REASON"'
        )
    if opened:
        return held
    opening = {"lock": entry["hash"], "outcomes": digest, "opened_at": _now()}
    opening["hash"] = data_hash(opening)
    held = {**held, "opened": [*held["opened"], opening]}
    write_json(path, held)
    return held


def record_adaptation(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Record that a bundle is adapted now.

    Every attempt reads outcomes, and whoever tries until one is certified has a larger chance of a wrong certificate
    than delta; the page tells how many there were.

    Parameters
    ----------
    path : Path
        The lock; outcomes have been opened under it.
    settings : mapping
        Plain data that says what is tried. The same settings under the same lock are the same attempt.

    Returns
    -------
    list of dict
        All attempts so far, this one among them: ``number previous lock settings started_at hash``.

    Raises
    ------
    LockError
        If the record was altered.
    """
    held = read_lock(path)
    entry, made = held["locks"][-1], list(held.get("adapted", []))
    if any(one["lock"] == entry["hash"] and one["settings"] == dict(settings) for one in made):
        return made
    attempt: dict[str, Any] = {
        "number": len(made) + 1,
        "previous": made[-1]["hash"] if made else None,
        "lock": entry["hash"],
        "settings": dict(settings),
        "started_at": _now(),
    }
    attempt["hash"] = data_hash(attempt)
    write_json(path, {**held, "adapted": [*made, attempt]})
    return [*made, attempt]


def short(entry: Mapping[str, Any]) -> str:
    """The first digits of a lock's hash."""
    return str(entry["hash"])[:SHORT]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
