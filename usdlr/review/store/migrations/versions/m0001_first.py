"""The first layout: reading lists, the audit log and its guards, accounts.

A migration is never changed once it was used; what comes later is a further one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

GENESIS = "0" * 64

_SQLITE = (
    """CREATE TRIGGER event_kept BEFORE UPDATE ON event
        BEGIN SELECT RAISE(ABORT, 'the audit log only grows at its end'); END""",
    """CREATE TRIGGER event_stays BEFORE DELETE ON event
        BEGIN SELECT RAISE(ABORT, 'the audit log only grows at its end'); END""",
    """CREATE TRIGGER event_next BEFORE INSERT ON event
        WHEN NOT EXISTS (SELECT 1 FROM head WHERE number + 1 = NEW.number AND hash = NEW.previous)
        BEGIN SELECT RAISE(ABORT, 'the audit log only grows at its end'); END""",
    """CREATE TRIGGER event_added AFTER INSERT ON event
        BEGIN UPDATE head SET number = NEW.number, hash = NEW.hash; END""",
    """CREATE TRIGGER head_stays BEFORE DELETE ON head
        BEGIN SELECT RAISE(ABORT, 'the audit log only grows at its end'); END""",
    """CREATE TRIGGER head_follows BEFORE UPDATE ON head
        WHEN NEW.id <> OLD.id OR NEW.number <> OLD.number + 1
            OR NOT EXISTS (SELECT 1 FROM event WHERE number = NEW.number AND hash = NEW.hash)
        BEGIN SELECT RAISE(ABORT, 'the audit log only grows at its end'); END""",
)
_POSTGRESQL = (
    """CREATE FUNCTION usdlr_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'the audit log only grows at its end'; END $$""",
    """CREATE FUNCTION usdlr_event_next() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT 1 FROM head WHERE number + 1 = NEW.number AND hash = NEW.previous) THEN
                RAISE EXCEPTION 'the audit log only grows at its end';
            END IF;
            RETURN NEW;
        END $$""",
    """CREATE FUNCTION usdlr_event_added() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN UPDATE head SET number = NEW.number, hash = NEW.hash; RETURN NULL; END $$""",
    """CREATE FUNCTION usdlr_head_follows() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.id <> OLD.id OR NEW.number <> OLD.number + 1
                OR NOT EXISTS (SELECT 1 FROM event WHERE number = NEW.number AND hash = NEW.hash) THEN
                RAISE EXCEPTION 'the audit log only grows at its end';
            END IF;
            RETURN NEW;
        END $$""",
    """CREATE TRIGGER event_kept BEFORE UPDATE OR DELETE ON event
        FOR EACH ROW EXECUTE FUNCTION usdlr_refuse()""",
    """CREATE TRIGGER event_stays BEFORE TRUNCATE ON event
        FOR EACH STATEMENT EXECUTE FUNCTION usdlr_refuse()""",
    """CREATE TRIGGER event_next BEFORE INSERT ON event
        FOR EACH ROW EXECUTE FUNCTION usdlr_event_next()""",
    """CREATE TRIGGER event_added AFTER INSERT ON event
        FOR EACH ROW EXECUTE FUNCTION usdlr_event_added()""",
    """CREATE TRIGGER head_stays BEFORE DELETE ON head
        FOR EACH ROW EXECUTE FUNCTION usdlr_refuse()""",
    """CREATE TRIGGER head_whole BEFORE TRUNCATE ON head
        FOR EACH STATEMENT EXECUTE FUNCTION usdlr_refuse()""",
    """CREATE TRIGGER head_follows BEFORE UPDATE ON head
        FOR EACH ROW EXECUTE FUNCTION usdlr_head_follows()""",
)


def upgrade() -> None:
    """Make all tables, the row that the log's end is kept in, and the triggers that guard both."""
    end = _log()
    _lists()
    _readings()
    _accounts()
    op.bulk_insert(end, [{"id": 1, "number": 0, "hash": GENESIS}])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)


def _log() -> sa.Table:
    op.create_table(
        "event",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("account", sa.String(320), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_event"),
    )
    op.create_index("ix_event_token", "event", ["token", "number"])
    end = op.create_table(
        "head",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_head"),
        sa.CheckConstraint("id = 1", name="ck_head_single"),
    )
    op.create_table(
        "request",
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("content", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_request"),
        sa.ForeignKeyConstraint(["number"], ["event.number"], name="fk_request_number"),
    )
    return end


def _lists() -> None:
    op.create_table(
        "model",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_model"),
    )
    op.create_table(
        "axilla",
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("patient_id", sa.Text, nullable=False),
        sa.Column("side", sa.String(16), nullable=False),
        sa.Column("centre_id", sa.Text, nullable=False),
        sa.Column("search", sa.Text, nullable=False),
        sa.Column("loaded", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("assigned", sa.String(320), nullable=False),
        sa.Column("risk_group", sa.String(32), nullable=False),
        sa.Column("contract", sa.String(32), nullable=False),
        sa.Column("p_sln", sa.Float(53), nullable=True),
        sa.Column("p_nsln", sa.Float(53), nullable=True),
        sa.Column("flags", sa.Text, nullable=False),
        sa.Column("warned", sa.Boolean, nullable=False),
        sa.Column("flagged", sa.Boolean, nullable=False),
        sa.Column("verdicts", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_axilla"),
        sa.UniqueConstraint("number", name="uq_axilla_number"),
        sa.UniqueConstraint("patient_id", "side", name="uq_axilla_patient_id"),
        sa.ForeignKeyConstraint(["loaded"], ["event.number"], name="fk_axilla_loaded"),
    )
    op.create_index("ix_axilla_status", "axilla", ["status", "number"])
    op.create_index("ix_axilla_assigned", "axilla", ["assigned", "number"])
    op.create_table(
        "prediction",
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("loaded", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("content", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("token", "loaded", name="pk_prediction"),
        sa.ForeignKeyConstraint(["token"], ["axilla.token"], name="fk_prediction_token"),
        sa.ForeignKeyConstraint(["loaded"], ["event.number"], name="fk_prediction_loaded"),
    )
    op.create_table(
        "image",
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("axilla", sa.String(64), nullable=False),
        sa.Column("image_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_image"),
        sa.UniqueConstraint("axilla", "image_id", name="uq_image_axilla"),
        sa.ForeignKeyConstraint(["axilla"], ["axilla.token"], name="fk_image_axilla"),
    )


def _readings() -> None:
    op.create_table(
        "reading",
        sa.Column("account", sa.String(320), nullable=False),
        sa.Column("axilla", sa.String(64), nullable=False),
        sa.Column("opinion", sa.Boolean, nullable=False),
        sa.Column("verdict", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("account", "axilla", name="pk_reading"),
        sa.ForeignKeyConstraint(["axilla"], ["axilla.token"], name="fk_reading_axilla"),
    )
    op.create_index("ix_reading_axilla", "reading", ["axilla"])
    op.create_table(
        "explanation",
        sa.Column("axilla", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("plain", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("axilla", name="pk_explanation"),
        sa.ForeignKeyConstraint(["axilla"], ["axilla.token"], name="fk_explanation_axilla"),
    )
    op.create_table(
        "picture",
        sa.Column("axilla", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("axilla", "name", name="pk_picture"),
        sa.ForeignKeyConstraint(["axilla"], ["axilla.token"], name="fk_picture_axilla"),
    )


def _accounts() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("name", sa.String(320), nullable=False),
        sa.Column("display", sa.String(200), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password", sa.String(256), nullable=True),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("name", name="uq_account_name"),
        sa.UniqueConstraint("provider", "subject", name="uq_account_provider"),
    )
    op.create_table(
        "session",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account", sa.Integer, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("seen", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name="fk_session_account"),
    )
    op.create_index("ix_session_account", "session", ["account"])
    op.create_table(
        "attempt",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("since", sa.Float(53), nullable=False),
        sa.Column("blocks", sa.Integer, nullable=False),
        sa.Column("blocked_until", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
    )
    op.create_table(
        "setup",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_setup"),
        sa.CheckConstraint("id = 1", name="ck_setup_single"),
    )
