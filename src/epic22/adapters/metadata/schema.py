"""The tables of the metadata database, as the newest migration leaves them; only migrations make or change them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
)

METADATA = MetaData()
NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up by itself in a column of this type alone."""

DATA_VERSIONS = Table(
    "data_versions",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False),
    Column("manifest", Text, nullable=False),
)
"""A row a data version; the manifest is what a file of it would hold."""

MODEL_VERSIONS = Table(
    "model_versions",
    METADATA,
    Column("task", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("family", Text, nullable=False),
    Column("model_hash", String(64), nullable=False),
    Column("data_version", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("made_at", String(40), nullable=False),
    Column("artifact", Text, nullable=False),
    Column("discarded", Boolean, nullable=False, server_default=false()),
    Column("manifest", String(64)),
)
"""A row a version, one that was discarded too: its number is given to no other. `artifact` says where its files are,
`manifest` is the SHA-256 of its bundle's manifest, which names those of all its files; null of versions of before."""

MODEL_DOCUMENTS = Table(
    "model_documents",
    METADATA,
    Column("task", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(32), primary_key=True),
    Column("content", Text, nullable=False),
    ForeignKeyConstraint(("task", "number"), ("model_versions.task", "model_versions.number")),
)
"""What is kept of a version as JSON: lineage, explanation, evaluation."""

CHAMPIONS = Table(
    "champions",
    METADATA,
    Column("task", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("because", Text, nullable=False),
    Column("at", String(40), nullable=False),
    Column("why", Text, nullable=False),
    ForeignKeyConstraint(("task", "number"), ("model_versions.task", "model_versions.number")),
)

PROMOTIONS = Table(
    "promotions",
    METADATA,
    Column("id", NUMBER, primary_key=True),
    Column("task", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", String(40), nullable=False),
    Column("decision", Text, nullable=False),
    ForeignKeyConstraint(("task", "number"), ("model_versions.task", "model_versions.number")),
    Index("promotions_by_task", "task", "id"),
)
"""Every promotion and refusal, in their order; `decision` is what the log of a folder would say of it."""

PREDICTIONS = Table(
    "predictions",
    METADATA,
    Column("id", NUMBER, primary_key=True),
    Column("receipt", String(64), nullable=False),
    Column("task", String(64), nullable=False),
    Column("version", String(16), nullable=False),
    Column("model_hash", String(64), nullable=False),
    Column("entity", Text, nullable=False),
    Column("at", String(40), nullable=False),
    Column("row_from", Text),
    Index("predictions_by_receipt", "receipt"),
    Index("predictions_by_model", "task", "version"),
)
"""A row an answer that was given; `row_from` is where its row was read, as JSON."""

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", NUMBER, primary_key=True),
    Column("request", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("program", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("faults", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("submitted_at", String(40), nullable=False),
    Column("not_before", String(40), nullable=False),
    Column("worker", String(64)),
    Column("started_at", String(40)),
    Column("ended_at", String(40)),
    Column("schedule", String(64)),
    Index("jobs_by_state", "state", "priority", "id"),
)
"""A row a job. `attempt` is the number of the newest attempt: who has an older one may change nothing."""

JOB_ATTEMPTS = Table(
    "job_attempts",
    METADATA,
    Column("job", NUMBER, ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("worker", String(64), nullable=False),
    Column("host", Text, nullable=False),
    Column("process", Integer),
    Column("began_at", String(40), nullable=False),
    Column("ended_at", String(40)),
    Column("outcome", Text, nullable=False),
)

JOB_VERSIONS = Table(
    "job_versions",
    METADATA,
    Column("job", NUMBER, ForeignKey("jobs.id"), primary_key=True),
    Column("task", String(64), primary_key=True),
    Column("version", String(16), primary_key=True),
    Column("is_decided", Boolean, nullable=False),
)
"""The model versions that a job registered, written in the transaction that made each visible; `is_decided` once one was promoted
or refused."""

WORKERS = Table(
    "workers",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("host", Text, nullable=False),
    Column("program", String(64), nullable=False),
    Column("beats", Integer, nullable=False),
    Column("began_at", String(40), nullable=False),
)

SCHEDULES = Table(
    "schedules",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("cron", Text, nullable=False),
    Column("zone", String(64), nullable=False),
    Column("request", Text, nullable=False),
    Column("next_at", String(40), nullable=False),
    Column("last_at", String(40)),
)

JOB_EVENTS = Table(
    "job_events",
    METADATA,
    Column("job", NUMBER, ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("name", String(32), nullable=False),
    Column("content", Text, nullable=False),
)
"""A row an event of a job, counted for each job; `content` is its line of JSON, `name` what kind of event it is."""
