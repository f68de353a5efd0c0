"""A process that prints what it finds as lines of JSON; however it ends, the one that started it goes on."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Timer
from typing import Any

Record = Mapping[str, Any]


@dataclass(frozen=True)
class ProbeEnd:
    """How a process ended: its exit code, below zero the signal; whether it was stopped for the time; its last words."""

    code: int
    is_late: bool
    seconds: float
    last_words: str

    @property
    def fault(self) -> str | None:
        """Why it did not end well, as the end of a sentence; None where it did."""
        if self.is_late:
            return f"did not end within {self.seconds:.0f} s"
        if self.code < 0:
            return f"was ended by signal {-self.code} ({name_signal(-self.code)})"
        if self.code:
            return f"ended with {self.last_words or f'exit code {self.code}'}"
        return None


def name_signal(number: int) -> str:
    """The name of a signal, such as SIGSEGV.

    >>> name_signal(11)
    'SIGSEGV'
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def run_probe(
    arguments: Sequence[str], seconds: float, on_record: Callable[[Record], None], environment: Mapping[str, str] | None = None
) -> ProbeEnd:
    """Run Python with these arguments, hand on each object that it prints as it comes, and say how it ended.

    After so many seconds it is ended. What it prints beside objects is left out.
    """
    start = time.monotonic()
    given = None if environment is None else dict(environment)
    command = [sys.executable, *arguments]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, env=given
        ) as process,
    ):
        timer = Timer(seconds, process.kill)
        timer.start()
        try:
            for line in process.stdout or ():
                _hand_on(line, on_record)
            code = process.wait()
        finally:
            timer.cancel()
            process.kill()
        is_late = code == -signal.SIGKILL and time.monotonic() - start >= seconds
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
    return ProbeEnd(code, is_late, seconds, lines[-1].strip() if lines else "")


def _hand_on(line: str, on_record: Callable[[Record], None]) -> None:
    """Hand on the object of a line; libraries print other lines too."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return
    if isinstance(record, dict):
        on_record(record)
