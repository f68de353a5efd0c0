"""The digest of each bundle's manifest, by which what comes from a cache is told from what was stored."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; versions of before have none, and are fetched from where they are stored."""
    op.add_column("model_versions", sa.Column("manifest", sa.String(64)))
