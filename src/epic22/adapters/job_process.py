"""The process of an attempt at a job: the direct verb in a fresh interpreter, which ends when its worker does."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from epic22.core.errors import StorageError, describe_storage_fault
from epic22.core.job import ATTEMPT_SETTING, AttemptId, ChildOrder, ChildOutcome

LOG = "log.txt"
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 10
"""So long an attempt that may not go on has to clean up."""
ORPHAN_EXIT_CODE = 3


def run_child(order: ChildOrder, on_start: Callable[[int], None], may_go_on: Callable[[], bool]) -> ChildOutcome:
    """How the process ended; `on_start` gets its number, and it is ended as soon as it may not go on."""
    order.folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, ATTEMPT_SETTING: str(order.attempt), "EPIC22_THREADS": str(order.threads)}
    with (order.folder / LOG).open("ab") as log:
        begin = log.tell()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "epic22", *order.arguments],
                cwd=order.directory,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            if not order.directory.is_dir():
                return ChildOutcome(2, f"the directory {order.directory} of the submission is not on this machine.")
            raise StorageError(f"no process can be started: {describe_storage_fault(error) or error}") from error
        try:
            on_start(process.pid)
            _wait(process, may_go_on)
        finally:
            _end(process)
    code = process.returncode
    return ChildOutcome(code, "" if code == 0 else _describe_end(order, begin, code))


def _wait(process: "subprocess.Popen[bytes]", may_go_on: Callable[[], bool]) -> None:
    while may_go_on():
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
            return


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and all that it started."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE_SECONDS)
    kill_process(process.pid)
    process.wait()


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


def _describe_end(order: ChildOrder, begin: int, code: int) -> str:
    """Why a process ended: the last line of ours in its log, or the signal."""
    if code < 0:
        return f"its process was ended by signal {-code} ({signal.Signals(-code).name})."
    content = (order.folder / LOG).read_bytes()[begin:].decode(errors="replace")
    lines = [line for line in content.splitlines() if line.strip()]
    sentences = [line.removeprefix("epic22: ") for line in lines if line.startswith("epic22: ")]
    return (sentences or lines or [f"its process ended with {code} and said nothing."])[-1]


def end_with_worker() -> None:
    """Have this process end once its standard input does, which is its worker's end."""
    threading.Thread(target=_exit_at_end_of_input, daemon=True).start()


def _exit_at_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(ORPHAN_EXIT_CODE)
