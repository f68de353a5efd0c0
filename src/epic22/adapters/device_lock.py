"""One training at a time on each device of a machine, whoever starts it: a file a device that all its users can lock.

Where another user keeps that file from being opened, one in the home stands in for it: no training is refused for it.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import IO

from epic22.adapters.home import wait_for_lock


@contextmanager
def hold_devices(devices: Sequence[str], home: Path, shared: Path | None = None) -> Iterator[None]:
    """Wait until no other attempt at a job trains on any of these devices of this machine; it ends with the process. A wait that
    lasts is said on standard error. `shared` is the folder of all users, the system's for temporary files where None."""
    folder = Path(tempfile.gettempdir()) if shared is None else shared
    with ExitStack() as stack:
        # All take them in one order, so that no two wait for each other.
        for device in sorted(devices):
            name = f"epic22-{device}.lock"
            _hold_device(device, (folder / name, home / f".{name}"), stack)
        yield


def _hold_device(device: str, paths: tuple[Path, Path], stack: ExitStack) -> None:
    while True:
        path, descriptor = _open_first(*paths)
        lock = stack.enter_context(os.fdopen(descriptor))
        wait_for_lock(lock, f"a training on this machine's {device}")
        if _is_at(path, lock):
            return
        # What tidies temporary files removed it meanwhile: another would lock the next one and not wait.
        lock.close()


def _open_first(shared: Path, own: Path) -> tuple[Path, int]:
    """The file that all users of the machine lock, or where that cannot be opened, the home's own."""
    with suppress(OSError):
        return shared, _open_or_make(shared)
    own.parent.mkdir(parents=True, exist_ok=True)
    return own, _open_or_make(own)


def _open_or_make(path: Path) -> int:
    """A file open for reading, which is enough to lock it, whoever made it. Raises OSError for one that may not be read or is no
    file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o444)
            # Whatever this user's mask takes away, the others are to read it.
            os.fchmod(descriptor, 0o444)
            return descriptor
        return _open_or_make(path)
    if not S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileExistsError(f"{path}: it is no file that can be locked.")
    return descriptor


def _is_at(path: Path, lock: IO[str]) -> bool:
    """Whether an open file is still the one of that name."""
    with suppress(OSError):
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(lock.fileno()))
    return False
