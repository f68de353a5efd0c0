"""Servers that fail again and again are left alone for a while."""

from collections.abc import Callable
from dataclasses import dataclass, field

from epic22.adapters.http.answer import Server


@dataclass
class Circuit:
    """Which servers are left alone: after `max_failures` failures in a row, for `cool_down` seconds; then one request is tried.

    `clock` gives seconds that only ever grow.
    """

    max_failures: int
    cool_down: float
    clock: Callable[[], float]
    _failures: dict[Server, int] = field(default_factory=dict)
    _opened_at: dict[Server, float] = field(default_factory=dict)

    def is_open(self, server: Server) -> bool:
        """Whether a server is left alone now."""
        opened = self._opened_at.get(server)
        return opened is not None and self.clock() - opened < self.cool_down

    def record_failure(self, server: Server) -> None:
        """Note that a request failed; one that was tried after the cool-down opens the circuit again."""
        self._failures[server] = self._failures.get(server, 0) + 1
        if self._failures[server] >= self.max_failures:
            self._opened_at[server] = self.clock()

    def record_success(self, server: Server) -> None:
        """Note that the server answers."""
        self._failures.pop(server, None)
        self._opened_at.pop(server, None)
