"""What a run's processes take of the machine, and what all others take meanwhile, from /proc (Linux).

A process belongs to the run when its environment bears the run's mark, or its parent belongs: so servers and workers that went
their own way (Java, Ray) are counted, and found when the run is over. Elsewhere than on Linux nothing is measured: None.
"""

import os
import resource
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
PAGE = resource.getpagesize()
MARK = "EPIC22_PEERS_RUN"
SETTLED = 5
"""A process without the mark in so many samples is somebody else's for good."""


@dataclass(frozen=True)
class Ticks:
    """CPU time of the machine since it started, in clock ticks: `busy` by processes, `stolen` by other machines on the host."""

    busy: int
    stolen: int

    @classmethod
    def read(cls, text: str) -> "Ticks":
        """From /proc/stat; time of guests is within user time already.

        >>> Ticks.read("cpu  100 5 20 900 30 1 2 7 50 0\\ncpu0 …")
        Ticks(busy=128, stolen=7)
        """
        user, nice, system, _, _, irq, softirq, stolen = (int(word) for word in text.split("\n", 1)[0].split()[1:9])
        return cls(user + nice + system + irq + softirq, stolen)


def others_cpu_share(busy: int, own: int, seconds: float, cores: int, ticks_a_second: int) -> float:
    """The share of the machine's cores that others took, 0 to 1; `own` are the run's ticks and those of watching it.

    >>> others_cpu_share(busy=2500, own=2000, seconds=10.0, cores=2, ticks_a_second=100)
    0.25
    """
    room = seconds * cores * ticks_a_second
    return min(1.0, max(0.0, (busy - own) / room)) if room > 0 else 0.0


@dataclass(frozen=True)
class Usage:
    """What one run took. Shares are of all cores of the machine; memory is the largest sum over the run's processes at a time,
    pages that they share counted for each."""

    others_cpu_share: float | None
    stolen_cpu_share: float | None
    own_cpu_seconds: float
    peak_rss_mb: float | None


@dataclass
class Watch:
    """Samples the machine while a run lasts; begin it just before the run's process starts."""

    mark: str
    proc: Path = PROC
    began: float = field(default_factory=time.perf_counter)
    _first: Ticks | None = None
    _children: float = 0.0
    _watching: float = 0.0
    _own: dict[tuple[int, int], int] = field(default_factory=dict)
    _strangers: dict[tuple[int, int], int] = field(default_factory=dict)
    _members: set[int] = field(default_factory=set)
    _peak: int = 0

    def __post_init__(self) -> None:
        self._first = self._ticks()
        self._children = _children_seconds()
        self._watching = time.process_time()

    def _ticks(self) -> Ticks | None:
        stat = self.proc / "stat"
        return Ticks.read(stat.read_text()) if stat.exists() else None

    def sample(self) -> None:
        """Look at every process once."""
        self._members, memory = set(), 0
        for pid, parent, born, used, pages in sorted(processes(self.proc), key=lambda found: found[2]):
            key = (pid, born)
            if not self._belongs(key, parent):
                continue
            self._members.add(pid)
            self._own[key] = max(used, self._own.get(key, 0))
            memory += pages * PAGE
        self._peak = max(self._peak, memory)

    def _belongs(self, key: tuple[int, int], parent: int) -> bool:
        if key in self._own or parent in self._members:
            return True
        seen = self._strangers.get(key, 0)
        if seen >= SETTLED:
            return False
        if marked(self.proc / str(key[0]), self.mark):
            return True
        self._strangers[key] = seen + 1
        return False

    def kill(self) -> int:
        """End what is left of the run; gives how many processes that were."""
        self.sample()
        for pid in self._members:
            _kill(pid)
        return len(self._members)

    def usage(self) -> Usage:
        """What was taken from the beginning until now."""
        ticks_a_second = os.sysconf("SC_CLK_TCK")
        reaped = _children_seconds() - self._children
        own = max(float(sum(self._own.values())), reaped * ticks_a_second)
        last = self._ticks()
        if self._first is None or last is None:
            return Usage(None, None, round(reaped, 2), None)
        seconds, cores = time.perf_counter() - self.began, os.cpu_count() or 1
        watching = (time.process_time() - self._watching) * ticks_a_second
        others = others_cpu_share(last.busy - self._first.busy, round(own + watching), seconds, cores, ticks_a_second)
        stolen = others_cpu_share(last.stolen - self._first.stolen, 0, seconds, cores, ticks_a_second)
        return Usage(round(others, 4), round(stolen, 4), round(own / ticks_a_second, 2), round(self._peak / 2**20, 1))


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def processes(proc: Path = PROC) -> list[tuple[int, int, int, int, int]]:
    """(pid, parent, start, CPU ticks, resident pages) of every process that can be read."""
    found = []
    for folder in proc.iterdir() if proc.exists() else ():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text()
        except (OSError, ValueError):
            continue
        words = text[text.rindex(")") + 2 :].split()
        found.append((int(folder.name), int(words[1]), int(words[19]), int(words[11]) + int(words[12]), int(words[21])))
    return found


def marked(folder: Path, mark: str) -> bool:
    """Whether a process's environment bears the mark."""
    try:
        environment = (folder / "environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={mark}".encode() in environment.split(b"\0")


def left_over(prefix: str, proc: Path = PROC) -> list[int]:
    """Processes of earlier runs whose mark begins so: their caller was killed."""
    wanted = f"{MARK}={prefix}".encode()
    found = []
    for folder in proc.iterdir() if proc.exists() else ():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            if any(entry.startswith(wanted) for entry in environment.split(b"\0")):
                found.append(int(folder.name))
    return found


def end_left_over(prefix: str) -> int:
    """End processes of earlier runs; gives how many."""
    found = left_over(prefix)
    for pid in found:
        _kill(pid)
    return len(found)


def environment_of(mark: str) -> Mapping[str, str]:
    """The variable that marks a run's processes."""
    return {MARK: mark}
