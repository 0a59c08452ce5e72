"""Copies of a store that can be relied on: one SQLite file, whichever database it came from.

A copy is checked before it gets its name, and again before anything is restored from it. Sessions, failed sign-ins and
one-time codes are not copied; accounts are, with the hashes of their passwords: keep backups as the database is kept.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, inspect, select
from sqlalchemy.engine import make_url

from usdlr.core.errors import DataError
from usdlr.core.files import write_atomic
from usdlr.review.store import schema
from usdlr.review.store.audit import Anchor
from usdlr.review.store.checking import StoreReport, check
from usdlr.review.store.engine import Store, make_engine, open_store

_ROWS = 500


def backup(store: Store, target: Path) -> Anchor:
    """Write a checked copy of the whole store while it is in use.

    Parameters
    ----------
    store : Store
        Which; reviewers may go on meanwhile, the copy is of one moment.
    target : Path
        A new file; readable by its owner alone.

    Returns
    -------
    Anchor
        The end of the log in the copy.

    Raises
    ------
    DataError
        If there is such a file already, the store is not whole, or the copy is not.
    """
    if target.exists():
        raise DataError(f"found {target} already there, expected a new file; choose another name")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
        held = Path(folder) / "copy.db"
        (_online if store.sqlite else _rowwise)(store, held)
        end = _checked(held)
        write_atomic(target, lambda place: shutil.copyfile(held, place), private=True)
    return end


def restore(source: Path, url: str) -> Anchor:
    """Fill an empty database from a backup.

    Parameters
    ----------
    source : Path
        What :func:`backup` wrote, by this or an older usdlr.
    url : str
        Of a database without anything in it, SQLite or PostgreSQL.

    Returns
    -------
    Anchor
        The end of the log that was restored.

    Raises
    ------
    DataError
        If the file is no backup, its log is broken, or the database is not empty. Nothing is written then.
    """
    if not source.is_file():
        raise DataError(f"found no file {source}, expected a backup; check the path")
    if source.with_name(f"{source.name}-wal").exists():
        raise DataError(f"found {source} in use as a database, expected a backup; write one of it first")
    with tempfile.TemporaryDirectory(prefix="usdlr-restore-") as folder:
        held = Path(folder) / "copy.db"
        shutil.copyfile(source, held)
        _plain_tables(held, source)
        end = _checked(held)
        _empty(url)
        copy = open_store(f"sqlite:///{held}")
        store = open_store(url)
        try:
            _copy(copy, store)
            report = check(store, anchor=end)
            if not report.whole:
                raise DataError(f"found the restored database not whole ({_why(report)}), expected it as the backup is")
        finally:
            store.close()
            copy.close()
    return end


def _online(store: Store, held: Path) -> None:
    """SQLite's own copy of a database in use."""
    with store.reading() as connection:
        source: Any = connection.connection.driver_connection
        target = sqlite3.connect(held)
        try:
            source.backup(target)
            for table in schema.SECRETS:
                target.execute(f"DELETE FROM {table.name}")  # noqa: S608 - a name of our schema
            target.commit()
            # Leaves nothing of the deleted rows.
            target.execute("VACUUM")
        finally:
            target.close()


def _rowwise(store: Store, held: Path) -> None:
    copy = open_store(f"sqlite:///{held}")
    try:
        _copy(store, copy)
    finally:
        copy.close()


def _copy(source: Store, target: Store) -> None:
    """All tables but the secret ones, from one moment and in one transaction."""
    with source.reading() as reading, target.writing() as writing:
        for table in schema.metadata.sorted_tables:
            # The row of the log's end is there, and follows the events as they are added.
            if table in schema.SECRETS or table is schema.head:
                continue
            ordered = select(table).order_by(*table.primary_key.columns)
            with reading.execution_options(yield_per=_ROWS).execute(ordered) as rows:
                for part in rows.partitions():
                    writing.execute(insert(table), [dict(row._mapping) for row in part])


def _checked(held: Path) -> Anchor:
    copy = open_store(f"sqlite:///{held}")
    try:
        report = check(copy)
    finally:
        copy.close()
    # One file that is all of it, without a log beside it.
    plain = sqlite3.connect(held)
    try:
        plain.execute("PRAGMA journal_mode=DELETE")
    finally:
        plain.close()
    if not report.whole:
        raise DataError(f"found the log or what repeats it not whole ({_why(report)}), expected it as it was written")
    return Anchor(report.chain.entries, report.chain.head)


def _why(report: StoreReport) -> str:
    return report.chain.why or report.wrong[0]


def _plain_tables(held: Path, source: Path) -> None:
    """Only tables, indices and triggers of names that usdlr gives: somebody else's file may hold anything."""
    known = {table.name for table in schema.metadata.sorted_tables} | {"alembic_version"}
    try:
        connection = sqlite3.connect(held)
        try:
            rows = connection.execute("SELECT type, tbl_name FROM sqlite_master").fetchall()
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise DataError(
            f"found {source} is not a backup ({error}), expected what usdlr wrote; choose another"
        ) from error
    strange = [kind for kind, table in rows if kind not in ("table", "index", "trigger") or table not in known]
    if strange or not rows:
        raise DataError(f"found {source} holds other things than a backup, expected what usdlr wrote; choose another")


def _empty(url: str) -> None:
    """Refuse a database with anything in it; opens it without changing it."""
    found = make_url(url)
    if found.get_backend_name() == "sqlite" and not Path(str(found.database)).exists():
        return
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            full = _filled(connection)
    finally:
        engine.dispose()
    if full:
        raise DataError(
            f"found rows in the table {full!r} of the database, expected an empty one to restore into; choose another"
        )


def _filled(connection: Connection) -> str:
    ours = {table.name: table for table in schema.metadata.sorted_tables}
    for name in sorted(inspect(connection).get_table_names()):
        if name == "alembic_version":
            continue
        table = ours.get(name)
        if table is None:
            return name
        if table is schema.head:
            if connection.scalar(select(func.max(table.c.number))):
                return name
        elif connection.scalar(select(func.count()).select_from(table)):
            return name
    return ""
