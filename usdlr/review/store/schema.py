"""The tables of the store, as the newest migration leaves them.

Truth is in ``event``; ``axilla`` and ``reading`` repeat what lists need of it, and are written in the same transaction.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

event = Table(
    "event",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("account", String(320), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("token", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("previous", String(64), nullable=False),
    Index("ix_event_token", "token", "number"),
)
"""The audit log: triggers let rows be added at its end, and nothing else."""

head = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    CheckConstraint("id = 1", name="single"),
)
"""Number and hash of the last event; who writes locks this row first, so there is one writer at a time."""

request = Table(
    "request",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("number", Integer, ForeignKey("event.number"), nullable=False),
    Column("content", String(64), nullable=False),
)
"""Requests that were recorded, so that the same one sent twice is recorded once."""

model = Table(
    "model",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("record", Text, nullable=False),
)

axilla = Table(
    "axilla",
    metadata,
    Column("token", String(64), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("patient_id", Text, nullable=False),
    Column("side", String(16), nullable=False),
    Column("centre_id", Text, nullable=False),
    Column("search", Text, nullable=False),
    Column("loaded", Integer, ForeignKey("event.number"), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("assigned", String(320), nullable=False),
    Column("risk_group", String(32), nullable=False),
    Column("contract", String(32), nullable=False),
    Column("p_sln", Float(53), nullable=True),
    Column("p_nsln", Float(53), nullable=True),
    Column("flags", Text, nullable=False),
    Column("warned", Boolean, nullable=False),
    Column("flagged", Boolean, nullable=False),
    Column("verdicts", Integer, nullable=False),
    UniqueConstraint("patient_id", "side"),
    Index("ix_axilla_status", "status", "number"),
    Index("ix_axilla_assigned", "assigned", "number"),
)
"""One row per axilla, with what the worklist shows; everything from ``version`` on is told by ``event``."""

prediction = Table(
    "prediction",
    metadata,
    Column("token", String(64), ForeignKey("axilla.token"), primary_key=True),
    Column("loaded", Integer, ForeignKey("event.number"), primary_key=True, autoincrement=False),
    Column("record", Text, nullable=False),
    Column("content", String(64), nullable=False),
)
"""Every prediction that an axilla ever had; ``content`` is also in its event."""

image = Table(
    "image",
    metadata,
    Column("token", String(64), primary_key=True),
    Column("axilla", String(64), ForeignKey("axilla.token"), nullable=False),
    Column("image_id", Text, nullable=False),
    UniqueConstraint("axilla", "image_id"),
)

reading = Table(
    "reading",
    metadata,
    Column("account", String(320), primary_key=True),
    Column("axilla", String(64), ForeignKey("axilla.token"), primary_key=True),
    Column("opinion", Boolean, nullable=False),
    Column("verdict", Boolean, nullable=False),
    Index("ix_reading_axilla", "axilla"),
)
"""Which reader has said what of which axilla since its prediction was loaded."""

explanation = Table(
    "explanation",
    metadata,
    Column("axilla", String(64), ForeignKey("axilla.token"), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("plain", Text, nullable=False),
)

picture = Table(
    "picture",
    metadata,
    Column("axilla", String(64), ForeignKey("axilla.token"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

account = Table(
    "account",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(320), nullable=False, unique=True),
    Column("display", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    Column("password", String(256), nullable=True),
    Column("disabled", Boolean, nullable=False),
    Column("provider", String(32), nullable=False),
    Column("subject", String(256), nullable=False),
    UniqueConstraint("provider", "subject"),
)
"""``provider`` is empty and ``subject`` the name for those who sign in with a password here."""

session = Table(
    "session",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("account", Integer, ForeignKey("account.id"), nullable=False),
    Column("created", Float(53), nullable=False),
    Column("seen", Float(53), nullable=False),
    Index("ix_session_account", "account"),
)
"""``id`` is the SHA-256 of the token; the token itself is only with the browser. Times are seconds since 1970, UTC."""

attempt = Table(
    "attempt",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("since", Float(53), nullable=False),
    Column("blocks", Integer, nullable=False),
    Column("blocked_until", Float(53), nullable=False),
)
"""Failed sign-ins by the hash of a name or of a client."""

setup = Table(
    "setup",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("code", String(64), nullable=False),
    CheckConstraint("id = 1", name="single"),
)
"""Hash of the one-time code that makes the first administrator."""

SECRETS = (session, attempt, setup)
"""Tables that no backup carries."""
