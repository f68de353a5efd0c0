"""How busy an accelerator is while something else works on it: by NVIDIA's tool, or by the registry of macOS; neither needs root.

NVIDIA's figure is the share of time in which any kernel ran, Apple's that in which the graphics processor was active; neither
says how much of it was at work.
"""

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

from epic22.adapters.machine import ask
from epic22.core.machine import Utilisation

SECONDS_BETWEEN_LOOKS = 0.2


@dataclass
class UtilisationSampler:
    """Looks at an accelerator, each with the moment on `time.monotonic` and how busy it was, 0 to 1."""

    samples: list[tuple[float, float]] = field(default_factory=list)
    is_ended: Event = field(default_factory=Event)

    def average(self, spans: Sequence[tuple[float, float]]) -> Utilisation:
        """How busy it was in spans from one moment to another."""
        looks = [share for at, share in self.samples if any(start <= at <= end for start, end in spans)]
        if not looks:
            return Utilisation(None, 0, "nothing here says how busy the accelerator is")
        return Utilisation(sum(looks) / len(looks), len(looks))

    def add(self, percent: float) -> None:
        """Add a look of now."""
        self.samples.append((time.monotonic(), percent / 100))

    def sample_nvidia(self, uuid: str | None) -> None:
        """Look by one `nvidia-smi` that answers again and again, until it is ended."""
        milliseconds = str(round(1000 * SECONDS_BETWEEN_LOOKS))
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", milliseconds]
        command += [] if uuid is None else ["-i", uuid]
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        except OSError:
            return
        with process:
            Thread(target=self._end_with, args=(process,), daemon=True).start()
            for line in process.stdout or ():
                if line.strip().isdigit():
                    self.add(float(line))

    def _end_with(self, process: "subprocess.Popen[str]") -> None:
        self.is_ended.wait()
        process.kill()

    def sample_metal(self, uuid: str | None) -> None:
        """Look by `ioreg` until it is ended."""
        while not self.is_ended.is_set():
            percent = parse_ioreg(ask("ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator"))
            if percent is None:
                return
            self.add(percent)
            self.is_ended.wait(SECONDS_BETWEEN_LOOKS)


def parse_ioreg(text: str) -> float | None:
    """The per cent that macOS' registry of devices has for the busiest graphics processor; None where it has none.

    >>> parse_ioreg('"PerformanceStatistics" = {"Device Utilization %"=87,"Renderer Utilization %"=85}')
    87.0
    """
    percents = re.findall(r'"Device Utilization %"\s*=\s*(\d+)', text)
    return max(map(float, percents)) if percents else None


SAMPLERS: Mapping[str, Callable[[UtilisationSampler, str | None], None]] = {
    "cuda": UtilisationSampler.sample_nvidia,
    "mps": UtilisationSampler.sample_metal,
}


@contextmanager
def sample_utilisation(device: str, uuid: str | None = None) -> Iterator[UtilisationSampler]:
    """A sampler that looks at a device until the block ends; at a processor nothing looks."""
    sampler = UtilisationSampler()
    thread = Thread(target=SAMPLERS.get(device, lambda sampler, uuid: None), args=(sampler, uuid), daemon=True)
    thread.start()
    try:
        yield sampler
    finally:
        sampler.is_ended.set()
        thread.join(timeout=5)
