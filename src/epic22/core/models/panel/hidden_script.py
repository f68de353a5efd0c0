"""The caller's script, kept from being run again by processes that are spawned."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hide_script() -> Iterator[None]:
    """Keep the processes that are spawned from running the caller's script again, which they do not need."""
    script = sys.modules["__main__"]
    names = {name: getattr(script, name) for name in ("__file__", "__spec__") if hasattr(script, name)}
    script.__spec__ = None
    vars(script).pop("__file__", None)
    try:
        yield
    finally:
        vars(script).update(names)
