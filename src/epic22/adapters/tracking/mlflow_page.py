"""MLflow's own page, served to this machine alone, on the store that trainings are written to.

The address of a store may hold a password: it goes to the server in its environment, never among its arguments, which everybody
on the machine can list. The server gets none of our settings, reports nothing to anybody, and runs no jobs of its own.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from epic22.adapters.tracking.mlflow_store import QUIET_ENVIRONMENT, locate_files
from epic22.adapters.tracking.tracking_store import TrackingStore
from epic22.core.errors import StorageError, UserError

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS, LOOK_SECONDS = 180.0, 20.0, 0.3


@dataclass(frozen=True)
class MlflowPage:
    """A server of MLflow's page that answers: its address, and where what it shows is kept."""

    address: str
    place: str
    process: "subprocess.Popen[bytes]"

    def wait(self) -> None:
        """Return when it has ended."""
        # A library has Ctrl-C not interrupt a wait in the system, after which Python would hear of it; a sleep it does.
        while self.process.poll() is None:
            time.sleep(LOOK_SECONDS)


@contextmanager
def open_mlflow_page(store: TrackingStore, port: int) -> Iterator[MlflowPage]:
    """The page at a port, a free one where that is 0, until the block ends.

    Raises UserError for a port that is in use, StorageError where the store cannot be opened or the page does not answer.
    """
    bound = _find_port(port)
    with store.lock():
        client = store.open()
        environment = _build_environment(store, str(client.tracking_uri))
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(bound), "--workers", "1"]
    # A group of its own: MLflow starts the processes that answer, and leaves them behind where only it is ended.
    process = subprocess.Popen(
        [*command, "--no-serve-artifacts"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_it_answers(process, bound, store.place)
        yield MlflowPage(f"http://{HOST}:{bound}", store.place, process)
    finally:
        _stop(process)


def _find_port(port: int) -> int:
    """The port, or a free one where it is 0. Raises UserError where it is in use."""
    try:
        with socket.create_server((HOST, port)) as listener:
            return int(listener.getsockname()[1])
    except OSError as error:
        raise UserError(f"cannot listen on {HOST} port {port} ({error.strerror}); give another --port.") from None


def _build_environment(store: TrackingStore, uri: str) -> Mapping[str, str]:
    passed_on = {name: value for name, value in os.environ.items() if not name.startswith(("EPIC22_", "MLFLOW_", "_MLFLOW_"))}
    return {
        **passed_on,
        **QUIET_ENVIRONMENT,
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": locate_files(store.files, ""),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", port: int, place: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise StorageError(f"{place}: MLflow's server ended at once ({process.returncode}); see whether the store is whole.")
        if _answers(f"http://{HOST}:{port}/health"):
            return
        time.sleep(LOOK_SECONDS)
    raise StorageError(f"{place}: MLflow's server did not answer within {START_SECONDS:g} seconds; try again.")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server and the processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_SECONDS)
            return
