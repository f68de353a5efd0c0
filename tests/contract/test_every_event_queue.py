"""Every place where events wait passes the same suite: all or none is added, each is given until it is acknowledged."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.event_streams import build_reading, write_events
from tests.redis_server import new_redis

from epic22.adapters.redis.server import RedisServer
from epic22.adapters.streams.redis_stream import RedisEventQueue, RedisStream
from epic22.adapters.streams.spool import EventSpool
from epic22.core.errors import QueueFullError
from epic22.core.ports import EventQueue, EventStream

LIMIT = 10


@dataclass(frozen=True)
class Waiting:
    """A queue, and its stream as a consumer opens it after each start."""

    queue: EventQueue
    open_stream: Callable[[], EventStream]


@pytest.fixture(params=["file", "redis"])
def waiting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Waiting]:
    if request.param == "file":
        path = tmp_path / "events.sqlite"
        yield Waiting(EventSpool(path, LIMIT), lambda: EventSpool(path, LIMIT))
        return
    redis = new_redis()

    def open_stream() -> EventStream:
        stream = RedisStream(RedisServer(redis.url), "queue", "epic22", "one", is_own=True)
        stream.open()
        return stream

    yield Waiting(RedisEventQueue(RedisServer(redis.url), "queue", LIMIT), open_stream)
    redis.remove()


def build_events(*numbers: int) -> Sequence[bytes]:
    return write_events(build_reading(n) for n in numbers)


def read_all(stream: EventStream, n: int = LIMIT) -> list[bytes]:
    return [event.content for event in stream.read(n, 0.0)]


def test_events_come_in_their_order_each_later_than_the_one_before(waiting: Waiting) -> None:
    assert waiting.queue.add("sensor_readings", build_events(3, 1)) == 2
    assert waiting.queue.add("sensor_readings", build_events(2)) == 3
    events = waiting.open_stream().read(LIMIT, 0.0)
    assert [event.content for event in events] == build_events(3, 1, 2)
    moments = [event.arrived for event in events]
    assert moments == sorted(set(moments))
    assert abs(moments[0] / 1e6 - time.time()) < 60
    assert {event.table for event in events} == {"sensor_readings"}


def test_no_event_is_given_twice_by_one_consumer_before_it_begins_again(waiting: Waiting) -> None:
    stream = waiting.open_stream()
    waiting.queue.add("sensor_readings", build_events(1, 2, 3))
    assert (read_all(stream, 2), read_all(stream), read_all(stream)) == (build_events(1, 2), build_events(3), [])
    stream.rewind()
    assert read_all(stream) == build_events(1, 2, 3)


def test_large_events_are_read_a_part_at_a_time(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epic22.adapters.streams.spool.MAX_READ_BYTES", 300)
    monkeypatch.setattr("epic22.adapters.streams.redis_stream.ENTRIES_AT_ONCE", 2)
    waiting.queue.add("sensor_readings", build_events(1, 2, 3))
    stream = waiting.open_stream()
    assert (read_all(stream), read_all(stream)) == (build_events(1, 2), build_events(3))


def test_what_is_not_acknowledged_is_given_again_after_a_restart_and_nothing_else(waiting: Waiting) -> None:
    waiting.queue.add("sensor_readings", build_events(1, 2, 3))
    stream = waiting.open_stream()
    stream.acknowledge(stream.read(2, 0.0))
    stream.read(1, 0.0)
    again = waiting.open_stream()
    assert read_all(again) == build_events(3)
    assert again.is_finished is False


def test_a_consumer_waits_for_events_no_longer_than_it_says(waiting: Waiting) -> None:
    stream, start = waiting.open_stream(), time.monotonic()
    assert list(stream.read(LIMIT, 0.3)) == []
    assert 0.25 < time.monotonic() - start < 5


def test_more_than_may_wait_is_refused_whole_until_some_are_acknowledged(waiting: Waiting) -> None:
    waiting.queue.add("sensor_readings", build_events(*range(8)))
    with pytest.raises(QueueFullError, match="8 events wait of at most 10"):
        waiting.queue.add("sensor_readings", build_events(8, 9, 10))
    stream = waiting.open_stream()
    stream.acknowledge(stream.read(LIMIT, 0.0))
    assert waiting.queue.add("sensor_readings", build_events(8, 9, 10)) == 3


def test_the_lag_counts_what_is_not_acknowledged_and_the_age_of_the_oldest(waiting: Waiting) -> None:
    stream = waiting.open_stream()
    lag = stream.measure_lag()
    assert lag is not None
    assert (lag.events, lag.seconds) == (0, 0.0)
    waiting.queue.add("sensor_readings", build_events(1, 2, 3))
    time.sleep(0.05)
    events = stream.read(2, 0.0)
    lag = stream.measure_lag()
    assert lag is not None
    assert (lag.events, lag.is_bound) == (3, False)
    assert 0.04 < lag.seconds < 30
    stream.acknowledge(events)
    lag = stream.measure_lag()
    assert lag is not None
    assert lag.events == 1


def test_events_of_a_content_are_counted_and_removed(waiting: Waiting) -> None:
    waiting.queue.add("sensor_readings", build_events(1, 2, 3))
    queue = waiting.queue
    assert isinstance(queue, EventSpool | RedisEventQueue)
    assert queue.count_events(lambda content: b'"e2"' in content) == 1
    queue.remove_events(lambda content: b'"e2"' in content)
    assert read_all(waiting.open_stream()) == build_events(1, 3)
