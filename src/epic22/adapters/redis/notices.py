"""Notices of promotions over Redis: who hears one asks the database who serves, so that a false or lost one changes no answer."""

from collections.abc import Callable
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from epic22.adapters.redis.link import RedisLink
from epic22.core.errors import StorageError, UnavailableError

if TYPE_CHECKING:
    from redis import Redis

CHANNEL = "epic22:champions"
WAIT_SECONDS = 1.0
"""So long the thread waits for a notice before it looks whether to stop."""


class PromotionNotices:
    """The channel `epic22:champions` of a server."""

    def __init__(self, link: RedisLink) -> None:
        self.link = link
        self._stop = Event()

    def announce(self, task: str) -> None:
        """Say that another version of a task may serve now; nothing where the server is away."""
        self.link.call(lambda client: client.publish(CHANNEL, task))

    def listen(self, on_notice: Callable[[], None]) -> None:
        """Call this, in a thread of its own, at every notice, and whenever some may have been lost."""
        Thread(target=self._listen, args=(on_notice,), name="epic22-notices", daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        self._stop.set()

    def _listen(self, on_notice: Callable[[], None]) -> None:
        client = self.link.server.client
        while not self._stop.is_set():
            try:
                with self.link.server.translate_faults():
                    self._follow(client, on_notice)
            except Exception as error:  # noqa: BLE001  whatever it is, it may pass, and without this thread no notice is heard
                known = isinstance(error, UnavailableError | StorageError)
                self.link.record_failure(str(error) if known else f"our mistake, {type(error).__name__}")
                self._stop.wait(self.link.pause_seconds)

    def _follow(self, client: "Redis", on_notice: Callable[[], None]) -> None:
        subscription: Any = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        with subscription as channel:
            channel.subscribe(CHANNEL)
            self.link.record_success()
            # Whatever was said before this is not heard any more.
            on_notice()
            while not self._stop.is_set():
                if channel.get_message(timeout=WAIT_SECONDS) is not None:
                    on_notice()
