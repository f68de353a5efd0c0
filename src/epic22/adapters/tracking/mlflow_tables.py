"""MLflow's tables without runs, as SQL: MLflow makes them in dozens of steps, which were a tenth of a small training's time.

`python -m epic22.adapters.tracking.mlflow_tables > src/epic22/adapters/tracking/mlflow_tables.sql` after a new release of MLflow.
"""

import re
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

SCRIPT = Path(__file__).with_suffix(".sql")


def read_tables(revision: str) -> str | None:
    """The script that makes the tables of that revision; None where it is of another, and MLflow has to make them."""
    script = SCRIPT.read_text(encoding="utf-8")
    return script if find_revision(script) == revision else None


def find_revision(script: str) -> str | None:
    """The revision of the tables that a script makes.

    >>> find_revision('INSERT INTO "alembic_version" VALUES(' + "'dc11669786a5');")
    'dc11669786a5'
    """
    revision = re.search(r"""INSERT INTO "alembic_version" VALUES\('(\w+)'\)""", script)
    return None if revision is None else revision[1]


def dump_tables(database: Path) -> str:
    """The script that makes a database without runs as this one is, but for when and where it was made."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = '', creation_time = 0, last_update_time = 0")
    with closing(sqlite3.connect(database)) as connection:
        # An editor would remove spaces before the ends of lines.
        return re.sub(r" +$", "", "\n".join(connection.iterdump()) + "\n", flags=re.M)


if __name__ == "__main__":
    from epic22.adapters.tracking.mlflow_store import build_uri, connect_client, import_quietly

    import_quietly()
    with tempfile.TemporaryDirectory(prefix="epic22-") as folder:
        connect_client(build_uri(Path(folder) / "mlflow.db"))
        sys.stdout.write(dump_tables(Path(folder) / "mlflow.db"))
