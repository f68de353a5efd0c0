"""Schemas of the metadata server for other libraries: MLflow's and Optuna's tables, which would take each other's names.

Both number their migrations in a table `alembic_version`, and neither can be told to call it otherwise: in one schema each would
take the other's number for its own (MLflow's issue 3374).
"""

from sqlalchemy import make_url

from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.locks import lock_in_transaction

RUNS, STUDIES, QUEUE = "epic22_mlflow", "epic22_optuna", "epic22_dbos"
"""The schemas of MLflow, Optuna and DBOS: prefixed, for a company may have an MLflow of its own in the same database."""


def open_schema(database: Database, schema: str) -> str:
    """SQLAlchemy's address of a server in whose connections all tables are in this schema, which is made where there is none. It
    may hold a password. Raises StorageError where the server cannot be used."""
    with database.write() as connection:
        lock_in_transaction(database, connection, f"schema/{schema}")
        # Who may not make schemas may use one that was made for him, and PostgreSQL asks for the right before it looks.
        if connection.exec_driver_sql(f"SELECT to_regnamespace('{schema}')").scalar() is None:
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    url = make_url(database.driver_url)
    options = f"{url.query.get('options', '')} -csearch_path={schema}".strip()
    return url.update_query_dict({"options": options}).render_as_string(hide_password=False)
