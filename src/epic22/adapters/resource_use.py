"""What this process and those that it started have used: time, processor, memory."""

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceMeter:
    """A moment to measure from: seconds since 1970, and the processor seconds that were used before."""

    started_at: float
    processor_seconds: float

    @classmethod
    def start(cls) -> "ResourceMeter":
        """Measure from now on."""
        return cls(time.time(), _read_processor_seconds())

    def read(self) -> Mapping[str, float]:
        """Seconds since the start, processor seconds meanwhile, and the most memory that a process had at once, in MB.

        Processes that were started count once they have ended. The memory is that of the whole life of the process.
        """
        return {
            "elapsed_seconds": time.time() - self.started_at,
            "processor_seconds": _read_processor_seconds() - self.processor_seconds,
            "peak_memory_mb": max(_read_peak(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e6,
        }


def _read_processor_seconds() -> float:
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _read_peak(who: int) -> float:
    """Bytes: macOS counts in them, Linux in KiB."""
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
