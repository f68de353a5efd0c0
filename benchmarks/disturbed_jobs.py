"""Trainings as jobs whose server is killed (-9), or whose worker and process sleep for a minute: what becomes of them.

    PYTHONPATH=src:. python benchmarks/disturbed_jobs.py --scratch FOLDER

The row features of the sample portfolio on a real PostgreSQL over TCP. Ten times the server is killed in a step of a training,
each step in turn, and started again; in every other one the worker is killed too, and another takes over. Five times worker and
process are stopped (SIGSTOP) for sixty seconds while another worker takes over, then woken (SIGCONT): as on one machine, where
the process is ended, and as on two, where it wakes. Each is written as it is done; what is there by the same sources is not done
again. Writes benchmarks/results/disturbed_jobs.json and the section of docs/benchmarks.md.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from page import write_section
from stamp import machine, source_stamp
from tests.disturbed_job import DisturbedJob, kill_server, put_to_sleep
from tests.killed_training import STEPS, KilledTraining
from tests.noting_worker import ELSEWHERE
from tests.tcp_postgres import TcpPostgres

from epic22.bootstrap.jobs import open_job_stores
from epic22.bootstrap.runs import list_runs
from epic22.config import Settings

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "disturbed_jobs.json"
FEATURES = ("risk_assessment", "predictive_maintenance", "tenant_churn")
KILLS, SLEEPS, SLEEP_SECONDS = 10, 5, 60.0
AWAY_SECONDS = (2.0, 12.0)
"""For how long the server is away, at least and at most."""
COMMAND = (sys.executable, "-c", "from epic22.cli.main import run; run()")


@dataclass(frozen=True)
class Place:
    """Where jobs of one kind begin: a server with a database that has the sample portfolio, and its artifacts."""

    server: TcpPostgres
    folder: Path
    template: str

    @classmethod
    def build(cls, server: TcpPostgres, folder: Path) -> "Place":
        """The sample portfolio as the first data version."""
        template = server.new_database()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        environment = describe_place(folder, template)
        tables = folder / "sample" / "tables"
        for words in (("sample", "--folder", str(folder / "sample")), ("ingest", str(tables))):
            subprocess.run([*COMMAND, *words], env={**os.environ, **environment}, stdout=subprocess.DEVNULL, check=True)
        # Tables that each would take a while to make.
        list_runs(Settings.read(environment))
        open_job_stores(Settings.read(environment)).records.list_jobs()
        return cls(server, folder, template)

    def copy(self, name: str) -> tuple[Path, dict[str, str]]:
        """A folder of that name with a home, and a database of its own with all that this one has."""
        folder = self.folder.parent / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder / "artifacts", folder / "artifacts")
        return folder, describe_place(folder, self.server.new_database(self.template))


def describe_place(folder: Path, url: str) -> dict[str, str]:
    """The environment of what is kept there."""
    places = {"EPIC22_HOME": str(folder / "home"), "EPIC22_ARTIFACTS": str(folder / "artifacts"), "EPIC22_DATABASE_URL": url}
    return {**places, "EPIC22_THREADS": "1", "OMP_NUM_THREADS": "1"}


def train_undisturbed(place: Place, feature: str) -> dict[str, Any]:
    """The model of a direct training, and how long each of its steps took."""
    folder, environment = place.copy(f"direct-{feature}")
    (folder / "home").mkdir()
    training = KilledTraining((feature,), folder / "home", environment)
    answer = training.finish()
    return {"model_hash": answer["model_hash"], "step_seconds": {s: round(v, 2) for s, v in training.measure_steps().items()}}


def disturb(place: Place, kind: str, number: int, undisturbed: Mapping[str, Any]) -> dict[str, Any]:
    """What came of a training that was disturbed: in the next of the steps, at a random moment of it."""
    feature, step = FEATURES[number % len(FEATURES)], STEPS[number % len(STEPS)]
    chance = random.Random(f"{kind} {number}")
    share, away = chance.random(), chance.uniform(*AWAY_SECONDS)
    folder, environment = place.copy(f"{kind}-{number}")
    job = DisturbedJob(feature, (feature,), folder, place.server, environment)
    is_other = bool(number % 2)
    try:
        job.submit()
        job.start_worker(*([ELSEWHERE] if kind == "asleep" and is_other else []))
        job.wait_for_step(step)
        time.sleep(share * undisturbed[feature]["step_seconds"][step])
        hit = job.name_step()
        if kind == "server":
            kill_server(job, away, is_other)
        else:
            put_to_sleep(job, SLEEP_SECONDS)
        ending = job.wait_for_end()
    finally:
        job.stop()
    found = {"feature": feature, "step": hit, "seconds": round(away if kind == "server" else SLEEP_SECONDS, 1)}
    found |= {"with_worker" if kind == "server" else ELSEWHERE: is_other, "is_single": ending.is_single, **asdict(ending)}
    found["same_hash"] = ending.model_hash == undisturbed[feature]["model_hash"]
    if ending.is_single:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def describe_results(results: Mapping[str, Any]) -> str:
    """The section of the page."""
    titles = {"server": "PostgreSQL killed (-9)", "asleep": "worker and process asleep for 60 s"}
    rows = []
    for kind, title in titles.items():
        found = results["trials"].get(kind, [])
        again, made = (sum(one["repetition"][name] for one in found) for name in ("seconds_again", "seconds"))
        good = sum(one["is_single"] and one["same_hash"] for one in found)
        two = sum(len(one["attempts"]) > 1 for one in found)
        steps = ", ".join(f"{step} {n}" for step, n in Counter(one["step"] for one in found).items())
        rows.append(f"| {title} | {len(found)} | {steps} | {two} | {made:.1f} s, {again:.2f} s | {good} |")
    return "\n".join(
        [
            "## Jobs that are disturbed",
            "",
            "`python benchmarks/disturbed_jobs.py`: trainings of the row features on the sample portfolio, as jobs on a",
            "PostgreSQL over TCP. The server is killed in a step and started again 2 to 12 s later, every other time the worker",
            "as well; or",
            "worker and process are stopped for a minute while another worker takes over, every other time as if on two",
            "machines, where nobody can end the sleeping process and it wakes. Once: one version, one decision, one tracked run.",
            "",
            "| what happens | jobs | in | taken over | fits, of them made again | once, and the undisturbed model |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"{results['machine']}.",
        ]
    )


def main() -> None:
    """Disturb, and write it down after each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scratch", type=Path, required=True)
    scratch = parser.parse_args().scratch.resolve()
    stamp = source_stamp(Path(__file__), ROOT / "tests" / "disturbed_job.py", ROOT / "tests" / "killed_training.py")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if results.get("source") != stamp:
        results = {"source": stamp, "machine": machine(), "undisturbed": {}, "trials": {"server": [], "asleep": []}}
    with TcpPostgres() as server:
        place = Place.build(server, scratch / "base")
        for feature in FEATURES:
            if feature not in results["undisturbed"]:
                results["undisturbed"][feature] = train_undisturbed(place, feature)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        for kind, n in (("server", KILLS), ("asleep", SLEEPS)):
            trials = results["trials"][kind]
            while len(trials) < n:
                trials.append(disturb(place, kind, len(trials), results["undisturbed"]) | {"load": round(os.getloadavg()[0], 1)})
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
                print(kind, json.dumps(trials[-1]), flush=True)
    write_section(ROOT / "docs" / "benchmarks.md", "disturbed_jobs", describe_results(results))
    print(describe_results(results))


if __name__ == "__main__":
    main()
