"""Searches of 50 trials a training part as jobs on two cores, one killed (-9) on the way; and what a job costs beside one.

    PYTHONPATH=src:. python benchmarks/searched_jobs.py --scratch FOLDER

The three row features of the sample portfolio, nested, boosting and linear. Each is trained directly, then as a job, in turn, by
a worker that ends with it; worker and process of one are killed in the middle of its search, and another worker goes on. Told are
processor and wall seconds of each, what the worker took by itself (the difference of two trainings' processor time varies by more
than that), and the longest silence among a job's events. A run that is there by the same sources is not
made again, one of former sources stays until it is. Writes benchmarks/results/searched_jobs.json and the section of
docs/benchmarks.md.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from page import write_section
from stamp import machine, source_stamp
from tests.waiting import wait_until

from epic22.adapters.metadata.job_events import JobEventTable
from epic22.adapters.metadata.jobs import JobTable
from epic22.adapters.model_store import ModelStore
from epic22.bootstrap.jobs_database import open_jobs_database
from epic22.config import Settings
from epic22.core.job import JobRecord, JobRequest
from epic22.core.job_event import JobEvent
from epic22.core.progress import WorkAdvanced

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "searched_jobs.json"
CORES, PATIENCE, SECONDS_BETWEEN_LOOKS = 2, 4 * 3600.0, 0.2
STEPS_BEFORE_KILL = 100
"""Trials and folds that are done before the worker is killed: in the second search or the third."""


@dataclass(frozen=True, slots=True)
class Search:
    """A training with a nested search; the job of one that is killed is taken over by another worker."""

    feature: str
    trials: int
    is_killed: bool = False

    @property
    def name(self) -> str:
        """Its name on the page."""
        return f"{self.feature}, {self.trials} trials"

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments of `epic22 train`."""
        return (self.feature, "--trials", str(self.trials), "--families", "constant,linear,boosting")


SEARCHES = (
    Search("tenant_churn", 50),
    Search("risk_assessment", 50),
    Search("predictive_maintenance", 50, is_killed=True),
)
COMMAND = (sys.executable, "-c", "from epic22.cli.main import run; run()")


def describe_home(home: Path) -> dict[str, str]:
    """The environment of a home."""
    return {**os.environ, "EPIC22_HOME": str(home), "EPIC22_THREADS": str(CORES)}


def build_home(folder: Path, name: str) -> Path:
    """A home of that name with the sample portfolio as its first data version."""
    base, home = folder / "base", folder / name
    if not (base / "lake").exists():
        for words in (("sample", "--folder", str(folder / "sample")), ("ingest", str(folder / "sample" / "tables"))):
            subprocess.run([*COMMAND, *words], env=describe_home(base), stdout=subprocess.DEVNULL, check=True)
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(base, home)
    return home


def measure_process(words: tuple[str, ...], home: Path) -> dict[str, float]:
    """The processor and wall seconds of a command, with all that it started and waited for; and what it took by itself."""
    began, own = time.monotonic(), 0.0
    with (home / "said.txt").open("ab") as said:
        process = subprocess.Popen([*COMMAND, *words], env=describe_home(home), stdout=said, stderr=said)
        view, ended = psutil.Process(process.pid), 0
        while not ended:
            with suppress(psutil.Error):
                times = view.cpu_times()
                own = max(own, times.user + times.system)
            time.sleep(SECONDS_BETWEEN_LOOKS)
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
    assert status == 0, (home / "said.txt").read_text()[-2000:]
    return {
        "processor_seconds": round(used.ru_utime + used.ru_stime, 2),
        "own_seconds": round(own, 2),
        "seconds": round(time.monotonic() - began, 2),
    }


def train_directly(search: Search, folder: Path) -> dict[str, Any]:
    """A direct training."""
    home = build_home(folder, f"direct-{search.feature}")
    measured: dict[str, Any] = measure_process(("train", *search.words), home)
    return measured | {"model_hash": ModelStore(home / "models").champion(search.feature).model_hash}


def train_as_job(search: Search, folder: Path) -> dict[str, Any]:
    """The same as a job, by a worker that ends with it; its worker and process are killed where it is the one that is."""
    home = build_home(folder, f"job-{search.feature}")
    jobs = JobTable(open_jobs_database(Settings(home, CORES)))
    job = jobs.add(JobRequest("train", search.words, home, CORES))
    killed = kill_worker(home, jobs, job) if search.is_killed else {}
    # Who begins right after a kill waits until the dead worker's job can be taken over.
    measured: dict[str, Any] = measure_process(("work", "--until-idle" if killed else "--once"), home)
    ended, events = jobs.get(job.id), list_events(home, job.id)
    assert ended.state == "done", ended.reason
    assert ended.ended_at is not None
    silences = [(later.at - earlier.at).total_seconds() for earlier, later in pairwise(events)]
    return measured | {
        "model_hash": ModelStore(home / "models").champion(search.feature).model_hash,
        "versions": len(ModelStore(home / "models").list_versions(search.feature)),
        "from_submission_seconds": round((ended.ended_at - ended.submitted_at).total_seconds(), 2),
        "events": len(events),
        # Between the attempts nothing computes.
        "longest_silence_seconds": max(silences) if not killed else None,
        **killed,
    }


def list_events(home: Path, job: int) -> list[JobEvent]:
    """All events of a job."""
    table, events = JobEventTable(open_jobs_database(Settings(home, CORES))), list[JobEvent]()
    while more := table.read(job, events[-1].number if events else 0):
        events += more
    return events


def kill_worker(home: Path, jobs: JobTable, job: JobRecord) -> dict[str, Any]:
    """Kill a worker and the process of its job (-9) in the middle of its search."""

    def is_searching() -> bool:
        return sum(isinstance(event.event, WorkAdvanced) for event in list_events(home, job.id)) > STEPS_BEFORE_KILL

    began = time.monotonic()
    with (home / "said.txt").open("ab") as said:
        worker = subprocess.Popen([*COMMAND, "work", "--once"], env=describe_home(home), stdout=said, stderr=said)
        wait_until(is_searching, PATIENCE)
        process = jobs.list_attempts(job.id)[-1].process
        worker.kill()
        worker.wait()
    assert process is not None
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    return {"seconds_until_killed": round(time.monotonic() - began, 2)}


RUNS: Mapping[str, Callable[[Search, Path], dict[str, Any]]] = {"direct": train_directly, "job": train_as_job}


def describe_results(results: Mapping[str, Any]) -> str:
    """The section of the page."""
    rows = []
    for search in SEARCHES:
        direct, job = (results["runs"].get(f"{kind} {search.name}") for kind in RUNS)
        if direct is None or job is None:
            continue
        is_killed = "seconds_until_killed" in job
        extra = "killed, then resumed" if is_killed else f"{job['processor_seconds'] - direct['processor_seconds']:+.1f} s"
        share = "" if is_killed else f" ({job['processor_seconds'] / direct['processor_seconds'] - 1:+.1%})"
        silence = "" if is_killed else f"{job['longest_silence_seconds']:.1f} s"
        own = "" if is_killed or "own_seconds" not in job else f"{job['own_seconds']:.1f} s"
        same = "yes" if direct["model_hash"] == job["model_hash"] and job["versions"] == 1 else "**no**"
        mark = "" if direct["source"] == job["source"] == results["source"] else " †"
        rows.append(
            f"| {search.name}{mark} | {direct['processor_seconds']:.0f} s, {direct['seconds']:.0f} s "
            f"| {job['processor_seconds']:.0f} s, {job['seconds']:.0f} s | {own} | {extra}{share} | {silence} | {same} |"
        )
    return "\n".join(
        [
            "## Searches as jobs",
            "",
            "`python benchmarks/searched_jobs.py`: the row features of the sample portfolio, the trials a training part,",
            f"boosting and linear, nested, {CORES} threads; each directly and as a job, in turn. A job's processor time is that",
            "of its worker too, which ends with it. One job's worker and process are killed (-9) in the middle of its search.",
            "",
            "| search | direct: processor, wall | job: processor, wall | its worker alone | job minus direct | longest silence "
            "| the same model, once |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"{results['machine']}; load {', '.join(str(one['load']) for one in results['runs'].values())}.",
            f"†: by former sources. {results.get('remark', '')}".rstrip(),
        ]
    )


def main() -> None:
    """Train, and write it down after each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scratch", type=Path, required=True)
    given = parser.parse_args()
    stamp = source_stamp(Path(__file__))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results = {"source": stamp, "machine": machine(), "runs": results.get("runs", {})}
    for search in SEARCHES:
        for kind, train in RUNS.items():
            if results["runs"].get(name := f"{kind} {search.name}", {}).get("source") != stamp:
                load = round(os.getloadavg()[0], 1)
                results["runs"][name] = train(search, given.scratch.resolve()) | {"load": load, "source": stamp}
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
                print(name, results["runs"][name], flush=True)
    write_section(ROOT / "docs" / "benchmarks.md", "searched_jobs", describe_results(results))
    print(describe_results(results))


if __name__ == "__main__":
    main()
