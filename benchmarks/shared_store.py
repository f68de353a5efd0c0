"""A store on PostgreSQL, object storage and Redis: moved there and back, promotions heard elsewhere, Redis killed in the middle.

    PYTHONPATH=src:. OMP_NUM_THREADS=1 python benchmarks/shared_store.py

Real servers of its own, those of the tests, all on this machine: a network adds its time to each. Ways that are compared are of
one run. Writes benchmarks/results/shared_store.json and its section of docs/benchmarks.md.
"""

import hashlib
import json
import math
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from page import write_section
from tests.object_storage import new_bucket, storage_environment
from tests.postgres import new_database
from tests.redis_server import RedisProcess, new_redis

from epic22.adapters.prediction_log import ReceiptStore
from epic22.adapters.redis.server import RedisServer
from epic22.bootstrap.stores import Stores, open_home_stores, open_shared_stores
from epic22.core.artifact.model import Model
from epic22.core.artifact.prediction_request import RowsRequest
from epic22.core.lineage import PredictionRecord
from epic22.core.ports import Registry
from epic22.core.prediction import PREDICTION_VIEWS
from epic22.core.serialization import to_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "shared_store.json"
PAGE = ROOT / "docs" / "benchmarks.md"
SOURCE = {"PYTHONPATH": str(ROOT / "src")}
COMMAND = [sys.executable, "-c", "from epic22.cli.main import run; run()"]
TASK = "churn-churned"
RECEIPTS, PROMOTIONS, OPENINGS, ANSWERS, REQUESTS = 20_000, 20, 20, 400, 400
BAR_SECONDS = 2.0


def run_command(folder: Path, environment: Mapping[str, str], *arguments: str) -> Any:
    """What a command prints as JSON."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("EPIC22_")}
    done = subprocess.run(
        [*COMMAND, *arguments, *(("--json",) if arguments[0] != "sample" else ())],
        cwd=folder,
        env=own | SOURCE | dict(environment),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout) if arguments[0] != "sample" else None


def fill_home(folder: Path, home: Path) -> None:
    """A simulated company's tables as a data version, two champions, and receipts, of which a quarter were given twice."""
    environment = {"EPIC22_HOME": str(home)}
    run_command(folder, environment, "sample", "--folder", "sample")
    run_command(folder, environment, "ingest", "sample/tables", "--as-of", "2026-01-01")
    train = ("train", "--csv", "sample/churn.csv", "--label", "churned", "--time", "month", "--id", "tenant", "--horizon", "90")
    run_command(folder, environment, *train)
    run_command(folder, environment, *train, "--task", "second", "--families", "linear")
    start, n_different = datetime(2024, 1, 1), 3 * RECEIPTS // 4
    open_home_stores(home).prediction_log.add_receipts(
        [
            PredictionRecord(f"{n:064x}", TASK, "1", "0" * 64, f"tenant {n}", start + timedelta(hours=n))
            for n in (number % n_different for number in range(RECEIPTS))
        ]
    )


def describe_content(folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """What must be the same in every place: models with their champions, answers with their receipts, data versions."""
    models = run_command(folder, environment, "models")
    tasks = sorted({one["task"] for one in models})
    answers = [run_command(folder, environment, "predict", task, "rows.csv") for task in tasks]
    return {"models": models, "answers": answers, "data versions": run_command(folder, environment, "data", "log")}


def measure_copies(folder: Path, home: Path, servers: Mapping[str, str]) -> dict[str, Any]:
    """A home moves to the servers and back: what is the same in all three places, and how long each copy took."""
    lines = (folder / "sample" / "churn.csv").read_text().splitlines()[:51]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    places: dict[str, dict[str, str]] = {"here": {"EPIC22_HOME": str(home)}}
    places["there"] = {**servers, "EPIC22_HOME": str(folder / "other")}
    places["back"] = {"EPIC22_HOME": str(folder / "back")}
    shared, back = open_stores(servers, folder / "other"), open_home_stores(folder / "back")
    content = {"here": describe_content(folder, places["here"])}
    receipts = [count_receipts(open_home_stores(home).prediction_log)]
    redis = {name: value for name, value in servers.items() if not name.startswith(("EPIC22_DATABASE", "EPIC22_ARTIFACTS"))}
    to = ("store", "copy", "--to", servers["EPIC22_DATABASE_URL"], "--artifacts", servers["EPIC22_ARTIFACTS"])
    began = time.perf_counter()
    first = run_command(folder, places["here"] | redis, *to)
    seconds = [time.perf_counter() - began]
    receipts.append(count_receipts(shared.prediction_log))
    content["there"] = describe_content(folder, places["there"])
    receipts.append(count_receipts(shared.prediction_log))
    began = time.perf_counter()
    second = run_command(folder, places["there"], "store", "copy", "--to", str(folder / "back"))
    seconds.append(time.perf_counter() - began)
    receipts.append(count_receipts(back.prediction_log))
    content["back"] = describe_content(folder, places["back"])
    same = {name: all(one[name] == content["here"][name] for one in content.values()) for name in content["here"]}
    same["receipts there"] = receipts[0] == receipts[1]
    same["receipts back, with those given there"] = receipts[2] == receipts[3]
    counts = ("data_versions", "models", "receipts")
    return {
        "same": same,
        "copied there": {name: first[name]["copied"] for name in counts},
        "copied back": {name: second[name]["copied"] for name in counts},
        "seconds": {"there": round(seconds[0], 1), "back": round(seconds[1], 1)},
    }


def count_receipts(log: ReceiptStore) -> tuple[int, str]:
    """How many receipts there are, and a digest of all of them, each as often as it is there."""
    receipts = sorted(map(repr, log.iterate_receipts()))
    return len(receipts), hashlib.sha256("\n".join(receipts).encode()).hexdigest()


def open_stores(servers: Mapping[str, str], home: Path) -> Stores:
    """The stores on the servers, as a machine with this home sees them."""
    return open_shared_stores(servers["EPIC22_DATABASE_URL"], servers["EPIC22_ARTIFACTS"], home, servers.get("EPIC22_REDIS_URL"))


@contextmanager
def serve(home: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a served API with a home of its own."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"],
        env=os.environ | SOURCE | dict(environment) | {"EPIC22_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        match = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
        assert match is not None
        yield match.group()
    finally:
        process.terminate()
        process.communicate(timeout=60)


def ask(address: str, body: bytes) -> dict[str, Any]:
    """An answer of the API."""
    request = urllib.request.Request(f"{address}/v1/tasks/{TASK}/predictions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))


def save_again(registry: Registry, bundle: Path) -> str:
    """The number of a version that was saved from a folder; its files are under a key that nobody has fetched."""
    chosen = registry.champion(TASK)
    return registry.save(TASK, chosen.family, chosen.model_hash, chosen.data_version, chosen.status, bundle).version


def measure_promotions(folder: Path, bundle: Path, servers: Mapping[str, str], body: bytes) -> dict[str, float]:
    """Seconds from a promotion on one machine to the first answer of the new champion on another, whose bundle it must fetch."""
    shared = open_stores(servers, folder / "one")
    taken, moments = [], random.Random(0)
    with serve(folder / f"serves-{len(servers)}", servers) as address:
        ask(address, body)
        for _ in range(PROMOTIONS):
            number = save_again(shared.registry, bundle)
            shared.registry.load(TASK, number)
            # A promotion comes at any moment between two times that the database is asked.
            time.sleep(moments.uniform(0.2, 0.8))
            shared.registry.promote(TASK, number, ())
            began = time.perf_counter()
            while ask(address, body)["model"]["version"] != number:
                time.sleep(0.002)
            taken.append(time.perf_counter() - began)
    return summarise(taken)


def measure_openings(folder: Path, servers: Mapping[str, str], number: str) -> dict[str, float]:
    """Milliseconds to open the champion on a machine that has no file of it."""
    taken = []
    for opening in range(OPENINGS):
        home = folder / f"opens-{len(servers)}-{opening}"
        stores = open_stores(servers, home)
        stores.registry.list_tasks()
        began = time.perf_counter()
        stores.registry.load(TASK, number)
        taken.append(1000 * (time.perf_counter() - began))
        shutil.rmtree(home)
    return summarise(taken)


def measure_answers(model: Model, rows: Sequence[dict[str, Any]], redis: RedisProcess) -> dict[str, dict[str, float]]:
    """Milliseconds of answering one row by the model, and of looking it up in Redis, as an answer cache would."""
    client: Any = RedisServer(redis.url).client

    def compute(row: dict[str, Any]) -> bytes:
        prediction = model.predict(RowsRequest([row]))[0]
        return orjson.dumps(to_json(prediction, PREDICTION_VIEWS) | {"warnings": model.list_warnings(row)})

    def name_key(row: dict[str, Any]) -> str:
        content = orjson.dumps([model.version.model_hash, row], option=orjson.OPT_SORT_KEYS)
        return f"answer:{hashlib.sha256(content).hexdigest()}"

    ways: dict[str, Callable[[dict[str, Any]], object]] = {
        "computed": compute,
        "hit": lambda row: client.get(name_key(row)),
        "miss": lambda row: (client.get(name_key(row) + "-"), client.set(name_key(row), compute(row), ex=3600)),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for row in rows:
        client.set(name_key(row), compute(row), ex=3600)
    for number in range(ANSWERS):
        for name, way in ways.items():
            began = time.perf_counter()
            way(rows[number % len(rows)])
            taken[name].append(1000 * (time.perf_counter() - began))
    return {name: summarise(values) for name, values in taken.items()}


def measure_kill(folder: Path, servers: Mapping[str, str], redis: RedisProcess, body: bytes) -> dict[str, Any]:
    """Requests while Redis is killed in their middle: how many failed, and what they took."""
    before, after, n_failed = list[float](), list[float](), 0
    with serve(folder / "killed", servers) as address:
        expected = ask(address, body)
        for number in range(REQUESTS):
            if number == REQUESTS // 2:
                redis.kill()
            began = time.perf_counter()
            try:
                n_failed += ask(address, body) != expected
            except OSError:
                n_failed += 1
            (before if number < REQUESTS // 2 else after).append(1000 * (time.perf_counter() - began))
    redis.start()
    return {"requests": REQUESTS, "failed": n_failed, "before": summarise(before), "after": summarise(after)}


def summarise(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and largest of some times."""
    ordered = sorted(values)
    p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
    return {"median": round(statistics.median(ordered), 4), "p95": round(p95, 4), "largest": round(ordered[-1], 4)}


def measure(folder: Path) -> dict[str, Any]:
    """All figures."""
    home, redis = folder / "home", new_redis()
    database, bucket = new_database(), new_bucket()
    os.environ.update(storage_environment())
    servers = {"EPIC22_DATABASE_URL": database, "EPIC22_ARTIFACTS": bucket}
    with_redis = servers | {"EPIC22_REDIS_URL": redis.url}
    fill_home(folder, home)
    copies = measure_copies(folder, home, {**with_redis, **storage_environment()})
    bundle = open_home_stores(home).registry.folder(TASK, "1") / "bundle"
    shared = open_stores(with_redis, folder / "one")
    model = shared.registry.load(TASK, "1")
    row = {**model.example_row()}
    rows = [json.loads(json.dumps(row, default=str))]
    body = json.dumps({"rows": rows}).encode()
    columns = model.request_model().row
    parsed = [columns.model_validate(one).model_dump(by_alias=True) for one in rows]
    sizes = [path.stat().st_size for path in bundle.rglob("*") if path.is_file()]
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "bundle": {
            "family": model.version.family,
            "files": len(sizes),
            "bytes": sum(sizes),
        },
        "copies": copies,
        "seconds to the new champion's answer": {
            "with Redis": measure_promotions(folder, bundle, with_redis, body),
            "without": measure_promotions(folder, bundle, servers, body),
        },
        "milliseconds to open a bundle": {
            "with Redis": measure_openings(folder, with_redis, shared.registry.champion(TASK).version),
            "without": measure_openings(folder, servers, shared.registry.champion(TASK).version),
        },
        "milliseconds of an answer": measure_answers(model, parsed, redis),
        "killed": measure_kill(folder, with_redis, redis, body),
    }


def format_times(times: Mapping[str, float], digits: int = 3) -> str:
    """Median, 95th percentile and largest in a cell each."""
    return " | ".join(f"{times[name]:.{digits}g}" for name in ("median", "p95", "largest"))


def write_page(figures: Mapping[str, Any]) -> str:
    """The page's section."""
    copies, bundle, killed = figures["copies"], figures["bundle"], figures["killed"]
    copied, seconds = copies["copied there"], copies["seconds"]
    promotions, openings = figures["seconds to the new champion's answer"], figures["milliseconds to open a bundle"]
    answers = figures["milliseconds of an answer"]
    n_files = bundle["files"]
    gain = answers["computed"]["median"] - answers["hit"]["median"]
    loss = answers["miss"]["median"] - answers["computed"]["median"]
    met = "met" if promotions["with Redis"]["largest"] <= BAR_SECONDS else "missed"
    lines = [
        "## A store on PostgreSQL, object storage and Redis",
        "",
        f"Written by `benchmarks/shared_store.py`; {figures['machine']}, all servers on the same machine. The champion is "
        f"{bundle['family']}: {bundle['files']} files, {bundle['bytes'] / 1e3:,.0f} kB.",
        "",
        "`epic22 store copy` of a simulated company's home to the servers and back: "
        f"{copied['data_versions']} data version, {copied['models']} models and {copied['receipts']:,} receipts in "
        f"{seconds['there']:g} s, back in {seconds['back']:g} s.",
        "",
        "| the same in all places | |",
        "|---|---|",
        *(f"| {name} | {'yes' if same else 'no'} |" for name, same in copies["same"].items()),
        "",
        "| | median | 95th percentile | largest |",
        "|---|---|---|---|",
        f"| s from a promotion to another machine's first answer by it ({PROMOTIONS} each), with Redis | "
        f"{format_times(promotions['with Redis'])} |",
        f"| the same by asking the database twice a second | {format_times(promotions['without'])} |",
        f"| ms to open the bundle on a machine that has no file of it ({OPENINGS} each), with Redis | "
        f"{format_times(openings['with Redis'])} |",
        f"| the same from object storage | {format_times(openings['without'])} |",
        f"| ms of a request over HTTP, before Redis is killed | {format_times(killed['before'])} |",
        f"| after it | {format_times(killed['after'])} |",
        f"| ms to compute an answer to one row with its reasons ({ANSWERS} each) | {format_times(answers['computed'])} |",
        f"| to look it up in Redis | {format_times(answers['hit'])} |",
        f"| to miss it, compute and keep it | {format_times(answers['miss'])} |",
        "",
        f"Bar of {BAR_SECONDS:g} s to the new champion's answer: {met}. Of {killed['requests']} requests, Redis killed in their "
        f"middle, {killed['failed']} failed or were answered otherwise.",
        "",
        f"An opening asks object storage at least {n_files + 1} times in turn, and Redis twice, however many files there",
        "are. The opening itself, which scores golden rows, is in both.",
        "",
        f"A cache of answers would gain {gain:.2f} ms a hit and lose {loss:.2f} ms a miss: it would pay where more than "
        f"{100 * loss / (loss + gain):.0f} % of rows are asked again before their model changes"
        + (" – and a hit is not quicker at all." if gain <= 0 else "."),
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and write what was measured."""
    with tempfile.TemporaryDirectory(prefix="epic22-shared-") as folder:
        figures = measure(Path(folder))
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    write_section(PAGE, "shared_store", write_page(figures))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
