"""A real MariaDB or MySQL server for tests, one a process; where none is installed, the test is skipped with the reason."""

import atexit
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from tests.servers import stop_at_end

START_SECONDS = 60


@dataclass(frozen=True)
class MysqlServer:
    """A server with a folder of its own; `password` is of the users `ann`, who reads the database `erp`, and `owner`."""

    port: int
    password: str
    process: "subprocess.Popen[bytes]"

    def address(self, user: str = "ann", password: str | None = None, database: str = "erp") -> str:
        """An address that `--source` takes."""
        return f"mysql://{user}:{self.password if password is None else password}@127.0.0.1:{self.port}/{database}"

    def connect(self) -> Any:
        """The owner's connection."""
        import pymysql

        return pymysql.connect(host="127.0.0.1", port=self.port, user="owner", password=self.password, database="erp")

    def end_sessions(self, user: str) -> None:
        """Break off all connections of a user, as a server does that is shut down."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"KILL USER {user}")


@cache
def mysql_server() -> MysqlServer:
    """The server of this process, or skip."""
    pytest.importorskip("pymysql")
    program, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if program is None or install is None:
        pytest.skip("no MariaDB server is installed here: apt-get install mariadb-server, or brew install mariadb")
    folder = Path(tempfile.mkdtemp(prefix="epic22-mariadb-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    place = ["--no-defaults", f"--datadir={folder / 'data'}"]
    subprocess.run([install, *place, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
    password, port = secrets.token_hex(8), _find_port()
    users = [f"CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}'" for user in ("ann", "owner")]
    grants = ["GRANT SELECT ON erp.* TO 'ann'@'127.0.0.1'", "GRANT ALL ON *.* TO 'owner'@'127.0.0.1'"]
    (folder / "init.sql").write_text(";\n".join(["CREATE DATABASE erp CHARACTER SET utf8mb4", *users, *grants, ""]))
    listen = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 's'}", f"--init-file={folder / 'init.sql'}"]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([program, *place, "--user=root", *listen], stdout=log, stderr=log)
    server = MysqlServer(port, password, process)
    stop_at_end(partial(_stop, process))
    _wait(server)
    return server


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


def _find_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(server: MysqlServer) -> None:
    import pymysql

    end = time.monotonic() + START_SECONDS
    while True:
        try:
            server.connect().close()
        except pymysql.err.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return
