"""The log of a job: what its process printed, a line each with its time, bounded by leaving the oldest out."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

LOG_FILE, OLDER_FILE = "log.txt", "log-older.txt"
MAX_LOG_BYTES = 1 << 20
"""So much is kept of a job: half of it in each of two files."""
MAX_LINE_BYTES = 8_192
"""A line that is longer is kept as several."""


@dataclass(frozen=True)
class JobLog:
    """The log in a folder; threads may add to it, other processes read it meanwhile."""

    folder: Path
    limit: int = MAX_LOG_BYTES
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, origin: str, text: str) -> None:
        """Add a line with the time; what cannot be written, such as on a full disk, is left out."""
        line = f"{datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3]}Z {origin} {text}\n".encode("utf-8", "replace")
        with self._lock, suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / LOG_FILE
            if path.exists() and path.stat().st_size + len(line) > self.limit // 2:
                path.replace(self.folder / OLDER_FILE)
            with path.open("ab") as file:
                file.write(line)

    def copy_stream(self, origin: str, stream: IO[bytes]) -> str:
        """Add all lines of a stream until its end; the last one that says something."""
        last = ""
        while content := stream.readline(MAX_LINE_BYTES):
            text = content.decode("utf-8", "replace").rstrip()
            self.add(origin, text)
            last = text.strip() or last
        return last

    def read_lines(self) -> Sequence[str]:
        """All lines that are kept, oldest first."""
        return [line for path in self._list_files() for line in _read_text(path).splitlines()]

    def _list_files(self) -> Iterator[Path]:
        yield from (self.folder / OLDER_FILE, self.folder / LOG_FILE)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
