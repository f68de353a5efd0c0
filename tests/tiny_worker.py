"""A worker whose jobs take as many seconds as their argument says, each a line in a file: `python -m tests.tiny_worker FILE`.

EPIC22_HOME and EPIC22_DATABASE_URL say where the jobs are, as for `epic22 work`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from epic22.adapters.home import append_line
from epic22.bootstrap.jobs import open_job_stores, open_worker_parts
from epic22.config import Settings
from epic22.core.job import ChildOrder, ChildOutcome, JobRecord, JobRequest
from epic22.services.work import Worker

ROOT = Path(__file__).parents[1]
FAILING = "fail"
"""The argument of a job that fails by a fault that does not pass."""


def build_starter(record: Path) -> Callable[[ChildOrder, Callable[[int], None], Callable[[], bool]], ChildOutcome]:
    """What carries out an attempt without a process: it writes when it begins and when it ends."""

    def start(order: ChildOrder, on_start: Callable[[int], None], may_go_on: Callable[[], bool]) -> ChildOutcome:
        append_line(record, f"begin {order.attempt}")
        if order.arguments[1] == FAILING:
            return ChildOutcome(2, "it is broken.")
        end = time.monotonic() + float(order.arguments[1])
        while time.monotonic() < end:
            if not may_go_on():
                return ChildOutcome(-9, "it may not go on.")
            time.sleep(0.02)
        append_line(record, f"end {order.attempt}")
        return ChildOutcome(0)

    return start


def submit_tiny(environment: Mapping[str, str], seconds: str, priority: int = 5) -> JobRecord:
    """A job that takes so many seconds."""
    records = open_job_stores(Settings.read(environment)).records
    return records.add(JobRequest("ingest", (seconds,), Path("/"), 1, priority))


def start_worker(environment: Mapping[str, str], record: Path, name: str, *options: str) -> "subprocess.Popen[bytes]":
    """A worker of that name as a process of its own, what it says in a file of its name beside the record; `until-idle`."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    command = [sys.executable, "-m", "tests.tiny_worker", str(record), name, *options]
    own = {**os.environ, **environment, "PYTHONPATH": paths}
    with record.with_name(f"{name}.txt").open("ab") as output:
        return subprocess.Popen(command, env=own, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)


def main(record: Path, name: str, *options: str) -> None:
    """Work as that worker."""
    parts = open_worker_parts(Settings.read(), name)
    worker = Worker(name, replace(parts, start_child=build_starter(record)), lambda text: print(text, flush=True))  # noqa: T201
    worker.work("until-idle" in options)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
