"""One training at a time on each device of a machine, whoever starts it: a file a device that all its users can lock."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from epic22.adapters.home import wait_for_lock


@contextmanager
def hold_devices(devices: Sequence[str]) -> Iterator[None]:
    """Wait until no other attempt at a job trains on any of these devices of this machine; it ends with the process. A wait that
    lasts is said on standard error."""
    with ExitStack() as stack:
        # All take them in one order, so that no two wait for each other.
        for device in sorted(devices):
            lock = stack.enter_context(os.fdopen(_open_lock(Path(tempfile.gettempdir()) / f"epic22-{device}.lock")))
            wait_for_lock(lock, f"a training on this machine's {device}")
        yield


def _open_lock(path: Path) -> int:
    """The file of a device; another user may have made it, who need not let others write to it."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
