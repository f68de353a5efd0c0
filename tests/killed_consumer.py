"""A consumer that is killed at random moments while events come, and a Redis that is stopped under it."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from epic22.adapters.lake import Lake
from epic22.adapters.redis.server import RedisServer
from epic22.adapters.streams.redis_stream import RedisStream
from epic22.core.errors import UnavailableError
from tests.event_streams import build_reading, read_readings, write_events
from tests.redis_server import RedisProcess

COMMAND = (sys.executable, "-c", "from epic22.cli.main import run; run()", "consume")
STREAM, GROUP, CONSUMER = "readings", "epic22", "one"
SENT_AT_ONCE = 250
SENT_TWICE = 50
"""Of every part the first ones are sent a second time, as a sender does that has not heard of the first."""
WINDOW_SECONDS = 0.5
"""The consumer is killed within so long after it has stored its first batch."""
OUTAGE_SECONDS = 0.5


@dataclass(frozen=True)
class KillPlan:
    """How many events come, how often the consumer is killed and Redis stopped, how large a batch is.

    The sender pauses for `pause` seconds between two parts of the events.
    """

    events: int
    kills: int
    outages: int
    batch: int
    pause: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class KillOutcome:
    """What was sent and what is stored: `distinct` rows are those that differ, `reports` what the consumers said."""

    sent: int
    stored: int
    distinct: int
    versions: int
    waiting: int
    seconds: float
    reports: Sequence[Mapping[str, Any]] = field(repr=False)

    @property
    def repeated(self) -> int:
        """How many events were given to a consumer that knew them."""
        return sum(int(report["repeated"]) for report in self.reports)

    @property
    def max_lag(self) -> Mapping[str, Any]:
        """How far a consumer said that it was behind at most; it says nothing of it while Redis is away."""
        lags = (report["lag"] for report in self.reports if report["lag"] is not None)
        return max(lags, key=lambda lag: int(lag["events"]))


class Sender(Thread):
    """Sends events one after the other, and again what may not have come."""

    def __init__(self, url: str, plan: KillPlan) -> None:
        super().__init__(daemon=True)
        self.server, self.n, self.pause, self.sent = RedisServer(url), plan.events, plan.pause, 0

    def run(self) -> None:
        for start in range(0, self.n, SENT_AT_ONCE):
            events = write_events(build_reading(n) for n in range(start, min(self.n, start + SENT_AT_ONCE)))
            while not self._send([*events, *events[:SENT_TWICE]]):
                time.sleep(0.05)
            time.sleep(self.pause)

    def _send(self, events: Sequence[bytes]) -> bool:
        self.sent += len(events)
        try:
            with self.server.translate_faults(), self.server.client.pipeline(transaction=False) as pipeline:
                for event in events:
                    pipeline.xadd(STREAM, {"event": event})
                pipeline.execute()
        except UnavailableError:
            return False
        return True


def run_killed_consumer(redis: RedisProcess, home: Path, plan: KillPlan) -> KillOutcome:
    """What is stored in a home with the equipment in it, once all events have come and the last consumer found nothing more."""
    begun = time.monotonic()
    RedisStream(RedisServer(redis.url), STREAM, GROUP, CONSUMER, is_own=True).open()
    sender = Sender(redis.url, plan)
    sender.start()
    chance = random.Random(plan.seed)
    outages = set(chance.sample(range(plan.kills), plan.outages))
    log = home.parent / "consumer.jsonl"
    for number in range(plan.kills):
        consumer = start_consumer(redis.url, home, log, plan.batch)
        _wait_for_batch(consumer, log)
        time.sleep(chance.random() * WINDOW_SECONDS)
        if number in outages:
            redis.stop()
            time.sleep(OUTAGE_SECONDS)
            redis.start()
            _wait_for_batch(consumer, log)
        assert consumer.poll() is None, "a consumer ended by itself"
        consumer.kill()
        consumer.wait()
    sender.join()
    assert start_consumer(redis.url, home, log, plan.batch, "--once").wait(600) == 0
    lake = Lake(home / "lake")
    rows = read_readings(lake).select("equipment_id", "measured_at", "kind", "value")
    reports = [json.loads(line) for line in log.read_text().splitlines()]
    lag = RedisStream(RedisServer(redis.url), STREAM, GROUP, CONSUMER).measure_lag()
    seconds = time.monotonic() - begun
    return KillOutcome(sender.sent, rows.height, rows.n_unique(), len(lake.log()), lag.events, seconds, reports)


def start_consumer(url: str, home: Path, log: Path, batch: int, *options: str) -> "subprocess.Popen[bytes]":
    """A consumer in a process of its own, which says on a line a batch what became of it."""
    names = ("--source", "env:EVENTS", "--stream", STREAM, "--group", GROUP, "--consumer", CONSUMER)
    with log.open("ab") as reports, log.with_suffix(".err").open("ab") as errors:
        return subprocess.Popen(
            [*COMMAND, *names, "--batch", str(batch), "--every", "0.2", "--json", *options],
            env={**os.environ, "EPIC22_HOME": str(home), "EVENTS": url},
            stdout=reports,
            stderr=errors,
        )


def _wait_for_batch(consumer: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the consumer has said something, or for so long that nothing is left to say."""
    size, end = log.stat().st_size, time.monotonic() + 20
    while log.stat().st_size == size and time.monotonic() < end and consumer.poll() is None:
        time.sleep(0.005)
