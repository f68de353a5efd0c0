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
from epic22.core.selection.budget import Clock
from epic22.core.selection.search import Bench
from epic22.core.selection.shared import read_bench, take_over, work, write_bench
from epic22.core.selection.study import Study

ORPHANED = 3
"""Exit code of a process whose parent has ended."""
LOOKS_EVERY = 0.1
"""Seconds between two looks at how far the processes are."""


@dataclass(frozen=True)
class SearchProcesses:
    """So many processes for the studies of one run, named by task and digest. `started` lists their ids."""

    count: int
    place: StudyFiles | StudyDatabase
    scratch: Path
    task: str
    digest: str
    started: list[int] = field(default_factory=list)

    def __call__(self, bench: Bench, study: Study, part: str, clock: Clock) -> None:
        """Have trials made until the budget is spent or every process has ended.

        A process that dies takes its own trial with it, no more. Raises InternalError where all die.
        """
        study.give_up_interrupted()
        with scratch_folder(self.scratch) as folder:
            url = self.place.url if isinstance(self.place, StudyDatabase) else None
            order = write_bench(bench, folder, max(1, bench.threads // self.count)) | {
                "place": [str(self.place.home), url, self.task, self.digest, part],
                "folder": str(folder),
                "sampling": study.sampling,
                "study_seed": study.seed,
                "end": clock.end,
            }
            processes = [self._start(order, folder / f"{number}.said") for number in range(self.count)]
            try:
                _watch(processes, study, bench.search.progress)
            finally:
                for process in processes:
                    _end(process)
            study.give_up_interrupted()
            if all(process.returncode for process in processes):
                said = (folder / "0.said").read_text(errors="replace").strip().rpartition("\n")[2]
                raise InternalError(f"all {self.count} processes of the search died; the first one's last words: {said[:500]}")
            take_over(bench, study.trials, folder)

    def _start(self, order: dict[str, Any], said: Path) -> "subprocess.Popen[bytes]":
        with said.open("wb") as words:
            process = subprocess.Popen(
                [sys.executable, "-m", "epic22.adapters.search_processes"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=words,
            )
        self.started.append(process.pid)
        with suppress(BrokenPipeError):
            assert process.stdin is not None
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        return process


def _watch(processes: "list[subprocess.Popen[bytes]]", study: Study, progress: Callable[[], None]) -> None:
    told = 0
    while any(process.poll() is None for process in processes):
        time.sleep(LOOKS_EVERY)
        now = len(study.trials)
        for _ in range(told, now):
            progress()
        told = now


def _end(process: "subprocess.Popen[bytes]") -> None:
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
    threading.Thread(target=_end_with_parent, daemon=True).start()
    home, url, task, digest, part = order["place"]
    place = StudyFiles(Path(home)) if url is None else StudyDatabase(url, Path(home))
    folder = Path(order["folder"])
    bench = read_bench(order, folder)
    families, greater = bench.search.families, bench.task.target.metric.greater_is_better

    def build(**where: Any) -> Study:
        return Study(families, greater, order["study_seed"], sampling=order["sampling"], shared=True, **where)

    work(bench, place.open(task, digest, part, build), Clock(order["end"]), folder)


def _end_with_parent() -> None:
    # Not by sys.stdin: its lock would be held when the interpreter ends.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(ORPHANED)


if __name__ == "__main__":
    main()
