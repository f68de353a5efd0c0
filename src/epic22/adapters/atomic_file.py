"""Files that are there whole or not at all."""

import fcntl
import os
import uuid
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place, have the disk keep it, and move it there with one rename; nothing is left where that fails.

    Without the sync a power cut can leave the new name on an empty file.
    """
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, on a line of its own where a killed process left the last one half-written."""
    with path.open("a+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        end = stream.seek(0, os.SEEK_END)
        torn = b""
        if end:
            stream.seek(-1, os.SEEK_END)
            torn = b"" if stream.read(1) == b"\n" else b"\n"
        try:
            stream.write(torn + line.encode() + b"\n")
            stream.flush()
        except OSError:
            os.ftruncate(stream.fileno(), end)
            raise
