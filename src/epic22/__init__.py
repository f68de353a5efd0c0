"""Epic 22: machine learning for property management, honest from the first row to the served decision."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epic22.bootstrap.python_api import ablate, audit, compare, forecast, load, promote, train

__version__ = "0.2.0"
__all__ = ["ablate", "audit", "compare", "forecast", "load", "promote", "train"]


def __getattr__(name: str) -> Any:
    """The Python call, imported when it is first used: `import epic22` itself loads no library."""
    if name not in __all__:
        raise AttributeError(f"module 'epic22' has no attribute {name!r}")
    # As on the command line: two trainings on the same cores otherwise spend their time spinning for each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return getattr(import_module("epic22.bootstrap.python_api"), name)
