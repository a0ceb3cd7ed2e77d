"""Sessions, turns and messages; jobs; the audit log; keys; persona revisions."""

import sqlalchemy as sa
from alembic import op

from cozy_adapters.sql.types import Id, Instant

revision = "0001"
down_revision = None

APPEND_ONLY = ("audit_records", "audit_seals")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", Id(), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("serves_many", sa.Boolean(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("prefix", name="uq_api_keys_prefix"),
    )
    op.create_table(
        "audit_pending",
        sa.Column("record", Id(), nullable=False),
        sa.PrimaryKeyConstraint("record", name="pk_audit_pending"),
    )
    op.create_table(
        "audit_records",
        sa.Column("id", Id(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_records"),
    )
    op.create_index("ix_audit_records_at", "audit_records", ["at"], unique=False)
    op.create_table(
        "audit_seals",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("record", Id(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_audit_seals"),
        sa.UniqueConstraint("record", name="uq_audit_seals_record"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", Id(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("run_after", Instant(), nullable=False),
        sa.Column("max_at", Instant(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_run_after", "jobs", ["run_after"], unique=False)
    op.create_index(
        "uq_jobs_queued",
        "jobs",
        ["kind", "key"],
        unique=True,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_table(
        "persona_revisions",
        sa.Column("persona", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("published_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("persona", "revision", name="pk_persona_revisions"),
    )
    op.create_table(
        "sessions",
        sa.Column("id", Id(), nullable=False),
        sa.Column("owner", Id(), nullable=False),
        sa.Column("persona", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("last_turn_at", Instant(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("message_count", sa.Integer(), nullable=False),
        sa.Column("history_from", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("deleted_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
    )
    op.create_index(
        "ix_sessions_owner_last_turn_at_id", "sessions", ["owner", "last_turn_at", "id"], unique=False
    )
    op.create_table(
        "turns",
        sa.Column("id", Id(), nullable=False),
        sa.Column("owner", Id(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("session", Id(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("persona", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("opening", sa.Integer(), nullable=False),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.Column("checkpoint", sa.Text(), nullable=True),
        sa.Column("reaped", sa.Boolean(), nullable=False),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("waiting_for", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["session"], ["sessions.id"], name="fk_turns_session"),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
        sa.UniqueConstraint("session", "seq", name="uq_turns_session_seq"),
    )
    op.create_index(
        "ix_turns_started",
        "turns",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'started'"),
        postgresql_where=sa.text("state = 'started'"),
    )
    op.create_index(
        "ix_turns_waiting",
        "turns",
        ["owner", "waiting_for"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", Id(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("turn", Id(), nullable=False),
        sa.ForeignKeyConstraint(["turn"], ["turns.id"], name="fk_idempotency_keys_turn"),
        sa.PrimaryKeyConstraint("owner", "route", "key", name="pk_idempotency_keys"),
    )
    op.create_table(
        "messages",
        sa.Column("turn", Id(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["turn"], ["turns.id"], name="fk_messages_turn"),
        sa.PrimaryKeyConstraint("turn", "position", name="pk_messages"),
    )
    if op.get_bind().dialect.name == "sqlite":
        _refuse_changes()
    else:
        _refuse_changes_on_postgres()


def downgrade() -> None:
    op.drop_table("messages")
    op.drop_table("idempotency_keys")
    op.drop_index("ix_turns_waiting", table_name="turns")
    op.drop_index("ix_turns_started", table_name="turns")
    op.drop_table("turns")
    op.drop_index("ix_sessions_owner_last_turn_at_id", table_name="sessions")
    op.drop_table("sessions")
    op.drop_table("persona_revisions")
    op.drop_index("uq_jobs_queued", table_name="jobs")
    op.drop_index("ix_jobs_run_after", table_name="jobs")
    op.drop_table("jobs")
    op.drop_table("audit_seals")
    op.drop_index("ix_audit_records_at", table_name="audit_records")
    op.drop_table("audit_records")
    op.drop_table("audit_pending")
    op.drop_table("api_keys")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")


def _refuse_changes() -> None:
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _refuse_changes_on_postgres() -> None:
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; "
        "END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_refuses BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_refuses_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
