"""Processes that work on one study at the same time, each a fresh interpreter: nothing is forked, nothing pickled.

`python -m epic22.adapters.search_processes` is one of them: it reads its order as a line of JSON on standard input, and ends when
that is closed, which is when its parent ends, by whatever.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from epic22.adapters.scratch import scratch_folder
from epic22.adapters.studies import StudyDatabase, StudyFiles
from epic22.core.errors import InternalError
from epic22.core.models.networks.checkpoint import get_checkpoint_folder, keep_checkpoints
from epic22.core.selection.budget import Deadline
from epic22.core.selection.executor import FoldExecutor
from epic22.core.selection.prepared_part import PreparedPart
from epic22.core.selection.study import Study
from epic22.core.selection.trials import FoldModels, SearchConfig, TrialRunner
from epic22.core.selection.worker import SearchState, load_worker_models, run_worker, write_search

ORPHAN_EXIT_CODE = 3
"""Exit code of a process whose parent has ended."""
POLL_SECONDS = 0.1
"""Seconds between two looks at how far the processes are."""


@dataclass(frozen=True)
class WorkerOrder:
    """What a process is to do, a line of JSON: the search, whose arrays are in `folder`, and its study, by task, digest and part,
    below `home` or in the database at `url`; on how many threads, until `end` on the clock of `time.monotonic`; and the folder in
    which networks keep checkpoints, where they do."""

    state: SearchState
    study: tuple[str, str, str]
    study_seed: int
    home: Path
    url: str | None
    folder: Path
    threads: int
    end: float | None
    checkpoints: Path | None


@dataclass(frozen=True)
class SearchProcesses:
    """A number of processes for the studies of one run, which a task and a digest name; `on_start` gets each one's id."""

    count: int
    store: StudyFiles | StudyDatabase
    scratch: Path
    task: str
    digest: str
    on_start: Callable[[int], None] = lambda process_id: None

    def run_trials(
        self, part: PreparedPart, config: SearchConfig, study: Study, deadline: Deadline, progress: Callable[[], None]
    ) -> dict[int, FoldModels]:
        """Have trials made until the budget is spent or every process has ended; the models of the best, by trial number.

        A process that dies takes its own trial with it, no more. Raises InternalError where all die.
        """
        study.resume_shared()
        checkpoints = get_checkpoint_folder()
        with scratch_folder(self.scratch) as folder:
            order = WorkerOrder(
                write_search(part.data, config, folder),
                (self.task, self.digest, part.name),
                study.config.seed,
                self.store.home,
                self.store.url if isinstance(self.store, StudyDatabase) else None,
                folder,
                max(1, part.threads // self.count),
                deadline.end,
                None if checkpoints is None else checkpoints.path,
            )
            processes = [self._start(order, folder / f"{number}.log") for number in range(self.count)]
            try:
                _report_progress(processes, study, progress)
            finally:
                for process in processes:
                    _stop(process)
            # A starting point that ended a process is not tried by this one.
            study.fail_interrupted()
            if all(process.returncode for process in processes):
                last_line = (folder / "0.log").read_text(errors="replace").strip().rpartition("\n")[2]
                raise InternalError(
                    f"all {self.count} processes of the search died; the first one's last words: {last_line[:500]}"
                )
            return load_worker_models(part.data, config, study.trials, folder)

    def _start(self, order: WorkerOrder, log_path: Path) -> "subprocess.Popen[bytes]":
        with log_path.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "epic22.adapters.search_processes"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )
        self.on_start(process.pid)
        with suppress(BrokenPipeError):
            assert process.stdin is not None
            process.stdin.write(TypeAdapter(WorkerOrder).dump_json(order) + b"\n")
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
        order = TypeAdapter(WorkerOrder).validate_json(orders.readline())
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    store = StudyFiles(order.home) if order.url is None else StudyDatabase(order.url, order.home)
    config, data = order.state.build_config(), order.state.read_data(order.folder)
    study = store.open(*order.study, config.build_study_config(data.metric, order.study_seed, shared=True))
    checkpoints = nullcontext() if order.checkpoints is None else keep_checkpoints(order.checkpoints)
    with checkpoints, FoldExecutor.split(order.threads, len(data.folds)) as executor:
        run_worker(TrialRunner(data, config, executor), study, Deadline(order.end), order.folder)


def _exit_with_parent() -> None:
    # Not by sys.stdin: its lock would be held when the interpreter ends.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(ORPHAN_EXIT_CODE)


if __name__ == "__main__":
    main()
