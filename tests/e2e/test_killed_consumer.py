"""kill -9 of a consumer and a stop of Redis: every event is in, none twice. `benchmarks/streams.py` does it with 100,000."""

import hashlib
import json
import os
import re
import subprocess
import urllib.request
from pathlib import Path

import pytest
from tests.event_streams import build_reading, fill_home, read_readings
from tests.killed_consumer import COMMAND, KillPlan, run_killed_consumer
from tests.redis_server import new_redis

SERVE = (*COMMAND[:-1], "serve")


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


@pytest.mark.slow
def test_what_a_server_accepted_before_it_was_killed_is_taken_in_by_the_command(tmp_path: Path) -> None:
    lake = fill_home(tmp_path / "home")
    token = "a token"
    keys = {"EPIC22_HOME": str(tmp_path / "home"), "EPIC22_EVENT_KEYS": hashlib.sha256(token.encode()).hexdigest()}
    environment = {**os.environ, **keys}
    server = subprocess.Popen([*SERVE, "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    match = re.search(r"http://\S+?:\d+", server.stdout.readline())
    assert match is not None
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    events = [{"id": event["id"], "row": event["row"]} for event in (build_reading(n) for n in range(30))]
    body = json.dumps({"events": events}).encode()
    request = urllib.request.Request(f"{match[0]}/v1/events/sensor_readings", body, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        assert (response.status, json.load(response)) == (202, {"accepted": 30, "waiting": 30})
    server.kill()
    server.communicate()
    done = subprocess.run([*COMMAND, "--once"], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "30 stored, 0 again, 0 quarantined; behind: 0 events" in done.stdout
    assert read_readings(lake).height == 30
