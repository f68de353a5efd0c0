"""How patiently a server is asked, by which clock, within which bounds. Nothing here needs the network."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class RetryPolicy:
    """How long a server is waited for, in seconds, and how often it is tried.

    A wait doubles from `wait_initial` to `wait_max`, with up to `wait_jitter` added by chance; where the server says how long,
    that long, up to `max_retry_after`. `max_failures` and `cool_down` are those of the circuit.
    """

    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    attempts: int = 5
    wait_initial: float = 0.5
    wait_max: float = 30.0
    wait_jitter: float = 1.0
    max_retry_after: float = 120.0
    max_failures: int = 5
    cool_down: float = 60.0


@dataclass(frozen=True)
class SystemClock:
    """The machine's time: `now` (UTC, without a zone), seconds that only ever grow, and a pause."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC).replace(tzinfo=None)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class BodyBounds:
    """What a body may take: its bytes once unzipped, and the moment of the monotonic clock when it must have come."""

    max_bytes: int
    deadline: float
