"""What Alembic runs: the steps on the connection that `upgrade` hands over, in its transaction."""

from alembic import context

from epic22.adapters.metadata.migrations import VERSION_TABLE
from epic22.adapters.metadata.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=VERSION_TABLE)
context.run_migrations()
