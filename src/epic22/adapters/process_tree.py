"""What a process and all that it started take of the machine: resident memory and processor time, on Linux and macOS alike."""

import time
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from epic22.core.progress import ProcessSample


@dataclass
class ProcessTree:
    """A process with its descendants. `measure` is called again and again; a share of processors is that since the call before.

    Memory is the sum of resident sets, so that what two of them share counts twice: an upper bound, by which a limit is held.
    """

    process_id: int
    processors: int = field(default_factory=lambda: _count_processors())
    peak_bytes: int = 0
    _seconds: dict[int, float] = field(default_factory=dict, repr=False)
    _measured_at: float | None = field(default=None, repr=False)

    def measure(self) -> ProcessSample:
        """What they take now; nothing once all have ended."""
        memory, used, seconds = 0, 0.0, dict[int, float]()
        for process in self._list_processes():
            # One that ends between two questions takes nothing.
            with suppress(psutil.Error), process.oneshot():
                times = process.cpu_times()
                memory += process.memory_info().rss
                seconds[process.pid] = times.user + times.system
                used += seconds[process.pid] - self._seconds.get(process.pid, 0.0)
        now, before = time.monotonic(), self._measured_at
        elapsed = 0.0 if before is None else now - before
        share = min(1.0, max(0.0, used / (elapsed * self.processors))) if elapsed > 0 else 0.0
        self._seconds, self._measured_at, self.peak_bytes = seconds, now, max(self.peak_bytes, memory)
        return ProcessSample(round(share, 4), memory, len(seconds))

    def _list_processes(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self.process_id)
            return [process, *process.children(recursive=True)]
        except psutil.Error:
            return []


def _count_processors() -> int:
    """The processors that this process may use."""
    try:
        return len(psutil.Process().cpu_affinity()) or 1
    except (AttributeError, psutil.Error):  # macOS has no affinity
        return psutil.cpu_count() or 1
