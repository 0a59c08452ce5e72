"""Open the store, bring its tables up to date, read from one moment of it, write to it one at a time.

SQLite keeps a write-ahead log and flushes it at every commit; PostgreSQL flushes by default. A writer takes its place
before it reads anything (``BEGIN IMMEDIATE``; the head row on PostgreSQL), so what it checked still holds when it
commits.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.review.store import schema
from usdlr.review.store.migrate import migrate
from usdlr.review.store.plain import all_storable

BUSY_MS = 15_000
_WRITE = "usdlr_write"


class StoreAwayError(DataError):
    """The database does not answer; whether the last request was recorded is not known, and it can be sent again."""


def utc_now() -> datetime:
    """The time, with its zone, UTC.

    Examples
    --------
    >>> utc_now().tzname()
    'UTC'
    """
    return datetime.now(UTC)


class Store:
    """A database that is up to date; threads may share it.

    Parameters
    ----------
    engine : Engine
        Of SQLAlchemy.
    clock : callable
        Gives the time of events, UTC; they are information only, the order is that of their numbers.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.engine = engine
        self.clock = clock

    @property
    def sqlite(self) -> bool:
        """Whether it is a file."""
        return self.engine.dialect.name == "sqlite"

    @property
    def path(self) -> Path | None:
        """The database's file; ``None`` for PostgreSQL."""
        return Path(str(self.engine.url.database)) if self.sqlite else None

    def at(self) -> str:
        """Now, as events write it: UTC, ISO 8601 with microseconds."""
        return self.clock().astimezone(UTC).isoformat(timespec="microseconds")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one moment of the store, whatever others write meanwhile.

        Yields
        ------
        Connection
            Of SQLAlchemy; nothing can be written with it on PostgreSQL.

        Raises
        ------
        DataError
            If the database cannot be read.
        """
        with _explained(), self.engine.connect() as connection:
            options: dict[str, Any] = {_WRITE: False}
            if not self.sqlite:
                options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            yield connection.execution_options(**options)

    @contextmanager
    def writing(self, *, head: bool = True) -> Iterator[Connection]:
        """A connection whose changes are all kept or, after any error, none.

        Parameters
        ----------
        head : bool
            Whether to wait for one's turn among all writers of events; not for what no event tells.

        Yields
        ------
        Connection
            Of SQLAlchemy; it commits where the block ends.

        Raises
        ------
        DataError
            If the database is full, gone, or busy for too long. A request that was cut off while it was being
            committed may or may not be recorded; with its key it can be sent again safely.
        """
        with _explained(), self.engine.connect() as connection:
            writing = connection.execution_options(**{_WRITE: True})
            with writing.begin():
                if head and not self.sqlite:
                    writing.execute(select(schema.head.c.id).with_for_update()).all()
                yield writing

    def close(self) -> None:
        """Give back all connections; the store cannot be used afterwards."""
        self.engine.dispose()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        words = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else "no reason given"
        raise StoreAwayError(
            f"found the review database unable to answer ({words}), expected it to read and write; free space or "
            "restart it, then send the same again: what was recorded already is recorded once"
        ) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            # A defect of usdlr; its traceback must not show the row, which PostgreSQL tells in a further line.
            lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
            raise type(error)(error.statement, {}, Exception(lines[0]), hide_parameters=True) from None
        raise StoreAwayError(
            "found the connection to the review database cut, expected it to last; send the same again: what was "
            "recorded already is recorded once"
        ) from error


def open_store(url: str, *, clock: Callable[[], datetime] = utc_now) -> Store:
    """Open a store and bring its tables up to date; a new database is made ready.

    Parameters
    ----------
    url : str
        ``sqlite:///path/review.db`` or ``postgresql+psycopg://user@host:port/database``.
    clock : callable
        Gives the time, UTC.

    Returns
    -------
    Store
        Close it at the end.

    Raises
    ------
    ConfigError
        If the address is none of the two.
    DataError
        If the database cannot be opened, holds something else, or was written by a newer usdlr.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = open_store(f"sqlite:///{folder}/review.db")
    ...     with store.reading() as connection:
    ...         connection.execute(select(schema.head.c.number)).scalar_one()
    ...     store.close()
    0
    """
    store = Store(make_engine(url), clock=clock)
    try:
        with _explained(), store.engine.connect() as connection:
            writing = connection.execution_options(**{_WRITE: True})
            with writing.begin():
                migrate(writing)
    except sqlite3.DatabaseError as error:
        store.close()
        raise DataError(f"found no SQLite database at {url}, expected one ({error}); check the path") from error
    except DBAPIError as error:
        store.close()
        raise DataError(
            f"found no usable review database ({error.orig}), expected one that usdlr wrote or an empty one; check "
            "the address"
        ) from error
    except BaseException:
        store.close()
        raise
    return store


def make_engine(url: str) -> Engine:
    """SQLAlchemy's engine with the settings that the store relies on; opens nothing yet.

    Raises
    ------
    ConfigError
        If the address is neither of SQLite nor of PostgreSQL.
    DataError
        If the folder of a SQLite file does not exist.
    """
    try:
        found = make_url(url)
        backend = found.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigError(
            "found a database address that cannot be read, expected sqlite:///PATH or "
            "postgresql+psycopg://USER@HOST/DATABASE; correct it"
        ) from error
    if backend == "sqlite" and found.database not in (None, "", ":memory:"):
        _private(Path(str(found.database)))
        engine = create_engine(
            found, hide_parameters=True, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False}
        )
        event.listen(engine, "connect", _sqlite_connected)
        event.listen(engine, "begin", _sqlite_begin)
        event.listen(engine, "before_cursor_execute", _only_text)
        return engine
    if backend == "postgresql":
        found = found.set(drivername="postgresql+psycopg")
        engine = create_engine(found, hide_parameters=True, pool_pre_ping=True, connect_args={"connect_timeout": 10})
        event.listen(engine, "before_cursor_execute", _only_text)
        return engine
    raise ConfigError(
        f"found a database of the kind {backend!r}, expected a SQLite file (sqlite:///PATH) or PostgreSQL "
        "(postgresql+psycopg://USER@HOST/DATABASE); choose one"
    )


def _only_text(
    connection: Connection, cursor: object, statement: str, parameters: Any, context: object, many: bool
) -> None:
    """Refuse what PostgreSQL cannot hold on either database, in words: whoever asks may have pasted it."""
    if not all_storable(parameters):
        raise InputError(
            "found a character that cannot be stored (U+0000, or half of one), expected text; type it anew instead of "
            "pasting it"
        )


def _private(path: Path) -> None:
    """A new file is readable by its owner alone: it names patients."""
    if not path.parent.is_dir():
        raise DataError(f"found no folder {path.parent}, expected one for the review database; make it")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise DataError(
            f"found no way to open {path} ({error.strerror}), expected a file that can be written; check the path"
        ) from error


def _sqlite_connected(connection: sqlite3.Connection, record: object) -> None:
    # SQLAlchemy begins transactions by the event below, not Python's own rules, which leave out DDL and reads.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA trusted_schema=OFF")


def _sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
