"""Opening: the layout is the migrations', newer and strange databases are refused, files are private and durable."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from tests.review.store.made import axilla_record
from usdlr.core.errors import ConfigError, DataError
from usdlr.review.store import schema
from usdlr.review.store.audit import verify
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.loading import load_axillae
from usdlr.review.store.migrate import newest, revision


def test_migrations_make_the_tables_that_the_code_uses(store: Store) -> None:
    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        assert revision(connection) == newest()


def test_opening_again_keeps_everything(store: Store, url: str) -> None:
    load_axillae(store, [axilla_record()])
    store.close()
    again = open_store(url)
    assert verify(again).entries == 1
    again.close()


def test_a_newer_layout_is_refused_and_left_alone(store: Store, url: str) -> None:
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DataError, match=r"9999.*newer usdlr"):
        open_store(url)
    with store.reading() as connection:
        assert revision(connection) == "9999"


def test_somebody_elses_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE invoices (id)")
    with pytest.raises(DataError, match="'invoices'"):
        open_store(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == ["invoices"]
    (tmp_path / "text.db").write_text("not a database, but long enough to be read as one " * 20)
    with pytest.raises(DataError, match="database"):
        open_store(f"sqlite:///{tmp_path}/text.db")


@pytest.mark.parametrize(
    "url", ["", "review.db", "sqlite://", "sqlite:///:memory:", "mysql://host/db", "oracle+x://h", "postgresql://h:x/d"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        open_store(url)


def test_a_missing_folder_and_a_missing_server_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        open_store(f"sqlite:///{tmp_path}/nowhere/review.db")
    with pytest.raises(DataError, match="unable to answer"):
        open_store("postgresql://usdlr:hidden@127.0.0.1:1/none")


def test_passwords_of_addresses_are_not_told() -> None:
    with pytest.raises(DataError) as caught:
        open_store("postgresql://usdlr:hidden@127.0.0.1:1/none")
    assert "hidden" not in str(caught.value)


def test_files_are_private_and_flushed(file_store: Store) -> None:
    path = file_store.path
    assert path is not None
    load_axillae(file_store, [axilla_record()])
    assert {place.stat().st_mode & 0o777 for place in path.parent.glob("review.db*")} == {0o600}
    with file_store.reading() as connection:
        told = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert told == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 15000}


def test_two_that_open_at_once_both_can(url: str) -> None:
    opened: list[Store] = []
    threads = [threading.Thread(target=lambda: opened.append(open_store(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for store in opened:
        assert verify(store).whole
        store.close()


def test_errors_do_not_show_what_was_stored(store: Store) -> None:
    with pytest.raises(Exception, match=r"constraint|null") as caught, store.writing() as connection:
        connection.execute(schema.axilla.insert().values(token="t", number=1, patient_id="SECRET-ID"))
    assert "SECRET-ID" not in str(caught.value)


def test_a_reader_sees_one_moment(store: Store) -> None:
    load_axillae(store, [axilla_record(1)])
    with store.reading() as connection:
        first = connection.execute(schema.axilla.select()).all()
        load_axillae(store, [axilla_record(2)])
        assert connection.execute(schema.axilla.select()).all() == first
