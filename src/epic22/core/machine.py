"""What a machine is, what of it a process may use, and which libraries it has, as plain values."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NO_LIMIT = 1 << 60
"""The first version of Linux' control groups writes a limit that is none as a number beyond this."""


@dataclass(frozen=True)
class Limits:
    """What Linux' control groups, and so a container, let a process have: bytes of memory, processors; None without a limit."""

    memory: int | None = None
    processors: float | None = None


@dataclass(frozen=True)
class Machine:
    """A machine: its processor and how many cores it has, those that this process may use, its memory in bytes, its system and
    Python, and the graphics processors that its drivers name, whatever PyTorch makes of them."""

    processor: str
    cores: int
    usable_cores: int
    memory: int
    limits: Limits
    system: str
    python: str
    graphics: tuple[str, ...] = ()
    is_mac: bool = False


@dataclass(frozen=True)
class Library:
    """A library by the name that it is imported by, the distribution that brings it, and its version; None where it is absent."""

    name: str
    distribution: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class OpenmpRuntimes:
    """The OpenMP runtimes of a process that loads PyTorch and XGBoost, each by its file below the folder of libraries; `fault`
    says how the process ended that computed with both, None where it computed."""

    files: tuple[str, ...]
    fault: str | None


@dataclass(frozen=True)
class Utilisation:
    """How busy an accelerator was, 0 to 1, at so many looks; `reason` says why nobody knows, None where it was looked."""

    mean: float | None
    looks: int
    reason: str | None = None


def read_limits(root: Path = Path("/")) -> Limits:
    """The smallest limits of the control groups that this process is in, those above included; both versions of control groups.

    `root` is where the file system begins.
    """
    memory: list[float] = []
    processors: list[float] = []
    for group in _list_groups(root):
        memory += _read_numbers(group / "memory.max") + _read_numbers(group / "memory.limit_in_bytes")
        processors += _divide(_read_numbers(group / "cpu.max"))
        processors += _divide(_read_numbers(group / "cpu.cfs_quota_us") + _read_numbers(group / "cpu.cfs_period_us"))
    memory = [limit for limit in memory if 0 < limit < NO_LIMIT]
    return Limits(int(min(memory)) if memory else None, min(processors) if processors else None)


def _list_groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups, and of those above."""
    mount = root / "sys" / "fs" / "cgroup"
    listing = root / "proc" / "self" / "cgroup"
    lines = listing.read_text().splitlines() if listing.is_file() else []
    for line in [*lines, "0::/"]:
        match = re.fullmatch(r"\d+:(?:name=)?([^:]*):/?(.*)", line)
        if match is None:
            continue
        top = mount / match[1].split(",")[0] if match[1] else mount
        folder = top / match[2]
        # A container may see its own group as the top, under a path of outside.
        yield from (one for one in (folder, *folder.parents) if one == top or top in one.parents)


def _read_numbers(path: Path) -> list[float]:
    """The numbers in a file; none where it says that there is no limit, or is not there."""
    words = path.read_text().split() if path.is_file() else []
    return [float(word) for word in words] if all(re.fullmatch(r"\d+", word) for word in words) else []


def _divide(quota: list[float]) -> list[float]:
    """The processors of a quota and its period."""
    return [quota[0] / quota[1]] if len(quota) == 2 and quota[1] else []
