"""The guards in the database, as migrations make them and as they are found: bodies, not names alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from sqlalchemy import Connection, create_engine, text

from usdlr.review.store import schema
from usdlr.review.store.migrate import migrate, steps

_FUNCTION = re.compile(r"\s*CREATE FUNCTION (\w+)\(\) RETURNS trigger LANGUAGE plpgsql AS \$\$(.*)\$\$\s*", re.DOTALL)
_TRIGGER = re.compile(
    r'\s*CREATE TRIGGER (\w+) (BEFORE|AFTER) ([A-Z ]+?) ON (?:"?\w+"?\.)?"?(\w+)"?\s+FOR EACH (ROW|STATEMENT) '
    r'EXECUTE FUNCTION (?:"?\w+"?\.)?(\w+)\(\)\s*'
)
_SQLITE = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
_POSTGRESQL = """
    SELECT t.tgname || ' of ' || c.relname AS name, pg_get_triggerdef(t.oid) AS made,
        t.tgenabled = ANY ('{O,A}') AS held,
        p.proname AS named, p.prosrc AS body, l.lanname AS language, p.prosecdef OR p.proconfig IS NOT NULL AS altered
    FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_proc p ON p.oid = t.tgfoid
    JOIN pg_language l ON l.oid = p.prolang
    WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace
"""
_RULES = "SELECT rulename FROM pg_rules WHERE schemaname = current_schema() AND tablename = ANY (:tables)"


def wrong_guards(connection: Connection) -> Iterator[str]:
    """A sentence for every guard that is missing, that says something else, or that is none of usdlr's.

    Parameters
    ----------
    connection : Connection
        Of a database that is up to date.

    Yields
    ------
    str
        Naming the guard.
    """
    dialect = connection.dialect.name
    wanted = _sqlite_wanted() if dialect == "sqlite" else _postgresql_wanted()
    found = _sqlite_found(connection) if dialect == "sqlite" else _postgresql_found(connection)
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            yield f"the guard {name} is missing: somebody could have changed the log"
        elif name not in wanted:
            yield f"there is a guard that usdlr did not make ({name}): it may change what is written"
        elif found[name] != wanted[name]:
            yield f"the guard {name} is another than usdlr made: somebody could have changed the log"


def _sqlite_found(connection: Connection) -> dict[str, str]:
    return {str(row.name): str(row.sql) for row in connection.execute(text(_SQLITE))}


@cache
def _sqlite_wanted() -> dict[str, str]:
    """Of a new database in memory: whatever the migrations come to."""
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            migrate(connection)
            return _sqlite_found(connection)
    finally:
        engine.dispose()


def _postgresql_found(connection: Connection) -> dict[str, str]:
    found = {}
    for row in connection.execute(text(_POSTGRESQL)):
        # One that is switched off, or fires for copies of the database only, guards nothing.
        sound = row.held and row.language == "plpgsql" and not row.altered
        found[str(row.name)] = _told(str(row.made), {str(row.named): str(row.body)}) if sound else "switched off"
    tables = [table.name for table in schema.metadata.sorted_tables]
    rules = connection.scalars(text(_RULES), {"tables": tables})
    return found | {str(name): "a rule" for name in rules}


@cache
def _postgresql_wanted() -> dict[str, str]:
    """Read from the migrations' own statements: a check must not write, not even to compare."""
    bodies: dict[str, str] = {}
    found: dict[str, str] = {}
    for module in steps():
        for statement in getattr(module, "_POSTGRESQL", ()):
            function, trigger = _FUNCTION.fullmatch(statement), _TRIGGER.fullmatch(statement)
            if function is not None:
                bodies[function[1]] = function[2]
            elif trigger is not None:
                found[f"{trigger[1]} of {trigger[4]}"] = _told(statement, bodies)
            else:
                raise AssertionError("a migration makes a guard in words that a check cannot read")
    return found


def _told(made: str, bodies: dict[str, str]) -> str:
    """A trigger and what it does in one spelling; as it is where it has parts that none of usdlr's has."""
    parts = _TRIGGER.fullmatch(made)
    if parts is None:
        return made
    name, when, events, table, level, function = parts.groups()
    return f"{name} {when} {sorted(events.split(' OR '))} {table} {level} {bodies.get(function)}"
