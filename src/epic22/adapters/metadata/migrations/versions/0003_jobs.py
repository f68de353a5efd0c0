"""Jobs with their attempts and the versions that they registered, workers and schedules."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "jobs",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("program", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("faults", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("submitted_at", sa.String(40), nullable=False),
        sa.Column("not_before", sa.String(40), nullable=False),
        sa.Column("worker", sa.String(64)),
        sa.Column("started_at", sa.String(40)),
        sa.Column("ended_at", sa.String(40)),
        sa.Column("schedule", sa.String(64)),
    )
    op.create_index("jobs_by_state", "jobs", ("state", "priority", "id"))
    op.create_table(
        "job_attempts",
        sa.Column("job", NUMBER, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("worker", sa.String(64), nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("process", sa.Integer),
        sa.Column("began_at", sa.String(40), nullable=False),
        sa.Column("ended_at", sa.String(40)),
        sa.Column("outcome", sa.Text, nullable=False),
    )
    op.create_table(
        "job_versions",
        sa.Column("job", NUMBER, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("task", sa.String(64), primary_key=True),
        sa.Column("version", sa.String(16), primary_key=True),
        sa.Column("is_decided", sa.Boolean, nullable=False),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("program", sa.String(64), nullable=False),
        sa.Column("beats", sa.Integer, nullable=False),
        sa.Column("began_at", sa.String(40), nullable=False),
    )
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("cron", sa.Text, nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("next_at", sa.String(40), nullable=False),
        sa.Column("last_at", sa.String(40)),
    )
