"""What this machine is and which libraries it has, read without importing any of them."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from epic22.core.machine import Library, Machine, read_limits

SECONDS = 10.0
"""A command that takes longer to answer is not waited for."""

DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    "xgboost": ("xgboost-cpu", "xgboost"),
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-macos"),
    "tensorflow-plugins": ("tensorflow-metal",),
    "keras": ("keras",),
    "jax": ("jax",),
}
"""The libraries that are looked for, by the name that imports them, and the distributions that may bring each."""


def read_machine() -> Machine:
    """This machine."""
    is_mac = sys.platform == "darwin"
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        _read_processor(is_mac),
        os.cpu_count() or 1,
        usable,
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        read_limits(),
        f"macOS {platform.mac_ver()[0]}" if is_mac else _read_system(),
        platform.python_version(),
        list_graphics(),
        is_mac,
    )


def _read_processor(is_mac: bool) -> str:
    if is_mac:
        return ask("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({platform.machine()})" if names else platform.machine()


def _read_system() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        name = platform.system()
    return f"{name}, {platform.system()} {platform.release()}"


def list_graphics() -> tuple[str, ...]:
    """The graphics processors that NVIDIA's driver names, each with the driver's version; on Apple's own processors theirs."""
    lines = ask("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").splitlines()
    graphics = [" with driver ".join(part.strip() for part in line.rsplit(",", 1)) for line in lines if "," in line]
    if sys.platform == "darwin" and platform.machine() == "arm64":
        graphics.append(f"{_read_processor(True)}, macOS {platform.mac_ver()[0]}")
    return tuple(graphics)


def list_libraries() -> tuple[Library, ...]:
    """The libraries that matter here, absent ones too."""
    return tuple(_find_library(name, distributions) for name, distributions in DISTRIBUTIONS.items())


def _find_library(name: str, distributions: tuple[str, ...]) -> Library:
    if find_spec(name) is None:
        return Library(name)
    for distribution in distributions:
        try:
            return Library(name, distribution, version(distribution))
        except PackageNotFoundError:
            continue
    return Library(name, name, "of an unknown version")


def ask(*command: str) -> str:
    """What a command answers; nothing where it is not there, fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
