"""Processes that work on one study at the same time, each a fresh interpreter: nothing is forked, nothing pickled.

`python -m epic22.adapters.search_processes` is one of them: it reads its order as a line of JSON on standard input, and ends when
that is closed, which is when its parent ends, by whatever.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from epic22.adapters.scratch import scratch_folder
from epic22.adapters.studies import StudyDatabase, StudyFiles
from epic22.core.errors import InternalError
from epic22.core.selection.budget import Deadline
from epic22.core.selection.search import SearchSetup
from epic22.core.selection.study import Study
from epic22.core.selection.worker import load_worker_models, read_setup, run_worker, write_setup

ORPHAN_EXIT_CODE = 3
"""Exit code of a process whose parent has ended."""
POLL_SECONDS = 0.1
"""Seconds between two looks at how far the processes are."""


@dataclass(frozen=True)
class SearchProcesses:
    """So many processes for the studies of one run, named by task and digest. `started` lists their ids."""

    count: int
    store: StudyFiles | StudyDatabase
    scratch: Path
    task: str
    digest: str
    started: list[int] = field(default_factory=list)

    def __call__(self, setup: SearchSetup, study: Study, part: str, clock: Deadline) -> None:
        """Have trials made until the budget is spent or every process has ended.

        A process that dies takes its own trial with it, no more. Raises InternalError where all die.
        """
        study.fail_interrupted()
        with scratch_folder(self.scratch) as folder:
            url = self.store.url if isinstance(self.store, StudyDatabase) else None
            order = write_setup(setup, folder, max(1, setup.threads // self.count)) | {
                "place": [str(self.store.home), url, self.task, self.digest, part],
                "folder": str(folder),
                "sampling": study.sampling,
                "study_seed": study.seed,
                "end": clock.end,
            }
            processes = [self._start(order, folder / f"{number}.said") for number in range(self.count)]
            try:
                _report_progress(processes, study, setup.search.progress)
            finally:
                for process in processes:
                    _stop(process)
            study.fail_interrupted()
            if all(process.returncode for process in processes):
                last_line = (folder / "0.said").read_text(errors="replace").strip().rpartition("\n")[2]
                raise InternalError(
                    f"all {self.count} processes of the search died; the first one's last words: {last_line[:500]}"
                )
            load_worker_models(setup, study.trials, folder)

    def _start(self, order: dict[str, Any], log_path: Path) -> "subprocess.Popen[bytes]":
        with log_path.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "epic22.adapters.search_processes"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )
        self.started.append(process.pid)
        with suppress(BrokenPipeError):
            assert process.stdin is not None
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        return process


def _report_progress(processes: "list[subprocess.Popen[bytes]]", study: Study, progress: Callable[[], None]) -> None:
    n_reported = 0
    while any(process.poll() is None for process in processes):
        time.sleep(POLL_SECONDS)
        n_trials = len(study.trials)
        for _ in range(n_reported, n_trials):
            progress()
        n_reported = n_trials


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Close what it listens to, upon which it ends at once."""
    with suppress(BrokenPipeError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Work as the line on standard input says."""
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0) as orders:
        order = json.loads(orders.readline())
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    home, url, task, digest, part = order["place"]
    store = StudyFiles(Path(home)) if url is None else StudyDatabase(url, Path(home))
    folder = Path(order["folder"])
    setup = read_setup(order, folder)
    families, greater = setup.search.families, setup.task.target.metric.greater_is_better

    def build(**where: Any) -> Study:
        return Study(families, greater, order["study_seed"], sampling=order["sampling"], shared=True, **where)

    run_worker(setup, store.open(task, digest, part, build), Deadline(order["end"]), folder)


def _exit_with_parent() -> None:
    # Not by sys.stdin: its lock would be held when the interpreter ends.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(ORPHAN_EXIT_CODE)


if __name__ == "__main__":
    main()
