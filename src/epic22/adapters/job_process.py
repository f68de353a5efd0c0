"""The process of an attempt at a job: started, followed, held within its memory, ended, and why it ended in one sentence.

It is the direct verb in a fresh interpreter, with a session of its own. It ends when its standard input does, which is when the
worker ends, by whatever; its events come through a pipe, what it prints goes to the job's log. A fault of it is a reason here,
never an error.
"""

import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

from epic22.adapters.control_group import ControlGroup
from epic22.adapters.job_log import JobLog
from epic22.adapters.metadata.sessions import SESSION_SETTING, name_attempt_session
from epic22.adapters.process_tree import ProcessTree
from epic22.core.errors import StorageError, UserError, describe_storage_fault
from epic22.core.job import ATTEMPT_SETTING, AttemptId, ChildOrder, ChildOutcome
from epic22.core.progress import PROGRESS_SETTING, Progress
from epic22.core.progress_lines import MAX_LINE_CHARACTERS, read_event
from epic22.core.text import format_memory

ORPHAN_EXIT_CODE = 3
"""Exit code of a process whose worker has ended."""
MEASURED_SHARE, MAX_LOOK_SECONDS = 0.02, 0.5
"""The most of a processor's time that looking at a process may take: on a machine of thousands it is looked at less often, but at
least so often."""
CAP_SETTING, CAP_SHARE = "EPIC22_MEMORY_CAP", 0.5
"""A table that would take more than this share of a job's memory limit is trained on in batches, where no other cap is set."""
FAULT_SIGNALS: Sequence[int] = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)

IsAllowed = Callable[[], bool]
OpenProgress = Callable[[AttemptId, int], AbstractContextManager[Progress]]


def ignore_progress(attempt: AttemptId, ordinal: int) -> AbstractContextManager[Progress]:
    """A progress that nobody listens to."""
    return nullcontext(Progress())


@dataclass(frozen=True)
class ChildPace:
    """How often, in seconds, a process is looked at, what it takes of the machine is told (and measured, where it has no limit to
    hold), and whether it may go on is asked; how long it may take to end once it is asked to."""

    look: float = 0.2
    sample: float = 2.0
    ask: float = 0.5
    grace: float = 10.0


@dataclass(frozen=True)
class JobProcesses:
    """Starts the processes of attempts: `command` is the command line, which an attempt's arguments follow.

    `open_progress` says where an attempt's events go; `control_group` is a folder of Linux' control groups that this user may
    make groups in, which then hold the memory limit too.
    """

    open_progress: OpenProgress = ignore_progress
    command: tuple[str, ...] = (sys.executable, "-m", "epic22")
    control_group: Path | None = None
    pace: ChildPace = ChildPace()

    def __call__(self, order: ChildOrder, on_start: Callable[[int], None], may_go_on: IsAllowed) -> ChildOutcome:
        """How the process ended; `on_start` gets its number, and it is ended as soon as it may not go on.

        Raises StorageError where no process can be started.
        """
        if not order.directory.is_dir():
            return ChildOutcome(2, f"the directory {order.directory} of the submission is not on this machine.")
        log = JobLog(order.folder)
        log.add("worker", f"attempt {order.ordinal} begins: {' '.join(order.arguments)}")
        with self.open_progress(order.attempt, order.ordinal) as progress:
            outcome = self._carry_out(order, log, progress, on_start, may_go_on)
        log.add("worker", f"attempt {order.ordinal} ended: {outcome.reason or 'done.'}")
        return outcome

    def _carry_out(
        self, order: ChildOrder, log: JobLog, progress: Progress, on_start: Callable[[int], None], may_go_on: IsAllowed
    ) -> ChildOutcome:
        group = None if self.control_group is None else ControlGroup(self.control_group, order.attempt)
        child = _Child.start(self, order, log, progress)
        try:
            on_start(child.process.pid)
            if group is not None:
                _enter_group(group, child, log)
            return child.follow(may_go_on)
        finally:
            child.close()
            if group is not None:
                group.remove()


def _enter_group(group: ControlGroup, child: "_Child", log: JobLog) -> None:
    """Have Linux hold the limit too; where it cannot, the looks at the process alone do."""
    try:
        group.hold(child.process.pid, child.order.memory)
    except UserError as error:
        log.add("worker", str(error))


@dataclass
class _Child:
    process: "subprocess.Popen[bytes]"
    order: ChildOrder
    progress: Progress
    pace: ChildPace
    log: JobLog
    tree: ProcessTree
    readers: list[threading.Thread] = field(default_factory=list)
    last_words: str = ""

    @classmethod
    def start(cls, setting: JobProcesses, order: ChildOrder, log: JobLog, progress: Progress) -> "_Child":
        """Start the process and the threads that read what it says. Raises StorageError."""
        read_end, write_end = os.pipe()
        own = {
            ATTEMPT_SETTING: str(order.attempt),
            "EPIC22_THREADS": str(order.threads),
            PROGRESS_SETTING: f"/dev/fd/{write_end}",
            SESSION_SETTING: name_attempt_session(order.attempt),
            # A mistake in the options is a line then, without a frame, whose last line would be the reason.
            "TYPER_USE_RICH": "0",
        }
        if order.memory is not None and CAP_SETTING not in os.environ:
            own[CAP_SETTING] = str(int(order.memory * CAP_SHARE))
        try:
            process = subprocess.Popen(
                [*setting.command, *order.arguments],
                cwd=order.directory,
                env={**os.environ, **own},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(write_end,),
                start_new_session=True,
            )
        except OSError as error:
            os.close(read_end)
            raise StorageError(f"no process can be started: {describe_storage_fault(error) or error}") from error
        finally:
            os.close(write_end)
        child = cls(process, order, progress, setting.pace, log, ProcessTree(process.pid))
        assert process.stdout is not None
        assert process.stderr is not None
        child._read(child._copy_errors, process.stderr)
        child._read(lambda stream: log.copy_stream("out", stream), process.stdout)
        child._read(child._pass_events, os.fdopen(read_end, "rb"))
        return child

    def _read(self, target: Callable[[IO[bytes]], object], stream: IO[bytes]) -> None:
        def run() -> None:
            with stream:
                target(stream)

        thread = threading.Thread(target=run, daemon=True, name=f"output of attempt {self.order.attempt}")
        thread.start()
        self.readers.append(thread)

    def _copy_errors(self, stream: IO[bytes]) -> None:
        self.last_words = self.log.copy_stream("err", stream)

    def _pass_events(self, stream: IO[bytes]) -> None:
        while line := stream.readline(MAX_LINE_CHARACTERS + 1):
            event = read_event(line)
            if event is not None:
                self.progress.emit(event)

    def follow(self, may_go_on: IsAllowed) -> ChildOutcome:
        """How the process ended: by itself, over its limit, or because it may not go on."""
        limit, pace, look = self.order.memory, self.pace, self.pace.look
        next_sample = next_question = 0.0
        while not self._wait(look):
            began = time.monotonic()
            # Only a limit has to be looked at often: a look goes through all processes of the machine.
            if limit is not None or began >= next_sample:
                sample = self.tree.measure()
                look = min(max(pace.look, (time.monotonic() - began) / MEASURED_SHARE), max(pace.look, MAX_LOOK_SECONDS))
                if limit is not None and sample.memory_bytes > limit:
                    self._end_at_once()
                    return ChildOutcome(self.process.returncode, describe_excess(limit, sample.memory_bytes), is_over_limit=True)
                if began >= next_sample:
                    self.progress.emit(sample)
                    next_sample = began + pace.sample
            if began >= next_question:
                if not _may_go_on(may_go_on):
                    return self._cancel()
                next_question = time.monotonic() + pace.ask
        self._join_readers()
        return ChildOutcome(self.process.returncode, self._describe_end())

    def _wait(self, seconds: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            return True
        return False

    def _cancel(self) -> ChildOutcome:
        """Ask the process to end, then end it."""
        self.log.add("worker", "the attempt may not go on; its process is asked to end.")
        self.process.terminate()
        if not self._wait(self.pace.grace):
            self._end_at_once()
        return ChildOutcome(self.process.returncode, "it was cancelled, or its worker was stopped.")

    def _end_at_once(self) -> None:
        kill_process(self.process.pid)
        self.process.wait()

    def _join_readers(self) -> None:
        # What it started and left behind would hold the pipes open.
        kill_process(self.process.pid)
        for thread in self.readers:
            thread.join(5)

    def _describe_end(self) -> str:
        code = self.process.returncode
        if code == 0:
            return ""
        if code < 0:
            return describe_signal(-code, self.tree.peak_bytes)
        return (
            self.last_words.removeprefix("epic22: ").removeprefix("Error: ") or f"its process ended with {code} and said nothing."
        )

    def close(self) -> None:
        """End it, and all that reads what it says."""
        if self.process.poll() is None:
            self._end_at_once()
        self._join_readers()
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()


def kill_process(process: int) -> None:
    """End a process of an attempt and all that it started; nothing where there is none."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


def end_attempt_process(attempt: AttemptId, process: int) -> None:
    """End the process of an attempt of another worker on this machine, awake or asleep; nothing where the number is by now that
    of a process that carries out no attempt of ours."""
    if _read_attempt(process) == str(attempt):
        kill_process(process)


def _read_attempt(process: int) -> str | None:
    """The attempt that a process says in its environment that it carries out."""
    try:
        if Path("/proc/self").exists():
            words = Path(f"/proc/{process}/environ").read_text(errors="replace").split("\0")
        else:
            listing = subprocess.run(
                ["ps", "eww", "-o", "command=", "-p", str(process)], capture_output=True, text=True, check=False
            )
            words = listing.stdout.split()
    except OSError:
        return None
    return next((word.partition("=")[2] for word in words if word.startswith(f"{ATTEMPT_SETTING}=")), None)


def _may_go_on(is_allowed: IsAllowed) -> bool:
    """Whether an attempt may go on; it does where nobody can say, such as while a database is away: its end is fenced."""
    try:
        return is_allowed()
    except UserError:
        return True


def describe_excess(limit: int, used: int) -> str:
    """Why a process was stopped for its memory, in a sentence.

    >>> describe_excess(2_000_000_000, 2_100_000_000)[:94]
    'its memory limit is 2.0 GB and its processes held 2.1 GB, so it was stopped; submit it with a '
    """
    return (
        f"its memory limit is {format_memory(limit)} and its processes held {format_memory(used)}, so it was stopped; submit it "
        "with a higher --memory, or have a table read in batches by a lower EPIC22_MEMORY_CAP."
    )


def describe_signal(number: int, peak_bytes: int) -> str:
    """Why a process ended by a signal, in a sentence.

    >>> describe_signal(11, 3_000_000_000)
    'its process ended by SIGSEGV, a fault in a library; its processes had held 3.0 GB at most, and its log says where.'
    """
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    peak = f"its processes had held {format_memory(peak_bytes)} at most"
    if number in FAULT_SIGNALS:
        return f"its process ended by {name}, a fault in a library; {peak}, and its log says where."
    if number == signal.SIGKILL:
        return f"its process was killed; {peak}: the system may have had too little memory, or a person ended it."
    return f"its process ended by {name}; {peak}."


def end_with_worker() -> None:
    """Have this process, and all that it started, end with the worker that holds its standard input open.

    By SIGTERM it ends as by Ctrl-C, so that it tidies up; of a fault in a library the log says where it happened.
    """
    threading.Thread(target=_end_with_input, args=(os.dup(0),), daemon=True).start()
    # What it starts, or a library, would read what the worker's end is seen by.
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    faulthandler.enable()
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _end_with_input(descriptor: int) -> None:
    # Not by sys.stdin: its lock would be held when the interpreter ends.
    while os.read(descriptor, 1):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(ORPHAN_EXIT_CODE)
