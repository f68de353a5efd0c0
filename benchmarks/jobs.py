"""What a job costs beside its work, and how soon a dead worker's job is taken over, on a real PostgreSQL over TCP.

    PYTHONPATH=src:. python benchmarks/jobs.py

Jobs that do nothing are carried out by real workers without a process of their own, so that what is measured is the queue's
own: seconds from the submission to the end, and a job for one worker and for two. Then a worker is killed in the middle of a job,
five times. Last, what a short training takes of the processor, directly and as a job with a worker that ends with it, in turn
three times, and the longest silence among its events. Each part is written as it is done, and one that is there is not measured
again (`--again` does so). Writes benchmarks/results/jobs.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from stamp import machine
from tests.boilers import simulate_boilers
from tests.tcp_postgres import TcpPostgres
from tests.tiny_worker import start_worker, submit_tiny
from tests.waiting import wait_until

from epic22.adapters.metadata.job_events import JobEventTable
from epic22.adapters.metadata.jobs import JobTable
from epic22.bootstrap.jobs import open_job_stores
from epic22.bootstrap.jobs_database import open_jobs_database
from epic22.config import Settings
from epic22.core.job import JobRecord, JobRequest

RESULTS = Path(__file__).resolve().parent / "results" / "jobs.json"
JOBS, KILLS, PATIENCE, TRAININGS = 40, 5, 300.0, 3
TRAINING = (
    *("--csv", "boilers.csv", "--label", "failed_within_30_days", "--time", "read_at", "--horizon", "30", "--folds", "2"),
    *("--families", "constant,linear"),
)


def list_jobs(environment: Mapping[str, str]) -> tuple[JobRecord, ...]:
    """All jobs, the newest first."""
    return open_job_stores(Settings.read(environment)).records.list_jobs()


def measure_throughput(environment: Mapping[str, str], folder: Path, workers: int) -> dict[str, Any]:
    """Forty jobs by so many workers: seconds a job from the first begin to the last end, and how often each was carried out."""
    for _ in range(JOBS):
        submit_tiny(environment, "0")
    record = folder / "record.txt"
    processes = [start_worker(environment, record, f"w{number}", "until-idle") for number in range(workers)]
    codes = [process.wait(PATIENCE) for process in processes]
    jobs = list_jobs(environment)
    seconds = max(job.ended_at for job in jobs if job.ended_at) - min(job.started_at for job in jobs if job.started_at)
    ends = Counter(line for line in record.read_text().splitlines() if line.startswith("end"))
    return {
        "workers": workers,
        "jobs": len(jobs),
        "done": sum(job.state == "done" for job in jobs),
        "carried_out_twice": sum(n > 1 for n in ends.values()) + max(0, len(ends) - len(jobs)),
        "seconds_a_job": round(seconds.total_seconds() / len(jobs), 3),
        "exit_codes": codes,
    }


def measure_latency(environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Seconds from a submission to the begin, and from the end to the record of it, with a worker that waits."""
    worker = start_worker(environment, folder / "record.txt", "w")
    submit_tiny(environment, "0")
    wait_until(lambda: list_jobs(environment)[0].state == "done", PATIENCE)
    waits = []
    for _ in range(10):
        submit_tiny(environment, "0")
        wait_until(lambda: list_jobs(environment)[0].state == "done", PATIENCE)
        job = list_jobs(environment)[0]
        assert job.ended_at is not None
        waits.append((job.ended_at - job.submitted_at).total_seconds())
    worker.kill()
    worker.wait()
    return {"jobs": len(waits), "seconds_median": round(statistics.median(waits), 3), "seconds_max": round(max(waits), 3)}


def measure_take_over(environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Seconds from kill -9 of a worker to the begin of the next attempt, by another worker that waits."""
    seconds = [kill_worker(environment, folder, number) for number in range(KILLS)]
    return {"kills": KILLS, "seconds": seconds, "seconds_max": max(seconds)}


def kill_worker(environment: Mapping[str, str], folder: Path, number: int) -> float:
    """Seconds from one kill of a worker to the begin of the next attempt."""
    job, record = submit_tiny(environment, "60"), folder / "record.txt"
    begin = f"begin {job.id}/"
    first = start_worker(environment, record, f"a{number}")
    wait_until(lambda: count(record, begin) == 1, PATIENCE)
    second = start_worker(environment, record, f"b{number}")
    wait_until(lambda: is_awake(folder / f"b{number}.txt", environment), PATIENCE)
    time.sleep(3)
    first.kill()
    began = time.monotonic()
    wait_until(lambda: count(record, begin) == 2, PATIENCE)
    seconds = round(time.monotonic() - began, 2)
    open_job_stores(Settings.read(environment)).records.cancel(job.id)
    for process in (first, second):
        process.kill()
        process.wait()
    return seconds


def count(record: Path, begin: str) -> int:
    """How many lines of the record begin so."""
    return sum(line.startswith(begin) for line in record.read_text().splitlines()) if record.exists() else 0


def is_awake(output: Path, environment: Mapping[str, str]) -> bool:
    """Whether two workers beat, so that the second sees the first."""
    from epic22.adapters.metadata.workers import WorkerTable
    from epic22.bootstrap.jobs_database import open_jobs_database

    beats = WorkerTable(open_jobs_database(Settings.read(environment))).read_beats()
    return sum(n >= 3 for n in beats.values()) >= 2 and output.exists()


def measure_training(environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Processor seconds of a short training, directly and as a job, in turn; a job's are its worker's too, from its start to its
    end."""
    simulate_boilers(boilers=25, months=12).rows.write_csv(folder / "boilers.csv")
    own = {**os.environ, **environment, "EPIC22_THREADS": "1"}
    seconds: dict[str, list[float]] = {"direct": [], "job": []}
    silences = []
    for number in range(TRAININGS):
        words = (*TRAINING, "--task", f"job{number}")
        directly = ("train", *TRAINING, "--task", f"direct{number}")
        seconds["direct"].append(measure_processor(directly, folder, own))
        database = open_jobs_database(Settings.read(own))
        job = JobTable(database).add(JobRequest("train", words, folder, 1))
        seconds["job"].append(measure_processor(("work", "--once"), folder, own))
        assert JobTable(database).get(job.id).state == "done"
        moments = [event.at for event in JobEventTable(database).read(job.id, limit=5000)]
        silences.append(max((later - earlier).total_seconds() for earlier, later in pairwise(moments)))
    median = {kind: round(statistics.median(values), 2) for kind, values in seconds.items()}
    extra = [round(job - direct, 2) for direct, job in zip(seconds["direct"], seconds["job"], strict=True)]
    return {"processor_seconds": seconds, "median": median, "extra_seconds": extra, "longest_silence_seconds": max(silences)}


def measure_processor(words: tuple[str, ...], folder: Path, environment: Mapping[str, str]) -> float:
    """The processor seconds of a command, with all that it started and waited for."""
    with (folder / "said.txt").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "epic22", *words], env=environment, cwd=folder, stdout=said, stderr=said
        )
        _, status, used = os.wait4(process.pid, 0)
    assert status == 0, (folder / "said.txt").read_text()[-2000:]
    return round(used.ru_utime + used.ru_stime, 2)


PARTS: Mapping[str, Callable[[Mapping[str, str], Path], dict[str, Any]]] = {
    "latency": measure_latency,
    "one_worker": lambda environment, folder: measure_throughput(environment, folder, 1),
    "two_workers": lambda environment, folder: measure_throughput(environment, folder, 2),
    "take_over": measure_take_over,
    "training": measure_training,
}
"""What is measured, each in a database of its own."""


def main(again: bool) -> None:
    """Measure what is not measured yet."""
    results = {} if again or not RESULTS.exists() else json.loads(RESULTS.read_text())
    with TcpPostgres() as server:
        for name, measure in PARTS.items():
            if name in results:
                continue
            with tempfile.TemporaryDirectory() as folder:
                environment = {"EPIC22_HOME": f"{folder}/home", "EPIC22_DATABASE_URL": server.new_database()}
                measured = measure(environment, Path(folder))
            load = round(os.getloadavg()[0], 1)
            results[name] = measured | {"load": load}
            results["machine"] = machine()
            RESULTS.write_text(json.dumps(results, indent=2) + "\n")
            print(name, results[name])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--again", action="store_true", help="measure all parts again")
    main(parser.parse_args().again)
