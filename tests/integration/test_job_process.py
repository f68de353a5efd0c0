"""The process of an attempt at a job: whatever becomes of it is a reason, and it never outlives its worker."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from tests.waiting import wait_until

from epic22.adapters.control_group import ControlGroup, require_memory_control
from epic22.adapters.job_log import JobLog
from epic22.adapters.job_process import ChildPace, JobProcesses
from epic22.adapters.process_tree import ProcessTree
from epic22.core.errors import StorageError, UserError
from epic22.core.job import AttemptId, ChildOrder, ChildOutcome
from epic22.core.progress import Noted, ProcessSample, Progress, ProgressEvent, WorkStarted

QUICK = ChildPace(look=0.05, sample=0.1, ask=0.1, grace=0.5)
ATTEMPT = AttemptId(7, 1)
START = """
import os, signal, subprocess, sys, time
from epic22.adapters.job_process import end_with_worker
end_with_worker()
"""
HOG = """
import time
hoard = []
for _ in range(40):
    hoard.append(bytearray(10_000_000))
    time.sleep(0.02)
time.sleep(60)
"""
WORKER = """
import sys
from pathlib import Path
from epic22.adapters.job_process import JobProcesses
from epic22.core.job import AttemptId, ChildOrder

folder = Path(sys.argv[1])
processes = JobProcesses(command=(sys.executable, "-c", sys.argv[2]))
order = ChildOrder(AttemptId(7, 1), (), folder, folder, 1)
processes(order, lambda process_id: print(process_id, flush=True), lambda: True)
"""


def run_child(
    code: str,
    folder: Path,
    memory: int | None = None,
    may_go_on: Callable[[], bool] = lambda: True,
    events: list[ProgressEvent] | None = None,
    pace: ChildPace = QUICK,
) -> ChildOutcome:
    """The outcome of a process that runs the code."""

    @contextmanager
    def collect(attempt: AttemptId, ordinal: int) -> Iterator[Progress]:
        assert (attempt, ordinal) == (ATTEMPT, 1)
        yield Progress((events if events is not None else []).append)

    processes = JobProcesses(collect, (sys.executable, "-c", code), pace=pace)
    order = ChildOrder(ATTEMPT, ("an argument",), folder, folder / "log", 1, memory)
    started: list[int] = []
    outcome = processes(order, started.append, may_go_on)
    assert len(started) == 1
    assert not psutil.pid_exists(started[0])
    return outcome


def test_what_a_process_prints_and_how_far_it_is_reach_the_worker(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom epic22.cli.terminal import show_progress\n"
        "with show_progress() as progress:\n    progress.begin('linear: 5 folds', 5, 'fold')\n    progress.note('half way')\n"
        "print(sys.argv[1], os.environ['EPIC22_ATTEMPT'], os.environ['EPIC22_THREADS'])\nprint('a warning', file=sys.stderr)"
    )
    events: list[ProgressEvent] = []
    outcome = run_child(code, tmp_path, events=events)
    assert outcome == ChildOutcome(0)
    assert [event for event in events if not isinstance(event, ProcessSample)] == [
        WorkStarted("linear: 5 folds", 5, "fold"),
        Noted("half way"),
    ]
    lines = JobLog(tmp_path / "log").read_lines()
    assert {tuple(line.split(" ", 2)[1:]) for line in lines} == {
        ("worker", "attempt 1 begins: an argument"),
        ("out", "an argument 7/1 1"),
        ("err", "a warning"),
        ("worker", "attempt 1 ended: done."),
    }


def test_a_process_over_its_memory_limit_is_stopped_with_what_it_held(tmp_path: Path) -> None:
    # Its child holds the memory: the limit is that of all that it started.
    code = f"{START}subprocess.run([sys.executable, '-c', {HOG!r}])"
    began = time.monotonic()
    outcome = run_child(code, tmp_path, memory=150_000_000)
    assert time.monotonic() - began < 20
    assert outcome.is_over_limit
    assert not outcome.may_pass
    assert outcome.reason.startswith("its memory limit is 150 MB and its processes held ")
    assert int(outcome.reason.split("held ")[1].split(" MB")[0]) in range(150, 400)
    assert run_child("pass", tmp_path, memory=150_000_000) == ChildOutcome(0), "the next one runs"


@pytest.mark.parametrize(("number", "words"), [(signal.SIGSEGV, "SIGSEGV, a fault in a library"), (signal.SIGKILL, "was killed")])
def test_a_process_that_a_signal_ends_is_a_reason_and_takes_down_nothing(number: int, words: str, tmp_path: Path) -> None:
    outcome = run_child(f"{START}time.sleep(0.3)\nos.kill(os.getpid(), {int(number)})", tmp_path)
    assert outcome.code == -number
    assert words in outcome.reason
    assert "MB at most" in outcome.reason
    assert outcome.may_pass


def test_a_sentence_of_the_command_line_is_the_reason(tmp_path: Path) -> None:
    code = f"{START}print('epic22: no table there; name another.', file=sys.stderr)\nsys.exit(2)"
    outcome = run_child(code, tmp_path)
    assert (outcome.code, outcome.reason, outcome.may_pass) == (2, "no table there; name another.", False)


def test_an_option_that_a_verb_has_not_is_the_reason(tmp_path: Path) -> None:
    order = ChildOrder(AttemptId(1, 1), ("train", "tenant_churn", "--colour"), tmp_path, tmp_path / "log", 1)
    outcome = JobProcesses()(order, lambda number: None, lambda: True)
    assert (outcome.code, outcome.may_pass) == (2, False)
    assert outcome.reason.startswith("No such option: --colour")


def test_a_table_that_would_take_the_limit_is_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPIC22_MEMORY_CAP", raising=False)
    code = "import os\nprint(os.environ.get('EPIC22_MEMORY_CAP'))"
    run_child(code, tmp_path, memory=4_000_000_000)
    monkeypatch.setenv("EPIC22_MEMORY_CAP", "1GB")
    run_child(code, tmp_path, memory=4_000_000_000)
    lines = [line for line in JobLog(tmp_path / "log").read_lines() if " out " in line]
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["2000000000", "1GB"]


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("except KeyboardInterrupt:\n    print('tidied', flush=True)\n    sys.exit(130)", 130),
        ("finally: time.sleep(60)", -signal.SIGKILL),
    ],
    ids=["tidies up", "goes on"],
)
def test_a_process_that_may_not_go_on_is_asked_to_end_and_then_ended(ending: str, code: int, tmp_path: Path) -> None:
    def may_go_on() -> bool:
        return not any(line.endswith("ready") for line in JobLog(tmp_path / "log").read_lines())

    grace = 60.0 if code == 130 else 0.3
    body = f"{START}print('ready', flush=True)\ntry:\n    time.sleep(60)\n{ending}"
    outcome = run_child(body, tmp_path, may_go_on=may_go_on, pace=ChildPace(0.05, 0.1, 0.2, grace))
    assert outcome.code == code
    assert outcome.reason.startswith("it was cancelled")
    assert any(line.endswith("out tidied") for line in JobLog(tmp_path / "log").read_lines()) == (code == 130)


def test_a_process_goes_on_while_nobody_can_say_whether_it_may(tmp_path: Path) -> None:
    def fail() -> bool:
        raise StorageError("the database is away.")

    assert run_child("import time\ntime.sleep(0.4)", tmp_path, may_go_on=fail) == ChildOutcome(0)


def test_what_a_process_started_does_not_outlive_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\nprint(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True)"
    )
    assert run_child(code, tmp_path).code == 0
    line = next(line for line in JobLog(tmp_path / "log").read_lines() if " out " in line)
    wait_until(lambda: is_gone(int(line.rsplit(" ", 1)[1])), 5)


def is_gone(process_id: int) -> bool:
    """Whether a process has ended; one that nobody waited for has too."""
    try:
        return bool(psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_process_and_all_that_it_started_end_within_two_seconds_of_their_killed_worker(tmp_path: Path) -> None:
    busy = "import time; end = time.time() + 60\nwhile time.time() < end: pass"
    code = f"{START}subprocess.Popen([sys.executable, '-c', {busy!r}])\nsum(i for i in range(10**12))"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), code], stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        child = int(worker.stdout.readline())
        wait_until(lambda: len(psutil.Process(child).children()) == 1)
        processes = [child, *(one.pid for one in psutil.Process(child).children())]
        worker.send_signal(signal.SIGKILL)
        wait_until(lambda: all(map(is_gone, processes)), 2.0)
    finally:
        worker.kill()
        worker.communicate()


@pytest.mark.slow
def test_the_stream_of_events_is_silent_for_five_seconds_at_most_while_a_process_computes(tmp_path: Path) -> None:
    moments: list[float] = [time.monotonic()]

    @contextmanager
    def note_moments(attempt: AttemptId, ordinal: int) -> Iterator[Progress]:
        yield Progress(lambda event: moments.append(time.monotonic()))

    code = "import time; end = time.time() + 7\nwhile time.time() < end: pass"
    order = ChildOrder(ATTEMPT, (), tmp_path, tmp_path, 1)
    JobProcesses(note_moments, (sys.executable, "-c", code))(order, lambda process_id: None, lambda: True)
    moments.append(time.monotonic())
    assert max(later - earlier for earlier, later in pairwise(moments)) <= 5


def test_a_log_is_bounded_and_keeps_the_newest_lines(tmp_path: Path) -> None:
    log = JobLog(tmp_path, limit=10_000)
    for number in range(1_000):
        log.add("out", f"line {number}")
    lines = log.read_lines()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000
    assert [line.rsplit(" ", 1)[1] for line in lines] == [str(number) for number in range(1_000 - len(lines), 1_000)]
    assert len(lines) > 50
    assert JobLog(tmp_path / "none").read_lines() == []


def test_a_line_without_end_and_bytes_that_are_no_text_are_kept_in_pieces(tmp_path: Path) -> None:
    run_child("import sys\nsys.stdout.buffer.write(b'x' * 20_000 + b'\\xff\\xfe end')", tmp_path)
    lines = JobLog(tmp_path / "log").read_lines()
    assert max(map(len, lines)) < 9_000
    assert any(line.endswith("end") for line in lines)


def test_a_tree_of_processes_is_measured_and_gone_when_it_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        tree = ProcessTree(busy.pid, processors=1)
        tree.measure()
        time.sleep(0.5)
        sample = tree.measure()
        busy.kill()
    assert sample.processes == 1
    assert 0.05 < sample.processor_share <= 1
    assert sample.memory_bytes > 1_000_000
    assert tree.measure() == ProcessSample(0.0, 0, 0)


def test_a_control_group_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    group = ControlGroup(tmp_path / "absent", ATTEMPT)
    with pytest.raises(UserError, match="no control group for memory can be made there"):
        group.hold(os.getpid(), 1_000)
    with pytest.raises(UserError, match="its groups cannot hold memory"):
        require_memory_control(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "cgroup.subtree_control").write_text("cpu memory\n")
    require_memory_control(tmp_path / "own")
    own = ControlGroup(tmp_path / "own", ATTEMPT)
    own.hold(123, 1_000)
    assert {path.name: path.read_text() for path in own.folder.iterdir()} == {
        "memory.max": "1000",
        "memory.oom.group": "1",
        "cgroup.procs": "123",
    }


def test_no_thread_is_left_of_a_process_that_ended(tmp_path: Path) -> None:
    run_child("pass", tmp_path)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("output of attempt")]


def test_a_directory_that_is_not_on_this_machine_is_a_reason(tmp_path: Path) -> None:
    order = ChildOrder(ATTEMPT, (), tmp_path / "absent", tmp_path, 1)
    outcome = JobProcesses()(order, lambda process_id: None, lambda: True)
    assert (outcome.code, "is not on this machine" in outcome.reason) == (2, True)
