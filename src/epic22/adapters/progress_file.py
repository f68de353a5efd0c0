"""Events of progress in a file or a pipe, a line each, written by one process while another reads."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from epic22.core.progress import Progress, ProgressEvent
from epic22.core.progress_lines import write_event


@contextmanager
def open_progress_lines(path: Path) -> Iterator[Progress]:
    """A progress whose events are appended to a file, or sent through a pipe that someone reads.

    An event that cannot be written, such as on a full disk, is left out: no training ends for want of its progress.
    """
    lock, descriptor = threading.Lock(), os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def emit(event: ProgressEvent) -> None:
        line = write_event(event).encode() + b"\n"
        with lock, suppress(OSError):
            os.write(descriptor, line)

    try:
        yield Progress(emit)
    finally:
        os.close(descriptor)
