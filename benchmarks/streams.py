"""Events of a real Redis into data versions: how many a second on one core, and that each counts once whatever is killed.

    PYTHONPATH=. python benchmarks/streams.py --scratch FOLDER [--events 100000] [--repeats 3]

Speed: the stream is filled, then one consumer, held to one core in a process of its own, takes it in until nothing waits; from
the first read to the last acknowledgement, commits included; Redis has the other core. Kills: events come while the consumer is
killed (-9) at 20 random moments and Redis is stopped and started twice; senders repeat themselves. At 100,000 events
benchmarks/results/streams.json and the section of docs/benchmarks.md are written.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from page import write_section
from stamp import machine
from tests.event_streams import build_reading, fill_home, read_readings, write_events
from tests.killed_consumer import KillPlan, run_killed_consumer
from tests.redis_server import RedisProcess, create_redis

from epic22.adapters.lake import Lake
from epic22.adapters.redis.server import RedisServer
from epic22.adapters.streams.redis_stream import RedisStream
from epic22.services.consume import BatchPolicy, BatchStored, Waiting, consume_events
from epic22.services.events import EventRequest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "streams.json"
FULL = 100_000
BATCHES = (5_000, 20_000, 50_000)
KILLS, OUTAGES = 20, 2
PAUSE_SECONDS = 0.15
"""So that events still come at the last kills: 400 parts of them in a minute."""
BAR = 20_000
STREAM, GROUP = "readings", "epic22"


def start_server() -> RedisProcess:
    """A Redis of its own that has started."""
    program = shutil.which("redis-server", path=f"{os.environ.get('PATH', '')}:{Path(sys.executable).parent}")
    if program is None:
        raise SystemExit("no redis-server is installed")
    redis = create_redis(program)
    why = redis.start()
    if why:
        raise SystemExit(why)
    return redis


def fill_stream(url: str, n: int) -> None:
    """Lay n events down."""
    client = RedisServer(url).client
    client.delete(STREAM)
    for start in range(0, n, 1_000):
        with client.pipeline(transaction=False) as pipeline:
            for event in write_events(build_reading(number) for number in range(start, min(n, start + 1_000))):
                pipeline.xadd(STREAM, {"event": event})
            pipeline.execute()


def consume_once(url: str, home: Path, batch: int) -> None:
    """Take everything in on one core, and print what it took: the worker's process."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    # What is imported when it is first used is no part of a consumer's work.
    consume_events(open_stream(url, "nothing"), Lake(home / "lake"), EventRequest("benchmark", "warm"), _policy(1), _ignore)
    reports: list[BatchStored] = []

    def collect(report: BatchStored | Waiting) -> None:
        if isinstance(report, BatchStored):
            reports.append(report)

    stream = open_stream(url, STREAM)
    begun, processor = time.perf_counter(), time.process_time()
    consume_events(stream, Lake(home / "lake"), EventRequest("benchmark", stream.name), _policy(batch), collect)
    seconds, processor = time.perf_counter() - begun, time.process_time() - processor
    found = {
        "events": sum(report.result.stored for report in reports),
        "versions": len(reports),
        "seconds": seconds,
        "processor_seconds": processor,
        "storing_seconds": sum(report.seconds for report in reports),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "lags": [None if report.lag is None else asdict(report.lag) for report in reports],
    }
    print(json.dumps(found))


def open_stream(url: str, name: str) -> RedisStream:
    """The stream of that name, open; one that is not there is made."""
    stream = RedisStream(RedisServer(url), name, GROUP, "one", is_own=name != STREAM)
    stream.open()
    return stream


def _policy(batch: int) -> BatchPolicy:
    return BatchPolicy(batch, 60.0, is_once=True)


def _ignore(report: BatchStored | Waiting) -> None:
    """Nothing is to be said of it."""


def measure_speed(redis: RedisProcess, scratch: Path, n: int, repeats: int) -> list[dict[str, Any]]:
    """The runs of all batch sizes in turn, so that a busy machine hits all alike."""
    runs = []
    for repeat in range(repeats):
        for batch in BATCHES:
            home = scratch / f"speed-{repeat}-{batch}" / "home"
            shutil.rmtree(home.parent, ignore_errors=True)
            fill_home(home)
            fill_stream(redis.url, n)
            command = [sys.executable, __file__, "--scratch", str(home), "--worker", str(batch), "--url", redis.url]
            run = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            rows = read_readings(Lake(home / "lake")).height
            if (run["events"], rows) != (n, n):
                raise SystemExit(f"{run['events']:,} events and {rows:,} rows in place of {n:,}")
            runs.append({"batch": batch, "repeat": repeat} | run)
            print(f"batches of {batch:,}: {n / run['seconds']:,.0f} events a second", flush=True)
            shutil.rmtree(home.parent)
    return runs


def measure_kills(scratch: Path, n: int, kills: int) -> dict[str, Any]:
    """What is stored after all kills."""
    folder = scratch / "kills"
    shutil.rmtree(folder, ignore_errors=True)
    fill_home(folder / "home")
    redis = start_server()
    plan = KillPlan(events=n, kills=kills, outages=OUTAGES, batch=1_000, pause=PAUSE_SECONDS)
    outcome = run_killed_consumer(redis, folder / "home", plan)
    redis.remove()
    return {
        "plan": asdict(plan),
        "sent": outcome.sent,
        "stored": outcome.stored,
        "distinct": outcome.distinct,
        "waiting": outcome.waiting,
        "versions": outcome.versions,
        "came_again": outcome.repeated,
        "max_lag": dict(outcome.max_lag),
        "seconds": outcome.seconds,
    }


def describe_results(found: dict[str, Any]) -> str:
    """The section of the page."""
    n, load = found["events"], found["load"]
    default = [run for run in found["runs"] if run["batch"] == BatchPolicy().events]
    verdict = "met" if max(n / run["seconds"] for run in default) >= BAR else "missed"
    behind = ", ".join(f"{lag['events']:,} ({lag['seconds']:.1f} s)" for lag in default[0]["lags"])
    lines = [
        "## Events of a stream",
        "",
        f"`python benchmarks/streams.py`: {n:,} sensor readings, an event each, from Redis {found['redis']} on this machine,",
        f"its append-only file switched on; {found['machine']}, load {load[0]} before and {load[1]} after.",
        "The consumer has one core; the time is from its first read to its last acknowledgement, with every check and commit.",
        "",
        "| events a batch | versions | events a second, best | median | by processor time, best | peak memory, MB |",
        "|---|---|---|---|---|---|",
        *(describe_batch(n, batch, found["runs"]) for batch in BATCHES),
        "",
        f"The bar of {BAR:,} events a second is {verdict} with batches of 20,000, the default. Behind after each of them,",
        f"as the consumer says: {behind}.",
        "",
        *describe_kills(found["kills"]),
    ]
    return "\n".join(lines)


def describe_batch(n: int, batch: int, runs: list[dict[str, Any]]) -> str:
    """A batch size's line of the table."""
    chosen = [run for run in runs if run["batch"] == batch]
    speeds = [n / run["seconds"] for run in chosen]
    processor = max(n / run["processor_seconds"] for run in chosen)
    peak = max(run["peak_mb"] for run in chosen)
    figures = f"{max(speeds):,.0f} | {median(speeds):,.0f} | {processor:,.0f} | {peak:,.0f}"
    return f"| {batch:,} | {chosen[0]['versions']} | {figures} |"


def describe_kills(kills: dict[str, Any]) -> list[str]:
    """What was stored after all kills, in words."""
    plan, lag = kills["plan"], kills["max_lag"]
    return [
        f"Killed (-9) at {plan['kills']} random moments, Redis stopped and started {plan['outages']} times, while events came,",
        f"in batches of {plan['batch']:,}: of {kills['sent']:,} that were sent, repetitions of senders among them,",
        f"**{kills['stored']:,} are stored, {kills['distinct']:,} of them different, {kills['waiting']} wait**.",
        f"{kills['came_again']:,} came to a consumer again and count once; {kills['versions']} data versions;",
        f"at most {lag['events']:,} events and {lag['seconds']:.1f} s behind.",
    ]


def main() -> None:
    """Measure, and write it down at full size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--events", type=int, default=FULL)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        consume_once(given.url, given.scratch, given.worker)
        return
    before = os.getloadavg()[0]
    redis = start_server()
    version = RedisServer(redis.url).client.info("server")["redis_version"]
    runs = measure_speed(redis, given.scratch.resolve(), given.events, given.repeats)
    redis.remove()
    kills = measure_kills(given.scratch.resolve(), given.events, given.kills)
    load = [round(before, 1), round(os.getloadavg()[0], 1)]
    found = {"events": given.events, "redis": version, "machine": machine(), "load": load, "runs": runs, "kills": kills}
    print(describe_results(found))
    if given.events == FULL and given.kills == KILLS:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        write_section(ROOT / "docs" / "benchmarks.md", "streams", describe_results(found))


if __name__ == "__main__":
    main()
