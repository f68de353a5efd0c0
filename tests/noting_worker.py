"""A worker as `epic22 work` starts it, whose trainings note their steps and fits: `python -m tests.noting_worker LOG NAME`.

`elsewhere` behind it has it take itself for a worker on another machine, of which nobody here may end a process.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from epic22.adapters.job_process import JobProcesses
from epic22.bootstrap.jobs import open_worker_parts
from epic22.config import Settings
from epic22.services.work import Worker
from tests.killed_training import COMMAND

ROOT = Path(__file__).parents[1]
ELSEWHERE = "elsewhere"


def start_noting_worker(environment: Mapping[str, str], log: Path, name: str, *options: str) -> "subprocess.Popen[bytes]":
    """A worker of that name in a process of its own; what it says is in a file of its name beside the log."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    own = {**os.environ, **environment, "PYTHONPATH": paths}
    if ELSEWHERE in options:
        # Machines have no temporary files in common, and so no lock of a device.
        own["TMPDIR"] = tempfile.mkdtemp(dir=log.parent)
    command = [sys.executable, "-m", "tests.noting_worker", str(log), name, *options]
    with log.with_name(f"{name}.txt").open("ab") as output:
        return subprocess.Popen(command, env=own, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main(log: Path, name: str, *options: str) -> None:
    """Work as that worker until no job is open."""
    if ELSEWHERE in options:
        socket.gethostname = lambda: ELSEWHERE
    parts = open_worker_parts(Settings.read(), name)
    assert isinstance(parts.start_child, JobProcesses)
    start = replace(parts.start_child, command=(sys.executable, "-c", COMMAND, str(log)))
    signal.signal(signal.SIGTERM, _interrupt)
    Worker(name, replace(parts, start_child=start), lambda text: print(text, flush=True)).work(until_idle=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
