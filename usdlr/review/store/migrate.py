"""Bring a database to the newest layout, step by step, inside the caller's transaction."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from usdlr.core.errors import DataError
from usdlr.review.store import schema

FOLDER = Path(__file__).resolve().parent / "migrations"
_LOCK = 0x7573646C72  # one name for all that migrate a PostgreSQL database: "usdlr"


def newest() -> str:
    """The layout that this version of usdlr writes.

    Examples
    --------
    >>> newest()
    '0001'
    """
    return str(_scripts()[1].get_current_head())


def revision(connection: Connection) -> str | None:
    """The layout that a database has; ``None`` for one without."""
    return MigrationContext.configure(connection).get_current_revision()


def steps() -> list[ModuleType]:
    """All migrations as modules, the first one first."""
    return [step.module for step in reversed(list(_scripts()[1].walk_revisions()))]


def migrate(connection: Connection) -> None:
    """Bring the database to the newest layout.

    Parameters
    ----------
    connection : Connection
        In a transaction that may write; nothing is kept where a step fails.

    Raises
    ------
    DataError
        If a newer usdlr wrote it, or it holds tables that are not usdlr's.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": _LOCK})
    config, scripts = _scripts()
    found = revision(connection)
    if found == newest():
        return
    if found is None:
        strange = sorted(set(inspect(connection).get_table_names()) - {"alembic_version"})
        if strange:
            raise DataError(
                f"found a database with the table {strange[0]!r} that is not usdlr's, expected an empty one or one "
                "that usdlr wrote; choose another"
            )
    elif found not in {step.revision for step in scripts.walk_revisions()}:
        raise DataError(
            f"found a review database of layout {found}, expected {newest()} or older; a newer usdlr wrote it: "
            "open it with that version"
        )

    def upgrades(current: Any, _: MigrationContext) -> Any:
        return scripts._upgrade_revs("head", current)

    with EnvironmentContext(config, scripts, fn=upgrades) as environment:
        environment.configure(connection=connection, target_metadata=schema.metadata, transactional_ddl=True)
        environment.run_migrations()


def _scripts() -> tuple[Config, ScriptDirectory]:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config, ScriptDirectory.from_config(config)
