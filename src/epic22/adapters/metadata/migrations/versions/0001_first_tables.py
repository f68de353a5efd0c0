"""The first tables: versions of data and models, champions, decisions and answers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "data_versions",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
    )
    op.create_table(
        "model_versions",
        sa.Column("task", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("model_hash", sa.String(64), nullable=False),
        sa.Column("data_version", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("made_at", sa.String(40), nullable=False),
        sa.Column("artifact", sa.Text, nullable=False),
        sa.Column("discarded", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "model_documents",
        sa.Column("task", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(("task", "number"), ("model_versions.task", "model_versions.number")),
    )
    op.create_table(
        "champions",
        sa.Column("task", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("because", sa.Text, nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(("task", "number"), ("model_versions.task", "model_versions.number")),
    )
    op.create_table(
        "promotions",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(("task", "number"), ("model_versions.task", "model_versions.number")),
    )
    op.create_index("promotions_by_task", "promotions", ("task", "id"))
    op.create_table(
        "predictions",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("receipt", sa.String(64), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("version", sa.String(16), nullable=False),
        sa.Column("model_hash", sa.String(64), nullable=False),
        sa.Column("entity", sa.Text, nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("row_from", sa.Text),
    )
    op.create_index("predictions_by_receipt", "predictions", ("receipt",))
    op.create_index("predictions_by_model", "predictions", ("task", "version"))
