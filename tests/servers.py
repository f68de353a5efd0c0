"""Servers that tests start, stopped at the end of the session: a worker of pytest-xdist may be ended before its own end comes."""

import atexit
from collections.abc import Callable

STOPS: list[Callable[[], None]] = []


def stop_at_end(stop: Callable[[], None]) -> None:
    """Have a server stopped when the tests of this process, or it itself, have ended: at both, so that twice must do no harm."""
    STOPS.append(stop)
    atexit.register(stop)


def stop_all() -> None:
    """Stop them now, the youngest first."""
    while STOPS:
        STOPS.pop()()
