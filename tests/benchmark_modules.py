"""The benchmarks' modules, which are scripts and in no installed package."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[1] / "benchmarks"


def benchmark_module(name: str) -> ModuleType:
    """A module below benchmarks/, found as its own scripts find one another."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return importlib.import_module(name)
