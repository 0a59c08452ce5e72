"""A check of the record finds whatever somebody with the database in hand changes beside the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import argon2
import pytest
from sqlalchemy import Column, Connection, select, update

from tests.review.store.made import LATER, PASSWORD, answered, axilla_record, emptied, people, wish
from tests.review.store.postgres import Server
from usdlr.core.types import RiskGroup
from usdlr.review.acts import Act, Role
from usdlr.review.records import AxillaRecord
from usdlr.review.store import passwords, schema
from usdlr.review.store import people as people_module
from usdlr.review.store.accounts import (
    SignedIn,
    change_password,
    create_account,
    disable,
    enable,
    external_account,
    set_role,
    sign_in,
    unlock,
)
from usdlr.review.store.acting import Done, act
from usdlr.review.store.backup import backup, restore
from usdlr.review.store.checking import check
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.loading import load_axillae
from usdlr.review.store.reading import put_explanation


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
def used(store: Store) -> AxillaRecord:
    """A store in which everything has happened that leaves rows: two loads, every act, accounts, an explanation."""
    first = axilla_record(1)
    load_axillae(store, [first, axilla_record(2)])
    anna, bert, cora = people(store, "anna", "bert", "cora")
    assert isinstance(act(store, wish(Act.OPINION, first.token, 1), anna), Done)
    later = replace(first, answer=answered(p_sln=0.4321), digest=LATER)
    load_axillae(store, [later])
    image, other = (one.token for one in first.images)
    steps = [
        (anna, wish(Act.OPINION, first.token, 3)),
        (anna, wish(Act.CONTOUR, first.token, 4, image=image)),
        (anna, wish(Act.CONFIRM, first.token, 5, image=other)),
        (anna, wish(Act.IMAGES, first.token, 6, used=(image,))),
        (anna, wish(Act.COMMENT, first.token, 7, reason="Größe 5 µm 🙂\nzweite Zeile")),
        (anna, wish(Act.ACCEPT, first.token, 8)),
        (bert, wish(Act.MODIFY, first.token, 9)),
        (cora, wish(Act.ADJUDICATE, first.token, 10)),
        (cora, wish(Act.DEFER, first.token, 11, colleague="bert")),
    ]
    for account, action in steps:
        assert isinstance(act(store, action, account), Done)
    put_explanation(store, first.token, {"maps": [{"picture": "map"}], "value": 0.5}, {"map": b"png"})
    root = create_account(store, "root", "Root", Role.ADMINISTRATOR, PASSWORD, by=None)
    set_role(store, bert, Role.VIEWER, by=root)
    disable(store, cora, by=root)
    enable(store, cora, by=root)
    external_account(store, "anna@hospital", "Anna", Role.VIEWER, provider="oidc")
    external_account(store, "anna@hospital", "Anna Newname", Role.VIEWER, provider="oidc")
    change_password(store, root, "another good one!", old=PASSWORD, by=root)
    unlock(store, bert, by=root)
    return first


def test_whatever_happens_in_order_is_whole(store: Store, used: AxillaRecord) -> None:
    report = check(store)
    assert report.wrong == ()
    assert report.chain.whole
    assert report.axillae == 2


def test_a_hash_made_anew_with_stronger_settings_is_whole(
    store: Store, used: AxillaRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=2, memory_cost=128, parallelism=1))
    with store.reading() as connection:
        before = connection.scalar(select(schema.account.c.password).where(schema.account.c.name == "root"))
    assert isinstance(sign_in(store, "root", "another good one!", client="c"), SignedIn)
    with store.reading() as connection:
        assert before != connection.scalar(select(schema.account.c.password).where(schema.account.c.name == "root"))
    assert check(store).wrong == ()


def _record(place: int, change: Callable[[dict[str, Any]], object]) -> Callable[[Connection], None]:
    """Change the record of a prediction, the first or the last of its axilla."""

    def tamper(connection: Connection) -> None:
        said = schema.prediction
        first = select(schema.axilla.c.token).where(schema.axilla.c.number == 1).scalar_subquery()
        rows = connection.execute(select(said).where(said.c.token == first).order_by(said.c.loaded)).all()
        row = rows[place]
        plain = json.loads(row.record)
        change(plain)
        connection.execute(
            update(said).where(said.c.token == row.token, said.c.loaded == row.loaded).values(record=json.dumps(plain))
        )

    return tamper


def _swapped(plain: dict[str, Any]) -> None:
    first, second = plain["images"]
    first["token"], second["token"] = second["token"], first["token"]


FIRST = "(SELECT token FROM axilla WHERE number = 1)"
SECOND = "(SELECT token FROM axilla WHERE number = 2)"
STATEMENTS: dict[str, tuple[str, str]] = {
    "a new administrator": ("UPDATE account SET role = 'administrator' WHERE name = 'anna'", "another role"),
    "an account closed": ("UPDATE account SET disabled = true WHERE name = 'bert'", "another standing"),
    "another shown name": ("UPDATE account SET display = 'Dr Eve' WHERE name = 'anna'", "another display"),
    "another password": ("UPDATE account SET password = '$argon2id$eve' WHERE name = 'root'", "another password"),
    "a password where there was none": ("UPDATE account SET password = 'x' WHERE name = 'anna'", "another password"),
    "another name": ("UPDATE account SET name = 'eve', subject = 'eve' WHERE name = 'anna'", "gone, or has another"),
    "another person at the hospital": ("UPDATE account SET subject = 'eve' WHERE provider = 'oidc'", "hospital"),
    "another provider": ("UPDATE account SET provider = 'proxy' WHERE provider = 'oidc'", "another provider"),
    "an account from nowhere": (
        "INSERT INTO account (id, name, display, role, password, disabled, provider, subject) "
        "VALUES (99, 'eve', 'Eve', 'viewer', NULL, false, '', 'eve')",
        "made by nobody",
    ),
    "an account gone": ("DELETE FROM account WHERE name = 'anna'", "is gone"),
    "another number of an account": ("UPDATE account SET id = 77 WHERE name = 'anna'", "another number"),
    "another key of a request": (
        "UPDATE request SET key = 'other-key-1' WHERE number = (SELECT min(number) FROM request)",
        "another request",
    ),
    "another content of a request": (
        "UPDATE request SET content = 'x' WHERE number = (SELECT max(number) FROM request)",
        "another request",
    ),
    "a request gone": ("DELETE FROM request WHERE number = (SELECT max(number) FROM request)", "do not agree"),
    "a request of no act": ("INSERT INTO request (key, number, content) VALUES ('kkkkkkkk', 1, 'x')", "do not agree"),
    "another patient": ("UPDATE axilla SET patient_id = 'USD-9999' WHERE number = 2", "another patient_id"),
    "another side": ("UPDATE axilla SET side = 'right' WHERE number = 2", "another side"),
    "another centre": ("UPDATE axilla SET centre_id = 'B' WHERE number = 2", "another centre_id"),
    "not found any more": ("UPDATE axilla SET search = 'x' WHERE number = 2", "another search"),
    "another bundle": ("UPDATE axilla SET digest = 'x' WHERE number = 2", "another digest"),
    "another number": ("UPDATE axilla SET number = 7 WHERE number = 2", "another prediction"),
    "an earlier prediction counts": (
        f"UPDATE axilla SET loaded = (SELECT min(loaded) FROM prediction WHERE token = {FIRST}) WHERE number = 1",
        "not as it was loaded",
    ),
    "an earlier prediction gone": (
        f"DELETE FROM prediction WHERE token = {FIRST} AND loaded = "
        f"(SELECT min(loaded) FROM prediction WHERE token = {FIRST})",
        "other predictions",
    ),
    "another hash of a prediction": ("UPDATE prediction SET content = 'x'", "another prediction"),
    "no JSON": ("UPDATE prediction SET record = '{'", "cannot be compared"),
    "no record": ("UPDATE prediction SET record = '[]'", "cannot be compared"),
    "another image of a name": ("UPDATE image SET image_id = 'eve' WHERE image_id = 'USD-0002-1'", "other images"),
    "an image gone": ("DELETE FROM image WHERE image_id = 'USD-0002-1'", "other images"),
    "no verdict any more": (f"UPDATE reading SET verdict = false WHERE axilla = {FIRST}", "other readers"),
    "a reader who did nothing": (
        f"INSERT INTO reading (account, axilla, opinion, verdict) VALUES ('eve', {SECOND}, true, true)",
        "other readers",
    ),
    "an explanation of an earlier answer": ("UPDATE explanation SET version = 3", "another answer"),
    "an explanation from the future": ("UPDATE explanation SET version = 300", "another answer"),
    "pictures left over": ("DELETE FROM explanation", "explanation that is gone"),
    "a picture gone": ("DELETE FROM picture", "lacks a picture"),
    "an axilla gone": (
        f"DELETE FROM image WHERE axilla = {SECOND}; DELETE FROM prediction WHERE token = {SECOND}; "
        "DELETE FROM axilla WHERE number = 2",
        "is gone",
    ),
}
RECORDS: dict[str, tuple[Callable[[Connection], None], str]] = {
    "a probability of an earlier prediction": (
        _record(0, lambda plain: plain["answer"]["stages"][0].update(probability=0.023)),
        "another prediction",
    ),
    "the group of an earlier prediction": (
        _record(0, lambda plain: plain["answer"].update(group=str(RiskGroup.HR_SLN_HR_NSLN))),
        "another prediction",
    ),
    "a contour of the present prediction": (
        _record(-1, lambda plain: plain["images"][0].update(contour=[])),
        "another prediction",
    ),
    "a field that there is not": (_record(-1, lambda plain: plain["answer"].update(hint="x")), "another prediction"),
    "two images with each other's name": (_record(-1, _swapped), "other images"),
    "another axilla's name": (_record(0, lambda plain: plain.update(token="x")), "another prediction"),
}


@pytest.mark.parametrize("how", sorted(STATEMENTS))
def test_check_finds_a_changed_row(store: Store, used: AxillaRecord, how: str) -> None:
    statements, words = STATEMENTS[how]
    with store.writing() as connection:
        for statement in statements.split(";"):
            connection.exec_driver_sql(statement)
    report = check(store)
    assert report.chain.whole
    assert any(words in sentence for sentence in report.wrong), report.wrong
    # Told by number: a check is printed, and must name nobody.
    assert not any(name in sentence for sentence in report.wrong for name in ("anna", "USD-", "Eve"))


@pytest.mark.parametrize("how", sorted(RECORDS))
def test_check_finds_a_changed_prediction(store: Store, used: AxillaRecord, how: str) -> None:
    tamper, words = RECORDS[how]
    with store.writing() as connection:
        tamper(connection)
    report = check(store)
    assert report.chain.whole
    assert any(words in sentence for sentence in report.wrong), report.wrong


SQLITE_GUARDS: dict[str, tuple[str, str]] = {
    "does nothing": (
        "DROP TRIGGER event_kept; CREATE TRIGGER event_kept BEFORE UPDATE ON event BEGIN SELECT 1~ END",
        "event_kept is another",
    ),
    "of another table": (
        "DROP TRIGGER event_stays; CREATE TRIGGER event_stays BEFORE DELETE ON model BEGIN SELECT RAISE(ABORT, 'the "
        "audit log only grows at its end')~ END",
        "event_stays is another",
    ),
    "only sometimes": (
        "DROP TRIGGER event_stays; CREATE TRIGGER event_stays BEFORE DELETE ON event WHEN OLD.number > 9 "
        "BEGIN SELECT RAISE(ABORT, 'the audit log only grows at its end')~ END",
        "event_stays is another",
    ),
    "gone": ("DROP TRIGGER head_follows", "head_follows is missing"),
    "somebody else's": (
        "CREATE TRIGGER helps AFTER INSERT ON event BEGIN UPDATE axilla SET status = 'unread'~ END",
        "usdlr did not make",
    ),
}
POSTGRESQL_GUARDS: dict[str, tuple[str, str]] = {
    "does nothing": (
        "CREATE OR REPLACE FUNCTION usdlr_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW~ END $$",
        "event_kept of event is another",
    ),
    "another function": (
        "CREATE FUNCTION eve() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW~ END $$; "
        "DROP TRIGGER event_kept ON event; CREATE TRIGGER event_kept BEFORE UPDATE OR DELETE ON event "
        "FOR EACH ROW EXECUTE FUNCTION eve()",
        "event_kept of event is another",
    ),
    "only for deletions": (
        "DROP TRIGGER event_kept ON event; CREATE TRIGGER event_kept BEFORE DELETE ON event "
        "FOR EACH ROW EXECUTE FUNCTION usdlr_refuse()",
        "event_kept of event is another",
    ),
    "only sometimes": (
        "DROP TRIGGER event_kept ON event; CREATE TRIGGER event_kept BEFORE UPDATE OR DELETE ON event "
        "FOR EACH ROW WHEN (OLD.number > 9) EXECUTE FUNCTION usdlr_refuse()",
        "event_kept of event is another",
    ),
    "of another table": (
        "DROP TRIGGER event_kept ON event; CREATE TRIGGER event_kept BEFORE UPDATE OR DELETE ON model "
        "FOR EACH ROW EXECUTE FUNCTION usdlr_refuse()",
        "event_kept of event is missing",
    ),
    "switched off": ("ALTER TABLE event DISABLE TRIGGER event_kept", "event_kept of event is another"),
    "for copies only": ("ALTER TABLE event ENABLE REPLICA TRIGGER event_kept", "event_kept of event is another"),
    "gone": ("DROP TRIGGER head_whole ON head", "head_whole of head is missing"),
    "settings of its own": (
        "ALTER FUNCTION usdlr_refuse() SET search_path = 'eve'",
        "event_kept of event is another",
    ),
    "somebody else's": (
        "CREATE TRIGGER helps AFTER INSERT ON event FOR EACH ROW EXECUTE FUNCTION usdlr_event_added()",
        "usdlr did not make",
    ),
    "a rule": ("CREATE RULE quiet AS ON DELETE TO event DO INSTEAD NOTHING", "usdlr did not make"),
}


@pytest.mark.parametrize("how", sorted(SQLITE_GUARDS))
def test_check_finds_a_changed_guard_of_sqlite(file_store: Store, how: str) -> None:
    _guarded(file_store, *SQLITE_GUARDS[how])


@pytest.mark.parametrize("how", sorted(POSTGRESQL_GUARDS))
def test_check_finds_a_changed_guard_of_postgresql(postgres: Server, how: str) -> None:
    store = open_store(postgres.database())
    try:
        _guarded(store, *POSTGRESQL_GUARDS[how])
    finally:
        store.close()


def _guarded(store: Store, statements: str, words: str) -> None:
    load_axillae(store, [axilla_record()])
    assert check(store).whole
    with store.writing() as connection:
        for statement in statements.split(";"):
            connection.exec_driver_sql(statement.replace("~", ";"))
    report = check(store)
    assert report.chain.whole
    assert any(words in sentence for sentence in report.wrong), report.wrong


def test_a_store_of_an_older_version_is_whole_and_says_what_its_log_lacks(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        # As accounts were made before their passwords stood in the log.
        real = people_module.record_change

        def without(
            connection: Connection, of: Store, who: str, name: str, before: dict[str, Any], after: dict[str, Any]
        ) -> None:
            told = {key: value for key, value in after.items() if key != "secret"}
            real(connection, of, who, name, before, told)

        older.setattr(people_module, "record_change", without)
        root = create_account(store, "root", "Root", Role.ADMINISTRATOR, PASSWORD, by=None)
    report = check(store)
    assert report.whole, report.wrong
    assert report.notes == ("the log does not tell the password of account 1, an older version set it",)
    backup(store, tmp_path / "copy")
    restore(tmp_path / "copy", f"sqlite:///{tmp_path}/again.db")
    # Once the log tells one, a planted one is found.
    change_password(store, root, "another long secret", old=PASSWORD, by=root)
    report = check(store)
    assert report.whole, report.wrong
    assert report.notes == ()
    with store.writing() as connection:
        connection.execute(update(schema.account).values(password=passwords.hash_password("a planted password")))
    assert "account 1 has another password than the log tells" in check(store).wrong


HOSTILE = ["null", "5", "[1]", '[["made", true]]', '"word"', "NaN", "1e999", '{"a": NaN}', "[" * 100_000, "{", ""]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("kind", ["account", "loaded", "accept"])
@pytest.mark.parametrize("field", ["before", "after"])
def test_an_event_that_holds_anything_is_told(file_store: Store, kind: str, field: str, text: str) -> None:
    record, event = axilla_record(), schema.event
    load_axillae(file_store, [record])
    (anna,) = people(file_store, "anna")
    assert isinstance(act(file_store, wish(Act.ACCEPT, record.token, 1), anna), Done)
    emptied(file_store)
    with file_store.engine.begin() as connection:
        where = event.c.kind == kind
        number = connection.scalar(select(event.c.number).where(where))
        connection.execute(update(event).where(where).values({field: text}))
    report = check(file_store)
    assert not report.whole
    assert f"entry {number} cannot be read" in report.chain.why
    # An account's is told beside the chain too; numbers that are none are still an object.
    if kind == "account" and not text.startswith('{"a"'):
        assert f"event {number} cannot be read" in report.wrong


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("column", [schema.prediction.c.record, schema.explanation.c.plain], ids=str)
def test_a_row_that_holds_anything_is_told(file_store: Store, column: Column[str], text: str) -> None:
    record = axilla_record()
    load_axillae(file_store, [record])
    put_explanation(file_store, record.token, {"maps": []}, {})
    with file_store.writing() as connection:
        connection.execute(update(column.table).values({column.name: text}))
    report = check(file_store)
    assert report.chain.whole
    # What an explanation holds beside its pictures' names is not compared.
    if text.startswith('{"a"') and column.name == "plain":
        assert report.whole
    else:
        assert any("axilla 1 cannot be compared" in sentence for sentence in report.wrong), report.wrong
