"""The tables of the metadata database, as the newest migration leaves them; only migrations make or change them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
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
