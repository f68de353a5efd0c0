"""kill -9 of a consumer and a stop of Redis: every event is in, none twice. `benchmarks/streams.py` does it with 100,000."""

from pathlib import Path

import pytest
from tests.event_streams import fill_home
from tests.killed_consumer import KillPlan, run_killed_consumer
from tests.redis_server import new_redis


@pytest.mark.slow
def test_a_consumer_that_is_killed_and_whose_redis_is_stopped_counts_every_event_once(tmp_path: Path) -> None:
    redis = new_redis()
    fill_home(tmp_path / "home")
    outcome = run_killed_consumer(redis, tmp_path / "home", KillPlan(events=3_000, kills=2, outages=1, batch=100))
    assert (outcome.stored, outcome.distinct, outcome.waiting) == (3_000, 3_000, 0)
    assert outcome.sent > 3_000
    assert outcome.repeated >= 600, "senders repeat, and none of it counts"
    assert outcome.max_lag["events"] > 100
    assert "no connection to the Redis server" in (tmp_path / "consumer.err").read_text()
    redis.remove()
