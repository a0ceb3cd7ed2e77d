"""The schema. ``migrations/`` brings an older database to it; a test fails when the two differ."""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from cozy_adapters.sql.types import Id, Instant, Words

HEAD = "0002"
"""The newest migration, which a new database is stamped with."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("persona", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_turn_at", Instant, nullable=False),
    Column("title", Words),
    Column("message_count", Integer, nullable=False),
    Column("history_from", Integer, nullable=False),
    Column("last_seq", Integer, nullable=False),
    Column("deleted_at", Instant),
    Index(None, "owner", "last_turn_at", "id"),
)

turns = Table(
    "turns",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("account", Text, nullable=False),
    Column("session", Id, ForeignKey("sessions.id")),
    Column("seq", Integer, nullable=False),
    Column("persona", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("at", Instant, nullable=False),
    Column("opening", Integer, nullable=False),  # how many messages it was opened with
    Column("lease_until", Instant),
    Column("checkpoint", Words),
    Column("reaped", Boolean(create_constraint=False), nullable=False),
    Column("closed_at", Instant),
    Column("outcome", Text),  # JSON of TurnOutcome
    Column("waiting_for", Text),  # JSON array of call ids, sorted
    UniqueConstraint("session", "seq"),
)
# Both stay small: few turns run, and few of those that wait are young.
Index(
    "ix_turns_started",
    turns.c.lease_until,
    sqlite_where=text("state = 'started'"),
    postgresql_where=text("state = 'started'"),
)
Index(
    "ix_turns_waiting",
    turns.c.owner,
    turns.c.waiting_for,
    sqlite_where=text("state = 'waiting'"),
    postgresql_where=text("state = 'waiting'"),
)

messages = Table(
    "messages",
    metadata,
    Column("turn", Id, ForeignKey("turns.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("role", String(16), nullable=False),
    Column("body", Text, nullable=False),  # JSON of Message
    Column("at", Instant, nullable=False),
)

# Bytes of images, recordings and files, once for each owner; messages refer to them by their hash.
blobs = Table(
    "blobs",
    metadata,
    Column("owner", Id, primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
)

# Which turns have them in a message: what erases turns erases the blobs that are in none any more.
blob_uses = Table(
    "blob_uses",
    metadata,
    Column("turn", Id, ForeignKey("turns.id"), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("owner", Id, nullable=False),
    ForeignKeyConstraint(["owner", "sha256"], ["blobs.owner", "blobs.sha256"]),
    Index(None, "owner", "sha256"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", Id, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("turn", Id, ForeignKey("turns.id"), nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("key", Text, nullable=False),
    Column("run_after", Instant, nullable=False, index=True),
    Column("max_at", Instant, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lease_until", Instant),
    Column("reason", Text),
)
Index(
    "uq_jobs_queued",
    jobs.c.kind,
    jobs.c.key,
    unique=True,
    sqlite_where=text("state = 'queued'"),
    postgresql_where=text("state = 'queued'"),
)

audit_records = Table(
    "audit_records",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Instant, nullable=False, index=True),
    Column("body", Text, nullable=False),  # JSON of AuditRecord
)

# What the sealer has to do, so that it need not look through all records.
audit_pending = Table(
    "audit_pending",
    metadata,
    Column("record", Id, primary_key=True),
)

audit_seals = Table(
    "audit_seals",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("record", Id, nullable=False, unique=True),
    Column("hash", String(64), nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("prefix", String(16), nullable=False, unique=True),
    Column("hash", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("serves_many", Boolean(create_constraint=False), nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

persona_revisions = Table(
    "persona_revisions",
    metadata,
    Column("persona", String(64), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("published_at", Instant, nullable=False),
)

APPEND_ONLY = ("audit_records", "audit_seals")


def refusals() -> tuple[str, ...]:
    """SQLite triggers against accidents: audit rows are never changed or deleted by our own code."""
    return tuple(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in APPEND_ONLY
        for verb in ("UPDATE", "DELETE")
    )
