"""Events: where they wait, and their way into data versions."""

import socket
import sys
from dataclasses import dataclass
from datetime import timedelta

from epic22.adapters.home import translate_storage_faults
from epic22.adapters.redis.server import SETTING, RedisServer
from epic22.adapters.streams.lines import LineStream
from epic22.adapters.streams.redis_stream import GROUP, IDLE_SECONDS, STREAM, RedisEventQueue, RedisStream
from epic22.adapters.streams.spool import EventSpool
from epic22.bootstrap.components import Components, current_user
from epic22.config import Settings, check_redis_url
from epic22.core.errors import SourceError, StorageError, UserError
from epic22.core.ports import EventQueue, EventStream
from epic22.core.tables.canonical import get_canonical_table
from epic22.services.consume import BatchPolicy, Report, consume_events
from epic22.services.events import DEFAULT_HORIZON, EventRequest

STANDARD_INPUT = "-"
SPOOL = "events.sqlite"
"""The file of the home in which events wait that the API accepted."""


@dataclass(frozen=True)
class StreamOptions:
    """Which events are asked for: `source` is an address of Redis, `-` for standard input, None for what the API accepted.

    `stream`, `group` and `consumer` are of Redis, each by its default where None; `table` is that of lines that name none.
    """

    source: str | None = None
    stream: str | None = None
    group: str | None = None
    consumer: str | None = None
    table: str | None = None
    horizon: timedelta = DEFAULT_HORIZON


def consume_stream(components: Components, options: StreamOptions, policy: BatchPolicy, report: Report) -> None:
    """Take events into data versions, batch by batch, until the stream is finished or this is interrupted.

    Raises UserError where the stream refuses, or there is none, and with `is_once` where its server, or that of the tables, is
    away at the start.
    """
    stream = _open_stream(components.settings, options, policy)
    if policy.is_once:
        # Who wants an end is told that there was no server; who wants to follow waits for it, as for one that goes away later.
        components.table_store.latest()
    request = EventRequest(current_user(), stream.name, options.horizon)
    with translate_storage_faults(components.settings.home):
        consume_events(stream, components.table_store, request, policy, report)


def open_event_queue(settings: Settings) -> EventQueue:
    """Where the API lays events down: in Redis where that is set, else in a file of the home."""
    return open_spool(settings) if settings.redis_url is None else open_redis_queue(settings.redis_url)


def open_spool(settings: Settings) -> EventSpool:
    """The file of the home in which events wait."""
    return EventSpool(settings.home / SPOOL)


def open_redis_queue(url: str) -> RedisEventQueue:
    """The stream in which events wait."""
    return RedisEventQueue(open_redis_server(url))


def open_redis_server(url: str) -> RedisServer:
    """The server of the setting, for work that cannot go on without it."""
    return RedisServer(url, SETTING, StorageError)


def _open_stream(settings: Settings, options: StreamOptions, policy: BatchPolicy) -> EventStream:
    if options.table is not None:
        get_canonical_table(options.table)
    if options.source == STANDARD_INPUT:
        return LineStream(sys.stdin.fileno(), options.table)
    if options.table is not None:
        raise UserError("--table is for lines on standard input; an event in Redis or from the API names its table itself.")
    if options.source is None and settings.redis_url is None:
        return open_spool(settings)
    return _open_redis_stream(settings, options, policy)


def _open_redis_stream(settings: Settings, options: StreamOptions, policy: BatchPolicy) -> EventStream:
    if options.source is None:
        assert settings.redis_url is not None
        server, is_own = open_redis_server(settings.redis_url), options.stream is None
    else:
        check_redis_url(options.source, "--source")
        server, is_own = RedisServer(options.source, "--source", SourceError), False
    consumer = options.consumer or socket.gethostname() or "consumer"
    names = (options.stream or STREAM, options.group or GROUP, consumer)
    stream = RedisStream(server, *names, is_own, IDLE_SECONDS + 2 * policy.seconds)
    if policy.is_once:
        stream.open()
    return stream
