"""A Redis server that work goes on without: a failure costs one call its patience, and the next ones nothing for a while."""

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from epic22.adapters.prediction_log import get_logger
from epic22.adapters.redis.server import Patience, RedisServer
from epic22.core.errors import StorageError, UnavailableError

if TYPE_CHECKING:
    from redis import Redis

Answer = TypeVar("Answer")
PATIENCE = Patience(0.3, 0.5)
"""What is cached can be had elsewhere: a server that takes longer is of no use."""
PAUSE_SECONDS = 5.0


class RedisLink:
    """Calls of a server that may be away, or refuse; after a failure nobody waits for it again for `pause_seconds`.

    `clock` gives seconds that only ever grow.
    """

    def __init__(self, server: RedisServer, pause_seconds: float = PAUSE_SECONDS, clock: Callable[[], float] = monotonic) -> None:
        self.server, self.pause_seconds = server, pause_seconds
        self._clock = clock
        self._paused_until = 0.0
        self._fault: str | None = None
        self._lock = Lock()

    @property
    def fault(self) -> str | None:
        """Why the last call failed, in a sentence; None where it did not. Never an address or a password."""
        return self._fault

    def call(self, command: "Callable[[Redis], Answer]") -> Answer | None:
        """What the server answers; None where it does not, or did not of late. Raises NotInstalledError."""
        if not self._try_turn():
            return None
        client = self.server.client
        try:
            with self.server.translate_faults():
                answer = command(client)
        except (UnavailableError, StorageError) as error:
            self.record_failure(str(error))
            return None
        except Exception as error:  # noqa: BLE001  whatever it is, what asked goes on without the server
            self.record_failure(f"our mistake, {type(error).__name__}")
            return None
        self.record_success()
        return answer

    def record_failure(self, reason: str) -> None:
        """Leave the server alone for a while; said once, until it answers again."""
        with self._lock:
            is_new, self._fault = self._fault is None, reason
            self._paused_until = self._clock() + self.pause_seconds
        if is_new:
            get_logger().warning("redis is away, work goes on without it", reason=reason)

    def record_success(self) -> None:
        """Note that the server answers."""
        if self._fault is None:
            return
        with self._lock:
            is_back, self._fault, self._paused_until = self._fault is not None, None, 0.0
        if is_back:
            get_logger().info("redis answers again")

    def _try_turn(self) -> bool:
        """Whether to call now. After a pause one call tries, and the others go without until it is known how that went."""
        if self._fault is None:
            return True
        with self._lock:
            now = self._clock()
            if now < self._paused_until:
                return False
            self._paused_until = now + self.pause_seconds
            return True
