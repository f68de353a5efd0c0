"""The connection to a Redis server: what it refuses in one sentence that never shows its address, and what may pass in time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING
from weakref import finalize

from epic22.core.errors import NotInstalledError, StorageError, UnavailableError, UserError

if TYPE_CHECKING:
    from redis import Redis

SETTING = "EPIC22_REDIS_URL"
PASSING_REPLIES = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "OOM", "MISCONF", "NOREPLICAS")
"""How the replies begin by which a server says that it cannot now, and may later."""


@dataclass(frozen=True)
class Patience:
    """How many seconds are waited for a connection, and for an answer; a command that waits on purpose says so with a longer time
    of its own."""

    connect: float
    answer: float


CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
PATIENCE = Patience(CONNECT_SECONDS, ANSWER_SECONDS)
"""For work that cannot go on without the server."""


class RedisServer:
    """The server at an address such as `redis://user:password@host:6379/0`, `rediss://…` or `unix:///path`.

    `option` is what named it, for messages; `fault` the error where it refuses for good. Nothing is asked before it is used.
    """

    def __init__(
        self, url: str, option: str = SETTING, fault: type[UserError] = StorageError, patience: Patience = PATIENCE
    ) -> None:
        self._url = url
        self.option = option
        self._fault = fault
        self._patience = patience

    def __repr__(self) -> str:
        return f"RedisServer({self.option})"

    @cached_property
    def client(self) -> "Redis":
        """The client, which answers in bytes; its connections are closed with this object. Raises NotInstalledError."""
        if find_spec("redis") is None:
            raise NotInstalledError(f"{self.option}: the library 'redis' is not installed; pip install 'epic22[redis]'.")
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # Who uses the server decides whether to wait for it, to do without or to say so: the library tries once again at most,
        # for a connection that the server has closed since the last command.
        client = Redis.from_url(
            self._url,
            # The same form of answers from every version of the server.
            protocol=2,
            socket_connect_timeout=self._patience.connect,
            socket_timeout=self._patience.answer,
            retry=Retry(NoBackoff(), 1),
        )
        finalize(self, client.close)
        return client

    def check(self) -> None:
        """Raise what `translate_faults` does where the server does not answer."""
        client = self.client
        with self.translate_faults():
            client.ping()

    @contextmanager
    def translate_faults(self) -> Iterator[None]:
        """Raise UnavailableError for a server that does not answer now and may later, and the fault for one that refuses: of a
        wrong password, user, command or kind of key."""
        from redis.exceptions import AuthenticationError, AuthorizationError, ConnectionError, NoPermissionError, RedisError
        from redis.exceptions import TimeoutError as RedisTimeoutError

        try:
            yield
        except (AuthenticationError, AuthorizationError) as error:
            raise self._fault(f"{self.option}: the Redis server refuses the user or password; mend the address.") from error
        except NoPermissionError as error:
            raise self._fault(f"{self.option}: this user may not do that on the Redis server: {_shorten(error)}.") from error
        except RedisTimeoutError as error:
            raise UnavailableError(
                f"{self.option}: the Redis server did not answer in time; see whether it runs and can be reached."
            ) from error
        except (ConnectionError, OSError) as error:
            raise UnavailableError(
                f"{self.option}: no connection to the Redis server ({_describe_cause(error)}); see whether it runs, and mend the "
                "address otherwise."
            ) from error
        except RedisError as error:
            kind = UnavailableError if str(error).startswith(PASSING_REPLIES) else self._fault
            raise kind(f"{self.option}: the Redis server refuses: {_shorten(error)}.") from error


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")


def _describe_cause(error: BaseException) -> str:
    """What the system says of a connection that failed; never the address, which the library's own words hold."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return "it was closed"
