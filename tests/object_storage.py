"""A real server of object storage for tests, started once a process; where none can start, tests are skipped with the reason."""

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path

import pytest

from tests.servers import stop_at_end

KEY, SECRET = "test-key", "test-secret"
START_SECONDS = 60
ATTEMPTS = 3
"""A port that was free may be another's by the time a server asks for it."""
SERVICES = ("master", "volume", "filer", "s3")


def new_bucket() -> str:
    """The address of a place of its own on that server, or skip."""
    environment, why = _start_server()
    if not environment:
        pytest.skip(f"no server of object storage can start here: {why}")
    return f"s3://tests/{uuid.uuid4().hex}"


def storage_environment() -> Mapping[str, str]:
    """What a process needs in its environment to reach the server."""
    return _start_server()[0]


@cache
def _start_server() -> tuple[dict[str, str], str]:
    program = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        return {}, "the program 'weed' is not installed"
    folder = Path(tempfile.mkdtemp(prefix="epic22-storage-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
    identity["actions"] = ["Admin", "Read", "Write", "List", "Tagging"]
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    why = ""
    for number in range(ATTEMPTS):
        (place := folder / str(number)).mkdir()
        keys = _start_attempt(program, place, folder / "s3.json")
        if keys:
            return keys, ""
        why = (place / "log").read_text()[-300:]
    return {}, why


def _start_attempt(program: str, folder: Path, identities: Path) -> dict[str, str]:
    """What a process needs to reach a server that has started; empty where it did not."""
    ports = dict(zip(((one, kind) for one in SERVICES for kind in ("", ".grpc")), _find_ports(2 * len(SERVICES)), strict=True))
    # Every port has a second one for remote calls; those of no use here would be the same for all servers of this machine.
    arguments = [f"-{service}.port{kind}={port}" for (service, kind), port in ports.items()]
    arguments += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    places = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-volume.max=20", "-master.volumeSizeLimitMB=64"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, "server", "-s3", f"-s3.config={identities}", *arguments, *places], stdout=log, stderr=log
        )
    stop_at_end(partial(_stop, server))
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
    keys["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{ports['s3', '']}"
    if _wait_for(keys, server):
        return keys
    _stop(server)
    return {}


def _find_ports(n: int) -> list[int]:
    """Ports that are free, no two the same: all stay bound until the last is known."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [int(free.getsockname()[1]) for free in sockets]


def _wait_for(keys: Mapping[str, str], server: "subprocess.Popen[bytes]") -> bool:
    """Whether the server took a file in time and has not ended: it answers before it can keep anything."""
    import obstore
    from obstore.store import S3Store

    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        store = S3Store(
            "tests",
            access_key_id=keys["AWS_ACCESS_KEY_ID"],
            secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            endpoint=keys["AWS_ENDPOINT_URL"],
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
        try:
            obstore.put(store, "ready", b"1")
        except Exception:  # noqa: BLE001 - whatever it is, it is not ready yet
            time.sleep(0.2)
        else:
            return True
    return False


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.kill()
    server.wait()
