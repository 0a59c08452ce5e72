"""Backups: whole, checked, without sessions; restored into empty databases only, from one kind to the other."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.review.store.made import axilla_record, emptied, model_record, people, wish
from tests.review.store.postgres import Server
from usdlr.core.errors import DataError
from usdlr.review.acts import Act
from usdlr.review.store.accounts import accounts, sign_out, start_session
from usdlr.review.store.acting import Done, act
from usdlr.review.store.audit import anchor, events
from usdlr.review.store.backup import backup, restore
from usdlr.review.store.checking import check
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.exports import reviews_table
from usdlr.review.store.reading import explanation, load_axillae, load_model, models, picture, put_explanation


@pytest.fixture
def filled(store: Store) -> Store:
    load_model(store, model_record())
    records = [axilla_record(number) for number in range(1, 6)]
    load_axillae(store, records)
    anna, bert = people(store, "anna", "bert")
    for record in records[:3]:
        assert isinstance(act(store, wish(Act.ACCEPT, record.token, 1), anna), Done)
    assert isinstance(act(store, wish(Act.REJECT, records[0].token, 2), bert), Done)
    put_explanation(store, records[0].token, {"x": 1}, {"map.png": bytes(range(256))})
    start_session(store, anna)
    return store


def _same(first: Store, second: Store) -> None:
    assert events(first, limit=1000) == events(second, limit=1000)
    assert reviews_table(first).equals(reviews_table(second))
    assert models(first) == models(second)
    token = events(first)[0].token
    assert picture(first, token, "map.png") == picture(second, token, "map.png") == bytes(range(256))
    assert explanation(first, token) == explanation(second, token)
    report = check(second)
    assert report.whole, report


@pytest.mark.parametrize("to", ["sqlite", "postgresql"])
def test_there_and_back_on_both(filled: Store, to: str, postgres: Server, tmp_path: Path) -> None:
    copy = tmp_path / "copy.usdlr"
    end = backup(filled, copy)
    assert end == anchor(filled)
    assert copy.stat().st_mode & 0o777 == 0o600
    url = postgres.database() if to == "postgresql" else f"sqlite:///{tmp_path}/restored.db"
    assert restore(copy, url) == end
    restored = open_store(url)
    _same(filled, restored)
    bert = next(one for one in accounts(restored) if one.name == "bert")
    token = events(restored)[4].token
    assert isinstance(act(restored, wish(Act.COMMENT, token, 1), bert), Done)
    assert check(restored, anchor=end).whole
    restored.close()


def test_a_backup_is_one_file_without_sessions(filled: Store, tmp_path: Path) -> None:
    held = start_session(filled, accounts(filled)[0])
    folder = tmp_path / "backups"
    backup(filled, folder / "copy.usdlr")
    assert [path.name for path in folder.iterdir()] == ["copy.usdlr"]
    with sqlite3.connect(folder / "copy.usdlr") as plain:
        for table in ("session", "attempt", "setup"):
            assert plain.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    sign_out(filled, held.session)
    with pytest.raises(DataError, match="already there"):
        backup(filled, folder / "copy.usdlr")


def test_a_broken_log_is_neither_backed_up_nor_restored(filled: Store, tmp_path: Path) -> None:
    good = tmp_path / "good.usdlr"
    backup(filled, good)
    with sqlite3.connect(good) as plain:
        for (name,) in plain.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            plain.execute(f"DROP TRIGGER {name}")
        plain.execute("UPDATE event SET account = 'eve' WHERE number = 8")
    with pytest.raises(DataError, match="entry 8 was changed"):
        restore(good, f"sqlite:///{tmp_path}/restored.db")
    assert not (tmp_path / "restored.db").exists()
    emptied(filled)
    with filled.writing() as connection:
        connection.exec_driver_sql("UPDATE event SET account = 'eve' WHERE number = 8")
    with pytest.raises(DataError, match="entry 8 was changed"):
        backup(filled, tmp_path / "bad.usdlr")
    assert not (tmp_path / "bad.usdlr").exists()


def test_only_empty_databases_are_filled(filled: Store, url: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.usdlr"
    backup(filled, copy)
    before = events(filled, limit=1000)
    with pytest.raises(DataError, match="empty one to restore"):
        restore(copy, url)
    assert events(filled, limit=1000) == before
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as plain:
        plain.execute("CREATE TABLE invoices (id)")
    with pytest.raises(DataError, match="'invoices'"):
        restore(copy, f"sqlite:///{other}")
    fresh = f"sqlite:///{tmp_path}/fresh.db"
    open_store(fresh).close()
    restore(copy, fresh)


def test_files_that_are_no_backups_are_refused(file_store: Store, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/restored.db"
    with pytest.raises(DataError, match="no file"):
        restore(tmp_path / "missing", target)
    (tmp_path / "text").write_text("not a database " * 100)
    with pytest.raises(DataError, match="not a backup"):
        restore(tmp_path / "text", target)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(DataError, match="other things"):
        restore(tmp_path / "empty", target)
    copy = tmp_path / "copy"
    backup(file_store, copy)
    with sqlite3.connect(copy) as plain:
        plain.execute("CREATE VIEW trap AS SELECT 1")
    with pytest.raises(DataError, match="other things"):
        restore(copy, target)
    with pytest.raises(DataError, match="in use"):
        restore(Path(str(file_store.path)), target)
    assert not (tmp_path / "restored.db").exists()
